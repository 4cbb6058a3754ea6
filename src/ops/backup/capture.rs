//! Runs the pipeline over the sources, in the shape that the repository and the options ask for.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::Options;
use super::source::Source;
use crate::base::{Error, ErrorKind, PackId, Result};
use crate::chunk::{Chunker, GearTable, Params};
use crate::format::config::Config;
use crate::format::entry::TreeRef;
use crate::format::snapshot::Snapshot;
use crate::ops::Run;
use crate::pipeline::scan::LastRun;
use crate::pipeline::{self, Backup, BackupResult, MemoryPlan, Saving, Sources};
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::session::Session;
use crate::source::{Exclusion, Selector};

/// Packs that are put at a time on a disk, and elsewhere.
const PUT_COUNT_LOCAL: usize = 2;
const PUT_COUNT_REMOTE: usize = 3;

/// What is captured, and with the help of what.
pub(super) struct Capture<'a> {
    pub(super) repository: &'a Repository,
    pub(super) chunks: &'a Chunks,
    /// Packs that were there and are damaged or gone.
    pub(super) lost: &'a HashSet<PackId>,
    pub(super) session: &'a Session<'a>,
    pub(super) source: &'a Source<'a>,
    /// The encoded entry that a stream had in the parent.
    pub(super) before: Option<&'a [u8]>,
    pub(super) last_run: &'a LastRun<'a>,
    /// Whether to count what there is to read.
    pub(super) counts_first: bool,
    /// Epoch of the rows of this run.
    pub(super) next_epoch: u64,
    /// The snapshot of a tree that is captured in part.
    pub(super) so_far: &'a (dyn Fn(TreeRef) -> Snapshot + Sync),
}

/// What was captured.
pub(super) struct Captured {
    pub(super) result: BackupResult,
    /// Paths that were left out.
    pub(super) excluded: Vec<Vec<u8>>,
    /// What a person may want to know of the selection.
    pub(super) notices: Vec<String>,
}

impl Capture<'_> {
    /// Captures once.
    ///
    /// # Errors
    /// Those of the pipeline, and options that make no sense for this repository.
    pub(super) fn run(&self, options: &Options, run: &Run<'_>) -> Result<Captured> {
        let config = self.repository.config();
        let pack_len = options.pack_len.unwrap_or(config.pack_len);
        let plan = MemoryPlan::new(options.max_memory, pack_len)?;
        let is_local = self.repository.backend().location().scheme() == "local";
        let put_count = if is_local { PUT_COUNT_LOCAL } else { PUT_COUNT_REMOTE };
        let selector = Selector::new(&options.selection, self.source.devices());
        let excluded = Mutex::new(Vec::new());
        let note_excluded = |path| {
            excluded.lock().expect("no thread panics while it holds the lock").push(path);
        };
        let job = Backup {
            repository: self.repository,
            chunks: self.chunks,
            lost: self.lost,
            session: self.session,
            chunker: &chunker(self.repository, config)?,
            sources: self.sources(),
            exclusion: &exclusion(options),
            selector: &selector,
            excluded: &note_excluded,
            last_run: self.last_run,
            counts_first: self.counts_first,
            next_epoch: self.next_epoch,
            saving: (!options.dry_run)
                .then_some(Saving { interval: options.save_interval, snapshot: self.so_far }),
            plan,
            pack_len,
            level: options.level,
            checks_frames: options.checks_frames,
            read_count: options.read_concurrency.max(1),
            put_count: put_count.min(plan.packs_in_flight),
            is_kept: !options.dry_run,
            clock: run.clock,
            problems: run.problems,
            progress: run.progress,
            cancel: run.cancel,
        };
        let result = pipeline::backup(&job)?;
        tracing::info!(
            data_chunks = run.progress.new_data_chunks.get(),
            metadata_chunks = run.progress.new_metadata_chunks.get(),
            packs = run.progress.stored_packs.get(),
            stored_bytes = run.progress.stored_bytes.get(),
            "new chunks stored"
        );
        let mut excluded: Vec<_> =
            excluded.into_inner().expect("no thread panics while it holds the lock");
        // Threads meet them in any order.
        excluded.sort_unstable();
        Ok(Captured { result, excluded, notices: selector.take_notices() })
    }

    fn sources(&self) -> Sources<'_> {
        match self.source {
            Source::Trees(roots) => Sources::Trees(roots),
            Source::Stream(stream) => Sources::Stream(stream, self.before),
        }
    }
}

fn chunker(repository: &Repository, config: &Config) -> Result<Chunker> {
    let lens = config.chunker;
    let params = Params::new(lens.min, lens.avg, lens.max).map_err(|error| {
        Error::new(ErrorKind::Damaged, "the config has odd chunk lengths").because(error)
    })?;
    let table = GearTable::new(repository.keyring().chunker().expose());
    Ok(Chunker::new(params, Arc::new(table)))
}

fn exclusion(options: &Options) -> Exclusion {
    let mut exclusion = Exclusion::default();
    for path in &options.exclude {
        // One that does not exist cannot be met either.
        let _added = exclusion.add(path);
    }
    exclusion
}
