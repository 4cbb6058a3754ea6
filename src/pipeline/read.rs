//! Reads files and splits them, handing their content to rayon for the rest.

use std::ops::Range;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::budget::Budget;
use super::content::{Content, Fault, judge, read_content};
use super::failure::Failure;
use super::flow::{Event, FileToRead, Finished, Pieces, Place, ReadJob, Watch};
use super::proof::Proof;
use super::recognize;
use super::rows::RowChild;
use super::seal::Sealer;
use super::workers::Workers;
use crate::base::{Cancel, Clock, Error, Problems, Progress, Result, Timestamp};
use crate::chunk::{Chunker, Profile, Splitter};
use crate::format::entry::{Entry, flags};
use crate::format::list::Piece;
use crate::repo::list::ListBuilder;
use crate::repo::tree::EncodedEntry;
use crate::source::signature::SETTLE;
use crate::source::{Comparison, Describer, Layout, OpenFile, Settled, Signature};

/// Files up to this length are read whole, several together; longer ones block by block.
pub const SMALL_LEN_MAX: u64 = 1 << 20;
/// Times that a small file is read which changes meanwhile: most writers are done at once.
const ATTEMPT_COUNT_MAX: usize = 2;

/// Everything that reading shares between threads.
pub struct Reading<'a> {
    /// Turns files into entries.
    pub describer: &'a Describer,
    /// Splits what is not recognized.
    pub chunker: &'a Chunker,
    /// Which files need not be read.
    pub comparison: Comparison,
    /// Seals the rest of the way.
    pub sealer: &'a Sealer<'a>,
    /// Bounds raw bytes.
    pub budget: &'a Budget,
    /// Where faults go.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Why it ends early.
    pub failure: &'a Failure,
    /// Whether a person asked to stop.
    pub cancel: &'a Cancel,
    /// For times that are not settled yet.
    pub clock: &'a dyn Clock,
    /// Reads the lists of files that an interrupted run has read in part.
    pub proof: Option<&'a Proof<'a>>,
}

/// Runs until every sender of jobs is gone; answers each job once.
pub(super) fn stage<'s>(
    reading: &'s Reading<'s>,
    workers: Workers<'_, 's>,
    jobs: &Receiver<ReadJob>,
    events: &Sender<Event>,
) {
    let _watch = Watch(events.clone());
    for job in jobs {
        answer(reading, workers, job, events);
    }
}

/// Does a job; a worker may say later what came of it.
pub(super) fn answer<'s>(
    reading: &'s Reading<'s>,
    workers: Workers<'_, 's>,
    job: ReadJob,
    events: &Sender<Event>,
) {
    if reading.failure.is_raised() || reading.cancel.is_raised() {
        let none = job.into_iter().map(|file| (file.place, None)).collect();
        let _sent = events.send(Event::Files(none));
        return;
    }
    let (mut done, mut job) = reading.refresh(job);
    if job.is_empty() {
        let _sent = events.send(Event::Files(done));
        return;
    }
    let is_large = job.len() == 1 && job[0].child.signature.size > SMALL_LEN_MAX;
    if is_large {
        let file = job.pop().expect("there is one");
        let place = file.place;
        let finished = reading.large(workers, file, events);
        done.push((place, finished));
        let _sent = events.send(Event::Files(done));
    } else {
        reading.small(workers, job, done, events.clone());
    }
}

/// What came of reading a file that was small when it was scanned.
enum Attempt {
    Whole(Box<Whole>),
    /// Too large by now to be read whole.
    Grown(FileToRead),
    /// The problem is reported.
    Failed,
}

/// A small file that was read.
struct Whole {
    file: FileToRead,
    entry: Entry,
    raw: Vec<u8>,
    /// Offset in the file and place in `raw` of every run of data.
    runs: Vec<(u64, Range<usize>)>,
    signature: Signature,
    settled: Settled,
}

/// What came of the files of a job so far.
type Done = Vec<(Place, Option<Finished>)>;

impl<'s> Reading<'s> {
    /// Deals with the files whose content is the one that the last run read, though something else
    /// about them changed; gives back what came of them, and the others.
    fn refresh(&self, job: ReadJob) -> (Done, ReadJob) {
        if self.comparison == Comparison::default() {
            return (Vec::new(), job);
        }
        let mut done = Vec::new();
        let mut left = Vec::with_capacity(job.len());
        for file in job {
            match self.describe_again(&file) {
                Some(finished) => done.push((file.place, Some(finished))),
                None => left.push(file),
            }
        }
        (done, left)
    }

    /// Describes a file anew and takes its content over, unless that must be read.
    fn describe_again(&self, file: &FileToRead) -> Option<Finished> {
        let is_same = |row: &RowChild, now: &Signature| {
            self.comparison.is_same(&row.signature, row.settled, now)
        };
        let looks_same = |row: &&RowChild| is_same(row, &file.child.signature);
        let is_stored = |row: &&RowChild| self.proof.is_some_and(|proof| proof.is_stored(row));
        let begun = file.begun.as_deref().filter(|row| !row.is_part);
        let begun = begun.filter(looks_same).filter(is_stored);
        let row = begun.or(file.before.as_deref().filter(looks_same))?;
        let known = Entry::decode(&row.entry).ok()?;
        // One that cannot be opened is a problem of the second attempt.
        let open = OpenFile::open(&file.open, &file.child).ok()?;
        if !is_same(row, &open.child().signature) {
            return None;
        }
        let (mut entry, problems) = self.describer.file(&open);
        let settled = if problems.is_empty() { row.settled } else { Settled::Nothing };
        self.problems.extend(problems.into_iter().map(Error::from));
        entry.size = known.size;
        entry.holes = known.holes;
        entry.content = known.content;
        entry.profile = known.profile;
        let entry = EncodedEntry::new(&entry);
        self.progress.bytes_done.add(entry.content_bytes);
        self.count_file(file.entry_before(), &entry);
        if begun.is_some() {
            self.progress.files_resumed.add(1);
            self.progress.bytes_resumed.add(entry.content_bytes);
        }
        // The signature of the time when the content was read, for runs that ignore less.
        Some(Finished { entry, signature: row.signature, settled })
    }

    /// Reads small files and leaves splitting and sealing to a worker.
    fn small(
        &'s self,
        workers: Workers<'_, 's>,
        job: ReadJob,
        mut done: Done,
        events: Sender<Event>,
    ) {
        let len: u64 = job.iter().map(|file| file.child.signature.size).sum();
        let grant = self.budget.take(len as usize);
        let mut grown = Vec::new();
        let mut whole = Vec::with_capacity(job.len());
        // They may have grown since the scan, all of them.
        let mut room = SMALL_LEN_MAX;
        for file in job {
            let place = file.place;
            match self.read_whole(file, room) {
                Attempt::Whole(file) => {
                    room -= file.raw.len() as u64;
                    whole.push(*file);
                }
                Attempt::Grown(file) => grown.push(file),
                Attempt::Failed => done.push((place, None)),
            }
        }
        // A job is answered once: what the worker says waits for the files that are large by now.
        let (for_grown, rest) = bounded(1);
        let answer = if grown.is_empty() { events.clone() } else { for_grown };
        let watch = Watch(events.clone());
        workers.spawn(move || {
            let _watch = watch;
            let pieces: Vec<Pieces> = whole.iter_mut().map(|file| self.split_whole(file)).collect();
            match self.sealer.data(&pieces) {
                Ok(lists) => {
                    for (file, list) in whole.into_iter().zip(lists) {
                        let place = file.file.place;
                        done.push((place, self.finish_whole(file, list)));
                    }
                }
                Err(error) => {
                    self.failure.raise(error);
                    done.extend(whole.into_iter().map(|file| (file.file.place, None)));
                }
            }
            drop(grant);
            let _sent = answer.send(Event::Files(done));
        });
        if grown.is_empty() {
            return;
        }
        let mut files: Vec<_> = grown
            .into_iter()
            .map(|file| (file.place, self.large(workers, file, &events)))
            .collect();
        if let Ok(Event::Files(others)) = rest.recv() {
            files.extend(others);
        }
        let _sent = events.send(Event::Files(files));
    }

    fn read_whole(&self, file: FileToRead, room: u64) -> Attempt {
        let mut started = self.clock.now();
        let Some(mut open) = self.open(&file) else { return Attempt::Failed };
        self.progress.set_current(open.path_bytes());
        let mut attempt = 1;
        loop {
            if open.len_max() > room {
                return Attempt::Grown(file);
            }
            let (mut entry, problems) = self.describer.file(&open);
            let Content { layout, raw, runs, short } = read_content(&open);
            let signature = open.child().signature;
            let end = judge(&open, &layout, short);
            if let Err(Fault { has_changed: true, .. }) = end
                && attempt < ATTEMPT_COUNT_MAX
            {
                attempt += 1;
                started = self.clock.now();
                open = match open.renew() {
                    Ok(open) => open,
                    Err(problem) => {
                        self.problems.push(problem.into());
                        return Attempt::Failed;
                    }
                };
                continue;
            }
            let is_described = problems.is_empty();
            self.problems.extend(problems.into_iter().map(Error::from));
            let is_sound = self.conclude(&mut entry, end) && is_described;
            let settled = settled(&signature, started, is_sound);
            set_layout(&mut entry, layout);
            return Attempt::Whole(Box::new(Whole { file, entry, raw, runs, signature, settled }));
        }
    }

    fn split_whole(&self, file: &mut Whole) -> Pieces {
        let raw = std::mem::take(&mut file.raw);
        let front = match file.runs.first() {
            Some((0, run)) => &raw[run.clone()],
            _ => &[],
        };
        let splitter = recognize::whole(self.chunker, front, file.signature.size);
        record(&splitter, &mut file.entry);
        let mut cuts = Vec::new();
        for (offset, run) in &file.runs {
            let inside = splitter.split(*offset, &raw[run.clone()]);
            cuts.extend(inside.map(|cut| run.start + cut.start..run.start + cut.end));
        }
        Pieces { raw, cuts }
    }

    fn finish_whole(&self, file: Whole, pieces: Vec<Piece>) -> Option<Finished> {
        let Whole { mut entry, signature, settled, file, .. } = file;
        let mut list = ListBuilder::default();
        let mut put = |raw| self.sealer.metadata(raw);
        let content = pieces
            .into_iter()
            .try_for_each(|piece| list.push(piece, &mut put))
            .and_then(|()| list.finish(&mut put));
        match content {
            Ok(content) => entry.content = content,
            Err(error) => {
                self.failure.raise(error);
                return None;
            }
        }
        let encoded = EncodedEntry::new(&entry);
        self.progress.bytes_done.add(encoded.content_bytes);
        self.count_file(file.entry_before(), &encoded);
        Some(Finished { entry: encoded, signature, settled })
    }

    /// Ends the run with the error, if there is one.
    pub(super) fn or_fail<T>(&self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.failure.raise(error)).ok()
    }

    pub(super) fn open(&self, file: &FileToRead) -> Option<OpenFile> {
        match OpenFile::open(&file.open, &file.child) {
            Ok(open) => Some(open),
            Err(problem) => {
                self.problems.push(problem.into());
                None
            }
        }
    }

    /// Marks a file that was not read as it was at one moment, and says so. Returns whether its
    /// stat may prove to the next run that it is the same.
    pub(super) fn conclude(&self, entry: &mut Entry, end: Result<bool, Fault>) -> bool {
        end.unwrap_or_else(|fault| {
            entry.set_flag(flags::INCONSISTENT);
            self.problems.push(fault.problem);
            false
        })
    }

    /// Counts a file, which had the encoded entry `before` in the parent.
    pub(super) fn count_file(&self, before: Option<&[u8]>, now: &EncodedEntry) {
        self.progress.files_done.add(1);
        match before {
            None => self.progress.files_new.add(1),
            Some(before) if *before == now.bytes[..] => self.progress.files_unmodified.add(1),
            Some(_) => self.progress.files_changed.add(1),
        }
    }
}

/// What the times of a file prove that was read from `started` on.
pub(super) fn settled(signature: &Signature, started: Timestamp, is_sound: bool) -> Settled {
    if is_sound { signature.settled(started, SETTLE) } else { Settled::Nothing }
}

/// Records how content is split; an entry without a profile is general.
pub(super) fn record(splitter: &Splitter, entry: &mut Entry) {
    let profile = splitter.profile();
    entry.profile = (profile != Profile::General).then_some(profile as u8);
}

pub(super) fn set_layout(entry: &mut Entry, layout: Layout) {
    entry.size = Some(layout.size);
    entry.holes = (!layout.holes.is_empty()).then_some(layout.holes);
}
