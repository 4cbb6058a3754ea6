//! How far the filling of the local index got, as it is stored beside what was filled in.

use crate::format::DecodeError;
use crate::format::wire::Cursor;

/// How far the families got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The first pack number that is free.
    pub next_no: u32,
    /// Fillings so far.
    pub count: u64,
}

impl Progress {
    /// Number, then count, little-endian.
    pub fn encode(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[0..4].copy_from_slice(&self.next_no.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.count.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// For any other length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let progress = Self { next_no: cursor.u32()?, count: cursor.u64()? };
        cursor.finish()?;
        Ok(progress)
    }

    /// Reads a count alone, little-endian.
    ///
    /// # Errors
    /// For any other length.
    pub fn decode_count(bytes: &[u8]) -> Result<u64, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.u64()?;
        cursor.finish()?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_round_trips_and_has_one_length() {
        let progress = Progress { next_no: 7, count: u64::MAX };
        let bytes = progress.encode();
        assert_eq!(Progress::decode(&bytes), Ok(progress));
        assert_eq!(Progress::decode_count(&bytes[4..]), Ok(u64::MAX));
        for bad in [&bytes[..11], &[&bytes[..], &[0]].concat()] {
            assert!(Progress::decode(bad).is_err());
        }
        assert!(Progress::decode_count(&bytes).is_err());
    }
}
