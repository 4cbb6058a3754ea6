//! Brings a snapshot, or a part of one, back to a directory.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Run, closing_notices, open_chunks, selection, subtree};
use crate::base::size::human;
use crate::base::{Error, ErrorKind, Result, SessionId};
use crate::format::entry::EntryKind;
use crate::pipeline::restore::{Restore, Selection, restore as run_restore};
use crate::repo::Repository;
use crate::repo::reader::Reader;
use crate::repo::select::Selector;
use crate::target::{self, Target};

/// What to restore, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// What selects the snapshot.
    pub snapshot: Selector,
    /// Only this path: its content, if it is a directory, goes directly into the target.
    pub path: Option<Vec<u8>>,
    /// The directory to write to.
    pub target: PathBuf,
    /// Which metadata to apply.
    pub target_options: target::Options,
    /// Bound on memory in bytes.
    pub max_memory: u64,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
}

/// What was restored; counts are in the progress of the run.
#[derive(Debug)]
pub struct Report {
    /// The snapshot.
    pub snapshot: SessionId,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// Restores a snapshot. One entry that fails is a problem; the rest goes on.
///
/// # Errors
/// When there is no such snapshot, the target cannot be written, or the disk is full.
pub fn restore(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let committed = selection::select(repository, &options.snapshot, run)?;
    let (chunks, mut notices) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    let reader = Reader::new(repository, &chunks);
    let mut selections = Vec::new();
    for component in &committed.snapshot.components {
        let path = options.path.as_deref().unwrap_or_default();
        let found = subtree::find(&reader, component.root, path)?;
        let (bytes, files, selection) = match found {
            None => {
                let bytes = component.root.map_or(0, |tree| tree.content_bytes);
                let files = component.statistics.file_count;
                (bytes, files, Selection::Tree(component.root, None))
            }
            Some(entry) if entry.kind == EntryKind::Directory => {
                let bytes = entry.tree.map_or(0, |tree| tree.content_bytes);
                (bytes, 0, Selection::Tree(entry.tree, Some(Box::new(entry))))
            }
            Some(entry) => (entry.size.unwrap_or(0), 1, Selection::One(Box::new(entry))),
        };
        run.progress.bytes_total.add(bytes);
        run.progress.files_total.add(files);
        selections.push(selection);
    }
    let target = Target::open(&options.target, options.target_options)?;
    check_space(&target, run.progress.bytes_total.get(), &committed, options)?;
    let job = Restore {
        reader: &reader,
        target: &target,
        problems: run.problems,
        progress: run.progress,
        cancel: run.cancel,
    };
    let result = selections.into_iter().try_for_each(|selection| run_restore(&job, selection));
    // What was restored before an error is put on disk as well.
    let flushed = target.finish();
    result.and(flushed)?;
    closing_notices(&chunks, &mut notices);
    Ok(Report { snapshot: committed.id, notices })
}

/// Refuses a restore that cannot fit, before hours are spent on it. Holes and files that exist
/// already make this a guess, so only a target with less than half of what is needed is refused.
fn check_space(
    target: &Target,
    wanted: u64,
    committed: &crate::repo::snapshots::Committed,
    options: &Options,
) -> Result<()> {
    let Ok(available) = target.available_bytes() else { return Ok(()) };
    if available >= wanted / 2 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Full,
        format!(
            "snapshot {} has {} of files, and {} has room for {}",
            committed.id.short(),
            human(wanted),
            options.target.display(),
            human(available)
        ),
    )
    .hint("Free some space, choose another target, or restore a part: `SNAPSHOT:PATH`."))
}
