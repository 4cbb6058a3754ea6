//! The names that a snapshot has in a directory, so that all others can be removed.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::how::{Action, Reports};
use crate::base::Result;
use crate::target::{Removal, TargetDir};

/// Names as hashes of 64 bits, so that a million of them take 16 MiB. Two names with one hash would
/// keep a name too many, and the key of the hash is random.
#[derive(Debug, Default)]
pub struct Expected {
    hasher: RandomState,
    names: HashSet<u64>,
    /// The same in lower case, for file systems that do not tell cases apart.
    folded: HashSet<u64>,
}

impl Expected {
    /// Adds a name.
    pub fn add(&mut self, name: &[u8]) {
        self.names.insert(self.hasher.hash_one(name));
        self.folded.insert(self.hasher.hash_one(name.to_ascii_lowercase()));
    }

    /// Removes from `dir` what has another name and is selected.
    ///
    /// # Errors
    /// At the first thing that can neither be removed nor left alone.
    pub fn remove_others(&self, dir: &Arc<TargetDir>, reports: &Reports<'_>) -> Result<()> {
        let mut others: Vec<Box<[u8]>> = Vec::new();
        dir.for_each_name(&mut |name| {
            if !self.names.contains(&self.hasher.hash_one(name)) {
                others.push(name.into());
            }
        })?;
        others.sort();
        let how = Removal {
            is_selected: &|path, is_dir| reports.how.selects(path, is_dir).itself,
            stays: &reports.how.stays,
            removed: &|path, len| {
                reports.progress.files_deleted.add(1);
                reports.tell(Action::Deleted, || path.to_vec(), len);
            },
            is_over: &|| reports.cancel.is_raised() || reports.failure.is_raised(),
        };
        for name in others {
            if !self.is_alias(dir, &name)? {
                dir.remove(&name, &how)?;
            }
        }
        reports.cancel.check()
    }

    /// Whether `name` is a spelling of an expected name in a directory that does not tell cases
    /// apart.
    fn is_alias(&self, dir: &TargetDir, name: &[u8]) -> Result<bool> {
        if !self.folded.contains(&self.hasher.hash_one(name.to_ascii_lowercase())) {
            return Ok(false);
        }
        let swap = |byte: &u8| {
            if byte.is_ascii_lowercase() {
                byte.to_ascii_uppercase()
            } else {
                byte.to_ascii_lowercase()
            }
        };
        let swapped: Vec<u8> = name.iter().map(swap).collect();
        let [one, other] = [dir.look_again(name)?, dir.look_again(&swapped)?];
        Ok(one.zip(other).is_some_and(|(one, other)| one.identity() == other.identity()))
    }
}
