//! Makes stored packs findable: index segments, written as packs arrive. Once all packs are indexed that
//! something needs which is captured so far, it is stored as an interrupted root.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::dedup::Dedup;
use super::failure::Failure;
use super::flow::{Outcome, Receipt};
use crate::base::rules::{Rule, keeps};
use crate::base::{ErrorKind, Progress, Result};
use crate::format::snapshot::Snapshot;
use crate::repo::chunks::Chunks;
use crate::repo::session::{Pack, Session, Stored};

/// Packs after which a segment is written: what a killed run may lose at most.
const PACK_COUNT_MAX: usize = 64;
/// Chunks after which a segment is written: about 100 MiB of entries and promises.
pub const SEGMENT_CHUNK_COUNT: usize = 500_000;
/// Time after which packs that wait get their segment.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The stage with the packs that are in no segment yet.
pub(super) struct Indexing<'a> {
    session: &'a Session<'a>,
    /// What can be found from now on is told to these.
    index: Option<(&'a Chunks, &'a Dedup<'a>)>,
    progress: &'a Progress,
    failure: &'a Failure,
    outcome: Outcome,
    waiting: Vec<Stored<Pack>>,
    /// When the first of them came.
    since: Instant,
    chunk_count: usize,
    arrived: Arrived,
    /// Captured so far, with the packs that each needs to have arrived; the oldest first.
    so_far: VecDeque<(u64, Box<Snapshot>)>,
}

impl<'a> Indexing<'a> {
    /// Nothing is stored yet.
    pub(super) fn new(
        session: &'a Session<'a>,
        index: Option<(&'a Chunks, &'a Dedup<'a>)>,
        progress: &'a Progress,
        failure: &'a Failure,
    ) -> Self {
        Self {
            session,
            index,
            progress,
            failure,
            outcome: Outcome::default(),
            waiting: Vec::new(),
            since: Instant::now(),
            chunk_count: 0,
            arrived: Arrived::default(),
            so_far: VecDeque::new(),
        }
    }

    /// Runs until every sender of receipts is gone. What was stored before a failure still gets its
    /// segment, so that the next run reuses it.
    pub(super) fn run(mut self, receipts: &Receiver<Receipt>) -> Outcome {
        loop {
            match receipts.recv_timeout(WAIT_MAX) {
                Ok(receipt) => self.take(receipt),
                Err(RecvTimeoutError::Timeout) => self.write_if_due(),
                Err(RecvTimeoutError::Disconnected) => return self.finish(),
            }
        }
    }

    /// Takes a receipt in.
    pub(super) fn take(&mut self, receipt: Receipt) {
        match receipt {
            Receipt::Pack(number, pack) => {
                if self.waiting.is_empty() {
                    self.since = Instant::now();
                }
                self.chunk_count +=
                    pack.get().header.frames.iter().map(|f| f.chunks.len()).sum::<usize>();
                self.waiting.push(pack);
                self.arrived.add(number);
            }
            Receipt::SoFar(needed, snapshot) => self.so_far.push_back((needed, snapshot)),
        }
        self.write_if_due();
        self.put_so_far();
    }

    /// Writes the last segment, and tells of all.
    pub(super) fn finish(mut self) -> Outcome {
        self.write();
        self.outcome
    }

    fn write_if_due(&mut self) {
        if self.waiting.len() >= PACK_COUNT_MAX
            || self.chunk_count >= SEGMENT_CHUNK_COUNT
            || self.since.elapsed() >= WAIT_MAX
        {
            self.write();
        }
    }

    /// Whether all that it needs has arrived.
    fn is_so_far_whole(&self) -> bool {
        self.so_far.front().is_some_and(|(needed, _)| {
            *needed <= self.arrived.all_below || !keeps(Rule::SavedWhole)
        })
    }

    /// Stores what is captured so far, if all that it needs has arrived.
    fn put_so_far(&mut self) {
        while self.is_so_far_whole()
            && let Some((_, snapshot)) = self.so_far.pop_front()
        {
            self.write();
            if self.failure.is_raised() {
                return;
            }
            match self.session.put_interrupted(*snapshot, &self.outcome.segments) {
                Ok(()) => {}
                // Nobody needs it, and the next one says more.
                Err(error) if error.kind == ErrorKind::Offline => {
                    tracing::warn!(%error, "an interrupted root was not stored");
                }
                Err(error) => self.failure.raise(error),
            }
        }
    }

    fn write(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        self.chunk_count = 0;
        let packs = std::mem::take(&mut self.waiting);
        match self.put(packs) {
            Ok(receipt) => self.outcome.segments.push(receipt),
            Err(error) => self.failure.raise(error),
        }
    }

    fn put(&self, packs: Vec<Stored<Pack>>) -> Result<Stored<crate::base::SegmentId>> {
        let (receipt, segment) = self.session.put_segment(packs)?.split();
        self.progress.stored_bytes.add(segment.len);
        if let Some((chunks, dedup)) = self.index {
            let ids: Vec<_> = segment.entries.iter().map(|entry| entry.id).collect();
            chunks.apply_own(segment)?;
            dedup.keep(ids.into_iter());
        }
        Ok(receipt)
    }
}

/// Which numbers have come, in any order.
#[derive(Debug, Default)]
struct Arrived {
    /// All that are smaller.
    all_below: u64,
    /// Some that are larger.
    beyond: BTreeSet<u64>,
}

impl Arrived {
    fn add(&mut self, number: u64) {
        self.beyond.insert(number);
        while self.beyond.remove(&self.all_below) {
            self.all_below += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_once_all_before_them_have_come() {
        let mut arrived = Arrived::default();
        let all_below = [2, 0, 3, 1, 5, 4].map(|number| {
            arrived.add(number);
            arrived.all_below
        });
        assert_eq!(all_below, [0, 1, 1, 4, 4, 6]);
        assert!(arrived.beyond.is_empty());
    }
}
