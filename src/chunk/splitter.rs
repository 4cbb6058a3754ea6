//! Any way to split behind one call.

use std::ops::Range;

use super::{Chunker, Pages, Profile, Tensors};

/// The way that one file or stream is split.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Splitter {
    /// [`Profile::General`].
    General(Chunker),
    /// [`Profile::Pages`].
    Pages(Pages),
    /// [`Profile::Tensors`].
    Tensors(Tensors),
}

impl Splitter {
    /// What to record with the file.
    pub fn profile(&self) -> Profile {
        match self {
            Self::General(_) => Profile::General,
            Self::Pages(_) => Profile::Pages,
            Self::Tensors(_) => Profile::Tensors,
        }
    }

    /// The greatest length of a chunk in bytes; a buffer of this size always holds a decided one.
    pub fn chunk_len_max(&self) -> usize {
        match self {
            Self::General(chunker) => chunker.params().max() as usize,
            Self::Pages(pages) => pages.chunk_len() as usize,
            Self::Tensors(tensors) => tensors.chunk_len_max(),
        }
    }

    /// Returns the length of the chunk at the start of `buffer`, or nothing as long as more bytes
    /// may change it. `offset` is where `buffer` starts in the file.
    ///
    /// `at_end` says that no byte follows `buffer` in this run of data: the end of the file, or a
    /// hole of which no chunk is made. With `at_end`, nothing means that the run is done.
    pub fn next_cut(&self, offset: u64, buffer: &[u8], at_end: bool) -> Option<usize> {
        match self {
            Self::General(chunker) => chunker.next_cut(buffer, at_end),
            Self::Pages(pages) => pages.next_cut(offset, buffer.len(), at_end),
            Self::Tensors(tensors) => tensors.next_cut(offset, buffer, at_end),
        }
    }

    /// Returns the ranges of the chunks of a run of data that lies in memory as a whole and starts
    /// at `offset` of the file; the ranges count from the start of `whole`.
    pub fn split(&self, offset: u64, whole: &[u8]) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let end = start + self.next_cut(offset + start as u64, &whole[start..], true)?;
            Some(std::mem::replace(&mut start, end)..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::chunk::{GearTable, testdata};

    #[test]
    fn general_data_is_split_as_the_chunker_does() {
        let chunker = Chunker::new(testdata::SMALL, Arc::new(GearTable::new(&testdata::KEY)));
        let whole = testdata::stream(50_001);
        let expected: Vec<_> = chunker.split(&whole).collect();
        let splitter = Splitter::General(chunker);
        assert_eq!(splitter.split(12_345, &whole).collect::<Vec<_>>(), expected);
        assert_eq!(splitter.profile(), Profile::General);
        assert_eq!(splitter.chunk_len_max(), 1024);
    }

    #[test]
    fn pages_are_split_on_the_grid_of_the_file() {
        let splitter = Splitter::Pages(Pages::DATABASE);
        let ranges: Vec<_> = splitter.split(61_440, &vec![0; 70_000]).collect();
        assert_eq!(ranges, [0..4096, 4096..69_632, 69_632..70_000]);
        assert_eq!(splitter.profile(), Profile::Pages);
        assert_eq!(splitter.chunk_len_max(), 65_536);
    }
}
