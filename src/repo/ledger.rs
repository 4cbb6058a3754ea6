//! What checks have read back, as they leave it in the repository: when it was, whether it was good.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::access::list;
use super::{Repository, damaged};
use crate::backend::{Listed, create_verified, probe};
use crate::base::{Error, ErrorKind, PackId, Result, SessionId, Timestamp, WriterId};
use crate::format::ledger::LedgerRecord;
use crate::format::name::Parsed;
use crate::format::{ObjectKind, ObjectName};

/// Kinds of the records that name packs.
const VERIFIED: &str = "verified";
const DAMAGED: &str = "damaged";
/// Packs in one record, far from the longest there may be.
const PACK_COUNT_MAX: usize = 1_000_000;
/// Times that records are read where one of them cannot be, or went away meanwhile.
const READ_COUNT_MAX: usize = 3;
/// Records that are held at a time while they are read.
const BATCH_COUNT: usize = 64;

/// A record that names packs.
#[derive(Debug)]
struct Record {
    name: ObjectName,
    /// When it was stored by the clock of the place, or written by its own word if that is earlier: a
    /// place that stores an old record anew must not make its packs look as if read just now. Of damage
    /// the former counts.
    time: Timestamp,
    /// Whether its packs are damaged, or good.
    is_damage: bool,
}

/// What became of packs that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Those whose every frame was found good.
    pub good: Vec<PackId>,
    /// Those that are not what was stored.
    pub damaged: Vec<PackId>,
}

/// What the records say.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Records that name packs.
    records: Vec<Record>,
    /// Which of them was the last to name each pack.
    last: HashMap<PackId, usize>,
    /// One was listed and gone when it was to be read.
    has_missed: bool,
    /// An error for each record of any kind that cannot be read.
    pub problems: Vec<Error>,
}

impl Ledger {
    /// Reads every record.
    ///
    /// # Errors
    /// When records cannot be listed, or the backend cannot be reached.
    pub fn read(repository: &Repository) -> Result<Self> {
        let mut listed = list(&**repository.backend(), ObjectKind::Ledger)?;
        // What a probe tried out with says nothing.
        listed.retain(|object| !probe::is_left_over(&object.name));
        let mut ledger = Self::default();
        for batch in listed.chunks(BATCH_COUNT) {
            let read: Vec<_> =
                batch.par_iter().map(|object| read(repository, &object.name)).collect();
            for (object, record) in batch.iter().zip(read) {
                match record {
                    Ok(Some(record)) => ledger.take_in(object, record),
                    // A prune took it away since; what replaced it may be missing in the listing.
                    Ok(None) => ledger.has_missed = true,
                    Err(error) if error.kind == ErrorKind::Offline => return Err(error),
                    Err(error) => ledger.problems.push(error),
                }
            }
        }
        Ok(ledger)
    }

    /// Records what was read, and how it was found: what is good now takes back what is known of damage,
    /// whatever the clock of this host says.
    ///
    /// # Errors
    /// When a record cannot be stored.
    pub fn record(
        &mut self,
        repository: &Repository,
        read: ReadBack,
        writer: WriterId,
        time: Timestamp,
    ) -> Result<()> {
        for (kind, mut packs) in [(DAMAGED, read.damaged), (VERIFIED, read.good)] {
            packs.sort_unstable();
            packs.dedup();
            for part in packs.chunks(PACK_COUNT_MAX) {
                let (verified, damaged) = match kind {
                    DAMAGED => (Vec::new(), Some(part.to_vec())),
                    _ => (part.to_vec(), None),
                };
                let claims = verified.iter().filter_map(|pack| self.found_damaged(pack));
                let after = |claim: Timestamp| Timestamp::new(claim.seconds + 1, claim.nanos);
                let time = claims.map(after).fold(time, Timestamp::max);
                let record = LedgerRecord { time, writer, verified, drill: None, damaged };
                // A name that nobody uses twice.
                let name = ObjectName::ledger(kind, &SessionId::random().to_hex());
                let sealed = repository.seal(&name, &record.encode());
                create_verified(&**repository.backend(), &name, &sealed)?;
                let stored = repository.backend().stat(&name)?;
                self.take_in(&stored, record);
            }
        }
        Ok(())
    }

    fn take_in(&mut self, object: &Listed, record: LedgerRecord) {
        let is_damage = match object.name.parsed() {
            Parsed::Ledger(kind, _) if kind == VERIFIED => false,
            Parsed::Ledger(kind, _) if kind == DAMAGED => true,
            _ => return,
        };
        // A host's clock that is behind must hide no damage; one that is ahead must not outlast who reads the
        // pack later. What was read is no newer than it says: a copy of a repository has times of its own.
        let time = match is_damage {
            true => object.modified,
            false => record.time.min(object.modified),
        };
        let number = self.records.len();
        self.records.push(Record { name: object.name.clone(), time, is_damage });
        let packs = if is_damage { record.damaged.unwrap_or_default() } else { record.verified };
        for pack in packs {
            let last = self.last.entry(pack).or_insert(number);
            let before = &self.records[*last];
            // Of two at the same moment the worse one counts.
            if (before.time, before.is_damage) <= (time, is_damage) {
                *last = number;
            }
        }
    }

    /// Whether no pack was ever read back.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// When every frame of a pack was last read, however it was found.
    pub fn read_back(&self, pack: &PackId) -> Option<Timestamp> {
        self.last.get(pack).map(|number| self.records[*number].time)
    }

    /// The same, if they were found good then.
    pub fn verified(&self, pack: &PackId) -> Option<Timestamp> {
        let last = self.last.get(pack).map(|number| &self.records[*number]);
        last.filter(|record| !record.is_damage).map(|record| record.time)
    }

    /// When a pack was last read, if it was not what was stored then.
    fn found_damaged(&self, pack: &PackId) -> Option<Timestamp> {
        let last = self.last.get(pack).map(|number| &self.records[*number]);
        last.filter(|record| record.is_damage).map(|record| record.time)
    }

    /// Packs that were not what was stored when they were last read.
    pub fn damaged(&self) -> HashSet<PackId> {
        let last = self.last.iter();
        let bad = last.filter(|(_, number)| self.records[**number].is_damage);
        bad.map(|(pack, _)| *pack).collect()
    }

    /// Records that say nothing any more: each of their packs is gone, or a later record names it.
    pub fn outdated(&self, is_there: impl Fn(&PackId) -> bool) -> Vec<ObjectName> {
        let mut says_something = vec![false; self.records.len()];
        for (pack, number) in &self.last {
            says_something[*number] |= is_there(pack);
        }
        let records = self.records.iter().zip(says_something);
        records.filter(|(_, says)| !says).map(|(record, _)| record.name.clone()).collect()
    }
}

/// Packs that were not what was stored when they were last read, for whoever must not rely on them.
/// Where there are none, that takes one listing. A record that cannot be read says nothing.
///
/// # Errors
/// When records cannot be listed, or the backend cannot be reached.
pub fn damaged_packs(repository: &Repository) -> Result<HashSet<PackId>> {
    let listed = list(&**repository.backend(), ObjectKind::Ledger)?;
    let tells_damage = |object: &Listed| matches!(object.name.parsed(), Parsed::Ledger(kind, _) if kind == DAMAGED);
    if !listed.iter().any(tells_damage) {
        return Ok(HashSet::new());
    }
    let mut ledger = Ledger::read(repository)?;
    for _ in 1..READ_COUNT_MAX {
        if ledger.problems.is_empty() && !ledger.has_missed {
            break;
        }
        ledger = Ledger::read(repository)?;
    }
    Ok(ledger.damaged())
}

/// A record; `None` if it is gone.
fn read(repository: &Repository, name: &ObjectName) -> Result<Option<LedgerRecord>> {
    let Some(body) = repository.find_object(name)? else { return Ok(None) };
    LedgerRecord::decode(&body).map(Some).map_err(|error| damaged(name, error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::backend::Backend;
    use crate::backend::memory::Memory;
    use crate::base::Clock;
    use crate::repo::testing::{make, open};

    /// The clock of the place.
    #[derive(Default)]
    struct Place(AtomicI64);

    impl Clock for Place {
        fn now(&self) -> Timestamp {
            Timestamp::new(self.0.load(Ordering::Relaxed), 0)
        }
    }

    const PACK: PackId = PackId::new([5; 32]);

    /// Whether the pack counts as damaged after records of (clock of the place, clock of the host,
    /// whether it was found damaged), of which each knows those before, as that of a check does.
    fn is_damaged(records: &[(i64, i64, bool)]) -> bool {
        is_damaged_after(true, records)
    }

    fn is_damaged_after(knows: bool, records: &[(i64, i64, bool)]) -> bool {
        let place = Arc::new(Place::default());
        let memory = Memory::new("ledger", Arc::clone(&place) as Arc<dyn Clock>);
        make(memory.clone());
        let repository = open(memory as Arc<dyn Backend>);
        for (stored, written, is_bad) in records {
            place.0.store(*stored, Ordering::Relaxed);
            let (good, damaged) =
                if *is_bad { (Vec::new(), vec![PACK]) } else { (vec![PACK], Vec::new()) };
            let (read, writer) = (ReadBack { good, damaged }, WriterId::new([1; 32]));
            let time = Timestamp::new(*written, 0);
            let mut ledger = match knows {
                true => Ledger::read(&repository).expect("they are listed"),
                false => Ledger::default(),
            };
            ledger.record(&repository, read, writer, time).expect("it is stored");
        }
        let found = damaged_packs(&repository).expect("they are listed");
        let ledger = Ledger::read(&repository).expect("they are listed");
        assert_eq!(ledger.damaged(), found);
        assert_eq!(ledger.verified(&PACK).is_some(), !found.contains(&PACK));
        assert!(ledger.read_back(&PACK).is_some());
        found.contains(&PACK)
    }

    #[test]
    fn the_last_word_about_a_pack_counts_whatever_clocks_say() {
        assert!(is_damaged(&[(1_000, 1_000, true)]));
        assert!(is_damaged(&[(1_000, 1_000, false), (2_000, 2_000, true)]));
        assert!(!is_damaged(&[(1_000, 1_000, true), (2_000, 2_000, false)]));
        // A host whose clock is far behind hides no damage.
        assert!(is_damaged(&[(1_000, 1_000, false), (2_000, 5, true)]));
        // Nor does one that is ahead make damage go away for ever.
        assert!(!is_damaged(&[(1_000, 9_000_000, true), (2_000, 9_000_000, false)]));
        // Who reads it later need not have the right time, if that of the place goes on.
        assert!(!is_damaged(&[(1_000, 1_000, true), (2_000, 5, false)]));
        // What was read before stays before it where a copy has made all of it new.
        assert!(is_damaged_after(false, &[(7_000, 2_000, true), (8_000, 1_000, false)]));
        // Of two at the same moment the worse one counts.
        for is_bad in [true, false] {
            assert!(is_damaged(&[(1_000, 1_000, is_bad), (1_000, 1_000, !is_bad)]));
        }
    }
}
