//! Brings a forgotten snapshot back, as long as nothing that it needs is gone.
//!
//! A tombstone is never taken away: who wrote it may be anywhere. What the snapshot said is committed
//! by a session of its own instead, under a new id.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recommit::{Recommit, again, begin};
use super::{Run, check, closing_notices, open_chunks};
use crate::base::{Error, ErrorKind, Result};
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::reader::Reader;
use crate::repo::select::Selector;
use crate::repo::snapshots::{Committed, Snapshots};

/// What to bring back.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Forgotten snapshots, as typed; without any they are only listed.
    pub words: Vec<String>,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
    /// Where files may be made that live as long as the run.
    pub scratch_dir: PathBuf,
    /// Bound on memory in bytes.
    pub max_memory: u64,
}

/// What came back, or could.
#[derive(Debug, Default)]
pub struct Report {
    /// Forgotten snapshots that are still there, oldest first, when none was asked for.
    pub forgotten: Vec<Committed>,
    /// Each forgotten snapshot with what it came back as.
    pub back: Vec<(Committed, Committed)>,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// Lists forgotten snapshots, or brings some back.
///
/// # Errors
/// When one of them is not there any more, or not whole; those before it are back then.
pub fn unforget(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let mut found = Snapshots::read_forgotten(repository)?;
    run.problems.extend(std::mem::take(&mut found.problems));
    if options.words.is_empty() {
        return Ok(Report { forgotten: found.all, ..Report::default() });
    }
    let select = |word: &String| found.select(&Selector::from(word.as_str())).map_err(not_there);
    let wanted = options.words.iter().map(select).collect::<Result<Vec<_>>>()?;
    let (chunks, notices) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    let mut report = Report { notices, ..Report::default() };
    let Options { max_memory, scratch_dir, .. } = options;
    let unforget = Unforget { repository, chunks: &chunks, max_memory: *max_memory, scratch_dir };
    for old in wanted {
        let new = unforget.bring_back(old, run)?;
        report.back.push((old.clone(), new));
    }
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}

struct Unforget<'a> {
    repository: &'a Repository,
    chunks: &'a Chunks,
    max_memory: u64,
    scratch_dir: &'a Path,
}

impl Unforget<'_> {
    fn bring_back(&self, old: &Committed, run: &Run<'_>) -> Result<Committed> {
        again(&format!("snapshot {}", old.id.short()), || self.attempt(old, run))
    }

    /// One session. `None` when another look found packs that are about to go.
    fn attempt(&self, old: &Committed, run: &Run<'_>) -> Result<Option<Committed>> {
        let Self { repository, chunks, max_memory, .. } = *self;
        let session = begin(repository, chunks, run)?;
        let reader = Reader::new(repository, chunks);
        if let Some(finding) = check::lacks(&reader, old, max_memory, run)?.into_iter().next() {
            let affected = finding.affected.first().cloned().unwrap_or_default();
            let message = format!("snapshot {} is not whole any more", old.id.short());
            return Err(Error::new(ErrorKind::Damaged, message)
                .because(format!("{affected}: {}", finding.message))
                .hint("What it shares with other snapshots can be restored from those."));
        }
        let Self { scratch_dir, .. } = *self;
        Recommit { reader: &reader, session: &session, max_memory, scratch_dir }.commit(
            old.snapshot.clone(),
            Vec::new(),
            run,
        )
    }
}

fn not_there(error: Error) -> Error {
    match error.kind {
        ErrorKind::NotFound => error.hint(
            "`parados unforget` lists the forgotten snapshots that are still there; what was \
             pruned does not come back.",
        ),
        _ => error,
    }
}
