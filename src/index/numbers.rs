//! How the local index spells the numbers of packs, in keys and in values.

use super::PackNo;
use crate::base::PackId;
use crate::format::DecodeError;
use crate::format::wire::Cursor;

/// First byte of the keys of id and length.
pub const HEAD_PREFIX: u8 = b'n';
const RECORD_PREFIX: u8 = b'f';
const ID_PREFIX: u8 = b'i';

/// Key of id and length of a pack.
pub fn head_key(no: PackNo) -> [u8; 5] {
    numbered(HEAD_PREFIX, no)
}

/// Key of the record of a pack.
pub fn record_key(no: PackNo) -> [u8; 5] {
    numbered(RECORD_PREFIX, no)
}

/// Key of the number of a pack.
pub fn id_key(id: &PackId) -> [u8; 33] {
    let mut key = [ID_PREFIX; 33];
    key[1..].copy_from_slice(id.as_bytes());
    key
}

/// Big-endian, so that keys are in the order of numbers.
fn numbered(prefix: u8, no: PackNo) -> [u8; 5] {
    let mut key = [prefix; 5];
    key[1..].copy_from_slice(&no.0.to_be_bytes());
    key
}

/// The number in a key of [`head_key`], if it is one.
pub fn decode_head_key(key: &[u8]) -> Option<PackNo> {
    let (prefix, number) = key.split_first()?;
    let number = number.try_into().ok()?;
    (*prefix == HEAD_PREFIX).then(|| PackNo(u32::from_be_bytes(number)))
}

/// Numbers one behind the other, little-endian.
pub fn encode(numbers: &[PackNo]) -> Vec<u8> {
    numbers.iter().flat_map(|no| no.0.to_le_bytes()).collect()
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`DecodeError::Truncated`] when the last one is not whole.
pub fn decode(bytes: &[u8]) -> Result<Vec<PackNo>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let mut numbers = Vec::with_capacity(bytes.len() / 4);
    while !cursor.rest().is_empty() {
        numbers.push(PackNo(cursor.u32()?));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_round_trip_and_nothing_else_is_one() {
        let numbers = [PackNo(0), PackNo(7), PackNo(u32::MAX)];
        assert_eq!(decode(&encode(&numbers)).as_deref(), Ok(&numbers[..]));
        assert_eq!(decode(&[1, 0, 0, 0, 2]), Err(DecodeError::Truncated));
        for no in numbers {
            assert_eq!(decode_head_key(&head_key(no)), Some(no));
            assert_eq!(decode_head_key(&record_key(no)), None);
        }
        assert_eq!(decode_head_key(&id_key(&PackId::new([HEAD_PREFIX; 32]))), None);
        assert_eq!(decode_head_key(b""), None);
        assert!(head_key(PackNo(255)) < head_key(PackNo(256)));
    }
}
