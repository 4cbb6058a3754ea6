//! Reads every byte of every pack, for what it is and for what is said of it.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use rayon::prelude::*;

use super::findings::{Class, cause};
use super::packs::Packs;
use super::subset::{Candidate, Subset};
use super::{Check, writer};
use crate::base::{Error, ErrorKind, PackId, Result, SegmentId, WriterId};
use crate::format::name::Parsed;
use crate::format::{DecodeError, ObjectKind, ObjectName};
use crate::index::PackRecord;
use crate::index::remembered::{decode_ids, encode_ids};
use crate::ops::{DAMAGED_KEY, Run};
use crate::pipeline::budget::Budget;
use crate::repo::Repository;
use crate::repo::access::list;
use crate::repo::chunks::Chunks;
use crate::repo::ledger::Ledger;
use crate::repo::reader::damaged_pack;
use crate::repo::trust::{self, Judge, Verdict};
use crate::seal::{Sealed, frame, pack};

/// What to do about a segment that somebody with the keys made up.
const FALSE_SEGMENT_HINT: &str = "This host no longer relies on it. Find out who has the keys; then \
    back up the sources again: what they still have is stored anew.";
/// Times that a pack is read before it is called damaged.
const READ_COUNT_MAX: usize = 3;

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
        let budget = Budget::new((self.options.max_memory / 2) as usize);
        let wanted = subset.of(packs.candidates(ledger));
        let read = read_packs(repository, chunks, &wanted, &budget, self.run)?;
        let mut lens: HashMap<PackId, u64> =
            wanted.iter().map(|pack| (pack.id, pack.len)).collect();
        for bad in &read.damaged {
            let name = ObjectName::pack(bad.id);
            self.findings.add(&name, cause(&bad.error)).class = bad.class;
            if bad.error.kind == ErrorKind::NotFound {
                gone.push(name);
            }
        }
        let mut damaged: HashSet<PackId> = read.damaged.iter().map(|bad| bad.id).collect();
        self.remember(&wanted, &damaged);
        // What is not itself is no witness.
        for bad in read.damaged.iter().filter(|bad| !is_contradiction(&bad.error)) {
            lens.remove(&bad.id);
        }
        let mut found_false = HashSet::new();
        for (name, segment, packs) in find_false_segments(repository, &lens, &budget, self.run)? {
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
        self.record(ledger, good);
        Ok(damaged)
    }

    /// Remembers on this host which packs are damaged, so that the next backup stores anew what the
    /// sources still have of them. Of packs that were not read nothing new is known.
    fn remember(&self, read: &[Candidate], damaged: &HashSet<PackId>) {
        let known = self.known();
        let record = known.meta_get(DAMAGED_KEY).unwrap_or_default();
        let before: HashSet<PackId> = decode_ids(&record).collect();
        let mut after = before.clone();
        for pack in read {
            after.remove(&pack.id);
        }
        after.extend(damaged);
        if after != before {
            known.meta_put(DAMAGED_KEY, &encode_ids(&after));
        }
    }

    /// Leaves behind what was verified, for the next check of a part. Who may only read can check all
    /// the same.
    fn record(&mut self, ledger: &mut Ledger, good: Vec<PackId>) {
        // A host that only checks has no id.
        let writer =
            writer::id(self.known().meta_get(writer::KEY)).unwrap_or_else(WriterId::random);
        let recorded = ledger.record(self.repository, good, writer, self.run.clock.now());
        if let Err(error) = recorded {
            let why = cause(&error);
            self.report.notices.push(format!("could not record which packs were read: {why}"));
        }
    }
}

/// A pack that is not as it was stored, or as is said of it.
struct BadPack {
    id: PackId,
    error: Error,
    class: Option<Class>,
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

/// Reads packs, as many at a time as memory has room for.
fn read_packs(
    repository: &Repository,
    chunks: &Chunks,
    packs: &[Candidate],
    budget: &Budget,
    run: &Run<'_>,
) -> Result<ReadPacks> {
    run.progress.bytes_total.set(packs.iter().map(|pack| pack.len).sum());
    let gathered = Mutex::new(ReadPacks::default());
    packs.par_iter().try_for_each(|Candidate { id, len, .. }| {
        run.cancel.check()?;
        let _grant = budget.take(*len as usize);
        let record = chunks.pack(id)?;
        let mut read = read_pack(repository, id, record.as_deref());
        let mut count = 1;
        while read.as_ref().is_err_and(is_doubtful) && count < READ_COUNT_MAX {
            read = read_pack(repository, id, record.as_deref());
            count += 1;
        }
        run.progress.bytes_done.add(*len);
        let mut gathered = gathered.lock().expect("no thread panics while it holds the lock");
        gathered.bytes += len;
        match read {
            Ok(()) => gathered.misread_count += u64::from(count > 1),
            // That is no damage.
            Err((error, _)) if error.kind == ErrorKind::Offline => return Err(error),
            Err((error, class)) => gathered.damaged.push(BadPack { id: *id, error, class }),
        }
        Ok::<(), Error>(())
    })?;
    let mut read = gathered.into_inner().expect("no thread panics while it holds the lock");
    read.damaged.sort_by_key(|bad| bad.id);
    Ok(read)
}

/// Whether an error may be gone when the pack is read again: it may have been on the way.
fn is_doubtful((error, _): &(Error, Option<Class>)) -> bool {
    !matches!(error.kind, ErrorKind::Offline | ErrorKind::NotFound) && !is_contradiction(error)
}

/// Reads a whole pack and opens every frame.
///
/// # Errors
/// With where it went wrong, as far as one reading can tell.
fn read_pack(
    repository: &Repository,
    id: &PackId,
    record: Option<&PackRecord>,
) -> std::result::Result<(), (Error, Option<Class>)> {
    let sealed = repository.backend().get(&ObjectName::pack(*id));
    let sealed = sealed.map_err(|error| (Error::from(error), None))?;
    open_pack(repository, id, record, &sealed).map_err(|error| {
        let is_as_stored = PackId::new(*blake3::hash(sealed.bytes()).as_bytes()) == *id;
        let class = match is_as_stored {
            _ if is_contradiction(&error) => None,
            true => Some(Class::Memory),
            false => Some(Class::AtRest),
        };
        (error, class)
    })
}

/// Opens every frame of a pack.
fn open_pack(
    repository: &Repository,
    id: &PackId,
    record: Option<&PackRecord>,
    sealed: &Sealed,
) -> Result<()> {
    let keyring = repository.keyring();
    let refuse = |error| damaged_pack(id, error);
    let bytes = sealed.bytes();
    let header = pack::open_header(keyring, bytes).map_err(refuse)?;
    let mut offset = crate::format::pack::PREFIX_LEN;
    for record in &header.frames {
        let end = offset + record.sealed_len as usize;
        let shape = frame::FrameShape {
            origin: &header.origins[record.origin as usize],
            kind: record.kind,
            codec: record.codec,
            raw_len: record.raw_len,
        };
        let raw = frame::open(keyring, &shape, &bytes[offset..end]).map_err(refuse)?;
        let mut start = 0;
        for chunk in &record.chunks {
            let end = start + chunk.len as usize;
            frame::verify(keyring, record.kind, &chunk.id, &raw[start..end]).map_err(refuse)?;
            start = end;
        }
        offset = end;
    }
    // Before what it says is compared: another pack in its place is no witness against a segment.
    if PackId::new(*blake3::hash(bytes).as_bytes()) != *id {
        return Err(refuse(DecodeError::Id));
    }
    let agrees = record.is_none_or(|record| {
        record.frames.len() == header.frames.len()
            && record.frames.iter().zip(&header.frames).all(|(indexed, found)| {
                (indexed.sealed_len, indexed.raw_len) == (found.sealed_len, found.raw_len)
            })
    });
    if !agrees {
        return Err(refuse(DecodeError::Inconsistent));
    }
    Ok(())
}

/// Whether an error says that a pack and what is said of it differ, not that its bytes do.
fn is_contradiction(error: &Error) -> bool {
    let source = error.source.as_ref().and_then(|source| source.downcast_ref::<DecodeError>());
    source == Some(&DecodeError::Inconsistent)
}

/// Memory that comparing a segment takes, as a multiple of its sealed length: opened, and as packs
/// say it.
const COMPARED_FACTOR: usize = 4;

/// Finds index segments that say of packs what is not true.
fn find_false_segments(
    repository: &Repository,
    lens: &HashMap<PackId, u64>,
    budget: &Budget,
    run: &Run<'_>,
) -> Result<Vec<(ObjectName, SegmentId, Vec<PackId>)>> {
    let listed = list(&**repository.backend(), ObjectKind::Index)?;
    let judge = Judge::of_many(repository, lens);
    let compared = listed.par_iter().map(|object| {
        run.cancel.check()?;
        let Parsed::Index(session, sequence, id) = object.name.parsed() else { return Ok(None) };
        let _grant = budget.take((object.len as usize).saturating_mul(COMPARED_FACTOR));
        Ok(match judge.verdict(&object.name, (session, sequence))? {
            Verdict::False(packs) => Some((object.name.clone(), id, packs)),
            Verdict::True | Verdict::Unknown => None,
        })
    });
    compared.filter_map(Result::transpose).collect()
}
