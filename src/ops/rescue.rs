//! Stores chunks anew that lie only in packs which a prune may delete.

use super::Run;
use super::marks::Marks;
use super::repack::Repacking;
use crate::base::{ChunkId, Error, ErrorKind, Result, SegmentId};
use crate::format::FrameKind;
use crate::repo::reader::{Reader, frame_of, lost};
use crate::repo::session::{Session, Stored};

/// Stores every chunk of `marks` in packs of `session` that is in no pack which can be relied on;
/// returns the segments that say where.
///
/// # Errors
/// When such a chunk cannot be read any more, or nothing can be stored.
pub(super) fn rescue(
    reader: &Reader<'_>,
    session: &Session<'_>,
    marks: &mut Marks,
    run: &Run<'_>,
) -> Result<Vec<Stored<SegmentId>>> {
    let chunks = reader.chunks();
    let mut repacking = Repacking::new(reader.repository(), chunks, session);
    marks.batches(&mut |batch| {
        run.cancel.check()?;
        let alive = chunks.find_alive(batch)?;
        for (id, _) in batch.iter().zip(alive).filter(|(_, is_alive)| !is_alive) {
            let (kind, raw) = read(reader, id)?;
            repacking.push_chunk(kind, *id, &raw)?;
        }
        Ok(())
    })?;
    repacking.finish()
}

/// A chunk with its kind, from any pack that still has it.
fn read(reader: &Reader<'_>, id: &ChunkId) -> Result<(FrameKind, Vec<u8>)> {
    let copies = reader.chunks().locate(&[*id])?.pop().unwrap_or_default();
    let Some(copy) = copies.first() else { return Err(lost(id)) };
    let kind = frame_of(&copy.pack, copy.place.frame)?.kind;
    let raw = reader.chunk(kind, id).map_err(|error| match error.kind {
        ErrorKind::NotFound => Error::new(ErrorKind::Damaged, error.message.clone()).because(error),
        _ => error,
    })?;
    Ok((kind, raw))
}
