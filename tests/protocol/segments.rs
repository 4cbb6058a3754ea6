//! Replacing index segments, as `ops::prune::segments` does it.

use crate::client::{Client, Ended, Run};
use crate::index::Index;
use crate::set::Set;
use crate::world::{Kind, Name, Segment, Value};

/// Segments that are written as one.
const MERGED_COUNT_MAX: usize = 4;

/// Writes segments anew without the packs in `gone`, also small ones from `merges_from` of them,
/// then deletes the old ones.
pub async fn rewrite(
    client: &Client,
    index: &mut Index,
    gone: Set,
    named: Set,
    merges_from: usize,
) -> Run<()> {
    let listed = client.list(Kind::Segments).await;
    let merges_small = (listed & index.segments).len() >= merges_from;
    let is_chosen = |id: &u16| {
        let is_touched = index.has_applied(*id) && client.segment(*id).packs.meets(&gone);
        is_touched || (merges_small && index.segments.has(*id))
    };
    let old: Vec<u16> = listed.iter().filter(is_chosen).collect();
    for part in old.chunks(MERGED_COUNT_MAX) {
        let mut merged = Segment::default();
        let mut replaced = Set::EMPTY;
        for id in part {
            // One that is gone was replaced by another prune.
            if client.get(Name::Segment(*id)).await.is_none() {
                continue;
            }
            let Segment { packs, supersedes } = client.segment(*id);
            replaced.insert(*id);
            merged.packs |= packs - gone;
            merged.supersedes |= supersedes & named;
        }
        merged.supersedes |= replaced;
        let id = client.world().new_segment(merged).ok_or(Ended::Full)?;
        client.create(Name::Segment(id), Value::Whole).await?;
        if client.get(Name::Segment(id)).await.is_none() {
            return Err(Ended::Lost);
        }
        index.apply_own(client, id);
        client.world().counts.merged += 1;
        for old in replaced.iter() {
            client.delete(Name::Segment(old)).await?;
        }
    }
    Ok(())
}
