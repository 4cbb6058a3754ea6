//! Puts large files on the disk while others are still fetched: the sync at the end would wait for
//! all of them at once, with nothing else to do.
//!
//! What is on the disk leaves the page cache. It would push out what other programs work with, and
//! memory that is used again is cheaper than memory that nobody has touched for long: a virtual
//! machine has to ask its host for that, page by page.

use std::fs::File;

use crossbeam_channel::{Receiver, Sender};
use rustix::fs::{Advice, fadvise};

/// Bytes that are written to a file before it is put on the disk the next time.
pub const FLUSH_LEN: u64 = 32 << 20;
/// Files that wait for the disk; what comes when it is that far behind is left to the end.
pub const WAITING_COUNT_MAX: usize = 8;

/// Takes files that are to be put on the disk; nothing stands for the end.
pub struct Flusher(Sender<Option<File>>);

/// Ends a flusher when it is dropped, also by a panic: its stage would wait for ever.
pub struct End<'f>(&'f Flusher);

impl Flusher {
    /// One that hands over to the stage of this file.
    pub fn new(files: Sender<Option<File>>) -> Self {
        Self(files)
    }

    /// Has what was written so far put on the disk, if that is not too busy.
    pub fn hand_over(&self, file: File) {
        // It is synced at the end in any case.
        drop(self.0.try_send(Some(file)));
    }

    /// A guard that ends it.
    pub fn guard(&self) -> End<'_> {
        End(self)
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        drop(self.0.0.send(None));
    }
}

/// Runs until the end.
pub(super) fn stage(files: &Receiver<Option<File>>) {
    while let Ok(Some(file)) = files.recv() {
        // What fails here fails again at the end, where it is reported.
        if file.sync_data().is_ok() {
            // No more than a hint; not every file system knows it.
            let _ = fadvise(&file, 0, None, Advice::DontNeed);
        }
    }
}
