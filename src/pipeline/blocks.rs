//! Splits a run of bytes of any length block by block, while workers seal what was split.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, bounded};

use super::backup::ending;
use super::flow::Pieces;
use super::read::{Reading, record};
use super::recognize;
use super::seal::Sealer;
use super::workers::Workers;
use crate::base::Result;
use crate::chunk::{Profile, Splitter};
use crate::format::entry::Entry;
use crate::format::list::{ChunkList, Piece};
use crate::repo::list::ListBuilder;

/// Bytes that are read at a time; larger reads are no faster.
pub(super) const BLOCK_LEN: usize = 1 << 20;

/// The content of one entry on its way to the sealer.
pub(super) struct Blocks<'s> {
    reading: &'s Reading<'s>,
    splitter: Option<Splitter>,
    /// What is read and in no chunk yet, as its chunk may go on.
    carry: Vec<u8>,
    offset: u64,
    sealed: InOrder,
}

impl<'s> Blocks<'s> {
    /// Nothing yet. Without a splitter, the first bytes tell which one it takes.
    pub(super) fn new(reading: &'s Reading<'s>, splitter: Option<Splitter>) -> Self {
        let (carry, sealed) = (Vec::new(), InOrder::default());
        Self { reading, splitter, carry, offset: 0, sealed }
    }

    /// Where the next block starts.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// How many bytes to read next. Where chunks end on a grid, a block then ends with one, and nothing
    /// of it has to be carried into the next; elsewhere reads stay aligned.
    pub(super) fn next_len(&self) -> usize {
        let is_on_grid = |splitter: &Splitter| splitter.profile() != Profile::General;
        let carried = match self.splitter.as_ref().is_some_and(is_on_grid) {
            true => self.carry.len(),
            false => 0,
        };
        BLOCK_LEN.checked_sub(carried).filter(|len| *len > 0).unwrap_or(BLOCK_LEN)
    }

    /// Goes on at `offset`, behind a hole.
    pub(super) fn skip_to(&mut self, offset: u64) {
        debug_assert!(self.carry.is_empty(), "the last block before a hole ends its chunks");
        self.offset = offset;
    }

    /// Reads the next `len` bytes with `fill`, which says how many there were. Fewer are the last
    /// ones before a hole or the end, as are all of them when `is_last`.
    ///
    /// # Errors
    /// When the content before could not be sealed.
    pub(super) fn read(
        &mut self,
        workers: Workers<'_, 's>,
        entry: &mut Entry,
        len: usize,
        is_last: bool,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<usize> {
        let reading = self.reading;
        let carried = self.carry.len();
        let grant = reading.budget.take(carried + len);
        let mut raw = Vec::with_capacity(carried + len);
        raw.append(&mut self.carry);
        raw.resize(carried + len, 0);
        let read = fill(&mut raw[carried..]);
        raw.truncate(carried + read);
        let first = self.offset - carried as u64;
        self.offset += read as u64;
        let is_over = is_last || read < len;
        let splitter = self.splitter.get_or_insert_with(|| {
            let splitter = recognize::stream(reading.chunker, &raw);
            record(&splitter, entry);
            splitter
        });
        let mut at = 0;
        let mut cuts = Vec::new();
        while let Some(len) = splitter.next_cut(first + at as u64, &raw[at..], is_over) {
            cuts.push(at..at + len);
            at += len;
        }
        self.carry = raw.split_off(at);
        let (reply, answer) = bounded(1);
        workers.spawn(move || {
            let pieces = [Pieces { raw, cuts }];
            let result = reading.sealer.data(&pieces).map(|mut lists| lists.remove(0));
            drop((pieces, grant));
            let _sent = reply.send(result);
        });
        reading.progress.bytes_done.add(read as u64);
        self.sealed.add(answer, reading.sealer)?;
        Ok(read)
    }

    /// Goes on at `offset`, behind what `sealed` lists.
    pub(super) fn start_behind(&mut self, sealed: Listed, offset: u64) {
        debug_assert!(self.offset == 0, "nothing was read");
        self.sealed.listed = sealed;
        self.offset = offset;
    }

    /// The chunk list of the first blocks, with the number of bytes in it; of all chunks that were split off
    /// if so asked, else of those that are sealed. Nothing when there are none.
    ///
    /// # Errors
    /// When some content could not be sealed.
    pub(super) fn so_far(&mut self, all: bool) -> Result<Option<(ChunkList, u64)>> {
        let sealer = self.reading.sealer;
        if all {
            self.sealed.wait(sealer)?;
        }
        let Listed { list, len } = self.sealed.listed.clone();
        Ok(list.finish(&mut |raw| sealer.metadata(raw))?.map(|list| (list, len)))
    }

    /// The chunk list of all blocks; absent when there were none.
    ///
    /// # Errors
    /// When some content could not be sealed.
    pub(super) fn finish(self) -> Result<Option<ChunkList>> {
        self.sealed.finish(self.reading.sealer)
    }
}

/// Chunks of one entry, put in order again as workers answer.
#[derive(Default)]
struct InOrder {
    waiting: VecDeque<Receiver<Result<Vec<Piece>>>>,
    listed: Listed,
}

/// The list of the first chunks of an entry, and the sum of their lengths.
#[derive(Clone, Default)]
pub(super) struct Listed {
    pub(super) list: ListBuilder,
    pub(super) len: u64,
}

impl Listed {
    /// Adds the next chunk.
    ///
    /// # Errors
    /// When a page of the list could not be sealed.
    pub(super) fn push(&mut self, piece: Piece, sealer: &Sealer<'_>) -> Result<()> {
        self.len += piece.len;
        self.list.push(piece, &mut |raw| sealer.metadata(raw))
    }
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

    fn finish(mut self, sealer: &Sealer<'_>) -> Result<Option<ChunkList>> {
        self.wait(sealer)?;
        self.listed.list.finish(&mut |raw| sealer.metadata(raw))
    }

    /// Waits until all is sealed that was read.
    fn wait(&mut self, sealer: &Sealer<'_>) -> Result<()> {
        while let Some(answer) = self.waiting.pop_front() {
            let pieces = answer.recv().map_err(|_| ending())?;
            self.push(pieces?, sealer)?;
        }
        Ok(())
    }

    fn push(&mut self, pieces: Vec<Piece>, sealer: &Sealer<'_>) -> Result<()> {
        pieces.into_iter().try_for_each(|piece| self.listed.push(piece, sealer))
    }
}
