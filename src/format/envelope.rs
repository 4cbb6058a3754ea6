//! The clear header of sealed objects, with the padded layout inside the seal.

use super::wire::Cursor;
use super::{Codec, DecodeError, FORMAT_VERSION, ObjectKind, Suite};
use crate::base::size::padme;

/// First bytes of every object but packs and key slots.
pub const MAGIC: [u8; 4] = *b"PRDO";
/// Length of the clear header in bytes.
pub const HEADER_LEN: usize = 48;
/// Length of an authentication tag in bytes, the same in every suite.
pub const TAG_LEN: usize = 16;
/// Length of what precedes the body inside the seal, in bytes.
pub const INNER_LEN: usize = 12;
/// Smallest sealed object, so that short records all look alike.
pub const OBJECT_LEN_MIN: u64 = 512;
/// Largest raw body of a sealed object, in bytes.
pub const BODY_LEN_MAX: usize = 64 << 20;

/// The clear header of a sealed object; all of it is associated data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the object is.
    pub kind: ObjectKind,
    /// How it is sealed.
    pub suite: Suite,
    /// Which root key sealed it.
    pub epoch: u32,
    /// Fresh random bytes from which its key is derived.
    pub salt: [u8; 32],
}

impl Header {
    /// The 48 bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[6] = self.kind as u8;
        bytes[7] = self.suite as u8;
        bytes[8..12].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.salt);
        bytes
    }

    /// Reads the first 48 bytes of an object.
    ///
    /// # Errors
    /// Says what is wrong; a later version is [`DecodeError::Version`] before anything else is
    /// looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array()? != MAGIC {
            return Err(DecodeError::Magic);
        }
        match cursor.u16()? {
            FORMAT_VERSION => {}
            other => return Err(DecodeError::Version(other)),
        }
        let kind = ObjectKind::from_u8(cursor.u8()?).ok_or(DecodeError::Unknown)?;
        let suite = Suite::from_u8(cursor.u8()?)?;
        let epoch = cursor.u32()?;
        cursor.zeros(4)?;
        Ok(Self { kind, suite, epoch, salt: cursor.array()? })
    }
}

/// Lays out `stored` (compressed by `codec` from `raw_len` bytes) for sealing, padded so that an
/// object with `overhead` other bytes has a Padmé length.
pub fn pad(stored: &[u8], raw_len: usize, codec: Codec, overhead: usize) -> Vec<u8> {
    let least = (overhead + INNER_LEN + stored.len()) as u64;
    let inner_len = padme(least.max(OBJECT_LEN_MIN)) as usize - overhead;
    lay_out(stored, raw_len, codec, inner_len)
}

/// Lays out `stored` for sealing in exactly `inner_len` bytes.
///
/// # Panics
/// When it does not fit, or the body is longer than any reader accepts: callers bound both.
pub fn lay_out(stored: &[u8], raw_len: usize, codec: Codec, inner_len: usize) -> Vec<u8> {
    assert!(raw_len <= BODY_LEN_MAX, "the body of a sealed object is limited");
    assert!(INNER_LEN + stored.len() <= inner_len, "the body fits its layout");
    let mut inner = Vec::with_capacity(inner_len + TAG_LEN);
    inner.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    inner.extend_from_slice(&(raw_len as u32).to_le_bytes());
    inner.extend_from_slice(&[codec as u8, 0, 0, 0]);
    inner.extend_from_slice(stored);
    inner.resize(inner_len, 0);
    inner
}

/// What [`pad`] laid out: codec, raw length, stored bytes.
///
/// # Errors
/// Says what is wrong.
pub fn unpad(inner: &[u8]) -> Result<(Codec, usize, &[u8]), DecodeError> {
    let mut cursor = Cursor::new(inner);
    let stored_len = cursor.u32()? as usize;
    let raw_len = cursor.u32()? as usize;
    let codec = Codec::from_u8(cursor.u8()?)?;
    cursor.zeros(3)?;
    let stored = cursor.take(stored_len)?;
    cursor.zeros(cursor.rest().len())?;
    if raw_len > BODY_LEN_MAX {
        return Err(DecodeError::Limit);
    }
    if !matches!(codec, Codec::Stored | Codec::Zstd) {
        return Err(DecodeError::Unknown);
    }
    if codec == Codec::Stored && raw_len != stored_len {
        return Err(DecodeError::Inconsistent);
    }
    Ok((codec, raw_len, stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_bodies_all_have_the_same_length() {
        let overhead = HEADER_LEN + TAG_LEN;
        let lens: Vec<_> =
            [0, 1, 400].map(|n| pad(&vec![7; n], n, Codec::Stored, overhead).len()).into();
        assert_eq!(lens, vec![512 - overhead; 3]);
        let inner = pad(b"hello", 5, Codec::Stored, overhead);
        assert_eq!(unpad(&inner), Ok((Codec::Stored, 5, &b"hello"[..])));
    }

    #[test]
    fn padding_that_is_not_zero_is_refused() {
        let mut inner = pad(b"hello", 5, Codec::Stored, 64);
        *inner.last_mut().expect("it is not empty") = 1;
        assert_eq!(unpad(&inner), Err(DecodeError::Reserved));
    }
}
