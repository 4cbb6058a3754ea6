//! Sees every object come or go: it says at once when something is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;

use super::content;
use crate::backend::Listed;
use crate::base::{ChunkId, PackId, Problems, SegmentId, SessionId};
use crate::format::entry::TreeRef;
use crate::format::name::Parsed;
use crate::format::snapshot::{Decision, Root, Snapshot};
use crate::format::tree::Node;
use crate::format::{FrameKind, GenerationStep, ObjectKind, ObjectName};
use crate::index::{Cache, Index, PackNo};
use crate::repo::Repository;
use crate::repo::adopt::read_header;
use crate::repo::chunks::Chunks;
use crate::repo::list::for_each_chunk;
use crate::repo::reader::Reader;
use crate::repo::snapshots::{Snapshots, read_decision};
use crate::seal::segment;

/// Names of files, as in the sources, and what they hold.
pub(super) type Tree = BTreeMap<String, u64>;
/// What must never happen, where it did.
pub(super) type Watched<T> = Result<T, String>;

/// The chunks of each frame of a pack.
type Frames = Vec<HashSet<ChunkId>>;

/// A snapshot that was committed.
pub(super) struct Known {
    pub(super) tree: Tree,
    /// Others that its writer has seen.
    pub(super) seen: Vec<SessionId>,
    needs: HashSet<ChunkId>,
}

/// What there is, by the objects themselves.
pub(super) struct Oracle {
    repository: Arc<Repository>,
    chunks: Chunks,
    /// The hash of every object that ever was, by its name.
    written: HashMap<ObjectName, blake3::Hash>,
    /// What packs hold that are or were there, and whole.
    packs: HashMap<PackId, Frames>,
    /// Those that are there.
    whole: HashSet<PackId>,
    /// Some were lost: headers of packs have to be read for every look.
    has_lost_segments: bool,
    /// Where segments that are there, or were lost, say that chunks lie.
    segments: HashMap<SegmentId, Vec<(ChunkId, PackId)>>,
    /// Every snapshot that was ever committed.
    pub(super) known: BTreeMap<SessionId, Known>,
    /// Those whose object is there.
    present: BTreeSet<SessionId>,
    pub(super) tombed: HashSet<SessionId>,
    generations: BTreeMap<u64, BTreeSet<u8>>,
    doomed: BTreeMap<u64, HashSet<PackId>>,
    pub(super) deleted_packs: u64,
    pub(super) decided: u64,
    /// Roots of sessions that were not over, and were looked at.
    pub(super) interrupted: u64,
    /// What the last of each session needs of which nothing was decided, as far as that stays.
    pending: BTreeMap<SessionId, HashSet<ChunkId>>,
}

impl Oracle {
    pub(super) fn new(repository: Repository) -> Self {
        let repository = Arc::new(repository);
        let chunks = fresh_chunks(&repository);
        Self {
            repository,
            chunks,
            written: HashMap::new(),
            packs: HashMap::new(),
            whole: HashSet::new(),
            has_lost_segments: false,
            segments: HashMap::new(),
            known: BTreeMap::new(),
            present: BTreeSet::new(),
            tombed: HashSet::new(),
            generations: BTreeMap::new(),
            doomed: BTreeMap::new(),
            deleted_packs: 0,
            decided: 0,
            interrupted: 0,
            pending: BTreeMap::new(),
        }
    }

    /// Snapshots that are committed and not forgotten.
    pub(super) fn live(&self) -> impl Iterator<Item = (&SessionId, &Known)> {
        let is_live = |id: &&SessionId| !self.tombed.contains(id);
        self.present.iter().filter(is_live).filter_map(|id| self.known.get_key_value(id))
    }

    /// Snapshots that are forgotten and still there.
    pub(super) fn forgotten(&self) -> Vec<SessionId> {
        self.present.iter().filter(|id| self.tombed.contains(id)).copied().collect()
    }

    /// Looks at an object that is new.
    pub(super) fn created(&mut self, name: &ObjectName, bytes: &Bytes) -> Watched<()> {
        let hash = blake3::hash(bytes);
        let before = self.written.insert(name.clone(), hash);
        if before.is_some_and(|before| before != hash) && !self.may_come_again(name) {
            return Err(format!("{name} was written twice, with different bytes"));
        }
        match name.parsed() {
            Parsed::Pack(id) => {
                if let Ok(header) = read_header(&self.repository, id, bytes.len() as u64) {
                    let frames = header.frames.iter();
                    let ids = frames.map(|frame| frame.chunks.iter().map(|c| c.id).collect());
                    self.packs.insert(id, ids.collect());
                    self.whole.insert(id);
                }
                Ok(())
            }
            Parsed::Index(session, sequence, id) => {
                let origin = (session, sequence);
                let (fence, entries) = segment::open(self.repository.keyring(), origin, bytes)
                    .map_err(|error| format!("{name} makes no sense: {error}"))?;
                let pack_of = |number: u32| fence.packs[number as usize].id;
                let places = entries.iter().map(|entry| (entry.id, pack_of(entry.pack)));
                self.segments.insert(id, places.collect());
                Ok(())
            }
            Parsed::Snapshot(id) => {
                self.pending.remove(&id);
                match read_decision(&self.repository, name) {
                    Ok(Some(Decision::Snapshot(snapshot))) => self.committed(id, &snapshot),
                    Ok(_) => Ok(()),
                    Err(error) => Err(format!("{name} cannot be read: {error}")),
                }
            }
            Parsed::Session(id, _) => self.pending(id, name),
            Parsed::Tombstone(_) => {
                self.tombed = Snapshots::read_tombed(&self.repository, &Problems::default())
                    .map_err(|error| error.to_string())?;
                Ok(())
            }
            Parsed::Generation(number, step) => self.agreed(name, number, step),
            _ => Ok(()),
        }
    }

    /// Whether an object is of no consequence that a prune writes which slept meanwhile: a record of
    /// a round that is over, or the end of a session that was committed, forgotten and deleted.
    fn may_come_again(&self, name: &ObjectName) -> bool {
        match name.parsed() {
            Parsed::Generation(..) => true,
            Parsed::Snapshot(id) => {
                let decision = read_decision(&self.repository, name);
                self.tombed.contains(&id) && matches!(decision, Ok(Some(Decision::Abort { .. })))
            }
            _ => false,
        }
    }

    /// Looks at what is left once an object is gone.
    pub(super) fn deleted(&mut self, name: &ObjectName) -> Watched<()> {
        match name.parsed() {
            Parsed::Pack(id) => {
                self.deleted_packs += 1;
                self.whole.remove(&id);
                let held = self.packs.get(&id).into_iter().flatten().flatten().copied();
                self.nobody_misses(&held.collect(), name)
            }
            Parsed::Index(_, _, id) => {
                let said = self.segments.remove(&id).unwrap_or_default();
                self.nobody_misses(&said.into_iter().map(|(chunk, _)| chunk).collect(), name)
            }
            Parsed::Snapshot(id) => {
                self.present.remove(&id);
                if self.known.contains_key(&id) && !self.tombed.contains(&id) {
                    return Err(format!("{name} was deleted, and nobody forgot it"));
                }
                Ok(())
            }
            Parsed::Tombstone(_) => Err(format!("{name} was deleted: it is for ever")),
            Parsed::Generation(number, step) => {
                if let Some(steps) = self.generations.get_mut(&number) {
                    steps.remove(&(step as u8));
                    if steps.is_empty() {
                        self.generations.remove(&number);
                    }
                }
                if step == GenerationStep::Doomed {
                    self.doomed.remove(&number);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A segment is lost, through no fault of anybody who is watched.
    pub(super) fn lose_segment(&mut self) {
        self.has_lost_segments = true;
    }

    /// A pack is lost with all that it holds, through no fault of anybody who is watched.
    pub(super) fn lose_pack(&mut self, id: &PackId) {
        self.whole.remove(id);
    }

    fn nobody_misses(&self, chunks: &HashSet<ChunkId>, name: &ObjectName) -> Watched<()> {
        let live = self.live().map(|(id, known)| ("snapshot", id, &known.needs));
        let pending = self.pending.iter().map(|(id, needs)| ("interrupted session", id, needs));
        for (what, id, needs) in live.chain(pending) {
            if let Some(lost) =
                needs.intersection(chunks).find(|chunk| !self.is_there(chunk, &|_| true))
            {
                return Err(format!("{what} {id} needs chunk {lost}, which went with {name}"));
            }
        }
        Ok(())
    }

    /// Whether a reader finds a chunk, in a pack that counts.
    fn is_there(&self, chunk: &ChunkId, counts: &dyn Fn(&PackId) -> bool) -> bool {
        self.segments.values().flatten().any(|(id, pack)| {
            id == chunk
                && counts(pack)
                && self.whole.contains(pack)
                && self.packs[pack].iter().any(|frame| frame.contains(chunk))
        })
    }

    /// What a session has captured so far must all be there, and stay until it is decided, unless it relied on
    /// what goes: nobody looks again before it is stored.
    fn pending(&mut self, id: SessionId, name: &ObjectName) -> Watched<()> {
        let body = self.repository.open_object(name).map_err(|error| error.to_string())?;
        let root = Root::decode(&body).map_err(|error| error.to_string())?;
        self.pending.remove(&id);
        if root.is_final || self.deleted_packs > 0 || self.has_lost_segments {
            return Ok(());
        }
        self.interrupted += 1;
        self.chunks.refresh().map_err(|error| error.to_string())?;
        let known =
            self.read(&root.snapshot).map_err(|what| format!("{name} is not whole: {what}"))?;
        if let Some(lost) = known.needs.iter().find(|chunk| !self.is_there(chunk, &|_| true)) {
            return Err(format!("{name} needs chunk {lost}, which no segment leads to"));
        }
        // A round that has begun may doom what this needs, and only who commits looks for that.
        let is_decided = |steps: &BTreeSet<u8>| steps.contains(&(GenerationStep::Doomed as u8));
        let stays = |pack: &PackId| self.doomed.values().all(|doomed| !doomed.contains(pack));
        if self.generations.values().last().is_none_or(is_decided)
            && known.needs.iter().all(|chunk| self.is_there(chunk, &stays))
        {
            self.pending.insert(id, known.needs);
        }
        Ok(())
    }

    fn committed(&mut self, id: SessionId, snapshot: &Snapshot) -> Watched<()> {
        self.present.insert(id);
        if self.known.contains_key(&id) {
            return Ok(());
        }
        if self.has_lost_segments {
            self.chunks = fresh_chunks(&self.repository);
        }
        self.chunks.refresh().map_err(|error| error.to_string())?;
        let known =
            self.read(snapshot).map_err(|what| format!("snapshot {id} is not whole: {what}"))?;
        if let Some(lost) = known.needs.iter().find(|chunk| !self.is_there(chunk, &|_| true)) {
            return Err(format!("snapshot {id} needs chunk {lost}, which no segment leads to"));
        }
        self.known.insert(id, known);
        Ok(())
    }

    /// Reads a snapshot as somebody would who restores it.
    fn read(&self, snapshot: &Snapshot) -> Watched<Known> {
        let reader = Reader::new(&self.repository, &self.chunks);
        let seen = snapshot.seen.iter().map(|seen| seen.session).collect();
        let mut known = Known { tree: Tree::new(), seen, needs: HashSet::new() };
        for component in &snapshot.components {
            walk(&reader, component.root.as_ref(), "", &mut known)?;
        }
        Ok(known)
    }

    fn agreed(&mut self, name: &ObjectName, number: u64, step: GenerationStep) -> Watched<()> {
        let highest = self.generations.keys().last().copied().unwrap_or(0);
        self.generations.entry(number).or_default().insert(step as u8);
        // What a prune writes that slept for rounds means nothing.
        if number < highest {
            return Ok(());
        }
        if number > highest && highest > 0 && number != highest + 1 {
            return Err(format!("{name} follows round {highest}"));
        }
        let has = |number: u64, step: GenerationStep| {
            self.generations.get(&number).is_some_and(|steps| steps.contains(&(step as u8)))
        };
        if step == GenerationStep::Candidates
            && number == highest + 1
            && highest > 0
            && !has(highest, GenerationStep::Doomed)
        {
            return Err(format!("{name} was begun before round {highest} was decided"));
        }
        if step == GenerationStep::Doomed {
            self.decided += 1;
            let packs = self.repository.open_object(name).map_err(|error| error.to_string())?;
            let record = crate::format::generation::Generation::decode(&packs, number, step)
                .map_err(|error| error.to_string())?;
            self.doomed.insert(number, record.packs.into_iter().collect());
            let counts = |pack: &PackId| {
                self.doomed
                    .range(number.saturating_sub(1)..)
                    .all(|(_, doomed)| !doomed.contains(pack))
            };
            for (id, known) in self.live() {
                if let Some(lost) = known.needs.iter().find(|chunk| !self.is_there(chunk, &counts))
                {
                    return Err(format!("{name} dooms chunk {lost} of snapshot {id}"));
                }
            }
        }
        Ok(())
    }

    /// That a cache says nothing but what once was so: packs that it knows were written, and hold in
    /// their frames what the cache finds there.
    pub(super) fn agrees_with(&self, index: &dyn Index) -> Watched<()> {
        let failed = |error: crate::base::Error| error.to_string();
        let mut known: HashMap<PackNo, PackId> = HashMap::new();
        index.packs(&mut |no, id, _| known.extend([(no, *id)])).map_err(failed)?;
        if let Some(id) = known.values().find(|id| !self.packs.contains_key(*id)) {
            return Err(format!("a cache knows pack {id}, which nobody wrote"));
        }
        let all: BTreeSet<ChunkId> = self.packs.values().flatten().flatten().copied().collect();
        let all: Vec<ChunkId> = all.into_iter().collect();
        for (chunk, places) in all.iter().zip(index.find(&all).map_err(failed)?) {
            for place in places {
                let pack = known.get(&place.pack).ok_or("a place is in no pack")?;
                let frame = self.packs[pack].get(place.frame as usize);
                if !frame.is_some_and(|held| held.contains(chunk)) {
                    return Err(format!("a cache finds chunk {chunk} in pack {pack} wrongly"));
                }
            }
        }
        Ok(())
    }

    /// What nobody needs, and what is left of what is over; nothing once all is done.
    pub(super) fn left_over(&self) -> Vec<String> {
        let mut left = Vec::new();
        let needs: HashSet<ChunkId> =
            self.live().flat_map(|(_, known)| known.needs.iter().copied()).collect();
        for id in &self.whole {
            let held = &self.packs[id];
            let unneeded = held.iter().filter(|frame| frame.is_disjoint(&needs)).count();
            if unneeded > 0 {
                left.push(format!("pack {} holds {unneeded} frames nobody needs", id.short()));
            }
        }
        let listed = |kind| -> Vec<Listed> {
            let mut all = Vec::new();
            let list = self.repository.backend().list(kind, &mut |one| all.extend(one.ok()));
            list.expect("memory does not fail");
            all
        };
        for pack in listed(ObjectKind::Pack) {
            if let Parsed::Pack(id) = pack.name.parsed()
                && !self.whole.contains(&id)
            {
                left.push(format!("pack {} is there in part", id.short()));
            }
        }
        for root in listed(ObjectKind::Session) {
            left.push(format!("{} is there", root.name));
        }
        let whole = |steps: &BTreeSet<u8>| steps.contains(&(GenerationStep::Doomed as u8));
        if let Some((number, _)) = self.generations.iter().find(|(_, steps)| !whole(steps)) {
            left.push(format!("round {number} is undecided"));
        }
        left.extend(self.forgotten().iter().map(|id| format!("forgotten snapshot {id} is there")));
        left
    }
}

fn fresh_chunks(repository: &Arc<Repository>) -> Chunks {
    let cache = Cache::memory(repository.config().repository);
    Chunks::open(Arc::clone(repository), cache).expect("memory does not fail")
}

/// Reads everything below a tree with the names and contents of its files.
pub(super) fn walk(
    reader: &Reader<'_>,
    tree: Option<&TreeRef>,
    path: &str,
    known: &mut Known,
) -> Watched<()> {
    let Some(tree) = tree else { return Ok(()) };
    let mut open = vec![(tree.id, tree.level)];
    while let Some((id, level)) = open.pop() {
        known.needs.insert(id);
        let raw = reader.chunk(FrameKind::Metadata, &id).map_err(|error| error.to_string())?;
        match Node::decode(&raw, level).map_err(|error| error.to_string())? {
            Node::Branch(_, children) => {
                open.extend(children.iter().map(|child| (child.id, level - 1)));
            }
            Node::Leaf(entries) => {
                for entry in entries {
                    let name = String::from_utf8_lossy(&entry.name).into_owned();
                    let path = format!("{path}/{name}");
                    walk(reader, entry.tree.as_ref(), &path, known)?;
                    let Some(list) = &entry.content else { continue };
                    let mut bytes = Vec::new();
                    for_each_chunk(reader, list, &mut |piece| {
                        known.needs.insert(piece.id);
                        bytes.extend(reader.chunk(FrameKind::Data, &piece.id)?);
                        Ok(())
                    })
                    .map_err(|error| format!("{path}: {error}"))?;
                    let number = content::number_of(&bytes)
                        .ok_or_else(|| format!("{path} holds what nobody wrote"))?;
                    known.tree.insert(path, number);
                }
            }
        }
    }
    Ok(())
}

/// What a reader finds of a snapshot.
pub(super) fn tree_of(reader: &Reader<'_>, snapshot: &Snapshot) -> Watched<Tree> {
    let mut known = Known { tree: Tree::new(), seen: Vec::new(), needs: HashSet::new() };
    for component in &snapshot.components {
        walk(reader, component.root.as_ref(), "", &mut known)?;
    }
    Ok(known.tree)
}
