//! Describes anew what no index segment describes any more.
//!
//! Each pack says itself what it holds, so that segments can be made again from packs alone.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{Error, ErrorKind, PackId, Problems, Result};
use crate::format::ObjectName;
use crate::ops::repack::SEGMENT_PACK_COUNT;
use crate::ops::{Run, closing_notices, open_chunks};
use crate::repo::Repository;
use crate::repo::session::Session;

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
    /// Of these, how many are removed: nothing that they could say is not known.
    pub removed_segments: u64,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// Describes packs in new segments that no segment names, then removes segments that cannot be read,
/// unless a pack is left of which they may have been the only description.
///
/// # Errors
/// When objects cannot be listed or stored. A pack that does not say what it holds is a problem
/// instead.
pub fn repair(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let opening = Problems::default();
    let quiet = Run { problems: &opening, ..*run };
    let (chunks, notices) = open_chunks(repository, options.cache_dir.as_ref(), &quiet)?;
    let mut report = Report { notices, ..Report::default() };
    let session = Session::start(repository)?;
    // What a prune is about to delete needs no description.
    let endangered: &HashSet<PackId> = &session.first_look().endangered;
    chunks.list_packs(endangered)?;
    report.damaged_segments = chunks.unreadable_segments();
    // The report tells of those, and a problem is what remains.
    let is_told = |problem: &Error| {
        let object = problem.object.as_deref().unwrap_or_default();
        report.damaged_segments.iter().any(|name| object.contains(name.as_str()))
    };
    run.problems.extend(opening.take().into_iter().filter(|problem| !is_told(problem)));
    let mut unnamed = chunks.unindexed_packs();
    unnamed.retain(|(id, _)| !endangered.contains(id));
    for listed in unnamed.chunks(SEGMENT_PACK_COUNT) {
        run.cancel.check()?;
        let mut adopted = Vec::new();
        for pack in session.adopt(listed) {
            match pack {
                Ok(pack) => adopted.push(pack),
                // A prune deleted it since it was listed.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) if error.kind == ErrorKind::Damaged => {
                    report.unreadable_packs += 1;
                    run.problems.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        report.described_packs += adopted.len() as u64;
        report.described_bytes += adopted.iter().map(|pack| pack.get().len).sum::<u64>();
        if options.apply && !adopted.is_empty() {
            let (_, segment) = session.put_segment(adopted)?.split();
            chunks.apply_own(segment)?;
        }
    }
    if report.unreadable_packs == 0 {
        report.removed_segments = report.damaged_segments.len() as u64;
        for name in report.damaged_segments.iter().filter(|_| options.apply) {
            repository.backend().delete(name)?;
        }
    }
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}
