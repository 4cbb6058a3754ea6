//! How much of each pack is needed.

use std::collections::{HashMap, HashSet};

use crate::base::{ChunkId, PackId, Result};
use crate::index::{Alive, Index, PackNo, Place};
use crate::ops::marks::Marks;
use crate::repo::chunks::Chunks;

/// Most chunks that are named because no pack has them.
const LOST_COUNT_MAX: usize = 1000;

/// One pack that can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackUse {
    pub(super) id: PackId,
    /// Its length in bytes.
    pub(super) len: u64,
    /// Raw bytes of its frames.
    pub(super) raw_bytes: u64,
    /// Raw bytes of the frames with a chunk for which it is the pack to keep: of several copies one
    /// counts, and a frame is moved as a whole.
    pub(super) live_bytes: u64,
}

/// Frames of one pack, a bit each.
#[derive(Default)]
struct Frames(Vec<u64>);

impl Frames {
    fn add(&mut self, frame: u32) {
        let word = frame as usize / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (frame % 64);
    }

    fn has(&self, frame: u32) -> bool {
        self.0.get(frame as usize / 64).is_some_and(|word| word & (1 << (frame % 64)) != 0)
    }
}

/// What is needed, pack by pack.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) packs: Vec<PackUse>,
    /// Chunks that are needed and lie in no pack that can be relied on, the first of them.
    pub(super) lost: Vec<ChunkId>,
}

impl Usage {
    /// Counts.
    ///
    /// # Errors
    /// When the index fails.
    pub(super) fn count(chunks: &Chunks, marks: &mut Marks) -> Result<Self> {
        chunks.ask_index(|index, alive| {
            let ids = pack_ids(index, alive)?;
            let mut live: HashMap<PackNo, Frames> = HashMap::new();
            let mut lost = Vec::new();
            marks.batches(&mut |batch| {
                for (id, places) in batch.iter().zip(index.find(batch)?) {
                    match keeper(&places, &ids) {
                        Some(place) => {
                            live.entry(place.pack).or_default().add(place.frame);
                        }
                        None if lost.len() < LOST_COUNT_MAX => lost.push(*id),
                        None => {}
                    }
                }
                Ok(())
            })?;
            let mut packs = Vec::with_capacity(ids.len());
            for (no, (id, len)) in &ids {
                let record = index.pack(*no)?;
                let frames = || record.frames.iter().map(|frame| u64::from(frame.raw_len));
                let raw_bytes = frames().sum();
                let live = live.get(no);
                let live_bytes = frames()
                    .zip(0..)
                    .filter(|(_, frame)| live.is_some_and(|live| live.has(*frame)))
                    .map(|(len, _)| len)
                    .sum();
                packs.push(PackUse { id: *id, len: *len, raw_bytes, live_bytes });
            }
            packs.sort_unstable_by_key(|pack| pack.id);
            Ok(Self { packs, lost })
        })
    }
}

/// Which of `candidates` can go: not those that hold the last copy of a chunk that is needed. Of
/// several such copies one is kept.
///
/// # Errors
/// When the index fails.
pub(super) fn doomed(
    chunks: &Chunks,
    marks: &mut Marks,
    candidates: &HashSet<PackId>,
) -> Result<HashSet<PackId>> {
    chunks.ask_index(|index, alive| {
        let ids = pack_ids(index, alive)?;
        let mut kept: HashSet<PackId> = HashSet::new();
        marks.batches(&mut |batch| {
            for places in index.find(batch)? {
                let holders = || places.iter().filter_map(|place| Some(ids.get(&place.pack)?.0));
                if holders().all(|id| candidates.contains(&id) && !kept.contains(&id)) {
                    kept.extend(holders().min());
                }
            }
            Ok(())
        })?;
        Ok(candidates.difference(&kept).copied().collect())
    })
}

/// Which of `missing`, packs that segments name and that are gone, nobody needs: everything needed of
/// them has another copy.
///
/// # Errors
/// When the index fails.
pub(super) fn unneeded(
    chunks: &Chunks,
    marks: &mut Marks,
    missing: &HashSet<PackId>,
) -> Result<HashSet<PackId>> {
    chunks.ask_index(|index, alive| {
        let ids = pack_ids(index, alive)?;
        let mut gone: HashMap<PackNo, PackId> = HashMap::new();
        index.packs(&mut |no, id, _| {
            if missing.contains(id) {
                gone.insert(no, *id);
            }
        })?;
        marks.batches(&mut |batch| {
            for places in index.find(batch)? {
                if !places.iter().any(|place| ids.contains_key(&place.pack)) {
                    for place in &places {
                        gone.remove(&place.pack);
                    }
                }
            }
            Ok(())
        })?;
        Ok(gone.into_values().collect())
    })
}

/// Which chunks of `wanted`, sorted, are needed.
///
/// # Errors
/// When what was marked cannot be read.
pub(super) fn needed_of(marks: &mut Marks, wanted: &[ChunkId]) -> Result<HashSet<ChunkId>> {
    let mut needed = HashSet::new();
    marks.batches(&mut |batch| {
        needed.extend(batch.iter().filter(|id| wanted.binary_search(id).is_ok()).copied());
        Ok(())
    })?;
    Ok(needed)
}

/// The copy that is kept when there are several: every host and every run takes the same one.
pub(super) fn keeper<'p>(
    places: &'p [Place],
    ids: &HashMap<PackNo, (PackId, u64)>,
) -> Option<&'p Place> {
    places
        .iter()
        .filter_map(|place| Some((ids.get(&place.pack)?.0, place)))
        .min_by_key(|(id, place)| (*id, place.frame, place.offset))
        .map(|(_, place)| place)
}

/// The packs that can be relied on, with their lengths, by number.
pub(super) fn pack_ids(index: &dyn Index, alive: &Alive) -> Result<HashMap<PackNo, (PackId, u64)>> {
    let mut ids = HashMap::new();
    index.packs(&mut |no, id, len| {
        if alive.contains(no) {
            ids.insert(no, (*id, len));
        }
    })?;
    Ok(ids)
}
