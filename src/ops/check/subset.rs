//! Which packs a check reads, so that checks of parts come to all of them in turn.

use crate::base::{PackId, Timestamp};

/// A part of all packs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subset {
    /// Every pack.
    All,
    /// The packs of one of so many groups, which are about as large; numbers start at 1.
    Group {
        /// Which one.
        number: u64,
        /// How many there are.
        count: u64,
    },
    /// So many percent of the bytes of all packs, at least one pack: those that were not read for
    /// longest.
    Percent(f64),
    /// At most so many bytes, but at least one pack: those that were not read for longest.
    Bytes(u64),
}

/// A pack that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) id: PackId,
    pub(super) len: u64,
    /// When it was last read, however it was found: what is damaged must not be read again and again
    /// in the place of others.
    pub(super) read_back: Option<Timestamp>,
    /// The same, if it was found good.
    pub(super) verified: Option<Timestamp>,
    /// When it was stored.
    pub(super) stored: Timestamp,
}

impl Candidate {
    /// What was never read comes before what was; among those, whatever waits for longest.
    pub(super) fn turn(&self) -> (Option<Timestamp>, Timestamp, PackId) {
        (self.read_back, self.stored, self.id)
    }
}

impl Subset {
    /// Those that are to be read.
    pub(super) fn of(self, mut all: Vec<Candidate>) -> Vec<Candidate> {
        let total: u64 = all.iter().map(|pack| pack.len).sum();
        match self {
            Self::All => all,
            Self::Group { number, count } => {
                all.retain(|pack| group(&pack.id, count) == number);
                all
            }
            Self::Percent(percent) => {
                let wanted = (total as f64 * percent / 100.0).ceil() as u64;
                first(all, |before, _| before < wanted)
            }
            Self::Bytes(most) => first(all, |before, len| before == 0 || before + len <= most),
        }
    }
}

/// Takes packs in their turn while `takes` says so of the bytes that were taken and of the next pack.
fn first(mut all: Vec<Candidate>, takes: impl Fn(u64, u64) -> bool) -> Vec<Candidate> {
    all.sort_unstable_by_key(Candidate::turn);
    let mut taken = 0;
    let count = all.iter().take_while(|pack| {
        let is_taken = takes(taken, pack.len);
        taken += pack.len;
        is_taken
    });
    let count = count.count();
    all.truncate(count);
    all
}

/// The group of a pack, from 1: ids are hashes, so that groups are about as large.
fn group(id: &PackId, count: u64) -> u64 {
    let start = id.as_bytes()[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    start % count + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(number: u8, len: u64, read_back: Option<i64>) -> Candidate {
        let at = |seconds| Timestamp::new(seconds, 0);
        let id = PackId::new(*blake3::hash(&[number]).as_bytes());
        let (read_back, stored) = (read_back.map(at), at(1000 + i64::from(number)));
        Candidate { id, len, read_back, verified: read_back, stored }
    }

    fn lens(packs: Vec<Candidate>) -> Vec<u64> {
        packs.iter().map(|pack| pack.len).collect()
    }

    #[test]
    fn what_waits_for_longest_comes_first() {
        let all = vec![pack(1, 10, Some(5000)), pack(3, 30, None), pack(2, 20, None)];
        let order = |subset: Subset| lens(subset.of(all.clone()));
        assert_eq!(order(Subset::Percent(100.0)), [20, 30, 10]);
        assert_eq!(order(Subset::Percent(34.0)), [20, 30]);
        assert_eq!(order(Subset::Percent(0.01)), [20]);
        assert_eq!(order(Subset::Bytes(50)), [20, 30]);
        assert_eq!(order(Subset::Bytes(1)), [20]);
        assert!(Subset::Percent(1.0).of(Vec::new()).is_empty());
    }

    #[test]
    fn groups_are_all_packs_and_each_once() {
        let all: Vec<Candidate> = (0..100).map(|number| pack(number, 1, None)).collect();
        let groups: Vec<usize> = (1..=7)
            .map(|number| Subset::Group { number, count: 7 }.of(all.clone()).len())
            .collect();
        assert_eq!(groups.iter().sum::<usize>(), 100);
        assert!(groups.iter().all(|count| *count > 4), "{groups:?}");
        assert_eq!(Subset::Group { number: 1, count: 1 }.of(all).len(), 100);
    }
}
