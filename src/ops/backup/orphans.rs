//! Takes over packs that an interrupted run stored and could not index any more.

use std::collections::HashSet;

use crate::base::size::human;
use crate::base::{ErrorKind, PackId, Result, SegmentId, random};
use crate::ops::{Run, adoption};
use crate::repo::chunks::Chunks;
use crate::repo::session::{Session, Stored};

/// Most packs whose headers are read: a killed run leaves those of one segment and those in flight,
/// and a stranger may have planted any number that are none.
const PACK_COUNT_MAX: usize = 1_024;

/// What was taken over.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Receipts of the segments that describe it.
    pub(super) segments: Vec<Stored<SegmentId>>,
    /// Packs.
    pub(super) pack_count: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl Orphans {
    /// Describes in segments of `session` what the listed packs hold that no segment names, so that
    /// its chunks count as stored; not those that are `doubtful`: damaged, or about to be deleted.
    /// Another run that is not over and has stored them will describe them once more.
    ///
    /// # Errors
    /// When a segment cannot be stored.
    pub(super) fn adopt(
        chunks: &Chunks,
        session: &Session<'_>,
        doubtful: &HashSet<PackId>,
        run: &Run<'_>,
    ) -> Result<Self> {
        let mut found = Self::default();
        let mut orphans = chunks.unindexed_packs();
        orphans.retain(|(id, _)| !doubtful.contains(id));
        if orphans.len() > PACK_COUNT_MAX {
            // Not always the same ones, which may be junk.
            let [part] = random();
            let first = orphans.len() * usize::from(part) / 256;
            orphans.rotate_left(first);
            orphans.truncate(PACK_COUNT_MAX);
        }
        let mut failed = |error: crate::base::Error| {
            // It is no pack, or not any more: nothing relies on it, and `check` names it. If the place
            // does not answer, what comes next says so, unless it was this object alone.
            tracing::debug!(%error, "a pack without a segment is left alone");
            error.kind != ErrorKind::Offline
        };
        adoption::adopt(session, &orphans, run, &mut failed, &mut |adopted| {
            found.pack_count += adopted.len() as u64;
            found.bytes += adopted.iter().map(|pack| pack.get().len).sum::<u64>();
            let (receipt, segment) = session.put_segment(adopted)?.split();
            run.progress.stored_bytes.add(segment.len);
            found.segments.push(receipt);
            chunks.apply_own(segment)
        })?;
        Ok(found)
    }

    /// What a person may want to know.
    pub(super) fn notice(&self) -> Option<String> {
        let Self { pack_count, bytes, .. } = self;
        (*pack_count > 0).then(|| {
            let size = human(*bytes);
            format!("an interrupted run left packs, which are used: {pack_count}, {size}")
        })
    }
}
