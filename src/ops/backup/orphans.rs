//! Takes over packs that an interrupted run stored and could not index any more.

use std::collections::HashSet;

use crate::base::size::human;
use crate::base::{ErrorKind, PackId, Result, SegmentId};
use crate::ops::Run;
use crate::ops::repack::SEGMENT_PACK_COUNT;
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
    /// its chunks count as stored; not those that a prune may delete, nor those that are `doubtful`.
    /// Another run that is not over and has stored them will describe them once more.
    ///
    /// # Errors
    /// When a segment cannot be stored, or nothing can be read.
    pub(super) fn adopt(
        chunks: &Chunks,
        session: &Session<'_>,
        doubtful: &HashSet<PackId>,
        run: &Run<'_>,
    ) -> Result<Self> {
        let mut found = Self::default();
        let mut orphans = chunks.unindexed_packs();
        orphans.retain(|(id, _)| !doubtful.contains(id));
        orphans.truncate(PACK_COUNT_MAX);
        for listed in orphans.chunks(SEGMENT_PACK_COUNT) {
            run.cancel.check()?;
            let mut adopted = Vec::new();
            for pack in session.adopt(listed) {
                match pack {
                    Ok(pack) => adopted.push(pack),
                    Err(error) if error.kind == ErrorKind::Offline => return Err(error),
                    // It is no pack, or not any more: nothing relies on it, and `check` names it.
                    Err(error) => tracing::debug!(%error, "a pack without a segment is left alone"),
                }
            }
            if adopted.is_empty() {
                continue;
            }
            found.pack_count += adopted.len() as u64;
            found.bytes += adopted.iter().map(|pack| pack.get().len).sum::<u64>();
            let (receipt, segment) = session.put_segment(adopted)?.split();
            run.progress.stored_bytes.add(segment.len);
            chunks.apply_own(segment)?;
            found.segments.push(receipt);
        }
        Ok(found)
    }

    /// What a person may want to know.
    pub(super) fn notice(&self) -> Option<String> {
        let Self { pack_count, bytes, .. } = self;
        (*pack_count > 0).then(|| {
            let size = human(*bytes);
            format!("{pack_count} packs ({size}) that an interrupted run left are used")
        })
    }
}
