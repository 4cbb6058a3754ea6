//! Chunk places in memory, sorted within many small buckets.
//!
//! Chunk ids are uniform, so their first bits share them out evenly. A bucket is allocated to the
//! exact size, so that a chunk costs its 48 bytes plus about three, and growth never needs twice
//! the memory as a hash table does.

use super::Place;
use crate::base::ChunkId;

/// Entries per bucket above which the number of buckets doubles. Half of it on average after that:
/// a search reads about four cache lines.
const BUCKET_COUNT_MAX: usize = 64;
/// Most bits that select a bucket: 16 Mi buckets hold a thousand million chunks.
const BITS_MAX: u32 = 24;

type Entry = (ChunkId, Place);

/// Places of chunks.
#[derive(Debug)]
pub(super) struct Buckets {
    /// First bits of an id that select its bucket.
    bits: u32,
    buckets: Vec<Vec<Entry>>,
    entry_count: usize,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { bits: 0, buckets: vec![Vec::new()], entry_count: 0 }
    }
}

impl Buckets {
    /// Entries, counting each place.
    pub(super) fn entry_count(&self) -> usize {
        self.entry_count
    }

    /// Makes room for so many more entries.
    pub(super) fn reserve(&mut self, count: usize) {
        while self.entry_count + count > self.buckets.len() * BUCKET_COUNT_MAX
            && self.bits < BITS_MAX
        {
            self.bits += 1;
            let bits = self.bits;
            let old = std::mem::take(&mut self.buckets);
            self.buckets = Vec::with_capacity(old.len() * 2);
            for mut lower in old {
                let middle = lower.partition_point(|(id, _)| select(bits, id).is_multiple_of(2));
                let upper = lower.split_off(middle);
                lower.shrink_to_fit();
                self.buckets.push(lower);
                self.buckets.push(upper);
            }
        }
    }

    /// Memory taken, without what the allocator adds.
    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> usize {
        let entries: usize = self.buckets.iter().map(Vec::capacity).sum();
        entries * size_of::<Entry>() + self.buckets.capacity() * size_of::<Vec<Entry>>()
    }

    /// The bucket of an id.
    pub(super) fn bucket_of(&self, id: &ChunkId) -> usize {
        select(self.bits, id)
    }

    /// Adds entries that belong into one bucket; known ones change nothing.
    pub(super) fn merge(&mut self, bucket: usize, entries: &[Entry]) {
        let slot = &mut self.buckets[bucket];
        let before = slot.len();
        let mut merged = Vec::with_capacity(before + entries.len());
        merged.extend_from_slice(slot);
        merged.extend_from_slice(entries);
        // Two sorted runs: the stable sort finds and merges them.
        merged.sort();
        merged.dedup();
        merged.shrink_to_fit();
        self.entry_count += merged.len() - before;
        *slot = merged;
    }

    /// The places of a chunk, ascending.
    pub(super) fn places<'a>(&'a self, id: &'a ChunkId) -> impl Iterator<Item = Place> + 'a {
        let bucket = &self.buckets[self.bucket_of(id)];
        let first = bucket.partition_point(|(other, _)| other < id);
        bucket[first..].iter().take_while(move |(other, _)| other == id).map(|(_, place)| *place)
    }
}

/// The first `bits` bits of an id.
fn select(bits: u32, id: &ChunkId) -> usize {
    let bytes = id.as_bytes();
    let first = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    // Shifting 32 bits out of 32 is not defined, hence the wider type.
    (u64::from(first) >> (32 - bits)) as usize
}
