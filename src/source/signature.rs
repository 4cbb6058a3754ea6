//! Tells whether a file is still the one that was read, by what one stat says.

use std::time::Duration;

use crate::base::Timestamp;
use crate::format::DecodeError;
use crate::format::wire::Cursor;

/// Bytes of an encoded signature.
pub const SIGNATURE_LEN: usize = 44;

/// Age that times must have before they prove anything. FAT stamps in steps of 2 s; kernels before
/// 6.13 stamp with the clock of the last tick, so that a write within 10 ms of a stat leaves the
/// same times.
pub const SETTLE: Duration = Duration::from_secs(2);

/// What changes whenever a file changes.
///
/// The device is not part of it: its number differs from boot to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Last change of content; anybody may set it.
    pub mtime: Timestamp,
    /// Last change of content or metadata; only the kernel sets it.
    pub ctime: Timestamp,
    /// Kind with permission bits, as `st_mode`.
    pub mode: u32,
}

impl Signature {
    /// Whether equal signatures mean equal files: both times lie at least `settle` before
    /// `scan_started`, which must be taken before the stat.
    ///
    /// A file written twice in one tick of a coarse clock keeps its times; so does one written
    /// after a stat in the same tick. Times in the future prove nothing at all.
    pub fn is_settled(&self, scan_started: Timestamp, settle: Duration) -> bool {
        let settle = i128::try_from(settle.as_nanos()).unwrap_or(i128::MAX);
        [self.mtime, self.ctime].into_iter().all(|t| scan_started.nanos_since(t) >= settle)
    }

    /// Fixed fields, little-endian, in the order of the structure.
    pub fn encode(&self) -> [u8; SIGNATURE_LEN] {
        let mut bytes = [0; SIGNATURE_LEN];
        bytes[..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.size.to_le_bytes());
        for (at, time) in [(16, self.mtime), (28, self.ctime)] {
            bytes[at..at + 8].copy_from_slice(&time.seconds.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&time.nanos.to_le_bytes());
        }
        bytes[40..].copy_from_slice(&self.mode.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote, and leaves the cursor behind it.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], or [`DecodeError::Limit`] for impossible nanoseconds.
    pub fn decode(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let (inode, size) = (cursor.u64()?, cursor.u64()?);
        let mtime = decode_time(cursor)?;
        let ctime = decode_time(cursor)?;
        Ok(Self { inode, size, mtime, ctime, mode: cursor.u32()? })
    }
}

fn decode_time(cursor: &mut Cursor<'_>) -> Result<Timestamp, DecodeError> {
    let time = Timestamp::new(cursor.u64()?.cast_signed(), cursor.u32()?);
    if time.nanos > 999_999_999 { Err(DecodeError::Limit) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(mtime: Timestamp, ctime: Timestamp) -> Signature {
        Signature { inode: u64::MAX - 1, size: 1 << 40, mtime, ctime, mode: 0o100_644 }
    }

    #[test]
    fn signatures_round_trip() {
        let odd = signature(Timestamp::new(-5, 999_999_999), Timestamp::new(i64::MAX, 0));
        let bytes = odd.encode();
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(Signature::decode(&mut cursor), Ok(odd));
        assert!(cursor.finish().is_ok());
        assert_eq!(
            Signature::decode(&mut Cursor::new(&bytes[..SIGNATURE_LEN - 1])),
            Err(DecodeError::Truncated)
        );
        let mut bytes = bytes;
        bytes[24..28].copy_from_slice(&1_000_000_000u32.to_le_bytes());
        assert_eq!(Signature::decode(&mut Cursor::new(&bytes)), Err(DecodeError::Limit));
    }

    #[test]
    fn only_times_well_before_the_scan_prove_anything() {
        let now = Timestamp::new(1000, 500);
        let old = Timestamp::new(998, 500);
        let settled = |m, c| signature(m, c).is_settled(now, SETTLE);
        assert!(settled(old, old));
        assert!(settled(Timestamp::new(i64::MIN, 0), old));
        for young in
            [Timestamp::new(998, 501), now, Timestamp::new(1001, 0), Timestamp::new(i64::MAX, 0)]
        {
            assert!(!settled(young, old), "{young:?}");
            assert!(!settled(old, young), "{young:?}");
        }
    }
}
