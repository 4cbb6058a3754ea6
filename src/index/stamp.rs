//! The stamp beside each row, which says when the row was right.

use super::RowKey;
use crate::format::wire::Cursor;

/// Length of an encoded stamp in bytes.
pub const STAMP_LEN: usize = 24;

/// Which run found which row right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The last run that found the row right.
    pub epoch: u64,
    /// Of the key and the bytes of the row.
    pub digest: [u8; 8],
}

impl Stamp {
    /// A stamp for these very bytes.
    pub fn new(key: &RowKey, bytes: &[u8], epoch: u64) -> Self {
        Self { epoch, digest: checksum(&[key, bytes]) }
    }

    /// Epoch (little-endian), digest, checksum of key and both.
    pub fn encode(self, key: &RowKey) -> [u8; STAMP_LEN] {
        let mut value = [0; STAMP_LEN];
        value[0..8].copy_from_slice(&self.epoch.to_le_bytes());
        value[8..16].copy_from_slice(&self.digest);
        let sum = checksum(&[key, &value[0..16]]);
        value[16..24].copy_from_slice(&sum);
        value
    }

    /// Reads a stamp, unless it is damaged.
    pub fn decode(key: &RowKey, value: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(value);
        let stamp = Self { epoch: cursor.u64().ok()?, digest: cursor.array().ok()? };
        (stamp.encode(key) == value).then_some(stamp)
    }
}

/// Eight bytes of BLAKE3: against accidents, not against anyone who can write here.
fn checksum(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut sum = [0; 8];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_with_any_bit_flipped_is_absent() {
        let key = [3; 32];
        let stamp = Stamp::new(&key, b"row", 7);
        let value = stamp.encode(&key);
        assert_eq!(Stamp::decode(&key, &value), Some(stamp));
        assert_eq!(Stamp::decode(&[4; 32], &value), None);
        assert_eq!(Stamp::decode(&key, &value[..23]), None);
        for bit in 0..STAMP_LEN * 8 {
            let mut flipped = value;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Stamp::decode(&key, &flipped), None, "bit {bit}");
        }
    }
}
