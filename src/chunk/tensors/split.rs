//! Chunks that start where tensors start.

use std::sync::Arc;

use super::TensorTable;
use crate::chunk::Chunker;

/// Distance between the chunks of one tensor, counted from its start, in bytes.
pub const GRID_LEN: u64 = 1 << 20;

/// Tensors shorter than this share chunks with their neighbors, in bytes.
pub const JOINED_LEN_MAX: u64 = 64 << 10;

/// Splits a file at the starts of its tensors, then on a grid that begins with each of them.
///
/// A header that grows moves all tensors and changes the content of none: every chunk but those
/// of the header is known again. What stands in front of the first tensor is split as general
/// data. Neighbors that are short are joined, or a model with ten thousand scales would have as
/// many chunks.
///
/// A chunk depends on where it starts and on the table, not on the chunks before it, so that the
/// split goes on anywhere, as after a hole. Clones share the table.
#[derive(Clone, Debug)]
pub struct Tensors {
    chunker: Chunker,
    table: Arc<TensorTable>,
}

impl Tensors {
    /// Splits a file with this table, its header by `chunker`.
    pub fn new(chunker: Chunker, table: TensorTable) -> Self {
        Self { chunker, table: Arc::new(table) }
    }

    /// The greatest length of a chunk in bytes.
    pub fn chunk_len_max(&self) -> usize {
        (GRID_LEN as usize).max(self.chunker.params().max() as usize)
    }

    /// Returns the length of the chunk that starts at `offset` of the file and with `buffer`, or
    /// nothing as long as more bytes are needed.
    pub fn next_cut(&self, offset: u64, buffer: &[u8], at_end: bool) -> Option<usize> {
        let Some(number) = self.table.find(offset) else {
            let rest = self.table.starts()[0] - offset;
            let is_over = buffer.len() as u64 >= rest;
            let header = if is_over { &buffer[..rest as usize] } else { buffer };
            return self.chunker.next_cut(header, at_end || is_over);
        };
        let wanted = (self.chunk_end(number, offset) - offset) as usize;
        if buffer.len() >= wanted {
            return Some(wanted);
        }
        (at_end && !buffer.is_empty()).then_some(buffer.len())
    }

    /// Where the chunk ends that starts at `offset`, within the tensor of that number.
    fn chunk_end(&self, number: usize, offset: u64) -> u64 {
        let mut ranges = (number..).map_while(|number| self.table.range(number));
        let (start, mut end) = ranges.next().expect("the offset was found in it");
        if end - start >= JOINED_LEN_MAX {
            return end.min(offset + GRID_LEN - (offset - start) % GRID_LEN);
        }
        for (next_start, next_end) in ranges {
            if next_end - next_start >= JOINED_LEN_MAX || next_end - offset > GRID_LEN {
                break;
            }
            end = next_end;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::chunk::{GearTable, testdata};

    const K: u64 = 1 << 10;
    const M: u64 = 1 << 20;

    /// A file whose tensors have these lengths.
    fn tensors(header_len: u64, lens: &[u64]) -> (Tensors, u64) {
        let mut end = header_len;
        let mut starts = Vec::new();
        for len in lens {
            starts.push(end);
            end += len;
        }
        let chunker = Chunker::new(testdata::SMALL, Arc::new(GearTable::new(&testdata::KEY)));
        (Tensors::new(chunker, TensorTable::new(starts, end).unwrap()), end)
    }

    /// Splits a run of data that starts at `offset` and arrives in reads of the given sizes, the
    /// last of which is repeated.
    fn split(tensors: &Tensors, offset: u64, whole: &[u8], reads: &[usize]) -> Vec<u64> {
        let mut sizes = reads.iter().copied().chain(std::iter::repeat(reads[reads.len() - 1]));
        let (mut lens, mut start, mut end) = (Vec::new(), 0, 0);
        loop {
            let at_end = end == whole.len();
            while let Some(len) =
                tensors.next_cut(offset + start as u64, &whole[start..end], at_end)
            {
                assert!((1..=tensors.chunk_len_max()).contains(&len));
                lens.push(len as u64);
                start += len;
            }
            if at_end {
                assert_eq!(start, end, "every byte is in a chunk");
                return lens;
            }
            end = whole.len().min(end + sizes.next().unwrap());
        }
    }

    /// The lengths behind a header of 64 bytes, which is one chunk.
    #[track_caller]
    fn check(lens: &[u64], expect: &[u64]) {
        let (tensors, size) = tensors(64, lens);
        let found = split(&tensors, 0, &vec![0; size as usize], &[usize::MAX >> 1]);
        assert_eq!(found[0], 64);
        assert_eq!(found[1..], *expect, "{lens:?}");
    }

    #[test]
    fn long_tensors_are_cut_on_a_grid_of_their_own() {
        check(&[M], &[M]);
        check(&[M - 1], &[M - 1]);
        check(&[M + 1], &[M, 1]);
        check(&[64 * K, 64 * K], &[64 * K, 64 * K]);
        check(&[3 * M + 5, 2 * M], &[M, M, M, 5, M, M]);
    }

    #[test]
    fn short_neighbors_share_a_chunk_that_ends_with_one_of_them() {
        check(&[1], &[1]);
        check(&[64 * K - 1, 64 * K], &[64 * K - 1, 64 * K]);
        check(&[1, 2, 3, M, 4, 5], &[6, M, 9]);
        check(&[60 * K; 20], &[17 * 60 * K, 3 * 60 * K]);
        check(&[32 * K; 33], &[M, 32 * K]);
        check(&[M + 1, 2, 3], &[M, 1, 5]);
    }

    #[test]
    fn the_header_is_split_as_general_data_and_ends_with_itself() {
        let (tensors, size) = tensors(50_001, &[M]);
        let whole = testdata::stream(size as usize);
        let found = split(&tensors, 0, &whole, &[1000]);
        let chunks: Vec<_> = tensors.chunker.split(&whole[..50_001]).collect();
        let expected: Vec<_> = chunks.iter().map(|range| range.len() as u64).collect();
        assert_eq!(found.split_last(), Some((&M, &expected[..])));
    }

    #[test]
    fn the_split_starts_anew_after_a_hole_and_keeps_to_the_grid() {
        let (tensors, size) = tensors(64, &[3 * M, 10, 20, 30]);
        let from = |offset: u64| {
            split(&tensors, offset, &vec![0; (size - offset) as usize], &[usize::MAX >> 1])
        };
        assert_eq!(from(64 + M + 7), [M - 7, M, 60]);
        assert_eq!(from(64 + 3 * M + 15), [45]);
        assert_eq!(from(10), [54, M, M, M, 60]);
    }

    #[test]
    fn what_the_header_does_not_know_is_cut_on_the_grid_too() {
        let (tensors, size) = tensors(64, &[10]);
        assert_eq!(split(&tensors, size, &vec![0; 2 * M as usize + 1], &[4096]), [M, M, 1]);
        assert_eq!(split(&tensors, 0, &[0; 70], &[4096]), [64, 6]);
        assert_eq!(split(&tensors, 0, &[0; 60], &[4096]), [60]);
        assert!(split(&tensors, 0, &[], &[4096]).is_empty());
    }

    proptest! {
        #[test]
        fn boundaries_do_not_depend_on_reads_and_every_long_tensor_starts_a_chunk(
            header_len in 9u64..3000,
            lens in prop::collection::vec(
                prop_oneof![1u64..100, 60 * K..70 * K, M - 10..M + 10], 1..12
            ),
            reads in prop::collection::vec(1usize..600_000, 1..8),
        ) {
            let (tensors, size) = tensors(header_len, &lens);
            let whole = testdata::stream(size as usize);
            let found = split(&tensors, 0, &whole, &[whole.len()]);
            prop_assert_eq!(&split(&tensors, 0, &whole, &reads), &found);

            let mut end = 0;
            let ends: BTreeSet<u64> = found.iter().map(|len| { end += len; end }).collect();
            prop_assert!(ends.contains(&header_len));
            let mut start = header_len;
            for len in lens {
                if len >= JOINED_LEN_MAX {
                    prop_assert!(ends.contains(&start) && ends.contains(&(start + len)));
                    for at in (start..start + len).step_by(M as usize) {
                        prop_assert!(ends.contains(&at));
                    }
                } else {
                    // No chunk ends within it.
                    prop_assert!(ends.range(start + 1..start + len).next().is_none());
                }
                start += len;
            }
        }
    }
}
