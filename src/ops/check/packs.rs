//! When each of the packs there are was last read back.

use std::collections::{BTreeMap, HashMap};

use super::subset::Candidate;
use crate::base::{PackId, Result, Timestamp};
use crate::repo::Repository;
use crate::repo::access::listed_packs;
use crate::repo::chunks::Chunks;
use crate::repo::ledger::Ledger;

/// Packs that are listed, or that segments name.
pub(super) struct Packs {
    /// Those that are listed, with their lengths and when they were stored.
    there: BTreeMap<PackId, (u64, Timestamp)>,
    /// How many of these no segment names.
    pub(super) unindexed_count: usize,
    /// How many there are, and how many segments name that are not there.
    pub(super) count: u64,
}

impl Packs {
    /// Lists packs, and compares them with those that segments name.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub(super) fn list(repository: &Repository, chunks: &Chunks) -> Result<Self> {
        chunks.list_packs(&Default::default())?;
        let unindexed: HashMap<PackId, u64> = chunks.unindexed_packs().into_iter().collect();
        let there = listed_packs(&**repository.backend())?
            .map(|(id, object)| (id, (object.len, object.modified)))
            .collect();
        let count = (chunks.packs()?.len() + unindexed.len()) as u64;
        Ok(Self { there, unindexed_count: unindexed.len(), count })
    }

    /// Whether a pack is listed.
    pub(super) fn is_there(&self, id: &PackId) -> bool {
        self.there.contains_key(id)
    }

    /// Those that are listed, in the order of their ids, with what the ledger says of them.
    pub(super) fn candidates(&self, ledger: &Ledger) -> Vec<Candidate> {
        let of = |(id, (len, stored)): (&PackId, &(u64, Timestamp))| Candidate {
            id: *id,
            len: *len,
            read_back: ledger.read_back(id),
            verified: ledger.verified(id),
            stored: *stored,
        };
        self.there.iter().map(of).collect()
    }
}

/// How many packs were read back, and which one waits for longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Packs that are listed.
    pub pack_count: u64,
    /// Packs of those that were never read back.
    pub never_count: u64,
    /// The pack that waits for longest: never read back and stored first, or read back first.
    pub oldest: Option<Oldest>,
}

/// A pack that waits for being read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// Which.
    pub pack: PackId,
    /// When it was last read back, or stored if it never was.
    pub since: Timestamp,
}

impl Verified {
    /// What the ledger says of packs.
    pub(super) fn of(packs: &Packs, ledger: &Ledger) -> Self {
        let candidates = packs.candidates(ledger);
        let never = candidates.iter().filter(|pack| pack.verified.is_none());
        let oldest = candidates.iter().min_by_key(|pack| (pack.verified, pack.stored, pack.id));
        Self {
            pack_count: candidates.len() as u64,
            never_count: never.count() as u64,
            oldest: oldest
                .map(|pack| Oldest { pack: pack.id, since: pack.verified.unwrap_or(pack.stored) }),
        }
    }
}
