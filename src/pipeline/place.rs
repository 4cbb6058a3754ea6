//! Directories that are being restored, each finished when the last entry in it is done.

use std::sync::{Arc, Mutex};

use super::expected::Expected;
use super::how::Reports;
use crate::format::entry::Entry;
use crate::target::TargetDir;

/// A directory that is being filled. It gets its metadata when nobody holds it any more, since
/// every name that is made in it changes its times.
#[derive(Debug)]
pub struct DirectoryPlace {
    /// The directory.
    pub dir: Arc<TargetDir>,
    entry: Option<Entry>,
    parent: Option<Arc<DirectoryPlace>>,
    /// The names that the snapshot has in it: every other one goes.
    expected: Mutex<Option<Expected>>,
}

impl DirectoryPlace {
    /// A place for `dir`, which will get the metadata of `entry`.
    pub fn new(
        dir: Arc<TargetDir>,
        entry: Option<Entry>,
        parent: Option<Arc<DirectoryPlace>>,
    ) -> Arc<Self> {
        Arc::new(Self { dir, entry, parent, expected: Mutex::default() })
    }

    /// Says which names the snapshot has in it, so that all others are removed.
    pub fn expect(&self, names: Expected) {
        *self.expected.lock().expect("no thread panics while it holds the lock") = Some(names);
    }

    /// Gives a hold back; the last one finishes the directory, then lets go of its parent.
    pub fn release(self: Arc<Self>, reports: &Reports<'_>) {
        let mut next = Some(self);
        while let Some(place) = next.take().and_then(Arc::into_inner) {
            place.finish(reports);
            next = place.parent;
        }
    }

    fn finish(&self, reports: &Reports<'_>) {
        // After a failure nobody knows what else the snapshot has, and a directory that stays ours
        // lets the next run find what this one leaves.
        if reports.failure.is_raised() {
            return;
        }
        let expected =
            self.expected.lock().expect("no thread panics while it holds the lock").take();
        if let Some(expected) = expected
            && let Err(error) = expected.remove_others(&self.dir, reports)
        {
            reports.report(error);
        }
        let Some(entry) = &self.entry else { return };
        if !reports.how.dry_run {
            match self.dir.finish(entry) {
                Ok(problems) => reports.problems.extend(problems),
                Err(error) => reports.report(error),
            }
        }
        reports.progress.directories_done.add(1);
    }
}
