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

/// What the times of a file prove about changes after its stat. The numbers stand in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Settled {
    /// Nothing: the file must be read again.
    Nothing = 0,
    /// Its mtime counts, for whoever does not look at its ctime.
    Content = 1,
    /// Both times count.
    All = 2,
}

impl Settled {
    /// The one with this number; nothing for any other.
    pub fn from_u8(number: u8) -> Self {
        match number {
            1 => Self::Content,
            2 => Self::All,
            _ => Self::Nothing,
        }
    }
}

/// What a file is not asked when it is compared with what the last run saw, for file systems that
/// give out new inodes or change times at every mount. Times must be settled all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Not its inode number.
    pub ignore_inode: bool,
    /// Not its ctime.
    pub ignore_ctime: bool,
}

impl Comparison {
    /// Whether the content that was read under `before`, whose times proved `settled`, is the one
    /// that lies under `now`.
    pub fn is_same(self, before: &Signature, settled: Settled, now: &Signature) -> bool {
        let needed = if self.ignore_ctime { Settled::Content } else { Settled::All };
        settled >= needed
            && (self.ignore_inode || before.inode == now.inode)
            && (self.ignore_ctime || before.ctime == now.ctime)
            && (before.size, before.mtime, before.mode) == (now.size, now.mtime, now.mode)
    }
}

impl Signature {
    /// What equal signatures prove about equal files: a time counts when it lies at least `settle`
    /// before `scan_started`, which must be taken before the stat.
    ///
    /// A file written twice in one tick of a coarse clock keeps its times; so does one written
    /// after a stat in the same tick. Times in the future prove nothing at all.
    pub fn settled(&self, scan_started: Timestamp, settle: Duration) -> Settled {
        let settle = i128::try_from(settle.as_nanos()).unwrap_or(i128::MAX);
        let counts = |time| scan_started.nanos_since(time) >= settle;
        match (counts(self.mtime), counts(self.ctime)) {
            (true, true) => Settled::All,
            (true, false) => Settled::Content,
            (false, _) => Settled::Nothing,
        }
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
        let settled = |m, c| signature(m, c).settled(now, SETTLE);
        assert_eq!(settled(old, old), Settled::All);
        assert_eq!(settled(Timestamp::new(i64::MIN, 0), old), Settled::All);
        for young in
            [Timestamp::new(998, 501), now, Timestamp::new(1001, 0), Timestamp::new(i64::MAX, 0)]
        {
            assert_eq!(settled(young, old), Settled::Nothing, "{young:?}");
            assert_eq!(settled(old, young), Settled::Content, "{young:?}");
        }
        for known in [Settled::Nothing, Settled::Content, Settled::All] {
            assert_eq!(Settled::from_u8(known as u8), known);
        }
        assert_eq!(Settled::from_u8(3), Settled::Nothing);
    }

    #[test]
    fn only_what_is_ignored_may_differ_and_nothing_unsettled_is_the_same() {
        let before = signature(Timestamp::new(1, 0), Timestamp::new(2, 0));
        let inode = Signature { inode: 7, ..before };
        let ctime = Signature { ctime: Timestamp::new(3, 0), ..before };
        let both = Signature { inode: 7, ..ctime };
        let mtime = Signature { mtime: Timestamp::new(3, 0), ..before };
        let strict = Comparison::default();
        let no_inode = Comparison { ignore_inode: true, ..strict };
        let no_ctime = Comparison { ignore_ctime: true, ..strict };
        let neither = Comparison { ignore_inode: true, ignore_ctime: true };
        for (comparison, same) in [
            (strict, [true, false, false, false, false]),
            (no_inode, [true, true, false, false, false]),
            (no_ctime, [true, false, true, false, false]),
            (neither, [true, true, true, true, false]),
        ] {
            for (now, same) in [before, inode, ctime, both, mtime].iter().zip(same) {
                let is_same = |settled| comparison.is_same(&before, settled, now);
                assert_eq!(is_same(Settled::All), same, "{comparison:?} {now:?}");
                assert_eq!(is_same(Settled::Content), same && comparison.ignore_ctime);
                assert!(!is_same(Settled::Nothing));
            }
        }
    }
}
