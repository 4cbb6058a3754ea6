//! Reads files and splits large ones, handing their content to rayon for the rest.

use std::collections::VecDeque;
use std::ops::Range;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::backup::ending;
use super::budget::Budget;
use super::content::{Content, Fault, fill, judge, read_content};
use super::failure::Failure;
use super::flow::{Event, FileToRead, Finished, Pieces, ReadJob, Watch};
use super::recognize;
use super::seal::Sealer;
use crate::base::{Cancel, Clock, Error, Problems, Progress, Result};
use crate::chunk::{Chunker, Profile, Splitter};
use crate::format::entry::{Entry, flags};
use crate::format::list::Piece;
use crate::repo::list::ListBuilder;
use crate::repo::tree::EncodedEntry;
use crate::source::signature::SETTLE;
use crate::source::{Describer, Layout, OpenFile};

/// Files up to this length are read whole, several together; longer ones block by block.
pub const SMALL_LEN_MAX: u64 = 1 << 20;
/// Bytes that are read at a time; larger reads are no faster.
const BLOCK_LEN: usize = 1 << 20;
/// Times that a small file is read which changes meanwhile: most writers are done at once.
const ATTEMPT_COUNT_MAX: usize = 2;

/// Everything that reading shares between threads.
pub struct Reading<'a> {
    /// Turns files into entries.
    pub describer: &'a Describer,
    /// Splits what is not recognized.
    pub chunker: &'a Chunker,
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
}

/// Runs until every sender of jobs is gone; answers each job once.
pub(super) fn stage<'s>(
    reading: &'s Reading<'s>,
    workers: &rayon::Scope<'s>,
    jobs: &Receiver<ReadJob>,
    events: &Sender<Event>,
) {
    let _watch = Watch(events.clone());
    for mut job in jobs {
        if reading.failure.is_raised() || reading.cancel.is_raised() {
            let none = job.into_iter().map(|file| (file.place, None)).collect();
            let _sent = events.send(Event::Files(none));
            continue;
        }
        let is_large = job.len() == 1 && job[0].child.signature.size > SMALL_LEN_MAX;
        if is_large {
            let file = job.pop().expect("there is one");
            let place = file.place;
            let finished = reading.large(workers, file);
            let _sent = events.send(Event::Files(vec![(place, finished)]));
        } else {
            reading.small(workers, job, events.clone());
        }
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
    signature: crate::source::Signature,
    is_reusable: bool,
}

impl<'s> Reading<'s> {
    /// Reads small files and leaves splitting and sealing to a worker.
    fn small(&'s self, workers: &rayon::Scope<'s>, job: ReadJob, events: Sender<Event>) {
        let len: u64 = job.iter().map(|file| file.child.signature.size).sum();
        let grant = self.budget.take(len as usize);
        let mut missing = Vec::new();
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
                Attempt::Failed => missing.push((place, None)),
            }
        }
        // A job is answered once: what the worker says waits for the files that are large by now.
        let (for_grown, rest) = bounded(1);
        let answer = if grown.is_empty() { events.clone() } else { for_grown };
        let watch = Watch(events.clone());
        workers.spawn(move |_| {
            let _watch = watch;
            let mut done = missing;
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
        let mut files: Vec<_> =
            grown.into_iter().map(|file| (file.place, self.large(workers, file))).collect();
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
            let is_reusable = problems.is_empty() && signature.is_settled(started, SETTLE);
            self.problems.extend(problems.into_iter().map(Error::from));
            let is_reusable = self.conclude(&mut entry, end) && is_reusable;
            set_layout(&mut entry, layout);
            let whole = Whole { file, entry, raw, runs, signature, is_reusable };
            return Attempt::Whole(Box::new(whole));
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
        let Whole { mut entry, signature, is_reusable, file, .. } = file;
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
        self.count_file(&file, &encoded);
        Some(Finished { entry: encoded, signature, is_reusable })
    }

    /// Reads a large file block by block; workers seal while it reads on.
    fn large(&'s self, workers: &rayon::Scope<'s>, file: FileToRead) -> Option<Finished> {
        let started = self.clock.now();
        let open = self.open(&file)?;
        self.progress.set_current(open.path_bytes());
        let (mut entry, problems) = self.describer.file(&open);
        let is_reusable = problems.is_empty();
        self.problems.extend(problems.into_iter().map(Error::from));
        let mut layout = open.layout();
        let splitter = recognize::open(self.chunker, self.budget, &open, &layout);
        record(&splitter, &mut entry);
        let mut short = None;
        let mut sealed = InOrder::default();
        let mut data_bytes = 0;
        for range in layout.clone().data_ranges() {
            let mut offset = range.offset;
            let end = range.offset + range.len;
            let mut carry: Vec<u8> = Vec::new();
            loop {
                if self.failure.is_raised() || self.cancel.is_raised() {
                    return None;
                }
                let wanted = BLOCK_LEN.min((end - offset) as usize);
                let grant = self.budget.take(carry.len() + wanted);
                let carried = carry.len();
                let mut raw = Vec::with_capacity(carried + wanted);
                raw.append(&mut carry);
                raw.resize(carried + wanted, 0);
                let read;
                (read, short) = fill(&open, &mut raw[carried..], offset);
                raw.truncate(carried + read);
                let first = offset - carried as u64;
                offset += read as u64;
                let is_over = short.is_some() || offset == end;
                let mut at = 0;
                let mut cuts = Vec::new();
                while let Some(len) = splitter.next_cut(first + at as u64, &raw[at..], is_over) {
                    cuts.push(at..at + len);
                    at += len;
                }
                carry = raw.split_off(at);
                let (reply, answer) = bounded(1);
                workers.spawn(move |_| {
                    let pieces = [Pieces { raw, cuts }];
                    let result = self.sealer.data(&pieces).map(|mut lists| lists.remove(0));
                    drop((pieces, grant));
                    let _sent = reply.send(result);
                });
                self.progress.bytes_done.add(read as u64);
                data_bytes += read as u64;
                if let Err(error) = sealed.add(answer, self.sealer) {
                    self.failure.raise(error);
                    return None;
                }
                if is_over {
                    break;
                }
            }
            if short.is_some() {
                layout.truncate(offset);
                break;
            }
        }
        let signature = open.child().signature;
        let is_reusable = is_reusable && signature.is_settled(started, SETTLE);
        let is_reusable = self.conclude(&mut entry, judge(&open, &layout, short)) && is_reusable;
        set_layout(&mut entry, layout);
        match sealed.finish(self.sealer) {
            Ok(content) => entry.content = content,
            Err(error) => {
                self.failure.raise(error);
                return None;
            }
        }
        let encoded = EncodedEntry::new(&entry);
        // Holes are done as well.
        self.progress.bytes_done.add(encoded.content_bytes.saturating_sub(data_bytes));
        self.count_file(&file, &encoded);
        Some(Finished { entry: encoded, signature, is_reusable })
    }

    fn open(&self, file: &FileToRead) -> Option<OpenFile> {
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
    fn conclude(&self, entry: &mut Entry, end: Result<bool, Fault>) -> bool {
        end.unwrap_or_else(|fault| {
            entry.set_flag(flags::INCONSISTENT);
            self.problems.push(fault.problem);
            false
        })
    }

    fn count_file(&self, file: &FileToRead, now: &EncodedEntry) {
        self.progress.files_done.add(1);
        match &file.before {
            None => self.progress.files_new.add(1),
            Some(before) if *before == now.bytes => self.progress.files_unmodified.add(1),
            Some(_) => self.progress.files_changed.add(1),
        }
    }
}

/// Chunks of a large file, put in order again as workers answer.
#[derive(Default)]
struct InOrder {
    waiting: VecDeque<Receiver<Result<Vec<Piece>>>>,
    list: ListBuilder,
}

impl InOrder {
    fn add(&mut self, answer: Receiver<Result<Vec<Piece>>>, sealer: &Sealer<'_>) -> Result<()> {
        self.waiting.push_back(answer);
        while let Some(ready) = self.waiting.front().and_then(|answer| answer.try_recv().ok()) {
            self.waiting.pop_front();
            self.push(ready?, sealer)?;
        }
        Ok(())
    }

    fn finish(mut self, sealer: &Sealer<'_>) -> Result<Option<crate::format::list::ChunkList>> {
        while let Some(answer) = self.waiting.pop_front() {
            let pieces = answer.recv().map_err(|_| ending())?;
            self.push(pieces?, sealer)?;
        }
        self.list.finish(&mut |raw| sealer.metadata(raw))
    }

    fn push(&mut self, pieces: Vec<Piece>, sealer: &Sealer<'_>) -> Result<()> {
        let mut put = |raw| sealer.metadata(raw);
        pieces.into_iter().try_for_each(|piece| self.list.push(piece, &mut put))
    }
}

/// Records how a file is split; an entry without a profile is general.
fn record(splitter: &Splitter, entry: &mut Entry) {
    let profile = splitter.profile();
    entry.profile = (profile != Profile::General).then_some(profile as u8);
}

fn set_layout(entry: &mut Entry, layout: Layout) {
    entry.size = Some(layout.size);
    entry.holes = (!layout.holes.is_empty()).then_some(layout.holes);
}
