//! Decides what becomes of each pack: it stays, it goes, or it is emptied first.

use std::collections::HashSet;

use super::usage::PackUse;
use crate::base::PackId;

/// How many bytes that nobody needs may stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxUnused {
    /// A share of all bytes, in percent.
    Percent(f64),
    /// So many bytes.
    Bytes(u64),
    /// Any: packs are never emptied.
    Unlimited,
}

impl MaxUnused {
    fn bytes(self, total: u64) -> u64 {
        match self {
            Self::Percent(percent) => (total as f64 * percent / 100.0) as u64,
            Self::Bytes(bytes) => bytes,
            Self::Unlimited => u64::MAX,
        }
    }
}

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Packs that nobody needs.
    pub(super) dead: HashSet<PackId>,
    /// Packs whose needed frames are moved to others, most of all unneeded first.
    pub(super) emptied: Vec<PackId>,
    /// Bytes of packs that stay although nobody needs them.
    pub(super) unused_bytes: u64,
    /// Bytes of the dead packs.
    pub(super) dead_bytes: u64,
    /// Bytes that emptying frees beyond those.
    pub(super) emptied_bytes: u64,
}

impl Plan {
    /// Plans for `packs`. Frames of at most `max_moved` bytes are moved.
    pub(super) fn new(packs: &[PackUse], max_unused: MaxUnused, max_moved: u64) -> Self {
        let mut plan = Self::default();
        let mut partial = Vec::new();
        let mut needed_bytes = 0;
        for pack in packs {
            if pack.live_bytes == 0 {
                plan.dead.insert(pack.id);
                plan.dead_bytes += pack.len;
                continue;
            }
            let unused = unused_bytes(pack);
            needed_bytes += pack.len - unused;
            plan.unused_bytes += unused;
            if unused > 0 {
                partial.push((unused, pack));
            }
        }
        // The share of what will be left, as restic counts it.
        let allowed = max_unused.bytes(needed_bytes);
        partial.sort_by(|(a_unused, a), (b_unused, b)| {
            let share = |unused: u64, pack: &PackUse| unused as f64 / pack.len as f64;
            share(*b_unused, b).total_cmp(&share(*a_unused, a)).then(a.id.cmp(&b.id))
        });
        let mut moved = 0;
        for (unused, pack) in partial {
            let needed = pack.len - unused;
            if plan.unused_bytes <= allowed || moved + needed > max_moved {
                break;
            }
            moved += needed;
            plan.unused_bytes -= unused;
            plan.emptied_bytes += unused;
            plan.emptied.push(pack.id);
        }
        plan
    }
}

/// The sealed bytes of a pack that nobody needs, estimated by its raw bytes.
fn unused_bytes(pack: &PackUse) -> u64 {
    let dead = pack.raw_bytes.saturating_sub(pack.live_bytes);
    if pack.raw_bytes == 0 {
        return 0;
    }
    (u128::from(pack.len) * u128::from(dead) / u128::from(pack.raw_bytes)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(id: u8, live: u64) -> PackUse {
        PackUse { id: PackId::new([id; 32]), len: 1000, raw_bytes: 2000, live_bytes: live }
    }

    fn ids(numbers: &[u8]) -> Vec<PackId> {
        numbers.iter().map(|n| PackId::new([*n; 32])).collect()
    }

    #[test]
    fn the_emptiest_are_emptied_until_little_enough_is_left() {
        let packs = [pack(1, 0), pack(2, 2000), pack(3, 200), pack(4, 1900), pack(5, 1000)];
        let plan = Plan::new(&packs, MaxUnused::Bytes(0), u64::MAX);
        assert_eq!(plan.dead, ids(&[1]).into_iter().collect());
        assert_eq!((plan.emptied, plan.unused_bytes), (ids(&[3, 5, 4]), 0));
        assert_eq!((plan.dead_bytes, plan.emptied_bytes), (1000, 900 + 500 + 50));
        // 2,550 bytes are needed, 127 may be unused.
        let plan = Plan::new(&packs, MaxUnused::Percent(5.0), u64::MAX);
        assert_eq!((plan.emptied, plan.unused_bytes), (ids(&[3, 5]), 50));
        let plan = Plan::new(&packs, MaxUnused::Bytes(0), 599);
        assert_eq!(plan.emptied, ids(&[3]));
        let plan = Plan::new(&packs, MaxUnused::Unlimited, u64::MAX);
        assert_eq!((plan.emptied, plan.unused_bytes), (Vec::new(), 1450));
        assert_eq!(plan.dead.len(), 1);
    }
}
