//! What a walk knows already, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;

/// Bytes that a hash map takes for an id and a number.
const REMEMBERED_BYTES: u64 = 96;

/// What is known of ids, so that it is not found out again. Too much of it is forgotten, which costs
/// time and not memory.
pub(super) struct Remembered<K, V> {
    by_id: HashMap<K, V>,
    count_max: usize,
    /// How many were new when they were added.
    pub(super) new_count: u64,
}

impl<K: Eq + Hash, V: Copy> Remembered<K, V> {
    /// Remembers what `bytes` of memory have room for.
    pub(super) fn new(bytes: u64) -> Self {
        let count_max = (bytes / REMEMBERED_BYTES).max(1) as usize;
        Self { by_id: HashMap::new(), count_max, new_count: 0 }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.by_id.clear();
    }

    pub(super) fn get(&self, id: &K) -> Option<V> {
        self.by_id.get(id).copied()
    }

    /// Whether `id` is new.
    pub(super) fn insert(&mut self, id: K, value: V) -> bool {
        if self.by_id.len() >= self.count_max && !self.by_id.contains_key(&id) {
            self.by_id.clear();
        }
        let is_new = self.by_id.insert(id, value).is_none();
        self.new_count += u64::from(is_new);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut remembered = Remembered::new(3 * REMEMBERED_BYTES);
        for id in 0..3 {
            assert!(remembered.insert(id, 10 * id));
        }
        // One that is known takes no room.
        assert!(!remembered.insert(2, 7));
        assert_eq!((remembered.get(&0), remembered.get(&2)), (Some(0), Some(7)));
        assert!(remembered.insert(3, 30));
        assert_eq!((remembered.by_id.len(), remembered.new_count), (1, 4));
        assert_eq!((remembered.get(&0), remembered.get(&3)), (None, Some(30)));
    }
}
