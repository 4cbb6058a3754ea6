//! Every action on every kind of object, followed by everything that a person does.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parados::backend::Backend;
use parados::base::{ErrorKind, Id, PackId, SessionId, Timestamp, WriterId};
use parados::format::generation::Generation;
use parados::format::ledger::LedgerRecord;
use parados::format::name::Parsed;
use parados::format::note::Note;
use parados::format::tombstone::Tombstone;
use parados::format::{GenerationStep, ObjectName};
use tempfile::TempDir;

use crate::actions::{ACTIONS, Action, Leaves};
use crate::world::{Answer, Case, Contents, Look, OPERATIONS, Operation, Thing, World, look};

/// Between two lengths to which a longer object is cut.
const STRIDE: usize = 4;
/// Objects up to this length are cut to every length.
const SHORT_LEN: usize = 1100;

/// A repository with several objects of every kind.
pub(crate) struct Scene {
    pub(crate) scratch: Arc<TempDir>,
    pub(crate) contents: Contents,
    /// What the source holds, and the last snapshot.
    pub(crate) source: Look,
    pub(crate) first: SessionId,
    forgotten: SessionId,
    pub(crate) last: SessionId,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let world = World::new();
        world.fill();
        let first = world.backup();
        let forgotten = world.backup();
        world.write("dir/three.bin", crate::world::noise("three", 4000));
        world.write("dir/deeper/four", "four\n");
        let last = world.backup();
        let scene = Self {
            scratch: Arc::clone(&world.scratch),
            contents: Contents::new(),
            source: look(&world.at("source")),
            first,
            forgotten,
            last,
        };
        scene.add_records(&world);
        Self { contents: world.store.contents(), ..scene }
    }

    /// What other commands will write.
    fn add_records(&self, world: &World) {
        let repository = world.open().unwrap();
        let put = |parsed: Parsed, body: &[u8]| {
            let name = ObjectName::of(&parsed);
            world.store.put(&name, &repository.seal(&name, body)).unwrap();
        };
        let time = Timestamp::new(1_795_478_400, 0);
        let mut config = repository.config().clone();
        let before = &world.store.contents()["config/1"];
        config.predecessor = Some(blake3::hash(before).as_bytes().to_vec());
        put(Parsed::Config(2), &config.encode());
        let other: SessionId = Id::new([9; 32]);
        for session in [self.forgotten, other] {
            let tombstone = Tombstone {
                sessions: vec![session],
                time,
                seen: Vec::new(),
                reason: "keep 2".into(),
            };
            put(Parsed::Tombstone(session), &tombstone.encode());
        }
        let pack = PackId::new([5; 32]);
        for (number, step, packs) in [
            (1, GenerationStep::Candidates, vec![pack]),
            (1, GenerationStep::Begin, vec![]),
            (1, GenerationStep::Doomed, vec![pack]),
            (2, GenerationStep::Candidates, vec![pack]),
            (2, GenerationStep::Begin, vec![]),
        ] {
            let generation = Generation { number, time, packs };
            put(Parsed::Generation(number, step), &generation.encode());
        }
        for number in [1, 2] {
            let note = Note {
                session: self.last,
                time,
                tags: Some(vec!["kept".into()]),
                pinned: None,
                description: None,
            };
            put(Parsed::Note(self.last, number), &note.encode());
            let record = LedgerRecord {
                time,
                writer: WriterId::new([4; 32]),
                verified: vec![pack],
                drill: None,
                damaged: None,
            };
            put(Parsed::Ledger("verified".into(), number.to_string()), &record.encode());
            let record = LedgerRecord { verified: vec![], damaged: Some(vec![pack]), ..record };
            put(Parsed::Ledger("damaged".into(), number.to_string()), &record.encode());
        }
    }

    /// The name of the object of `kind` that a session wrote.
    fn of(&self, kind: &str, session: SessionId) -> String {
        let prefix = format!("{kind}/{session}");
        self.contents.keys().find(|name| name.starts_with(&prefix)).unwrap().clone()
    }

    /// Whether it is the key slot by which operations open the repository: one that is spoiled is like that of
    /// somebody else.
    fn is_opened_by(&self, name: &str) -> bool {
        const RECOVERY_CODE: u8 = 3;
        name.starts_with("keys/") && self.contents[name][6] != RECOVERY_CODE
    }

    /// The packs that the first session wrote, the longest first: data, then metadata.
    fn packs(&self) -> Vec<&String> {
        let mut found: Vec<_> = self
            .contents
            .iter()
            .filter(|(name, bytes)| {
                name.starts_with("packs/") && bytes[24..56] == *self.first.as_bytes()
            })
            .collect();
        found.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
        found.into_iter().map(|(name, _)| name).collect()
    }
}

/// What somebody needs an object for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nobody needs it while all is well; only `check` reads it.
    Nobody,
    /// What it says is found elsewhere or done without, and these operations say so.
    Told(&'static [Operation]),
    /// Its files.
    Files,
}

pub(crate) struct Victim {
    pub(crate) title: &'static str,
    pub(crate) name: fn(&Scene) -> String,
    pub(crate) need: Need,
}

const ALL: &[Operation] = &OPERATIONS;
const CHUNK_READERS: &[Operation] =
    &[Operation::Ls, Operation::Restore, Operation::Check, Operation::Backup];
const WRITERS: &[Operation] = &[Operation::Check, Operation::Backup];

pub(crate) const VICTIMS: &[Victim] = &[
    Victim { title: "first config", name: |_| "config/1".into(), need: Need::Told(ALL) },
    Victim { title: "last config", name: |_| "config/2".into(), need: Need::Told(ALL) },
    Victim {
        title: "spare key slot",
        name: |scene| {
            let mut names = scene.contents.keys().filter(|name| name.starts_with("keys/"));
            names.find(|name| !scene.is_opened_by(name)).unwrap().clone()
        },
        need: Need::Nobody,
    },
    Victim { title: "data pack", name: |s| s.packs()[0].clone(), need: Need::Files },
    Victim { title: "metadata pack", name: |s| s.packs()[1].clone(), need: Need::Files },
    Victim {
        title: "index segment",
        name: |scene| scene.of("index", scene.first),
        need: Need::Told(CHUNK_READERS),
    },
    Victim {
        title: "session root",
        name: |scene| scene.of("sessions", scene.first),
        need: Need::Nobody,
    },
    Victim {
        title: "snapshot",
        name: |scene| scene.of("snapshots", scene.first),
        need: Need::Told(ALL),
    },
    Victim {
        title: "tombstone",
        name: |scene| scene.of("tombs", scene.forgotten),
        need: Need::Told(ALL),
    },
    Victim { title: "decided doomed", name: |_| "gc/1/d".into(), need: Need::Told(WRITERS) },
    Victim { title: "open candidates", name: |_| "gc/2/c".into(), need: Need::Told(WRITERS) },
    Victim { title: "begin", name: |_| "gc/2/b".into(), need: Need::Nobody },
    Victim { title: "note", name: |s| format!("notes/{}/1", s.last), need: Need::Told(ALL) },
    Victim { title: "ledger record", name: |_| "ledger/verified/1".into(), need: Need::Nobody },
    Victim { title: "record of damage", name: |_| "ledger/damaged/1".into(), need: Need::Nobody },
];

/// What of the source is not what it was. Each must be told, and may lack bytes but have no wrong
/// ones.
pub(crate) fn lost(world: &World, expected: &Look, answer: &Answer) -> BTreeSet<String> {
    let (found, told) = (world.of_source(&answer.restored), answer.told());
    let mut lost = BTreeSet::new();
    for path in found.keys() {
        assert!(expected.contains_key(path), "{path} was never there");
    }
    for (path, thing) in expected {
        if found.get(path) == Some(thing) {
            continue;
        }
        let top = format!("{}{}", world.at("target").display(), world.at("source").display());
        let full = format!("{top}/{path}");
        let above = full.match_indices('/').map(|(at, _)| &full[..at]);
        // Of the names of one file, the first one stands for all.
        let is_same = path == "hello.txt" && told.contains(&format!("{top}/dir/again: "));
        let is_told = is_same
            || told.contains(&full)
            || above
                .map(|dir| format!("could not restore all of {dir}: "))
                .any(|t| told.contains(&t));
        assert!(is_told, "nobody told of {full}:\n{told}");
        if let (Some(Thing::File(found)), Thing::File(expected)) = (found.get(path), thing) {
            let is_right = |(found, expected): (&u8, &u8)| found == expected || *found == 0;
            assert!(found.iter().zip(expected).all(is_right), "{path} has wrong bytes");
        }
        lost.insert(path.clone());
    }
    lost
}

/// What must hold after one action on one object.
fn check_case(scene: &Scene, victim: &Victim, action: &Action, stranger: &Contents) {
    let name = (victim.name)(scene);
    let contents = action.apply(&name, &scene.contents, stranger);
    for operation in OPERATIONS {
        let case = format!("{} / {} / {operation:?}", victim.title, action.title);
        let Some(_case) = Case::begin(case) else { continue };
        let world = World::over(&contents, &scene.scratch);
        let answer = world.run(operation, scene.last);
        let told = answer.told();
        // Nobody knows what a round that has begun is about to delete: that stops who would rely on it.
        let may_stop = victim.title == "open candidates" && operation == Operation::Backup;
        if let Some(error) = answer.error.as_ref().filter(|_| may_stop) {
            assert!(error.message.contains(&name), "{told}");
            continue;
        }
        assert!(answer.error.is_none(), "{told}");
        let is_there = action.leaves != Leaves::NoName;
        match victim.need {
            Need::Nobody if operation == Operation::Check && is_there => {
                assert!(told.contains(&name), "{told}");
            }
            Need::Nobody => assert_eq!(told, ""),
            Need::Told(by) if by.contains(&operation) && is_there => {
                assert!(told.contains(&name), "{told}");
            }
            Need::Told(_) | Need::Files => {}
        }
        if victim.need == Need::Files && operation == Operation::Check {
            assert!(told.contains(&name), "{told}");
        }
        check_answer(scene, victim, action, operation, &world, &answer);
    }
}

fn check_answer(
    scene: &Scene,
    victim: &Victim,
    action: &Action,
    operation: Operation,
    world: &World,
    answer: &Answer,
) {
    let name = (victim.name)(scene);
    match operation {
        Operation::Snapshots => {
            let mut expected = BTreeSet::from([scene.first, scene.last]);
            if victim.title == "snapshot" {
                expected.remove(&scene.first);
            }
            if victim.title == "tombstone" {
                expected.insert(scene.forgotten);
            }
            assert_eq!(BTreeSet::from_iter(answer.snapshots.iter().copied()), expected);
        }
        Operation::Ls => {
            let source = world.at("source").to_string_lossy().into_owned() + "/";
            let listed: BTreeSet<_> =
                answer.paths.iter().filter_map(|path| path.strip_prefix(&source)).collect();
            let is_whole = scene.source.keys().all(|path| listed.contains(path.as_str()));
            assert!(is_whole || victim.title == "metadata pack", "{}", answer.told());
            assert!(is_whole || answer.told().contains("could not list all of"));
        }
        Operation::Restore => check_restored(scene, victim, action, world, answer),
        Operation::Backup => {
            // What was made just now is whole, unless it relies on a pack that has its right length.
            let len = world.store.contents().get(&name).map(Bytes::len);
            let looks_whole = len == Some(scene.contents[&name].len());
            let made = world.run(Operation::Restore, answer.snapshots[0]);
            let lost = lost(world, &scene.source, &made);
            let may_lose = victim.need == Need::Files && looks_whole;
            assert!(lost.is_empty() || may_lose, "{lost:?}");
        }
        _ => {}
    }
}

fn check_restored(scene: &Scene, victim: &Victim, action: &Action, world: &World, answer: &Answer) {
    let lost = lost(world, &scene.source, answer);
    if victim.need != Need::Files {
        assert_eq!(lost, BTreeSet::new());
        return;
    }
    assert!(lost.len() < scene.source.len());
    if !matches!(action.leaves, Leaves::Most | Leaves::Newer) {
        assert!(!lost.is_empty(), "something was in it");
    }
    if victim.title == "data pack" {
        // The second session stored it.
        assert!(!lost.contains("dir/three.bin") && !lost.contains("dir/deeper/four"));
        assert!(lost.is_empty() || answer.told().contains("one.bin"), "{}", answer.told());
    }
}

#[test]
fn no_damage_to_one_object_costs_more_than_what_it_holds() {
    let (scene, stranger) = (Scene::new(), Scene::new());
    for victim in VICTIMS {
        for action in ACTIONS {
            check_case(&scene, victim, action, &stranger.contents);
        }
    }
}

/// Actions of which each leaves an object in another state; a prune reads what is left of it.
const TELLING: [&str; 5] = ["flip middle", "halve", "swap for its like", "newer version", "remove"];

/// Whatever is harmed: what can be restored before snapshots are forgotten, brought back and pruned
/// can be restored after it.
#[test]
fn no_prune_beside_damage_takes_what_could_be_restored() {
    let (scene, stranger) = (Scene::new(), Scene::new());
    for victim in VICTIMS {
        for action in ACTIONS.iter().filter(|action| TELLING.contains(&action.title)) {
            let case = format!("{} / {} / prune", victim.title, action.title);
            let Some(_case) = Case::begin(case) else { continue };
            let name = (victim.name)(&scene);
            let contents = action.apply(&name, &scene.contents, &stranger.contents);
            let world = World::over(&contents, &scene.scratch);
            let before = world.run(Operation::Restore, scene.last).restored;
            for operation in [Operation::Forget, Operation::Unforget, Operation::Prune] {
                let answer = world.run(operation, scene.first);
                if let Some(error) = &answer.error {
                    let kinds = [ErrorKind::Damaged, ErrorKind::NotFound, ErrorKind::Unsupported];
                    assert!(kinds.contains(&error.kind), "{operation:?}: {}", answer.told());
                }
            }
            let answer = world.run(Operation::Restore, scene.last);
            assert!(answer.restored == before, "{}", answer.told());
        }
    }
}

#[test]
fn the_scene_is_whole_and_has_every_kind_of_object() {
    let scene = Scene::new();
    for kind in parados::format::ObjectKind::ALL {
        let count = scene.contents.keys().filter(|name| name.starts_with(kind.prefix())).count();
        assert!(count >= 2, "{count} of {kind:?}");
    }
    for operation in OPERATIONS {
        let world = World::over(&scene.contents, &scene.scratch);
        let answer = world.run(operation, scene.last).clean();
        if operation == Operation::Restore {
            assert_eq!(world.of_source(&answer.restored), scene.source);
        }
    }
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// One bit of the byte at this offset is another one.
    Flip(usize),
    /// It ends after so many bytes.
    Cut(usize),
}

impl Change {
    fn of(self, whole: &Bytes) -> Bytes {
        match self {
            Self::Flip(at) => {
                let mut bytes = whole.to_vec();
                bytes[at] ^= 1 << (at % 8);
                bytes.into()
            }
            Self::Cut(len) => whole.slice(..len),
        }
    }
}

/// Every byte of every object, and every length of short ones.
#[test]
fn a_check_names_an_object_of_which_any_byte_is_wrong_or_gone() {
    let scene = Scene::new();
    let mut cases = Vec::new();
    for (name, bytes) in scene.contents.iter().filter(|(name, _)| !scene.is_opened_by(name)) {
        let len = bytes.len();
        let stride = if len <= SHORT_LEN { 1 } else { STRIDE };
        let changes = (0..len).map(Change::Flip).chain((0..len).step_by(stride).map(Change::Cut));
        cases.extend(changes.map(|change| (name, change)));
    }
    let next = AtomicUsize::new(0);
    let worker = || {
        while let Some((name, change)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let Some(_case) = Case::begin(format!("{name} / {change:?}")) else { continue };
            let mut contents = scene.contents.clone();
            contents.insert((*name).clone(), change.of(&scene.contents[*name]));
            let world = World::over(&contents, &scene.scratch);
            let told = world.run(Operation::Check, scene.last).told();
            assert!(told.contains(*name), "{told}");
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            // Threads that wait for work of so small repositories take longer than the work.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            threads.spawn(move || pool.install(worker));
        }
    });
    std::io::stdout().write_all(format!("{} changes\n", cases.len()).as_bytes()).unwrap();
}
