//! Which rows of the local cache a run may take unchanged files from.

use std::collections::HashSet;

use crate::base::rules::{Rule, keeps};
use crate::base::{SegmentId, SessionId};
use crate::format::snapshot::PathBytes;
use crate::format::wire::Cursor;
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

/// The epoch of a session. Never used twice, whatever became of the cache in between.
pub(super) fn of_session(id: SessionId) -> u64 {
    Cursor::new(id.as_bytes()).u64().expect("an id has 32 bytes")
}

/// The record that says which rows of the local cache belong to the last snapshot of some sources.
pub(super) struct LastEpoch {
    pub(super) epoch: u64,
    pub(super) snapshot: SessionId,
    /// Segments that were listed then.
    pub(super) segments: HashSet<SegmentId>,
}

impl LastEpoch {
    /// The rows that describe `parent`, if they may be taken over without asking for each chunk.
    pub(super) fn of_parent(chunks: &Chunks, parent: &Committed) -> Option<ParentRows> {
        if chunks.is_degraded() && keeps(Rule::ParentWhole) {
            return None;
        }
        let component = parent.snapshot.components.first()?;
        let scope = scope(&parent.snapshot.host, &component.paths);
        let last = Self::read(chunks, &scope)?;
        // Without a segment of then, others would not find what is taken over.
        let gone: Vec<_> = last.segments.difference(&chunks.segments()).copied().collect();
        let superseded = if gone.is_empty() { HashSet::new() } else { chunks.superseded() };
        let is_sound = last.snapshot == parent.id && gone.iter().all(|id| superseded.contains(id));
        is_sound.then_some(ParentRows { scope, epoch: last.epoch })
    }

    fn read(chunks: &Chunks, scope: &[u8; 32]) -> Option<Self> {
        let bytes = chunks.meta_get(&Self::key(scope))?;
        let mut cursor = Cursor::new(&bytes);
        let epoch = cursor.u64().ok()?;
        let snapshot = SessionId::new(cursor.array().ok()?);
        let mut segments = HashSet::new();
        while !cursor.rest().is_empty() {
            segments.insert(SegmentId::new(cursor.array().ok()?));
        }
        Some(Self { epoch, snapshot, segments })
    }

    /// Remembers it, once the snapshot is committed.
    pub(super) fn write(&self, chunks: &Chunks, scope: &[u8; 32]) {
        let mut bytes = [&self.epoch.to_le_bytes()[..], self.snapshot.as_bytes()].concat();
        for segment in &self.segments {
            bytes.extend_from_slice(segment.as_bytes());
        }
        chunks.meta_put(&Self::key(scope), &bytes);
    }

    fn key(scope: &[u8; 32]) -> String {
        format!("rows/{}", hex::encode(scope))
    }
}
