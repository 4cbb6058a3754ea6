//! Backups of a tree that does not hold still.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::world::{World, compare, has, problems};

/// Backups of a storm, unless the variable of that name says more.
const BACKUP_COUNT: usize = 4;
/// How many times as many are made until one meets a change.
const PATIENCE: usize = 10;
const VARIABLE: &str = "PARADOS_STORM_BACKUPS";
/// Files of each habit; of these, the first is large.
const FILE_COUNT: u32 = 12;
/// Longest of the small and of the large files, in units.
const SMALL: u32 = 4 << 10;
const LARGE: u32 = 192 << 10;
/// Every so many bytes tell to which file, generation and place they belong.
const UNIT: usize = 16;
/// What is written at a time.
const STEP: usize = 4096;

/// What a file keeps doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Is replaced as a whole, by a rename.
    Replaced,
    /// Is written from its start to its end, in place.
    Rewritten,
    /// Is cut, and filled again.
    Cut,
    /// Is removed, and made again.
    Removed,
    /// Moves between two names.
    Moved,
    /// Stays, in a directory that moves.
    Carried,
    /// Becomes a fifo, a link, a directory, and a file again.
    Turned,
}

const HABITS: [Habit; 7] = [
    Habit::Replaced,
    Habit::Rewritten,
    Habit::Cut,
    Habit::Removed,
    Habit::Moved,
    Habit::Carried,
    Habit::Turned,
];

/// A file of the storm; its number is part of its name and of all its bytes.
#[derive(Clone, Copy, Debug)]
struct Actor {
    habit: Habit,
    number: u32,
}

impl Actor {
    fn all() -> impl Iterator<Item = Self> {
        let of = |habit| (0..FILE_COUNT).map(move |number| Self { habit, number });
        HABITS.into_iter().flat_map(of)
    }

    fn of_path(path: &Path) -> Self {
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut words = name.split('-');
        let habit = words.next().unwrap();
        let habit = HABITS.into_iter().find(|h| format!("{h:?}") == habit).unwrap();
        Self { habit, number: words.next().unwrap().parse().unwrap() }
    }

    fn id(self) -> u32 {
        self.habit as u32 * 1000 + self.number
    }

    /// Where it is; one that moves has two places.
    fn path(self, source: &Path, place: u32) -> PathBuf {
        let Self { habit, number } = self;
        match habit {
            Habit::Moved => source.join(format!("{habit:?}-{number}-{place}")),
            Habit::Carried => source.join(format!("place {place}/{habit:?}-{number}")),
            _ => source.join(format!("{habit:?}-{number}")),
        }
    }

    /// Whether it has a name at any moment.
    fn is_always_there(self) -> bool {
        !matches!(self.habit, Habit::Removed | Habit::Turned)
    }

    /// Units in a generation: with each, one that is replaced has another length.
    fn count(self, generation: u32) -> u32 {
        let most = if self.number == 0 { LARGE } else { SMALL };
        match self.habit {
            Habit::Replaced => most - generation % 1000,
            _ => most - self.number,
        }
    }

    fn content(self, generation: u32) -> Vec<u8> {
        let unit = |index: u32| {
            let mut bytes = [0; UNIT];
            bytes[..4].copy_from_slice(&self.id().to_le_bytes());
            bytes[4..8].copy_from_slice(&generation.to_le_bytes());
            bytes[8..12].copy_from_slice(&index.to_le_bytes());
            bytes[12..].copy_from_slice(b"\xffend");
            bytes
        };
        (0..self.count(generation)).flat_map(unit).collect()
    }

    /// Does what it does, once.
    fn act(self, source: &Path, generation: u32) -> std::io::Result<()> {
        let content = self.content(generation);
        let (here, there) = (generation % 2, 1 - generation % 2);
        let path = self.path(source, here);
        let edit = || File::options().write(true).open(&path);
        match self.habit {
            Habit::Replaced => {
                let new = path.with_extension("new");
                fs::write(&new, content)?;
                fs::rename(new, path)
            }
            Habit::Rewritten => write_in_steps(&edit()?, &content, 0),
            Habit::Cut => {
                let start = (generation as usize * 7919) % content.len();
                let file = edit()?;
                file.set_len(start as u64)?;
                write_in_steps(&file, &content[start..], start)
            }
            Habit::Removed => {
                fs::remove_file(&path)?;
                write_in_steps(&File::create_new(&path)?, &content, 0)
            }
            Habit::Moved => fs::rename(self.path(source, there), path),
            Habit::Carried if self.number == 0 => {
                fs::rename(source.join(format!("place {there}")), path.parent().unwrap())
            }
            Habit::Carried => Ok(()),
            Habit::Turned => turn(&path, generation, &content),
        }
    }
}

fn write_in_steps(file: &File, content: &[u8], offset: usize) -> std::io::Result<()> {
    content
        .chunks(STEP)
        .enumerate()
        .try_for_each(|(index, step)| file.write_all_at(step, (offset + index * STEP) as u64))
}

fn turn(path: &Path, generation: u32, content: &[u8]) -> std::io::Result<()> {
    fs::remove_file(path).or_else(|_| fs::remove_dir(path))?;
    match generation % 4 {
        0 => fs::write(path, content),
        1 => symlink("/etc/passwd", path),
        2 => fs::create_dir(path),
        _ => Ok(rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR)?),
    }
}

/// Threads that change a tree until it is dropped.
struct Storm {
    is_over: &'static AtomicBool,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Storm {
    fn start(source: &Path) -> Self {
        for place in ["place 0", "elsewhere"] {
            fs::create_dir_all(source.join(place)).unwrap();
        }
        for actor in Actor::all() {
            fs::write(actor.path(source, 0), actor.content(0)).unwrap();
        }
        let is_over: &'static AtomicBool = Box::leak(Box::default());
        let run = |actors: Vec<Actor>, pause: Duration| {
            let source = source.to_owned();
            let generations: Vec<AtomicU32> = actors.iter().map(|_| AtomicU32::new(0)).collect();
            thread::spawn(move || {
                let mut turn = 0usize;
                while !is_over.load(Ordering::Relaxed) {
                    // Small strides through all actors, each as often as every other.
                    let at = (turn * 5 + turn / actors.len()) % actors.len();
                    let generation = generations[at].fetch_add(1, Ordering::Relaxed) + 1;
                    actors[at].act(&source, generation).unwrap();
                    turn += 1;
                    thread::sleep(pause);
                }
            })
        };
        let (large, small): (Vec<Actor>, Vec<Actor>) = Actor::all().partition(|a| a.number == 0);
        let threads = vec![run(large, Duration::ZERO), run(small, Duration::from_micros(100))];
        Self { is_over, threads }
    }

    fn end(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

/// What the problems of one backup say.
#[derive(Debug, Default)]
struct Warnings {
    /// Paths of files that are in the snapshot, though not as they were at one moment.
    changed: BTreeSet<PathBuf>,
    /// Paths that are not in the snapshot.
    absent: BTreeSet<PathBuf>,
    /// Directories that names came to while they were looked at.
    missed: BTreeSet<PathBuf>,
}

impl Warnings {
    fn parse(messages: &[String]) -> Self {
        let mut warnings = Self::default();
        for message in messages {
            if let Some((path, why)) =
                message.strip_prefix("could not list ").and_then(|rest| rest.rsplit_once(": "))
            {
                assert!(why == "names came to it meanwhile, and are in the next snapshot");
                assert!(warnings.missed.insert(path.into()), "said twice: {message}");
                continue;
            }
            let absent = ["no such file or directory", "it is no longer a regular file"]
                .into_iter()
                .chain(["it is no longer a directory", "it is no longer a symbolic link"])
                .find_map(|end| message.strip_suffix(end)?.strip_suffix(": "))
                .and_then(|start| start.strip_prefix("could not read "));
            let changed = message.strip_suffix(" changed while it was read");
            let is_first = match (absent, changed) {
                (Some(path), None) => warnings.absent.insert(path.into()),
                (None, Some(path)) => warnings.changed.insert(path.into()),
                _ => panic!("an unexpected problem: {message}"),
            };
            assert!(is_first, "said twice: {message}");
        }
        warnings
    }
}

/// The generations that the bytes of a file are from.
fn generations(actor: Actor, bytes: &[u8], may_be_cut: bool) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for (index, unit) in bytes.chunks(UNIT).enumerate() {
        // A read beside a cut may meet the zeros that the kernel puts behind the new end.
        if may_be_cut && unit.iter().all(|byte| *byte == 0) {
            continue;
        }
        let mut whole = [0; UNIT];
        whole[..unit.len()].copy_from_slice(unit);
        let word = |at: usize| u32::from_le_bytes(whole[at..at + 4].try_into().unwrap());
        let is_right = unit.len() == UNIT
            && word(0) == actor.id()
            && word(8) == index as u32
            && whole[12..] == *b"\xffend";
        assert!(is_right, "{actor:?} has {unit:02x?} at {}", index * UNIT);
        found.insert(word(4));
    }
    found
}

fn check_file(actor: Actor, bytes: &[u8], is_inconsistent: bool) {
    let may_be_cut = actor.habit == Habit::Cut && is_inconsistent;
    // A cut may leave a part of a unit, and the next write completes it.
    let whole = if actor.habit == Habit::Cut { bytes.len() / UNIT * UNIT } else { bytes.len() };
    let found = generations(actor, &bytes[..whole], may_be_cut);
    if actor.habit == Habit::Rewritten && !is_inconsistent {
        assert!(found.len() <= 2, "{actor:?} is a mixture of {found:?}");
    }
    let is_never_written =
        !matches!(actor.habit, Habit::Rewritten | Habit::Cut | Habit::Removed | Habit::Turned);
    if is_never_written {
        assert_eq!(found.len(), 1, "{actor:?} is a mixture");
        let generation = *found.first().unwrap();
        assert!(bytes == actor.content(generation), "{actor:?}");
    }
}

#[test]
fn backups_of_a_tree_in_a_storm_hold_no_wrong_byte_and_warn_exactly() {
    let count = std::env::var(VARIABLE).map_or(BACKUP_COUNT, |text| text.parse().unwrap());
    let world = World::with_repository();
    let source = world.at("source");
    let storm = Storm::start(&source);
    let (mut changed_count, mut absent_count, mut file_count) = (0, 0, 0);
    let mut number = 0;
    // On a busy machine it takes a while until a file changes just while it is read.
    while number < count || changed_count == 0 && number < PATIENCE * count {
        number += 1;
        let answer = world.run(&["backup", "source", "--json"]);
        let messages = problems(&answer);
        let code = if messages.is_empty() { 0 } else { 3 };
        assert_eq!(answer.code, code, "{}{}", answer.out, answer.err);
        let warnings = Warnings::parse(&messages);
        let snapshot = answer.snapshot_id();
        world.ok(&["restore", &snapshot, "--target", "back"]);
        let back = world.at("back").join(source.strip_prefix("/").unwrap());
        let mut marked = BTreeSet::new();
        let mut found = BTreeSet::new();
        let listed =
            world.ok(&["ls", &snapshot, &source.display().to_string(), "--json", "--recursive"]);
        for node in listed.json().iter().skip(2) {
            let path = PathBuf::from(node["path"].as_str().unwrap());
            assert!(!warnings.absent.contains(&path), "{} is there", path.display());
            let is_incomplete = node["incomplete"] == Value::Bool(true);
            assert_eq!(is_incomplete, warnings.missed.contains(&path), "{}", path.display());
            found.insert(path.clone());
            if node["type"] != "file" || path.extension().is_some() {
                continue;
            }
            let is_inconsistent = node["inconsistent"] == Value::Bool(true);
            if is_inconsistent {
                marked.insert(path.clone());
            }
            let bytes = fs::read(back.join(path.strip_prefix(&source).unwrap())).unwrap();
            assert_eq!(node["size"], bytes.len() as u64, "{}", path.display());
            check_file(Actor::of_path(&path), &bytes, is_inconsistent);
            file_count += 1;
        }
        // What was there all the time is there, or somebody was told.
        for actor in Actor::all().filter(|actor| actor.is_always_there()) {
            let paths = [0, 1].map(|place| actor.path(&source, place));
            let is_told = |path: &PathBuf| {
                path.ancestors().any(|p| warnings.absent.contains(p) || warnings.missed.contains(p))
            };
            let is_there = paths.iter().any(|path| found.contains(path) || is_told(path));
            assert!(is_there, "{actor:?} is missing without a word: {messages:?}");
        }
        let changed = warnings.changed.iter().filter(|path| path.extension().is_none());
        assert_eq!(changed.cloned().collect::<BTreeSet<_>>(), marked);
        changed_count += warnings.changed.len();
        absent_count += warnings.absent.len();
        fs::remove_dir_all(world.at("back")).unwrap();
    }
    storm.end();
    // Nothing that the storm left behind is taken for what an earlier backup has seen.
    world.ok(&["backup", "source"]);
    world.ok(&["restore", "latest", "--target", "back"]);
    world.ok(&["check", "--read-data"]);
    if has("python3") {
        let back = world.at("back").join(source.strip_prefix("/").unwrap());
        let answer = compare(&source, &back, &["--hole-min", "65536"]);
        assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    }
    assert!(changed_count > 0, "it was a calm day");
    let line = format!(
        "storm: {number} backups, {file_count} files checked, {changed_count} changed while they \
         were read, {absent_count} gone\n"
    );
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}
