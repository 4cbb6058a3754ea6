//! What a person can do, one verb a file.

mod adoption;
pub mod backup;
pub mod check;
pub mod forget;
pub mod group;
pub mod init;
pub mod key;
mod known_config;
pub mod ls;
mod marks;
mod pieces;
pub mod prune;
mod recommit;
pub mod recover;
mod remembered;
pub mod repair;
mod repack;
mod rescue;
pub mod restore;
#[cfg(test)]
mod restore_tests;
mod rewrite;
mod selection;
#[cfg(test)]
mod simulation;
pub mod snapshots;
mod sorted;
mod space;
mod subtree;
#[cfg(test)]
mod tests;
pub mod unforget;
mod whole_pack;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{Cancel, Clock, ErrorKind, Problems, Progress, Result};
use crate::index::{Cache, CacheOptions, Notice};
use crate::repo::Repository;
use crate::repo::chunks::Chunks;

/// What every verb is handed: nothing below `cli` reads a clock or the environment.
pub struct Run<'a> {
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// Where faults go that do not stop the run.
    pub problems: &'a Problems,
    /// How far it is.
    pub progress: &'a Progress,
    /// Whether a person asked to stop.
    pub cancel: &'a Cancel,
}

impl Run<'_> {
    /// What was asked for, unless it is damaged, which is a problem, or was deleted by a prune.
    ///
    /// # Errors
    /// Any other.
    fn unless_lost<T>(&self, asked: Result<T>) -> Result<Option<T>> {
        match asked {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind == ErrorKind::Damaged => {
                self.problems.push(error);
                Ok(None)
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Opens the local cache in `dir`, or none, and brings it up to date.
fn open_chunks(
    repository: &Arc<Repository>,
    dir: Option<&PathBuf>,
    run: &Run<'_>,
) -> Result<(Chunks, Vec<String>)> {
    let options = CacheOptions::new(dir.cloned(), repository.config().repository);
    let (cache, notices) = Cache::open(options);
    let chunks = Chunks::open(Arc::clone(repository), cache)?;
    known_config::compare(repository, &chunks)?;
    run.problems.extend(chunks.take_problems());
    Ok((chunks, notices.iter().map(Notice::to_string).collect()))
}

/// Adds what the cache has to say at the end of a run.
fn closing_notices(chunks: &Chunks, notices: &mut Vec<String>) {
    notices.extend(chunks.take_notices().iter().map(Notice::to_string));
}
