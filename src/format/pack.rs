//! Packs: clear prefix, sealed frames back to back, padding, sealed header, sealed trailer.

use minicbor::{Decode, Encode};

use super::wire::{self, Cursor};
use super::{Codec, DecodeError, FORMAT_VERSION, FrameKind, RAW_LEN_MAX, Suite};
use crate::base::{ChunkId, SessionId};

/// First bytes of a pack.
pub const MAGIC: [u8; 4] = *b"PRDP";
/// Length of the clear prefix in bytes.
pub const PREFIX_LEN: usize = 128;
/// Length of a salt before a sealed frame, header or trailer, in bytes.
pub const SALT_LEN: usize = 24;
/// Bytes that sealing adds to a frame: salt and tag.
pub const SEAL_LEN: usize = SALT_LEN + 16;
/// Length of the sealed trailer in bytes.
pub const TRAILER_LEN: usize = SEAL_LEN + 24;
/// Longest raw header in bytes.
pub const HEADER_LEN_MAX: usize = 64 << 20;
/// Most chunks in one frame.
pub const FRAME_CHUNK_COUNT_MAX: usize = 65_536;
/// How a session key is obtained: 1 = derived from the root key. 2 is reserved for writers that
/// cannot read.
pub const WRAP_DERIVED: u8 = 1;

/// The session that sealed a frame: all that is needed to get its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct Origin {
    /// The session.
    #[n(0)]
    pub session: SessionId,
    /// How it sealed.
    #[n(1)]
    pub suite: Suite,
    /// With which root key.
    #[n(2)]
    pub epoch: u32,
    /// How the session key is obtained.
    #[n(3)]
    pub wrap: u8,
    /// The wrapped key; empty when derived.
    #[n(4)]
    #[cbor(with = "minicbor::bytes")]
    pub wrapped: Vec<u8>,
    /// Tag that only the right session key gives.
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub commitment: [u8; 32],
}

impl Origin {
    /// Refuses ways of wrapping that version 1 does not read.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] or [`DecodeError::Inconsistent`].
    pub fn validate(&self) -> Result<(), DecodeError> {
        match self.wrap {
            WRAP_DERIVED if self.wrapped.is_empty() => Ok(()),
            WRAP_DERIVED => Err(DecodeError::Inconsistent),
            _ => Err(DecodeError::Unknown),
        }
    }
}

/// The clear first 128 bytes of a pack: the session that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(pub Origin);

impl Prefix {
    /// The 128 bytes.
    pub fn encode(&self) -> [u8; PREFIX_LEN] {
        let mut bytes = [0; PREFIX_LEN];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[6] = self.0.suite as u8;
        bytes[7] = self.0.wrap;
        bytes[8..12].copy_from_slice(&self.0.epoch.to_le_bytes());
        // 12..16 flags (a parity section is reserved), 16..20 length of a wrapped key.
        bytes[24..56].copy_from_slice(self.0.session.as_bytes());
        bytes[56..88].copy_from_slice(&self.0.commitment);
        bytes
    }

    /// Reads the first 128 bytes of a pack.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != MAGIC {
            return Err(DecodeError::Magic);
        }
        match cursor.u16()? {
            FORMAT_VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let suite = Suite::from_u8(cursor.u8()?)?;
        let wrap = cursor.u8()?;
        let epoch = cursor.u32()?;
        if cursor.u32()? != 0 {
            return Err(DecodeError::Unknown);
        }
        cursor.zeros(8)?;
        let session = SessionId::new(cursor.array()?);
        let commitment = cursor.array()?;
        cursor.zeros(PREFIX_LEN - 88)?;
        let origin = Origin { session, suite, epoch, wrap, wrapped: Vec::new(), commitment };
        origin.validate()?;
        Ok(Self(origin))
    }
}

/// The 24 bytes inside the sealed trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Length of the whole pack.
    pub pack_len: u64,
    /// Length of the prefix and all frames.
    pub frames_end: u64,
    /// Length of the sealed header, which ends where the trailer starts.
    pub header_len: u64,
}

impl Trailer {
    /// The 24 bytes.
    pub fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[0..8].copy_from_slice(&self.pack_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.frames_end.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.header_len.to_le_bytes());
        bytes
    }

    /// Reads the trailer of a pack of `pack_len` bytes.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8], pack_len: u64) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let trailer =
            Self { pack_len: cursor.u64()?, frames_end: cursor.u64()?, header_len: cursor.u64()? };
        cursor.finish()?;
        let used = trailer
            .frames_end
            .checked_add(trailer.header_len)
            .and_then(|sum| sum.checked_add(TRAILER_LEN as u64))
            .ok_or(DecodeError::Limit)?;
        if trailer.pack_len != pack_len || used > pack_len {
            return Err(DecodeError::Inconsistent);
        }
        if trailer.header_len > (HEADER_LEN_MAX + SEAL_LEN) as u64 {
            return Err(DecodeError::Limit);
        }
        Ok(trailer)
    }
}

/// A chunk within a frame; its offset is the sum of the lengths before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct FrameChunk {
    /// The chunk.
    #[n(0)]
    pub id: ChunkId,
    /// Its raw length.
    #[n(1)]
    pub len: u32,
}

/// A frame within a pack; its offset is the sum of the lengths before it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct FrameRecord {
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
    /// Its chunks in order.
    #[n(5)]
    pub chunks: Vec<FrameChunk>,
}

impl FrameRecord {
    fn validate(&self, origin_count: usize) -> Result<(), DecodeError> {
        if self.chunks.is_empty() || self.origin as usize >= origin_count {
            return Err(DecodeError::Inconsistent);
        }
        let mut sum = 0u64;
        for chunk in &self.chunks {
            if chunk.len == 0 {
                return Err(DecodeError::Inconsistent);
            }
            sum += u64::from(chunk.len);
        }
        if sum != u64::from(self.raw_len) {
            return Err(DecodeError::Inconsistent);
        }
        let stored_len =
            (self.sealed_len as usize).checked_sub(SEAL_LEN).ok_or(DecodeError::Inconsistent)?;
        if self.codec == Codec::Stored && stored_len != self.raw_len as usize {
            return Err(DecodeError::Inconsistent);
        }
        // A writer stores what does not shrink, so nothing sealed is longer than its raw bytes.
        if self.raw_len as usize > RAW_LEN_MAX
            || stored_len > self.raw_len as usize
            || self.chunks.len() > FRAME_CHUNK_COUNT_MAX
        {
            return Err(DecodeError::Limit);
        }
        Ok(())
    }
}

/// What a pack holds: enough to rebuild the index from packs alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Header {
    /// Sessions that sealed frames of this pack.
    #[n(0)]
    pub origins: Vec<Origin>,
    /// The frames in order, the first right after the prefix.
    #[n(1)]
    pub frames: Vec<FrameRecord>,
}

impl Header {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads the header of a pack whose frames end at `frames_end`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8], frames_end: u64) -> Result<Self, DecodeError> {
        let header: Self = wire::decode(bytes, HEADER_LEN_MAX)?;
        let mut end = PREFIX_LEN as u64;
        for origin in &header.origins {
            origin.validate()?;
        }
        for frame in &header.frames {
            frame.validate(header.origins.len())?;
            end += u64::from(frame.sealed_len);
        }
        if end != frames_end || header.frames.is_empty() {
            return Err(DecodeError::Inconsistent);
        }
        Ok(header)
    }
}
