//! Keeps the pack records used last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{PackNo, PackRecord, lock};
use crate::base::Result;

/// Records in each half. Two halves of 512 are about 3 MiB with 16 MiB packs, 25 MiB with the
/// largest packs.
const HALF_COUNT: usize = 512;

/// A cache in two halves: what was not asked for while one half filled up falls out.
#[derive(Debug, Default)]
pub(super) struct Recent {
    halves: Mutex<Halves>,
}

#[derive(Debug, Default)]
struct Halves {
    new: HashMap<PackNo, Arc<PackRecord>>,
    old: HashMap<PackNo, Arc<PackRecord>>,
}

impl Recent {
    /// The record of a pack, from `load` if it is not here.
    pub(super) fn get(
        &self,
        no: PackNo,
        load: impl FnOnce() -> Result<PackRecord>,
    ) -> Result<Arc<PackRecord>> {
        if let Some(record) = lock(&self.halves).take(no) {
            return Ok(record);
        }
        // Loading happens without the lock: two threads may load the same record, which is cheap.
        let record = Arc::new(load()?);
        lock(&self.halves).insert(no, Arc::clone(&record));
        Ok(record)
    }
}

impl Halves {
    fn take(&mut self, no: PackNo) -> Option<Arc<PackRecord>> {
        if let Some(record) = self.new.get(&no) {
            return Some(Arc::clone(record));
        }
        let record = self.old.remove(&no)?;
        self.insert(no, Arc::clone(&record));
        Some(record)
    }

    fn insert(&mut self, no: PackNo, record: Arc<PackRecord>) {
        if self.new.len() >= HALF_COUNT {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(no, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::PackId;

    #[test]
    fn what_is_used_stays_while_the_rest_falls_out() {
        let recent = Recent::default();
        let record = |len| PackRecord {
            id: PackId::new([0; 32]),
            len,
            frames: Vec::new(),
            origins: Vec::new(),
        };
        for no in 0..5000 {
            recent.get(PackNo(no), || Ok(record(u64::from(no)))).unwrap();
            let used = recent.get(PackNo(0), || panic!("it was used a moment ago")).unwrap();
            assert_eq!(used.len, 0);
        }
        let halves = lock(&recent.halves);
        assert!(halves.new.len() + halves.old.len() <= 2 * HALF_COUNT);
    }
}
