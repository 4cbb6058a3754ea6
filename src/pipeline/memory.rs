//! How `--max-memory` is divided.

use crate::base::size::{MIB, human};
use crate::base::{Error, ErrorKind, Result};

/// What the local index takes: 32 MiB of blocks, 16 MiB of memtables, tables' metadata.
const INDEX_BYTES: u64 = 56 * MIB;
/// What threads, zstd contexts and directories being scanned take.
const BASE_BYTES: u64 = 40 * MIB;
/// Least that must be left for content in flight.
const FLIGHT_BYTES_MIN: u64 = 24 * MIB;

/// The parts of `--max-memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Packs that are open at a time in each class.
    pub open_per_class: usize,
    /// Packs that are finished but not stored, those being put included.
    pub packs_in_flight: usize,
    /// Raw bytes between reading and sealing.
    pub flight_bytes: usize,
}

impl MemoryPlan {
    /// Divides `total` bytes for packs of `pack_len`.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when that is too little.
    pub fn new(total: u64, pack_len: u32) -> Result<Self> {
        let fixed = INDEX_BYTES + BASE_BYTES;
        // Two classes fill packs, and one more is full and waits for room among those in flight.
        for (open_per_class, packs_in_flight) in [(2, 3), (2, 2), (1, 2), (1, 1)] {
            let packs = (2 * open_per_class + packs_in_flight + 1) as u64 * u64::from(pack_len);
            if let Some(rest) = total.checked_sub(fixed + packs)
                && rest >= FLIGHT_BYTES_MIN
            {
                let flight_bytes = (rest / 2).min(192 * MIB) as usize;
                return Ok(Self { open_per_class, packs_in_flight, flight_bytes });
            }
        }
        let least = fixed + FLIGHT_BYTES_MIN + 4 * u64::from(pack_len);
        Err(Error::new(
            ErrorKind::Usage,
            format!("{} of memory is too little for this repository", human(total)),
        )
        .hint(format!("Give at least `--max-memory {}M`.", least.div_ceil(MIB))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_stay_within_the_whole() {
        for total in [192, 256, 512, 4096] {
            let plan = MemoryPlan::new(total * MIB, 16 << 20).expect("it is enough");
            let packs = (2 * plan.open_per_class + plan.packs_in_flight) as u64 * 16 * MIB;
            assert!(INDEX_BYTES + BASE_BYTES + packs + plan.flight_bytes as u64 <= total * MIB);
        }
        assert!(MemoryPlan::new(64 * MIB, 16 << 20).is_err());
    }
}
