//! Files that are being restored, each finished when the last part of it is done.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::flush::FLUSH_LEN;
use super::how::{Action, Reports};
use super::layout::Layout;
use super::links::LinkKey;
use super::place::DirectoryPlace;
use super::read_back::read_back;
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::Entry;
use crate::format::list::ChunkList;
use crate::target::{
    Created, FileReader, FileWriter, Found, all_zero, create_file, create_file_beside,
    open_file_in_place,
};

/// Zeros of this alignment in the file may become a hole: the blocks of most file systems.
const HOLE_ALIGNMENT: u64 = 4096;
/// Shortest run of zeros that becomes a hole on request.
const HOLE_LEN_MIN: u64 = 16 << 10;

/// A file that is being restored, by any number of threads.
///
/// What is there already stays until the new file is whole; what both have in common is taken from
/// there. A file of several chunks is written under a temporary name, so that a run that is killed
/// leaves the old one or the new one, and the next run goes on with what was written.
///
/// In place, what differs is written into the file that is there. It stays whatever becomes of the
/// run, and gets its time when all of it is there, so that no later run takes it for whole before.
pub struct FilePlace {
    pub(super) parent: Arc<DirectoryPlace>,
    pub(super) entry: Entry,
    pub(super) layout: Layout,
    link: Option<LinkKey>,
    found: Option<Found>,
    is_large: bool,
    /// What is there, as far as it can be read and is of use.
    old: OnceLock<FileReader>,
    writer: OnceLock<Option<FileWriter>>,
    creating: Mutex<()>,
    /// Content up to here is in the old file, and nothing was written yet.
    same_until: AtomicU64,
    /// It counts as the same unread.
    is_trusted: AtomicBool,
    /// The writer has all content of the old file.
    shares_old: AtomicBool,
    /// What is where nothing was written need not be zeros.
    is_dirty: AtomicBool,
    /// Some of it would have to be written, were this not a dry run.
    differs: AtomicBool,
    /// Errors of single writes are reported once.
    is_broken: AtomicBool,
    /// Parts that are lost must read as zeros up to the end.
    has_lost: AtomicBool,
    /// Ranges of the file that are lost, neighbors joined.
    lost: Mutex<Vec<Range<u64>>>,
    /// What is lost may be in the old file, in whatever shape.
    old_is_worth_more: AtomicBool,
    /// Bytes that were written since it was put on the disk.
    unflushed: AtomicU64,
}

impl FilePlace {
    /// A place for `entry` in `parent`, where `found` is now; nothing is created yet.
    pub fn new(
        parent: Arc<DirectoryPlace>,
        entry: Entry,
        link: Option<LinkKey>,
        found: Option<Found>,
    ) -> Self {
        let layout = Layout::new(&entry);
        let list = entry.content.as_ref();
        let is_large = list.is_some_and(|list| list.level > 0 || list.pieces.len() > 1);
        Self {
            parent,
            entry,
            layout,
            link,
            found,
            is_large,
            old: OnceLock::new(),
            writer: OnceLock::new(),
            creating: Mutex::new(()),
            same_until: AtomicU64::new(0),
            is_trusted: AtomicBool::new(false),
            shares_old: AtomicBool::new(false),
            is_dirty: AtomicBool::new(false),
            differs: AtomicBool::new(false),
            is_broken: AtomicBool::new(false),
            has_lost: AtomicBool::new(false),
            lost: Mutex::default(),
            old_is_worth_more: AtomicBool::new(false),
            unflushed: AtomicU64::new(0),
        }
    }

    /// The path for messages, escaped.
    pub fn path(&self) -> String {
        self.parent.dir.path_of(&self.entry.name)
    }

    /// How many descriptors it holds at most until it is finished.
    pub fn descriptor_count(&self) -> usize {
        if self.is_large { 1 + usize::from(self.old_may_help()) } else { 0 }
    }

    /// Takes it for the same as what is there, without reading that. Says whether that is possible.
    pub fn trust(&self, reports: &Reports<'_>) -> bool {
        let Some(old) = self.open_old().filter(|old| old.found().has_one_name()) else {
            return false;
        };
        self.keep_old(old);
        self.is_trusted.store(true, Ordering::Relaxed);
        self.note_same(self.content_len(), reports);
        true
    }

    /// Notes that so many bytes of the content need not be fetched.
    pub fn note_same(&self, len: u64, reports: &Reports<'_>) {
        reports.progress.bytes_done.add(len);
        reports.progress.bytes_skipped.add(len);
    }

    /// Whether something may be here that makes fetching needless.
    pub fn old_may_help(&self) -> bool {
        self.found.is_some_and(|found| found.is_file())
    }

    /// Whether a run that was killed may have left some of it.
    pub fn may_have_left_over(&self) -> bool {
        self.is_large && !self.parent.dir.is_new()
    }

    /// Opens what is there for a comparison.
    pub fn open_old(&self) -> Option<FileReader> {
        if !self.old_may_help() {
            return None;
        }
        // What cannot be read is of no help; it is replaced as a whole.
        self.parent.dir.open_file(&self.entry.name).ok()
    }

    /// What is there, if a comparison found it of use.
    pub fn old(&self) -> Option<&FileReader> {
        self.old.get()
    }

    /// Keeps what is there open, to take content from it.
    pub fn keep_old(&self, old: FileReader) {
        // Comparisons of one file come one after the other.
        drop(self.old.set(old));
    }

    /// Whether some of it has been written.
    pub fn is_begun(&self) -> bool {
        self.writer.get().is_some() || self.differs.load(Ordering::Relaxed)
    }

    /// Notes that the old file has all content up to `content`.
    pub fn same_until(&self, content: u64) {
        self.same_until.store(content, Ordering::Relaxed);
    }

    /// Notes that some of it has to be fetched.
    pub fn differs(&self) {
        self.differs.store(true, Ordering::Relaxed);
    }

    /// Takes a range of the content from the old file.
    pub fn take_from_old(&self, content: Range<u64>, reports: &Reports<'_>) {
        let Some(writer) = self.writer(reports) else { return };
        let Some(old) = self.old() else { return };
        if self.shares_old.load(Ordering::Relaxed) {
            return;
        }
        let copied = self.layout.ranges(content).try_for_each(|range| writer.copy_from(old, range));
        if let Err(error) = copied {
            self.break_with(error, reports);
        }
    }

    /// Writes the part of the content that starts at `content`. A chunk may reach over holes.
    pub fn write(&self, bytes: &[u8], content: u64, reports: &Reports<'_>) {
        let Some(writer) = self.writer(reports) else { return };
        let mut rest = bytes;
        for range in self.layout.ranges(content..content + bytes.len() as u64) {
            let (now, later) = rest.split_at((range.end - range.start) as usize);
            let written = if reports.how.sparse {
                self.write_sparse(writer, now, range.start)
            } else {
                writer.write_at(now, range.start)
            };
            if let Err(error) = written {
                self.break_with(error, reports);
                return;
            }
            rest = later;
        }
        reports.progress.bytes_done.add(bytes.len() as u64);
        self.flush_if_much(writer, bytes.len() as u64, reports);
    }

    fn flush_if_much(&self, writer: &FileWriter, written: u64, reports: &Reports<'_>) {
        if self.is_large
            && self.unflushed.fetch_add(written, Ordering::Relaxed) + written >= FLUSH_LEN
            && let Some(file) = writer.duplicate()
        {
            self.unflushed.store(0, Ordering::Relaxed);
            reports.flusher.hand_over(file);
        }
    }

    /// Leaves out long runs of zeros.
    fn write_sparse(&self, writer: &FileWriter, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        for run in zero_runs(bytes, offset) {
            writer.write_at(&bytes[done..run.start], offset + done as u64)?;
            if self.is_dirty.load(Ordering::Relaxed) {
                writer.clear(offset + run.start as u64..offset + run.end as u64)?;
            }
            done = run.end;
        }
        writer.write_at(&bytes[done..], offset + done as u64)
    }

    /// Gives up a range of the content, and says so.
    pub fn lose(&self, content: Range<u64>, cause: &Error, reports: &Reports<'_>) {
        self.has_lost.store(true, Ordering::Relaxed);
        let ranges: Vec<_> = self.layout.ranges(content).collect();
        let first = ranges.first().map_or(0, |range| range.start);
        let last = ranges.last().map_or(0, |range| range.end.saturating_sub(1));
        // An earlier run may have left zeros in the same places.
        let is_zero = |range: &Range<u64>| self.old().is_some_and(|old| old.is_zero(range.clone()));
        let old_has_zeros = ranges.iter().all(is_zero);
        self.note_lost(ranges);
        let stays = self.found.is_some() && !old_has_zeros;
        if stays {
            self.old_is_worth_more.store(true, Ordering::Relaxed);
        }
        let what = if cause.kind == ErrorKind::Access { "cannot be read" } else { "are lost" };
        let then = if stays { "what is there stays" } else { "zeros stand in their place" };
        let path = self.path();
        let message = format!("{path}: bytes {first} to {last} {what}, {then}: {cause}");
        let hint = if stays {
            "Restore it to another directory to get what is left of it, or from another snapshot."
        } else {
            "Restore this file from another snapshot, or back up its source again."
        };
        reports.problems.push(Error::new(cause.kind, message).hint(hint));
    }

    fn note_lost(&self, ranges: Vec<Range<u64>>) {
        let mut lost = self.lost.lock().expect("no thread panics while it holds the lock");
        for range in ranges {
            match lost.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => lost.push(range),
            }
        }
    }

    /// Gives a hold back; the last one finishes the file.
    pub fn release(self: Arc<Self>, reports: &Reports<'_>) {
        let Some(place) = Arc::into_inner(self) else { return };
        let (parent, link) = (Arc::clone(&place.parent), place.link);
        let created = place.finish(reports);
        if let Some(key) = link {
            reports.links.made(key, created);
        }
        parent.release(reports);
    }

    fn finish(mut self, reports: &Reports<'_>) -> Option<Created> {
        if reports.failure.is_raised() {
            // A full disk needs the space more than the next run needs what was written.
            if let Some(writer) = self.writer.take().flatten()
                && !reports.failure.is_full()
            {
                writer.leave();
            }
            return None;
        }
        // One that is not finished is removed, and what it was to replace stays.
        let is_whole = !self.old_is_worth_more.load(Ordering::Relaxed);
        if self.is_broken.load(Ordering::Relaxed) || !(is_whole || self.is_in_place()) {
            return None;
        }
        if self.is_in_place() && self.has_lost.load(Ordering::Relaxed) {
            self.entry.mtime = None;
        }
        let is_kept = self.is_kept();
        let created = match self.conclude(is_kept, reports) {
            Ok(created) => created,
            Err(error) => {
                self.break_with(error, reports);
                return None;
            }
        };
        if self.is_broken.load(Ordering::Relaxed) {
            return None;
        }
        let action = match self.found {
            None => Action::Restored,
            Some(_) if is_kept => Action::Unchanged,
            Some(_) => Action::Updated,
        };
        reports.progress.files_done.add(1);
        reports.progress.files_skipped.add(u64::from(is_kept));
        let hole_bytes = self.entry.size.unwrap_or(0).saturating_sub(self.content_len());
        reports.progress.bytes_done.add(hole_bytes);
        reports.progress.bytes_skipped.add(if is_kept { hole_bytes } else { 0 });
        let path = || self.parent.dir.path_below(&self.entry.name);
        reports.tell(action, path, self.entry.size.unwrap_or(0));
        if let Some(created) = &created
            && reports.how.verify
            && !self.has_lost.load(Ordering::Relaxed)
        {
            read_back(&self, created, reports);
        }
        created
    }

    /// Whether what is there is already what is wanted, but for its metadata. A file with another
    /// name is not: that name may lie outside, and its metadata is nobody's business here.
    fn is_kept(&self) -> bool {
        if self.is_begun() || self.has_lost.load(Ordering::Relaxed) {
            return false;
        }
        let Some(found) = self.found.filter(|found| found.is_file() && found.has_one_name()) else {
            return false;
        };
        if Some(found.size()) != self.entry.size {
            return false;
        }
        if self.old().is_none()
            && let Some(old) = self.open_old()
        {
            self.keep_old(old);
        }
        let Some(old) = self.old() else { return false };
        if self.is_trusted.load(Ordering::Relaxed) {
            return old.found().has_one_name();
        }
        let mut holes = self.entry.holes.iter().flatten();
        self.same_until.load(Ordering::Relaxed) == self.content_len()
            && old.found().has_one_name()
            && old.found().size() == found.size()
            && holes.all(|hole| old.is_zero(hole.offset..hole.offset + hole.len))
            && old.is_as_before()
    }

    /// Brings the file on disk to its end; nothing comes of it in a dry run.
    fn conclude(&mut self, is_kept: bool, reports: &Reports<'_>) -> Result<Option<Created>> {
        if reports.how.dry_run {
            return Ok(None);
        }
        let finished = if let Some(old) = self.old.get().filter(|_| is_kept) {
            old.keep(&self.entry)
        } else {
            // A file without content, or of which all is lost or was there, is begun only now.
            if self.writer(reports).is_none() {
                return Ok(None);
            }
            if !self.is_in_place() && self.old().is_some_and(|old| !old.is_as_before()) {
                let message = format!("could not restore {}: somebody else writes it", self.path());
                return Err(Error::new(ErrorKind::Busy, message));
            }
            let Some(writer) = self.writer.take().flatten() else { return Ok(None) };
            let is_dirty = self.is_dirty.load(Ordering::Relaxed) && !writer.is_in_place();
            if self.has_lost.load(Ordering::Relaxed) || reports.how.sparse {
                writer.set_len(self.entry.size.unwrap_or(0))?;
            }
            if is_dirty {
                let lost = self.lost.get_mut().expect("no thread panics while it holds the lock");
                lost.drain(..).try_for_each(|range| writer.clear(range))?;
            }
            writer.finish(&self.entry)?
        };
        reports.problems.extend(finished.problems);
        Ok(Some(finished.created))
    }

    fn content_len(&self) -> u64 {
        let list = self.entry.content.as_ref();
        list.and_then(ChunkList::content_len).unwrap_or(0)
    }

    /// The file being written; begun when it is needed first.
    pub fn writer(&self, reports: &Reports<'_>) -> Option<&FileWriter> {
        if let Some(writer) = self.writer.get() {
            return writer.as_ref();
        }
        let _creating = self.creating.lock().expect("no thread panics while it holds the lock");
        let create = || match self.create(reports) {
            Ok(writer) => Some(writer),
            Err(error) => {
                self.break_with(error, reports);
                None
            }
        };
        self.writer.get_or_init(create).as_ref()
    }

    /// Whether it is being written in place.
    fn is_in_place(&self) -> bool {
        self.writer.get().is_some_and(|writer| writer.as_ref().is_some_and(FileWriter::is_in_place))
    }

    /// The file that is there, if it is to be written and can be.
    fn open_in_place(&self, reports: &Reports<'_>) -> Option<FileWriter> {
        // To replace a small one takes no space, and leaves the old or the new one in any case.
        let is_fit = |found: &Found| self.is_large && found.is_file() && found.has_one_name();
        let found = self.found.filter(|found| reports.how.in_place && is_fit(found))?;
        // What was compared must be what is written.
        let is_compared =
            |old: &FileReader| old.found().identity() == found.identity() && old.is_as_before();
        if !self.old().is_none_or(is_compared) {
            return None;
        }
        // Otherwise it gives way to a new one, as without the option.
        open_file_in_place(&self.parent.dir, &self.entry.name, &found, &self.entry).ok()
    }

    fn create(&self, reports: &Reports<'_>) -> Result<FileWriter> {
        if let Some(writer) = self.open_in_place(reports) {
            writer.set_len(self.entry.size.unwrap_or(0))?;
            for hole in self.entry.holes.iter().flatten() {
                writer.clear(hole.offset..hole.offset + hole.len)?;
            }
            self.is_dirty.store(true, Ordering::Relaxed);
            self.shares_old.store(true, Ordering::Relaxed);
            return Ok(writer);
        }
        let is_beside = self.is_large || self.found.is_some();
        let create = if is_beside { create_file_beside } else { create_file };
        let writer = create(&self.parent.dir, &self.entry.name)?;
        let old = self.old();
        let shares = old.is_some_and(|old| !writer.is_left_over() && writer.clone_all(old));
        let is_dirty = shares || writer.is_left_over();
        if is_dirty || self.entry.holes.is_some() {
            writer.set_len(self.entry.size.unwrap_or(0))?;
        }
        if is_dirty {
            for hole in self.entry.holes.iter().flatten() {
                writer.clear(hole.offset..hole.offset + hole.len)?;
            }
        }
        self.is_dirty.store(is_dirty, Ordering::Relaxed);
        self.shares_old.store(shares, Ordering::Relaxed);
        if let Some(old) = old.filter(|_| !shares) {
            let content = 0..self.same_until.load(Ordering::Relaxed);
            for range in self.layout.ranges(content) {
                writer.copy_from(old, range)?;
            }
        }
        Ok(writer)
    }

    fn break_with(&self, error: Error, reports: &Reports<'_>) {
        if !self.is_broken.swap(true, Ordering::Relaxed) {
            reports.report(error);
        }
    }
}

/// The runs of zeros in `bytes`, which lie at `offset` of a file, that are worth a hole.
fn zero_runs(bytes: &[u8], offset: u64) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let head = (offset.next_multiple_of(HOLE_ALIGNMENT) - offset) as usize;
    let mut at = head;
    while at + HOLE_ALIGNMENT as usize <= bytes.len() {
        let next = at + HOLE_ALIGNMENT as usize;
        if all_zero(&bytes[at..next]) {
            match runs.last_mut() {
                Some(last) if last.end == at => last.end = next,
                _ => runs.push(at..next),
            }
        }
        at = next;
    }
    runs.retain(|run| run.len() as u64 >= HOLE_LEN_MIN);
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_aligned_runs_of_zeros_become_holes() {
        let mut bytes = vec![0; 100_000];
        assert_eq!(zero_runs(&bytes, 8192), std::slice::from_ref(&(0..98_304)));
        bytes[40_960] = 1;
        let apart: [Range<usize>; 2] = [0..40_960, 45_056..98_304];
        assert_eq!(zero_runs(&bytes, 0), apart);
        let shifted: [Range<usize>; 2] = [4095..40_959, 40_959 + 4096..98_303];
        assert_eq!(zero_runs(&bytes, 1), shifted);
        assert!(zero_runs(&[0; 12_288], 0).is_empty());
        assert!(zero_runs(&[1; 65_536], 0).is_empty());
    }
}
