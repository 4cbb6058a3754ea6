//! How `--max-memory` is divided.

use crate::base::size::{MIB, human};
use crate::base::{Error, ErrorKind, Result};

/// What the local index takes: 32 MiB of blocks, 16 MiB of memtables, tables' metadata.
const INDEX_BYTES: u64 = 56 * MIB;
/// What threads, zstd contexts and directories being scanned take.
const BASE_BYTES: u64 = 40 * MIB;
/// Least that must be left for content in flight.
const FLIGHT_BYTES_MIN: u64 = 24 * MIB;

/// Windows of files that a restore has at a time: one is gathered, one waits, one is fetched.
const WINDOW_COUNT: u64 = 3;
/// Longest read of a pack in a restore: longer ones are no faster.
const READ_LEN_MAX: u64 = 4 * MIB;
/// Shortest that is worth a request, however little memory there is.
const READ_LEN_MIN: u64 = 512 << 10;
/// What a restore remembers of a file with several names.
const LINK_BYTES: u64 = 160;

/// The parts of `--max-memory` in a backup.
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
        let packs = format!("packs of {}", human(pack_len.into()));
        Err(too_little(total, fixed + FLIGHT_BYTES_MIN + 4 * u64::from(pack_len), &packs))
    }
}

/// The parts of `--max-memory` in a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestorePlan {
    /// Bytes of packs that were read and are not written yet, with the frame that is being opened.
    pub flight_bytes: usize,
    /// Longest read of a pack, unless a single frame is longer.
    pub read_len_max: u64,
    /// Bytes of files in the target that are being compared with the snapshot.
    pub compared_bytes: usize,
    /// What a window of files takes.
    pub window_bytes: usize,
    /// What names take that wait for others.
    pub waiting_bytes: usize,
    /// Files with several names that are remembered in memory.
    pub link_count: usize,
    /// Raw bytes of frames that are kept for the next question.
    pub kept_bytes: usize,
}

impl RestorePlan {
    /// Divides `total` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] when that is too little.
    pub fn new(total: u64) -> Result<Self> {
        let fixed = INDEX_BYTES + BASE_BYTES;
        let rest = total.checked_sub(fixed).filter(|rest| *rest >= FLIGHT_BYTES_MIN);
        let part = rest.ok_or_else(|| too_little(total, fixed + FLIGHT_BYTES_MIN, "a restore"))?;
        let part = part / 16;
        // What more would make no faster is left to others.
        let at_most = |bytes: u64, most: u64| bytes.min(most) as usize;
        let flight_bytes = at_most(5 * part, 192 * MIB);
        Ok(Self {
            flight_bytes,
            read_len_max: (flight_bytes as u64 / 8).clamp(READ_LEN_MIN, READ_LEN_MAX),
            compared_bytes: at_most(2 * part, 64 * MIB),
            window_bytes: at_most(6 * part / WINDOW_COUNT, 64 * MIB),
            waiting_bytes: at_most(part, 32 * MIB),
            link_count: at_most(part / LINK_BYTES, 1 << 17),
            kept_bytes: at_most(part, 24 * MIB),
        })
    }
}

fn too_little(total: u64, least: u64, what: &str) -> Error {
    let message = format!("{} of memory is too little for {what}", human(total));
    Error::new(ErrorKind::Usage, message)
        .hint(format!("Give at least `--max-memory {}M`.", least.div_ceil(MIB)))
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

    #[test]
    fn the_parts_of_a_restore_stay_within_the_whole_and_shrink_with_it() {
        let mut last: Option<RestorePlan> = None;
        for total in [120, 192, 256, 512, 4096] {
            let plan = RestorePlan::new(total * MIB).expect("it is enough");
            let windows = WINDOW_COUNT * plan.window_bytes as u64;
            let links = LINK_BYTES * plan.link_count as u64;
            let rest =
                [plan.flight_bytes, plan.compared_bytes, plan.waiting_bytes, plan.kept_bytes];
            let rest: u64 = rest.iter().map(|bytes| *bytes as u64).sum();
            assert!(INDEX_BYTES + BASE_BYTES + windows + links + rest <= total * MIB, "{total}");
            // Several reads are on their way at a time, or nothing would be done meanwhile.
            assert!(plan.flight_bytes as u64 >= 4 * plan.read_len_max, "{plan:?}");
            assert!(last.is_none_or(|last| last.flight_bytes < plan.flight_bytes));
            assert!(last.is_none_or(|last| last.window_bytes < plan.window_bytes));
            last = Some(plan);
        }
        let error = RestorePlan::new(119 * MIB).expect_err("it is too little");
        assert_eq!(error.hint.as_deref(), Some("Give at least `--max-memory 120M`."));
    }
}
