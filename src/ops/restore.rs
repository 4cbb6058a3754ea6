//! Brings a snapshot, or a part of one, back to a directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::space::bytes_at_least;
use super::writer::miss_last;
use super::{Run, closing_notices, open_chunks, selection, subtree};
use crate::base::size::{MIB, human};
use crate::base::{Error, ErrorKind, Result, SessionId};
use crate::format::entry::EntryKind;
use crate::pipeline::RestorePlan;
use crate::pipeline::merge::{ComponentNo, merge_directories};
use crate::pipeline::restore::{Restore, Selection, restore as run_restore};
use crate::repo::Repository;
use crate::repo::reader::Reader;
use crate::repo::select::Selector;
use crate::repo::snapshots::Committed;
use crate::repo::tree::check_count;
use crate::target::{self, Identity, Target};

pub use crate::pipeline::how::{Action, How, Overwrite, Select, Selected, Tell};

/// What to restore, and where.
#[derive(Clone)]
pub struct Options {
    /// What selects the snapshot.
    pub snapshot: Selector,
    /// Only this path: its content, if it is a directory, goes directly into the target.
    pub path: Option<Vec<u8>>,
    /// The directory to write to.
    pub target: PathBuf,
    /// Which metadata to apply.
    pub target_options: target::Options,
    /// What happens to what is there, and what is told.
    pub how: How,
    /// What is never removed from the target, such as the repository itself.
    pub stays: Vec<PathBuf>,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
    /// Bound on memory in bytes.
    pub max_memory: u64,
}

impl Options {
    /// All of `latest` to `target`, as it was backed up and without a cache.
    pub fn new(target: PathBuf) -> Self {
        Self {
            snapshot: "latest".into(),
            path: None,
            target,
            target_options: target::Options::default(),
            how: How::default(),
            stays: Vec::new(),
            cache_dir: None,
            max_memory: 512 * MIB,
        }
    }
}

/// What was restored; counts are in the progress of the run.
#[derive(Debug)]
pub struct Report {
    /// The snapshot.
    pub snapshot: SessionId,
    /// Files that were read back and are not what the snapshot has.
    pub mismatch_count: u64,
    /// Most bytes of packs that were read and not written yet.
    pub flight_bytes_max: u64,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// Restores a snapshot. One entry that fails is a problem; the rest goes on.
///
/// # Errors
/// When there is no such snapshot, the target cannot be written, or the disk is full.
pub fn restore(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    if options.how.dry_run && options.how.verify {
        return Err(Error::new(ErrorKind::Usage, "a dry run restores nothing to verify"));
    }
    let plan = RestorePlan::new(options.max_memory)?;
    let committed = selection::select(repository, &options.snapshot, run)?;
    let (chunks, mut notices) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    if options.snapshot.is_latest() {
        miss_last(repository, &chunks, committed.id, run.problems)?;
    }
    let reader = Reader::new(repository, &chunks).keeping(plan.kept_bytes);
    let selection = select(&reader, &committed, options, run)?;
    let open = if options.how.dry_run { Target::inspect } else { Target::open };
    let target = open(&options.target, options.target_options)?;
    refuse_root(&target, &options.how)?;
    check_space(&target, &selection, &reader, options, run)?;
    let stays = options.stays.iter().filter_map(|path| Identity::of_path(path)).collect();
    let job = Restore {
        reader: &reader,
        target: &target,
        how: &How { stays, ..options.how.clone() },
        plan,
        problems: run.problems,
        progress: run.progress,
        cancel: run.cancel,
    };
    let result = run_restore(&job, selection);
    // What was restored before an error is put on disk as well.
    let flushed = target.finish();
    let outcome = result?;
    flushed?;
    closing_notices(&chunks, &mut notices);
    let partial_count = outcome.partial_count.into_inner();
    if partial_count > 0 {
        let what = match partial_count {
            1 => "a directory".to_owned(),
            count => format!("{count} directories"),
        };
        notices.push(format!(
            "nothing was removed from {what} of which the snapshot does not hold all names"
        ));
    }
    let mismatch_count = outcome.mismatch_count.into_inner();
    let flight_bytes_max = outcome.flight_bytes_max.into_inner();
    Ok(Report { snapshot: committed.id, mismatch_count, flight_bytes_max, notices })
}

/// Finds what was asked for in all components, and counts it.
fn select(
    reader: &Reader<'_>,
    committed: &Committed,
    options: &Options,
    run: &Run<'_>,
) -> Result<Selection> {
    let mut selection = Selection::default();
    let mut absent = None;
    let mut found_count = 0;
    let path = options.path.as_deref().unwrap_or_default();
    let components = &committed.snapshot.components;
    // What is selected one by one is counted one by one.
    let count = |files: u64, bytes: u64| {
        if options.how.select.is_none() {
            run.progress.files_total.add(files);
            run.progress.bytes_total.add(bytes);
        }
    };
    for (component, no) in components.iter().zip(0 as ComponentNo..) {
        let found = match subtree::find(reader, component.root, path) {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::NotFound => {
                absent = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        found_count += 1;
        match found {
            None => {
                let bytes = component.root.map_or(0, |tree| tree.content_bytes);
                count(component.statistics.file_count, bytes);
                selection.trees.extend(component.root.map(|tree| (no, tree)));
            }
            Some(entry) if entry.kind == EntryKind::Directory => {
                count(0, entry.tree.map_or(0, |tree| tree.content_bytes));
                selection.trees.extend(entry.tree.map(|tree| (no, tree)));
                selection.root = Some(match selection.root.take() {
                    Some(root) => merge_directories(root, entry),
                    None => entry,
                });
            }
            Some(entry) => {
                count(1, entry.size.unwrap_or(0));
                selection.entries.push((no, entry));
            }
        }
    }
    if let Some(error) = absent.filter(|_| found_count == 0) {
        return Err(error);
    }
    for (_, tree) in &selection.trees {
        check_count(Some(tree))
            .map_err(|error| error.hint("Restore a part of it: `SNAPSHOT:PATH`."))?;
    }
    Ok(selection)
}

/// Refuses to empty the whole system.
fn refuse_root(target: &Target, how: &How) -> Result<()> {
    let root = target.root();
    let is_root = !root.is_absent() && Identity::of_path(Path::new("/")) == Some(root.identity());
    if !(how.delete && how.select.is_none() && is_root) {
        return Ok(());
    }
    let message = "removing what the snapshot does not have from `/` would ruin this system";
    Err(Error::new(ErrorKind::Usage, message)
        .hint("Add `--include` or `--exclude`, or choose another target."))
}

/// Refuses a restore that cannot fit, before hours are spent on it. What is there may be what is
/// wanted, and the file system may compress, so only an empty target with less than half of what is
/// needed is refused.
fn check_space(
    target: &Target,
    selection: &Selection,
    reader: &Reader<'_>,
    options: &Options,
    run: &Run<'_>,
) -> Result<()> {
    // Of a few files, or of runs of zeros that become holes, nobody knows before.
    if options.how.dry_run || options.how.select.is_some() || options.how.sparse {
        return Ok(());
    }
    let Ok(available) = target.available_bytes() else { return Ok(()) };
    let enough = available.saturating_mul(2);
    if run.progress.bytes_total.get() <= enough || !target.is_empty()? {
        return Ok(());
    }
    let needed = bytes_at_least(reader, &selection.trees, enough, run.cancel)?;
    if needed <= enough {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Full,
        format!(
            "what is to be restored takes more than {}, and {} has room for {}",
            human(enough),
            options.target.display(),
            human(available)
        ),
    )
    .hint("Free some space, choose another target, or restore a part: `SNAPSHOT:PATH`."))
}
