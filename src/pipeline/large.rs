//! Reads a large file block by block, from where an interrupted run has left it.

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::blocks::Blocks;
use super::content::{fill, judge};
use super::flow::{Event, FileToRead, Finished};
use super::read::{Reading, record, set_layout, settled};
use super::recognize;
use super::rows::RowChild;
use super::workers::Workers;
use crate::base::{Error, Result};
use crate::format::entry::{Entry, flags};
use crate::repo::tree::EncodedEntry;
use crate::source::{Layout, OpenFile};

/// Bytes of a file after which the part that was read is noted and stored: what an interrupted run has to
/// read again at most, beside what was in flight.
const PART_LEN: u64 = 1 << 30;
/// Time after which it is noted in any case.
const PART_INTERVAL: Duration = Duration::from_secs(60);

impl<'s> Reading<'s> {
    /// Reads a large file block by block; workers seal while it reads on.
    pub(super) fn large(
        &'s self,
        workers: Workers<'_, 's>,
        file: FileToRead,
        events: &Sender<Event>,
    ) -> Option<Finished> {
        let started = self.clock.now();
        let open = self.open(&file)?;
        self.progress.set_current(open.path_bytes());
        let (mut entry, problems) = self.describer.file(&open);
        let is_described = problems.is_empty();
        self.problems.extend(problems.into_iter().map(Error::from));
        let mut layout = open.layout();
        let splitter = recognize::open(self.chunker, self.budget, &open, &layout);
        record(&splitter, &mut entry);
        let mut blocks = Blocks::new(self, Some(splitter));
        let mut short = None;
        let mut data_bytes = match &file.begun {
            Some(begun) => self.go_on(begun, (&open, &entry), &layout, &mut blocks),
            None => 0,
        };
        let start = blocks.offset();
        let mut noted = Noted { stored: start, at: Instant::now(), new_bytes: self.new_bytes() };
        let note = |blocks: &mut Blocks<'s>, entry: &Entry, layout: &Layout, all, is_long| {
            let signature = open.child().signature;
            // As of a whole file, its stat says nothing of content that is made up.
            let is_sound = is_described && !open.is_made_up();
            let settled = settled(&signature, started, is_sound);
            if let Some(Some(entry)) = self.or_fail(part_of(entry, layout, blocks, all)) {
                let read = Finished { entry, signature, settled };
                let _sent = events.send(Event::Part { place: file.place, read, is_long });
            }
        };
        'ranges: for range in layout.clone().data_ranges() {
            let end = range.offset + range.len;
            if end <= start {
                continue;
            }
            blocks.skip_to(range.offset.max(start));
            while blocks.offset() < end {
                if self.failure.is_raised() {
                    return None;
                }
                if self.cancel.is_raised() {
                    note(&mut blocks, &entry, &layout, true, false);
                    return None;
                }
                let is_long = blocks.offset() - noted.stored >= PART_LEN;
                let is_due = is_long || noted.at.elapsed() >= PART_INTERVAL;
                // What is all stored is read again in less time than was lost, and a run without anything new
                // must leave nothing.
                if is_due && self.new_bytes() > noted.new_bytes {
                    let stored = if is_long { blocks.offset() } else { noted.stored };
                    let (at, new_bytes) = (Instant::now(), self.new_bytes());
                    noted = Noted { stored, at, new_bytes };
                    note(&mut blocks, &entry, &layout, false, is_long);
                }
                let offset = blocks.offset();
                let len = (blocks.next_len() as u64).min(end - offset) as usize;
                let is_last = offset + len as u64 == end;
                let read = blocks.read(workers, &mut entry, len, is_last, |buffer| {
                    let read;
                    (read, short) = fill(&open, buffer, offset);
                    read
                });
                data_bytes += self.or_fail(read)? as u64;
                if short.is_some() {
                    layout.truncate(blocks.offset());
                    break 'ranges;
                }
            }
        }
        let signature = open.child().signature;
        let is_sound = self.conclude(&mut entry, judge(&open, &layout, short)) && is_described;
        let settled = settled(&signature, started, is_sound);
        set_layout(&mut entry, layout);
        entry.content = self.or_fail(blocks.finish())?;
        let encoded = EncodedEntry::new(&entry);
        // Holes are done as well.
        self.progress.bytes_done.add(encoded.content_bytes.saturating_sub(data_bytes));
        self.count_file(file.entry_before(), &encoded);
        Some(Finished { entry: encoded, signature, settled })
    }

    /// Takes over what an interrupted run has read of a file, if it is still that file, as far as that is
    /// stored; says how many bytes of data that is.
    fn go_on(
        &self,
        begun: &RowChild,
        (open, entry): (&OpenFile, &Entry),
        layout: &Layout,
        blocks: &mut Blocks<'_>,
    ) -> u64 {
        let now = &open.child().signature;
        let is_same = self.comparison.is_same(&begun.signature, begun.settled, now);
        let Ok(known) = Entry::decode(&begun.entry) else { return 0 };
        let (Some(size), Some(content)) = (known.size, &known.content) else { return 0 };
        let mut covered = layout.clone();
        covered.truncate(size);
        // Split in another way, the rest would not be what a run that reads all of it makes.
        let fits =
            known.profile == entry.profile && known.holes.unwrap_or_default() == covered.holes;
        if !is_same || !fits || open.is_made_up() {
            return 0;
        }
        let front = self.proof.map(|proof| proof.stored_front(content, self.sealer));
        let Some(Ok(front)) = front.filter(|front| front.as_ref().is_ok_and(|f| f.len > 0)) else {
            return 0;
        };
        let len = front.len;
        blocks.start_behind(front, covered.end_of(len));
        self.progress.bytes_done.add(len);
        self.progress.files_resumed.add(1);
        self.progress.bytes_resumed.add(len);
        len
    }

    /// Content that this run had to store, by all of its readers.
    fn new_bytes(&self) -> u64 {
        self.progress.new_data_bytes.get()
    }
}

/// What was last noted of a file that is being read.
struct Noted {
    /// Where the part ended that was also to be stored.
    stored: u64,
    at: Instant,
    /// Content that the run had stored by then.
    new_bytes: u64,
}

/// The entry of the part of a file that is sealed, or of `all` that was read and ends with a chunk.
fn part_of(
    entry: &Entry,
    layout: &Layout,
    blocks: &mut Blocks<'_>,
    all: bool,
) -> Result<Option<EncodedEntry>> {
    let Some((content, len)) = blocks.so_far(all)? else { return Ok(None) };
    let mut layout = layout.clone();
    layout.truncate(layout.end_of(len));
    let mut entry = entry.clone();
    entry.set_flag(flags::INCONSISTENT);
    set_layout(&mut entry, layout);
    entry.content = Some(content);
    Ok(Some(EncodedEntry::new(&entry)))
}
