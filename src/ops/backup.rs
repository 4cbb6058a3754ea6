//! Makes a snapshot of directory trees.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::{DAMAGED_KEY, Run, closing_notices, decode_packs, open_chunks};
use crate::base::{Error, ErrorKind, Result, SegmentId, SessionId, WriterId};
use crate::chunk::{Chunker, GearTable, Params};
use crate::format::snapshot::{Component, PathBytes, Snapshot, State, Statistics};
use crate::index::Rows;
use crate::pipeline::scan::LastRun;
use crate::pipeline::{self, Backup, BackupResult, MemoryPlan};
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::session::{Recheck, Session};
use crate::repo::snapshots::{Committed, Snapshots};
use crate::source::{Exclusion, Roots};

/// Times that a run starts over because prunes endangered what it relied on.
const ATTEMPT_COUNT_MAX: usize = 5;
/// Packs that are put at a time on a disk, and elsewhere.
const PUT_COUNT_LOCAL: usize = 2;
const PUT_COUNT_REMOTE: usize = 3;
/// Key of the writer's id and sequence in the local cache.
const WRITER_KEY: &str = "writer";

/// What to back up, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files and directories, as given.
    pub sources: Vec<PathBuf>,
    /// Where relative ones start.
    pub cwd: PathBuf,
    /// Name of the host.
    pub host: String,
    /// Name of the user.
    pub user: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Read every file, also those that look unchanged.
    pub force: bool,
    /// Whether somebody watches the progress, who wants to know how much is left.
    pub is_watched: bool,
    /// Bound on memory in bytes.
    pub max_memory: u64,
    /// zstd level for file content.
    pub level: i32,
    /// Files that are read at a time.
    pub read_concurrency: usize,
    /// Left out of every source: repository, cache, key file.
    pub exclude: Vec<PathBuf>,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
    /// Free text.
    pub description: Option<String>,
    /// Name and version of the program.
    pub program: String,
}

/// What was stored; counts are in the progress of the run.
#[derive(Debug)]
pub struct Report {
    /// The new snapshot.
    pub snapshot: Committed,
    /// The snapshot that unchanged files were taken from.
    pub parent: Option<SessionId>,
    /// Paths that were left out.
    pub excluded: Vec<Vec<u8>>,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// Makes a snapshot.
///
/// # Errors
/// When no source can be read, or the repository cannot be written. A file that cannot be read is
/// a problem instead.
pub fn backup(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let roots = Roots::find(&options.sources, &options.cwd)?;
    for problem in &roots.problems {
        run.problems.push(problem.clone().into());
    }
    let (chunks, mut notices) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    for attempt in 1.. {
        let verified_only = attempt > 1;
        match attempt_once(repository, &chunks, &roots, options, run, verified_only)? {
            Some(mut report) => {
                closing_notices(&chunks, &mut notices);
                report.notices.splice(..0, notices);
                return Ok(report);
            }
            None if attempt == ATTEMPT_COUNT_MAX => break,
            None => {}
        }
    }
    Err(Error::new(ErrorKind::Busy, "prunes endangered this backup again and again")
        .hint("Run it when fewer prunes are running; it reuses what was stored."))
}

/// One session. `None` when another look found that it relied on packs that are about to go.
fn attempt_once(
    repository: &Arc<Repository>,
    chunks: &Chunks,
    roots: &Roots,
    options: &Options,
    run: &Run<'_>,
    verified_only: bool,
) -> Result<Option<Report>> {
    let started = run.clock.now();
    // The order matters: generations, then packs, then snapshots.
    let mut session = Session::start(repository)?;
    run.problems.extend(session.take_problems());
    let damaged = decode_packs(&chunks.meta_get(DAMAGED_KEY).unwrap_or_default());
    chunks.list_packs(&session.first_look().endangered.union(&damaged).copied().collect())?;
    let mut snapshots = Snapshots::read(repository)?;
    run.problems.extend(std::mem::take(&mut snapshots.problems));
    let paths: Vec<PathBytes> = roots.paths.iter().cloned().map(PathBytes).collect();
    let parent = snapshots.parent(&options.host, &paths).map(|committed| {
        // A guess that is good enough for the time that is left.
        let statistics = committed.snapshot.components[0].statistics;
        run.progress.files_total.set(statistics.file_count);
        run.progress.bytes_total.set(statistics.content_bytes);
        committed.id
    });
    let scope = scope(&options.host, &paths);
    let last = LastEpoch::read(chunks, &scope);
    let may_take_over = !options.force
        && !verified_only
        && !chunks.is_degraded()
        && parent.is_some()
        && last.as_ref().is_some_and(|last| {
            // Without a segment of then, others would not find what is taken over.
            Some(last.snapshot) == parent && last.segments.is_subset(&chunks.segments())
        });
    let epoch = last.as_ref().map(|last| last.epoch).filter(|_| may_take_over);
    // Never used twice, whatever became of the cache in between.
    let next_epoch = crate::format::wire::Cursor::new(session.id().as_bytes())
        .u64()
        .expect("an id has 32 bytes");
    let last_run = LastRun { rows: chunks as &dyn Rows, scope, epoch };
    let mut exclusion = Exclusion::default();
    for path in &options.exclude {
        // One that does not exist cannot be met either.
        let _added = exclusion.add(path);
    }
    let excluded = Mutex::new(Vec::new());
    let note_excluded = |path| {
        excluded.lock().expect("no thread panics while it holds the lock").push(path);
    };
    let config = repository.config();
    let params =
        Params::new(config.chunker.min, config.chunker.avg, config.chunker.max).map_err(|e| {
            Error::new(ErrorKind::Damaged, "the config has odd chunk lengths").because(e)
        })?;
    let table = GearTable::new(repository.keyring().chunker().expose());
    let is_local = repository.backend().location().scheme() == "local";
    let plan = MemoryPlan::new(options.max_memory, config.pack_len)?;
    let put_count = if is_local { PUT_COUNT_LOCAL } else { PUT_COUNT_REMOTE };
    let problems_before = run.problems.count();
    let job = Backup {
        repository,
        chunks,
        session: &session,
        chunker: &Chunker::new(params, Arc::new(table)),
        roots,
        exclusion: &exclusion,
        excluded: &note_excluded,
        last_run: &last_run,
        counts_first: options.is_watched && parent.is_none(),
        next_epoch,
        plan,
        level: options.level,
        read_count: options.read_concurrency.max(1),
        put_count: put_count.min(plan.packs_in_flight),
        clock: run.clock,
        problems: run.problems,
        progress: run.progress,
        cancel: run.cancel,
    };
    let BackupResult { tree, segments } = pipeline::backup(&job)?;
    let problem_count = run.problems.count() - problems_before + roots.problems.len() as u64;
    let (writer, sequence) = next_writer(chunks);
    let component = Component {
        name: "files".to_owned(),
        kind: "files".to_owned(),
        tier: None,
        root: tree,
        statistics: statistics(run, problem_count),
        state: if problem_count == 0 { State::Complete } else { State::Incomplete },
        paths,
    };
    let mut tags = options.tags.clone();
    tags.sort();
    tags.dedup();
    let taken_over = parent.filter(|_| epoch.is_some());
    let snapshot = Snapshot {
        components: vec![component],
        recovery_point: None,
        time: started,
        finished: run.clock.now(),
        host: options.host.clone(),
        user: options.user.clone(),
        tags,
        program: options.program.clone(),
        writer,
        sequence,
        parent,
        segments: Vec::new(),
        seen: snapshots.heads(),
        signature: None,
        description: options.description.clone(),
    };
    let root = session.put_root(snapshot, &segments)?;
    let Recheck::Sound(root) = session.recheck(root, &|pack| chunks.is_alive(pack))? else {
        return Ok(None);
    };
    // Files taken over without asking for their chunks rely on the parent being kept.
    if let Some(parent) = taken_over
        && Snapshots::read_tombed(repository, run.problems)?.contains(&parent)
    {
        return Ok(None);
    }
    let committed = session.commit(root)?;
    let segments = chunks.segments();
    LastEpoch { epoch: next_epoch, snapshot: committed.id, segments }.write(chunks, &scope);
    keep_writer(chunks, writer, sequence);
    if !damaged.is_empty() {
        chunks.meta_put(DAMAGED_KEY, &[]);
    }
    run.problems.extend(chunks.take_problems());
    let excluded = excluded.into_inner().expect("no thread panics while it holds the lock");
    Ok(Some(Report { snapshot: committed, parent, excluded, notices: Vec::new() }))
}

fn statistics(run: &Run<'_>, problem_count: u64) -> Statistics {
    let progress = run.progress;
    Statistics {
        file_count: progress.files_done.get(),
        directory_count: progress.directories_done.get(),
        other_count: progress.others_done.get(),
        content_bytes: progress.bytes_done.get(),
        new_bytes: progress.new_data_bytes.get() + progress.new_metadata_bytes.get(),
        stored_bytes: progress.stored_bytes.get(),
        problem_count,
    }
}

/// Stands for one set of sources on one host.
fn scope(host: &str, paths: &[PathBytes]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in std::iter::once(host.as_bytes()).chain(paths.iter().map(|p| &p.0[..])) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The record that says which rows of the local cache belong to the last snapshot of some sources.
struct LastEpoch {
    epoch: u64,
    snapshot: SessionId,
    /// Segments that were listed then.
    segments: HashSet<SegmentId>,
}

impl LastEpoch {
    fn read(chunks: &Chunks, scope: &[u8; 32]) -> Option<Self> {
        let bytes = chunks.meta_get(&Self::key(scope))?;
        let mut cursor = crate::format::wire::Cursor::new(&bytes);
        let epoch = cursor.u64().ok()?;
        let snapshot = SessionId::new(cursor.array().ok()?);
        let mut segments = HashSet::new();
        while !cursor.rest().is_empty() {
            segments.insert(SegmentId::new(cursor.array().ok()?));
        }
        Some(Self { epoch, snapshot, segments })
    }

    fn write(&self, chunks: &Chunks, scope: &[u8; 32]) {
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

/// Who writes on this host, and the number of its next snapshot. A lost cache makes a new writer.
fn next_writer(chunks: &Chunks) -> (WriterId, u64) {
    let bytes = chunks.meta_get(WRITER_KEY).unwrap_or_default();
    let mut cursor = crate::format::wire::Cursor::new(&bytes);
    match (cursor.array(), cursor.u64()) {
        (Ok(id), Ok(sequence)) => (WriterId::new(id), sequence + 1),
        _ => (WriterId::random(), 1),
    }
}

fn keep_writer(chunks: &Chunks, writer: WriterId, sequence: u64) {
    chunks.meta_put(WRITER_KEY, &[&writer.as_bytes()[..], &sequence.to_le_bytes()].concat());
}
