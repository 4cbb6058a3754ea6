//! Puts frames that were in packs already into new ones, with the segments that say where.

use std::sync::Arc;

use crate::base::{Result, SegmentId};
use crate::format::FrameKind;
use crate::repo::Repository;
use crate::repo::chunks::Chunks;
use crate::repo::session::{Pack, Session, Stored};
use crate::seal::frame::SealedFrame;
use crate::seal::pack::PackBuilder;

/// Packs that one segment describes.
pub(super) const SEGMENT_PACK_COUNT: usize = 64;

/// Packs that are being filled, and those that are stored and in no segment yet.
pub(super) struct Repacking<'a> {
    chunks: &'a Chunks,
    session: &'a Session<'a>,
    pack_len: u32,
    data: Option<PackBuilder>,
    metadata: Option<PackBuilder>,
    stored: Vec<Stored<Pack>>,
    segments: Vec<Stored<SegmentId>>,
}

impl<'a> Repacking<'a> {
    /// Nothing yet; what is stored belongs to `session`, and `chunks` hears of it.
    pub(super) fn new(
        repository: &Repository,
        chunks: &'a Chunks,
        session: &'a Session<'a>,
    ) -> Self {
        let pack_len = repository.config().pack_len;
        let (stored, segments) = (Vec::new(), Vec::new());
        Self { chunks, session, pack_len, data: None, metadata: None, stored, segments }
    }

    /// Adds a frame to the open pack of its kind, and stores the one that had no room for it.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub(super) fn push(&mut self, frame: SealedFrame) -> Result<()> {
        let builder = match frame.record.kind {
            FrameKind::Data => &mut self.data,
            FrameKind::Metadata => &mut self.metadata,
        };
        if let Some(full) = builder.take_if(|builder| !builder.fits(&frame)) {
            self.stored.push(self.session.put_pack(full.finish(true))?);
        }
        let new = || PackBuilder::new(Arc::clone(self.session.key()), self.pack_len);
        builder.get_or_insert_with(new).push(frame);
        if self.stored.len() >= SEGMENT_PACK_COUNT { self.index() } else { Ok(()) }
    }

    /// Stores what is still open; the receipts of all segments.
    ///
    /// # Errors
    /// When it cannot be stored, or the index fails.
    pub(super) fn finish(mut self) -> Result<Vec<Stored<SegmentId>>> {
        for builder in [self.data.take(), self.metadata.take()].into_iter().flatten() {
            self.stored.push(self.session.put_pack(builder.finish(false))?);
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
