//! The two encodings everything else is made of: fixed little-endian fields, canonical CBOR.

use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode};

use super::{Codec, DecodeError, FrameKind, Suite};
use crate::base::{Id, Timestamp};

/// Reads fixed fields, never past the end.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Two bytes, little-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reserved bytes, which must be zero.
    ///
    /// # Errors
    /// [`DecodeError::Reserved`] when one is not.
    pub fn zeros(&mut self, len: usize) -> Result<(), DecodeError> {
        if self.take(len)?.iter().any(|b| *b != 0) {
            return Err(DecodeError::Reserved);
        }
        Ok(())
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] when bytes are left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

/// The canonical CBOR encoding of `value` (RFC 8949 section 4.2.1).
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    minicbor::encode(value, &mut bytes).expect("writing to a vector cannot fail");
    bytes
}

/// Reads canonical CBOR of at most `len_max` bytes.
///
/// The value is encoded again and compared, which refuses in one stroke what a lenient parser
/// accepts: longer forms of numbers, indefinite lengths, unknown or repeated keys.
///
/// # Errors
/// [`DecodeError::Limit`], [`DecodeError::Truncated`], [`DecodeError::Trailing`] or
/// [`DecodeError::Encoding`].
pub fn decode<T>(bytes: &[u8], len_max: usize) -> Result<T, DecodeError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    if bytes.len() > len_max {
        return Err(DecodeError::Limit);
    }
    if has_indefinite_length(bytes) {
        return Err(DecodeError::Encoding);
    }
    let mut decoder = Decoder::new(bytes);
    let value: T = decoder.decode().map_err(|error| {
        if error.is_end_of_input() { DecodeError::Truncated } else { DecodeError::Encoding }
    })?;
    if decoder.position() != bytes.len() {
        return Err(DecodeError::Trailing);
    }
    if encode(&value) != bytes {
        return Err(DecodeError::Encoding);
    }
    Ok(value)
}

/// Whether any value in `bytes` has an indefinite length. Canonical CBOR has none, and skipping one
/// under an unknown key would make the decoder allocate many times the input.
fn has_indefinite_length(bytes: &[u8]) -> bool {
    let mut cursor = Cursor::new(bytes);
    while let Ok(head) = cursor.u8() {
        let argument = match head & 31 {
            31 => return true,
            small @ 0..24 => Ok(&[small][..]),
            wide => cursor.take(1 << (wide & 3)),
        };
        // What is cut off is the decoder's to refuse, and so are the reserved heads 28 to 30.
        let Ok(argument) = argument else { return false };
        let len = argument.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let is_string = matches!(head >> 5, 2 | 3);
        if is_string && usize::try_from(len).map_or(true, |len| cursor.take(len).is_err()) {
            return false;
        }
    }
    false
}

impl<C, K> Encode<C> for Id<K> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C, K> Decode<'b, C> for Id<K> {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_slice(d.bytes()?)
            .ok_or_else(|| minicbor::decode::Error::message("an id has 32 bytes"))
    }
}

impl<C> Encode<C> for Timestamp {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.i64(self.seconds)?.u32(self.nanos)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Timestamp {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.array()? != Some(2) {
            return Err(minicbor::decode::Error::message("a time has two parts"));
        }
        let time = Self::new(d.i64()?, d.u32()?);
        if time.nanos > 999_999_999 {
            return Err(minicbor::decode::Error::message("nanoseconds are below 10^9"));
        }
        Ok(time)
    }
}

macro_rules! number {
    ($kind:ty) => {
        impl<C> minicbor::Encode<C> for $kind {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.u8(*self as u8)?.ok()
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $kind {
            fn decode(
                d: &mut minicbor::Decoder<'b>,
                _: &mut C,
            ) -> Result<Self, minicbor::decode::Error> {
                Self::from_u8(d.u8()?)
                    .map_err(|_| minicbor::decode::Error::message("an unknown number"))
            }
        }
    };
}
pub(super) use number;

number!(Suite);
number!(Codec);
number!(FrameKind);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_of_a_number_decodes() {
        assert_eq!(decode::<u64>(&[0x17], 9), Ok(23));
        assert_eq!(decode::<u64>(&[0x18, 0x17], 9), Err(DecodeError::Encoding));
        assert_eq!(decode::<u64>(&[0x18], 9), Err(DecodeError::Truncated));
        assert_eq!(decode::<u64>(&[0x17, 0x00], 9), Err(DecodeError::Trailing));
        assert_eq!(decode::<u64>(&[0x17], 0), Err(DecodeError::Limit));
    }

    #[test]
    fn a_huge_array_length_allocates_nothing() {
        let bytes = [0x9b, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(decode::<Vec<u64>>(&bytes, 100), Err(DecodeError::Truncated));
    }

    #[test]
    fn times_round_trip() {
        let time = Timestamp::new(-1, 999_999_999);
        assert_eq!(decode(&encode(&time), 100), Ok(time));
    }
}
