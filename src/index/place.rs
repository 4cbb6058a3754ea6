//! One place of a chunk: sixteen bytes that say pack, frame and range.

use crate::format::DecodeError;
use crate::format::wire::Cursor;

/// Length of an encoded place in bytes.
pub const PLACE_LEN: usize = 16;

/// Numbers a pack within one opened index.
///
/// Means nothing in another index or after a rebuild, so it is never stored elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackNo(pub u32);

/// Where one copy of a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The pack.
    pub pack: PackNo,
    /// Index into the frames of the pack.
    pub frame: u32,
    /// First byte within the raw frame.
    pub offset: u32,
    /// Raw length of the chunk.
    pub len: u32,
}

impl Place {
    /// The sixteen bytes; each number little-endian.
    pub fn encode(self) -> [u8; PLACE_LEN] {
        let mut bytes = [0; PLACE_LEN];
        bytes[0..4].copy_from_slice(&self.pack.0.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.frame.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.offset.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// Reads sixteen bytes.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        Ok(Self {
            pack: PackNo(cursor.u32()?),
            frame: cursor.u32()?,
            offset: cursor.u32()?,
            len: cursor.u32()?,
        })
    }

    /// The places in a stored value; an incomplete last one is left out.
    pub fn decode_all(bytes: &[u8]) -> impl Iterator<Item = Self> + '_ {
        bytes.chunks_exact(PLACE_LEN).filter_map(|chunk| Self::decode(chunk).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_round_trip_in_sixteen_bytes() {
        let place = Place { pack: PackNo(1), frame: 2, offset: 3, len: u32::MAX };
        let other = Place { pack: PackNo(u32::MAX), ..place };
        let bytes = [place.encode(), other.encode()].concat();
        assert_eq!(Place::decode_all(&bytes).collect::<Vec<_>>(), [place, other]);
        assert_eq!(Place::decode_all(&bytes[..31]).count(), 1);
        assert_eq!(size_of::<Place>(), PLACE_LEN);
    }
}
