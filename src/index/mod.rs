//! Remembers where chunks lie, as the index segments of a repository say.
//!
//! Nothing here is the truth: everything comes from segments that the caller fetched, opened and
//! hands in, and may be thrown away at any time. A place is only a claim until its pack was seen
//! in a listing ([`Alive`]).
//!
//! ```text
//! segments ──▶ plan ──▶ memory      arrays in memory: tests, simulation, last resort
//!              number    local       RocksDB, one process at a time
//!              packs     shared      the same RocksDB read beside its owner, plus memory
//!                          └── cache picks one of the three and never fails
//! ```

mod alive;
mod buckets;
pub(crate) mod cache;
#[cfg(test)]
mod conformance;
#[cfg(feature = "rocksdb")]
mod local;
mod memory;
pub mod numbers;
mod place;
mod plan;
mod progress;
mod recent;
mod record;
pub mod remembered;
mod rows;
mod scratch;
mod stamp;
#[cfg(test)]
mod testdata;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::base::{ChunkId, Error, PackId, Result, SegmentId};
use crate::format::segment::{Fence, SegmentEntry};

pub use alive::Alive;
pub use cache::{Cache, CacheOptions, Notice, State};
#[cfg(feature = "rocksdb")]
pub use local::{LocalIndex, OpenError, SharedIndex};
pub use memory::MemoryIndex;
pub use place::{PackNo, Place};
pub use progress::Progress;
pub use record::{FramePlace, PackHead, PackRecord};
pub use rows::{MemoryRows, NoRows, RowKey, Rows, UntouchedRows};
pub use scratch::Scratch;
pub use stamp::Stamp;

/// An opened index segment: what it says about packs, and its entries in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Packs, frames and origins.
    pub fence: Fence,
    /// The entries of all blocks, strictly ascending.
    pub entries: Vec<SegmentEntry>,
}

/// A segment that was left out, since it contradicts itself or a segment applied before.
#[derive(Debug)]
pub struct Refused {
    /// The segment.
    pub segment: SegmentId,
    /// Why; names the segment.
    pub error: Error,
    /// The pack that another segment describes otherwise, if that is why.
    pub contested: Option<PackId>,
}

/// Answers where chunks lie and how the frames there are to be read.
///
/// Errors come from the local storage, never from the repository; after one, nothing the index
/// said is wrong, but it may be unable to say more: see [`Cache::recover`].
pub trait Index: Send + Sync {
    /// The segments applied so far.
    ///
    /// # Errors
    /// When the local storage fails.
    fn segments(&self) -> Result<HashSet<SegmentId>>;

    /// Takes in segments at once, which is cheaper than one by one; those known already change
    /// nothing.
    ///
    /// Returns the refused ones; all others are applied. Holds no copy of the entries.
    ///
    /// # Errors
    /// When the local storage fails, with [`crate::base::ErrorKind::Full`] when no space is left.
    /// Segments may then be applied in part, which is harmless.
    fn apply_many(&self, segments: &[(SegmentId, &Segment)]) -> Result<Vec<Refused>>;

    /// Takes in one segment.
    ///
    /// # Errors
    /// When it is refused, or as [`Index::apply_many`].
    fn apply(&self, id: SegmentId, segment: &Segment) -> Result<()> {
        match self.apply_many(&[(id, segment)])?.pop() {
            Some(refused) => Err(refused.error),
            None => Ok(()),
        }
    }

    /// The packs that an applied segment names, or nothing when it is not applied.
    ///
    /// # Errors
    /// When the local storage fails.
    fn packs_of(&self, segment: &SegmentId) -> Result<Option<Vec<PackNo>>>;

    /// Reports every known place of every id as (position in `ids`, place), in any order; a place
    /// may be reported twice.
    ///
    /// # Errors
    /// When the local storage fails.
    fn each_place(&self, ids: &[ChunkId], found: &mut dyn FnMut(usize, Place)) -> Result<()>;

    /// All known places of each id, ascending, each once.
    ///
    /// # Errors
    /// When the local storage fails.
    fn find(&self, ids: &[ChunkId]) -> Result<Vec<Vec<Place>>> {
        let mut places = vec![Vec::new(); ids.len()];
        self.each_place(ids, &mut |position, place| places[position].push(place))?;
        for list in &mut places {
            if list.len() > 1 {
                list.sort_unstable();
                list.dedup();
            }
        }
        Ok(places)
    }

    /// Whether each id has a place in a pack that is alive: the question of deduplication.
    ///
    /// # Errors
    /// When the local storage fails.
    fn find_alive(&self, ids: &[ChunkId], alive: &Alive) -> Result<Vec<bool>> {
        let mut known = vec![false; ids.len()];
        self.each_place(ids, &mut |position, place| {
            known[position] = known[position] || alive.contains(place.pack);
        })?;
        Ok(known)
    }

    /// How to read a pack.
    ///
    /// # Errors
    /// When no pack has this number, or the local storage fails.
    fn pack(&self, no: PackNo) -> Result<Arc<PackRecord>>;

    /// Reports number, id and length of every pack that any segment ever named.
    ///
    /// # Errors
    /// When the local storage fails.
    fn packs(&self, visit: &mut dyn FnMut(PackNo, &PackId, u64)) -> Result<()>;

    /// The number of a pack.
    ///
    /// # Errors
    /// When the local storage fails.
    fn pack_no(&self, id: &PackId) -> Result<Option<PackNo>>;

    /// About how many chunks have a place; duplicates may count twice.
    fn chunk_count_estimate(&self) -> u64;
}

/// Locks without caring whether another thread panicked: every change here is made in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], for many readers.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], for one writer.
fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
