//! Index segments: which chunk lies where in which frame of which pack.
//!
//! Entries are sorted by chunk id and sealed in blocks of 4,096. The fence at the end says which
//! block to read for an id; its filter says, mostly, that none needs to be read.

use minicbor::{Decode, Encode};

use super::pack::{Origin, SEAL_LEN};
use super::wire::{self, Cursor};
use super::{Codec, DecodeError, FrameKind, RAW_LEN_MAX};
use crate::base::{ChunkId, PackId, SegmentId};

/// Entries in a full block.
pub const BLOCK_COUNT: usize = 4096;
/// Longest encoded block in bytes.
pub const BLOCK_LEN_MAX: usize = 1 << 20;
/// Longest encoded fence in bytes.
pub const FENCE_LEN_MAX: usize = 64 << 20;
/// Length of the sealed trailer in bytes.
pub const TRAILER_LEN: usize = 24 + 16;
/// Filter bits for each entry: one id in a hundred that is absent costs a read.
pub const FILTER_BITS_PER_ENTRY: usize = 10;
/// Filter bits that each entry sets.
pub const FILTER_HASH_COUNT: u64 = 7;

/// One chunk in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct SegmentEntry {
    /// The chunk.
    #[n(0)]
    pub id: ChunkId,
    /// Index into the fence's table of packs.
    #[n(1)]
    pub pack: u32,
    /// Index into the pack's table of frames.
    #[n(2)]
    pub frame: u32,
    /// First byte within the raw frame.
    #[n(3)]
    pub offset: u32,
    /// Raw length.
    #[n(4)]
    pub len: u32,
}

/// A frame of a pack in the fence; its offset is the sum of the lengths before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SegmentFrame {
    /// Length with salt and tag.
    #[n(0)]
    pub sealed_len: u32,
    /// Length of its chunks together.
    #[n(1)]
    pub raw_len: u32,
    /// How it is compressed.
    #[n(2)]
    pub codec: Codec,
    /// What it holds.
    #[n(3)]
    pub kind: FrameKind,
    /// Index into the table of origins.
    #[n(4)]
    pub origin: u32,
}

/// A pack in the fence.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SegmentPack {
    /// The pack.
    #[n(0)]
    pub id: PackId,
    /// Its length in bytes.
    #[n(1)]
    pub len: u64,
    /// Its frames in order.
    #[n(2)]
    pub frames: Vec<SegmentFrame>,
}

/// A block in the fence; its offset is the sum of the lengths before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BlockRecord {
    /// First chunk id in the block.
    #[n(0)]
    pub first: ChunkId,
    /// Sealed length.
    #[n(1)]
    pub sealed_len: u32,
    /// Entries in the block.
    #[n(2)]
    pub count: u32,
}

/// Everything of a segment but its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Fence {
    /// Sessions that sealed the frames.
    #[n(0)]
    pub origins: Vec<Origin>,
    /// Packs, in any order, each once.
    #[n(1)]
    pub packs: Vec<SegmentPack>,
    /// Blocks in the order of their ids.
    #[n(2)]
    pub blocks: Vec<BlockRecord>,
    /// Bloom filter over all ids; see `filter_bits` below.
    #[n(3)]
    #[cbor(with = "minicbor::bytes")]
    pub filter: Vec<u8>,
    /// Segments whose entries this one holds as well; readers skip them.
    #[n(4)]
    pub supersedes: Vec<SegmentId>,
}

impl Fence {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads and validates a fence.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let fence: Self = wire::decode(bytes, FENCE_LEN_MAX)?;
        for origin in &fence.origins {
            origin.validate()?;
        }
        for pack in &fence.packs {
            for frame in &pack.frames {
                let sound = (frame.origin as usize) < fence.origins.len()
                    && frame.raw_len as usize <= RAW_LEN_MAX
                    && frame.sealed_len as usize >= SEAL_LEN
                    && frame.sealed_len as usize <= frame.raw_len as usize + SEAL_LEN;
                if !sound {
                    return Err(DecodeError::Inconsistent);
                }
            }
        }
        let ascending = fence.blocks.windows(2).all(|pair| pair[0].first < pair[1].first);
        let counted = fence.blocks.iter().all(|b| (1..=BLOCK_COUNT as u32).contains(&b.count));
        let filtered = fence.filter.len() == filter_len(fence.entry_count());
        if !ascending || !counted || !filtered {
            return Err(DecodeError::Inconsistent);
        }
        Ok(fence)
    }

    /// Entries in all blocks.
    pub fn entry_count(&self) -> usize {
        self.blocks.iter().map(|block| block.count as usize).sum()
    }

    /// Whether a chunk may be in this segment; false is certain.
    pub fn may_contain(&self, id: &ChunkId) -> bool {
        let bits = self.filter.len() as u64 * 8;
        bits > 0
            && filter_bits(id, bits)
                .all(|bit| self.filter[(bit / 8) as usize] & (1 << (bit % 8)) != 0)
    }

    /// The block that holds `id` if any does.
    pub fn block_of(&self, id: &ChunkId) -> Option<usize> {
        self.blocks.partition_point(|block| block.first <= *id).checked_sub(1)
    }
}

/// Length in bytes of the filter over `count` entries, a multiple of eight.
pub fn filter_len(count: usize) -> usize {
    (count * FILTER_BITS_PER_ENTRY).div_ceil(64) * 8
}

/// A filter over `ids`.
pub fn build_filter<'a>(count: usize, ids: impl Iterator<Item = &'a ChunkId>) -> Vec<u8> {
    let mut filter = vec![0; filter_len(count)];
    let bits = filter.len() as u64 * 8;
    for id in ids {
        for bit in filter_bits(id, bits) {
            filter[(bit / 8) as usize] |= 1 << (bit % 8);
        }
    }
    filter
}

/// The bits of an id: `(a + i*b) mod bits` for i in 0..7, where a and b are the first and second
/// eight bytes of the id, little-endian, b made odd. Ids are uniform, so no further hash is needed.
fn filter_bits(id: &ChunkId, bits: u64) -> impl Iterator<Item = u64> {
    let mut cursor = Cursor::new(id.as_bytes());
    let a = cursor.u64().expect("an id has 32 bytes");
    let b = cursor.u64().expect("an id has 32 bytes") | 1;
    (0..FILTER_HASH_COUNT).map(move |i| a.wrapping_add(i.wrapping_mul(b)) % bits)
}

/// The bytes of a block.
pub fn encode_block(entries: &[SegmentEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 48);
    let mut encoder = minicbor::Encoder::new(&mut bytes);
    encoder
        .array(entries.len() as u64)
        .map(drop)
        .and_then(|()| entries.iter().try_for_each(|e| encoder.encode(e).map(drop)))
        .expect("writing to a vector cannot fail");
    bytes
}

/// Reads a block and checks it against the fence.
///
/// # Errors
/// Says what is wrong.
pub fn decode_block(
    bytes: &[u8],
    record: &BlockRecord,
    fence: &Fence,
) -> Result<Vec<SegmentEntry>, DecodeError> {
    let entries: Vec<SegmentEntry> = wire::decode(bytes, BLOCK_LEN_MAX)?;
    let framed = entries.len() == record.count as usize
        && entries.first().is_some_and(|e| e.id == record.first)
        && entries.windows(2).all(|pair| pair[0] < pair[1]);
    if !framed {
        return Err(DecodeError::Inconsistent);
    }
    for entry in &entries {
        let frame = fence
            .packs
            .get(entry.pack as usize)
            .and_then(|pack| pack.frames.get(entry.frame as usize))
            .ok_or(DecodeError::Inconsistent)?;
        let end = u64::from(entry.offset) + u64::from(entry.len);
        if entry.len == 0 || end > u64::from(frame.raw_len) {
            return Err(DecodeError::Inconsistent);
        }
    }
    Ok(entries)
}

/// The 24 bytes inside the sealed trailer: where the sealed fence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Length of the whole object.
    pub total_len: u64,
    /// First byte of the sealed fence, where the blocks end.
    pub fence_offset: u64,
    /// Length of the sealed fence, which ends where the trailer starts.
    pub fence_len: u64,
}

impl Trailer {
    /// The 24 bytes.
    pub fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[0..8].copy_from_slice(&self.total_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.fence_offset.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.fence_len.to_le_bytes());
        bytes
    }

    /// Reads the trailer of a segment of `total_len` bytes.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8], total_len: u64) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let trailer = Self {
            total_len: cursor.u64()?,
            fence_offset: cursor.u64()?,
            fence_len: cursor.u64()?,
        };
        cursor.finish()?;
        let end = trailer
            .fence_offset
            .checked_add(trailer.fence_len)
            .and_then(|sum| sum.checked_add(TRAILER_LEN as u64));
        if trailer.total_len != total_len || end != Some(total_len) {
            return Err(DecodeError::Inconsistent);
        }
        Ok(trailer)
    }
}
