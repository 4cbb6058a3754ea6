//! Where the tensors of a file start.

use super::TENSOR_COUNT_MAX;

/// Where the tensors of a file start; each reaches to the next one, the last to the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorTable {
    /// Strictly ascending; the length of the file behind the last start.
    bounds: Vec<u64>,
}

impl TensorTable {
    /// A table of `starts` in ascending order; tensors without a byte may be among them.
    ///
    /// Refuses what does not ascend, leaves no room for a header, goes beyond `size`, is nothing
    /// at all or too much.
    pub(super) fn new(starts: Vec<u64>, size: u64) -> Option<Self> {
        let mut bounds = starts;
        bounds.push(size);
        // What has no byte starts where the next one does.
        bounds.dedup();
        let count = bounds.len() - 1;
        let is_sound = bounds.is_sorted()
            && bounds[0] > 0
            && (1..=TENSOR_COUNT_MAX).contains(&count)
            // No file is longer, and sums with chunk lengths stay within 64 bits.
            && i64::try_from(size).is_ok();
        bounds.shrink_to_fit();
        is_sound.then_some(Self { bounds })
    }

    /// Offsets at which tensors start.
    pub fn starts(&self) -> &[u64] {
        &self.bounds[..self.bounds.len() - 1]
    }

    /// The length of the file that the header speaks of.
    pub fn size(&self) -> u64 {
        self.bounds[self.bounds.len() - 1]
    }

    /// The number of the tensor that `offset` lies in; none in the header. What lies beyond the
    /// size of the file counts as one more.
    pub(super) fn find(&self, offset: u64) -> Option<usize> {
        self.bounds.partition_point(|start| *start <= offset).checked_sub(1)
    }

    /// Start and end of a tensor.
    pub(super) fn range(&self, number: usize) -> Option<(u64, u64)> {
        let start = *self.bounds.get(number)?;
        Some((start, self.bounds.get(number + 1).copied().unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ascends_within_the_file_is_a_table() {
        let starts = |starts: &[u64], size| {
            TensorTable::new(starts.to_vec(), size).map(|table| table.starts().to_vec())
        };
        assert_eq!(starts(&[8, 10, 11], 12), Some(vec![8, 10, 11]));
        assert_eq!(starts(&[8, 8, 10, 12, 12], 12), Some(vec![8, 10]));
        assert_eq!(starts(&[1], i64::MAX as u64), Some(vec![1]));
        assert_eq!(starts(&[], 12), None);
        assert_eq!(starts(&[12], 12), None);
        assert_eq!(starts(&[0, 8], 12), None);
        assert_eq!(starts(&[8, 7], 12), None);
        assert_eq!(starts(&[8, 13], 12), None);
        assert_eq!(starts(&[1], 1 << 63), None);
        let many = |count: u64| starts(&(1..=count).collect::<Vec<_>>(), 1 << 40);
        assert!(many(TENSOR_COUNT_MAX as u64).is_some());
        assert!(many(TENSOR_COUNT_MAX as u64 + 1).is_none());
    }

    #[test]
    fn every_offset_lies_in_the_header_a_tensor_or_behind_them() {
        let table = TensorTable::new(vec![8, 10], 12).unwrap();
        let found = |offset| table.find(offset).and_then(|number| table.range(number));
        assert_eq!(found(7), None);
        assert_eq!(found(8), Some((8, 10)));
        assert_eq!(found(11), Some((10, 12)));
        assert_eq!(found(12), Some((12, u64::MAX)));
        assert_eq!(found(u64::MAX), Some((12, u64::MAX)));
        assert_eq!(table.range(3), None);
    }
}
