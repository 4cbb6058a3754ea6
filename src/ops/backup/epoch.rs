//! Which rows of the local cache a run may take unchanged files from.

use std::collections::HashSet;

use crate::base::rules::{Rule, keeps};
use crate::format::snapshot::PathBytes;
use crate::index::remembered::LastEpoch;
use crate::pipeline::scan::ParentRows;
use crate::repo::chunks::Chunks;
use crate::repo::snapshots::Committed;

/// Stands for one set of sources on one host.
pub(super) fn scope(host: &str, paths: &[PathBytes]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(host.as_bytes()).chain(paths.iter().map(|p| &p.0[..])) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The rows that describe `parent`, if they may be taken over without asking for each chunk.
pub(super) fn of_parent(chunks: &Chunks, parent: &Committed) -> Option<ParentRows> {
    if chunks.is_degraded() && keeps(Rule::ParentWhole) {
        return None;
    }
    let component = parent.snapshot.components.first()?;
    let scope = scope(&parent.snapshot.host, &component.paths);
    let last = LastEpoch::decode(&chunks.meta_get(&key(&scope))?).ok()?;
    // Without a segment of then, others would not find what is taken over.
    let listed = chunks.segments();
    let gone: Vec<_> = last.segments.iter().filter(|id| !listed.contains(id)).collect();
    let superseded = if gone.is_empty() { HashSet::new() } else { chunks.superseded() };
    let is_sound = last.snapshot == parent.id && gone.iter().all(|id| superseded.contains(id));
    is_sound.then_some(ParentRows { scope, epoch: last.epoch })
}

/// Remembers the rows of a snapshot, once it is committed.
pub(super) fn remember(last: &LastEpoch, chunks: &Chunks, scope: &[u8; 32]) {
    chunks.meta_put(&key(scope), &last.encode());
}

fn key(scope: &[u8; 32]) -> String {
    format!("rows/{}", hex::encode(scope))
}
