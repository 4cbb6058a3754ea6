//! Which snapshot a run compares its sources with.

use super::Options;
use super::source::Source;
use crate::base::{Error, ErrorKind, Result, SessionId, Timestamp};
use crate::format::snapshot::{Component, PathBytes, State};
use crate::ops::Run;
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::select::Filter;
use crate::repo::snapshots::{Committed, Snapshots};

/// The snapshot that was asked for, or else the newest one of the same sources on this host that is
/// not newer than `time`; none when everything is to be read.
///
/// # Errors
/// When there is not the one that was asked for.
pub(super) fn choose<'s>(
    snapshots: &'s Snapshots,
    options: &'s Options,
    source: &Source<'_>,
    time: Timestamp,
) -> Result<Option<&'s Committed>> {
    if options.force {
        return Ok(None);
    }
    let newest = || of_source(snapshots, options, source).find(|c| c.snapshot.time <= time);
    match options.parent.as_deref() {
        None => Ok(newest()),
        Some("latest") => newest().map(Some).ok_or_else(|| {
            let message = "there is no snapshot of these sources on this host to be the parent";
            Error::new(ErrorKind::NotFound, message)
                .hint("Leave `--parent` out, or give it the id of a snapshot.")
        }),
        Some(word) => snapshots.resolve(word).map(Some),
    }
}

/// What the last run of the same sources on this host has captured before it was interrupted, for the one
/// after a first backup that came to no end. It tells what files were, and nothing is taken over from it
/// unasked: nobody commits it.
///
/// # Errors
/// When it cannot be listed.
pub(super) fn interrupted(
    repository: &Repository,
    chunks: &Chunks,
    snapshots: &Snapshots,
    (options, source): (&Options, &Source<'_>),
    run: &Run<'_>,
) -> Result<Option<Committed>> {
    let is_over =
        |id: &SessionId| snapshots.stored.contains_key(id) || snapshots.tombed.contains(id);
    if options.force || options.parent.is_some() || chunks.writers().iter().all(is_over) {
        return Ok(None);
    }
    let mut found = snapshots.interrupted(repository)?.as_of(run.clock.now());
    run.problems.extend(std::mem::take(&mut found.problems));
    Ok(of_source(&found, options, source).next().cloned())
}

/// Length of the stream when it was last found in order.
pub(super) fn sound_len(
    snapshots: &Snapshots,
    options: &Options,
    source: &Source<'_>,
) -> Option<u64> {
    of_source(snapshots, options, source)
        .filter_map(|committed| committed.snapshot.components.first())
        .find(|component| component.state != State::Suspect)
        .map(|component| component.statistics.content_bytes)
}

/// Snapshots of exactly these sources on this host, newest first.
fn of_source<'s>(
    snapshots: &'s Snapshots,
    options: &'s Options,
    source: &Source<'_>,
) -> impl Iterator<Item = &'s Committed> {
    let (kind, paths) = (source.kind(), source.paths());
    snapshots.present().iter().rev().filter(move |committed| {
        let snapshot = &committed.snapshot;
        let component = snapshot.components.first();
        snapshot.host == options.host && component.is_some_and(|c| is_of(c, kind, &paths))
    })
}

/// What snapshots of these sources have in common.
pub(super) fn filter(options: &Options, source: &Source<'_>) -> Filter {
    let paths = source.paths().into_iter().map(|path| path.0).collect();
    Filter { hosts: vec![options.host.clone()], tags: Vec::new(), paths }
}

fn is_of(component: &Component, kind: &str, paths: &[PathBytes]) -> bool {
    component.kind == kind && component.paths == paths
}
