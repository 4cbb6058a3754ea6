//! A store that does what stores may do, with all that was ever written to it.

use crate::counts::Counts;
use crate::invariants::Truth;
use crate::random::Random;
use crate::rules::Rules;
use crate::set::{CAPACITY, Set};

/// Ids of chunks, a bit each: contents of files, then nodes.
pub type Chunks = u128;

/// Different contents of files.
pub const CONTENT_COUNT: usize = 6;
/// Directories of a source.
pub const DIRECTORY_COUNT: usize = 2;
/// Hosts that make backups.
pub const HOST_COUNT: usize = 3;
/// A round with a number above is not begun: it would end the capacity of a set.
pub const ROUND_MAX: u16 = CAPACITY as u16 / 3 - 2;

/// All ids of contents.
pub const CONTENTS: Chunks = (1 << CONTENT_COUNT) - 1;

/// A directory: the contents of its files, a bit each.
pub type Directory = u8;
/// What a source has.
pub type Directories = [Directory; DIRECTORY_COUNT];

/// The id of the node that says what is in a directory.
pub fn node(directory: Directory) -> Chunks {
    1 << (CONTENT_COUNT + usize::from(directory))
}

/// The ids of what is in a directory.
pub fn contents(directory: Directory) -> Chunks {
    Chunks::from(directory)
}

/// Chunks one by one.
pub fn each(chunks: Chunks) -> impl Iterator<Item = Chunks> {
    (0..Chunks::BITS).map(|bit| 1 << bit).filter(move |chunk| chunks & chunk != 0)
}

/// What a snapshot or a root says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Body {
    pub directories: Directories,
    /// Segments of its session.
    pub segments: Set,
    /// Heads that its writer saw.
    pub seen: Set,
    pub writer: u8,
    /// Its age among those of its writer.
    pub sequence: u64,
}

impl Body {
    /// Everything that it needs.
    pub fn needs(&self) -> Chunks {
        self.directories.iter().fold(0, |all, it| all | node(*it) | contents(*it))
    }
}

/// What an index segment says.
#[derive(Clone, Copy, Default)]
pub struct Segment {
    pub packs: Set,
    pub supersedes: Set,
}

/// A record of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Candidates,
    Begin,
    Doomed,
}

/// The name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Pack(u16),
    Segment(u16),
    Root(u16),
    Snapshot(u16),
    Tombstone(u16),
    Round(u16, Step),
}

/// What an object says beyond what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// What is known by its name.
    Whole,
    /// A pack that lacks its end.
    Short,
    /// The snapshot that the root of the session says.
    Snapshot,
    /// The session never ends.
    Abort,
    /// Forgotten sessions.
    Sessions(Set),
    /// Packs of a round.
    Packs(Set),
}

/// Kinds of objects that can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Packs,
    Segments,
    Roots,
    Snapshots,
    Tombstones,
    Rounds,
}

/// The answer to a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Created,
    Exists,
    /// No answer: it may have taken effect, or may yet.
    Unclear,
}

/// A request that takes effect later.
#[derive(Clone, Copy, Debug)]
pub enum Ghost {
    Put(Name, Value),
    Delete(Name),
}

/// Shares of what new actors do.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    pub backup: u32,
    pub unforget: u32,
    pub forget: u32,
    pub prune: u32,
    pub restore: u32,
}

/// How often things go wrong, times in a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Chances {
    /// A put or a delete has no answer.
    pub fault: u32,
    /// Of those, it takes effect later.
    pub late: u32,
    /// Of puts of packs without answer, what is there is too short.
    pub torn: u32,
    /// A late request takes effect, at each step.
    pub landing: u32,
    /// A listing takes more than one page.
    pub pages: u32,
    /// Others come in before a read; before each write they do.
    pub reading: u32,
    /// An actor is killed, at each of its steps.
    pub kill: u32,
    /// An actor is suspended.
    pub suspend: u32,
    /// It is suspended for long where that matters most: between pages, beside records of
    /// rounds and before roots.
    pub dwell: u32,
    /// Most steps for which it is.
    pub sleep_max: usize,
    /// The same actor goes on.
    pub goes_on: u32,
    /// The store hides a snapshot, at each step.
    pub hide: u32,
    /// The store does not find a snapshot that is asked for.
    pub unfound: u32,
    /// What is read of a pack is not what it says, this time.
    pub misread: u32,
    /// A pack loses its end, at each step.
    pub damage: u32,
    /// A segment is lost, at each step.
    pub lose: u32,
    /// A session without decision counts as abandoned, for one prune.
    pub fence: u32,
    /// A prune waits after it has named candidates.
    pub grace: u32,
    /// A prune empties packs that are needed in part.
    pub empty: u32,
    /// A directory differs from the last backup.
    pub change: u32,
    /// A run has lost the cache of its host.
    pub forgetful: u32,
    /// What new actors do.
    pub mix: Mix,
    /// Actors at a time.
    pub actor_count: usize,
    /// Steps of a schedule, before it is calm.
    pub step_count: u64,
}

/// What is stored now.
#[derive(Default)]
pub struct Stored {
    pub packs: Set,
    /// Those of them that are too short.
    pub short: Set,
    pub segments: Set,
    pub roots: Set,
    pub snapshots: Set,
    pub aborts: Set,
    /// Snapshots that the store leaves out of listings.
    pub hidden: Set,
    tombstones: Vec<(u16, Set)>,
    rounds: Vec<[Option<Set>; 3]>,
}

/// Everything.
pub struct World {
    pub random: Random,
    pub rules: Rules,
    pub chances: Chances,
    /// Steps so far.
    pub now: u64,
    pub counts: Counts,
    /// What happened, if somebody wants to read it.
    pub trace: Option<Vec<String>>,
    /// The step changed something.
    pub has_changed: bool,
    /// Whoever made the step is suspended for long.
    pub dwells: bool,
    pub truth: Truth,
    pub stored: Stored,
    pub ghosts: Vec<Ghost>,
    /// What every name ever meant.
    pub packs: Vec<Chunks>,
    pub segments: Vec<Segment>,
    pub bodies: Vec<Body>,
    used_packs: Set,
    used_segments: Set,
    used_sessions: Set,
}

impl World {
    pub fn new(seed: u64, rules: Rules, chances: Chances, is_traced: bool) -> Self {
        Self {
            random: Random::new(seed),
            rules,
            chances,
            now: 0,
            counts: Counts::default(),
            trace: is_traced.then(Vec::new),
            has_changed: false,
            dwells: false,
            truth: Truth::default(),
            stored: Stored::default(),
            ghosts: Vec::new(),
            packs: vec![0; CAPACITY],
            segments: vec![Segment::default(); CAPACITY],
            bodies: vec![Body::default(); CAPACITY],
            used_packs: Set::EMPTY,
            used_segments: Set::EMPTY,
            used_sessions: Set::EMPTY,
        }
    }

    /// Notes what happened.
    pub fn tell(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:>5} {}", text()));
        }
    }

    /// A name for a pack that holds these chunks; none when there are too many.
    pub fn new_pack(&mut self, chunks: Chunks) -> Option<u16> {
        // Names are hashes: no order of age is in them.
        let pack = free(&mut self.used_packs, &mut self.random)?;
        self.packs[usize::from(pack)] = chunks;
        Some(pack)
    }

    /// A name for a segment.
    pub fn new_segment(&mut self, segment: Segment) -> Option<u16> {
        let id = free(&mut self.used_segments, &mut self.random)?;
        self.segments[usize::from(id)] = segment;
        Some(id)
    }

    /// A name for a session.
    pub fn new_session(&mut self) -> Option<u16> {
        free(&mut self.used_sessions, &mut self.random)
    }

    /// All sessions so far.
    pub fn sessions(&self) -> Set {
        self.used_sessions
    }

    /// What these packs hold together.
    pub fn chunks_of(&self, packs: Set) -> Chunks {
        packs.iter().fold(0, |all, pack| all | self.packs[usize::from(pack)])
    }

    /// Numbers of rounds are below this.
    pub fn round_count(&self) -> u16 {
        self.stored.rounds.len() as u16
    }

    /// All sessions that tombstones name.
    pub fn tombed(&self) -> Set {
        self.stored.tombstones.iter().fold(Set::EMPTY, |all, (_, sessions)| all | *sessions)
    }

    /// What is under a name.
    pub fn get(&self, name: Name) -> Option<Value> {
        let stored = &self.stored;
        match name {
            Name::Pack(id) if stored.short.has(id) => Some(Value::Short),
            Name::Pack(id) => stored.packs.has(id).then_some(Value::Whole),
            Name::Segment(id) => stored.segments.has(id).then_some(Value::Whole),
            Name::Root(id) => stored.roots.has(id).then_some(Value::Whole),
            Name::Snapshot(id) if stored.snapshots.has(id) => Some(Value::Snapshot),
            Name::Snapshot(id) => stored.aborts.has(id).then_some(Value::Abort),
            Name::Tombstone(id) => {
                let mut tombstones = stored.tombstones.iter();
                tombstones.find(|(at, _)| *at == id).map(|(_, of)| Value::Sessions(*of))
            }
            Name::Round(number, step) => {
                let records = stored.rounds.get(usize::from(number))?;
                records[step as usize].map(Value::Packs)
            }
        }
    }

    /// All names of a kind. A round has three.
    pub fn list(&self, kind: Kind) -> Set {
        let stored = &self.stored;
        match kind {
            Kind::Packs => stored.packs,
            Kind::Segments => stored.segments,
            Kind::Roots => stored.roots,
            Kind::Snapshots => stored.snapshots | stored.aborts,
            Kind::Tombstones => {
                let mut all = Set::EMPTY;
                stored.tombstones.iter().for_each(|(at, _)| all.insert(*at));
                all
            }
            Kind::Rounds => {
                let mut all = Set::EMPTY;
                for (number, records) in (0..).zip(&stored.rounds) {
                    for (step, record) in (0..).zip(records) {
                        if record.is_some() {
                            all.insert(number * 3 + step);
                        }
                    }
                }
                all
            }
        }
    }

    /// Puts, unless the name is taken.
    pub fn put(&mut self, name: Name, value: Value) -> Put {
        if self.get(name).is_some() {
            return Put::Exists;
        }
        self.has_changed = true;
        let stored = &mut self.stored;
        match (name, value) {
            (Name::Pack(id), _) => {
                stored.packs.insert(id);
                if value == Value::Short {
                    stored.short.insert(id);
                }
            }
            (Name::Segment(id), _) => stored.segments.insert(id),
            (Name::Root(id), _) => stored.roots.insert(id),
            (Name::Snapshot(id), Value::Abort) => stored.aborts.insert(id),
            (Name::Snapshot(id), _) => stored.snapshots.insert(id),
            (Name::Tombstone(id), Value::Sessions(of)) => stored.tombstones.push((id, of)),
            (Name::Round(number, step), Value::Packs(packs)) => {
                let number = usize::from(number);
                if stored.rounds.len() <= number {
                    stored.rounds.resize(number + 1, [None; 3]);
                }
                stored.rounds[number][step as usize] = Some(packs);
            }
            (Name::Tombstone(_) | Name::Round(..), _) => unreachable!("they say what they name"),
        }
        self.note_put(name, value);
        Put::Created
    }

    /// Deletes, also what is not there.
    pub fn delete(&mut self, name: Name) {
        if self.get(name).is_none() {
            self.counts.deleted_nothing += 1;
            return;
        }
        self.has_changed = true;
        let stored = &mut self.stored;
        match name {
            Name::Pack(id) => {
                stored.packs.remove(id);
                stored.short.remove(id);
                self.counts.deleted_packs += 1;
            }
            Name::Segment(id) => stored.segments.remove(id),
            Name::Root(id) => stored.roots.remove(id),
            Name::Snapshot(id) => {
                stored.snapshots.remove(id);
                stored.aborts.remove(id);
                stored.hidden.remove(id);
            }
            Name::Tombstone(id) => stored.tombstones.retain(|(at, _)| *at != id),
            Name::Round(number, step) => {
                stored.rounds[usize::from(number)][step as usize] = None;
            }
        }
    }

    /// Lets a late request take effect.
    pub fn land(&mut self, at: usize) {
        let ghost = self.ghosts.swap_remove(at);
        self.tell(|| format!("  late: {ghost:?}"));
        self.counts.landed += 1;
        match ghost {
            Ghost::Put(name, value) => drop(self.put(name, value)),
            Ghost::Delete(name) => self.delete(name),
        }
    }
}

fn free(used: &mut Set, random: &mut Random) -> Option<u16> {
    let start = random.below(CAPACITY) as u16;
    let mut all = (start..CAPACITY as u16).chain(0..start);
    let id = all.find(|id| !used.has(*id))?;
    used.insert(id);
    Some(id)
}
