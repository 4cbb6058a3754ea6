//! Where one chunk ends, at one cycle a byte.
//!
//! The rolling hash is a chain: no position can start before the one before it has ended. One step,
//! twice the hash plus a table entry, is a single `lea` of one cycle on x86-64, provided that the
//! entry is in a register. Compilers rather fold its load into an addition, which makes two
//! dependent instructions of the step; [`pin`] forbids that. The reference takes three cycles for
//! two positions. Neither vector instructions nor several scans at a time are faster than this
//! chain: `benches/split.rs` measures 1.5 times the speed of the reference.

use super::{GEAR_LEN, GearTable, Params};

/// Positions tested between two bounds checks. Of 8, 16, 24, 32 and 64, 16 and 24 were fastest.
const BLOCK_LEN: usize = 16;

/// Returns the length of the first chunk of `data`: exactly what
/// [`cut_reference`](super::cut_reference) returns, for all data.
pub fn cut_kernel(data: &[u8], params: &Params, table: &GearTable) -> usize {
    let (min, avg, max) = (params.min() as usize, params.avg() as usize, params.max() as usize);
    let end = data.len().min(max);
    if end <= min {
        return end;
    }
    // The reference tests pairs of positions, and an odd last byte completes none.
    let tested_end = end & !1;
    let strict_end = tested_end.min(avg);

    let mut scan = Scan { gear: table.plain(), hash: 0 };
    if let Some(at) = scan.find(&data[min..strict_end], params.strict_mask()) {
        return min + at;
    }
    if let Some(at) = scan.find(&data[strict_end..tested_end], params.relaxed_mask()) {
        return strict_end + at;
    }
    end
}

/// A rolling hash under way.
struct Scan<'a> {
    gear: &'a [u64; GEAR_LEN],
    hash: u64,
}

impl Scan<'_> {
    /// Rolls over `data` up to the first byte after which hash AND mask is zero, and returns its
    /// position.
    #[inline(always)]
    fn find(&mut self, data: &[u8], mask: u64) -> Option<usize> {
        // A local copy: through `self` the hash would live in memory.
        let mut hash = self.hash;
        let (blocks, rest) = data.as_chunks::<BLOCK_LEN>();
        for (i, block) in blocks.iter().enumerate() {
            for (j, &byte) in block.iter().enumerate() {
                hash = (hash << 1).wrapping_add(pin(self.gear[usize::from(byte)]));
                if hash & mask == 0 {
                    return Some(i * BLOCK_LEN + j);
                }
            }
        }
        for (j, &byte) in rest.iter().enumerate() {
            hash = (hash << 1).wrapping_add(self.gear[usize::from(byte)]);
            if hash & mask == 0 {
                return Some(blocks.len() * BLOCK_LEN + j);
            }
        }
        self.hash = hash;
        None
    }
}

/// Returns `entry`, from a register.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
#[allow(unsafe_code, reason = "without it the kernel loses a third of its speed")]
fn pin(entry: u64) -> u64 {
    let mut pinned = entry;
    // SAFETY: there is no instruction in it, only a comment; it touches one register, which holds
    // the same value before and after, and neither memory, stack nor flags.
    unsafe {
        std::arch::asm!(
            "/* {0} */",
            inout(reg) pinned,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    pinned
}

/// Returns `entry`. Other processors load before they add anyway.
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline(always)]
fn pin(entry: u64) -> u64 {
    entry
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::cut_reference;
    use crate::chunk::testdata::{self, Class};

    #[track_caller]
    fn check(data: &[u8], params: &Params, table: &GearTable) -> usize {
        let expected = cut_reference(data, params, table);
        assert_eq!(cut_kernel(data, params, table), expected, "{} bytes, {params:?}", data.len());
        expected
    }

    fn check_all(mut rest: &[u8], params: &Params, table: &GearTable) {
        while !rest.is_empty() {
            let len = check(rest, params, table);
            assert!(len > 0 && len <= params.max() as usize);
            rest = &rest[len..];
        }
    }

    fn several_params() -> Vec<Params> {
        [
            (64, 256, 1024),
            (128, 256, 1024),
            (64, 1024, 2048),
            (1024, 4096, 65_536),
            (16 << 10, 64 << 10, 256 << 10),
            (256 << 10, 1 << 20, 4 << 20),
            (1 << 20, 4 << 20, 16 << 20),
        ]
        .map(|(min, avg, max)| Params::new(min, avg, max).unwrap())
        .into()
    }

    #[test]
    fn cuts_equal_the_reference_at_every_length_there_is() {
        let params = testdata::SMALL;
        let data = testdata::seeded("every length", 100_000);
        let mut seen = vec![false; params.max() as usize + 1];
        // Under one key, few or no bytes cut at `min`, where the hash is a single entry.
        for key in 0..32 {
            let table = GearTable::new(&[key; 32]);
            for start in 0..data.len() - params.max() as usize {
                seen[check(&data[start..], &params, &table)] = true;
            }
        }
        // Otherwise the test would prove less than its name says.
        assert!(seen[params.min() as usize..].iter().all(|seen| *seen));
    }

    #[test]
    fn cuts_equal_the_reference_at_every_end_of_the_buffer() {
        let data = testdata::seeded("every end", 64 << 10);
        for (key, params) in several_params().into_iter().take(3).enumerate() {
            let table = GearTable::new(&[key as u8; 32]);
            for start in 0..48 {
                for len in 0..=params.max() as usize + 40 {
                    check(&data[start * 977..][..len], &params, &table);
                }
            }
        }
    }

    #[test]
    fn cuts_equal_the_reference_for_all_classes_of_data() {
        for (key, params) in several_params().into_iter().enumerate() {
            for class in Class::ALL {
                let len = (params.max() as usize * 2 + 12_345).max(1 << 20);
                let data = class.bytes(&format!("{class:?} {key}"), len);
                let table = GearTable::new(&[key as u8; 32]);
                check_all(&data, &params, &table);
            }
        }
    }

    #[test]
    fn cuts_equal_the_reference_for_constant_data_under_many_keys() {
        // A settled hash is the negated entry, so that some keys cut at `min` and most at `max`.
        for byte in [0, 1, b' ', 0xff] {
            let data = [byte; 2049];
            for seed in 0..2000u32 {
                let table = GearTable::new(blake3::hash(&seed.to_le_bytes()).as_bytes());
                for len in [1023, 1024, 1025, 2049] {
                    check(&data[..len], &testdata::SMALL, &table);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn cuts_equal_the_reference(
            key: [u8; 32],
            (min_bits, avg_bits, max_bits) in (6u32..9, 1u32..4, 1u32..4)
                .prop_map(|(min, more, most)| {
                    let avg = (min + more).max(8);
                    (min, avg, (avg + most).max(10))
                }),
            data in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..6000),
                // Few values, so that runs and repeats abound.
                prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 1, b'a', 0xff]), 0..6000),
                (prop::collection::vec(any::<u8>(), 1..70), 0usize..100)
                    .prop_map(|(period, count)| period.repeat(count)),
            ],
        ) {
            let params = Params::new(1 << min_bits, 1 << avg_bits, 1 << max_bits).unwrap();
            check_all(&data, &params, &GearTable::new(&key));
        }
    }
}
