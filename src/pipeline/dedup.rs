//! Decides which chunks are new.
//!
//! The only place where a chunk can be skipped. A chunk is known when the index has a place for it
//! in a pack that was listed this session, or when this run has promised to store it. Promises are
//! withdrawn once the segment that keeps them is in the index, so their number stays bounded.

use std::collections::HashSet;
use std::sync::Mutex;

use crate::base::{ChunkId, PackId, Progress, Result};
use crate::repo::chunks::Chunks;

/// Locks that promises are spread over, so that workers seldom meet.
const SHARD_COUNT: usize = 16;

/// What is known, and what is promised.
pub struct Dedup<'a> {
    chunks: &'a Chunks,
    /// Packs that were there and are damaged or gone.
    lost: &'a HashSet<PackId>,
    progress: &'a Progress,
    promised: [Mutex<HashSet<ChunkId>>; SHARD_COUNT],
}

impl<'a> Dedup<'a> {
    /// Starts without promises. New chunks that were in a `lost` pack are counted.
    pub fn new(chunks: &'a Chunks, lost: &'a HashSet<PackId>, progress: &'a Progress) -> Self {
        Self { chunks, lost, progress, promised: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Says for each id whether the caller must store it. Each new id is promised to exactly one
    /// caller.
    ///
    /// # Errors
    /// When neither the local index nor its replacement answers.
    pub fn claim(&self, ids: &[ChunkId]) -> Result<Vec<bool>> {
        let mut fresh: Vec<bool> = ids.iter().map(|id| !self.is_promised(id)).collect();
        let unknown: Vec<ChunkId> =
            ids.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(id, _)| *id).collect();
        if unknown.is_empty() {
            return Ok(fresh);
        }
        let mut stored = self.chunks.find_alive(&unknown)?.into_iter();
        for (id, fresh) in ids.iter().zip(&mut fresh) {
            if *fresh {
                let is_stored = stored.next().expect("one answer for each question");
                *fresh = !is_stored && self.shard(id).insert(*id);
            }
        }
        if !self.lost.is_empty() {
            let new = ids.iter().zip(&fresh).filter(|(_, fresh)| **fresh).map(|(id, _)| *id);
            self.count_healed(&new.collect::<Vec<_>>())?;
        }
        let new = || fresh.iter().filter(|fresh| **fresh).count();
        tracing::trace!(asked = ids.len(), new = new(), "chunks looked up");
        Ok(fresh)
    }

    fn count_healed(&self, new: &[ChunkId]) -> Result<()> {
        let copies = self.chunks.locate(new)?.into_iter();
        let was_there = copies.filter(|all| all.iter().any(|c| self.lost.contains(&c.pack.id)));
        self.progress.healed_chunks.add(was_there.count() as u64);
        Ok(())
    }

    /// Withdraws promises that are kept: the index knows the chunks now.
    pub fn keep(&self, ids: impl Iterator<Item = ChunkId>) {
        for id in ids {
            self.shard(&id).remove(&id);
        }
    }

    fn is_promised(&self, id: &ChunkId) -> bool {
        self.shard(id).contains(id)
    }

    fn shard(&self, id: &ChunkId) -> std::sync::MutexGuard<'_, HashSet<ChunkId>> {
        let shard = usize::from(id.as_bytes()[0]) % SHARD_COUNT;
        self.promised[shard].lock().expect("no thread panics while it holds the lock")
    }
}
