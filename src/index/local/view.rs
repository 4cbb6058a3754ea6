//! Reads the families.

use std::collections::HashSet;
use std::sync::Arc;

use rocksdb::{Direction, IteratorMode, ReadOptions};

use super::store::{CHUNKS, COUNT_KEY, FENCE_KEY, PACKS, SEGMENTS, Store};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, SegmentId};
use crate::index::memory::unknown_pack;
use crate::index::numbers::{self, HEAD_PREFIX, head_key, id_key, record_key};
use crate::index::plan::{Known, KnownPack};
use crate::index::{PackHead, PackNo, PackRecord, Place, Progress};

/// Ids in one request: the blocks it pins (4 KiB each) stay below 2 MiB.
const BATCH_COUNT: usize = 512;

impl Store {
    /// How far packs, chunks and segments got, if they belong together.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when a crash, a broken disk or a reader's unlucky moment left them
    /// at different times.
    pub(super) fn progress(&self) -> Result<Progress> {
        let wrong = || {
            let path = self.home.database();
            let message = format!("the parts of the local index at {} disagree", path.display());
            Error::new(ErrorKind::Damaged, message)
        };
        let mut packs = self.db.iterator_cf(
            self.family(PACKS),
            IteratorMode::From(&head_key(PackNo(u32::MAX)), Direction::Reverse),
        );
        let next_no = match packs.next() {
            Some(Ok((key, _))) if key.first() == Some(&HEAD_PREFIX) => {
                let last = numbers::decode_head_key(&key).ok_or_else(wrong)?;
                last.0.checked_add(1).ok_or_else(wrong)?
            }
            Some(Err(error)) => return Err(self.error("read", error)),
            Some(Ok(_)) | None => 0,
        };
        let get = |family, key| {
            self.db.get_cf(self.family(family), key).map_err(|error| self.error("read", error))
        };
        let count = match get(SEGMENTS, COUNT_KEY)? {
            Some(bytes) => Progress::decode_count(&bytes).map_err(|_| wrong())?,
            None => 0,
        };
        let chunks = match get(CHUNKS, FENCE_KEY)? {
            Some(bytes) => Progress::decode(&bytes).map_err(|_| wrong())?,
            None => Progress { next_no: 0, count: 0 },
        };
        if chunks.next_no > next_no || chunks.count < count {
            return Err(wrong());
        }
        // A filling whose segments were not marked is done again, under a count of its own.
        Ok(Progress { next_no, count: chunks.count })
    }

    pub(super) fn segments(&self) -> Result<HashSet<SegmentId>> {
        let mut segments = HashSet::new();
        for entry in self.db.iterator_cf(self.family(SEGMENTS), IteratorMode::Start) {
            let (key, _) = entry.map_err(|error| self.error("read", error))?;
            segments.extend(SegmentId::from_slice(&key));
        }
        Ok(segments)
    }

    pub(super) fn packs_of(&self, segment: &SegmentId) -> Result<Option<Vec<PackNo>>> {
        let value = self
            .db
            .get_pinned_cf(self.family(SEGMENTS), segment.as_bytes())
            .map_err(|error| self.error("read", error))?;
        value.map(|value| numbers::decode(&value).map_err(|_| self.unreadable())).transpose()
    }

    pub(super) fn each_place(
        &self,
        ids: &[ChunkId],
        found: &mut dyn FnMut(usize, Place),
    ) -> Result<()> {
        let chunks = self.family(CHUNKS);
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_unstable_by_key(|position| ids[*position]);
        for batch in order.chunks(BATCH_COUNT) {
            let keys = batch.iter().map(|position| ids[*position].as_bytes());
            let values = self.db.batched_multi_get_cf(chunks, keys, true);
            for (position, value) in batch.iter().zip(values) {
                if let Some(value) = value.map_err(|error| self.error("read", error))? {
                    for place in Place::decode_all(&value) {
                        found(*position, place);
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn pack(&self, no: PackNo) -> Result<Arc<PackRecord>> {
        self.recent.get(no, || {
            let value = self
                .db
                .get_pinned_cf(self.family(PACKS), record_key(no))
                .map_err(|error| self.error("read", error))?
                .ok_or_else(|| unknown_pack(no))?;
            PackRecord::decode(&value).inspect_err(|_| self.poison())
        })
    }

    pub(super) fn packs(&self, visit: &mut dyn FnMut(PackNo, &PackId, u64)) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(b"n".to_vec());
        options.set_iterate_upper_bound(b"o".to_vec());
        // Read once a run; the cache is for chunks.
        options.fill_cache(false);
        let packs = self.family(PACKS);
        for entry in self.db.iterator_cf_opt(packs, options, IteratorMode::Start) {
            let (key, value) = entry.map_err(|error| self.error("read", error))?;
            let head = numbers::decode_head_key(&key).zip(PackHead::decode(&value).ok());
            let (no, head) = head.ok_or_else(|| self.unreadable())?;
            visit(no, &head.id, head.len);
        }
        Ok(())
    }

    /// The error for numbers of packs that are not what this program wrote.
    fn unreadable(&self) -> Error {
        self.poison();
        Error::new(ErrorKind::Damaged, "could not read the packs of the local index")
    }

    pub(super) fn pack_no(&self, id: &PackId) -> Result<Option<PackNo>> {
        Ok(self.pack_nos(std::slice::from_ref(id))?.pop().flatten())
    }

    fn pack_nos(&self, ids: &[PackId]) -> Result<Vec<Option<PackNo>>> {
        let keys: Vec<_> = ids.iter().map(id_key).collect();
        self.db
            .batched_multi_get_cf(self.family(PACKS), &keys, false)
            .into_iter()
            .map(|value| {
                let value = value.map_err(|error| self.error("read", error))?;
                let numbers = value.map(|value| numbers::decode(&value));
                let numbers = numbers.transpose().map_err(|_| self.unreadable())?;
                Ok(numbers.and_then(|numbers| numbers.first().copied()))
            })
            .collect()
    }

    pub(super) fn chunk_count_estimate(&self) -> u64 {
        let property = rocksdb::properties::ESTIMATE_NUM_KEYS;
        self.db.property_int_value_cf(self.family(CHUNKS), property).ok().flatten().unwrap_or(0)
    }
}

impl Known for Store {
    fn is_applied(&self, id: &SegmentId) -> Result<bool> {
        let value = self.db.get_pinned_cf(self.family(SEGMENTS), id.as_bytes());
        Ok(value.map_err(|error| self.error("read", error))?.is_some())
    }

    fn tables(&self, ids: &[PackId]) -> Result<Vec<Option<KnownPack>>> {
        self.pack_nos(ids)?
            .into_iter()
            .map(|no| {
                let Some(no) = no else { return Ok(None) };
                let value = self
                    .db
                    .get_cf(self.family(PACKS), record_key(no))
                    .map_err(|error| self.error("read", error))?;
                Ok(Some((no, value.unwrap_or_default())))
            })
            .collect()
    }
}
