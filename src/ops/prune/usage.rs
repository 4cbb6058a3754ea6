//! How much of each pack is needed.

use std::collections::{HashMap, HashSet};

use crate::base::rules::{Rule, keeps};
use crate::base::{ChunkId, PackId, Result};
use crate::index::{Alive, FramePlace, Index, PackNo, Place};
use crate::ops::marks::Marks;
use crate::ops::sorted::SortError;
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
    /// Raw bytes that would be moved out of it. Of several copies of a chunk one counts; a frame
    /// moves as a whole unless most of it is not needed.
    pub(super) live_bytes: u64,
}

/// Needed bytes of each frame of a pack.
#[derive(Default)]
struct Frames(Vec<u32>);

impl Frames {
    fn add(&mut self, place: &Place) {
        let frame = place.frame as usize;
        if frame >= self.0.len() {
            self.0.resize(frame + 1, 0);
        }
        self.0[frame] = self.0[frame].saturating_add(place.len);
    }

    fn needed(&self, frame: usize) -> u64 {
        self.0.get(frame).copied().unwrap_or(0).into()
    }
}

/// Whether so little of a frame is needed that what is left of it is sealed anew.
pub(super) fn is_mostly_dead(needed: u64, raw_len: u32) -> bool {
    2 * needed < u64::from(raw_len)
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
        ask(chunks, |index, alive| {
            let ids = pack_ids(index, alive)?;
            let mut live: HashMap<PackNo, Frames> = HashMap::new();
            let mut lost = Vec::new();
            marks.batches(&mut |batch| {
                for (id, places) in batch.iter().zip(index.find(batch)?) {
                    match keeper(&places, &ids) {
                        Some(place) => {
                            live.entry(place.pack).or_default().add(place);
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
                let raw_bytes = record.frames.iter().map(|frame| u64::from(frame.raw_len)).sum();
                let live = live.get(no);
                let moves = |(no, frame): (usize, &FramePlace)| {
                    let needed = live.map_or(0, |live| live.needed(no));
                    match needed == 0 || is_mostly_dead(needed, frame.raw_len) {
                        true => needed,
                        false => frame.raw_len.into(),
                    }
                };
                let live_bytes = record.frames.iter().enumerate().map(moves).sum();
                packs.push(PackUse { id: *id, len: *len, raw_bytes, live_bytes });
            }
            packs.sort_unstable_by_key(|pack| pack.id);
            Ok(Self { packs, lost })
        })
    }
}

/// Asks the index. That ids could not be sorted is no fault of it: it would be given up and filled
/// anew.
fn ask<T>(chunks: &Chunks, mut question: impl FnMut(&dyn Index, &Alive) -> Result<T>) -> Result<T> {
    chunks.ask_index(|index, alive| match question(index, alive) {
        Err(error) if SortError::is_cause_of(&error) => Ok(Err(error)),
        answer => answer.map(Ok),
    })?
}

/// What is doomed of the packs that the index names.
pub(super) struct Doomed {
    pub(super) packs: HashSet<PackId>,
    /// Whether everything that is needed lies in a pack that can be relied on.
    pub(super) is_all_there: bool,
}

/// Which of `candidates` can go: not those that hold the last copy of a chunk that is needed. Of
/// several such copies one is kept. One that cannot be relied on, cut off perhaps, stays as well if
/// the chunk lies nowhere else: what is left of it may help, and it shows what is missing.
///
/// # Errors
/// When the index fails.
pub(super) fn doomed(
    chunks: &Chunks,
    marks: &mut Marks,
    candidates: &HashSet<PackId>,
) -> Result<Doomed> {
    ask(chunks, |index, alive| {
        let ids = pack_ids(index, alive)?;
        let mut is_all_there = true;
        let mut kept: HashSet<PackId> = HashSet::new();
        let mut dubious: HashMap<PackNo, PackId> = HashMap::new();
        index.packs(&mut |no, id, _| {
            if candidates.contains(id) && !ids.contains_key(&no) {
                dubious.insert(no, *id);
            }
        })?;
        marks.batches(&mut |batch| {
            for places in index.find(batch)? {
                if !places.iter().any(|place| ids.contains_key(&place.pack)) {
                    is_all_there = false;
                    kept.extend(places.iter().filter_map(|place| dubious.get(&place.pack)));
                    continue;
                }
                let holders = || places.iter().filter_map(|place| Some(ids.get(&place.pack)?.0));
                let are_several = holders().nth(1).is_some();
                if are_several && !keeps(Rule::LastCopy) {
                    continue;
                }
                if holders().all(|id| candidates.contains(&id) && !kept.contains(&id)) {
                    kept.extend(holders().min());
                }
            }
            Ok(())
        })?;
        let packs = candidates.difference(&kept).copied().collect();
        Ok(Doomed { packs, is_all_there })
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
    ask(chunks, |index, alive| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::open_chunks;
    use crate::ops::tests::{Counts, World, fill};

    /// Nothing is said of the index, and its numbers hold.
    #[test]
    fn ids_that_cannot_be_sorted_cost_the_index_nothing() {
        let world = World::new();
        fill(&world.source());
        world.backup();
        let counts = Counts::default();
        let cache = world.dir.path().join("cache");
        let (chunks, _) = open_chunks(&world.repository, Some(&cache), &counts.run()).unwrap();
        chunks.list_packs(&HashSet::new()).unwrap();
        let packs = || ask(&chunks, |index, alive| pack_ids(index, alive)).unwrap();
        let before = packs();
        assert!(!before.is_empty());
        let mut marks = Marks::unreadable(world.dir.path().to_path_buf());
        let error = Usage::count(&chunks, &mut marks).unwrap_err();
        assert!(error.message.contains("could not read sorted ids"), "{error}");
        assert!(SortError::is_cause_of(&error) && error.kind != crate::base::ErrorKind::Bug);
        assert!(doomed(&chunks, &mut marks, &HashSet::new()).is_err());
        assert!(unneeded(&chunks, &mut marks, &HashSet::new()).is_err());
        assert_eq!(chunks.take_notices(), []);
        assert_eq!(packs(), before);
    }
}
