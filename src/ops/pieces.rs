//! Tells which chunks of files are there, by the index where it can be relied on, else by reading.

use std::collections::HashSet;

use super::remembered::Remembered;
use crate::base::{ChunkId, PackId, Result};
use crate::format::FrameKind;
use crate::format::entry::Range;
use crate::format::list::Piece;
use crate::repo::chunks::Located;
use crate::repo::reader::Reader;

/// Whether a chunk can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    There,
    /// Lost, with the pack that should hold it, if one is known.
    Lost(Option<PackId>),
}

/// Where the pieces of a file lie in it, one after the other, with its holes between them.
pub(super) struct Offsets<'h> {
    holes: &'h [Range],
    /// Bytes of content that were passed, and of the holes before that.
    content: u64,
    skipped: u64,
}

impl<'h> Offsets<'h> {
    /// Those of a file with these holes.
    pub(super) fn new(holes: &'h [Range]) -> Self {
        Self { holes, content: 0, skipped: 0 }
    }

    /// Where the next `len` bytes of content start.
    pub(super) fn next(&mut self, len: u64) -> u64 {
        self.skip_holes();
        let offset = self.content + self.skipped;
        self.content += len;
        offset
    }

    /// Where the next `len` bytes of content lie, ascending.
    pub(super) fn next_ranges(&mut self, len: u64) -> Vec<Range> {
        let mut ranges = Vec::new();
        let end = self.content + len;
        while self.content < end {
            self.skip_holes();
            let hole = self.holes.first().map_or(end, |hole| hole.offset - self.skipped);
            let len = hole.min(end) - self.content;
            ranges.push(Range { offset: self.content + self.skipped, len });
            self.content += len;
        }
        ranges
    }

    fn skip_holes(&mut self) {
        while let [hole, rest @ ..] = self.holes
            && hole.offset - self.skipped <= self.content
        {
            self.skipped += hole.len;
            self.holes = rest;
        }
    }
}

/// Looks chunks up.
pub(super) struct Pieces<'a> {
    reader: &'a Reader<'a>,
    /// Packs that are not as they were stored; what they hold must be tried chunk by chunk.
    damaged: HashSet<PackId>,
    /// Whether a pack can be relied on, for those that were asked about.
    sound: Remembered<PackId, bool>,
}

impl<'a> Pieces<'a> {
    /// Distrusts packs in `damaged`, and takes at most `max_bytes` of memory.
    pub(super) fn new(reader: &'a Reader<'a>, damaged: HashSet<PackId>, max_bytes: u64) -> Self {
        Self { reader, damaged, sound: Remembered::new(max_bytes) }
    }

    /// What became of each piece.
    ///
    /// # Errors
    /// When the index fails, or the backend cannot be reached.
    pub(super) fn look_up(&mut self, pieces: &[Piece]) -> Result<Vec<Found>> {
        let ids: Vec<ChunkId> = pieces.iter().map(|piece| piece.id).collect();
        let located = self.reader.chunks().locate(&ids)?;
        let mut found = Vec::with_capacity(pieces.len());
        for (piece, copies) in pieces.iter().zip(located) {
            let is_there =
                copies.iter().any(|copy| self.is_good(piece, copy)) || self.can_be_read(piece)?;
            found.push(match is_there {
                true => Found::There,
                false => Found::Lost(copies.first().map(|copy| copy.pack.id)),
            });
        }
        Ok(found)
    }

    /// Whether a copy is what the file needs, in a pack that is as it was stored.
    fn is_good(&mut self, piece: &Piece, copy: &Located) -> bool {
        let frame = copy.pack.frames.get(copy.place.frame as usize);
        let fits = frame.is_some_and(|frame| frame.kind == FrameKind::Data)
            && u64::from(copy.place.len) == piece.len;
        if !fits {
            return false;
        }
        let id = copy.pack.id;
        if let Some(is_sound) = self.sound.get(&id) {
            return is_sound;
        }
        let is_sound = self.reader.chunks().is_alive(&id) && !self.damaged.contains(&id);
        self.sound.insert(id, is_sound);
        is_sound
    }

    /// Whether some copy of a chunk is good all the same. That it cannot be asked for now is no answer.
    fn can_be_read(&self, piece: &Piece) -> Result<bool> {
        match self.reader.chunk(FrameKind::Data, &piece.id) {
            Ok(raw) => Ok(raw.len() as u64 == piece.len),
            Err(error) if error.is_loss() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_lies_between_holes() {
        let range = |offset, len| Range { offset, len };
        // Content 0..10, hole of 5, content 10..20, hole of 100, content 20..30.
        let holes = [range(10, 5), range(25, 100)];
        let check = |start: u64, len: u64, expect: &[Range]| {
            let mut offsets = Offsets::new(&holes);
            offsets.next(start);
            assert_eq!(offsets.next_ranges(len), expect, "{start} {len}");
            let mut offsets = Offsets::new(&holes);
            offsets.next(start);
            assert_eq!(offsets.next(len), expect[0].offset, "{start} {len}");
        };
        check(0, 10, &[range(0, 10)]);
        check(10, 10, &[range(15, 10)]);
        check(20, 10, &[range(125, 10)]);
        check(5, 20, &[range(5, 5), range(15, 10), range(125, 5)]);
        check(29, 1, &[range(134, 1)]);
        assert_eq!(Offsets::new(&[range(0, 7)]).next_ranges(4), [range(7, 4)]);
    }
}
