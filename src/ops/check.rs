//! Finds out whether a repository is whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;

use super::{DAMAGED_KEY, Run, closing_notices, encode_packs, known_config, open_chunks};
use crate::base::text::escape;
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result};
use crate::format::entry::{Entry, TreeRef};
use crate::format::list::{ChunkList, Piece};
use crate::format::name::Parsed;
use crate::format::{DecodeError, FrameKind, ObjectKind, ObjectName};
use crate::index::{Cache, CacheOptions, PackRecord, Scratch};
use crate::pipeline::budget::Budget;
use crate::repo::Repository;
use crate::repo::access::{list, list_names};
use crate::repo::chunks::{Chunks, Located};
use crate::repo::examine::examine;
use crate::repo::list::read_page;
use crate::repo::reader::{Reader, damaged_pack};
use crate::repo::snapshots::{Committed, Snapshots};
use crate::repo::tree::{DEPTH_MAX, Walk};
use crate::repo::witness::{self, FalseSegment};
use crate::seal::{frame, pack};

/// Most affected paths that a finding names.
const AFFECTED_COUNT_MAX: usize = 20;
/// Part of `--max-memory` for what was seen, for pages that were opened, and for packs that were
/// asked about.
const SEEN_SHARE: u64 = 4;
const EXPANDED_SHARE: u64 = 32;
const SOUND_SHARE: u64 = 32;
/// Bytes that a hash map takes for an id and a number.
const REMEMBERED_BYTES: u64 = 96;
/// Chunks that are looked up at a time.
const LOOKUP_COUNT: usize = 4096;

/// What to check.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether to read every pack.
    pub read_data: bool,
    /// Directory of the local cache; the check itself reads every segment anew.
    pub cache_dir: Option<PathBuf>,
    /// Bound on memory in bytes.
    pub max_memory: u64,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub message: String,
    /// What to do.
    pub hint: String,
    /// Paths in snapshots that cannot be restored whole because of it, the first few.
    pub affected: Vec<String>,
}

/// What was checked, and what was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Damage, worst first.
    pub findings: Vec<Finding>,
    /// What a person may want to know.
    pub notices: Vec<String>,
    /// Snapshots that were walked.
    pub snapshot_count: u64,
    /// Packs that are indexed or listed.
    pub pack_count: u64,
    /// Tree nodes and chunks of files that were looked up; one of many files counts once as long
    /// as it is remembered.
    pub chunk_count: u64,
    /// Bytes of packs that were read.
    pub read_bytes: u64,
}

/// Checks that every snapshot can be restored; with `read_data` by reading every byte.
///
/// # Errors
/// When the repository cannot be listed. Damage is a finding.
pub fn check(repository: &Arc<Repository>, options: &Options, run: &Run<'_>) -> Result<Report> {
    let mut report = Report::default();
    let snapshots = Snapshots::read(repository)?;
    let mut findings = Findings::default();
    for error in &snapshots.problems {
        findings.add_error(error);
    }
    find_hidden(&snapshots, &mut findings);
    find_lost_segments(repository, &snapshots, &mut findings)?;
    let examined = examine(repository)?;
    for error in &examined.problems {
        findings.add_error(error);
    }
    if examined.junk_count > 0 {
        report.notices.push(format!(
            "{} among the objects are none, and are left alone: {}",
            examined.junk_count,
            escape(examined.junk.join(", ").as_bytes())
        ));
    }
    let cache = || CacheOptions::new(options.cache_dir.clone(), repository.config().repository);
    if let Err(error) = known_config::compare_with(&Cache::open(cache()).0, repository) {
        findings.add_error(&error);
    }
    // A cache could hide that a segment is gone, so the index is built from what is there; on the
    // disk where that can be, because memory is bounded and repositories are not.
    let scratch = options.cache_dir.as_ref().and_then(|dir| Scratch::make(dir).ok());
    let (chunks, notices) = open_chunks(repository, scratch.as_ref().map(Scratch::path), run)?;
    report.notices.extend(notices);
    for error in run.problems.take() {
        findings.add_error(&error);
    }
    chunks.list_packs(&HashSet::new())?;
    let packs = chunks.packs()?;
    let unindexed = chunks.unindexed_packs();
    report.pack_count = (packs.len() + unindexed.len()) as u64;
    for (id, listed_len) in chunks.missing_packs() {
        let message = match listed_len {
            None => "it is missing".to_owned(),
            Some(len) => format!("it has {len} bytes, which is not what was stored"),
        };
        findings.add(&ObjectName::pack(id), message);
    }
    if !unindexed.is_empty() {
        report.notices.push(format!(
            "{} packs are in no index segment: an interrupted run left them",
            unindexed.len()
        ));
    }
    let mut damaged = HashSet::new();
    if options.read_data {
        let alive = packs.iter().copied().filter(|(id, _)| chunks.is_alive(id));
        let all: Vec<_> = alive.chain(unindexed).collect();
        let mut lens: HashMap<PackId, u64> = all.iter().copied().collect();
        let budget = Budget::new((options.max_memory / 2) as usize);
        let read = read_packs(repository, &chunks, all, &budget, run)?;
        // What is not itself is no witness.
        for (id, _) in read.damaged.iter().filter(|(_, error)| !is_contradiction(error)) {
            lens.remove(id);
        }
        for FalseSegment { error, packs } in find_false_segments(repository, &lens, &budget, run)? {
            findings.add_error(&error);
            damaged.extend(packs);
        }
        for (id, error) in &read.damaged {
            findings.add(&ObjectName::pack(*id), cause(error));
        }
        damaged.extend(read.damaged.iter().map(|(id, _)| *id));
        if !damaged.is_empty() {
            Cache::open(cache()).0.meta_put(DAMAGED_KEY, &encode_packs(damaged.iter()));
        }
        report.read_bytes = read.bytes;
    }
    let reader = Reader::new(repository, &chunks);
    let mut walker = Walker {
        reader: &reader,
        run,
        damaged,
        sound: Remembered::new(options.max_memory / SOUND_SHARE),
        seen: Remembered::new(options.max_memory / SEEN_SHARE),
        expanded: Remembered::new(options.max_memory / EXPANDED_SHARE),
        findings: &mut findings,
    };
    for committed in &snapshots.all {
        run.cancel.check()?;
        walker.snapshot(committed)?;
        report.snapshot_count += 1;
    }
    report.chunk_count = walker.seen.new_count;
    report.findings = findings.finish();
    closing_notices(&chunks, &mut report.notices);
    Ok(report)
}

/// Finds snapshots that others have seen and that are neither listed nor forgotten: somebody took
/// them away.
fn find_hidden(snapshots: &Snapshots, findings: &mut Findings) {
    let listed: HashSet<_> = snapshots.all.iter().map(|committed| committed.id).collect();
    let by_kept = snapshots.all.iter().flat_map(|committed| {
        let who = format!("snapshot {}", committed.id.short());
        committed.snapshot.seen.iter().map(move |seen| (seen, who.clone()))
    });
    let by_tombed =
        snapshots.seen_by_tombed.iter().map(|seen| (seen, "a forgotten snapshot".to_owned()));
    for (seen, who) in by_kept.chain(by_tombed) {
        if !listed.contains(&seen.session) && !snapshots.tombed.contains(&seen.session) {
            let name = ObjectName::snapshot(seen.session);
            let message =
                format!("it is missing or damaged: {who} has seen it, and nobody forgot it");
            findings.add(&name, message).hint =
                "Find out who can delete from this location; its files may be in later snapshots."
                    .to_owned();
        }
    }
}

/// Finds index segments that a snapshot names and that are gone. Their packs can still be read.
fn find_lost_segments(
    repository: &Repository,
    snapshots: &Snapshots,
    findings: &mut Findings,
) -> Result<()> {
    let mut listed = HashSet::new();
    for name in list_names(&**repository.backend(), ObjectKind::Index)? {
        if let Parsed::Index(_, _, id) = name.parsed() {
            listed.insert(id);
        }
    }
    for committed in &snapshots.all {
        for id in committed.snapshot.segments.iter().filter(|id| !listed.contains(id)) {
            let message = format!("snapshot {} needs it, and it is missing", committed.id.short());
            findings.add_named(format!("index segment {id}"), message).hint =
                "Restores read the headers of its packs instead, which takes longer.".to_owned();
        }
    }
    Ok(())
}

/// Finds index segments that say of packs what is not true.
fn find_false_segments(
    repository: &Repository,
    lens: &HashMap<PackId, u64>,
    budget: &Budget,
    run: &Run<'_>,
) -> Result<Vec<FalseSegment>> {
    let listed = list(&**repository.backend(), ObjectKind::Index)?;
    let compared = listed.par_iter().map(|object| {
        run.cancel.check()?;
        let Parsed::Index(session, sequence, _) = object.name.parsed() else { return Ok(None) };
        let _grant = budget.take(object.len as usize);
        witness::contradicted(repository, &object.name, (session, sequence), lens)
    });
    compared.filter_map(Result::transpose).collect()
}

/// Findings by object, in the order they came.
#[derive(Default)]
struct Findings(BTreeMap<String, Finding>);

impl Findings {
    fn add(&mut self, name: &ObjectName, message: String) -> &mut Finding {
        let object = format!("{} {name}", name.kind().noun());
        self.add_named(object, message)
    }

    fn add_named(&mut self, object: String, message: String) -> &mut Finding {
        self.0.entry(object.clone()).or_insert_with(|| Finding {
            object,
            message,
            hint: String::new(),
            affected: Vec::new(),
        })
    }

    fn add_error(&mut self, error: &Error) {
        let object = error.object.clone().unwrap_or_else(|| error.message.clone());
        let finding = self.add_named(object, cause(error));
        if let Some(hint) = &error.hint
            && !hint.contains("parados check")
        {
            finding.hint.clone_from(hint);
        }
    }

    /// As [`Self::affect`], for the object that an error is about.
    fn affect_by(&mut self, error: &Error, path: String) {
        let object = error.object.clone().unwrap_or_else(|| error.message.clone());
        self.affect(object, &cause(error), path);
    }

    fn affect(&mut self, object: String, message: &str, path: String) {
        let finding = self.add_named(object, message.to_owned());
        if finding.affected.len() < AFFECTED_COUNT_MAX {
            finding.affected.push(path);
        }
    }

    fn finish(self) -> Vec<Finding> {
        let mut all: Vec<Finding> = self.0.into_values().collect();
        for finding in &mut all {
            if finding.hint.is_empty() {
                finding.hint = if finding.affected.is_empty() {
                    "No file in any snapshot needs it.".to_owned()
                } else {
                    "Back up the sources again from this host: what they still have is stored anew."
                        .to_owned()
                };
            }
        }
        all.sort_by_key(|finding| std::cmp::Reverse(finding.affected.len()));
        all
    }
}

/// Whether an error says that a pack and what is said of it differ, not that its bytes do.
fn is_contradiction(error: &Error) -> bool {
    let source = error.source.as_ref().and_then(|source| source.downcast_ref::<DecodeError>());
    source == Some(&DecodeError::Inconsistent)
}

fn cause(error: &Error) -> String {
    match &error.source {
        Some(source) => source.to_string(),
        None => error.message.clone(),
    }
}

/// What reading all packs came to.
#[derive(Default)]
struct ReadPacks {
    damaged: Vec<(PackId, Error)>,
    bytes: u64,
}

fn read_packs(
    repository: &Repository,
    chunks: &Chunks,
    packs: Vec<(PackId, u64)>,
    budget: &Budget,
    run: &Run<'_>,
) -> Result<ReadPacks> {
    run.progress.bytes_total.set(packs.iter().map(|(_, len)| len).sum());
    let gathered = Mutex::new(ReadPacks::default());
    packs.par_iter().try_for_each(|(id, len)| {
        run.cancel.check()?;
        let _grant = budget.take(*len as usize);
        let record = chunks.pack(id)?;
        let read = match read_pack(repository, id, record.as_deref()) {
            // That is no damage.
            Err(error) if error.kind == ErrorKind::Offline => return Err(error),
            read => read,
        };
        run.progress.bytes_done.add(*len);
        let mut gathered = gathered.lock().expect("no thread panics while it holds the lock");
        gathered.bytes += len;
        gathered.damaged.extend(read.err().map(|error| (*id, error)));
        Ok::<(), Error>(())
    })?;
    let mut read = gathered.into_inner().expect("no thread panics while it holds the lock");
    read.damaged.sort_by_key(|(id, _)| *id);
    Ok(read)
}

/// Reads a whole pack and opens every frame.
fn read_pack(repository: &Repository, id: &PackId, record: Option<&PackRecord>) -> Result<()> {
    let keyring = repository.keyring();
    let refuse = |error| damaged_pack(id, error);
    let sealed = repository.backend().get(&ObjectName::pack(*id))?;
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

/// What is known of ids, so that it is not found out again. Too much of it is forgotten, which costs
/// time and not memory.
struct Remembered<K, V> {
    by_id: HashMap<K, V>,
    count_max: usize,
    /// How many were new when they were added.
    new_count: u64,
}

impl<K: Eq + Hash, V: Copy> Remembered<K, V> {
    /// Remembers what `bytes` of memory have room for.
    fn new(bytes: u64) -> Self {
        let count_max = (bytes / REMEMBERED_BYTES).max(1) as usize;
        Self { by_id: HashMap::new(), count_max, new_count: 0 }
    }

    fn get(&self, id: &K) -> Option<V> {
        self.by_id.get(id).copied()
    }

    /// Whether `id` is new.
    fn insert(&mut self, id: K, value: V) -> bool {
        if self.by_id.len() >= self.count_max && !self.by_id.contains_key(&id) {
            self.by_id.clear();
        }
        let is_new = self.by_id.insert(id, value).is_none();
        self.new_count += u64::from(is_new);
        is_new
    }
}

/// A place in a snapshot. It names its directory instead of repeating its path, so that what is still
/// to be walked takes little memory however deep it lies.
struct Place {
    directory: Option<Rc<Place>>,
    name: Vec<u8>,
    depth: usize,
}

impl Place {
    fn below(directory: &Rc<Self>, name: &[u8]) -> Rc<Self> {
        let depth = directory.depth + 1;
        Rc::new(Self { directory: Some(Rc::clone(directory)), name: name.to_vec(), depth })
    }

    /// The path for messages, escaped.
    fn path(&self) -> String {
        let mut names = Vec::new();
        let mut place = self;
        while let Some(directory) = &place.directory {
            names.push(&place.name[..]);
            place = directory;
        }
        names.iter().rev().map(|name| format!("/{}", escape(name))).collect()
    }
}

/// Chunks that are to be looked up, and where they are needed.
type Wanted = Vec<(Piece, Rc<Place>)>;

/// Walks snapshots, each node once.
struct Walker<'a> {
    reader: &'a Reader<'a>,
    run: &'a Run<'a>,
    /// Packs that are not as they were stored; what they hold must be tried chunk by chunk.
    damaged: HashSet<PackId>,
    /// Whether a pack can be relied on, for those that were asked about.
    sound: Remembered<PackId, bool>,
    /// Chunks that are whole with their lengths; nodes of trees have none.
    seen: Remembered<ChunkId, u64>,
    /// How often the chunks of each page of a list were looked at. Once more than a finding names is
    /// enough: a page may stand in a list any number of times.
    expanded: Remembered<ChunkId, usize>,
    findings: &'a mut Findings,
}

impl Walker<'_> {
    fn snapshot(&mut self, committed: &Committed) -> Result<()> {
        let short = committed.id.short();
        for component in &committed.snapshot.components {
            let top = Rc::new(Place { directory: None, name: Vec::new(), depth: 0 });
            let mut levels: Vec<_> = component
                .root
                .filter(|tree| self.seen.insert(tree.id, 0))
                .map(|tree| (tree, top))
                .into_iter()
                .collect();
            while let Some((tree, place)) = levels.pop() {
                self.run.cancel.check()?;
                self.directory(&short, tree, &place, &mut levels)?;
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        snapshot: &str,
        tree: TreeRef,
        place: &Rc<Place>,
        levels: &mut Vec<(TreeRef, Rc<Place>)>,
    ) -> Result<()> {
        if place.depth > DEPTH_MAX {
            let message = format!("it lies deeper than {DEPTH_MAX} directories");
            self.findings.add_named(format!("a directory of snapshot {snapshot}"), message);
            return Ok(());
        }
        let mut wanted = Wanted::new();
        for entry in Walk::new(self.reader, Some(&tree)) {
            match entry {
                Ok(entry) => {
                    let below = Place::below(place, &entry.name);
                    self.content(snapshot, &entry, &below, &mut wanted)?;
                    levels.extend(
                        entry
                            .tree
                            .filter(|tree| self.seen.insert(tree.id, 0))
                            .map(|tree| (tree, below)),
                    );
                }
                Err(error) => {
                    let path = format!("snapshot {snapshot}: {}/", place.path());
                    self.findings.affect_by(&error, path);
                }
            }
        }
        self.look_up(snapshot, wanted)
    }

    fn content(
        &mut self,
        snapshot: &str,
        entry: &Entry,
        place: &Rc<Place>,
        wanted: &mut Wanted,
    ) -> Result<()> {
        // A level of pages each, of which one at a time is open.
        let open = |list: ChunkList| (list.level, list.pieces.into_iter());
        let mut levels: Vec<_> = entry.content.clone().map(open).into_iter().collect();
        while let Some((level, pieces)) = levels.last_mut() {
            self.run.cancel.check()?;
            let level = *level;
            let Some(piece) = pieces.next() else {
                levels.pop();
                continue;
            };
            if level == 0 {
                if self.seen.get(&piece.id) != Some(piece.len) {
                    wanted.push((piece, Rc::clone(place)));
                }
                // A file may have more chunks than memory has room for.
                if wanted.len() >= LOOKUP_COUNT {
                    self.look_up(snapshot, std::mem::take(wanted))?;
                }
                continue;
            }
            let times = self.expanded.get(&piece.id).unwrap_or(0);
            if times >= AFFECTED_COUNT_MAX {
                continue;
            }
            self.expanded.insert(piece.id, times + 1);
            match read_page(self.reader, &piece, level - 1) {
                Ok(page) => levels.push(open(page)),
                Err(error) => {
                    let path = format!("snapshot {snapshot}: {}", place.path());
                    self.findings.affect_by(&error, path);
                }
            }
        }
        Ok(())
    }

    fn look_up(&mut self, snapshot: &str, wanted: Wanted) -> Result<()> {
        let ids: Vec<ChunkId> = wanted.iter().map(|(piece, _)| piece.id).collect();
        let located = self.reader.chunks().locate(&ids)?;
        let mut last: Option<(Rc<Place>, String)> = None;
        for ((piece, place), copies) in wanted.into_iter().zip(located) {
            if copies.iter().any(|copy| self.is_good(&piece, copy)) || self.can_be_read(&piece) {
                self.seen.insert(piece.id, piece.len);
                continue;
            }
            let object = match copies.first() {
                Some(copy) => format!("pack {}", ObjectName::pack(copy.pack.id)),
                None => "index".to_owned(),
            };
            // A file of many lost chunks is named once.
            if last.as_ref().is_some_and(|(p, o)| Rc::ptr_eq(p, &place) && *o == object) {
                continue;
            }
            let shown = format!("snapshot {snapshot}: {}", place.path());
            self.findings.affect(object.clone(), "chunks are in no pack that is left", shown);
            last = Some((place, object));
        }
        Ok(())
    }

    /// Whether a copy is what the file needs, in a pack that is as it was stored.
    fn is_good(&mut self, piece: &Piece, copy: &Located) -> bool {
        let frame = copy.pack.frames.get(copy.place.frame as usize);
        let fits = frame.is_some_and(|frame| frame.kind == FrameKind::Data)
            && u64::from(copy.place.len) == piece.len;
        if !fits {
            return false;
        }
        let id = copy.pack.id;
        if let Some(is_sound) = self.sound.get(&id) {
            return is_sound;
        }
        let is_sound = self.reader.chunks().is_alive(&id) && !self.damaged.contains(&id);
        self.sound.insert(id, is_sound);
        is_sound
    }

    /// Whether some copy of a chunk is good all the same.
    fn can_be_read(&self, piece: &Piece) -> bool {
        let read = self.reader.chunk(FrameKind::Data, &piece.id);
        read.is_ok_and(|raw| raw.len() as u64 == piece.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_that_cost_files_come_first() {
        let mut findings = Findings::default();
        findings.add_named("a".into(), "odd".into());
        findings.affect("b".into(), "gone", "snapshot 1: /x".into());
        let all = findings.finish();
        assert_eq!((all[0].object.as_str(), all[1].object.as_str()), ("b", "a"));
        assert!(all[1].hint.contains("No file"));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut remembered = Remembered::new(3 * REMEMBERED_BYTES);
        for id in 0..3 {
            assert!(remembered.insert(id, 10 * id));
        }
        // One that is known takes no room.
        assert!(!remembered.insert(2, 7));
        assert_eq!((remembered.get(&0), remembered.get(&2)), (Some(0), Some(7)));
        assert!(remembered.insert(3, 30));
        assert_eq!((remembered.by_id.len(), remembered.new_count), (1, 4));
        assert_eq!((remembered.get(&0), remembered.get(&3)), (None, Some(30)));
    }
}
