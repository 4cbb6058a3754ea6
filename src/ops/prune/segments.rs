//! Replaces index segments that name packs which go, or that are many small ones.

use std::collections::{HashMap, HashSet};

use crate::base::simulated::is_simulated;
use crate::base::{PackId, Result, SegmentId, SessionId};
use crate::format::ObjectKind;
use crate::format::ObjectName;
use crate::format::name::Parsed;
use crate::index::PackNo;
use crate::ops::Run;
use crate::repo::Repository;
use crate::repo::access::list;
use crate::repo::chunks::Chunks;
use crate::repo::session::Session;

/// A segment of at most so many bytes is small.
const SMALL_LEN_MAX: u64 = 256 << 10;
/// So many small ones are merged, and in simulations, which have few.
const SMALL_COUNT_MIN: usize = 16;
const SMALL_COUNT_MIN_SIMULATED: usize = 4;
/// Sealed bytes of segments that are written as one, and so held in memory several times.
const MERGED_BYTES_MAX: u64 = 8 << 20;

/// A segment as it is listed.
struct Old {
    name: ObjectName,
    id: SegmentId,
    origin: (SessionId, u32),
    len: u64,
}

/// Writes segments anew without the packs in `gone`, then deletes the old ones; returns how many.
/// Each old one is named by the new one that holds all that is left of it, which was read back; of
/// older ones still further back, those in `named` are.
///
/// # Errors
/// When segments cannot be read or stored. No old one is deleted then that is not replaced.
pub(super) fn rewrite(
    repository: &Repository,
    chunks: &Chunks,
    session: &Session<'_>,
    gone: &HashSet<PackId>,
    named: &HashSet<SegmentId>,
    run: &Run<'_>,
) -> Result<u64> {
    let old = choose(repository, chunks, gone)?;
    let mut count = 0;
    let mut rest = &old[..];
    while !rest.is_empty() {
        run.cancel.check()?;
        let mut bytes = 0;
        let fitting = rest.iter().take_while(|old| {
            let is_first = bytes == 0;
            bytes += old.len;
            is_first || bytes <= MERGED_BYTES_MAX
        });
        let (part, tail) = rest.split_at(fitting.count());
        rest = tail;
        let mut merged = Vec::with_capacity(part.len());
        for old in part {
            // One that is gone was replaced by another prune.
            if let Some(segment) = chunks.fetch_segment(&old.name, old.origin)? {
                merged.push((old.id, segment));
            }
        }
        let superseded: HashSet<SegmentId> = merged.iter().map(|(id, _)| *id).collect();
        let Some(segment) = session.put_merged(merged, gone, named)? else { continue };
        chunks.apply_own(segment)?;
        for old in part.iter().filter(|old| superseded.contains(&old.id)) {
            repository.backend().delete(&old.name)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Segments that name packs that go, and small ones if there are many.
fn choose(repository: &Repository, chunks: &Chunks, gone: &HashSet<PackId>) -> Result<Vec<Old>> {
    let mut listed: Vec<Old> = list(&**repository.backend(), ObjectKind::Index)?
        .into_iter()
        .filter_map(|object| match object.name.parsed() {
            Parsed::Index(session, sequence, id) => {
                Some(Old { name: object.name, id, origin: (session, sequence), len: object.len })
            }
            _ => None,
        })
        .collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    let touched: HashSet<SegmentId> = chunks.ask_index(|index, _| {
        let mut numbers: HashMap<PackNo, PackId> = HashMap::new();
        index.packs(&mut |no, id, _| {
            if gone.contains(id) {
                numbers.insert(no, *id);
            }
        })?;
        let mut touched = HashSet::new();
        for old in &listed {
            // One that is not believed stays: who is to say what it would lose.
            let packs = index.packs_of(&old.id)?.unwrap_or_default();
            if packs.iter().any(|no| numbers.contains_key(no)) {
                touched.insert(old.id);
            }
        }
        Ok(touched)
    })?;
    let believed = chunks.segments();
    let is_small = |old: &Old| old.len <= SMALL_LEN_MAX && believed.contains(&old.id);
    let count_min = if is_simulated() { SMALL_COUNT_MIN_SIMULATED } else { SMALL_COUNT_MIN };
    let merges_small = listed.iter().filter(|old| is_small(old)).count() >= count_min;
    listed.retain(|old| touched.contains(&old.id) || (merges_small && is_small(old)));
    Ok(listed)
}
