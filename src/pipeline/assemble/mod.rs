//! Puts directories together again: asks for scans and reads, builds trees from the answers.
//!
//! Directories are walked depth first, a window of names at a time, so that what is open is
//! bounded by the depth of the tree and not by the number of its entries.

mod so_far;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use super::backup::{Saving, ending};
use super::failure::Failure;
use super::flow::{
    DirectoryNo, Event, FileToRead, Finished, Place, ReadJob, ScanReply, ScanRequest, Scanned,
    Window,
};
use super::read::SMALL_LEN_MAX;
use super::rows::{self, Row, RowChild};
use super::scan::Scanner;
use super::seal::Sealer;
use crate::base::{Cancel, Error, ErrorKind, Progress, Result};
use crate::format::entry::{Entry, EntryKind, TreeRef, flags};
use crate::repo::tree::{EncodedEntry, TreeBuilder};
use crate::source::{Branch, Directory, Listing, Roots};

/// Scans that are under way at a time.
const SCAN_COUNT_MAX: usize = 6;
/// Read jobs that are under way at a time; each holds open directories.
const READ_COUNT_MAX: usize = 12;
/// Small files in one job.
const JOB_FILE_COUNT_MAX: usize = 256;
/// Directories that one job keeps open.
const JOB_DIRECTORY_COUNT_MAX: usize = 32;
/// Time after which files that were read are noted although others of their window are not: what a killed
/// run may have to read again at most, beside the files it was at.
const NOTE_INTERVAL: Duration = Duration::from_secs(5);
/// New bytes that are worth saving before it is time: most of a part of a large file, of which the last MiB
/// are still on their way. Where little is new, saving would cost more than what it saves.
const SAVED_BYTES: u64 = 512 << 20;
/// Rows that are written to the local cache at a time.
const ROW_BATCH_COUNT: usize = 256;
/// Bytes of these; the rows of one huge directory take 200 KiB each.
const ROW_BATCH_BYTES: usize = 4 << 20;

/// A directory that is being assembled.
struct Assembly<'a> {
    parent: Option<Place>,
    open: Option<Arc<Directory>>,
    entry: Box<Entry>,
    listing: Option<Arc<Listing>>,
    next: usize,
    builder: TreeBuilder<'a>,
    window: Vec<Slot>,
    waiting_count: usize,
    /// Key of the row of the window, and whether the row of the last run says the same.
    row: Option<([u8; 32], bool)>,
}

enum Slot {
    /// With what an interrupted run has read of it, which this one may not come to.
    Waiting(Option<Box<RowChild>>),
    /// Nothing stands here, and nothing should.
    Absent,
    /// What should stand here could not be read, which was reported.
    Lost,
    Directory(EncodedEntry),
    Other(Finished),
    /// The first part of a file that is waited for.
    Part(Finished),
}

/// Builds the tree of one component.
pub struct Assembler<'a> {
    scanner: &'a Scanner<'a>,
    sealer: &'a Sealer<'a>,
    progress: &'a Progress,
    failure: &'a Failure,
    cancel: &'a Cancel,
    scans: Sender<ScanRequest>,
    jobs: Sender<ReadJob>,
    events: Receiver<Event>,
    helper: Option<&'a dyn Fn()>,
    next_epoch: u64,

    directories: HashMap<DirectoryNo, Assembly<'a>>,
    next_no: DirectoryNo,
    to_scan: Vec<ScanRequest>,
    scan_count: usize,
    job: ReadJob,
    job_bytes: u64,
    /// Jobs for which there was no room yet, of one window at most. Waiting for room would keep answers
    /// waiting, and what they say would not be noted.
    to_read: VecDeque<ReadJob>,
    read_count: usize,
    new_rows: Vec<([u8; 32], Vec<u8>)>,
    new_row_bytes: usize,
    kept_rows: Vec<[u8; 32]>,
    noted: Instant,
    saving: Option<&'a Saving<'a>>,
    store: Option<&'a dyn Fn()>,
    saved: Instant,
    /// New bytes of this run when it last saved.
    saved_bytes: u64,
    tree: Option<TreeRef>,
}

/// The ends of the queues that an assembler uses.
pub struct Queues<'a> {
    /// Scans to make.
    pub scans: Sender<ScanRequest>,
    /// Files to read.
    pub jobs: Sender<ReadJob>,
    /// Answers.
    pub events: Receiver<Event>,
    /// Does what is asked for, where no other thread does.
    pub helper: Option<&'a dyn Fn()>,
    /// Stores what was sealed, where no other thread does.
    pub store: Option<&'a dyn Fn()>,
}

impl<'a> Assembler<'a> {
    /// An assembler; rows that it keeps or writes are of `next_epoch`.
    pub fn new(
        scanner: &'a Scanner<'a>,
        sealer: &'a Sealer<'a>,
        progress: &'a Progress,
        failure: &'a Failure,
        cancel: &'a Cancel,
        queues: Queues<'a>,
        next_epoch: u64,
    ) -> Self {
        Self {
            scanner,
            sealer,
            progress,
            failure,
            cancel,
            scans: queues.scans,
            jobs: queues.jobs,
            events: queues.events,
            helper: queues.helper,
            next_epoch,
            directories: HashMap::new(),
            next_no: 0,
            to_scan: Vec::new(),
            scan_count: 0,
            job: Vec::new(),
            job_bytes: 0,
            to_read: VecDeque::new(),
            read_count: 0,
            new_rows: Vec::new(),
            new_row_bytes: 0,
            kept_rows: Vec::new(),
            noted: Instant::now(),
            saving: None,
            store: queues.store,
            saved: Instant::now(),
            saved_bytes: 0,
            tree: None,
        }
    }

    /// The same, which stores what is captured so far now and then.
    #[must_use]
    pub fn saving(self, saving: Option<&'a Saving<'a>>) -> Self {
        Self { saving, ..self }
    }

    /// Walks all sources and returns the tree that holds them.
    ///
    /// # Errors
    /// When the run fails or is cancelled; what was sealed until then is not lost.
    pub fn run(mut self, roots: &Roots) -> Result<Option<TreeRef>> {
        let result = self.begin(roots).and_then(|()| self.walk());
        if result.as_ref().is_err_and(|error| error.kind == ErrorKind::Bug) {
            return result.map(|()| None);
        }
        // Every request is answered, also after a failure: nobody may be left waiting.
        self.to_scan.clear();
        self.read_count -= self.to_read.len();
        self.to_read.clear();
        while self.scan_count + self.read_count > 0 {
            match self.next_event() {
                Ok(None) => {}
                Ok(Some(Event::Scan(_))) => self.scan_count -= 1,
                Ok(Some(Event::Files(files))) => {
                    self.read_count -= 1;
                    for (place, finished) in files {
                        if let Some(finished) = finished {
                            self.note_late(place, Slot::Other(finished));
                        }
                    }
                }
                Ok(Some(Event::Part { place, read, .. })) => {
                    self.note_late(place, Slot::Part(read));
                }
                Ok(Some(Event::Broken)) | Err(_) => break,
            }
        }
        if result.is_err() {
            self.note_open_windows();
        }
        self.write_rows();
        // What was read may be on its way for long.
        self.scanner.last_run.rows.keep();
        if result.is_err() && !self.failure.is_raised() {
            self.save()?;
        }
        result.map(|()| self.tree)
    }

    fn begin(&mut self, roots: &Roots) -> Result<()> {
        if roots.top.is_source() {
            let mut open = Directory::open_root(std::path::Path::new("/"))?;
            self.scanner.selector.start(&mut open);
            let (open, entry, listing) = self.scanner.describe(open)?;
            let window = self.scanner.window(&open, &listing, 0);
            return self.opened(None, open, entry, listing, window);
        }
        let mut open = Directory::open_top()?;
        self.scanner.selector.start(&mut open);
        self.passage(&roots.top, Arc::new(open), None)
    }

    /// Opens the way to the sources: directories of which only some names are wanted.
    fn passage(
        &mut self,
        branch: &Branch,
        open: Arc<Directory>,
        parent: Option<Place>,
    ) -> Result<()> {
        let (entry, problems) = self.scanner.describer.ancestor(&open);
        self.scanner.problems.extend(problems.into_iter().map(Error::from));
        let no = self.add(parent, Some(Arc::clone(&open)), Box::new(entry), None);
        let known = self.scanner.named_files(&open);
        let mut names = Vec::with_capacity(branch.below.len());
        for (slot, below) in branch.below.iter().enumerate() {
            let place = Place { directory: no, slot };
            let found = if below.is_source() {
                self.source(&open, below, place, &known)
            } else {
                match open.open_passage(&below.name) {
                    Ok(mut child) => {
                        self.scanner.selector.enter(&open, &mut child);
                        self.passage(below, Arc::new(child), Some(place))?;
                        Slot::Waiting(None)
                    }
                    Err(problem) => {
                        self.scanner.problems.push(problem.into());
                        Slot::Absent
                    }
                }
            };
            names.push(found);
        }
        let assembly = self.directories.get_mut(&no).expect("it was just added");
        // A passage below that had nothing to wait for has delivered its entry already.
        let mut early = std::mem::replace(&mut assembly.window, names);
        for (slot, delivered) in early.drain(..).enumerate() {
            if !matches!(delivered, Slot::Waiting(_)) {
                assembly.window[slot] = delivered;
            }
        }
        assembly.waiting_count =
            assembly.window.iter().filter(|slot| matches!(slot, Slot::Waiting(_))).count();
        if assembly.waiting_count == 0 {
            self.window_done(no)?;
        }
        Ok(())
    }

    fn source(
        &mut self,
        open: &Arc<Directory>,
        branch: &Branch,
        place: Place,
        known: &Row,
    ) -> Slot {
        match open.stat_child(&branch.name) {
            Ok(Some(child)) => {
                if child.kind != EntryKind::Directory {
                    let passage = self.directories.get_mut(&place.directory);
                    let passage = passage.expect("it was just added");
                    passage.row = Some((self.scanner.row_key(open), false));
                }
                let scanned = self.scanner.classify_source(open, child, known);
                self.take(scanned, place, open)
            }
            Ok(None) => Slot::Absent,
            Err(problem) => {
                self.scanner.problems.push(problem.into());
                Slot::Absent
            }
        }
    }

    fn walk(&mut self) -> Result<()> {
        loop {
            if self.failure.is_raised() {
                return Err(ending());
            }
            self.cancel.check()?;
            if self.noted.elapsed() >= NOTE_INTERVAL {
                self.note_open_windows();
                self.write_rows();
                self.scanner.last_run.rows.keep();
            }
            if self.saving.is_some_and(|saving| self.saved.elapsed() >= saving.interval) {
                self.save()?;
            }
            self.dispatch();
            if self.scan_count + self.read_count == 0 {
                return Ok(());
            }
            let Ok(event) = self.next_event() else {
                return Err(broken());
            };
            match event {
                None => {}
                Some(Event::Scan(reply)) => {
                    self.scan_count -= 1;
                    self.scanned(reply)?;
                }
                Some(Event::Broken) => return Err(broken()),
                Some(Event::Part { place, read, is_long }) => {
                    self.note_late(place, Slot::Part(read));
                    if is_long && self.unsaved_bytes() >= SAVED_BYTES {
                        self.save()?;
                    }
                }
                Some(Event::Files(files)) => {
                    self.read_count -= 1;
                    for (place, finished) in files {
                        self.deliver(place, finished.map_or(Slot::Lost, Slot::Other))?;
                    }
                }
            }
        }
    }

    /// What happens next; nothing for a while, after which there may be something to note.
    fn next_event(&self) -> Result<Option<Event>, RecvTimeoutError> {
        if let Some(helper) = self.helper {
            helper();
        }
        match self.events.recv_timeout(NOTE_INTERVAL) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends out work, reads first: they are what takes time.
    fn dispatch(&mut self) {
        self.hand_out();
        while self.scan_count < SCAN_COUNT_MAX && self.read_count < READ_COUNT_MAX {
            let Some(request) = self.to_scan.pop() else { break };
            self.scan_count += 1;
            self.scans.send(request).expect("scans are taken until the assembler ends");
        }
        // Nothing more will come that could join the open job.
        if self.scan_count == 0 && self.to_scan.is_empty() {
            self.send_job();
        }
    }

    fn scanned(&mut self, reply: ScanReply) -> Result<()> {
        match reply {
            ScanReply::Opened { place, open, entry, listing, window } => {
                self.opened(Some(place), open, entry, listing, window)
            }
            ScanReply::Closed { place } => self.deliver(place, Slot::Lost),
            ScanReply::Window { directory, window } => self.window(directory, window),
        }
    }

    fn opened(
        &mut self,
        parent: Option<Place>,
        open: Arc<Directory>,
        entry: Box<Entry>,
        listing: Arc<Listing>,
        window: Window,
    ) -> Result<()> {
        let no = self.add(parent, Some(open), entry, Some(listing));
        self.window(no, window)
    }

    fn add(
        &mut self,
        parent: Option<Place>,
        open: Option<Arc<Directory>>,
        entry: Box<Entry>,
        listing: Option<Arc<Listing>>,
    ) -> DirectoryNo {
        let no = self.next_no;
        self.next_no += 1;
        let assembly = Assembly {
            parent,
            open,
            entry,
            listing,
            next: 0,
            builder: TreeBuilder::new(self.scanner.keyring),
            window: Vec::new(),
            waiting_count: 0,
            row: None,
        };
        self.directories.insert(no, assembly);
        no
    }

    fn window(&mut self, no: DirectoryNo, window: Window) -> Result<()> {
        let assembly = self.directories.get_mut(&no).expect("its directory is open");
        let open = Arc::clone(assembly.open.as_ref().expect("a listed directory is open"));
        assembly.next = window.end;
        if window.flags != 0 {
            assembly.entry.set_flag(window.flags);
        }
        assembly.row = Some((window.row_key, window.row_is_current));
        let mut slots = Vec::with_capacity(window.names.len());
        let first_request = self.to_scan.len();
        for (slot, scanned) in window.names.into_iter().enumerate() {
            slots.push(self.take(Some(scanned), Place { directory: no, slot }, &open));
        }
        // The stack gives back the last request first; names are wanted in their order.
        self.to_scan[first_request..].reverse();
        let waiting_count = slots.iter().filter(|slot| matches!(slot, Slot::Waiting(_))).count();
        let assembly = self.directories.get_mut(&no).expect("its directory is open");
        assembly.window = slots;
        assembly.waiting_count = waiting_count;
        if waiting_count == 0 { self.window_done(no) } else { Ok(()) }
    }

    /// What a scanned name needs before it can stand in its directory.
    fn take(&mut self, scanned: Option<Scanned>, place: Place, open: &Arc<Directory>) -> Slot {
        match scanned {
            None => Slot::Absent,
            Some(Scanned::Ready(finished)) => {
                self.count_ready(&finished);
                Slot::Other(*finished)
            }
            Some(Scanned::Resumed(finished, before)) => {
                self.count_resumed(&finished, before.as_deref());
                Slot::Other(*finished)
            }
            Some(Scanned::Directory(child)) => {
                self.to_scan.push(ScanRequest::Open { place, parent: Arc::clone(open), child });
                Slot::Waiting(None)
            }
            Some(Scanned::File { child, before, begun }) => {
                let open = Arc::clone(open);
                self.read(FileToRead { place, open, child, before, begun: begun.clone() });
                Slot::Waiting(begun)
            }
        }
    }

    fn count_ready(&self, finished: &Finished) {
        const KIND_MASK: u32 = 0o170_000;
        const REGULAR: u32 = 0o100_000;
        if finished.signature.mode & KIND_MASK == REGULAR {
            self.progress.files_done.add(1);
            self.progress.files_unmodified.add(1);
            self.progress.bytes_done.add(finished.entry.content_bytes);
        } else {
            self.progress.others_done.add(1);
        }
    }

    fn count_resumed(&self, finished: &Finished, before: Option<&RowChild>) {
        let progress = self.progress;
        progress.files_done.add(1);
        progress.bytes_done.add(finished.entry.content_bytes);
        match before {
            Some(row) if row.entry != finished.entry.bytes => progress.files_changed.add(1),
            None if self.scanner.last_run.parent.is_some() => progress.files_new.add(1),
            _ => progress.files_unmodified.add(1),
        }
        progress.files_resumed.add(1);
        progress.bytes_resumed.add(finished.entry.content_bytes);
    }

    fn read(&mut self, file: FileToRead) {
        let len = file.child.signature.size;
        if len > SMALL_LEN_MAX {
            self.send(vec![file]);
            return;
        }
        let is_full = self.job_bytes + len > SMALL_LEN_MAX
            || self.job.len() >= JOB_FILE_COUNT_MAX
            || self.job_directories() >= JOB_DIRECTORY_COUNT_MAX
            // Who saves all the time gets something to save after each file.
            || self.saving.is_some_and(|saving| saving.interval.is_zero());
        if is_full {
            self.send_job();
        }
        self.job_bytes += len;
        self.job.push(file);
    }

    /// Runs of files with the same directory in the open job.
    fn job_directories(&self) -> usize {
        let pairs = self.job.windows(2);
        pairs.filter(|pair| pair[0].place.directory != pair[1].place.directory).count() + 1
    }

    fn send_job(&mut self) {
        if !self.job.is_empty() {
            self.job_bytes = 0;
            let job = std::mem::take(&mut self.job);
            self.send(job);
        }
    }

    fn send(&mut self, job: ReadJob) {
        self.read_count += 1;
        self.to_read.push_back(job);
        self.hand_out();
    }

    fn hand_out(&mut self) {
        while let Some(job) = self.to_read.pop_front() {
            match self.jobs.try_send(job) {
                Ok(()) => {}
                Err(TrySendError::Full(job)) => return self.to_read.push_front(job),
                Err(TrySendError::Disconnected(_)) => {
                    unreachable!("jobs are taken until the assembler ends")
                }
            }
        }
    }

    fn deliver(&mut self, place: Place, slot: Slot) -> Result<()> {
        let assembly = self.directories.get_mut(&place.directory).expect("it waits for this");
        if assembly.window.len() <= place.slot {
            assembly.window.resize_with(place.slot + 1, || Slot::Waiting(None));
        }
        assembly.window[place.slot] = slot;
        // A passage counts what it waits for once all its names are known.
        if assembly.waiting_count == 0 {
            return Ok(());
        }
        assembly.waiting_count -= 1;
        if assembly.waiting_count == 0 { self.window_done(place.directory) } else { Ok(()) }
    }

    /// Moves a complete window into the tree, and goes on to the next one or to the parent.
    fn window_done(&mut self, no: DirectoryNo) -> Result<()> {
        let assembly = self.directories.get_mut(&no).expect("its directory is open");
        let mut put = |raw| self.sealer.metadata(raw);
        let keeps_row = assembly.row.is_some_and(|(_, is_current)| is_current);
        let mut row = Vec::new();
        for slot in assembly.window.drain(..) {
            match slot {
                Slot::Waiting(_) | Slot::Part(_) => unreachable!("nothing is waited for"),
                Slot::Absent => {}
                Slot::Lost => assembly.entry.set_flag(flags::INCOMPLETE),
                Slot::Directory(entry) => assembly.builder.push(&entry, &mut put)?,
                Slot::Other(finished) => {
                    assembly.builder.push(&finished.entry, &mut put)?;
                    if !keeps_row {
                        row.push(row_child(&finished, false));
                    }
                }
            }
        }
        match assembly.row.take() {
            Some((key, true)) => self.kept_rows.push(key),
            Some((key, false)) => {
                let row = rows::encode(&row);
                self.new_row_bytes += row.len();
                self.new_rows.push((key, row));
            }
            None => {}
        }
        let next = assembly.next;
        let further = match (&assembly.listing, &assembly.open) {
            (Some(listing), Some(open)) if next < listing.len() => {
                Some((Arc::clone(listing), Arc::clone(open)))
            }
            _ => None,
        };
        let row_count = self.new_rows.len() + self.kept_rows.len();
        if row_count >= ROW_BATCH_COUNT || self.new_row_bytes >= ROW_BATCH_BYTES {
            self.write_rows();
        }
        if let Some((listing, open)) = further {
            let start = next;
            self.to_scan.push(ScanRequest::Window { directory: no, open, listing, start });
            return Ok(());
        }
        self.directory_done(no)
    }

    fn directory_done(&mut self, no: DirectoryNo) -> Result<()> {
        let assembly = self.directories.remove(&no).expect("its directory is open");
        let tree = assembly.builder.finish(&mut |raw| self.sealer.metadata(raw))?;
        self.progress.directories_done.add(1);
        let Some(place) = assembly.parent else {
            self.tree = tree;
            return Ok(());
        };
        let mut entry = assembly.entry;
        entry.tree = tree;
        self.deliver(place, Slot::Directory(EncodedEntry::new(&entry)))
    }

    fn write_rows(&mut self) {
        let last_run = self.scanner.last_run;
        let new: Vec<_> = self.new_rows.iter().map(|(key, row)| (*key, &row[..])).collect();
        last_run.rows.put(&new, self.next_epoch);
        if let Some(epoch) = last_run.kept_epoch() {
            last_run.rows.stamp(&self.kept_rows, epoch, self.next_epoch);
        }
        self.new_rows.clear();
        self.new_row_bytes = 0;
        self.kept_rows.clear();
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Bug, "a stage of the pipeline ended before the run")
}

fn row_child(finished: &Finished, is_part: bool) -> RowChild {
    let Finished { entry, signature, settled } = finished;
    RowChild {
        name: entry.name.clone(),
        signature: *signature,
        settled: *settled,
        content_bytes: entry.content_bytes,
        entry: entry.bytes.clone(),
        is_part,
    }
}
