//! Chunk lists: the ordered ids that rebuild one stream.
//!
//! A short list stands in its entry. A long one is cut into pages at ids chosen by their own bits,
//! so that an insertion rewrites one page; the list of pages is cut the same way.

use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode};

use super::{DecodeError, RAW_LEN_MAX, wire};
use crate::base::ChunkId;

/// First element of a page, which tells it from a tree node.
pub const PAGE_TAG: u8 = 2;
/// Longest list that stands in an entry.
pub const INLINE_COUNT_MAX: usize = 16;
/// Shortest page, except the last of a list.
pub const PAGE_COUNT_MIN: usize = 256;
/// Longest page.
pub const PAGE_COUNT_MAX: usize = 4096;
/// A page ends after an element whose first four bytes, little-endian, have these bits clear.
pub const PAGE_MASK: u32 = 1024 - 1;
/// Most levels of pages: 4,096^4 chunks are beyond any file.
pub const LEVEL_MAX: u8 = 4;
/// Longest encoded page in bytes.
pub const PAGE_LEN_MAX: usize = 1 << 20;

/// A chunk with its raw length, or a page with the sum of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct Piece {
    /// The chunk.
    #[n(0)]
    pub id: ChunkId,
    /// Bytes of content that it stands for.
    #[n(1)]
    pub len: u64,
}

/// An ordered list of chunks, in an entry or in a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChunkList {
    /// 0 when the pieces are chunks of content, k when they are pages of level k-1.
    pub level: u8,
    /// The pieces in order.
    pub pieces: Vec<Piece>,
}

impl ChunkList {
    /// Bytes of content that the list stands for, or `None` past 2^64.
    pub fn content_len(&self) -> Option<u64> {
        self.pieces.iter().try_fold(0u64, |sum, piece| sum.checked_add(piece.len))
    }

    /// Refuses levels and lengths beyond the limits.
    ///
    /// # Errors
    /// [`DecodeError::Limit`] or [`DecodeError::Inconsistent`].
    pub fn validate(&self, count_max: usize) -> Result<(), DecodeError> {
        if self.level > LEVEL_MAX || self.pieces.len() > count_max {
            return Err(DecodeError::Limit);
        }
        for piece in &self.pieces {
            if piece.len == 0 {
                return Err(DecodeError::Inconsistent);
            }
            if self.level == 0 && piece.len > RAW_LEN_MAX as u64 {
                return Err(DecodeError::Limit);
            }
        }
        self.content_len().ok_or(DecodeError::Limit)?;
        Ok(())
    }

    /// The bytes of a page.
    pub fn encode_page(&self) -> Vec<u8> {
        wire::encode(&Page(self.clone()))
    }

    /// Reads a page.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode_page(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Page(list) = wire::decode(bytes, PAGE_LEN_MAX)?;
        if list.level >= LEVEL_MAX || list.pieces.is_empty() {
            return Err(DecodeError::Limit);
        }
        list.validate(PAGE_COUNT_MAX)?;
        Ok(list)
    }
}

/// Whether a page with `count` elements ends after the one with `id`.
pub fn ends_page(id: &ChunkId, count: usize) -> bool {
    let head = wire::Cursor::new(id.as_bytes()).u32().expect("an id has 32 bytes");
    count >= PAGE_COUNT_MAX || (count >= PAGE_COUNT_MIN && head & PAGE_MASK == 0)
}

impl<C> Encode<C> for ChunkList {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.u8(self.level)?;
        self.pieces.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for ChunkList {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        expect_array(d, 2)?;
        Ok(Self { level: d.u8()?, pieces: Vec::decode(d, ctx)? })
    }
}

struct Page(ChunkList);

impl<C> Encode<C> for Page {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(3)?.u8(PAGE_TAG)?.u8(self.0.level)?;
        self.0.pieces.encode(e, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Page {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        expect_array(d, 3)?;
        if d.u8()? != PAGE_TAG {
            return Err(minicbor::decode::Error::message("this is no page of a chunk list"));
        }
        let level = d.u8()?;
        expect_at_most(d, PAGE_COUNT_MAX)?;
        Ok(Self(ChunkList { level, pieces: Vec::decode(d, ctx)? }))
    }
}

/// Refuses a longer array before its elements are read, which take more room decoded.
pub(super) fn expect_at_most(
    d: &mut Decoder<'_>,
    count_max: usize,
) -> Result<(), minicbor::decode::Error> {
    match d.probe().array()? {
        Some(count) if count <= count_max as u64 => Ok(()),
        _ => Err(minicbor::decode::Error::message("an array beyond its limit")),
    }
}

/// Refuses an array of any other length.
pub(super) fn expect_array(d: &mut Decoder<'_>, len: u64) -> Result<(), minicbor::decode::Error> {
    if d.array()? == Some(len) {
        Ok(())
    } else {
        Err(minicbor::decode::Error::message("an array of another length"))
    }
}
