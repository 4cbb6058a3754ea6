//! Stores chunks anew that lie only in packs which a prune may delete.

use std::collections::HashMap;

use super::Run;
use super::marks::Marks;
use super::repack::Repacking;
use crate::base::{ChunkId, Error, ErrorKind, Result, SegmentId};
use crate::format::FrameKind;
use crate::format::pack::{FRAME_CHUNK_COUNT_MAX, FrameChunk};
use crate::repo::reader::{Reader, frame_of, lost};
use crate::repo::session::{Session, Stored};
use crate::seal::frame;

/// Raw bytes of a frame, unless one chunk alone is longer.
const FRAME_LEN_TARGET: usize = 256 << 10;
/// zstd level: what zstd itself prefers.
const LEVEL: i32 = 3;

/// Chunks on their way into a frame.
#[derive(Default)]
struct Open {
    raw: Vec<u8>,
    chunks: Vec<FrameChunk>,
}

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
    let mut open: HashMap<FrameKind, Open> = HashMap::new();
    marks.batches(&mut |batch| {
        run.cancel.check()?;
        let alive = chunks.find_alive(batch)?;
        for (id, _) in batch.iter().zip(alive).filter(|(_, is_alive)| !is_alive) {
            let (kind, raw) = read(reader, id)?;
            let frame = open.entry(kind).or_default();
            let is_full = frame.raw.len() + raw.len() > FRAME_LEN_TARGET
                || frame.chunks.len() >= FRAME_CHUNK_COUNT_MAX;
            if is_full && !frame.chunks.is_empty() {
                seal(reader, session, kind, std::mem::take(frame), &mut repacking)?;
            }
            frame.chunks.push(FrameChunk { id: *id, len: raw.len() as u32 });
            frame.raw.extend_from_slice(&raw);
        }
        Ok(())
    })?;
    for kind in [FrameKind::Data, FrameKind::Metadata] {
        if let Some(frame) = open.remove(&kind) {
            seal(reader, session, kind, frame, &mut repacking)?;
        }
    }
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

fn seal(
    reader: &Reader<'_>,
    session: &Session<'_>,
    kind: FrameKind,
    open: Open,
    repacking: &mut Repacking<'_>,
) -> Result<()> {
    let repository = reader.repository().keyring().repository();
    repacking.push(frame::seal(repository, session.key(), kind, LEVEL, &open.raw, open.chunks))
}
