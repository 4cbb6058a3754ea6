//! Puts what was in packs already into new ones, with the segments that say where.

use std::sync::Arc;

use crate::base::{ChunkId, Result, SegmentId};
use crate::format::FrameKind;
use crate::format::pack::{FRAME_CHUNK_COUNT_MAX, FrameChunk};
use crate::pipeline::seal::bad_memory;
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::session::{Pack, Session, Stored};
use crate::seal::frame::{self, SealedFrame};
use crate::seal::pack::PackBuilder;

/// Packs that one segment describes.
pub(super) const SEGMENT_PACK_COUNT: usize = 64;

/// Raw bytes of a frame made of single chunks, unless one alone is longer.
const FRAME_LEN_TARGET: usize = 256 << 10;
/// zstd level of such a frame: what zstd itself prefers.
const LEVEL: i32 = 3;

/// Chunks on their way into a frame.
#[derive(Default)]
struct OpenFrame {
    raw: Vec<u8>,
    chunks: Vec<FrameChunk>,
}

/// Frames and packs that are being filled, and packs that are stored and in no segment yet.
pub(super) struct Repacking<'a> {
    repository: &'a Repository,
    chunks: &'a Chunks,
    session: &'a Session<'a>,
    data: Class,
    metadata: Class,
    stored: Vec<Stored<Pack>>,
    segments: Vec<Stored<SegmentId>>,
}

/// What is open of one kind.
#[derive(Default)]
struct Class {
    frame: OpenFrame,
    pack: Option<PackBuilder>,
}

impl<'a> Repacking<'a> {
    /// Nothing yet; what is stored belongs to `session`, and `chunks` hears of it.
    pub(super) fn new(
        repository: &'a Repository,
        chunks: &'a Chunks,
        session: &'a Session<'a>,
    ) -> Self {
        let (data, metadata) = (Class::default(), Class::default());
        let (stored, segments) = (Vec::new(), Vec::new());
        Self { repository, chunks, session, data, metadata, stored, segments }
    }

    /// Adds a chunk, which becomes part of a frame of its own or with others.
    ///
    /// # Errors
    /// When what is full cannot be stored.
    pub(super) fn push_chunk(&mut self, kind: FrameKind, id: ChunkId, raw: &[u8]) -> Result<()> {
        let frame = &self.class(kind).frame;
        let is_full = frame.raw.len() + raw.len() > FRAME_LEN_TARGET
            || frame.chunks.len() >= FRAME_CHUNK_COUNT_MAX;
        if is_full {
            self.seal(kind)?;
        }
        let frame = &mut self.class(kind).frame;
        frame.chunks.push(FrameChunk { id, len: raw.len() as u32 });
        frame.raw.extend_from_slice(raw);
        Ok(())
    }

    /// Seals the open frame of a kind.
    fn seal(&mut self, kind: FrameKind) -> Result<()> {
        let OpenFrame { raw, chunks } = std::mem::take(&mut self.class(kind).frame);
        if chunks.is_empty() {
            return Ok(());
        }
        let keyring = self.repository.keyring();
        let session = self.session.key();
        let frame = frame::seal(keyring.repository(), session, kind, LEVEL, &raw, chunks);
        frame.check(keyring).map_err(bad_memory)?;
        self.push(frame)
    }

    fn class(&mut self, kind: FrameKind) -> &mut Class {
        match kind {
            FrameKind::Data => &mut self.data,
            FrameKind::Metadata => &mut self.metadata,
        }
    }

    /// Adds a frame to the open pack of its kind, and stores the one that had no room for it.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub(super) fn push(&mut self, frame: SealedFrame) -> Result<()> {
        let (session, pack_len) = (self.session, self.repository.config().pack_len);
        let pack = &mut self.class(frame.record.kind).pack;
        let full = pack.take_if(|pack| !pack.fits(&frame));
        pack.get_or_insert_with(|| PackBuilder::new(Arc::clone(session.key()), pack_len))
            .push(frame);
        if let Some(full) = full {
            self.stored.push(session.put_pack(full.finish(true))?);
        }
        if self.stored.len() >= SEGMENT_PACK_COUNT { self.index() } else { Ok(()) }
    }

    /// Stores what is still open; the receipts of all segments.
    ///
    /// # Errors
    /// When it cannot be stored, or the index fails.
    pub(super) fn finish(mut self) -> Result<Vec<Stored<SegmentId>>> {
        for kind in [FrameKind::Data, FrameKind::Metadata] {
            self.seal(kind)?;
            if let Some(pack) = self.class(kind).pack.take() {
                self.stored.push(self.session.put_pack(pack.finish(false))?);
            }
        }
        self.index()?;
        Ok(self.segments)
    }

    fn index(&mut self) -> Result<()> {
        if self.stored.is_empty() {
            return Ok(());
        }
        let stored = std::mem::take(&mut self.stored);
        let (receipt, segment) = self.session.put_segment(stored)?.split();
        self.segments.push(receipt);
        self.chunks.apply_own(segment)
    }
}
