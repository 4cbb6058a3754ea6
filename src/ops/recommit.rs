//! Commits a snapshot of trees that are stored already, by a session of its own.

use std::path::Path;

use super::Run;
use super::marks::Marks;
use super::rescue::rescue;
use super::writer::Writer;
use crate::base::{Error, ErrorKind, Result, SegmentId};
use crate::format::ObjectName;
use crate::format::snapshot::Snapshot;
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::ledger::damaged_packs;
use crate::repo::reader::Reader;
use crate::repo::session::{Recheck, Session, Stored};
use crate::repo::snapshots::{Committed, Snapshots};

/// Times that it is tried because prunes endangered what is needed.
const ATTEMPT_COUNT_MAX: usize = 5;

/// Tries until another look finds nothing that is about to go. `what` is endangered if it always does.
///
/// # Errors
/// Those of `attempt`, and [`ErrorKind::Busy`].
pub(super) fn again<T>(what: &str, mut attempt: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..ATTEMPT_COUNT_MAX {
        if let Some(made) = attempt()? {
            return Ok(made);
        }
    }
    Err(Error::new(ErrorKind::Busy, format!("prunes endangered {what} again and again"))
        .hint("Run it when fewer prunes are running."))
}

/// Starts a session for what is stored already: its look at the generations comes before segments and
/// packs are listed, of which those that are damaged or about to go are not relied on.
///
/// # Errors
/// When the repository cannot be listed.
pub(super) fn begin<'a>(
    repository: &'a Repository,
    chunks: &Chunks,
    run: &Run<'_>,
) -> Result<Session<'a>> {
    let mut session = Session::start(repository)?;
    run.problems.extend(session.take_problems());
    chunks.refresh()?;
    let endangered = &session.first_look().endangered;
    chunks.list_packs(&endangered.union(&damaged_packs(repository)?).copied().collect())?;
    Ok(session)
}

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
