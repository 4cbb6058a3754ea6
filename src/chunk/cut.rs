//! Where one chunk ends, by the crate that defines the algorithm.

use fastcdc::v2020;

use super::{GearTable, Params};

/// Returns the length of the first chunk of `data`; 0 only when `data` is empty.
///
/// `data` must hold `max` bytes or reach to the end of the stream. In words, as the format has it:
///
/// 1. Let `end` be the length of `data` or `max`, whichever is less. If `end <= min`, the chunk
///    has `end` bytes.
/// 2. Start with hash 0. For each position `p` from `min` to below `end` rounded down to an even
///    number: double the hash, add the table entry of byte `p` (both modulo 2^64), and if hash AND
///    mask is zero, the chunk has `p` bytes, so that byte `p` belongs to the next one.
/// 3. Else the chunk has `end` bytes.
///
/// The hash does not see the first `min` bytes, and an odd last byte is never tested.
pub fn cut_reference(data: &[u8], params: &Params, table: &GearTable) -> usize {
    let (_hash, len) = v2020::cut_gear(
        data,
        params.min() as usize,
        params.avg() as usize,
        params.max() as usize,
        params.strict_mask(),
        params.relaxed_mask(),
        params.strict_mask() << 1,
        params.relaxed_mask() << 1,
        table.plain(),
        table.shifted(),
    );
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::testdata;

    /// The words above, byte by byte, with nothing taken from the crate.
    fn cut_in_words(data: &[u8], params: &Params, table: &GearTable) -> usize {
        let end = data.len().min(params.max() as usize);
        if end <= params.min() as usize {
            return end;
        }
        let mut hash = 0u64;
        for (p, &byte) in data[..end / 2 * 2].iter().enumerate().skip(params.min() as usize) {
            hash = hash.wrapping_mul(2).wrapping_add(table.plain()[usize::from(byte)]);
            let is_strict = p < params.avg() as usize;
            let mask = if is_strict { params.strict_mask() } else { params.relaxed_mask() };
            if hash & mask == 0 {
                return p;
            }
        }
        end
    }

    #[test]
    fn the_crate_does_what_the_format_says() {
        let table = GearTable::new(&testdata::KEY);
        let params = testdata::SMALL;
        let data = testdata::stream(200_000);
        for start in 0..data.len() {
            let rest = &data[start..];
            // Windows of every length up to beyond max, so that each end is met often.
            let window = &rest[..rest.len().min(start % 1100)];
            assert_eq!(
                cut_reference(window, &params, &table),
                cut_in_words(window, &params, &table),
                "window of {} at {start}",
                window.len()
            );
        }
    }

    #[test]
    fn short_data_is_one_chunk() {
        let table = GearTable::new(&testdata::KEY);
        for len in 0..=64 {
            assert_eq!(cut_reference(&vec![7; len], &testdata::SMALL, &table), len);
        }
    }

    /// Vectors of the format document. A change here makes every repository forget its chunks.
    #[test]
    fn cuts_are_the_golden_ones() {
        let table = GearTable::new(&testdata::KEY);
        let data = testdata::stream(4 << 20);
        let check = |params: &Params, first: [u32; 8], count: usize, digest: &str| {
            let mut rest = data.as_slice();
            let mut lens = Vec::new();
            while !rest.is_empty() {
                let len = cut_reference(rest, params, &table);
                lens.push(len as u32);
                rest = &rest[len..];
            }
            assert_eq!(lens[..8], first);
            assert_eq!(lens.len(), count);
            let bytes: Vec<u8> = lens.iter().flat_map(|len| len.to_le_bytes()).collect();
            assert_eq!(blake3::hash(&bytes).to_hex().as_str(), digest);
        };
        check(
            &Params::GENERAL,
            [25_099, 71_162, 100_840, 64_716, 86_346, 71_368, 125_399, 29_168],
            62,
            "4fac24d99fc01431a53b13fdc317509de8bb16021ec35121cc87405f91ec0916",
        );
        check(
            &testdata::SMALL,
            [306, 823, 144, 820, 256, 115, 281, 325],
            13_448,
            "817b52c6bd4820b4beecccd9c4322777bf88e80659867c81db352f82da293966",
        );
    }
}
