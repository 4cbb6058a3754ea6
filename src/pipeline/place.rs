//! Entries that are being restored, each finished when the last part of it is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::failure::Failure;
use super::links::Links;
use crate::base::{Cancel, Error, ErrorKind, Problems, Progress, Result};
use crate::format::entry::Entry;
use crate::target::{FileWriter, TargetDir, create_file};

/// What all places report to.
pub struct Reports<'a> {
    /// Where faults go.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Why it ends early.
    pub failure: &'a Failure,
    /// Hard links that wait for their first name.
    pub links: &'a Links,
    /// Whether a person asked to stop.
    pub cancel: &'a Cancel,
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
}

/// A directory that is being filled. It gets its metadata when nobody holds it any more, since
/// every name that is made in it changes its times.
#[derive(Debug)]
pub struct DirectoryPlace {
    /// The directory.
    pub dir: Arc<TargetDir>,
    entry: Option<Entry>,
    parent: Option<Arc<DirectoryPlace>>,
}

impl DirectoryPlace {
    /// A place for `dir`, which will get the metadata of `entry`.
    pub fn new(
        dir: Arc<TargetDir>,
        entry: Option<Entry>,
        parent: Option<Arc<DirectoryPlace>>,
    ) -> Arc<Self> {
        Arc::new(Self { dir, entry, parent })
    }

    /// Gives a hold back; the last one finishes the directory, then lets go of its parent.
    pub fn release(self: Arc<Self>, reports: &Reports<'_>) {
        let mut next = Some(self);
        while let Some(place) = next.take().and_then(Arc::into_inner) {
            if let Some(entry) = &place.entry {
                match place.dir.finish(entry) {
                    Ok(problems) => reports.problems.extend(problems),
                    Err(error) => reports.report(error),
                }
                reports.progress.directories_done.add(1);
            }
            next = place.parent;
        }
    }
}

/// A run of content between two holes.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// First byte within the content.
    content: u64,
    /// First byte within the file.
    offset: u64,
    /// Number of bytes.
    len: u64,
}

/// A file that is being written, by any number of threads.
pub struct FilePlace {
    parent: Arc<DirectoryPlace>,
    entry: Entry,
    /// Where content lies in the file, for a file with holes.
    runs: Vec<Run>,
    writer: OnceLock<Option<FileWriter>>,
    /// Errors of single writes are reported once.
    is_broken: AtomicBool,
    /// Parts that are lost must read as zeros up to the end.
    has_lost: AtomicBool,
    creating: Mutex<()>,
}

impl FilePlace {
    /// A place for `entry` in `parent`; nothing is created yet.
    pub fn new(parent: Arc<DirectoryPlace>, entry: Entry) -> Arc<Self> {
        let runs = runs_of(&entry);
        Arc::new(Self {
            parent,
            entry,
            runs,
            writer: OnceLock::new(),
            is_broken: AtomicBool::new(false),
            has_lost: AtomicBool::new(false),
            creating: Mutex::new(()),
        })
    }

    /// The path for messages, escaped.
    pub fn path(&self) -> String {
        self.parent.dir.path_of(&self.entry.name)
    }

    /// Writes the part of the content that starts at `content`. A chunk may reach over holes.
    pub fn write(&self, bytes: &[u8], content: u64, reports: &Reports<'_>) {
        let Some(writer) = self.writer(reports) else { return };
        let mut done = 0;
        while done < bytes.len() {
            let at = content + done as u64;
            let rest = &bytes[done..];
            let (offset, room) = self.place_of(at);
            let len = usize::try_from(room).unwrap_or(usize::MAX).min(rest.len());
            if let Err(error) = writer.write_at(&rest[..len], offset) {
                self.break_with(error, reports);
                return;
            }
            done += len;
        }
        reports.progress.bytes_done.add(bytes.len() as u64);
    }

    /// Where a byte of the content lies in the file, with the number of bytes before the next hole.
    pub fn place_of(&self, content: u64) -> (u64, u64) {
        let after = self.runs.partition_point(|run| run.content <= content);
        match after.checked_sub(1).map(|index| self.runs[index]) {
            Some(run) if content < run.content + run.len => {
                let inside = content - run.content;
                (run.offset + inside, run.len - inside)
            }
            _ => (content, u64::MAX),
        }
    }

    /// Notes that a part will never be written.
    pub fn lose_part(&self) {
        self.has_lost.store(true, Ordering::Relaxed);
    }

    /// Gives a hold back; the last one finishes the file.
    pub fn release(self: Arc<Self>, reports: &Reports<'_>) {
        let Some(place) = Arc::into_inner(self) else { return };
        // Also a file without content, or of which all is lost, is created.
        if !reports.failure.is_raised() {
            place.writer(reports);
        }
        let is_whole = !place.is_broken.load(Ordering::Relaxed) && !reports.failure.is_raised();
        // One that is not finished is removed, and what it was to replace stays.
        if let Some(writer) = place.writer.into_inner().flatten()
            && is_whole
        {
            let len = place.entry.size.unwrap_or(0);
            let lost = place.has_lost.into_inner();
            let sized = if lost { writer.set_len(len) } else { Ok(()) };
            match sized.and_then(|()| writer.finish(&place.entry)) {
                Ok(finished) => {
                    reports.problems.extend(finished.problems);
                    reports.progress.files_done.add(1);
                    if let Some(group) = place.entry.link {
                        reports.links.created(group, finished.created);
                    }
                }
                Err(error) => reports.report(error),
            }
        }
        place.parent.release(reports);
    }

    fn writer(&self, reports: &Reports<'_>) -> Option<&FileWriter> {
        if let Some(writer) = self.writer.get() {
            return writer.as_ref();
        }
        let _creating = self.creating.lock().expect("no thread panics while it holds the lock");
        let create = || match self.create() {
            Ok(writer) => Some(writer),
            Err(error) => {
                reports.report(error);
                None
            }
        };
        self.writer.get_or_init(create).as_ref()
    }

    fn create(&self) -> Result<FileWriter> {
        let writer = create_file(&self.parent.dir, &self.entry.name)?;
        if self.entry.holes.is_some() {
            writer.set_len(self.entry.size.unwrap_or(0))?;
        }
        Ok(writer)
    }

    fn break_with(&self, error: Error, reports: &Reports<'_>) {
        if !self.is_broken.swap(true, Ordering::Relaxed) {
            reports.report(error);
        }
    }
}

fn runs_of(entry: &Entry) -> Vec<Run> {
    let Some(holes) = &entry.holes else { return Vec::new() };
    let size = entry.size.unwrap_or(0);
    let ends = holes.iter().map(|hole| hole.offset).chain([size]);
    let starts = [0].into_iter().chain(holes.iter().map(|hole| hole.offset + hole.len));
    let mut content = 0;
    starts
        .zip(ends)
        .filter(|(start, end)| start < end)
        .map(|(offset, end)| {
            let run = Run { content, offset, len: end - offset };
            content += run.len;
            run
        })
        .collect()
}
