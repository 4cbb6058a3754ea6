//! Makes stored packs findable: index segments, written as packs arrive.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::dedup::Dedup;
use super::failure::Failure;
use super::flow::Outcome;
use crate::base::{Progress, Result};
use crate::repo::chunks::Chunks;
use crate::repo::session::{Pack, Session, Stored};

/// Packs after which a segment is written: what a killed run may lose at most.
const PACK_COUNT_MAX: usize = 64;
/// Chunks after which a segment is written: about 100 MiB of entries and promises.
pub const SEGMENT_CHUNK_COUNT: usize = 500_000;
/// Time after which packs that wait get their segment.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Runs until every sender of receipts is gone, and tells `index` what can be found from now on. What was stored before a failure still gets its
/// segment, so that the next run reuses it.
pub(super) fn stage(
    session: &Session<'_>,
    index: Option<(&Chunks, &Dedup<'_>)>,
    progress: &Progress,
    failure: &Failure,
    stored: &Receiver<Stored<Pack>>,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut waiting: Vec<Stored<Pack>> = Vec::new();
    let mut chunk_count = 0;
    let mut since = Instant::now();
    loop {
        let received = stored.recv_timeout(WAIT_MAX);
        let is_over = matches!(received, Err(RecvTimeoutError::Disconnected));
        if let Ok(pack) = received {
            if waiting.is_empty() {
                since = Instant::now();
            }
            chunk_count += pack.get().header.frames.iter().map(|f| f.chunks.len()).sum::<usize>();
            waiting.push(pack);
        }
        let is_due = is_over
            || waiting.len() >= PACK_COUNT_MAX
            || chunk_count >= SEGMENT_CHUNK_COUNT
            || since.elapsed() >= WAIT_MAX;
        if is_due && !waiting.is_empty() {
            chunk_count = 0;
            let packs = std::mem::take(&mut waiting);
            match write(session, index, progress, packs) {
                Ok(receipt) => outcome.segments.push(receipt),
                Err(error) => failure.raise(error),
            }
        }
        if is_over {
            return outcome;
        }
    }
}

fn write(
    session: &Session<'_>,
    index: Option<(&Chunks, &Dedup<'_>)>,
    progress: &Progress,
    packs: Vec<Stored<Pack>>,
) -> Result<Stored<crate::base::SegmentId>> {
    let (receipt, segment) = session.put_segment(packs)?.split();
    progress.stored_bytes.add(segment.len);
    if let Some((chunks, dedup)) = index {
        let ids: Vec<_> = segment.entries.iter().map(|entry| entry.id).collect();
        chunks.apply_own(segment)?;
        dedup.keep(ids.into_iter());
    }
    Ok(receipt)
}
