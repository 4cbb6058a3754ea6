//! The way back: walks a tree, makes directories, fetches files a window at a time.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Sender, bounded};

use super::backup::ending;
use super::failure::Failure;
use super::fetch::{Part, fetch};
use super::links::Links;
use super::place::{DirectoryPlace, FilePlace, Reports};
use crate::base::{Cancel, Error, Problems, Progress, Result};
use crate::format::entry::{Entry, EntryKind, TreeRef};
use crate::repo::list::for_each_chunk;
use crate::repo::reader::Reader;
use crate::repo::tree::Walk;
use crate::target::{Target, create_special, create_symlink};

/// Chunks in a window; each costs about 200 bytes until it is written.
const WINDOW_PART_COUNT: usize = 32_768;
/// Files of several chunks in a window, which stay open until the last one is written.
const WINDOW_OPEN_COUNT: usize = 384;

/// One restore into one target.
pub struct Restore<'a> {
    /// Where chunks come from.
    pub reader: &'a Reader<'a>,
    /// Where entries go.
    pub target: &'a Target,
    /// Where faults go.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Whether a person asked to stop.
    pub cancel: &'a Cancel,
}

/// What to restore.
#[derive(Debug)]
pub enum Selection {
    /// Everything in a directory, whose own metadata the target gets if its entry is given.
    Tree(Option<TreeRef>, Option<Box<Entry>>),
    /// A single entry that is no directory.
    One(Box<Entry>),
}

/// Restores `selection`. One entry that fails is a problem; the rest goes on.
///
/// # Errors
/// When the disk is full, the index fails, or a person asked to stop.
pub fn restore(job: &Restore<'_>, selection: Selection) -> Result<()> {
    let failure = Failure::default();
    let links = Links::default();
    let reports = Reports {
        problems: job.problems,
        progress: job.progress,
        failure: &failure,
        links: &links,
        cancel: job.cancel,
    };
    thread::scope(|threads| {
        let (window_in, windows) = bounded::<Vec<Part>>(1);
        let reports = &reports;
        threads.spawn(move || {
            for window in windows {
                if let Err(error) = fetch(job.reader, window, reports) {
                    reports.failure.raise(error);
                }
            }
        });
        let mut walker =
            Walker { job, reports, windows: window_in, window: Vec::new(), open_count: 0 };
        if let Err(error) = walker.start(selection) {
            failure.raise(error);
        }
        walker.flush();
    });
    links.finish(&reports);
    match failure.take() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Walker<'a> {
    job: &'a Restore<'a>,
    reports: &'a Reports<'a>,
    windows: Sender<Vec<Part>>,
    window: Vec<Part>,
    open_count: usize,
}

/// A directory on the way down.
struct Level<'a> {
    place: Arc<DirectoryPlace>,
    walk: Walk<'a>,
}

impl<'a> Walker<'a> {
    fn start(&mut self, selection: Selection) -> Result<()> {
        let root = Arc::clone(self.job.target.root());
        match selection {
            Selection::One(entry) => {
                let place = DirectoryPlace::new(root, None, None);
                self.other(&place, *entry)?;
                place.release(self.reports);
                Ok(())
            }
            Selection::Tree(tree, entry) => {
                let place = DirectoryPlace::new(root, entry.map(|entry| *entry), None);
                self.walk(place, tree)
            }
        }
    }

    /// Walks with a stack of its own: a tree may be deeper than a thread's stack allows.
    fn walk(&mut self, top: Arc<DirectoryPlace>, tree: Option<TreeRef>) -> Result<()> {
        let mut levels =
            vec![Level { place: top, walk: Walk::new(self.job.reader, tree.as_ref()) }];
        while let Some(level) = levels.last_mut() {
            self.job.cancel.check()?;
            if self.reports.failure.is_raised() {
                return Err(ending());
            }
            let entry = match level.walk.next() {
                Some(Ok(entry)) => entry,
                Some(Err(error)) => {
                    let path = level.place.dir.path();
                    let message = format!("could not restore all of {path}");
                    let hint = error.hint.clone();
                    let mut problem = Error::new(error.kind, message).because(error);
                    problem.hint = hint;
                    self.reports.report(problem);
                    continue;
                }
                None => {
                    let level = levels.pop().expect("there is a last one");
                    level.place.release(self.reports);
                    continue;
                }
            };
            if entry.kind != EntryKind::Directory {
                let place = Arc::clone(&level.place);
                self.other(&place, entry)?;
                place.release(self.reports);
                continue;
            }
            let parent = Arc::clone(&level.place);
            match parent.dir.create_child_dir(&entry.name) {
                Ok(dir) => {
                    let tree = entry.tree;
                    let place = DirectoryPlace::new(dir, Some(entry), Some(parent));
                    let walk = Walk::new(self.job.reader, tree.as_ref());
                    levels.push(Level { place, walk });
                }
                Err(error) => {
                    self.reports.report(error);
                    parent.release(self.reports);
                }
            }
        }
        Ok(())
    }

    fn other(&mut self, parent: &Arc<DirectoryPlace>, entry: Entry) -> Result<()> {
        if let Some(group) = entry.link
            && !self.reports.links.is_first(group)
        {
            self.reports.links.wait(group, Arc::clone(parent), entry.name);
            return Ok(());
        }
        if entry.kind == EntryKind::File {
            return self.file(parent, entry);
        }
        let made = match entry.kind {
            EntryKind::Symlink => create_symlink(&parent.dir, &entry.name, &entry),
            _ => create_special(&parent.dir, &entry.name, &entry),
        };
        match made {
            Ok(finished) => {
                self.reports.problems.extend(finished.problems);
                self.reports.progress.others_done.add(1);
                if let Some(group) = entry.link {
                    self.reports.links.created(group, finished.created);
                }
            }
            Err(error) => self.reports.report(error),
        }
        Ok(())
    }

    fn file(&mut self, parent: &Arc<DirectoryPlace>, mut entry: Entry) -> Result<()> {
        let list = entry.content.take();
        self.reports.progress.set_current(parent.dir.path_of(&entry.name).into_bytes());
        let file = FilePlace::new(Arc::clone(parent), entry);
        let mut content = 0;
        let mut part_count = 0;
        let reader = self.job.reader;
        let result = match &list {
            None => Ok(()),
            Some(list) => for_each_chunk(reader, list, &mut |piece| {
                self.window.push(Part { file: Arc::clone(&file), content, piece });
                content += piece.len;
                part_count += 1;
                self.flush_if_full();
                self.job.cancel.check()?;
                if self.reports.failure.is_raised() { Err(ending()) } else { Ok(()) }
            }),
        };
        if part_count > 1 {
            self.open_count += 1;
        }
        if let Err(error) = result
            && !self.reports.failure.is_raised()
        {
            let message = format!("could not restore all of {}", file.path());
            self.reports.report(Error::new(error.kind, message).because(error));
        }
        file.release(self.reports);
        self.flush_if_full();
        Ok(())
    }

    fn flush_if_full(&mut self) {
        if self.window.len() >= WINDOW_PART_COUNT || self.open_count >= WINDOW_OPEN_COUNT {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.open_count = 0;
        let window = std::mem::take(&mut self.window);
        if !window.is_empty() {
            self.windows.send(window).expect("windows are taken until the walk ends");
        }
    }
}
