//! Describes anew what no index segment describes any more.
//!
//! Each pack says itself what it holds, so that segments can be made again from packs alone.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{Error, ErrorKind, Problems, Result};
use crate::format::ObjectName;
use crate::format::name::Parsed;
use crate::ops::{Run, adoption, closing_notices, open_chunks};
use crate::repo::chunks::Chunks;
use crate::repo::session::Session;
use crate::repo::{Repository, rounds};

/// How to repair.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Repair, and do not only say what would be done.
    pub apply: bool,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
}

/// What was done, or would be.
#[derive(Debug, Default)]
pub struct Report {
    /// Packs that no segment described, and that say what they hold.
    pub described_packs: u64,
    /// Their bytes.
    pub described_bytes: u64,
    /// Packs that no segment describes, and that do not say what they hold.
    pub unreadable_packs: u64,
    /// Segments that cannot be read, or say of packs what is not true.
    pub damaged_segments: Vec<ObjectName>,
    /// Whether these are removed: nothing that they could say is not known.
    pub removes_segments: bool,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// Describes packs in new segments that no segment names, then removes segments that cannot be read,
/// unless a pack is left of which they may have been the only description.
///
/// # Errors
/// When objects cannot be listed or stored, or the place does not answer. A pack that does not say
/// what it holds is a problem instead.
pub fn repair(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let opening = Problems::default();
    let quiet = Run { problems: &opening, ..*run };
    let (chunks, notices) = open_chunks(repository, options.cache_dir.as_ref(), &quiet)?;
    let mut report = Report { notices, ..Report::default() };
    let session = Session::start(repository)?;
    chunks.list_packs(&HashSet::new())?;
    report.damaged_segments = chunks.unreadable_segments();
    // The report tells of those, and a problem is what remains.
    let is_told = |problem: &Error, segments: &[ObjectName]| {
        let object = problem.object.as_deref().unwrap_or_default();
        segments.iter().any(|name| object.contains(name.as_str()))
    };
    let remaining = opening.take().into_iter().filter(|p| !is_told(p, &report.damaged_segments));
    run.problems.extend(remaining);
    let mut unnamed = chunks.unindexed_packs();
    // A description would outlive what is doomed. Where that is not known, it is better than none.
    match rounds::doomed(repository) {
        Ok(doomed) => unnamed.retain(|(id, _)| !doomed.contains(id)),
        Err(error) => report
            .notices
            .push(format!("packs that a prune deletes may be described here as well: {error}")),
    }
    let (mut offline, mut unreadable_packs) = (None, 0);
    let mut failed = |error: Error| {
        match error.kind {
            // A prune deleted it since it was listed.
            ErrorKind::NotFound => {}
            ErrorKind::Offline => offline = Some(error),
            _ => {
                unreadable_packs += 1;
                run.problems.push(error);
                return true;
            }
        }
        offline.is_none()
    };
    adoption::adopt(&session, &unnamed, run, &mut failed, &mut |adopted| {
        report.described_packs += adopted.len() as u64;
        report.described_bytes += adopted.iter().map(|pack| pack.get().len).sum::<u64>();
        if !options.apply {
            return Ok(());
        }
        let (_, segment) = session.put_segment(adopted)?.split();
        chunks.apply_own(segment)
    })?;
    if let Some(error) = offline {
        return Err(error);
    }
    report.unreadable_packs = unreadable_packs;
    report.removes_segments = unreadable_packs == 0;
    if report.removes_segments {
        report.damaged_segments = remove(repository, &chunks, &report, options.apply)?;
    }
    let problems = chunks.take_problems().into_iter();
    run.problems.extend(problems.filter(|p| !is_told(p, &report.damaged_segments)));
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}

/// Removes segments that cannot be read, if that is wanted; returns their names. One that can be read
/// after all stays, unless it says what is not true.
fn remove(
    repository: &Repository,
    chunks: &Chunks,
    report: &Report,
    applies: bool,
) -> Result<Vec<ObjectName>> {
    let mut removed = Vec::new();
    for name in &report.damaged_segments {
        let Parsed::Index(session, sequence, id) = name.parsed() else { continue };
        let reads = || matches!(chunks.fetch_segment(name, (session, sequence)), Ok(Some(_)));
        if !chunks.distrusts(&id) && reads() {
            continue;
        }
        if applies {
            repository.backend().delete(name)?;
        }
        removed.push(name.clone());
    }
    Ok(removed)
}
