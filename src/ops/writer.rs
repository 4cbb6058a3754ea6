//! What this host remembers of the snapshots it made.

use crate::backend::Backend;
use crate::base::{Error, ErrorKind, Problems, Result, SessionId, WriterId};
use crate::format::ObjectName;
use crate::index::remembered::LastWritten;
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::snapshots::Snapshots;

/// Key of the writer's id and sequence in the local cache.
pub(super) const KEY: &str = "writer";

/// The next snapshot of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) id: WriterId,
    /// Number of the snapshot among those of the writer, from 1.
    pub(super) sequence: u64,
}

impl Writer {
    /// The writer of this host with the number of its next snapshot. A lost cache makes a new one.
    pub(super) fn next(chunks: &Chunks) -> Self {
        match last_written(chunks.meta_get(KEY)) {
            Some(last) => Self { id: last.writer, sequence: last.sequence + 1 },
            None => Self { id: WriterId::random(), sequence: 1 },
        }
    }

    /// Remembers that the snapshot was committed.
    pub(super) fn keep(self, chunks: &Chunks, snapshot: SessionId) {
        let last = LastWritten { writer: self.id, sequence: self.sequence, snapshot };
        chunks.meta_put(KEY, &last.encode());
    }
}

/// The last snapshot that this host made, by its record in the local cache.
pub(super) fn last_snapshot(record: Option<Vec<u8>>) -> Option<SessionId> {
    last_written(record).map(|last| last.snapshot)
}

/// The id of the writer of this host, by its record in the local cache.
pub(super) fn id(record: Option<Vec<u8>>) -> Option<WriterId> {
    last_written(record).map(|last| last.writer)
}

fn last_written(record: Option<Vec<u8>>) -> Option<LastWritten> {
    LastWritten::decode(&record?).ok()
}

/// A problem when the last snapshot that this host made is gone, though nobody forgot it: then the
/// newest one that is listed is not the latest. `latest` is known to be there.
///
/// # Errors
/// When the backend cannot be reached.
pub(super) fn miss_last(
    repository: &Repository,
    chunks: &Chunks,
    latest: SessionId,
    problems: &Problems,
) -> Result<()> {
    let Some(last) = last_snapshot(chunks.meta_get(KEY)).filter(|last| *last != latest) else {
        return Ok(());
    };
    let backend: &dyn Backend = &**repository.backend();
    match backend.stat(&ObjectName::snapshot(last)) {
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
        Ok(_) => return Ok(()),
    }
    if !Snapshots::read_tombed(repository, problems)?.contains(&last) {
        let message = format!("snapshot {}, the last that this host made, is gone", last.to_hex());
        problems.push(
            Error::new(ErrorKind::Damaged, message)
                .hint("Nobody forgot it: find out who can delete from this location."),
        );
    }
    Ok(())
}
