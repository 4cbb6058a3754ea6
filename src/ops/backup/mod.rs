//! Makes a snapshot of directory trees.

mod capture;
mod epoch;
mod parent;
mod record;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use self::capture::{Capture, Captured};
use self::epoch::LastEpoch;
use self::record::Record;
use self::writer::Writer;
use super::{DAMAGED_KEY, Run, closing_notices, decode_packs, open_chunks};
use crate::base::{Error, ErrorKind, Result, SessionId};
use crate::format::snapshot::PathBytes;
use crate::index::Rows;
use crate::pipeline::scan::LastRun;
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::session::{Recheck, Session};
use crate::repo::snapshots::{Committed, Snapshots};
use crate::source::{Roots, Selection};

/// Times that a run starts over because prunes endangered what it relied on.
const ATTEMPT_COUNT_MAX: usize = 5;

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
    /// What else is left out.
    pub selection: Selection,
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
    let parent = parent::choose(&snapshots, &options.host, &paths, run);
    let scope = epoch::scope(&options.host, &paths);
    let may_take_over = !options.force && !verified_only && parent.is_some();
    let epoch = if may_take_over { LastEpoch::of_parent(chunks, &scope, parent) } else { None };
    let next_epoch = epoch::of_session(session.id());
    let last_run = LastRun { rows: chunks as &dyn Rows, scope, epoch };
    let problems_before = run.problems.count();
    let capture = Capture {
        repository,
        chunks,
        session: &session,
        roots,
        last_run: &last_run,
        counts_first: options.is_watched && parent.is_none(),
        next_epoch,
    };
    let Captured { result, excluded, notices } = capture.run(options, run)?;
    let problem_count = run.problems.count() - problems_before + roots.problems.len() as u64;
    let writer = Writer::next(chunks);
    let seen = snapshots.heads();
    let tree = result.tree;
    let record = Record { started, paths, tree, problem_count, parent, writer, seen };
    let root = session.put_root(record.to_snapshot(options, run), &result.segments)?;
    let Recheck::Sound(root) = session.recheck(root, &|pack| chunks.is_alive(pack))? else {
        return Ok(None);
    };
    // Files taken over without asking for their chunks rely on the parent being kept.
    if let Some(parent) = parent.filter(|_| epoch.is_some())
        && Snapshots::read_tombed(repository, run.problems)?.contains(&parent)
    {
        return Ok(None);
    }
    let committed = session.commit(root)?;
    let segments = chunks.segments();
    LastEpoch { epoch: next_epoch, snapshot: committed.id, segments }.write(chunks, &scope);
    writer.keep(chunks);
    if !damaged.is_empty() {
        chunks.meta_put(DAMAGED_KEY, &[]);
    }
    run.problems.extend(chunks.take_problems());
    Ok(Some(Report { snapshot: committed, parent, excluded, notices }))
}
