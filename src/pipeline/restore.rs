//! The way back: walks a tree, from the top down and in the order of names.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use crossbeam_channel::bounded;

use super::backup::ending;
use super::budget::Budget;
use super::entries::{Entries, Work};
use super::expected::Expected;
use super::failure::Failure;
use super::fetch::fetch;
use super::flush::{self, Flusher};
use super::how::{How, Outcome, Overwrite, Reports, left_alone};
use super::links::Links;
use super::memory::RestorePlan;
use super::merge::{ComponentNo, Merge, Merged};
use super::place::DirectoryPlace;
use crate::base::{Cancel, Error, ErrorKind, Problems, Progress, Result};
use crate::format::entry::{Entry, EntryKind, TreeRef, flags};
use crate::repo::reader::Reader;
use crate::repo::tree::DEPTH_MAX;
use crate::target::{Target, TargetDir};

/// One restore into one target.
pub struct Restore<'a> {
    /// Where chunks come from.
    pub reader: &'a Reader<'a>,
    /// Where entries go.
    pub target: &'a Target,
    /// What a person wants.
    pub how: &'a How,
    /// How much memory to use.
    pub plan: RestorePlan,
    /// Where faults go.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Whether a person asked to stop.
    pub cancel: &'a Cancel,
}

/// What to restore, from several components at the same time.
#[derive(Debug, Default)]
pub struct Selection {
    /// Directories whose content goes into the target.
    pub trees: Vec<(ComponentNo, TreeRef)>,
    /// The metadata that the target gets, of a directory that was backed up as a whole.
    pub root: Option<Entry>,
    /// Entries that are no directories, in place of the above.
    pub entries: Vec<(ComponentNo, Entry)>,
}

/// Restores `selection`. One entry that fails is a problem; the rest goes on.
///
/// # Errors
/// When the disk is full, the index fails, or a person asked to stop.
pub fn restore(job: &Restore<'_>, selection: Selection) -> Result<Outcome> {
    let failure = Failure::default();
    let links = Links::new(job.target, job.plan.link_count);
    let flight = Budget::new(job.plan.flight_bytes);
    let comparing = Budget::new(job.plan.compared_bytes);
    let outcome = Outcome::default();
    let (file_in, files) = bounded(flush::WAITING_COUNT_MAX);
    let flusher = Flusher::new(file_in);
    let reports = Reports {
        how: job.how,
        reader: job.reader,
        problems: job.problems,
        progress: job.progress,
        failure: &failure,
        links: &links,
        cancel: job.cancel,
        outcome: &outcome,
        flusher: &flusher,
        plan: &job.plan,
        flight: &flight,
        comparing: &comparing,
    };
    thread::scope(|threads| {
        threads.spawn(move || flush::stage(&files));
        let _end = flusher.guard();
        let (work_in, work) = bounded::<Work>(1);
        let reports = &reports;
        threads.spawn(move || {
            for work in work {
                match work {
                    Work::Window(parts) => {
                        if let Err(error) = fetch(job.reader, parts, reports) {
                            reports.failure.raise(error);
                        }
                    }
                    // Dropping it is the answer.
                    Work::Tell(_done) => {}
                }
            }
        });
        let entries = Entries::new(job, reports, work_in);
        let mut walker = Walker { job, reports, entries };
        let root = DirectoryPlace::new(Arc::clone(job.target.root()), selection.root.clone(), None);
        walker.walk(Arc::clone(&root), selection);
        walker.entries.settle();
        if let Err(error) = links.finish() {
            reports.report(error);
        }
        root.release(reports);
    });
    outcome.flight_bytes_max.store(flight.most() as u64, Ordering::Relaxed);
    match failure.take() {
        Some(error) => Err(error),
        None => Ok(outcome),
    }
}

struct Walker<'a> {
    job: &'a Restore<'a>,
    reports: &'a Reports<'a>,
    entries: Entries<'a>,
}

/// A directory on the way down.
struct Level<'a> {
    /// Absent until something in a directory that is not selected itself is.
    place: Option<Arc<DirectoryPlace>>,
    entry: Option<Entry>,
    merge: Merge<'a>,
    /// Length of the path up to here.
    path_len: usize,
    /// The names that the snapshot has, where others are to be removed.
    expected: Option<Expected>,
    /// It could not be made, which was reported.
    is_given_up: bool,
}

impl<'a> Walker<'a> {
    /// Walks with a stack of its own: a tree may be deeper than a thread's stack allows.
    fn walk(&mut self, top: Arc<DirectoryPlace>, selection: Selection) {
        let Selection { trees, root, entries } = selection;
        let merge = if entries.is_empty() {
            Merge::new(self.job.reader, &trees)
        } else {
            Merge::of_entries(entries)
        };
        let expected = root.as_ref().and_then(|root| self.expected(root));
        if let Some(root) = &root
            && !top.dir.is_new()
        {
            self.note_partial(root);
        }
        let (place, entry) = (Some(top), None);
        let mut levels =
            vec![Level { place, entry, merge, path_len: 0, expected, is_given_up: false }];
        if let Err(error) = self.walk_down(&mut levels) {
            self.reports.failure.raise(error);
        }
        // From the deepest up, so that no chain of parents is dropped at once.
        while let Some(level) = levels.pop() {
            level.place.into_iter().for_each(|place| place.release(self.reports));
        }
    }

    fn walk_down(&mut self, levels: &mut Vec<Level<'a>>) -> Result<()> {
        let mut path: Vec<u8> = Vec::new();
        while let Some(level) = levels.last_mut() {
            self.job.cancel.check()?;
            if self.reports.failure.is_raised() {
                return Err(ending());
            }
            path.truncate(level.path_len);
            let merged = match level.merge.next() {
                Some(Ok(merged)) => merged,
                Some(Err(error)) => {
                    // What else is in it is not known.
                    level.expected = None;
                    self.report_directory(level, &path, error);
                    continue;
                }
                None => {
                    let level = levels.pop().expect("there is a last one");
                    if let Some(place) = level.place {
                        level.expected.into_iter().for_each(|names| place.expect(names));
                        place.release(self.reports);
                    }
                    continue;
                }
            };
            if let Some(expected) = &mut level.expected {
                expected.add(&merged.entry.name);
            }
            path.push(b'/');
            path.extend_from_slice(&merged.entry.name);
            let is_dir = merged.entry.kind == EntryKind::Directory;
            let selected = self.job.how.selects(&path, is_dir);
            if !(selected.itself || is_dir && selected.below) {
                continue;
            }
            let parent = if selected.itself || !is_dir {
                match self.place(levels) {
                    Some(place) => Some(place),
                    None => continue,
                }
            } else {
                None
            };
            if merged.hides_another {
                self.report_hidden(&path);
            }
            if is_dir {
                self.directory(levels, parent, merged, &path);
            } else if let Some(parent) = parent {
                self.entries.restore(&parent, merged.entry, merged.component)?;
                parent.release(self.reports);
            }
        }
        Ok(())
    }

    /// Goes down into a directory, which is made now if it is selected itself.
    fn directory(
        &mut self,
        levels: &mut Vec<Level<'a>>,
        parent: Option<Arc<DirectoryPlace>>,
        merged: Merged,
        path: &[u8],
    ) {
        let Merged { entry, trees, .. } = merged;
        if levels.len() > DEPTH_MAX {
            let path = crate::base::text::escape(path);
            let message =
                format!("could not restore {path}: it lies deeper than {DEPTH_MAX} directories");
            self.reports.report(Error::new(ErrorKind::Unsupported, message));
            return parent.into_iter().for_each(|parent| parent.release(self.reports));
        }
        let expected = self.expected(&entry);
        let merge = Merge::new(self.job.reader, &trees);
        let mut level = Level {
            place: None,
            entry: Some(entry),
            merge,
            path_len: path.len(),
            expected,
            is_given_up: false,
        };
        if let Some(parent) = parent {
            match self.make(&mut level, &parent) {
                Ok(()) => parent.release(self.reports),
                Err(error) => {
                    self.reports.report(error);
                    return parent.release(self.reports);
                }
            }
        }
        levels.push(level);
    }

    /// The place of the last level; makes those above that wait for it.
    fn place(&mut self, levels: &mut [Level<'a>]) -> Option<Arc<DirectoryPlace>> {
        let first = levels.iter().rposition(|level| level.place.is_some()).unwrap_or(0);
        let mut parent = levels[first].place.clone()?;
        for level in &mut levels[first + 1..] {
            let made = if level.is_given_up { None } else { Some(self.make(level, &parent)) };
            if let Some(Err(error)) = made {
                level.is_given_up = true;
                self.reports.report(error);
            }
            let place = level.place.clone();
            parent.release(self.reports);
            parent = place?;
        }
        Some(parent)
    }

    /// Makes the directory of a level.
    fn make(&self, level: &mut Level<'a>, parent: &Arc<DirectoryPlace>) -> Result<()> {
        let entry = level.entry.take().expect("a level is made once");
        let dir = self.make_dir(&parent.dir, &entry.name)?;
        if dir.is_new() {
            // Nothing is in it that could be removed.
            level.expected = None;
        } else {
            self.note_partial(&entry);
        }
        level.place = Some(DirectoryPlace::new(dir, Some(entry), Some(Arc::clone(parent))));
        Ok(())
    }

    fn make_dir(&self, parent: &Arc<TargetDir>, name: &[u8]) -> Result<Arc<TargetDir>> {
        if self.job.how.overwrite == Overwrite::Never
            && parent.look(name)?.is_some_and(|found| !found.is_dir())
        {
            return Err(left_alone(parent.path_of(name), "something that is no directory"));
        }
        if self.job.how.dry_run {
            parent.find_child_dir(name)
        } else {
            parent.create_child_dir(name)
        }
    }

    /// Where to gather the names of a directory, if others are to be removed from it: only where the
    /// snapshot has all that was there.
    fn expected(&self, entry: &Entry) -> Option<Expected> {
        (self.job.how.delete && !is_ancestor(entry) && !is_partial(entry)).then(Expected::default)
    }

    /// Notes that names in a directory stay which would have been removed.
    fn note_partial(&self, entry: &Entry) {
        if self.job.how.delete && !is_ancestor(entry) && is_partial(entry) {
            self.reports.outcome.partial_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn report_directory(&self, level: &Level<'_>, path: &[u8], error: Error) {
        let path = match &level.place {
            Some(place) => place.dir.path(),
            None => crate::base::text::escape(path),
        };
        let message = format!("could not restore all of {path}");
        let hint = error.hint.clone();
        let mut problem = Error::new(error.kind, message).because(error);
        problem.hint = hint;
        self.reports.report(problem);
    }

    fn report_hidden(&self, path: &[u8]) {
        let path = crate::base::text::escape(path);
        let message = format!("two components have {path}; that of the later one is restored");
        self.reports.problems.push(Error::new(ErrorKind::Exists, message));
    }
}

/// Whether a directory only leads to what was backed up, and holds more than the snapshot knows.
fn is_ancestor(entry: &Entry) -> bool {
    entry.mtime.is_none()
}

/// Whether names in a directory could not be read or were left out when it was backed up.
fn is_partial(entry: &Entry) -> bool {
    entry.flags.unwrap_or(0) & (flags::INCOMPLETE | flags::PARTIAL) != 0
}
