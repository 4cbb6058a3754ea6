//! Everything that travels on an arrow of the diagram.

use std::ops::Range;
use std::sync::Arc;

use super::rows::RowChild;
use crate::base::SegmentId;
use crate::format::entry::Entry;
use crate::format::snapshot::Snapshot;
use crate::repo::session::{Pack, Stored};
use crate::repo::tree::EncodedEntry;
use crate::seal::frame::SealedFrame;
use crate::seal::pack::FinishedPack;
use crate::source::{Child, Directory, Listing, Settled, Signature};

/// Number of a directory that is being assembled.
pub type DirectoryNo = u64;

/// Where a finished entry belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The directory.
    pub directory: DirectoryNo,
    /// Its slot in the window that is being assembled.
    pub slot: usize,
}

/// Directory to scan, or the next window of one.
#[derive(Debug)]
pub enum ScanRequest {
    /// Open a directory and scan its first window.
    Open {
        /// Where its entry belongs.
        place: Place,
        /// Its parent.
        parent: Arc<Directory>,
        /// What its stat said.
        child: Child,
    },
    /// Scan a later window.
    Window {
        /// The directory.
        directory: DirectoryNo,
        /// The same, open.
        open: Arc<Directory>,
        /// All its names.
        listing: Arc<Listing>,
        /// First name of the window.
        start: usize,
    },
}

/// A name in a scanned window.
#[derive(Debug)]
pub enum Scanned {
    /// Nothing to do: taken from the last run, or no content to read.
    Ready(Box<Finished>),
    /// A file that an interrupted run has read, with what the last run knew of it.
    Resumed(Box<Finished>, Option<Box<RowChild>>),
    /// A file to read.
    File {
        /// What its stat said.
        child: Child,
        /// What the last run knew of it.
        before: Option<Box<RowChild>>,
        /// What an interrupted run has read of it since, all or a part, if its stat is still the same.
        begun: Option<Box<RowChild>>,
    },
    /// A directory to open.
    Directory(Child),
}

/// An entry that is ready to stand in its directory.
#[derive(Debug)]
pub struct Finished {
    /// The entry.
    pub entry: EncodedEntry,
    /// What its stat said.
    pub signature: Signature,
    /// What the times there prove to the next run, which may then take it over.
    pub settled: Settled,
}

/// A window of a directory: a run of names that is kept as one row.
#[derive(Debug)]
pub struct Window {
    /// First name.
    pub start: usize,
    /// Name after the last.
    pub end: usize,
    /// Key of its row.
    pub row_key: [u8; 32],
    /// Whether the row of the last run says the same, so that it needs no rewriting.
    pub row_is_current: bool,
    /// Flags that its directory has for it: names in it could not be looked at, or were left out.
    pub flags: u32,
    /// Its names.
    pub names: Vec<Scanned>,
}

/// What came of a scan.
#[derive(Debug)]
pub enum ScanReply {
    /// A directory was opened.
    Opened {
        /// Where its entry belongs.
        place: Place,
        /// The directory.
        open: Arc<Directory>,
        /// Its entry, without its tree.
        entry: Box<Entry>,
        /// All its names.
        listing: Arc<Listing>,
        /// Its first window.
        window: Window,
    },
    /// A directory could not be opened; the problem is reported.
    Closed {
        /// Where its entry would have belonged.
        place: Place,
    },
    /// A later window.
    Window {
        /// The directory.
        directory: DirectoryNo,
        /// The window.
        window: Window,
    },
}

/// A file to read.
#[derive(Debug)]
pub struct FileToRead {
    /// Where its entry belongs.
    pub place: Place,
    /// Its directory.
    pub open: Arc<Directory>,
    /// What its stat said.
    pub child: Child,
    /// What the last run knew of it.
    pub before: Option<Box<RowChild>>,
    /// What an interrupted run has read of it since, all or a part, if its stat is still the same.
    pub begun: Option<Box<RowChild>>,
}

impl FileToRead {
    /// The encoded entry that it had in the parent.
    pub fn entry_before(&self) -> Option<&[u8]> {
        self.before.as_ref().map(|row| &row.entry[..])
    }
}

/// Files to read: many small neighbors, or a large one.
pub type ReadJob = Vec<FileToRead>;

/// Raw content with the chunks it is split into.
#[derive(Debug, Default)]
pub struct Pieces {
    /// Content.
    pub raw: Vec<u8>,
    /// The chunks, in order.
    pub cuts: Vec<Range<usize>>,
}

/// What the assembler hears.
#[derive(Debug)]
pub enum Event {
    /// A scan ended.
    Scan(ScanReply),
    /// Files were read; none for one that could not be.
    Files(Vec<(Place, Option<Finished>)>),
    /// The first part of a file was read, and reading goes on.
    Part {
        /// Where its entry belongs.
        place: Place,
        /// An entry of what was read.
        read: Finished,
        /// Whether so much of it is new that it should be stored.
        is_long: bool,
    },
    /// A helper panicked; what it was asked will not be answered.
    Broken,
}

/// Tells the assembler when its holder panics, so that it does not wait for ever.
#[derive(Debug)]
pub struct Watch(pub crossbeam_channel::Sender<Event>);

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _sent = self.0.send(Event::Broken);
        }
    }
}

/// What the pack stage hears.
#[derive(Debug)]
pub enum FrameMessage {
    /// A frame for a pack.
    Frame(SealedFrame),
    /// What is captured so far. All that it needs was sent before.
    SoFar(Box<Snapshot>),
    /// No more will come.
    End,
}

/// A pack to store, with its number among those of the run.
pub type NumberedPack = (u64, FinishedPack);

/// What the segment stage hears.
#[derive(Debug)]
pub enum Receipt {
    /// A pack with this number is stored.
    Pack(u64, Stored<Pack>),
    /// What is captured so far. All that it needs is in packs with smaller numbers than this one.
    SoFar(u64, Box<Snapshot>),
}

/// What storing came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Receipts of all segments of the session.
    pub segments: Vec<Stored<SegmentId>>,
}
