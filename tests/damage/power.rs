//! A power cut at any moment: whatever of the unsynced writes reached the disk, what was acknowledged is
//! there. What is there is whole.
//!
//! The program runs once under `strace`. From what it asked of the kernel follows what a disk may hold when
//! the power goes: synced content, names in synced directories, and any part of the rest.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use parados::backend::{self, Location};
use parados::base::SystemClock;
use parados::format::slot::Label;
use parados::seal::code::{self, CodeKind};
use parados::seal::slot::Secret;

use crate::world::{Case, Contents, Operation, World, noise, secret, skip};

/// Moments at which the power goes, of each command.
const CUT_COUNT: usize = 120;
/// What is traced.
const CALLS: &str = "openat,fsync,fdatasync,linkat,renameat,renameat2,unlinkat,mkdirat";

/// What was asked of the kernel, by names below the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Made(String),
    MadeDir(String),
    Synced(String),
    SyncedDir(String),
    Named(String, String),
    Renamed(String, String),
    Removed(String),
}

/// Joins the two halves of calls that other threads interrupted, in the order of their ends.
fn whole_lines(log: &str) -> Vec<String> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut lines = Vec::new();
    for line in log.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(head) = call.strip_suffix("<unfinished ...>") {
            begun.insert(pid, head);
        } else if let Some((_, tail)) = call.split_once("resumed>") {
            lines.push(format!("{}{tail}", begun.remove(pid).unwrap_or_default()));
        } else {
            lines.push(call.to_owned());
        }
    }
    lines
}

/// What one line says, if it went well and is about the repository.
fn event(line: &str, top: &str) -> Option<Event> {
    let (call, rest) = line.split_once('(')?;
    // The result stands in a column of its own.
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    // Where descriptors lead is printed behind each of them.
    let below = |text: &str| -> Option<String> {
        let path = text.split_once('<')?.1.split('>').next()?;
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        Some(path.strip_prefix(top)?.trim_start_matches('/').to_owned())
    };
    let quoted: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
    let at = |nth: usize| -> Option<String> {
        let directory = below(arguments.split('"').nth(2 * nth)?)?;
        let name = quoted.get(nth)?;
        Some(if directory.is_empty() { (*name).to_owned() } else { format!("{directory}/{name}") })
    };
    Some(match call {
        "openat" if arguments.contains("O_CREAT") => Event::Made(at(0)?),
        "mkdirat" => Event::MadeDir(at(0)?),
        "unlinkat" => Event::Removed(at(0)?),
        "linkat" => Event::Named(at(0)?, at(1)?),
        "renameat" | "renameat2" => Event::Renamed(at(0)?, at(1)?),
        "fsync" | "fdatasync" => {
            let path = below(arguments)?;
            // An object is synced before it has its name.
            let is_object = path.starts_with("tmp/");
            if is_object { Event::Synced(path) } else { Event::SyncedDir(path) }
        }
        _ => return None,
    })
}

/// A change of a directory, and whether the disk has it for certain.
struct Change {
    directory: String,
    name: String,
    /// The file that has the name from then on; a directory and what is gone have none.
    file: Option<usize>,
    is_dir: bool,
    is_sure: bool,
}

fn parent(path: &str) -> String {
    path.rsplit_once('/').map_or(String::new(), |(directory, _)| directory.to_owned())
}

/// What a disk holds after some events, where chance says what else than what is sure.
fn after_cut(
    before: &Contents,
    events: &[Event],
    written: &HashMap<String, Bytes>,
    chance: &mut dyn FnMut() -> u8,
) -> Contents {
    let mut changes: Vec<Change> = Vec::new();
    let mut files: Vec<(String, bool)> = Vec::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let change = |path: &str, file, is_dir| Change {
        directory: parent(path),
        name: path.to_owned(),
        file,
        is_dir,
        is_sure: false,
    };
    for event in events {
        match event {
            Event::Made(path) => {
                by_name.insert(path.clone(), files.len());
                changes.push(change(path, Some(files.len()), false));
                files.push((path.clone(), false));
            }
            Event::MadeDir(path) => changes.push(change(path, None, true)),
            Event::Synced(path) => {
                if let Some(file) = by_name.get(path) {
                    files[*file].1 = true;
                }
            }
            Event::SyncedDir(path) => {
                let inside = changes.iter_mut().filter(|change| change.directory == *path);
                inside.for_each(|change| change.is_sure = true);
            }
            Event::Named(from, to) | Event::Renamed(from, to) => {
                if let Some(file) = by_name.get(from).copied() {
                    by_name.insert(to.clone(), file);
                    changes.push(change(to, Some(file), false));
                }
                if matches!(event, Event::Renamed(..)) {
                    changes.push(change(from, None, false));
                }
            }
            Event::Removed(path) => changes.push(change(path, None, false)),
        }
    }
    let mut disk: BTreeMap<String, Option<usize>> =
        before.keys().map(|name| (name.clone(), None)).collect();
    let mut lost_dirs = Vec::new();
    for change in changes {
        let happens = change.is_sure || chance().is_multiple_of(2);
        if change.is_dir {
            if !happens {
                lost_dirs.push(change.name + "/");
            }
        } else if let (true, Some(file)) = (happens, change.file) {
            disk.insert(change.name, Some(file));
        } else if happens {
            disk.remove(&change.name);
        }
    }
    let mut contents = Contents::new();
    for (name, file) in disk {
        let is_object = !name.starts_with("tmp/") && name != "reserve";
        if !is_object || lost_dirs.iter().any(|dir| name.starts_with(dir)) {
            continue;
        }
        let bytes = match file {
            None => before[&name].clone(),
            Some(file) => {
                // What the temporary file held is what its last name holds.
                let (made_as, is_synced) = &files[file];
                let all = written.get(made_as).or_else(|| written.get(&name)).cloned();
                let all = all.unwrap_or_default();
                match (is_synced, chance() % 3) {
                    (true, _) => all,
                    (false, 0) => Bytes::new(),
                    (false, 1) => all.slice(..all.len() / 2),
                    (false, _) => Bytes::from(vec![0; all.len()]),
                }
            }
        };
        contents.insert(name, bytes);
    }
    contents
}

/// Every object in a local repository.
fn objects(top: &Path) -> Contents {
    let mut found = Contents::new();
    let mut left = vec![top.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                left.push(path);
            } else if name.contains('/') && !name.starts_with("tmp/") {
                found.insert(name, Bytes::from(fs::read(path).unwrap()));
            }
        }
    }
    found
}

/// A local repository beside the scratch directory of a world, used by the program.
struct Disk {
    world: World,
}

impl Disk {
    fn new() -> Self {
        let world = World::new();
        world.fill();
        let location = Location::local(&world.at("repository")).unwrap();
        let options = backend::Options { writable: true, ..backend::Options::default() };
        let made = backend::create(&location, &options).unwrap();
        let creation = parados::repo::access::Creation {
            pack_len: parados::format::config::PACK_LEN_MIN,
            ..Default::default()
        };
        let secrets = [(secret(), Label::default())];
        parados::ops::init::init(made, &secrets, &creation, &SystemClock).unwrap();
        let Secret::KeyFile(key) = secret() else { unreachable!("it is one") };
        fs::write(world.at("key"), &*code::to_text(CodeKind::KeyFile, &key)).unwrap();
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(world.at("key"), own).unwrap();
        Self { world }
    }

    /// Runs the program, and says what it asked of the kernel.
    fn run(&self, typed: &[&str]) -> Vec<Event> {
        let log = self.world.at("strace");
        let top = fs::canonicalize(self.world.at("repository")).unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-qq", "-s", "4096", "-e"]).arg(format!("trace={CALLS}"));
        command.arg("-o").arg(&log).arg(env!("CARGO_BIN_EXE_parados")).args(typed);
        command.arg("-r").arg(&top).arg("--key-file").arg(self.world.at("key")).arg("--no-cache");
        command.env("HOME", self.world.scratch.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let log = fs::read_to_string(log).unwrap();
        let top = top.to_str().unwrap();
        whole_lines(&log).iter().filter_map(|line| event(line, top)).collect()
    }
}

/// What is there after each cut is whole, and has every snapshot of `kept`.
fn check_cuts(disk: &Disk, title: &str, before: &Contents, events: &[Event], kept: usize) {
    let after = objects(&disk.world.at("repository"));
    // The bytes of each temporary file, by what it was named.
    let mut written: HashMap<String, Bytes> = HashMap::new();
    for event in events {
        if let Event::Named(from, to) | Event::Renamed(from, to) = event
            && let Some(bytes) = after.get(to)
        {
            written.insert(from.clone(), bytes.clone());
        }
    }
    for cut in 0..=CUT_COUNT {
        let Some(_case) = Case::begin(format!("{title} / cut {cut}")) else { continue };
        let mut dice = noise(&format!("{title} {cut}"), 1 << 16).into_iter();
        let mut chance = || dice.next().unwrap_or(0);
        let end = events.len() * cut / CUT_COUNT;
        let contents = after_cut(before, &events[..end], &written, &mut chance);
        let world = World::over(&contents, &disk.world.scratch);
        let id = parados::base::SessionId::new([0; 32]);
        let listed = world.run(Operation::Snapshots, id).clean().snapshots;
        assert!(listed.len() >= kept, "{listed:?}");
        // The last one is over, and what it acknowledged is there.
        let is_all_there = || after.keys().all(|name| contents.contains_key(name));
        assert!(cut < CUT_COUNT || is_all_there(), "not all is there");
        let checked = world.run(Operation::Check, id);
        assert!(checked.error.is_none() && checked.findings.is_empty(), "{}", checked.told());
        for id in listed {
            world.run(Operation::Restore, id).clean();
        }
        let made = world.run(Operation::Backup, id);
        assert!(made.error.is_none(), "{}", made.told());
        world.run(Operation::Prune, id).clean();
        let checked = world.run(Operation::Check, id);
        assert!(checked.findings.is_empty(), "{}", checked.told());
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    if Command::new("strace").arg("-V").output().is_err() {
        return skip("a_power_cut_takes_nothing_that_was_acknowledged", "strace is missing");
    }
    let disk = Disk::new();
    let source = disk.world.at("source");
    let source = source.to_str().unwrap();
    let state = || objects(&disk.world.at("repository"));
    let run = |title: &str, typed: &[&str], kept: usize| {
        let before = state();
        let events = disk.run(typed);
        let names = events.iter().filter(|event| matches!(event, Event::Named(..))).count();
        let syncs = events.iter().filter(|event| matches!(event, Event::SyncedDir(_))).count();
        assert!(names > 0 && syncs >= names, "{title}: {events:?}");
        check_cuts(&disk, title, &before, &events, kept);
    };
    run("first backup", &["backup", source], 0);
    disk.world.write("dir/later", noise("later", 20_000));
    run("second backup", &["backup", source], 1);
    run("forget", &["forget", "latest~1"], 1);
    run("prune", &["prune", "--grace", "0", "--max-unused", "0"], 1);
}
