//! Reads the local index beside the process that owns it.
//!
//! What the owner had at the moment of opening is seen, and stays as it was; segments it lacked go
//! into an index in memory that lies over it. The view is not refreshed: numbers of packs that the
//! owner gives out later would collide with those in memory, and nothing would be gained, since the
//! caller applies the missing segments anyway.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::OpenError;
use super::home::{Home, ReaderDir};
use super::store::{Store, Trouble};
use crate::base::{ChunkId, PackId, RepositoryId, Result, SegmentId};
use crate::index::{Index, MemoryIndex, PackNo, PackRecord, Place, Refused, Segment};

/// The owner may be creating the database, or deleting files while they are opened.
const TRY_COUNT: u32 = 4;
/// Pause before the second attempt; it doubles.
const TRY_PAUSE: Duration = Duration::from_millis(40);

/// The RocksDB index of another process, and what that process does not have.
#[derive(Debug)]
pub struct SharedIndex {
    store: Store,
    /// First number that the owner's view does not have.
    next_no: u32,
    over: MemoryIndex,
    /// Dropped after the database that writes its log there.
    _private: ReaderDir,
}

impl SharedIndex {
    /// Opens for reading what another process has open below `dir`.
    ///
    /// # Errors
    /// [`OpenError::Unusable`] when a consistent view cannot be had.
    pub fn open(
        dir: &Path,
        repository: RepositoryId,
        cache_bytes: usize,
    ) -> Result<Self, OpenError> {
        let home = Home::new(dir);
        let mut pause = TRY_PAUSE;
        for _ in 1..TRY_COUNT {
            match Self::try_open(&home, repository, cache_bytes) {
                Ok(index) => return Ok(index),
                Err(_) => std::thread::sleep(pause),
            }
            pause *= 2;
        }
        Self::try_open(&home, repository, cache_bytes).map_err(|trouble| match trouble {
            Trouble::Locked => OpenError::Locked,
            Trouble::Failed(error) => OpenError::Unusable(error),
        })
    }

    fn try_open(
        home: &Home,
        repository: RepositoryId,
        cache_bytes: usize,
    ) -> Result<Self, Trouble> {
        let private = home.reader_dir()?;
        let store = Store::open_beside(home, private.path(), cache_bytes)?;
        store.check_identity(repository)?;
        // Refuses a view in which one family is older than another, which can happen when files
        // vanish while they are opened.
        let next_no = store.progress()?.next_no;
        Ok(Self { store, next_no, over: MemoryIndex::over(next_no), _private: private })
    }

    /// Rows and meta records, for reading.
    pub(in crate::index) fn store(&self) -> &Store {
        &self.store
    }
}

impl Index for SharedIndex {
    fn segments(&self) -> Result<HashSet<SegmentId>> {
        let mut segments = self.store.segments()?;
        segments.extend(self.over.segments()?);
        Ok(segments)
    }

    fn apply_many(&self, segments: &[(SegmentId, &Segment)]) -> Result<Vec<Refused>> {
        self.over.apply_over(segments, Some(&self.store))
    }

    fn packs_of(&self, segment: &SegmentId) -> Result<Option<Vec<PackNo>>> {
        match self.store.packs_of(segment)? {
            Some(packs) => Ok(Some(packs)),
            None => self.over.packs_of(segment),
        }
    }

    fn each_place(&self, ids: &[ChunkId], found: &mut dyn FnMut(usize, Place)) -> Result<()> {
        self.store.each_place(ids, found)?;
        self.over.each_place(ids, found)
    }

    fn pack(&self, no: PackNo) -> Result<Arc<PackRecord>> {
        if no.0 < self.next_no { self.store.pack(no) } else { self.over.pack(no) }
    }

    fn packs(&self, visit: &mut dyn FnMut(PackNo, &PackId, u64)) -> Result<()> {
        self.store.packs(visit)?;
        self.over.packs(visit)
    }

    fn pack_no(&self, id: &PackId) -> Result<Option<PackNo>> {
        match self.store.pack_no(id)? {
            Some(no) => Ok(Some(no)),
            None => self.over.pack_no(id),
        }
    }

    fn chunk_count_estimate(&self) -> u64 {
        self.store.chunk_count_estimate() + self.over.chunk_count_estimate()
    }
}
