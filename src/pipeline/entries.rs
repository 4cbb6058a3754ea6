//! Restores what is no directory, a window of files at a time.

use std::sync::Arc;

use crossbeam_channel::{Sender, bounded};

use super::backup::ending;
use super::fetch::Part;
use super::file_place::FilePlace;
use super::how::{Action, Overwrite, Reports, left_alone};
use super::links::{LinkKey, Turn};
use super::merge::ComponentNo;
use super::place::DirectoryPlace;
use super::restore::Restore;
use crate::base::size::human;
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::{Entry, EntryKind, Range};
use crate::repo::list::{Ranged, for_each_range};
use crate::target::{
    Created, Found, check_special, create_hard_link, create_special, create_symlink,
};

/// Chunks in a window: more are in no better order.
const WINDOW_PART_COUNT: usize = 32_768;
/// What a chunk takes in memory until it is written.
const PART_COST: usize = 200;
/// Descriptors in a window: files of several chunks stay open until the last one is written.
const WINDOW_OPEN_COUNT: usize = 384;
/// Names that wait for the first name of their file, with their entries.
const WAITING_COUNT_MAX: usize = 4096;

/// What is handed over.
pub enum Work {
    /// Parts of files to fetch.
    Window(Vec<Part>),
    /// Tells, by being dropped, that everything before is done.
    Tell(Sender<()>),
}

/// Gathers files until there are enough to fetch, and makes everything else at once.
pub struct Entries<'a> {
    job: &'a Restore<'a>,
    reports: &'a Reports<'a>,
    work: Sender<Work>,
    window: Vec<Part>,
    /// What the window takes, with the files in it.
    window_bytes: usize,
    open_count: usize,
    waiting: Vec<Waiting>,
    symlinks: Vec<Waiting>,
    /// What both of these take.
    waiting_bytes: usize,
    is_settling: bool,
}

/// A further name of a file whose first one is in flight, or a symbolic link.
struct Waiting {
    parent: Arc<DirectoryPlace>,
    entry: Entry,
    component: ComponentNo,
}

impl<'a> Entries<'a> {
    /// Hands over to `work`.
    pub fn new(job: &'a Restore<'a>, reports: &'a Reports<'a>, work: Sender<Work>) -> Self {
        Self {
            job,
            reports,
            work,
            window: Vec::new(),
            window_bytes: 0,
            open_count: 0,
            waiting: Vec::new(),
            symlinks: Vec::new(),
            waiting_bytes: 0,
            is_settling: false,
        }
    }

    /// Restores one entry, or sees to it that it is restored.
    ///
    /// # Errors
    /// When the run has to end.
    pub fn restore(
        &mut self,
        parent: &Arc<DirectoryPlace>,
        entry: Entry,
        component: ComponentNo,
    ) -> Result<()> {
        if self.job.how.select.is_some() && !self.is_settling {
            self.reports.progress.files_total.add(u64::from(entry.kind == EntryKind::File));
            self.reports.progress.bytes_total.add(entry.size.unwrap_or(0));
        }
        let found = match parent.dir.look(&entry.name) {
            Ok(found) => found,
            Err(error) => {
                self.reports.report(error);
                return Ok(());
            }
        };
        if found.is_some_and(|found| found.is_dir()) && self.job.how.overwrite == Overwrite::Never {
            self.reports.report(left_alone(parent.dir.path_of(&entry.name), "a directory"));
            return Ok(());
        }
        let found = found.filter(|found| !found.is_dir());
        if found.is_some_and(|found| self.job.how.overwrite.leaves(&found, &entry)) {
            self.leave(parent, &entry);
            return Ok(());
        }
        if entry.kind == EntryKind::Symlink && !self.is_settling {
            // Last, so that while files are written no name of this snapshot leads anywhere else.
            self.let_wait(parent, entry, component);
            return Ok(());
        }
        let link = entry.link.map(|group| (component, group));
        if let Some(key) = link {
            match self.reports.links.next(key) {
                Turn::First => {}
                Turn::Link(first) => {
                    self.link(parent, &entry, &first, found);
                    return Ok(());
                }
                Turn::Wait => {
                    self.let_wait(parent, entry, component);
                    return Ok(());
                }
            }
        }
        if entry.kind == EntryKind::File {
            return self.file(parent, entry, link, found);
        }
        self.special(parent, &entry, link, found);
        Ok(())
    }

    /// Keeps a name for later.
    fn let_wait(&mut self, parent: &Arc<DirectoryPlace>, entry: Entry, component: ComponentNo) {
        self.waiting_bytes += size_of::<Waiting>() + cost(&entry);
        let list = match entry.kind {
            EntryKind::Symlink if !self.is_settling => &mut self.symlinks,
            _ => &mut self.waiting,
        };
        list.push(Waiting { parent: Arc::clone(parent), entry, component });
        let is_full = self.waiting_bytes >= self.reports.plan.waiting_bytes;
        if is_full || self.waiting.len() >= WAITING_COUNT_MAX {
            self.settle();
        }
    }

    /// Lets the next name of a file be its first.
    fn give_up(&self, link: Option<LinkKey>) {
        if let Some(key) = link {
            self.reports.links.made(key, None);
        }
    }

    /// Leaves alone what is there.
    fn leave(&self, parent: &DirectoryPlace, entry: &Entry) {
        let progress = self.reports.progress;
        let size = entry.size.unwrap_or(0);
        if entry.kind == EntryKind::File {
            progress.files_done.add(1);
            progress.files_skipped.add(1);
            progress.bytes_done.add(size);
            progress.bytes_skipped.add(size);
        } else {
            progress.others_done.add(1);
        }
        self.reports.tell(Action::Unchanged, || parent.dir.path_below(&entry.name), size);
    }

    /// Makes a further name of a file.
    fn link(&self, parent: &DirectoryPlace, entry: &Entry, first: &Created, found: Option<Found>) {
        match create_hard_link(first, &parent.dir, &entry.name) {
            Ok(()) => {
                let progress = self.reports.progress;
                progress.files_done.add(1);
                // A link takes none of the bytes that were expected of it, and the share that is
                // done shall reach the whole.
                progress.bytes_total.subtract(entry.size.unwrap_or(0));
                let path = || parent.dir.path_below(&entry.name);
                self.reports.tell(action_over(found), path, 0);
            }
            Err(error) => self.reports.report(error),
        }
    }

    fn special(
        &self,
        parent: &DirectoryPlace,
        entry: &Entry,
        link: Option<LinkKey>,
        found: Option<Found>,
    ) {
        let allowed = check_special(&parent.dir, &entry.name, entry);
        if allowed.is_err() && link.is_none() && found.is_some_and(|it| it.is_device_of(entry)) {
            self.reports.progress.others_done.add(1);
            let path = || parent.dir.path_below(&entry.name);
            return self.reports.tell(Action::Unchanged, path, 0);
        }
        let made = if self.job.how.dry_run {
            allowed.map(|()| None)
        } else if entry.kind == EntryKind::Symlink {
            create_symlink(&parent.dir, &entry.name, entry).map(Some)
        } else {
            create_special(&parent.dir, &entry.name, entry).map(Some)
        };
        match made {
            Ok(finished) => {
                let created = finished.map(|finished| {
                    self.reports.problems.extend(finished.problems);
                    finished.created
                });
                self.reports.progress.others_done.add(1);
                self.reports.tell(action_over(found), || parent.dir.path_below(&entry.name), 0);
                if let Some(key) = link {
                    self.reports.links.made(key, created);
                }
            }
            Err(error) => {
                self.reports.report(error);
                self.give_up(link);
            }
        }
    }

    fn file(
        &mut self,
        parent: &Arc<DirectoryPlace>,
        entry: Entry,
        link: Option<LinkKey>,
        found: Option<Found>,
    ) -> Result<()> {
        self.reports.progress.set_current(parent.dir.path_of(&entry.name).into_bytes());
        let is_trusted = found.is_some_and(|found| self.job.how.overwrite.trusts(&found, &entry));
        let list = entry.content.clone();
        let file = Arc::new(FilePlace::new(Arc::clone(parent), entry, link, found));
        if is_trusted && file.trust(self.reports) {
            file.release(self.reports);
            return Ok(());
        }
        if let Some(lost) = &file.entry.lost {
            self.reports.report(zeros_instead(&parent.dir.path_of(&file.entry.name), lost));
        }
        self.open_count += file.descriptor_count();
        self.window_bytes += size_of::<FilePlace>() + cost(&file.entry);
        let mut content = 0;
        let result = match &list {
            None => Ok(()),
            Some(list) => for_each_range(self.job.reader, list, &mut |range| {
                match range {
                    Ranged::Chunk(piece) => {
                        self.window.push(Part { file: Arc::clone(&file), content, piece });
                        self.window_bytes += PART_COST;
                        content += piece.len;
                    }
                    Ranged::Lost(len, error) => {
                        file.lose(content..content + len, &error, self.reports);
                        content += len;
                    }
                }
                self.flush_if_full();
                self.job.cancel.check()?;
                if self.reports.failure.is_raised() { Err(ending()) } else { Ok(()) }
            }),
        };
        if let Err(error) = result {
            self.reports.failure.raise(error);
        }
        file.release(self.reports);
        self.flush_if_full();
        Ok(())
    }

    /// Deals with the names that wait, round by round: where a first name failed, the next one is
    /// restored from content. Symbolic links come after all others.
    pub fn settle(&mut self) {
        if self.is_settling {
            return;
        }
        self.is_settling = true;
        self.waiting_bytes = 0;
        self.wait();
        while !self.waiting.is_empty() || !self.symlinks.is_empty() {
            let next = match self.waiting.is_empty() {
                true => &mut self.symlinks,
                false => &mut self.waiting,
            };
            for Waiting { parent, entry, component } in std::mem::take(next) {
                // Not worth a problem each when the run failed.
                if !self.reports.failure.is_raised()
                    && let Err(error) = self.restore(&parent, entry, component)
                {
                    self.reports.failure.raise(error);
                }
                parent.release(self.reports);
            }
            self.wait();
        }
        self.is_settling = false;
    }

    /// Waits until everything that was handed over is done.
    fn wait(&mut self) {
        self.flush();
        let (tell, told) = bounded::<()>(0);
        self.work.send(Work::Tell(tell)).expect("work is taken until the walk ends");
        // It ends with the other end.
        told.recv().ok();
    }

    fn flush_if_full(&mut self) {
        let is_full = self.window.len() >= WINDOW_PART_COUNT
            || self.window_bytes >= self.reports.plan.window_bytes;
        if is_full || self.open_count >= WINDOW_OPEN_COUNT {
            self.flush();
        }
    }

    fn flush(&mut self) {
        (self.open_count, self.window_bytes) = (0, 0);
        let window = std::mem::take(&mut self.window);
        if !window.is_empty() {
            self.work.send(Work::Window(window)).expect("work is taken until the walk ends");
        }
    }
}

/// Says of a file that a repair found some of it lost, and put zeros there.
fn zeros_instead(path: &str, lost: &[Range]) -> Error {
    let bytes = human(lost.iter().map(|range| range.len).sum());
    let message = format!(
        "{path}: {bytes} were lost when the snapshot was repaired, zeros stand in their place"
    );
    Error::new(ErrorKind::Damaged, message)
        .hint("`parados ls --json` says where. Another snapshot may have it whole.")
}

/// Bytes that an entry takes beside its fixed part, about.
fn cost(entry: &Entry) -> usize {
    let optional = [&entry.target, &entry.user, &entry.group];
    let optional: usize = optional.into_iter().flatten().map(Vec::len).sum();
    let xattrs = entry.xattrs.iter().flatten();
    let xattrs: usize = xattrs.map(|x| size_of_val(x) + x.name.len() + x.value.len()).sum();
    let pieces = entry.content.as_ref().map_or(0, |list| size_of_val(&list.pieces[..]));
    // Once more where the content lies between them.
    let holes = 2 * entry.holes.as_ref().map_or(0, |holes| size_of_val(&holes[..]));
    entry.name.len() + optional + xattrs + pieces + holes
}

/// What replacing `found` is called.
fn action_over(found: Option<Found>) -> Action {
    if found.is_some() { Action::Updated } else { Action::Restored }
}
