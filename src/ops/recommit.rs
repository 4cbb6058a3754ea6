//! Commits a snapshot of trees that are stored already, by a session of its own.

use std::path::Path;

use super::Run;
use super::marks::Marks;
use super::rescue::rescue;
use super::writer::Writer;
use crate::base::{Result, SegmentId};
use crate::format::ObjectName;
use crate::format::snapshot::Snapshot;
use crate::repo::reader::Reader;
use crate::repo::session::{Recheck, Session, Stored};
use crate::repo::snapshots::{Committed, Snapshots};

/// A session that began with its look at the generations, after which packs were listed.
pub(super) struct Recommit<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) session: &'a Session<'a>,
    pub(super) max_memory: u64,
    pub(super) scratch_dir: &'a Path,
}

impl Recommit<'_> {
    /// Commits what `snapshot` says, as by this host; `segments` say where the session has put what is
    /// new of it. `None` when another look found packs that are about to go.
    ///
    /// # Errors
    /// When something of it cannot be read, or nothing can be stored.
    pub(super) fn commit(
        &self,
        snapshot: Snapshot,
        mut segments: Vec<Stored<SegmentId>>,
        run: &Run<'_>,
    ) -> Result<Option<Committed>> {
        let Self { reader, session, .. } = *self;
        let (repository, chunks) = (reader.repository(), reader.chunks());
        // What a prune may delete is stored once more: this snapshot must not rely on it.
        let mut marks = Marks::new(self.max_memory, self.scratch_dir.to_path_buf());
        let root = (ObjectName::snapshot(session.id()), snapshot.clone());
        marks.follow(reader, &[root], run)?;
        segments.extend(rescue(reader, session, &mut marks, run)?);
        let mut others = Snapshots::read(repository)?;
        run.problems.extend(std::mem::take(&mut others.problems));
        let writer = Writer::next(chunks);
        let snapshot = Snapshot {
            writer: writer.id,
            sequence: writer.sequence,
            seen: others.heads(),
            ..snapshot
        };
        let root = session.put_root(snapshot, &segments)?;
        let Recheck::Sound(root) = session.recheck(root, &|pack| chunks.is_alive(pack))? else {
            return Ok(None);
        };
        let committed = session.commit(root)?;
        writer.keep(chunks, committed.id);
        Ok(Some(committed))
    }
}
