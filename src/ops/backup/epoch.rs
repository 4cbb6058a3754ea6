//! Which rows of the local cache a run may take unchanged files from.

use std::collections::HashSet;

use crate::base::SessionId;
use crate::base::rules::{Rule, keeps};
use crate::format::snapshot::PathBytes;
use crate::index::remembered::{LastEpoch, decode_ids, encode_ids};
use crate::pipeline::scan::LeftRows;
use crate::repo::chunks::Chunks;
use crate::repo::snapshots::Committed;

/// Runs in a row that are remembered because none came to its end.
const BEGUN_COUNT_MAX: usize = 8;

/// Stands for one set of sources on one host.
pub(super) fn scope(host: &str, paths: &[PathBytes]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(host.as_bytes()).chain(paths.iter().map(|p| &p.0[..])) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The rows that describe `parent`, if there are some. They are proof of what is stored unless
/// something of it may be gone.
pub(super) fn of_parent(chunks: &Chunks, parent: &Committed) -> Option<LeftRows> {
    let component = parent.snapshot.components.first()?;
    let scope = scope(&parent.snapshot.host, &component.paths);
    let last = LastEpoch::decode(&chunks.meta_get(&key(&scope))?).ok()?;
    if last.snapshot != parent.id {
        return None;
    }
    // Without a segment of then, others would not find what is taken over.
    let listed = chunks.segments();
    let gone: Vec<_> = last.segments.iter().filter(|id| !listed.contains(id)).collect();
    let superseded = if gone.is_empty() { HashSet::new() } else { chunks.superseded() };
    let is_whole = !chunks.is_degraded() || !keeps(Rule::ParentWhole);
    let is_proven = is_whole && gone.iter().all(|id| superseded.contains(id));
    Some(LeftRows { scope, epoch: last.epoch, is_proven })
}

/// The epochs of runs that have begun since the last one that came to its end, which were interrupted.
pub(super) fn of_begun(chunks: &Chunks, scope: &[u8; 32]) -> Vec<u64> {
    let begun = chunks.meta_get(&begun_key(scope)).unwrap_or_default();
    decode_ids(&begun).map(LastEpoch::of_session).collect()
}

/// Remembers that a run begins, in the rows of which it may be killed.
pub(super) fn begin(session: SessionId, chunks: &Chunks, scope: &[u8; 32]) {
    let before = chunks.meta_get(&begun_key(scope)).unwrap_or_default();
    let begun: Vec<SessionId> =
        std::iter::once(session).chain(decode_ids(&before)).take(BEGUN_COUNT_MAX).collect();
    chunks.meta_put(&begun_key(scope), &encode_ids(&begun));
}

/// Remembers the rows of a snapshot, once it is committed.
pub(super) fn remember(last: &LastEpoch, chunks: &Chunks, scope: &[u8; 32]) {
    chunks.meta_put(&key(scope), &last.encode());
    if chunks.meta_get(&begun_key(scope)).is_some_and(|begun| !begun.is_empty()) {
        chunks.meta_put(&begun_key(scope), &[]);
    }
}

fn begun_key(scope: &[u8; 32]) -> String {
    format!("begun/{}", hex::encode(scope))
}

fn key(scope: &[u8; 32]) -> String {
    format!("rows/{}", hex::encode(scope))
}
