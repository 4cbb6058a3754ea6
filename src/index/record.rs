//! What the index stores about one pack: enough to fetch and open any of its frames.

use std::collections::HashMap;

use minicbor::{Decode, Encode};

use crate::base::{Error, ErrorKind, PackId, Result};
use crate::format::pack::{Origin, PREFIX_LEN};
use crate::format::segment::{FENCE_LEN_MAX, Fence, SegmentFrame, SegmentPack};
use crate::format::{Codec, DecodeError, FrameKind, wire};

/// Where one frame lies in its pack and how it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePlace {
    /// First byte within the pack.
    pub offset: u64,
    /// Length with salt and tag.
    pub sealed_len: u32,
    /// Length of its chunks together.
    pub raw_len: u32,
    /// How it is compressed.
    pub codec: Codec,
    /// What it holds.
    pub kind: FrameKind,
    /// Index into [`PackRecord::origins`].
    pub origin: u32,
}

/// How to read a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackRecord {
    /// The pack.
    pub id: PackId,
    /// Its length in bytes.
    pub len: u64,
    /// Its frames in order.
    pub frames: Vec<FramePlace>,
    /// Sessions that sealed them.
    pub origins: Vec<Origin>,
}

/// The stored form of a pack record. Two segments agree about a pack when these bytes are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) id: PackId,
    pub(super) len: u64,
    pub(super) bytes: Vec<u8>,
}

/// What [`Table::bytes`] encodes; origins are in the order of their first use.
#[derive(Encode, Decode)]
#[cbor(array)]
struct Stored {
    #[n(0)]
    id: PackId,
    #[n(1)]
    len: u64,
    #[n(2)]
    origins: Vec<Origin>,
    #[n(3)]
    frames: Vec<SegmentFrame>,
}

impl Table {
    /// What `fence` says about `pack`, independent of the order of its other origins.
    pub(super) fn new(fence: &Fence, pack: &SegmentPack) -> Result<Self, DecodeError> {
        let mut renumbered: HashMap<u32, u32> = HashMap::new();
        let mut origins = Vec::new();
        let mut end = PREFIX_LEN as u64;
        let mut frames = Vec::with_capacity(pack.frames.len());
        for frame in &pack.frames {
            let origin =
                fence.origins.get(frame.origin as usize).ok_or(DecodeError::Inconsistent)?;
            let next = origins.len() as u32;
            let number = *renumbered.entry(frame.origin).or_insert_with(|| {
                origins.push(origin.clone());
                next
            });
            frames.push(SegmentFrame { origin: number, ..*frame });
            end += u64::from(frame.sealed_len);
        }
        if end > pack.len {
            return Err(DecodeError::Inconsistent);
        }
        let stored = Stored { id: pack.id, len: pack.len, origins, frames };
        Ok(Self { id: pack.id, len: pack.len, bytes: wire::encode(&stored) })
    }
}

impl PackRecord {
    /// Reads the bytes of a [`Table`].
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let stored: Stored = wire::decode(bytes, FENCE_LEN_MAX).map_err(|error| {
            Error::new(ErrorKind::Damaged, "could not read a pack record of the local index")
                .because(error)
        })?;
        let mut offset = PREFIX_LEN as u64;
        let frames = stored
            .frames
            .iter()
            .map(|frame| {
                let place = FramePlace {
                    offset,
                    sealed_len: frame.sealed_len,
                    raw_len: frame.raw_len,
                    codec: frame.codec,
                    kind: frame.kind,
                    origin: frame.origin,
                };
                offset += u64::from(frame.sealed_len);
                place
            })
            .collect();
        Ok(Self { id: stored.id, len: stored.len, frames, origins: stored.origins })
    }
}
