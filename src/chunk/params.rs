//! The three lengths that steer content-defined chunking, checked once.

/// Least `min`. The limits are those of the crate that defines the algorithm, which does not
/// enforce them itself in release builds.
pub(super) const MIN_MIN: u32 = 64;
/// Greatest `min`: 1 MiB.
pub(super) const MIN_MAX: u32 = 1 << 20;
/// Least `avg`.
pub(super) const AVG_MIN: u32 = 256;
/// Greatest `avg`: 4 MiB.
pub(super) const AVG_MAX: u32 = 4 << 20;
/// Least `max`.
pub(super) const MAX_MIN: u32 = 1024;
/// Greatest `max`: 16 MiB. No chunk of a valid repository is longer.
pub(super) const MAX_MAX: u32 = 16 << 20;

/// The topmost one in each mask. Bit 63 cannot be used: the reference tests every other position
/// with hash and mask shifted left by one, which drops that bit.
const MASK_TOP_BIT: u32 = 62;

/// Normalization level: ones that the strict mask has more, and the relaxed mask fewer, than
/// log2 of `avg`.
const NORMALIZATION: u32 = 1;

const _: () = {
    use fastcdc::v2020;
    assert!(MIN_MIN as usize == v2020::MINIMUM_MIN && MIN_MAX as usize == v2020::MINIMUM_MAX);
    assert!(AVG_MIN as usize == v2020::AVERAGE_MIN && AVG_MAX as usize == v2020::AVERAGE_MAX);
    assert!(MAX_MIN as usize == v2020::MAXIMUM_MIN && MAX_MAX as usize == v2020::MAXIMUM_MAX);
};

/// Least, average and greatest length of a chunk in bytes; only valid ones exist.
///
/// All three are powers of two, so that they are even (an odd one would silently shift every cut
/// of the reference) and log2 of `avg` is exact.
///
/// # Masks
/// The chunk ends before the byte at position `p` when hash AND mask is zero. With `bits` = log2
/// of `avg` and normalization level 1:
///
/// | positions | mask | ones | bits, both included |
/// | --- | --- | --- | --- |
/// | `min <= p < avg` | strict | `bits + 1` | `62 - bits` to 62 |
/// | `avg <= p < max` | relaxed | `bits - 1` | `64 - bits` to 62 |
///
/// The ones are contiguous and lie at the top, because the top bits depend on the most bytes and
/// on the most key bits. For `avg` = 64 KiB (`bits` = 16) the strict mask is
/// `0x7fff_c000_0000_0000` (bits 46 to 62), the relaxed one `0x7fff_0000_0000_0000` (48 to 62).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Params {
    min: u32,
    avg: u32,
    max: u32,
}

impl Params {
    /// 16, 64 and 256 KiB, for general data. 1 MiB instead of 64 KiB stores three times as much
    /// after scattered changes, and the first backup is no smaller.
    pub const GENERAL: Self = Self { min: 16 << 10, avg: 64 << 10, max: 256 << 10 };

    /// Checks three lengths in bytes.
    ///
    /// # Errors
    /// Says which rule is broken. Callers that decode a configuration depend on it: lengths that
    /// pass here never make the chunker panic or drift from the reference.
    pub const fn new(min: u32, avg: u32, max: u32) -> Result<Self, ParamsError> {
        if !(min.is_power_of_two() && avg.is_power_of_two() && max.is_power_of_two()) {
            return Err(ParamsError::NotPowerOfTwo { min, avg, max });
        }
        if min < MIN_MIN || min > MIN_MAX {
            return Err(ParamsError::Min(min));
        }
        if avg < AVG_MIN || avg > AVG_MAX {
            return Err(ParamsError::Avg(avg));
        }
        if max < MAX_MIN || max > MAX_MAX {
            return Err(ParamsError::Max(max));
        }
        if min >= avg || avg >= max {
            return Err(ParamsError::Order { min, avg, max });
        }
        Ok(Self { min, avg, max })
    }

    /// The least length in bytes; only the last chunk of a stream is shorter.
    pub const fn min(&self) -> u32 {
        self.min
    }

    /// The length in bytes from which on the relaxed mask applies.
    pub const fn avg(&self) -> u32 {
        self.avg
    }

    /// The greatest length in bytes.
    pub const fn max(&self) -> u32 {
        self.max
    }

    /// The mask for positions below `avg`.
    pub const fn strict_mask(&self) -> u64 {
        top_ones(self.avg.trailing_zeros() + NORMALIZATION)
    }

    /// The mask for positions from `avg` on.
    pub const fn relaxed_mask(&self) -> u64 {
        top_ones(self.avg.trailing_zeros() - NORMALIZATION)
    }
}

/// A mask of `count` contiguous ones that ends at [`MASK_TOP_BIT`].
const fn top_ones(count: u32) -> u64 {
    ((1 << count) - 1) << (MASK_TOP_BIT + 1 - count)
}

/// Why three lengths are no [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// A length is not a power of two.
    #[error("chunk lengths {min}, {avg} and {max} are not all powers of two")]
    NotPowerOfTwo {
        /// Least length.
        min: u32,
        /// Average length.
        avg: u32,
        /// Greatest length.
        max: u32,
    },
    /// The least length is out of range.
    #[error("least chunk length {0} is not within {MIN_MIN} and {MIN_MAX}")]
    Min(u32),
    /// The average length is out of range.
    #[error("average chunk length {0} is not within {AVG_MIN} and {AVG_MAX}")]
    Avg(u32),
    /// The greatest length is out of range.
    #[error("greatest chunk length {0} is not within {MAX_MIN} and {MAX_MAX}")]
    Max(u32),
    /// The lengths do not ascend.
    #[error("chunk lengths {min}, {avg} and {max} do not ascend")]
    Order {
        /// Least length.
        min: u32,
        /// Average length.
        avg: u32,
        /// Greatest length.
        max: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ascending_powers_of_two_within_the_limits_are_accepted() {
        assert_eq!(Params::new(16 << 10, 64 << 10, 256 << 10), Ok(Params::GENERAL));
        assert!(Params::new(MIN_MIN, AVG_MIN, MAX_MIN).is_ok());
        assert!(Params::new(MIN_MAX, AVG_MAX, MAX_MAX).is_ok());

        let not_power =
            |min, avg, max| Err::<Params, _>(ParamsError::NotPowerOfTwo { min, avg, max });
        assert_eq!(Params::new(0, 256, 1024), not_power(0, 256, 1024));
        assert_eq!(Params::new(65, 256, 1024), not_power(65, 256, 1024));
        assert_eq!(Params::new(64, 300, 1024), not_power(64, 300, 1024));
        assert_eq!(Params::new(64, 256, u32::MAX), not_power(64, 256, u32::MAX));

        assert_eq!(Params::new(32, 256, 1024), Err(ParamsError::Min(32)));
        assert_eq!(Params::new(2 << 20, 4 << 20, 8 << 20), Err(ParamsError::Min(2 << 20)));
        assert_eq!(Params::new(64, 128, 1024), Err(ParamsError::Avg(128)));
        assert_eq!(Params::new(64, 8 << 20, 16 << 20), Err(ParamsError::Avg(8 << 20)));
        assert_eq!(Params::new(64, 256, 512), Err(ParamsError::Max(512)));
        assert_eq!(Params::new(64, 256, 32 << 20), Err(ParamsError::Max(32 << 20)));

        let order = |min, avg, max| Err::<Params, _>(ParamsError::Order { min, avg, max });
        assert_eq!(Params::new(256, 256, 1024), order(256, 256, 1024));
        assert_eq!(Params::new(64, 1024, 1024), order(64, 1024, 1024));
        assert_eq!(Params::new(64, 4096, 2048), order(64, 4096, 2048));
    }

    #[test]
    fn masks_are_the_documented_bits() {
        assert_eq!(Params::GENERAL.strict_mask(), 0x7fff_c000_0000_0000);
        assert_eq!(Params::GENERAL.relaxed_mask(), 0x7fff_0000_0000_0000);
        for bits in AVG_MIN.ilog2()..=AVG_MAX.ilog2() {
            let avg = 1 << bits;
            let params = Params::new(MIN_MIN, avg, (2 * avg).max(MAX_MIN)).unwrap();
            let strict = (62 - bits..=62).fold(0, |mask, bit| mask | 1u64 << bit);
            let relaxed = (64 - bits..=62).fold(0, |mask, bit| mask | 1u64 << bit);
            assert_eq!(params.strict_mask(), strict);
            assert_eq!(params.relaxed_mask(), relaxed);
            assert_eq!(strict.count_ones(), bits + 1);
            assert_eq!(relaxed.count_ones(), bits - 1);
        }
    }
}
