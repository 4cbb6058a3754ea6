//! What was verified and when, as checks leave it in the repository.

use std::collections::HashMap;

use rayon::prelude::*;

use super::access::list;
use super::{Repository, damaged};
use crate::backend::{Listed, create_verified, probe};
use crate::base::{Error, ErrorKind, PackId, Result, SessionId, Timestamp, WriterId};
use crate::format::ledger::LedgerRecord;
use crate::format::name::Parsed;
use crate::format::{ObjectKind, ObjectName};

/// Kind of the records that name packs.
const VERIFIED: &str = "verified";
/// Packs in one record, far from the longest there may be.
const PACK_COUNT_MAX: usize = 1_000_000;
/// Records that are held at a time while they are read.
const BATCH_COUNT: usize = 64;

/// A record that names packs.
#[derive(Debug)]
struct Record {
    name: ObjectName,
    /// When it was stored by the clock of the place, or written by its own word if that is earlier: a
    /// place that stores an old record anew must not make its packs look as if read just now.
    time: Timestamp,
}

/// What the records say.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Records that name packs.
    records: Vec<Record>,
    /// In which of them each pack was verified last.
    last: HashMap<PackId, usize>,
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
                    // A prune took it away since.
                    Ok(None) => {}
                    Err(error) if error.kind == ErrorKind::Offline => return Err(error),
                    Err(error) => ledger.problems.push(error),
                }
            }
        }
        Ok(ledger)
    }

    /// Records that every frame of `packs` was read and found good.
    ///
    /// # Errors
    /// When a record cannot be stored.
    pub fn record(
        &mut self,
        repository: &Repository,
        mut packs: Vec<PackId>,
        writer: WriterId,
        time: Timestamp,
    ) -> Result<()> {
        packs.sort_unstable();
        packs.dedup();
        for part in packs.chunks(PACK_COUNT_MAX) {
            let record = LedgerRecord { time, writer, verified: part.to_vec(), drill: None };
            // A name that nobody uses twice.
            let name = ObjectName::ledger(VERIFIED, &SessionId::random().to_hex());
            let sealed = repository.seal(&name, &record.encode());
            create_verified(&**repository.backend(), &name, &sealed)?;
            let stored = repository.backend().stat(&name)?;
            self.take_in(&stored, record);
        }
        Ok(())
    }

    fn take_in(&mut self, object: &Listed, record: LedgerRecord) {
        if !matches!(object.name.parsed(), Parsed::Ledger(kind, _) if kind == VERIFIED) {
            return;
        }
        let (number, time) = (self.records.len(), record.time.min(object.modified));
        self.records.push(Record { name: object.name.clone(), time });
        for pack in record.verified {
            let last = self.last.entry(pack).or_insert(number);
            if self.records[*last].time <= time {
                *last = number;
            }
        }
    }

    /// Whether nothing was ever verified.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// When every frame of a pack was last read and found good.
    pub fn verified(&self, pack: &PackId) -> Option<Timestamp> {
        self.last.get(pack).map(|number| self.records[*number].time)
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

/// A record; `None` if it is gone.
fn read(repository: &Repository, name: &ObjectName) -> Result<Option<LedgerRecord>> {
    let Some(body) = repository.find_object(name)? else { return Ok(None) };
    LedgerRecord::decode(&body).map(Some).map_err(|error| damaged(name, error))
}
