//! Picks the snapshot that a verb works on.

use super::Run;
use crate::base::{Error, ErrorKind, Result};
use crate::repo::Repository;
use crate::repo::select::Selector;
use crate::repo::snapshots::{Committed, Snapshots};

/// The snapshot that is meant; one that is interrupted by its id only. What may make `latest` another one than it should be is a problem.
///
/// # Errors
/// When there is none, or more than one.
pub fn select(repository: &Repository, selector: &Selector, run: &Run<'_>) -> Result<Committed> {
    let mut snapshots = Snapshots::read(repository)?.as_of(run.clock.now());
    let selected = snapshots.select(selector).cloned();
    let is_latest = selector.is_latest();
    let ahead = snapshots.ahead_problem(&selector.filter).filter(|_| is_latest);
    let may_miss_latest = is_latest && snapshots.may_miss_latest();
    // Told first: it may be why there is no such snapshot, or why `latest` is an older one.
    run.problems.extend(std::mem::take(&mut snapshots.problems));
    run.problems.extend(ahead);
    let committed = match selected {
        Err(error) if error.kind == ErrorKind::NotFound && !is_latest => {
            let interrupted = snapshots.interrupted(repository)?;
            let found = interrupted.resolve(&selector.word).cloned();
            run.problems.extend(interrupted.problems);
            found.map_err(|of_these| match of_these.kind {
                // What is said of those that are committed has the way out.
                ErrorKind::NotFound => error,
                _ => of_these,
            })?
        }
        selected => selected?,
    };
    if may_miss_latest {
        run.problems.push(maybe_older(&selector.word, &committed));
    }
    let (id, time) = (committed.id.short(), committed.snapshot.time.to_rfc3339());
    tracing::info!(target: "parados::select", word = selector.word, id, time, "snapshot selected");
    Ok(committed)
}

/// Says that one that cannot be read may be newer than the one that was taken.
fn maybe_older(word: &str, committed: &Committed) -> Error {
    let (id, time) = (committed.id.short(), committed.snapshot.time.to_local());
    let message =
        format!("{word} may be an older one than it should: it is snapshot {id} of {time}");
    Error::new(ErrorKind::Damaged, message).hint("Run `parados check` to see what cannot be read.")
}
