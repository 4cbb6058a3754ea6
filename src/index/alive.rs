//! Which indexed packs are really there, as a listing of this session says.
//!
//! Rule L1: a chunk counts as stored only if its pack is in a listing taken this session with the
//! right size. An index that outlived its packs once made another program "deduplicate" against
//! nothing and exit with success (borg #9748).

use std::collections::{HashMap, HashSet};
use std::sync::RwLock;

use super::{Index, PackNo, read, write};
use crate::base::{PackId, Result, SegmentId};

/// One bit for each pack, set while the pack may be relied on.
#[derive(Debug)]
pub struct Alive {
    bits: RwLock<Bits>,
    /// Packs that current segments name and the listing lacks (`None`) or has with another length.
    pub missing: Vec<(PackId, Option<u64>)>,
    /// Listed packs that the index does not know, with their length.
    pub unindexed: Vec<(PackId, u64)>,
    /// Packs in the index.
    pub indexed_count: usize,
    /// Indexed packs that are gone and that no current segment names: what prune left behind in
    /// the index. Rebuild it when they are more than a quarter.
    pub stale_count: usize,
}

#[derive(Debug, Default)]
struct Bits {
    alive: Bitmap,
    /// Kept apart, since nothing brings a doomed pack back.
    doomed: Bitmap,
}

impl Alive {
    /// Compares a listing of packs with the index.
    ///
    /// `segments` are the index segments listed in this session; they must be applied, except
    /// those that were refused or are superseded. Only the packs they name can be missing: a
    /// cache also remembers packs that were pruned long ago.
    ///
    /// # Errors
    /// When the index fails.
    pub fn new(
        index: &dyn Index,
        listing: impl Iterator<Item = (PackId, u64)>,
        segments: &HashSet<SegmentId>,
    ) -> Result<Self> {
        let mut named = Bitmap::default();
        for segment in segments {
            for no in index.packs_of(segment)?.unwrap_or_default() {
                named.set(no);
            }
        }
        // The value is the listed length, or nothing once an indexed pack claimed it.
        let mut listed: HashMap<PackId, (u64, bool)> =
            listing.map(|(id, len)| (id, (len, false))).collect();
        let mut alive = Bitmap::default();
        let mut missing = Vec::new();
        let (mut indexed_count, mut stale_count) = (0, 0);
        index.packs(&mut |no, id, len| {
            indexed_count += 1;
            // A pack that no listed segment names is of no use to other hosts, whatever this
            // host remembers of it: it counts as not indexed.
            let listed_len = listed.get_mut(id).map(|(listed_len, claimed)| {
                *claimed = named.has(no);
                *listed_len
            });
            if listed_len == Some(len) && named.has(no) {
                alive.set(no);
            } else if named.has(no) {
                missing.push((*id, listed_len));
            } else if listed_len.is_none() {
                stale_count += 1;
            }
        })?;
        let mut unindexed: Vec<_> = listed
            .into_iter()
            .filter(|(_, (_, claimed))| !claimed)
            .map(|(id, (len, _))| (id, len))
            .collect();
        unindexed.sort_unstable();
        let bits = RwLock::new(Bits { alive, doomed: Bitmap::default() });
        Ok(Self { bits, missing, unindexed, indexed_count, stale_count })
    }

    /// Whether a pack may be relied on.
    pub fn contains(&self, no: PackNo) -> bool {
        let bits = read(&self.bits);
        bits.alive.has(no) && !bits.doomed.has(no)
    }

    /// Adds a pack that this session stored itself.
    pub fn mark_alive(&self, no: PackNo) {
        write(&self.bits).alive.set(no);
    }

    /// Removes for good a pack that prune has doomed or may doom.
    pub fn mark_doomed(&self, no: PackNo) {
        write(&self.bits).doomed.set(no);
    }
}

/// Bits in words, as long as the highest one set.
#[derive(Debug, Default)]
struct Bitmap(Vec<u64>);

impl Bitmap {
    fn set(&mut self, no: PackNo) {
        let word = no.0 as usize / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (no.0 % 64);
    }

    fn has(&self, no: PackNo) -> bool {
        self.0.get(no.0 as usize / 64).is_some_and(|word| word & (1 << (no.0 % 64)) != 0)
    }
}
