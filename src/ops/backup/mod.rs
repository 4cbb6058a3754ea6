//! Makes a snapshot of directory trees, or of one stream.

mod capture;
mod ending;
mod epoch;
mod orphans;
mod parent;
mod record;
mod source;
mod suspicion;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::capture::{Capture, Captured};
use self::ending::Ending;
use self::orphans::Orphans;
use self::record::{Content, Record};
use self::source::Source;
use super::writer::Writer;
use super::{Run, closing_notices, open_chunks, subtree};
use crate::base::size::MIB;
use crate::base::{Error, ErrorKind, Result, SessionId, Timestamp};
use crate::format::entry::TreeRef;
use crate::format::snapshot::{Snapshot, State};
use crate::index::remembered::LastEpoch;
use crate::index::{Rows, UntouchedRows};
use crate::pipeline::parent_tree::ParentTree;
use crate::pipeline::proof::Proof;
use crate::pipeline::scan::LastRun;
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::ledger::damaged_packs;
use crate::repo::reader::Reader;
use crate::repo::session::Session;
use crate::repo::snapshots::{Committed, Snapshots};
use crate::source::{Comparison, Selection, Stream};

/// Times that a run starts over because prunes endangered what it relied on.
const ATTEMPT_COUNT_MAX: usize = 5;

/// Level of zstd when nothing is said: what zstd itself prefers.
pub const LEVEL: i32 = 3;
/// Files that are read at a time when nothing is said: enough to keep a disk busy while two cores
/// seal.
pub const READ_CONCURRENCY: usize = 4;
/// How often what is captured so far is stored when nothing is said.
pub const SAVE_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What to back up, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files and directories, as given.
    pub sources: Vec<PathBuf>,
    /// Where relative ones start.
    pub cwd: PathBuf,
    /// What is read instead of files and directories.
    pub stream: Option<Stream>,
    /// Take a stream for what it should be, also when it is empty or far shorter than before.
    pub allow_suspect: bool,
    /// Time of the snapshot, instead of the present.
    pub time: Option<Timestamp>,
    /// Name of the host.
    pub host: String,
    /// Name of the user.
    pub user: String,
    /// Tags.
    pub tags: Vec<String>,
    /// Compare with this snapshot, as typed, instead of the newest one of the same sources.
    pub parent: Option<String>,
    /// Compare with none: read every file, also those that look unchanged.
    pub force: bool,
    /// Whether somebody watches the progress, who wants to know how much is left.
    pub is_watched: bool,
    /// How files are compared with those of the parent.
    pub comparison: Comparison,
    /// Write nothing, neither to the repository nor about it to the cache.
    pub dry_run: bool,
    /// Make no snapshot when there is nothing new since the parent.
    pub skip_if_unchanged: bool,
    /// Bound on memory in bytes.
    pub max_memory: u64,
    /// zstd level for file content; without one it is stored as it is.
    pub level: Option<i32>,
    /// Open each frame again before it is stored, so that a bad memory cell writes nothing that nobody can
    /// read.
    pub checks_frames: bool,
    /// Length of full packs in bytes, instead of what the config of the repository says.
    pub pack_len: Option<u32>,
    /// Files that are read at a time.
    pub read_concurrency: usize,
    /// How often what is captured so far is stored as an interrupted snapshot, while there is something new.
    pub save_interval: Duration,
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

impl Default for Options {
    /// No sources yet, nobody's name, and the measures of the program.
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            cwd: PathBuf::from("/"),
            stream: None,
            allow_suspect: false,
            time: None,
            host: String::new(),
            user: String::new(),
            tags: Vec::new(),
            parent: None,
            force: false,
            is_watched: false,
            comparison: Comparison::default(),
            dry_run: false,
            skip_if_unchanged: false,
            max_memory: 512 * MIB,
            level: Some(LEVEL),
            checks_frames: true,
            pack_len: None,
            read_concurrency: READ_CONCURRENCY,
            save_interval: SAVE_INTERVAL,
            exclude: Vec::new(),
            selection: Selection::default(),
            cache_dir: None,
            description: None,
            program: String::new(),
        }
    }
}

/// What was stored; counts are in the progress of the run.
#[derive(Debug)]
pub struct Report {
    /// The snapshot, or what it would say if it had been made; its segments are not among it.
    pub snapshot: Snapshot,
    /// The id of the new snapshot.
    pub made: Made,
    /// The snapshot that the sources were compared with.
    pub parent: Option<SessionId>,
    /// Paths that were left out.
    pub excluded: Vec<Vec<u8>>,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// What a run left in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// A snapshot.
    Snapshot(SessionId),
    /// None: there is nothing new since the parent.
    Unchanged,
    /// Nothing: it was a dry run.
    Nothing,
}

/// Makes a snapshot.
///
/// # Errors
/// When no source can be read, or the repository cannot be written. A file that cannot be read is
/// a problem instead.
pub fn backup(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let repository = match options.dry_run {
        true => Arc::new(repository.dry_run()),
        false => Arc::clone(repository),
    };
    let source = Source::find(options, run)?;
    let (chunks, mut notices) = open_chunks(&repository, options.cache_dir.as_ref(), run)?;
    for attempt in 1..=ATTEMPT_COUNT_MAX {
        run.progress.start_again();
        let backup = Backup { repository: &repository, chunks: &chunks, source: &source, options };
        if let Some(mut report) = backup.attempt(run, attempt > 1)? {
            closing_notices(&chunks, &mut notices);
            report.notices.splice(..0, notices);
            return Ok(report);
        }
        if matches!(source, Source::Stream(_)) {
            // It cannot be read again.
            break;
        }
    }
    Err(Error::new(ErrorKind::Busy, "prunes endangered this backup again and again")
        .hint("Run it when fewer prunes are running; it reuses what was stored."))
}

/// One set of sources on its way into the repository.
struct Backup<'a> {
    repository: &'a Arc<Repository>,
    chunks: &'a Chunks,
    source: &'a Source<'a>,
    options: &'a Options,
}

impl Backup<'_> {
    /// One session. `None` when another look found that it relied on packs that are about to go.
    fn attempt(&self, run: &Run<'_>, verified_only: bool) -> Result<Option<Report>> {
        let Self { repository, chunks, source, options } = *self;
        let time = options.time.unwrap_or_else(|| run.clock.now());
        // The order matters: generations, then packs, then snapshots.
        let mut session = Session::start(repository)?;
        run.problems.extend(session.take_problems());
        let damaged = damaged_packs(repository)?;
        let doubtful = session.first_look().endangered.union(&damaged).copied().collect();
        chunks.list_packs(&doubtful)?;
        let orphans = match options.dry_run {
            true => Orphans::default(),
            false => Orphans::adopt(chunks, &session, &doubtful, run)?,
        };
        let mut snapshots = Snapshots::read(repository)?.as_of(run.clock.now());
        run.problems.extend(std::mem::take(&mut snapshots.problems));
        run.problems.extend(snapshots.ahead_problem(&parent::filter(options, source)));
        let parent = parent::choose(&snapshots, options, source, time)?;
        if let Some(component) = parent.and_then(|parent| parent.snapshot.components.first()) {
            // A guess that is good enough for the time that is left.
            run.progress.files_total.set(component.statistics.file_count);
            run.progress.bytes_total.set(component.statistics.content_bytes);
        }
        let paths = source.paths();
        let scope = epoch::scope(&options.host, &paths);
        let of_parent = parent.and_then(|parent| epoch::of_parent(chunks, parent));
        let of_parent = of_parent.map(|rows| rows.proven_unless(verified_only));
        let takes_over = of_parent.is_some_and(|rows| rows.is_proven);
        let begun = if options.force { Vec::new() } else { epoch::of_begun(chunks, &scope) };
        let interrupted = match parent {
            Some(_) => None,
            None => parent::interrupted(repository, chunks, &snapshots, (options, source), run)?,
        };
        let compared = interrupted.as_ref().or(parent);
        let tree = compared
            .filter(|_| of_parent.is_none())
            .and_then(|parent| parent.snapshot.components.first())
            .map(|component| ParentTree::new(Reader::new(repository, chunks), component.root));
        let untouched = UntouchedRows(chunks);
        let rows: &dyn Rows = if options.dry_run { &untouched } else { chunks };
        let comparison = options.comparison;
        let proof = Proof::new(Reader::new(repository, chunks));
        let (proof, tree) = (Some(&proof), tree.as_ref());
        let last_run = LastRun { rows, scope, parent: of_parent, begun, proof, tree, comparison };
        tracing::info!(
            parent = parent.map(|parent| parent.id.short()).unwrap_or_default(),
            takes_over,
            attempt_again = verified_only,
            cache_degraded = chunks.is_degraded(),
            "parent snapshot chosen"
        );
        let next_epoch = LastEpoch::of_session(session.id());
        if !options.dry_run {
            epoch::begin(session.id(), chunks, &scope);
        }
        let problems_before = run.problems.count();
        let before = self.stream_before(parent);
        let gone = chunks.missing_packs().into_iter().map(|(id, _)| id);
        let lost = damaged.into_iter().chain(gone).collect();
        let mut record = Record {
            time,
            kind: source.kind(),
            paths,
            parent: compared.map(|parent| parent.id),
            writer: Writer::next(chunks),
            seen: snapshots.heads(),
        };
        let problem_count = || run.problems.count() - problems_before + source.problem_count();
        let so_far = |tree| {
            let (tree, state) = (Some(tree), State::Incomplete);
            let content = Content { tree, state, problem_count: problem_count() };
            record.to_snapshot(content, options, run)
        };
        let capture = Capture {
            repository,
            chunks,
            lost: &lost,
            session: &session,
            source,
            before: before.as_deref(),
            last_run: &last_run,
            counts_first: options.is_watched && parent.is_none(),
            next_epoch,
            so_far: &so_far,
        };
        let Captured { result, excluded, mut notices } = capture.run(options, run)?;
        notices.extend(orphans.notice());
        let tree = result.tree;
        let is_suspect = self.is_suspect(&snapshots, tree, run);
        let problem_count = problem_count();
        let state = match problem_count {
            _ if is_suspect => State::Suspect,
            0 => State::Complete,
            _ => State::Incomplete,
        };
        // Another run of this host may have ended meanwhile.
        record.writer = Writer::next(chunks);
        let snapshot = record.to_snapshot(Content { tree, state, problem_count }, options, run);
        let has_stored = !result.segments.is_empty();
        let segments: Vec<_> = orphans.segments.into_iter().chain(result.segments).collect();
        let ending = Ending {
            repository,
            chunks,
            options,
            session: &session,
            segments: &segments,
            has_stored,
            parent,
            takes_over,
            scope,
            epoch: next_epoch,
            writer: record.writer,
        };
        let Some(made) = ending.run(snapshot.clone(), run)? else { return Ok(None) };
        run.problems.extend(chunks.take_problems());
        Ok(Some(Report { snapshot, made, parent: record.parent, excluded, notices }))
    }

    /// Whether a stream is not what was expected, and nobody said that it is; reports why.
    fn is_suspect(&self, snapshots: &Snapshots, tree: Option<TreeRef>, run: &Run<'_>) -> bool {
        if self.options.allow_suspect {
            return false;
        }
        let len = tree.map_or(0, |tree| tree.content_bytes);
        let last_len = parent::sound_len(snapshots, self.options, self.source);
        let doubt = suspicion::about(self.source, len, last_len);
        let is_suspect = doubt.is_some();
        run.problems.extend(doubt);
        is_suspect
    }

    /// The encoded entry that a stream has in the parent. One that cannot be read counts as new: a
    /// damaged snapshot must not keep the next one from being made.
    fn stream_before(&self, parent: Option<&Committed>) -> Option<Vec<u8>> {
        let Source::Stream(stream) = self.source else { return None };
        let root = parent?.snapshot.components.first()?.root;
        let reader = Reader::new(self.repository, self.chunks);
        let found = subtree::find(&reader, root, &stream.path().to_bytes()).ok()?;
        found.map(|entry| entry.encode())
    }
}
