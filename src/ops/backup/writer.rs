//! The writer on this host with the number of its next snapshot.

use crate::base::WriterId;
use crate::format::wire::Cursor;
use crate::repo::chunks::Chunks;

/// Key of the writer's id and sequence in the local cache.
const KEY: &str = "writer";

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
    pub(super) fn keep(self, chunks: &Chunks) {
        let bytes = [&self.id.as_bytes()[..], &self.sequence.to_le_bytes()].concat();
        chunks.meta_put(KEY, &bytes);
    }
}
