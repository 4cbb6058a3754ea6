//! Reads the families.

use std::collections::HashSet;
use std::sync::Arc;

use rocksdb::{Direction, IteratorMode, ReadOptions};

use super::store::{CHUNKS, COUNT_KEY, FENCE_KEY, PACKS, SEGMENTS, Store};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, SegmentId};
use crate::format::wire::Cursor;
use crate::index::memory::unknown_pack;
use crate::index::plan::{Known, KnownPack};
use crate::index::{PackNo, PackRecord, Place};

/// Ids in one request: the blocks it pins (4 KiB each) stay below 2 MiB.
const BATCH_COUNT: usize = 512;

/// How far the families got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// The first pack number that is free.
    pub(super) next_no: u32,
    /// Fillings so far.
    pub(super) count: u64,
}

impl Progress {
    /// Number, then count, little-endian.
    pub(super) fn encode(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[0..4].copy_from_slice(&self.next_no.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }
}

/// Key of id and length of a pack.
pub(super) fn number_key(no: PackNo) -> [u8; 5] {
    numbered(b'n', no)
}

/// Key of the record of a pack.
pub(super) fn record_key(no: PackNo) -> [u8; 5] {
    numbered(b'f', no)
}

/// Key of the number of a pack.
pub(super) fn id_key(id: &PackId) -> [u8; 33] {
    let mut key = [b'i'; 33];
    key[1..].copy_from_slice(id.as_bytes());
    key
}

/// Big-endian, so that keys are in the order of numbers.
fn numbered(prefix: u8, no: PackNo) -> [u8; 5] {
    let mut key = [prefix; 5];
    key[1..].copy_from_slice(&no.0.to_be_bytes());
    key
}

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
            IteratorMode::From(&number_key(PackNo(u32::MAX)), Direction::Reverse),
        );
        let next_no = match packs.next() {
            Some(Ok((key, _))) if key.first() == Some(&b'n') => match key[1..].try_into() {
                Ok(bytes) => u32::from_be_bytes(bytes).checked_add(1).ok_or_else(wrong)?,
                Err(_) => return Err(wrong()),
            },
            Some(Err(error)) => return Err(self.error("read", error)),
            Some(Ok(_)) | None => 0,
        };
        let get = |family, key| {
            self.db.get_cf(self.family(family), key).map_err(|error| self.error("read", error))
        };
        let count = match get(SEGMENTS, COUNT_KEY)? {
            Some(bytes) => Cursor::new(&bytes).u64().map_err(|_| wrong())?,
            None => 0,
        };
        let chunks = match get(CHUNKS, FENCE_KEY)? {
            Some(bytes) => {
                let mut cursor = Cursor::new(&bytes);
                let next_no = cursor.u32().map_err(|_| wrong())?;
                Progress { next_no, count: cursor.u64().map_err(|_| wrong())? }
            }
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
        Ok(value.map(|value| {
            let mut cursor = Cursor::new(&value);
            std::iter::from_fn(|| cursor.u32().ok().map(PackNo)).collect()
        }))
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
            let mut cursor = Cursor::new(&value);
            let number = key.get(1..).and_then(|bytes| bytes.try_into().ok());
            let (Some(number), Ok(id), Ok(len)) = (number, cursor.array(), cursor.u64()) else {
                self.poison();
                return Err(Error::new(
                    ErrorKind::Damaged,
                    "could not read the packs of the local index",
                ));
            };
            visit(PackNo(u32::from_be_bytes(number)), &PackId::new(id), len);
        }
        Ok(())
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
                Ok(value.and_then(|value| Cursor::new(&value).u32().ok()).map(PackNo))
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
