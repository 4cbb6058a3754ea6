//! Which parts of a file are data.

use crate::format::entry::{HOLE_COUNT_MAX, Range};

/// Shortest run of zeros that is a hole; the splitter restarts after one.
pub const HOLE_LEN_MIN: u64 = 64 << 10;

/// A file as data with holes between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Length in bytes, holes included.
    pub size: u64,
    /// Holes in ascending order, apart from each other, none shorter than [`HOLE_LEN_MIN`]
    /// unless [`Self::truncate`] cut it, at most [`HOLE_COUNT_MAX`].
    pub holes: Vec<Range>,
}

impl Layout {
    /// A file without holes.
    pub fn dense(size: u64) -> Self {
        Self { size, holes: Vec::new() }
    }

    /// The runs of data in ascending order.
    pub fn data_ranges(&self) -> impl Iterator<Item = Range> {
        let ends = self.holes.iter().map(|hole| hole.offset).chain([self.size]);
        let starts = [0].into_iter().chain(self.holes.iter().map(|h| h.offset + h.len));
        starts
            .zip(ends)
            .filter(|(start, end)| start < end)
            .map(|(start, end)| Range { offset: start, len: end - start })
    }

    /// Bytes of data.
    pub fn data_bytes(&self) -> u64 {
        self.size - self.holes.iter().map(|hole| hole.len).sum::<u64>()
    }

    /// Where so many bytes of data end: right behind the last of them, before a hole that follows.
    pub fn end_of(&self, data_bytes: u64) -> u64 {
        let mut left = data_bytes;
        for range in self.data_ranges() {
            if left <= range.len {
                return range.offset + left;
            }
            left -= range.len;
        }
        self.size
    }

    /// Ends the file at `size`, for one that shrank while it was read.
    pub fn truncate(&mut self, size: u64) {
        self.size = self.size.min(size);
        self.holes.retain_mut(|hole| {
            hole.len = hole.len.min(size.saturating_sub(hole.offset));
            hole.len > 0
        });
    }

    /// Adds a hole behind those that are there; short or surplus ones stay data.
    pub(super) fn add_hole(&mut self, offset: u64, end: u64) {
        let len = end - offset;
        if len >= HOLE_LEN_MIN && self.holes.len() < HOLE_COUNT_MAX {
            self.holes.push(Range { offset, len });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(layout: &Layout) -> Vec<(u64, u64)> {
        layout.data_ranges().map(|r| (r.offset, r.len)).collect()
    }

    #[test]
    fn data_and_holes_make_up_the_file() {
        assert_eq!(data(&Layout::dense(0)), []);
        assert_eq!(data(&Layout::dense(7)), [(0, 7)]);
        let k = HOLE_LEN_MIN;
        let mut layout = Layout::dense(10 * k);
        layout.add_hole(0, k);
        layout.add_hole(2 * k, 3 * k - 1);
        layout.add_hole(9 * k, 10 * k);
        assert_eq!(data(&layout), [(k, 8 * k)]);
        assert_eq!(layout.data_bytes(), 8 * k);
    }

    #[test]
    fn data_of_any_length_has_an_end() {
        let k = HOLE_LEN_MIN;
        assert_eq!([1, 7, 9].map(|len| Layout::dense(7).end_of(len)), [1, 7, 7]);
        let mut layout = Layout::dense(10 * k);
        layout.add_hole(0, k);
        layout.add_hole(3 * k, 4 * k);
        let ends = [1, 2 * k, 2 * k + 1, 8 * k].map(|len| layout.end_of(len));
        assert_eq!(ends, [k + 1, 3 * k, 4 * k + 1, 10 * k]);
    }

    #[test]
    fn a_shorter_file_keeps_only_what_is_left_of_its_holes() {
        let k = HOLE_LEN_MIN;
        let mut layout = Layout::dense(10 * k);
        layout.add_hole(k, 3 * k);
        layout.add_hole(5 * k, 7 * k);
        layout.truncate(2 * k);
        assert_eq!(layout.holes, [Range { offset: k, len: k }]);
        assert_eq!(data(&layout), [(0, k)]);
        layout.truncate(k);
        assert_eq!((layout.size, layout.holes.len()), (k, 0));
        layout.truncate(5 * k);
        assert_eq!(layout, Layout::dense(k));
    }

    #[test]
    fn surplus_holes_are_data() {
        let mut layout = Layout::dense(u64::MAX >> 1);
        for i in 0..HOLE_COUNT_MAX as u64 + 10 {
            layout.add_hole(2 * i * HOLE_LEN_MIN, (2 * i + 1) * HOLE_LEN_MIN);
        }
        assert_eq!(layout.holes.len(), HOLE_COUNT_MAX);
        assert_eq!(layout.data_ranges().count(), HOLE_COUNT_MAX);
    }
}
