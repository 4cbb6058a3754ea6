//! Reads every byte of every pack, for what it is and for what is said of it.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use rayon::prelude::*;

use super::findings::cause;
use super::packs::Packs;
use super::subset::{Candidate, Subset};
use super::{Check, writer};
use crate::base::simulated::is_simulated;
use crate::base::{Error, ErrorKind, PackId, Result, SegmentId, WriterId};
use crate::format::name::Parsed;
use crate::format::{ObjectKind, ObjectName};
use crate::ops::Run;
use crate::ops::whole_pack::{Fault, read_whole};
use crate::pipeline::budget::Budget;
use crate::repo::Repository;
use crate::repo::access::list;
use crate::repo::chunks::Chunks;
use crate::repo::ledger::{Ledger, ReadBack};
use crate::repo::trust::{self, Judge, Judged, Verdict};

/// Sixteenths of `--max-memory` for packs that are read, and for segments that are compared with them; the
/// index has two of them, and the walk beside it five.
const READ_SIXTEENTHS: u64 = 6;
const COMPARE_SIXTEENTHS: u64 = 1;
/// What to do about a segment that somebody with the keys made up.
const FALSE_SEGMENT_HINT: &str = "This host no longer relies on it. Find out who has the keys; then \
    back up the sources again: what they still have is stored anew.";

impl Check<'_> {
    /// Reads some of the packs, and records which are good; ids of those that are not. Names of those
    /// that are gone by now are added to `gone`.
    pub(super) fn data(
        &mut self,
        chunks: &Chunks,
        packs: &Packs,
        ledger: &mut Ledger,
        subset: Subset,
        gone: &mut Vec<ObjectName>,
    ) -> Result<HashSet<PackId>> {
        let repository = self.repository;
        // Each has its own: who waits for one must not be waited for by the other.
        let [budget, compare_budget] = [READ_SIXTEENTHS, COMPARE_SIXTEENTHS]
            .map(|part| Budget::new((self.options.max_memory / 16 * part) as usize));
        let wanted = subset.of(packs.candidates(ledger));
        let mut lens: HashMap<PackId, u64> =
            wanted.iter().map(|pack| (pack.id, pack.len)).collect();
        let read = || read_packs(repository, chunks, &wanted, &budget, self.run);
        let compare = |lens: &HashMap<PackId, u64>| {
            find_false_segments(repository, lens, &compare_budget, self.run)
        };
        // Nearly always every pack is itself, and then segments need not wait for it.
        let ((read, ended), compared) = match is_simulated() {
            true => (read(), None),
            false => rayon::join(read, || Some(compare(&lens))),
        };
        if let Some(error) = ended {
            // Found is found, also where the check cannot go on.
            let damaged = read.recorded_damage();
            self.record(ledger, ReadBack { damaged, ..ReadBack::default() });
            return Err(error);
        }
        for BadPack { id, fault } in &read.damaged {
            let name = ObjectName::pack(*id);
            self.findings.add(&name, cause(&fault.error)).class = fault.class;
            if fault.error.kind == ErrorKind::NotFound {
                gone.push(name);
            }
        }
        let mut damaged: HashSet<PackId> = read.damaged.iter().map(|bad| bad.id).collect();
        // What is not itself is no witness.
        for bad in read.damaged.iter().filter(|bad| !bad.fault.is_contradiction()) {
            lens.remove(&bad.id);
        }
        let mut found_false = HashSet::new();
        let compared = match compared.transpose()? {
            Some(found) if damaged.is_empty() => found,
            found => {
                self.report.misread_count += found.map_or(0, |found| found.misread_count);
                compare(&lens)?
            }
        };
        self.report.misread_count += compared.misread_count;
        for error in &compared.unread {
            self.findings.add_error(error);
        }
        for (name, segment, packs) in compared.false_segments {
            let finding = self.findings.add(&name, cause(&trust::false_segment(&name)));
            finding.hint = FALSE_SEGMENT_HINT.to_owned();
            damaged.extend(packs);
            found_false.insert(segment);
        }
        if !found_false.is_empty() {
            let known = self.known();
            found_false.extend(trust::distrusted_in(known.meta_get(trust::DISTRUSTED_KEY)));
            known.meta_put(trust::DISTRUSTED_KEY, &trust::distrusted_record(&found_false));
        }
        self.report.read_pack_count = wanted.len() as u64;
        self.report.read_bytes = read.bytes;
        self.report.misread_count += read.misread_count;
        let good = wanted.iter().map(|pack| pack.id).filter(|id| !damaged.contains(id)).collect();
        self.record(ledger, ReadBack { good, damaged: read.recorded_damage() });
        Ok(damaged)
    }

    /// Leaves behind what was read, for the next check of a part, and so that no backup relies on what
    /// is damaged. Who may only read can check all the same.
    fn record(&mut self, ledger: &mut Ledger, read: ReadBack) {
        // A host that only checks has no id.
        let writer =
            writer::id(self.known().meta_get(writer::KEY)).unwrap_or_else(WriterId::random);
        let recorded = ledger.record(self.repository, read, writer, self.run.clock.now());
        if let Err(error) = recorded {
            let why = cause(&error);
            self.report.notices.push(format!("could not record which packs were read: {why}"));
        }
    }
}

/// A pack that is not as it was stored, or as is said of it.
struct BadPack {
    id: PackId,
    fault: Fault,
}

/// What reading packs came to.
#[derive(Default)]
struct ReadPacks {
    damaged: Vec<BadPack>,
    /// Bytes that were read.
    bytes: u64,
    /// Packs that were good when they were read again.
    misread_count: u64,
}

impl ReadPacks {
    /// Packs that are there and not what was stored.
    fn recorded_damage(&self) -> Vec<PackId> {
        let is_damage = |bad: &&BadPack| bad.fault.error.kind == ErrorKind::Damaged;
        self.damaged.iter().filter(is_damage).map(|bad| bad.id).collect()
    }
}

/// Reads packs, as many at a time as memory has room for; what was read, and why no more.
fn read_packs(
    repository: &Repository,
    chunks: &Chunks,
    packs: &[Candidate],
    budget: &Budget,
    run: &Run<'_>,
) -> (ReadPacks, Option<Error>) {
    run.progress.bytes_total.set(packs.iter().map(|pack| pack.len).sum());
    let gathered = Mutex::new(ReadPacks::default());
    let ended = packs.par_iter().try_for_each(|Candidate { id, len, .. }| {
        run.cancel.check()?;
        let _grant = budget.take(*len as usize);
        let record = chunks.pack(id)?;
        let (read, count) = read_whole(repository, id, record.as_deref());
        run.progress.bytes_done.add(*len);
        let mut gathered = gathered.lock().expect("no thread panics while it holds the lock");
        gathered.bytes += len;
        match read {
            Ok(()) => gathered.misread_count += u64::from(count > 1),
            // That is no damage.
            Err(fault) if fault.error.kind == ErrorKind::Offline => return Err(fault.error),
            Err(fault) => gathered.damaged.push(BadPack { id: *id, fault }),
        }
        Ok::<(), Error>(())
    });
    let mut read = gathered.into_inner().expect("no thread panics while it holds the lock");
    read.damaged.sort_by_key(|bad| bad.id);
    (read, ended.err())
}

/// Memory that comparing a segment takes, as a multiple of its sealed length: opened, and as packs
/// say it.
const COMPARED_FACTOR: usize = 4;

/// What comparing segments with packs came to.
#[derive(Default)]
struct Compared {
    /// Those that say what is not true, and of which packs.
    false_segments: Vec<(ObjectName, SegmentId, Vec<PackId>)>,
    /// Why some could not be compared.
    unread: Vec<Error>,
    /// Segments that could be compared when they were read again.
    misread_count: u64,
}

/// Finds index segments that say of packs what is not true.
fn find_false_segments(
    repository: &Repository,
    lens: &HashMap<PackId, u64>,
    budget: &Budget,
    run: &Run<'_>,
) -> Result<Compared> {
    let listed = list(&**repository.backend(), ObjectKind::Index)?;
    let judge = Judge::of_many(repository, lens);
    let compared = Mutex::new(Compared::default());
    listed.par_iter().try_for_each(|object| {
        run.cancel.check()?;
        let Parsed::Index(session, sequence, id) = object.name.parsed() else { return Ok(()) };
        let _grant = budget.take((object.len as usize).saturating_mul(COMPARED_FACTOR));
        let first = judge.judge(&object.name, (session, sequence))?;
        let is_again = first.unread.is_some();
        let Judged { verdict, unread } = match is_again {
            true => judge.judge(&object.name, (session, sequence))?,
            false => first,
        };
        let mut compared = compared.lock().expect("no thread panics while it holds the lock");
        compared.misread_count += u64::from(is_again && unread.is_none());
        compared.unread.extend(unread);
        if let Verdict::False(packs) = verdict {
            compared.false_segments.push((object.name.clone(), id, packs));
        }
        Ok::<(), Error>(())
    })?;
    Ok(compared.into_inner().expect("no thread panics while it holds the lock"))
}
