//! The diagram as code: from sources to stored packs and their segments.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::assemble::{Assembler, Queues};
use super::budget::Budget;
use super::count::Count;
use super::dedup::Dedup;
use super::failure::Failure;
use super::flow::{Event, FrameMessage, NumberedPack, Outcome, Receipt};
use super::memory::MemoryPlan;
use super::pack::Packing;
use super::read::Reading;
use super::scan::{LastRun, Scanner};
use super::seal::Sealer;
use super::segments::Indexing;
use super::workers::Workers;
use super::{put, read, scan, stream};
use crate::base::simulated::is_simulated;
use crate::base::{Cancel, Clock, Error, ErrorKind, PackId, Problems, Progress, Result, SegmentId};
use crate::chunk::Chunker;
use crate::format::entry::TreeRef;
use crate::format::snapshot::Snapshot;
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::session::{Session, Stored};
use crate::source::{Describer, Exclusion, Roots, Selector, Stream};

/// Threads that scan: one waits for the disk while the other compares.
const SCAN_THREAD_COUNT: usize = 2;
/// Frames between sealing and packing, each at most about 1 MiB.
const FRAME_QUEUE_COUNT: usize = 8;
/// Read jobs and scans between the assembler and its helpers.
const WORK_QUEUE_COUNT: usize = 8;

/// What is read.
#[derive(Clone, Copy, Debug)]
pub enum Sources<'a> {
    /// Files and directories.
    Trees(&'a Roots),
    /// One stream, with the encoded entry that it had in the parent.
    Stream(&'a Stream, Option<&'a [u8]>),
}

/// Stores what is captured so far now and then, which is what is left if a run does not come to its end.
pub struct Saving<'a> {
    /// How often, while there is something new.
    pub interval: Duration,
    /// The snapshot of a tree that is captured in part.
    pub snapshot: &'a (dyn Fn(TreeRef) -> Snapshot + Sync),
}

/// One run over one component.
pub struct Backup<'a> {
    /// Where it goes.
    pub repository: &'a Repository,
    /// What is known to be there.
    pub chunks: &'a Chunks,
    /// Packs that were there and are damaged or gone.
    pub lost: &'a HashSet<PackId>,
    /// The session it belongs to.
    pub session: &'a Session<'a>,
    /// Splits files.
    pub chunker: &'a Chunker,
    /// What to read.
    pub sources: Sources<'a>,
    /// What to leave out.
    pub exclusion: &'a Exclusion,
    /// What else a person wants to be left out.
    pub selector: &'a Selector<'a>,
    /// Hears of paths that were left out.
    pub excluded: &'a (dyn Fn(Vec<u8>) + Sync),
    /// What the last run left in the local cache.
    pub last_run: &'a LastRun<'a>,
    /// Whether to count what there is to read, because nothing is known of it and a person waits.
    pub counts_first: bool,
    /// Epoch of the rows of this run.
    pub next_epoch: u64,
    /// What is stored before the end, of directory trees.
    pub saving: Option<Saving<'a>>,
    /// How much memory to use.
    pub plan: MemoryPlan,
    /// Length of full packs in bytes.
    pub pack_len: u32,
    /// zstd level for file content; without one it is stored as it is.
    pub level: Option<i32>,
    /// Whether each frame is opened again before it is stored.
    pub checks_frames: bool,
    /// Files that are read at a time.
    pub read_count: usize,
    /// Packs that are put at a time.
    pub put_count: usize,
    /// Whether the backend keeps what is put. If not, the local index hears nothing of it, and every
    /// new chunk is remembered in memory.
    pub is_kept: bool,
    /// For the start of scans.
    pub clock: &'a dyn Clock,
    /// Where faults go.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Whether a person asked to stop.
    pub cancel: &'a Cancel,
}

/// What a run stored.
#[derive(Debug)]
pub struct BackupResult {
    /// The tree of the component; absent when nothing could be read.
    pub tree: Option<TreeRef>,
    /// Receipts of all segments.
    pub segments: Vec<Stored<SegmentId>>,
}

/// Runs the diagram once. After a cancellation, too, everything that was sealed is stored and
/// indexed, so that the next run finds it.
///
/// # Errors
/// The first fatal error of any stage, or [`ErrorKind::Cancelled`].
pub fn backup(job: &Backup<'_>) -> Result<BackupResult> {
    let failure = Failure::default();
    let dedup = Dedup::new(job.chunks, job.lost, job.progress);
    let budget = Budget::new(job.plan.flight_bytes);
    let describer = Describer::default();
    // Numbered before threads meet them in an order that changes from run to run.
    if let Sources::Trees(roots) = job.sources {
        for device in &roots.devices {
            describer.mounts.ordinal(*device);
        }
    }
    let (frame_in, frames) = match is_simulated() {
        false => bounded(FRAME_QUEUE_COUNT),
        true => unbounded(),
    };
    let keyring = job.repository.keyring();
    let key = job.session.key();
    let sealer = Sealer::new(keyring, key, &dedup, job.progress, &failure, frame_in, job.level)
        .checking(job.checks_frames);
    let scanner = Scanner {
        keyring,
        describer: &describer,
        exclusion: job.exclusion,
        selector: job.selector,
        last_run: job.last_run,
        clock: job.clock,
        problems: job.problems,
        excluded: job.excluded,
    };
    let reading = Reading {
        describer: &describer,
        chunker: job.chunker,
        comparison: job.last_run.comparison,
        sealer: &sealer,
        budget: &budget,
        problems: job.problems,
        progress: job.progress,
        failure: &failure,
        cancel: job.cancel,
        clock: job.clock,
        proof: job.last_run.proof,
    };
    let stages = Stages { job, failure: &failure, dedup: &dedup, sealer: &sealer };
    let (tree, outcome) = match is_simulated() {
        false => stages.together(frames, &scanner, &reading),
        true => stages.in_turn(frames, &scanner, &reading),
    };
    if let Some(error) = failure.take() {
        return Err(error);
    }
    Ok(BackupResult { tree: tree?, segments: outcome.segments })
}

/// The way from the sources to stored segments.
struct Stages<'a> {
    job: &'a Backup<'a>,
    failure: &'a Failure,
    dedup: &'a Dedup<'a>,
    sealer: &'a Sealer<'a>,
}

type Walked = (Result<Option<TreeRef>>, Outcome);

impl Stages<'_> {
    /// All stages at the same time, each with threads of its own.
    fn together<'s>(
        &self,
        frames: Receiver<FrameMessage>,
        scanner: &'s Scanner<'s>,
        reading: &'s Reading<'s>,
    ) -> Walked {
        let Self { job, failure, sealer, .. } = *self;
        let is_walked = AtomicBool::new(false);
        thread::scope(|threads| {
            if let Sources::Trees(roots) = job.sources
                && job.counts_first
            {
                threads.spawn(|| count(job, roots, &is_walked));
            }
            let (pack_in, packs) = bounded(job.plan.packs_in_flight.saturating_sub(job.put_count));
            let (receipt_in, receipts) = bounded(job.put_count);
            let packing = self.packing(pack_in, receipt_in.clone());
            threads.spawn(move || packing.run(&frames));
            for _ in 0..job.put_count {
                let (packs, receipt_in) = (packs.clone(), receipt_in.clone());
                threads.spawn(move || {
                    put::stage(job.session, job.progress, failure, packs.iter(), &receipt_in);
                });
            }
            drop((packs, receipt_in));
            let segments = threads.spawn(move || self.indexing().run(&receipts));
            // A panic goes on only after the stages behind have been told that no more will come.
            let walked = catch_unwind(AssertUnwindSafe(|| {
                rayon::in_place_scope(|scope| {
                    self.walk(scanner, reading, Workers::Pool(scope), None)
                })
            }));
            is_walked.store(true, Ordering::Relaxed);
            // What was sealed before a cancellation is still stored.
            if let Err(error) = sealer.finish() {
                failure.raise(error);
            }
            let tree = walked.unwrap_or_else(|panic| resume_unwind(panic));
            // Without the last segments nothing may be committed.
            (tree, segments.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    /// One stage after the other on this thread, for sources that are small.
    fn in_turn<'s>(
        &self,
        frames: Receiver<FrameMessage>,
        scanner: &'s Scanner<'s>,
        reading: &'s Reading<'s>,
    ) -> Walked {
        let Self { job, failure, sealer, .. } = *self;
        let (pack_in, packs) = unbounded();
        let (receipt_in, receipts) = unbounded();
        let packing = RefCell::new(self.packing(pack_in, receipt_in.clone()));
        let indexing = RefCell::new(self.indexing());
        let store = || {
            for message in frames.try_iter() {
                if packing.borrow_mut().take(message).is_break() {
                    break;
                }
            }
            put::stage(job.session, job.progress, failure, packs.try_iter(), &receipt_in);
            receipts.try_iter().for_each(|receipt| indexing.borrow_mut().take(receipt));
        };
        let tree = self.walk(scanner, reading, Workers::Same, Some(&store));
        if let Err(error) = sealer.finish() {
            failure.raise(error);
        }
        store();
        (tree, indexing.into_inner().finish())
    }

    fn walk<'s>(
        &self,
        scanner: &'s Scanner<'s>,
        reading: &'s Reading<'s>,
        workers: Workers<'_, 's>,
        store: Option<&dyn Fn()>,
    ) -> Result<Option<TreeRef>> {
        let job = self.job;
        match job.sources {
            Sources::Trees(roots) => trees(job, roots, scanner, reading, workers, store),
            Sources::Stream(source, before) => {
                stream::capture(reading, workers, job.repository.keyring(), source, before)
            }
        }
    }

    fn packing(&self, packs: Sender<NumberedPack>, receipts: Sender<Receipt>) -> Packing<'_> {
        let job = self.job;
        Packing::new(job.session, job.pack_len, &job.plan, self.failure, packs, receipts)
    }

    fn indexing(&self) -> Indexing<'_> {
        let job = self.job;
        let index = job.is_kept.then_some((job.chunks, self.dedup));
        Indexing::new(job.session, index, job.progress, self.failure)
    }
}

/// Counts what there is to read, unheard: who reads tells what is left out.
fn count(job: &Backup<'_>, roots: &Roots, is_over: &AtomicBool) {
    let selection = job.selector.selection().unheard();
    let selector = &Selector::new(&selection, &roots.devices);
    let (exclusion, progress) = (job.exclusion, job.progress);
    Count { roots, exclusion, selector, progress, is_over }.run();
}

/// Walks and reads directory trees, with threads of their own unless all is done by this one.
fn trees<'s>(
    job: &Backup<'_>,
    roots: &Roots,
    scanner: &'s Scanner<'s>,
    reading: &'s Reading<'s>,
    workers: Workers<'_, 's>,
    store: Option<&dyn Fn()>,
) -> Result<Option<TreeRef>> {
    // One answer for each name of the windows under way at most. A bound would let helpers wait
    // for the assembler while it waits for room for a job.
    let (event_in, events) = unbounded();
    let assemble = |scans, jobs, helper| {
        let queues = Queues { scans, jobs, events, helper, store };
        let Reading { sealer, failure, cancel, .. } = reading;
        Assembler::new(scanner, sealer, job.progress, failure, cancel, queues, job.next_epoch)
            .saving(job.saving.as_ref())
            .run(roots)
    };
    if matches!(workers, Workers::Same) {
        let (scan_in, scans) = unbounded();
        let (job_in, jobs) = unbounded();
        let help = || {
            for request in scans.try_iter() {
                let _sent = event_in.send(Event::Scan(scanner.answer(request)));
            }
            jobs.try_iter().for_each(|job| read::answer(reading, workers, job, &event_in));
        };
        return assemble(scan_in, job_in, Some(&help));
    }
    thread::scope(|helpers| {
        let (scan_in, scans) = bounded(WORK_QUEUE_COUNT);
        let (job_in, jobs) = bounded(WORK_QUEUE_COUNT);
        for _ in 0..SCAN_THREAD_COUNT {
            let (scans, event_in) = (scans.clone(), event_in.clone());
            helpers.spawn(move || scan::stage(scanner, &scans, &event_in));
        }
        for _ in 0..job.read_count {
            let (jobs, event_in) = (jobs.clone(), event_in.clone());
            helpers.spawn(move || read::stage(reading, workers, &jobs, &event_in));
        }
        drop((scans, jobs, event_in));
        assemble(scan_in, job_in, None)
    })
}

/// The error that ended a run whose stages were told to end.
pub(super) fn ending() -> Error {
    Error::new(ErrorKind::Cancelled, "the run is ending")
}
