//! Content-defined chunks of a stream, whatever the sizes of its reads.

use std::ops::Range;
use std::sync::Arc;

use super::{GearTable, Params, cut_kernel};

/// Splits streams where their content says so. Clones share the table.
#[derive(Clone, Debug)]
pub struct Chunker {
    params: Params,
    table: Arc<GearTable>,
}

impl Chunker {
    /// A chunker with these lengths and this table.
    pub fn new(params: Params, table: Arc<GearTable>) -> Self {
        Self { params, table }
    }

    /// The lengths.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Returns the length of the chunk at the start of `buffer`, or nothing as long as more bytes
    /// may change it.
    ///
    /// A chunk is decided when `buffer` holds at least `max` bytes, or when the stream ends with
    /// it. Nothing short of that is asked for, so that no byte is scanned twice. An empty buffer
    /// never holds a chunk: with `at_end`, nothing means that the stream is done.
    pub fn next_cut(&self, buffer: &[u8], at_end: bool) -> Option<usize> {
        let is_decided = at_end || buffer.len() >= self.params.max() as usize;
        (is_decided && !buffer.is_empty()).then(|| self.cut(buffer))
    }

    /// Returns the ranges of the chunks of a stream that lies in memory as a whole.
    pub fn split(&self, whole: &[u8]) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let end = start + self.next_cut(&whole[start..], true)?;
            Some(std::mem::replace(&mut start, end)..end)
        })
    }

    fn cut(&self, data: &[u8]) -> usize {
        let len = cut_kernel(data, &self.params, &self.table);
        // Fuzzing builds with debug assertions, so that every operation it tries tests this too.
        debug_assert_eq!(len, super::cut_reference(data, &self.params, &self.table));
        len
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::chunk::testdata::{self, Class};

    fn chunker(params: Params) -> Chunker {
        Chunker::new(params, Arc::new(GearTable::new(&testdata::KEY)))
    }

    /// Splits a stream that arrives in reads of the given sizes, the last of which is repeated.
    fn split_reads(chunker: &Chunker, whole: &[u8], reads: &[usize]) -> Vec<usize> {
        let mut sizes = reads.iter().copied().chain(std::iter::repeat(reads[reads.len() - 1]));
        let (mut lens, mut buffer, mut unread) = (Vec::new(), Vec::new(), whole);
        loop {
            while let Some(len) = chunker.next_cut(&buffer, unread.is_empty()) {
                lens.push(len);
                buffer.drain(..len);
            }
            if unread.is_empty() {
                assert!(buffer.is_empty(), "every byte is in a chunk");
                return lens;
            }
            let (read, later) = unread.split_at(sizes.next().unwrap().min(unread.len()));
            buffer.extend_from_slice(read);
            unread = later;
        }
    }

    fn lens(chunker: &Chunker, whole: &[u8]) -> Vec<usize> {
        chunker.split(whole).map(|range| range.len()).collect()
    }

    #[test]
    fn boundaries_do_not_depend_on_the_sizes_of_reads() {
        for class in Class::ALL {
            let whole = class.bytes("reads", 3 << 20 | 777);
            let chunker = chunker(Params::GENERAL);
            let expected = lens(&chunker, &whole);
            for reads in [[4096, 4096], [65_536, 1 << 20], [1 << 20, 100_003], [7, whole.len()]] {
                assert_eq!(split_reads(&chunker, &whole, &reads), expected, "{class:?} {reads:?}");
            }
        }
    }

    #[test]
    fn ranges_cover_the_stream_without_gaps() {
        let whole = testdata::stream(100_001);
        let mut next = 0;
        for range in chunker(testdata::SMALL).split(&whole) {
            assert_eq!(range.start, next);
            assert!(range.len() <= 1024 && (range.len() >= 64 || range.end == whole.len()));
            next = range.end;
        }
        assert_eq!(next, whole.len());
    }

    #[test]
    fn an_empty_stream_has_no_chunks() {
        let chunker = chunker(testdata::SMALL);
        assert_eq!(chunker.split(&[]).count(), 0);
        assert_eq!(chunker.next_cut(&[], true), None);
        assert_eq!(chunker.next_cut(&[], false), None);
    }

    #[test]
    fn a_chunk_waits_for_max_bytes_or_the_end() {
        let chunker = chunker(testdata::SMALL);
        let data = testdata::stream(1024);
        assert_eq!(chunker.next_cut(&data[..1023], false), None);
        let len = chunker.next_cut(&data, false).unwrap();
        assert_eq!(chunker.next_cut(&data, true), Some(len));
        assert_eq!(chunker.next_cut(&data[..1], true), Some(1));
    }

    #[test]
    fn an_insertion_changes_only_chunks_near_it() {
        let chunker = chunker(Params::GENERAL);
        let before = testdata::seeded("insertion", 16 << 20);
        let mut after = before.clone();
        let middle = after.len() / 2;
        after.splice(middle..middle, *b"seven b");

        let chunks_before: Vec<_> = chunker.split(&before).map(|range| &before[range]).collect();
        let known: HashSet<_> = chunks_before.iter().copied().collect();
        let fresh_count =
            chunker.split(&after).filter(|range| !known.contains(&after[range.clone()])).count();
        assert!((1..=6).contains(&fresh_count), "{fresh_count} chunks changed");
    }

    #[test]
    fn the_mean_length_is_near_the_average() {
        for params in [testdata::SMALL, Params::GENERAL] {
            let whole = testdata::seeded("mean", 32 << 20);
            let mean = whole.len() as f64 / chunker(params).split(&whole).count() as f64;
            let ratio = mean / f64::from(params.avg());
            assert!((0.8..=1.6).contains(&ratio), "mean is {ratio} of the average, {params:?}");
        }
    }

    proptest! {
        #[test]
        fn boundaries_do_not_depend_on_reads(
            seed: u64,
            class in prop::sample::select(Class::ALL.to_vec()),
            len in 0usize..20_000,
            reads in prop::collection::vec(1usize..3000, 1..20),
        ) {
            let whole = class.bytes(&seed.to_string(), len);
            let chunker = chunker(testdata::SMALL);
            prop_assert_eq!(split_reads(&chunker, &whole, &reads), lens(&chunker, &whole));
        }
    }
}
