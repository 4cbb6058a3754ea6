//! How far a run has come: counters that stages add to and a screen reads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// One counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes `n` off, which was added before.
    pub fn subtract(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets it.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

/// Counters of one run. Bytes are raw file bytes unless the name says otherwise.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files whose content is dealt with.
    pub files_done: Counter,
    /// Bytes of these.
    pub bytes_done: Counter,
    /// Files there will be, zero when unknown.
    pub files_total: Counter,
    /// Bytes there will be, zero when unknown.
    pub bytes_total: Counter,
    /// Files that were not in the parent snapshot.
    pub files_new: Counter,
    /// Files that differ from the parent snapshot.
    pub files_changed: Counter,
    /// Files taken over from the parent snapshot unread.
    pub files_unmodified: Counter,
    /// Files of which an interrupted run had stored all or the first part, which is not read again.
    pub files_resumed: Counter,
    /// Bytes of these that are not read again; they are done as well.
    pub bytes_resumed: Counter,
    /// Files that were there already, or were left alone; they are done as well.
    pub files_skipped: Counter,
    /// Bytes that were there already, or were left alone; they are done as well.
    pub bytes_skipped: Counter,
    /// Entries that were removed because the snapshot does not have them.
    pub files_deleted: Counter,
    /// Directories that are done.
    pub directories_done: Counter,
    /// Other entries that are done.
    pub others_done: Counter,
    /// Raw bytes of file content that was new to the repository.
    pub new_data_bytes: Counter,
    /// Raw bytes of tree nodes and list pages that were new.
    pub new_metadata_bytes: Counter,
    /// Chunks of file content that were new.
    pub new_data_chunks: Counter,
    /// Tree nodes and list pages that were new.
    pub new_metadata_chunks: Counter,
    /// Of all new chunks, those that were there before, in packs that are damaged or gone.
    pub healed_chunks: Counter,
    /// Bytes of packs and segments that reached the backend.
    pub stored_bytes: Counter,
    /// Packs that reached the backend.
    pub stored_packs: Counter,
    current: Mutex<Vec<u8>>,
}

impl Progress {
    /// Forgets what was done, because all of it is done again. What was stored stays stored.
    pub fn start_again(&self) {
        let counters = [
            &self.files_done,
            &self.bytes_done,
            &self.files_new,
            &self.files_changed,
            &self.files_unmodified,
            &self.files_resumed,
            &self.bytes_resumed,
            &self.directories_done,
            &self.others_done,
        ];
        counters.into_iter().for_each(|counter| counter.set(0));
    }

    /// Says what is being worked on, as raw bytes of a path.
    pub fn set_current(&self, path: Vec<u8>) {
        *self.current.lock().expect("no thread panics while it holds the lock") = path;
    }

    /// What is being worked on.
    pub fn current(&self) -> Vec<u8> {
        self.current.lock().expect("no thread panics while it holds the lock").clone()
    }
}
