//! Tells whether all of a file is stored that an earlier run has read, before it is taken over.
//!
//! The rows of a run that committed are relied on as they are, because its snapshot is. A run that was
//! killed may have noted files whose chunks never reached the repository, and where packs are damaged or
//! gone, so may be what a snapshot needs.

use super::blocks::Listed;
use super::rows::RowChild;
use super::seal::Sealer;
use crate::base::{ChunkId, Result};
use crate::format::entry::Entry;
use crate::format::list::ChunkList;
use crate::repo::list::read_page;
use crate::repo::reader::Reader;

/// Chunks that are asked for at a time.
const BATCH_COUNT: usize = 4096;

/// Asks for each chunk.
pub struct Proof<'a>(Reader<'a>);

impl<'a> Proof<'a> {
    /// Packs must have been listed.
    pub fn new(reader: Reader<'a>) -> Self {
        Self(reader)
    }

    /// Whether every chunk of a file, and every page of its list, is in a pack that can be relied on.
    /// What cannot be told is not.
    pub(super) fn is_stored(&self, row: &RowChild) -> bool {
        let Ok(entry) = Entry::decode(&row.entry) else { return false };
        entry.content.is_none_or(|list| self.has_all(&list).unwrap_or(false))
    }

    /// The first chunks of a list, as far as each is in a pack that can be relied on, in a list that can go
    /// on. Its pages are sealed where they are not stored.
    ///
    /// # Errors
    /// When the run is ending.
    pub(super) fn stored_front(&self, list: &ChunkList, sealer: &Sealer<'_>) -> Result<Listed> {
        let mut listed = Listed::default();
        self.add_front(list, &mut listed, sealer)?;
        Ok(listed)
    }

    /// Adds what is stored of a list; says whether that is all.
    fn add_front(
        &self,
        list: &ChunkList,
        listed: &mut Listed,
        sealer: &Sealer<'_>,
    ) -> Result<bool> {
        for pieces in list.pieces.chunks(BATCH_COUNT) {
            let ids: Vec<ChunkId> = pieces.iter().map(|piece| piece.id).collect();
            let alive = self.0.chunks().find_alive(&ids)?;
            for (piece, is_alive) in pieces.iter().zip(alive) {
                if !is_alive {
                    return Ok(false);
                }
                if list.level == 0 {
                    listed.push(*piece, sealer)?;
                    continue;
                }
                let Ok(page) = read_page(&self.0, piece, list.level - 1) else { return Ok(false) };
                if !self.add_front(&page, listed, sealer)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn has_all(&self, list: &ChunkList) -> Result<bool> {
        for pieces in list.pieces.chunks(BATCH_COUNT) {
            let ids: Vec<ChunkId> = pieces.iter().map(|piece| piece.id).collect();
            if !self.0.chunks().find_alive(&ids)?.into_iter().all(|is_alive| is_alive) {
                return Ok(false);
            }
            if list.level == 0 {
                continue;
            }
            for piece in pieces {
                if !self.has_all(&read_page(&self.0, piece, list.level - 1)?)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
