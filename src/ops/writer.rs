//! What this host remembers of the snapshots it made.

use crate::backend::Backend;
use crate::base::{Error, ErrorKind, Problems, Result, SessionId, WriterId};
use crate::format::ObjectName;
use crate::format::wire::Cursor;
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
        let bytes = chunks.meta_get(KEY).unwrap_or_default();
        let mut cursor = Cursor::new(&bytes);
        match (cursor.array(), cursor.u64()) {
            (Ok(id), Ok(sequence)) => Self { id: WriterId::new(id), sequence: sequence + 1 },
            _ => Self { id: WriterId::random(), sequence: 1 },
        }
    }

    /// Remembers that the snapshot was committed.
    pub(super) fn keep(self, chunks: &Chunks, snapshot: SessionId) {
        let id = self.id.as_bytes();
        let bytes = [&id[..], &self.sequence.to_le_bytes(), snapshot.as_bytes()].concat();
        chunks.meta_put(KEY, &bytes);
    }
}

/// The last snapshot that this host made, by its record in the local cache.
pub(super) fn last_snapshot(record: Option<Vec<u8>>) -> Option<SessionId> {
    let record = record?;
    let mut cursor = Cursor::new(&record);
    cursor.array::<32>().ok()?;
    cursor.u64().ok()?;
    cursor.array().ok().map(SessionId::new)
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
