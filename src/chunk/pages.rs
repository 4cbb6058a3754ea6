//! Chunks of one length on a grid of file offsets, for files that change in place.

use super::params::{MAX_MAX, MIN_MIN};

/// Splits a file at the multiples of one length, counted from the start of the file.
///
/// A database rewrites whole pages where they are. On the grid a written page makes one chunk
/// new, and never moves the boundary of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    len: u32,
}

impl Pages {
    /// 64 KiB: a multiple of every page size of the databases that are recognized.
    pub const DATABASE: Self = Self { len: 64 << 10 };

    /// A grid of `len` bytes.
    ///
    /// # Errors
    /// Refuses what is not a power of two within 64 bytes and 16 MiB.
    pub const fn new(len: u32) -> Result<Self, PagesError> {
        if !len.is_power_of_two() || len < MIN_MIN || len > MAX_MAX {
            return Err(PagesError(len));
        }
        Ok(Self { len })
    }

    /// The length of a chunk in bytes.
    pub const fn chunk_len(&self) -> u32 {
        self.len
    }

    /// Returns the length of the chunk that starts at `offset` of the file, where
    /// `available_bytes` are at hand, or nothing as long as more are needed.
    ///
    /// A chunk that starts off the grid, as after a hole, ends at the next multiple.
    pub fn next_cut(&self, offset: u64, available_bytes: usize, at_end: bool) -> Option<usize> {
        let len = u64::from(self.len);
        // At most 16 MiB, see `new`.
        let wanted = (len - offset % len) as usize;
        if available_bytes >= wanted {
            return Some(wanted);
        }
        (at_end && available_bytes > 0).then_some(available_bytes)
    }
}

/// The length that is no grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("page chunk length {0} is not a power of two within {MIN_MIN} and {MAX_MAX}")]
pub struct PagesError(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_on_the_grid_or_with_the_file() {
        let pages = Pages::DATABASE;
        assert_eq!(pages.next_cut(0, 65_535, false), None);
        assert_eq!(pages.next_cut(0, 65_536, false), Some(65_536));
        assert_eq!(pages.next_cut(0, 1 << 20, true), Some(65_536));
        assert_eq!(pages.next_cut(4096, 1 << 20, false), Some(61_440));
        assert_eq!(pages.next_cut(65_535, 1, false), Some(1));
        assert_eq!(pages.next_cut(0, 100, true), Some(100));
        assert_eq!(pages.next_cut(0, 0, true), None);
        assert_eq!(pages.next_cut(u64::MAX, 5, false), Some(1));
    }

    #[test]
    fn only_powers_of_two_within_the_limits_are_accepted() {
        assert_eq!(Pages::new(65_536), Ok(Pages::DATABASE));
        for len in [0, 1, 32, 65_535, 32 << 20] {
            assert_eq!(Pages::new(len), Err(PagesError(len)));
        }
    }
}
