//! Saves what is left of damaged packs.
//!
//! Nothing is deleted here. What can still be read of such a pack is stored once more; a record in the
//! ledger says that it is damaged, so that no writer relies on it, and `prune` deletes it once nothing
//! that is needed lies in it alone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, WriterId};
use crate::format::name::Parsed;
use crate::format::{FrameKind, ObjectKind, ObjectName};
use crate::ops::repack::Repacking;
use crate::ops::whole_pack::read_whole;
use crate::ops::{Run, closing_notices, open_chunks, writer};
use crate::repo::Repository;
use crate::repo::access::{list, listed_packs};
use crate::repo::adopt::read_header;
use crate::repo::ledger::{Ledger, ReadBack};
use crate::repo::reader::Reader;
use crate::repo::session::Session;

/// How to repair.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// These packs; without any those that were damaged when they were last read.
    pub packs: Vec<PackId>,
    /// Repair, and do not only say what would be done.
    pub apply: bool,
    /// Directory of the local cache.
    pub cache_dir: Option<PathBuf>,
}

/// What was done, or would be.
#[derive(Debug, Default)]
pub struct Report {
    /// What was found of each pack that was looked at, in the order of their ids.
    pub packs: Vec<Found>,
    /// What a person may want to know.
    pub notices: Vec<String>,
}

/// What was found of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which.
    pub id: PackId,
    /// Whether it is damaged.
    pub is_damaged: bool,
    /// Chunks that lie elsewhere as well.
    pub elsewhere_count: u64,
    /// Chunks that could be read here only, and were stored once more.
    pub stored_count: u64,
    /// Chunks that nobody can read any more.
    pub lost_count: u64,
    /// Whether neither it nor a segment says what it holds.
    pub is_unknown: bool,
}

impl Found {
    fn sound(id: PackId) -> Self {
        let (elsewhere_count, stored_count, lost_count) = (0, 0, 0);
        let (is_damaged, is_unknown) = (false, false);
        Self { id, is_damaged, elsewhere_count, stored_count, lost_count, is_unknown }
    }
}

/// Reads packs, and stores once more what can be read in them only.
///
/// # Errors
/// When objects cannot be listed or stored, or a pack that was named is not there.
pub fn repair(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let (chunks, notices) = open_chunks(repository, options.cache_dir.as_ref(), run)?;
    let session = Session::start(repository)?;
    let mut ledger = Ledger::read(repository)?;
    let listed: HashMap<PackId, u64> =
        listed_packs(&**repository.backend())?.map(|(id, object)| (id, object.len)).collect();
    let wanted = wanted(options, &ledger, &listed)?;
    let mut avoided: HashSet<PackId> = ledger.damaged();
    avoided.extend(&wanted);
    avoided.extend(&session.first_look().endangered);
    chunks.list_packs(&avoided)?;
    let reader = Reader::new(repository, &chunks);
    let mut repacking = Repacking::new(repository, &chunks, &session);
    let mut report = Report { notices, ..Report::default() };
    let mut stored: HashSet<ChunkId> = HashSet::new();
    let salvage = Salvage { repository, reader: &reader, avoided: &avoided };
    let mut damaged = Vec::new();
    for id in wanted {
        run.cancel.check()?;
        match salvage.is_damaged(id) {
            Ok(true) => damaged.push(id),
            Ok(false) => report.packs.push(Found::sound(id)),
            // That it cannot be asked for says nothing of it, and nothing of others.
            Err(error) => run.problems.push(error),
        }
    }
    if options.apply {
        // Before anything is stored once more: a prune that knows nothing of it would see duplicates.
        let good = report.packs.iter().map(|found| found.id).collect();
        let writer = writer::id(chunks.meta_get(writer::KEY)).unwrap_or_else(WriterId::random);
        let read_back = ReadBack { good, damaged: damaged.clone() };
        ledger.record(repository, read_back, writer, run.clock.now())?;
    }
    for id in damaged {
        run.cancel.check()?;
        let mut new = Vec::new();
        let is_stored = |chunk: &ChunkId| stored.contains(chunk);
        let found = salvage.pack(id, listed[&id], &is_stored, &mut |kind, chunk, raw| {
            new.push(chunk);
            if options.apply { repacking.push_chunk(kind, chunk, raw) } else { Ok(()) }
        });
        stored.extend(new);
        match found {
            Ok(found) => report.packs.push(found),
            // What others held is stored all the same.
            Err(error) => run.problems.push(error),
        }
    }
    if options.apply {
        repacking.finish()?;
    }
    report.packs.sort_by_key(|found| found.id);
    run.problems.extend(chunks.take_problems());
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}

/// The packs to look at, each once.
fn wanted(
    options: &Options,
    ledger: &Ledger,
    listed: &HashMap<PackId, u64>,
) -> Result<BTreeSet<PackId>> {
    if options.packs.is_empty() {
        return Ok(ledger.damaged().into_iter().filter(|id| listed.contains_key(id)).collect());
    }
    let wanted: BTreeSet<PackId> = options.packs.iter().copied().collect();
    match wanted.iter().find(|id| !listed.contains_key(*id)) {
        Some(id) => {
            Err(Error::new(ErrorKind::NotFound, format!("there is no {}", ObjectName::pack(*id)))
                .hint(
                    "What it held is stored anew by the next backup of sources that still have it.",
                ))
        }
        None => Ok(wanted),
    }
}

/// Takes a chunk that is to be stored once more.
type Keep<'a> = dyn FnMut(FrameKind, ChunkId, &[u8]) -> Result<()> + 'a;

/// Takes out of packs what is left of them.
struct Salvage<'a> {
    repository: &'a Repository,
    reader: &'a Reader<'a>,
    /// Packs of which a copy is no second one.
    avoided: &'a HashSet<PackId>,
}

impl Salvage<'_> {
    fn is_damaged(&self, id: PackId) -> Result<bool> {
        let record = self.reader.chunks().pack(&id)?;
        match read_whole(self.repository, &id, record.as_deref()).0 {
            Ok(()) => Ok(false),
            Err(fault) if fault.error.kind == ErrorKind::Damaged => Ok(true),
            Err(fault) => Err(fault.error),
        }
    }

    /// Hands to `store` what can be read in this pack only, unless that `is_stored` by this run.
    fn pack(
        &self,
        id: PackId,
        len: u64,
        is_stored: &dyn Fn(&ChunkId) -> bool,
        store: &mut Keep<'_>,
    ) -> Result<Found> {
        let content = self.content(id, len)?;
        let (is_damaged, is_unknown) = (true, content.is_empty());
        let mut found = Found { is_damaged, is_unknown, ..Found::sound(id) };
        for (kind, chunk) in content {
            if is_stored(&chunk) || self.reader.chunk_outside(kind, &chunk, self.avoided)?.is_some()
            {
                found.elsewhere_count += 1;
                continue;
            }
            match self.reader.chunk(kind, &chunk) {
                Ok(raw) => {
                    store(kind, chunk, &raw)?;
                    found.stored_count += 1;
                }
                Err(error) if error.is_loss() => found.lost_count += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// What should be in a pack, by its own header, or by what segments say of it.
    fn content(&self, id: PackId, len: u64) -> Result<Vec<(FrameKind, ChunkId)>> {
        let header = match read_header(self.repository, id, len) {
            Ok(header) => header,
            Err(error) if error.kind == ErrorKind::Damaged => return self.indexed_content(id),
            Err(error) => return Err(error),
        };
        let chunks = |frame: crate::format::pack::FrameRecord| {
            frame.chunks.into_iter().map(move |chunk| (frame.kind, chunk.id))
        };
        Ok(header.frames.into_iter().flat_map(chunks).collect())
    }

    fn indexed_content(&self, id: PackId) -> Result<Vec<(FrameKind, ChunkId)>> {
        let chunks = self.reader.chunks();
        let mut content = BTreeSet::new();
        for object in list(&**self.repository.backend(), ObjectKind::Index)? {
            let Parsed::Index(session, sequence, segment) = object.name.parsed() else { continue };
            let names_it = chunks.ask_index(|index, _| {
                let packs = index.packs_of(&segment)?.unwrap_or_default();
                Ok(index.pack_no(&id)?.is_some_and(|no| packs.contains(&no)))
            })?;
            if !names_it {
                continue;
            }
            let said = match chunks.fetch_segment(&object.name, (session, sequence)) {
                Ok(Some(said)) => said,
                // Others may say the same.
                Ok(None) => continue,
                Err(error) if error.kind == ErrorKind::Damaged => continue,
                Err(error) => return Err(error),
            };
            let packs = &said.fence.packs;
            for entry in said.entries {
                let pack = &packs[entry.pack as usize];
                if pack.id == id {
                    content.insert((pack.frames[entry.frame as usize].kind, entry.id));
                }
            }
        }
        Ok(content.into_iter().collect())
    }
}
