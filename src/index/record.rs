//! What the index stores about one pack: enough to fetch and open any of its frames.

use std::collections::HashMap;

use minicbor::{Decode, Encode};

use crate::base::{Error, ErrorKind, PackId, Result};
use crate::format::pack::{Origin, PREFIX_LEN};
use crate::format::segment::{FENCE_LEN_MAX, Fence, SegmentFrame, SegmentPack};
use crate::format::wire::{self, Cursor};
use crate::format::{Codec, DecodeError, FrameKind};

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

/// Id and length of a pack, which are read without its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackHead {
    /// The pack.
    pub id: PackId,
    /// Its length in bytes.
    pub len: u64,
}

impl PackHead {
    /// Id, then length, little-endian.
    pub fn encode(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        bytes[..32].copy_from_slice(self.id.as_bytes());
        bytes[32..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// For any other length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let head = Self { id: PackId::new(cursor.array()?), len: cursor.u64()? };
        cursor.finish()?;
        Ok(head)
    }
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
    /// Reads the bytes of a `Table`.
    ///
    /// # Errors
    /// When they are not what the index wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        Self::try_decode(bytes).map_err(|error| {
            Error::new(ErrorKind::Damaged, "could not read a pack record of the local index")
                .because(error)
        })
    }

    fn try_decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let stored: Stored = wire::decode(bytes, FENCE_LEN_MAX)?;
        let mut offset = PREFIX_LEN as u64;
        let frames: Vec<_> = stored
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
        let has_origin = |frame: &FramePlace| (frame.origin as usize) < stored.origins.len();
        if offset > stored.len || !frames.iter().all(has_origin) {
            return Err(DecodeError::Inconsistent);
        }
        Ok(Self { id: stored.id, len: stored.len, frames, origins: stored.origins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SessionId;
    use crate::format::pack::WRAP_DERIVED;
    use crate::format::{FrameKind, Suite};

    fn decode(len: u64, origin: u32) -> Result<PackRecord> {
        let sealed_len = 100;
        let origins = vec![Origin {
            session: SessionId::new([2; 32]),
            suite: Suite::Aes256Gcm,
            epoch: 0,
            wrap: WRAP_DERIVED,
            wrapped: Vec::new(),
            commitment: [3; 32],
        }];
        let (codec, kind) = (Codec::Stored, FrameKind::Data);
        let frames = vec![SegmentFrame { sealed_len, raw_len: 60, codec, kind, origin }];
        let stored = Stored { id: PackId::new([1; 32]), len, origins, frames };
        PackRecord::decode(&wire::encode(&stored))
    }

    #[test]
    fn a_record_that_contradicts_itself_is_refused() {
        let end = PREFIX_LEN as u64 + 100;
        let record = decode(end, 0).expect("it is right");
        assert_eq!((record.len, record.frames[0].offset), (end, PREFIX_LEN as u64));
        assert_eq!(decode(end - 1, 0).unwrap_err().kind, ErrorKind::Damaged);
        assert_eq!(decode(end, 1).unwrap_err().kind, ErrorKind::Damaged);
        assert_eq!(PackRecord::decode(b"").unwrap_err().kind, ErrorKind::Damaged);
    }

    #[test]
    fn heads_round_trip_and_have_one_length() {
        let head = PackHead { id: PackId::new([7; 32]), len: 1 << 40 };
        assert_eq!(PackHead::decode(&head.encode()), Ok(head));
        assert!(PackHead::decode(&head.encode()[..39]).is_err());
        assert!(PackHead::decode(&[0; 41]).is_err());
    }
}
