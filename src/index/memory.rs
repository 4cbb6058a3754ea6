//! The index in memory: for tests, for simulation, for hosts without a usable cache directory.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

use super::buckets::Buckets;
use super::plan::{Known, KnownPack, Plan};
use super::recent::Recent;
use super::{Index, PackNo, PackRecord, Place, Refused, Segment, read, write};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, SegmentId};

/// An index that keeps everything in memory, about 51 bytes a chunk plus 10 a frame.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    state: RwLock<State>,
    recent: Recent,
}

#[derive(Debug, Default)]
struct State {
    segments: HashMap<SegmentId, Vec<PackNo>>,
    /// Number of `packs[0]`; the numbers below belong to the index this one lies over.
    first_no: u32,
    packs: Vec<Pack>,
    numbers: HashMap<PackId, PackNo>,
    chunks: Buckets,
}

#[derive(Debug)]
struct Pack {
    id: PackId,
    len: u64,
    /// Encoded, since the decoded form is three times as large.
    table: Box<[u8]>,
}

/// What this index knows, or else the index below.
struct Layers<'a> {
    state: &'a State,
    below: Option<&'a dyn Known>,
}

impl MemoryIndex {
    /// An empty index that numbers packs from `first_no`.
    #[cfg(feature = "rocksdb")]
    pub(super) fn over(first_no: u32) -> Self {
        let state = State { first_no, ..State::default() };
        Self { state: RwLock::new(state), recent: Recent::default() }
    }

    /// Takes in segments that the index below does not have; its packs keep their numbers.
    pub(super) fn apply_over(
        &self,
        segments: &[(SegmentId, &Segment)],
        below: Option<&dyn Known>,
    ) -> Result<Vec<Refused>> {
        let mut state = write(&self.state);
        let next = state.first_no + state.packs.len() as u32;
        let plan = Plan::new(segments, &Layers { state: &state, below }, next)?;

        state.chunks.reserve(plan.entry_count());
        let mut group: Vec<(ChunkId, Place)> = Vec::new();
        let chunks = &mut state.chunks;
        plan.each_chunk(&mut |id, places| {
            if let Some((first, _)) = group.first()
                && chunks.bucket_of(first) != chunks.bucket_of(id)
            {
                chunks.merge(chunks.bucket_of(first), &group);
                group.clear();
            }
            group.extend(places.iter().map(|place| (*id, *place)));
            Ok(())
        })?;
        if let Some((first, _)) = group.first() {
            chunks.merge(chunks.bucket_of(first), &group);
        }
        for (no, table) in plan.fresh {
            state.numbers.insert(table.id, no);
            state.packs.push(Pack {
                id: table.id,
                len: table.len,
                table: table.bytes.into_boxed_slice(),
            });
        }
        for segment in plan.segments {
            state.segments.insert(segment.id, segment.packs);
        }
        Ok(plan.refused)
    }
}

impl State {
    fn pack(&self, no: PackNo) -> Option<&Pack> {
        self.packs.get(no.0.checked_sub(self.first_no)? as usize)
    }
}

impl Known for Layers<'_> {
    fn is_applied(&self, id: &SegmentId) -> Result<bool> {
        if self.state.segments.contains_key(id) {
            return Ok(true);
        }
        self.below.map_or(Ok(false), |below| below.is_applied(id))
    }

    fn tables(&self, ids: &[PackId]) -> Result<Vec<Option<KnownPack>>> {
        let mut tables = match self.below {
            Some(below) => below.tables(ids)?,
            None => vec![None; ids.len()],
        };
        for (id, table) in ids.iter().zip(&mut tables) {
            if table.is_none()
                && let Some(no) = self.state.numbers.get(id)
            {
                *table = self.state.pack(*no).map(|pack| (*no, pack.table.to_vec()));
            }
        }
        Ok(tables)
    }
}

impl Index for MemoryIndex {
    fn segments(&self) -> Result<HashSet<SegmentId>> {
        Ok(read(&self.state).segments.keys().copied().collect())
    }

    fn apply_many(&self, segments: &[(SegmentId, &Segment)]) -> Result<Vec<Refused>> {
        self.apply_over(segments, None)
    }

    fn packs_of(&self, segment: &SegmentId) -> Result<Option<Vec<PackNo>>> {
        Ok(read(&self.state).segments.get(segment).cloned())
    }

    fn each_place(&self, ids: &[ChunkId], found: &mut dyn FnMut(usize, Place)) -> Result<()> {
        let state = read(&self.state);
        for (position, id) in ids.iter().enumerate() {
            for place in state.chunks.places(id) {
                found(position, place);
            }
        }
        Ok(())
    }

    fn pack(&self, no: PackNo) -> Result<Arc<PackRecord>> {
        self.recent.get(no, || {
            let state = read(&self.state);
            let pack = state.pack(no).ok_or_else(|| unknown_pack(no))?;
            PackRecord::decode(&pack.table)
        })
    }

    fn packs(&self, visit: &mut dyn FnMut(PackNo, &PackId, u64)) -> Result<()> {
        let state = read(&self.state);
        for (no, pack) in (state.first_no..).zip(&state.packs) {
            visit(PackNo(no), &pack.id, pack.len);
        }
        Ok(())
    }

    fn pack_no(&self, id: &PackId) -> Result<Option<PackNo>> {
        Ok(read(&self.state).numbers.get(id).copied())
    }

    fn chunk_count_estimate(&self) -> u64 {
        read(&self.state).chunks.entry_count() as u64
    }
}

/// The error for a number that no pack has: a mix-up of two indexes.
pub(super) fn unknown_pack(no: PackNo) -> Error {
    Error::new(ErrorKind::Bug, format!("the index has no pack number {}", no.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::conformance;
    use crate::index::testdata::{self, chunk, segment_id};

    #[test]
    fn memory_does_what_every_index_does() {
        conformance::check(&|segments, test| {
            let index = MemoryIndex::default();
            for (id, segment) in segments {
                index.apply(segment_id(*id), segment).unwrap();
            }
            test(&index);
        });
    }

    #[test]
    fn a_chunk_costs_about_fifty_bytes() {
        let index = MemoryIndex::default();
        for n in 0..50u64 {
            let chunks: Vec<_> = (n * 4000..(n + 1) * 4000).map(|chunk| (chunk, 0)).collect();
            index.apply(segment_id(n), &testdata::segment(&[n], &chunks)).unwrap();
        }
        let state = read(&index.state);
        let bytes = state.chunks.allocated_bytes();
        let count = state.chunks.entry_count();
        assert_eq!(count, 200_000);
        assert!(bytes / count < 52, "{bytes} bytes for {count} chunks");
    }

    proptest! {
        #[test]
        fn every_entry_is_found_where_a_segment_says(segments in testdata::segments()) {
            let index = MemoryIndex::default();
            for (n, segment) in (0..).zip(&segments) {
                index.apply(segment_id(n), segment).unwrap();
            }
            let ids: Vec<_> = (0..70).map(chunk).collect();
            let mut expect = vec![Vec::new(); ids.len()];
            for segment in &segments {
                for entry in &segment.entries {
                    let position = ids.iter().position(|id| *id == entry.id).unwrap();
                    let pack = segment.fence.packs[entry.pack as usize].id;
                    expect[position].push((pack, entry.frame, entry.offset, entry.len));
                }
            }
            for list in &mut expect {
                list.sort_unstable();
                list.dedup();
            }
            prop_assert_eq!(testdata::places(&index, &ids), expect);
        }
    }
}
