//! Makes snapshots anew of which something is lost, without it.
//!
//! The new snapshot says of each file which ranges were lost, and reads as zeros there. The old one
//! stays, unless it is to be forgotten: what it lost may turn up again.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{ErrorKind, Result};
use crate::format::snapshot::{Snapshot, State};
use crate::ops::recommit::{Recommit, again, begin};
use crate::ops::repack::Repacking;
use crate::ops::rewrite::{Rewriter, Rewritten, Store, Sums};
use crate::ops::snapshots::choose;
use crate::ops::{Run, closing_notices, open_chunks};
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::ledger::damaged_packs;
use crate::repo::reader::Reader;
use crate::repo::select::Filter;
use crate::repo::snapshots::{Committed, Snapshots};
use crate::repo::tombstones;

/// Tag of snapshots that are made anew.
const TAG: &str = "repaired";

/// What to repair, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// These snapshots, as typed; without any all that the filter accepts.
    pub words: Vec<String>,
    /// What `latest` counts.
    pub filter: Filter,
    /// Repair, and do not only say what would be done.
    pub apply: bool,
    /// Forget each snapshot that was made anew.
    pub forget: bool,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
    /// Where files may be made that live as long as the run.
    pub scratch_dir: PathBuf,
    /// Bound on memory in bytes.
    pub max_memory: u64,
}

/// What was done, or would be.
#[derive(Debug, Default)]
pub struct Report {
    /// Snapshots that were looked at.
    pub snapshot_count: u64,
    /// Those of which something is lost.
    pub torn: Vec<Torn>,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// A snapshot of which something is lost.
#[derive(Debug)]
pub struct Torn {
    /// The snapshot.
    pub old: Committed,
    /// What it was made anew as; absent in a dry run, and where nothing is left.
    pub new: Option<Committed>,
    /// Whether nothing of it is left.
    pub is_empty: bool,
    /// Files of which ranges are lost.
    pub lost_file_count: u64,
    /// Bytes of these ranges.
    pub lost_bytes: u64,
    /// Directories of which names are lost.
    pub lost_directory_count: u64,
    /// Entries in these and below, of which nothing is known any more.
    pub lost_entry_count: u64,
    /// Whether the old snapshot was forgotten.
    pub is_forgotten: bool,
    /// The first of what is lost; not what an earlier snapshot shares.
    pub named: Vec<String>,
}

impl Torn {
    fn new(old: &Committed, sums: &Sums, named: Vec<String>) -> Self {
        Self {
            old: old.clone(),
            new: None,
            is_empty: false,
            lost_file_count: sums.lost_file_count,
            lost_bytes: sums.lost_bytes,
            lost_directory_count: sums.lost_directory_count,
            lost_entry_count: sums.lost_entry_count,
            is_forgotten: false,
            named,
        }
    }

    /// Whether its old snapshot may be forgotten: below names that are lost there may be directories that
    /// are whole, which the next prune would take.
    fn is_replaced(&self) -> bool {
        self.new.is_some() && self.lost_directory_count == 0
    }
}

/// Makes anew what has losses. What is wrong with one snapshot is a problem, and the others go on.
///
/// # Errors
/// When a snapshot that was named does not exist, or the place does not answer.
pub fn repair(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let mut found = Snapshots::read(repository)?.as_of(run.clock.now());
    run.problems.extend(std::mem::take(&mut found.problems));
    let mut wanted = choose(&found, &options.words, &options.filter)?;
    let (chunks, notices) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    let mut report = Report { notices, ..Report::default() };
    report.snapshot_count = wanted.len() as u64;
    // One that was made of it stands for it already.
    wanted.retain(|old| !found.all.iter().any(|other| is_made_of(other, old)));
    let reader = Reader::new(repository, &chunks);
    chunks.list_packs(&damaged_packs(repository)?)?;
    let mut scan = Rewriter::new(&reader, options.max_memory);
    let rewriter = Rewriter::new(&reader, options.max_memory);
    let mut repair = Repair { repository, chunks: &chunks, reader: &reader, rewriter, options };
    for old in wanted {
        let mut repaired = || -> Result<Option<Torn>> {
            let (snapshot, sums) = rewrite(&mut scan, &old, &mut Store::nowhere(), run)?;
            if sums.is_whole() {
                return Ok(None);
            }
            let mut torn = Torn::new(&old, &sums, scan.take_named());
            torn.is_empty = is_empty(&snapshot);
            if options.apply && !torn.is_empty {
                torn.new = repair.snapshot(&old, run)?;
            }
            if options.forget && torn.is_replaced() && !found.pinned.contains(&old.id) {
                tombstones::put(repository, &[&old], run.clock.now(), "repaired")?;
                torn.is_forgotten = true;
            }
            Ok(Some(torn))
        };
        match repaired() {
            Ok(torn) => report.torn.extend(torn),
            Err(error) if matches!(error.kind, ErrorKind::Offline | ErrorKind::Cancelled) => {
                // What was done is told all the same.
                run.problems.push(error);
                break;
            }
            Err(error) => {
                run.problems.push(error);
                // What it remembers to have stored may not be.
                repair.rewriter = Rewriter::new(&reader, options.max_memory);
            }
        }
    }
    if report.torn.iter().any(|torn| torn.lost_directory_count > 0) {
        report.notices.push(
            "names of directories are lost: `parados recover` finds what was below them, until the old \
             snapshots are forgotten and pruned"
                .to_owned(),
        );
    }
    run.problems.extend(chunks.take_problems());
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}

/// Whether a snapshot was made anew of another one.
fn is_made_of(snapshot: &Committed, old: &Committed) -> bool {
    let Snapshot { parent, time, tags, .. } = &snapshot.snapshot;
    *parent == Some(old.id) && *time == old.snapshot.time && tags.iter().any(|tag| tag == TAG)
}

fn is_empty(snapshot: &Snapshot) -> bool {
    snapshot.components.iter().all(|component| component.root.is_none())
}

/// What is left of a snapshot, and what is lost.
fn rewrite(
    rewriter: &mut Rewriter<'_>,
    old: &Committed,
    store: &mut Store<'_>,
    run: &Run<'_>,
) -> Result<(Snapshot, Sums)> {
    let mut snapshot = old.snapshot.clone();
    let mut sums = Sums::default();
    for component in &mut snapshot.components {
        let Some(root) = component.root else { continue };
        let Rewritten { tree, sums: lost, .. } = rewriter.rewrite(root, store, run)?;
        if lost.is_whole() {
            continue;
        }
        sums.add(&lost);
        component.root = tree;
        component.statistics.file_count = lost.file_count;
        component.statistics.directory_count = lost.directory_count;
        component.statistics.other_count = lost.other_count;
        component.statistics.content_bytes = tree.map_or(0, |tree| tree.content_bytes);
        component.statistics.problem_count += lost.lost_file_count + lost.lost_directory_count;
        if component.state == State::Complete {
            component.state = State::Incomplete;
        }
    }
    Ok((snapshot, sums))
}

struct Repair<'a> {
    repository: &'a Repository,
    chunks: &'a Chunks,
    reader: &'a Reader<'a>,
    rewriter: Rewriter<'a>,
    options: &'a Options,
}

impl Repair<'_> {
    /// The snapshot that was made; none where none is to be made any more.
    fn snapshot(&mut self, old: &Committed, run: &Run<'_>) -> Result<Option<Committed>> {
        again(&format!("snapshot {}", old.id.short()), || self.attempt(old, run))
    }

    /// One session. The outer `None` when another look found packs that are about to go, the inner one when
    /// the old snapshot was forgotten, or is whole by now.
    fn attempt(&mut self, old: &Committed, run: &Run<'_>) -> Result<Option<Option<Committed>>> {
        let Self { repository, chunks, reader, options, .. } = *self;
        let session = &begin(repository, chunks, run)?;
        let is_forgotten = || -> Result<bool> {
            Ok(Snapshots::read_tombed(repository, run.problems)?.contains(&old.id))
        };
        if is_forgotten()? {
            return Ok(Some(None));
        }
        let mut store = Store::of(Repacking::new(repository, chunks, session));
        let (snapshot, sums) = rewrite(&mut self.rewriter, old, &mut store, run)?;
        if sums.is_whole() || is_empty(&snapshot) {
            return Ok(Some(None));
        }
        let segments = store.finish()?;
        // One that was pruned meanwhile must not come back with holes where that was.
        if is_forgotten()? {
            return Ok(Some(None));
        }
        let mut snapshot = Snapshot { parent: Some(old.id), ..snapshot };
        snapshot.tags.push(TAG.to_owned());
        snapshot.tags.sort_unstable();
        snapshot.tags.dedup();
        let Options { max_memory, scratch_dir, .. } = options;
        let recommit = Recommit { reader, session, max_memory: *max_memory, scratch_dir };
        Ok(recommit.commit(snapshot, segments, run)?.map(Some))
    }
}
