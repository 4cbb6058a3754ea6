//! How a person wants a restore to be done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::Budget;
use super::failure::Failure;
use super::flush::Flusher;
use super::links::Links;
use super::memory::RestorePlan;
use crate::base::{Cancel, Error, ErrorKind, Problems, Progress};
use crate::format::entry::Entry;
use crate::repo::reader::Reader;
use crate::target::{Found, Identity};

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Its content is compared with that of the snapshot, and what differs is restored.
    #[default]
    Always,
    /// As always, but one of the same size and time counts as the same unread.
    IfChanged,
    /// It is left alone unless the one in the snapshot has a later time.
    IfNewer,
    /// It is left alone.
    Never,
}

/// Whether a path may be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    /// It itself.
    pub itself: bool,
    /// Something below it, if it is a directory.
    pub below: bool,
}

/// Selects by the path below the root of the target, from a slash on, and by whether it is a
/// directory.
pub type Select = dyn Fn(&[u8], bool) -> Selected + Send + Sync;

/// What was done to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// There was none.
    Restored,
    /// There was another one.
    Updated,
    /// It was there, or was left alone.
    Unchanged,
    /// The snapshot does not have it.
    Deleted,
}

/// Told of each entry: its path below the root of the target, and its length.
pub type Tell = dyn Fn(Action, &[u8], u64) + Send + Sync;

/// What a person wants of a restore.
#[derive(Clone, Default)]
pub struct How {
    /// What happens to files that are there.
    pub overwrite: Overwrite,
    /// Remove what the snapshot does not have.
    pub delete: bool,
    /// Only tell what would be done.
    pub dry_run: bool,
    /// Read every file back.
    pub verify: bool,
    /// Make holes of long runs of zeros.
    pub sparse: bool,
    /// Write what differs into the files that are there.
    pub in_place: bool,
    /// Only what this selects; everything without it.
    pub select: Option<Arc<Select>>,
    /// Told of each entry.
    pub tell: Option<Arc<Tell>>,
    /// What is never removed.
    pub stays: Vec<Identity>,
}

impl Overwrite {
    /// Whether what was found is left alone.
    pub fn leaves(self, found: &Found, entry: &Entry) -> bool {
        match self {
            Self::Always | Self::IfChanged => false,
            Self::IfNewer => entry.mtime.is_none_or(|mtime| mtime <= found.mtime()),
            Self::Never => true,
        }
    }

    /// Whether a file counts as the same without being read.
    pub fn trusts(self, found: &Found, entry: &Entry) -> bool {
        self == Self::IfChanged
            && found.is_file()
            && Some(found.size()) == entry.size
            && Some(found.mtime()) == entry.mtime
    }
}

/// Refuses to put an entry where something else is, with [`Overwrite::Never`].
pub fn left_alone(path: String, found: &str) -> Error {
    let message = format!("could not restore {path}: {found} is there, and is left alone");
    Error::new(ErrorKind::Exists, message).hint("Restore with another `--overwrite` to replace it.")
}

impl How {
    /// Whether a path may be restored.
    pub fn selects(&self, path: &[u8], is_dir: bool) -> Selected {
        match &self.select {
            Some(select) => select(path, is_dir),
            None => Selected { itself: true, below: is_dir },
        }
    }
}

/// What all stages of a restore report to.
pub struct Reports<'a> {
    /// What a person wants.
    pub how: &'a How,
    /// Where chunks come from.
    pub reader: &'a Reader<'a>,
    /// Where faults go.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Why it ends early.
    pub failure: &'a Failure,
    /// Which names are one file.
    pub links: &'a Links<'a>,
    /// Whether a person asked to stop.
    pub cancel: &'a Cancel,
    /// What came of it beside problems.
    pub outcome: &'a Outcome,
    /// Where large files go that are to be on the disk early.
    pub flusher: &'a Flusher,
    /// How much memory each of them may take.
    pub plan: &'a RestorePlan,
    /// Bounds what was read of packs and is not written yet.
    pub flight: &'a Budget,
    /// Bounds what is compared. One of its own: those who compare may hold some of the other.
    pub comparing: &'a Budget,
}

/// What came of a restore, beside problems and progress.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Files that are not what the snapshot has, though they were restored.
    pub mismatch_count: AtomicU64,
    /// Directories of which names were to be removed, had the snapshot all of them.
    pub partial_count: AtomicU64,
    /// Most bytes of packs that were read and not written yet.
    pub flight_bytes_max: AtomicU64,
}

impl Reports<'_> {
    /// Sorts an error: a full disk ends the run, everything else concerns one entry.
    pub fn report(&self, error: Error) {
        if matches!(error.kind, ErrorKind::Full | ErrorKind::Cancelled | ErrorKind::Offline) {
            self.failure.raise(error);
        } else {
            self.problems.push(error);
        }
    }

    /// Reports that a restored file is not what the snapshot has.
    pub fn mismatch(&self, error: Error) {
        self.outcome.mismatch_count.fetch_add(1, Ordering::Relaxed);
        self.problems.push(error);
    }

    /// Tells of an entry, if anybody listens.
    pub fn tell(&self, action: Action, path: impl FnOnce() -> Vec<u8>, len: u64) {
        if let Some(tell) = &self.how.tell {
            tell(action, &path(), len);
        }
    }
}
