//! Chunk lists of any length: cutting one into pages, walking one in order.

use super::reader::Reader;
use crate::base::{ChunkId, Error, Result};
use crate::format::FrameKind;
use crate::format::list::{ChunkList, INLINE_COUNT_MAX, LEVEL_MAX, Piece, ends_page};

/// Stores the raw bytes of a tree node or page and returns its id.
pub type PutMetadata<'a> = dyn FnMut(Vec<u8>) -> Result<ChunkId> + 'a;

/// Gathers the chunks of one stream, storing full pages as it goes.
#[derive(Clone, Debug, Default)]
pub struct ListBuilder {
    levels: Vec<Vec<Piece>>,
}

impl ListBuilder {
    /// Adds the next chunk.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn push(&mut self, piece: Piece, put: &mut PutMetadata<'_>) -> Result<()> {
        self.push_at(0, piece, put)
    }

    /// The list that stands in the entry; absent for an empty stream.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn finish(mut self, put: &mut PutMetadata<'_>) -> Result<Option<ChunkList>> {
        let mut level = 0;
        while level < self.levels.len() {
            let is_top = level + 1 == self.levels.len();
            let pieces = std::mem::take(&mut self.levels[level]);
            if is_top && pieces.len() <= INLINE_COUNT_MAX {
                let list = ChunkList { level: level as u8, pieces };
                return Ok((!list.pieces.is_empty()).then_some(list));
            }
            if !pieces.is_empty() {
                self.close_page(level, pieces, put)?;
            }
            level += 1;
        }
        Ok(None)
    }

    fn push_at(&mut self, level: usize, piece: Piece, put: &mut PutMetadata<'_>) -> Result<()> {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        let pieces = &mut self.levels[level];
        pieces.push(piece);
        if ends_page(&piece.id, pieces.len()) {
            let pieces = std::mem::take(pieces);
            self.close_page(level, pieces, put)?;
        }
        Ok(())
    }

    fn close_page(
        &mut self,
        level: usize,
        pieces: Vec<Piece>,
        put: &mut PutMetadata<'_>,
    ) -> Result<()> {
        assert!(level < usize::from(LEVEL_MAX), "no stream has that many chunks");
        let page = ChunkList { level: level as u8, pieces };
        let len = page.content_len().expect("a stream is shorter than 2^64 bytes");
        let id = put(page.encode_page())?;
        self.push_at(level + 1, Piece { id, len }, put)
    }
}

/// Calls `visit` for every chunk of `list` in order.
///
/// # Errors
/// Names the page that cannot be read; errors of `visit` end the walk.
pub fn for_each_chunk(
    reader: &Reader<'_>,
    list: &ChunkList,
    visit: &mut dyn FnMut(Piece) -> Result<()>,
) -> Result<()> {
    for_each_range(reader, list, &mut |range| match range {
        Ranged::Chunk(piece) => visit(piece),
        Ranged::Lost(_, error) => Err(error),
    })
}

/// A part of a stream.
#[derive(Debug)]
pub enum Ranged {
    /// A chunk.
    Chunk(Piece),
    /// So many bytes of which nothing is known, because a page cannot be read.
    Lost(u64, Error),
}

/// Calls `visit` for every part of `list` in order: a page that cannot be read costs its own range.
///
/// # Errors
/// Errors of `visit` end the walk.
pub fn for_each_range(
    reader: &Reader<'_>,
    list: &ChunkList,
    visit: &mut dyn FnMut(Ranged) -> Result<()>,
) -> Result<()> {
    for piece in &list.pieces {
        if list.level == 0 {
            visit(Ranged::Chunk(*piece))?;
            continue;
        }
        match read_page(reader, piece, list.level - 1) {
            Ok(page) => for_each_range(reader, &page, visit)?,
            Err(error) => visit(Ranged::Lost(piece.len, error))?,
        }
    }
    Ok(())
}

/// Reads the page that `piece` names and checks that it is of `level` and has the promised sum.
///
/// # Errors
/// Names the page.
pub fn read_page(reader: &Reader<'_>, piece: &Piece, level: u8) -> Result<ChunkList> {
    let raw = reader.chunk(FrameKind::Metadata, &piece.id)?;
    let refuse = |error| super::reader::damaged_chunk(&piece.id, error);
    let page = ChunkList::decode_page(&raw).map_err(refuse)?;
    if page.level != level || page.content_len() != Some(piece.len) {
        return Err(refuse(crate::format::DecodeError::Inconsistent));
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn piece(n: u64) -> Piece {
        Piece { id: ChunkId::new(*blake3::hash(&n.to_le_bytes()).as_bytes()), len: 1 + n % 100 }
    }

    fn build(pieces: &[Piece]) -> (Option<ChunkList>, HashMap<ChunkId, Vec<u8>>) {
        let mut stored = HashMap::new();
        let mut put = |raw: Vec<u8>| {
            let id = ChunkId::new(*blake3::hash(&raw).as_bytes());
            stored.insert(id, raw);
            Ok(id)
        };
        let mut builder = ListBuilder::default();
        for piece in pieces {
            builder.push(*piece, &mut put).expect("storing works");
        }
        let list = builder.finish(&mut put).expect("storing works");
        (list, stored)
    }

    fn flatten(list: &ChunkList, stored: &HashMap<ChunkId, Vec<u8>>, out: &mut Vec<Piece>) {
        for piece in &list.pieces {
            if list.level == 0 {
                out.push(*piece);
            } else {
                let page = ChunkList::decode_page(&stored[&piece.id]).expect("it decodes");
                assert_eq!(page.level, list.level - 1);
                assert_eq!(page.content_len(), Some(piece.len));
                flatten(&page, stored, out);
            }
        }
    }

    #[test]
    fn lists_of_every_length_come_back() {
        for count in [0u64, 1, 16, 17, 255, 256, 257, 5000, 200_000] {
            let pieces: Vec<Piece> = (0..count).map(piece).collect();
            let (list, stored) = build(&pieces);
            let mut found = Vec::new();
            if let Some(list) = &list {
                assert!(list.pieces.len() <= INLINE_COUNT_MAX);
                list.validate(INLINE_COUNT_MAX).expect("it is valid");
                flatten(list, &stored, &mut found);
            }
            assert_eq!(found, pieces, "{count} chunks");
        }
    }

    #[test]
    fn an_insertion_rewrites_few_pages() {
        let mut pieces: Vec<Piece> = (0..100_000).map(piece).collect();
        let (_, before) = build(&pieces);
        pieces.insert(50_000, piece(1_000_000));
        let (_, after) = build(&pieces);
        let new = after.keys().filter(|id| !before.contains_key(id)).count();
        assert!(new <= 4, "{new} of {} pages are new", after.len());
    }
}
