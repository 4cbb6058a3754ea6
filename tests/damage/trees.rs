//! Trees that try to leave the target, to last for ever or to drive a terminal.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parados::base::{ErrorKind, Id, SessionId, Timestamp};
use parados::format::FrameKind;
use parados::format::entry::{Device, Entry, EntryKind, LinkGroup, Range, SIZE_MAX, TreeRef};
use parados::format::list::{ChunkList, PAGE_COUNT_MAX, Piece};
use parados::format::snapshot::Decision;
use parados::format::tree::{Child, Node};
use parados::seal::code::{self, CodeKind};

use crate::forge::{Forge, component, directory, file_of, link, snapshot};
use crate::numbers::publish;
use crate::parting::part_with;
use crate::world::{Case, Look, OPERATIONS, Operation, Thing, World, look, secret};

/// Levels of a tree of which every directory holds the next one twice.
const DOUBLING_COUNT: usize = 40;
/// Directories in each other, beyond what any source has.
const DEPTH: usize = 5000;
/// Names in one directory.
const WIDTH: usize = 30_000;
/// How long somebody changes the target while it is written.
const RACE: Duration = Duration::from_millis(1500);

/// A world with a directory beside the target in which nothing may ever appear or change.
fn world() -> World {
    let world = World::new();
    world.write("source", "of the backup");
    fs::create_dir(world.at("outside")).unwrap();
    fs::write(world.at("outside/precious"), "precious").unwrap();
    world
}

/// Everything in the scratch directory but source and target.
fn outside(world: &World) -> Look {
    let mut seen = look(world.scratch.path());
    seen.retain(|path, _| !path.starts_with("source") && !path.starts_with("target"));
    seen
}

fn file(name: &[u8]) -> Entry {
    Entry::new(name, EntryKind::File)
}

fn grouped(mut entry: Entry) -> Entry {
    entry.link = Some(LinkGroup { mount: 0, inode: 1 });
    entry
}

struct Evil {
    title: &'static str,
    entries: fn(&World) -> Vec<Entry>,
    /// Whether it is refused, and told.
    is_told: bool,
}

const EVIL: &[Evil] = &[
    Evil { title: "41 ..", is_told: true, entries: |_| vec![file(b"..")] },
    Evil { title: "42 .", is_told: true, entries: |_| vec![file(b".")] },
    Evil { title: "43 empty", is_told: true, entries: |_| vec![file(b"")] },
    Evil { title: "44 a/b", is_told: true, entries: |_| vec![file(b"a/b")] },
    Evil { title: "44 upward", is_told: true, entries: |_| vec![file(b"../../outside/new")] },
    Evil {
        title: "45 absolute",
        is_told: true,
        entries: |world| vec![file(world.at("outside/new").as_os_str().as_encoded_bytes())],
    },
    Evil { title: "46 zero byte", is_told: true, entries: |_| vec![file(b"a\0b")] },
    Evil { title: "47 256 bytes", is_told: true, entries: |_| vec![file(&[b'x'; 256])] },
    Evil { title: "41 directory ..", is_told: true, entries: |_| vec![directory(b"..", None)] },
    Evil { title: "41 link ..", is_told: true, entries: |_| vec![link(b"..", b"x")] },
    Evil {
        title: "49 a file and a link of one name",
        is_told: true,
        entries: |world| {
            let target = world.at("outside/precious");
            vec![link(b"x", target.as_os_str().as_encoded_bytes()), file(b"x")]
        },
    },
    Evil { title: "51 unsorted", is_told: true, entries: |_| vec![file(b"b"), file(b"a")] },
    Evil {
        title: "57 a hard link to a link",
        is_told: false,
        entries: |world| {
            let target = world.at("outside/precious");
            let target = target.as_os_str().as_encoded_bytes();
            vec![grouped(link(b"a", target)), grouped(file(b"b"))]
        },
    },
    Evil {
        title: "58 devices",
        is_told: true,
        entries: |_| {
            let mut device = Entry::new(b"null", EntryKind::CharDevice);
            device.device = Some(Device { major: 1, minor: 3 });
            vec![device]
        },
    },
    Evil {
        title: "58 pipe and socket",
        is_told: false,
        entries: |_| vec![Entry::new(b"p", EntryKind::Fifo), Entry::new(b"s", EntryKind::Socket)],
    },
    Evil {
        title: "64 a directory with content of a file",
        is_told: true,
        entries: |_| {
            let mut entry = directory(b"d", None);
            entry.size = Some(1);
            vec![entry]
        },
    },
    Evil { title: "a link to nothing", is_told: true, entries: |_| vec![link(b"l", b"")] },
    Evil {
        title: "a link with a zero byte",
        is_told: true,
        entries: |_| vec![link(b"l", b"a\0b")],
    },
    Evil {
        title: "a link of 4,096 bytes",
        is_told: true,
        entries: |_| vec![link(b"l", &[b'x'; 4096])],
    },
];

#[test]
fn no_name_leads_out_of_the_target() {
    let mut said = String::new();
    for evil in EVIL {
        let Some(_case) = Case::begin(evil.title) else { continue };
        let world = world();
        let before = outside(&world);
        let forge = Forge::new(&world);
        let id = publish(forge, &(evil.entries)(&world));
        for operation in OPERATIONS {
            let answer = world.run(operation, id);
            let told = answer.told();
            assert!(answer.error.is_none(), "{operation:?}: {told}");
            if matches!(operation, Operation::Restore | Operation::Check) {
                said.push_str(&format!("{} / {operation:?}:\n{}\n\n", evil.title, answer.stable()));
            }
            match operation {
                Operation::Restore => {
                    assert!(answer.restored.contains_key("honest/file"), "{told}");
                    assert_eq!(told.contains("/evil"), evil.is_told, "{told}");
                }
                Operation::Ls => assert!(answer.paths.contains(&"/honest/file".to_owned())),
                Operation::Check if told.is_empty() => {
                    assert!(!evil.is_told || evil.title.starts_with("58"));
                }
                _ => {}
            }
        }
        part_with(&world, id);
        assert_eq!(outside(&world), before);
    }
    // Only where all were tried: one may be chosen by its name.
    if said.matches("Restore:").count() == EVIL.len() {
        insta::assert_snapshot!("names that are refused", said);
    }
}

/// The order of names holds from node to node as well.
#[test]
fn no_name_comes_twice_in_different_nodes_of_one_directory() {
    let names = |forge: &mut Forge, names: &[&[u8]]| {
        let entries: Vec<_> = names.iter().map(|name| file(name)).collect();
        let tree = forge.tree(&entries);
        Child {
            first: names[0].to_vec(),
            id: tree.id,
            entry_count: tree.entry_count,
            content_bytes: 0,
        }
    };
    for (title, second, is_told) in [
        ("honest", [&b"c"[..], b"d"], false),
        ("49 the last name again", [b"b", b"d"], true),
        ("51 going back", [b"aa", b"d"], true),
    ] {
        let Some(_case) = Case::begin(title) else { continue };
        let world = world();
        let mut forge = Forge::new(&world);
        let children = vec![names(&mut forge, &[b"a", b"b"]), names(&mut forge, &second)];
        let id = forge.chunk(FrameKind::Metadata, &Node::Branch(1, children).encode());
        let tree = TreeRef { id, level: 1, entry_count: 4, content_bytes: 0 };
        let id = publish(forge, &[directory(b"branched", Some(tree))]);
        for operation in [Operation::Ls, Operation::Restore, Operation::Check] {
            let told = world.run(operation, id).told();
            assert_eq!(told.contains("/evil/branched"), is_told, "{operation:?}: {told}");
        }
        part_with(&world, id);
    }
}

/// A link in one component, a directory of the same name in the next.
#[test]
fn no_component_writes_through_a_link_of_another() {
    let world = world();
    let before = outside(&world);
    let mut forge = Forge::new(&world);
    let target = world.at("outside");
    let trap = forge.tree(&[link(b"x", target.as_os_str().as_encoded_bytes())]);
    let inner = forge.file(b"precious", b"overwritten");
    let inner = forge.tree(&[inner]);
    let through = forge.tree(&[directory(b"x", Some(inner))]);
    // The objects of the session without a decision, then the decision over both.
    let pack = forge.store_pack();
    let (fence, entries) = parados::repo::session::gather(std::iter::once(pack));
    forge.store_segment(fence, &entries);
    let both = snapshot(vec![component(Some(trap)), component(Some(through))]);
    let id = forge.decide(&Decision::Snapshot(both));
    let answer = world.run(Operation::Restore, id);
    let found = answer.restored.get("x/precious");
    assert_eq!(found, Some(&Thing::File(b"overwritten".to_vec())), "{}", answer.told());
    assert_eq!(outside(&world), before);
}

#[test]
fn links_that_were_planted_in_the_target_are_not_followed() {
    let world = world();
    let before = outside(&world);
    let forge = Forge::new(&world);
    let id = publish(forge, &[file(b"f")]);
    fs::create_dir(world.at("target")).unwrap();
    symlink(world.at("outside"), world.at("target/honest")).unwrap();
    fs::create_dir(world.at("target/evil")).unwrap();
    symlink(world.at("outside/precious"), world.at("target/evil/f")).unwrap();
    let answer = world.run(Operation::Restore, id).clean();
    assert_eq!(answer.restored.get("evil/f"), Some(&Thing::File(Vec::new())));
    assert!(matches!(answer.restored.get("honest/file"), Some(Thing::File(_))));
    assert_eq!(outside(&world), before);
}

/// Somebody swaps a directory of the target for a link and back while it is filled.
#[test]
fn a_race_for_a_directory_of_the_target_leads_nowhere() {
    let world = world();
    let before = outside(&world);
    let mut forge = Forge::new(&world);
    let files: Vec<_> = (0..200).map(|n| forge.file(format!("{n:03}").as_bytes(), b"x")).collect();
    let inner = forge.tree(&files);
    let id = publish(forge, &[directory(b"swapped", Some(inner))]);
    let is_over = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (is_over, dir) = (Arc::clone(&is_over), world.at("target/evil"));
        let outside = world.at("outside");
        std::thread::spawn(move || {
            let mut count = 0u64;
            while !is_over.load(Ordering::Relaxed) {
                let swapped = dir.join("swapped");
                if fs::rename(&swapped, dir.join("aside")).is_ok() {
                    let _taken = symlink(&outside, &swapped);
                    let _gone = fs::remove_file(&swapped);
                    let _taken = fs::rename(dir.join("aside"), &swapped);
                    count += 1;
                }
            }
            count
        })
    };
    let until = Instant::now() + RACE;
    let mut runs = 0;
    while Instant::now() < until {
        // Whether it ends well is a matter of luck.
        world.run(Operation::Restore, id);
        runs += 1;
    }
    is_over.store(true, Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    assert_eq!(outside(&world), before, "{swaps} swaps in {runs} runs");
    assert!(swaps > 0, "nobody raced");
}

#[test]
fn set_id_bits_come_back_only_with_their_owner() {
    let world = world();
    let forge = Forge::new(&world);
    let mut program = file(b"program");
    program.mode = 0o6755;
    let id = publish(forge, &[program]);
    let target = world.at("kept");
    let repository = world.open().unwrap();
    let (problems, progress) = Default::default();
    let (cancel, clock) = (parados::base::Cancel::default(), crate::world::Ticks::default());
    let run = parados::ops::Run {
        clock: &clock,
        problems: &problems,
        progress: &progress,
        cancel: &cancel,
    };
    let options = parados::ops::restore::Options {
        snapshot: id.to_hex().into(),
        target_options: parados::target::Options {
            owner: false,
            ..parados::target::Options::default()
        },
        ..parados::ops::restore::Options::new(target.clone())
    };
    parados::ops::restore::restore(&repository, &options, &run).unwrap();
    let mode = fs::metadata(target.join("evil/program")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn absurd_times_sizes_and_owners_are_harmless() {
    let world = world();
    let mut entries = Vec::new();
    for (n, seconds) in [i64::MIN, -1, 0, i64::MAX].into_iter().enumerate() {
        let mut entry = file(format!("time {n}").as_bytes());
        entry.mtime = Some(Timestamp::new(seconds, 999_999_999));
        (entry.uid, entry.gid) = (u32::MAX, u32::MAX);
        entries.push(entry);
    }
    let forge = Forge::new(&world);
    let id = publish(forge, &entries);
    for operation in OPERATIONS {
        let answer = world.run(operation, id);
        assert!(answer.error.is_none(), "{operation:?}: {}", answer.told());
        if operation == Operation::Restore {
            let count = answer.restored.keys().filter(|path| path.contains("time")).count();
            assert_eq!(count, entries.len(), "{}", answer.told());
        }
    }
    part_with(&world, id);
}

/// A file of 8 EiB, all of which is one hole or most of which is, with a byte at its start or end.
fn sparse(forge: &mut Forge, before: u64, after: u64) -> Entry {
    let pieces: Vec<_> = [before, after]
        .into_iter()
        .filter(|len| *len > 0)
        .map(|len| (forge.chunk(FrameKind::Data, &vec![b'x'; len as usize]), len))
        .collect();
    let mut sparse = file_of(b"sparse", &pieces);
    sparse.size = Some(SIZE_MAX);
    sparse.holes = Some(vec![Range { offset: before, len: SIZE_MAX - before - after }]);
    if pieces.is_empty() {
        sparse.content = None;
    }
    sparse
}

/// 63: it costs nothing to store; it must cost neither time nor the other files.
#[test]
fn a_hole_of_8_eib_is_its_own_problem() {
    for (before, after) in [(0, 0), (1000, 0), (0, 1000), (70_000, 70_000)] {
        let Some(_case) = Case::begin(format!("63 {before} before, {after} after")) else {
            continue;
        };
        let world = world();
        let mut forge = Forge::new(&world);
        let sparse = sparse(&mut forge, before, after);
        let id = publish(forge, &[sparse]);
        for operation in OPERATIONS {
            let answer = world.run(operation, id);
            assert!(answer.error.is_none(), "{operation:?}: {}", answer.told());
        }
        // The second time over what the first one left, if anything.
        for (title, change) in HOW {
            for round in 0..2 {
                let answer = world.restore_as(id, change);
                let told = answer.told();
                assert!(answer.error.is_none(), "{title}, round {round}: {told}");
                let is_dry = title.contains("dry");
                let has_honest = answer.restored.contains_key("honest/file");
                assert_eq!(has_honest, !is_dry, "{title}: {told}");
                // Where this file system has no file of that length, it is named.
                let len = fs::metadata(world.at("target/evil/sparse")).map(|found| found.len());
                let is_there = len.is_ok_and(|len| len == SIZE_MAX);
                assert!(is_there || is_dry || told.contains("/evil/sparse"), "{title}: {told}");
            }
            let _absent = fs::remove_dir_all(world.at("target"));
        }
        part_with(&world, id);
    }
}

type Change = fn(&mut parados::ops::restore::Options);

/// Ways to restore, each of which has a reason of its own to look at every byte.
const HOW: &[(&str, Change)] = &[
    ("as it is", |_| ()),
    ("dry", |options| options.how.dry_run = true),
    ("verify", |options| options.how.verify = true),
    ("sparse", |options| options.how.sparse = true),
    ("delete", |options| options.how.delete = true),
];

// ---------------------------------------------------------------------------------------------
// What would last for ever
// ---------------------------------------------------------------------------------------------

/// A tree of `count` levels, each with two directories that are the next one.
fn doubled(forge: &mut Forge, count: usize) -> TreeRef {
    let leaf = forge.file(b"leaf", b"leaf");
    let mut tree = forge.tree(&[leaf]);
    for _ in 0..count {
        tree = forge.tree(&[directory(b"a", Some(tree)), directory(b"b", Some(tree))]);
    }
    tree
}

#[test]
fn a_tree_that_stands_for_billions_of_entries_is_refused_at_once() {
    let world = world();
    let mut forge = Forge::new(&world);
    let tree = doubled(&mut forge, DOUBLING_COUNT);
    assert!(tree.entry_count > 1 << DOUBLING_COUNT);
    let id = publish(forge, &[directory(b"doubled", Some(tree))]);
    for operation in [Operation::Ls, Operation::Restore] {
        let answer = world.run(operation, id);
        let error = answer.error.unwrap();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.hint.is_some_and(|hint| hint.contains("part")), "no way out");
        assert_eq!(answer.restored, Look::new());
    }
    // What it stores is whole, and each node is looked at once.
    world.run(Operation::Check, id).clean();
    world.run(Operation::Snapshots, id).clean();
    part_with(&world, id);
}

#[test]
fn a_tree_that_lies_about_its_billions_is_refused_where_it_lies() {
    let world = world();
    let mut forge = Forge::new(&world);
    let mut tree = doubled(&mut forge, DOUBLING_COUNT);
    (tree.entry_count, tree.content_bytes) = (2, 0);
    let id = publish(forge, &[directory(b"doubled", Some(tree))]);
    for operation in [Operation::Ls, Operation::Restore, Operation::Check] {
        let answer = world.run(operation, id);
        assert!(answer.error.is_none(), "{}", answer.told());
        assert!(answer.told().contains("/evil/doubled"), "{}", answer.told());
        assert!(answer.paths.len() < 10 && answer.restored.len() < 10);
    }
    part_with(&world, id);
}

/// Four levels of pages, each the same page 4,096 times: 2^48 chunks of one byte.
#[test]
fn a_list_that_stands_for_trillions_of_chunks_is_checked_at_once() {
    let world = world();
    let mut forge = Forge::new(&world);
    let mut piece = Piece { id: forge.chunk(FrameKind::Data, b"x"), len: 1 };
    for level in 0..4 {
        let page = ChunkList { level, pieces: vec![piece; PAGE_COUNT_MAX] };
        let len = page.content_len().unwrap();
        piece = Piece { id: forge.chunk(FrameKind::Metadata, &page.encode_page()), len };
    }
    let mut file = file_of(b"endless", &[(piece.id, piece.len)]);
    file.content.as_mut().unwrap().level = 4;
    let id = publish(forge, &[file]);
    world.run(Operation::Check, id).clean();
    world.run(Operation::Ls, id).clean();
    // 256 TiB do not fit, which is known before anything is written.
    let answer = world.run(Operation::Restore, id);
    assert_eq!(answer.error.map(|error| error.kind), Some(ErrorKind::Full));
    assert_eq!(answer.restored, Look::new());
    part_with(&world, id);
}

#[test]
fn a_tree_deeper_than_any_source_ends() {
    let world = world();
    let mut forge = Forge::new(&world);
    let mut tree = forge.tree(&[file(b"bottom")]);
    for _ in 0..DEPTH {
        tree = forge.tree(&[directory(b"d", Some(tree))]);
    }
    let id = publish(forge, &[directory(b"deep", Some(tree))]);
    for operation in [Operation::Ls, Operation::Check, Operation::Restore] {
        let answer = world.run(operation, id);
        assert!(answer.error.is_none());
        assert!(answer.told().contains("deeper than"), "{}", answer.told());
        if operation == Operation::Restore {
            assert!(answer.restored.contains_key("honest/file"), "{}", answer.told());
        }
    }
    part_with(&world, id);
}

#[test]
fn a_wide_directory_is_nothing_special() {
    let world = world();
    let mut forge = Forge::new(&world);
    let names: Vec<_> = (0..WIDTH).map(|n| format!("{n:06}")).collect();
    let children: Vec<_> = names
        .chunks(1000)
        .map(|names| {
            let entries: Vec<_> = names.iter().map(|name| file(name.as_bytes())).collect();
            let tree = forge.tree(&entries);
            Child {
                first: names[0].clone().into_bytes(),
                id: tree.id,
                entry_count: tree.entry_count,
                content_bytes: 0,
            }
        })
        .collect();
    let id = forge.chunk(FrameKind::Metadata, &Node::Branch(1, children).encode());
    let tree = TreeRef { id, level: 1, entry_count: WIDTH as u64, content_bytes: 0 };
    let id = publish(forge, &[directory(b"wide", Some(tree))]);
    let answer = world.run(Operation::Ls, id).clean();
    assert!(answer.paths.len() > WIDTH);
    world.run(Operation::Check, id).clean();
    part_with(&world, id);
}

// ---------------------------------------------------------------------------------------------
// What a person sees
// ---------------------------------------------------------------------------------------------

/// Runs the program on a repository in a directory.
fn say(world: &World, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_parados"))
        .args(arguments)
        .args(["--no-cache", "-r"])
        .arg(world.at("repository"))
        .arg("--key-file")
        .arg(world.at("key"))
        .env_clear()
        .env("HOME", world.scratch.path())
        .output()
        .unwrap();
    assert!(!output.stdout.is_empty() || !output.stderr.is_empty());
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8(both).unwrap()
}

fn put_on_disk(world: &World) {
    for (name, bytes) in world.store.contents() {
        let path = world.at("repository").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let parados::seal::slot::Secret::KeyFile(key) = secret() else { unreachable!("it is one") };
    fs::write(world.at("key"), &*code::to_text(CodeKind::KeyFile, &key)).unwrap();
    fs::set_permissions(world.at("key"), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Whether a terminal would do more than show it.
fn drives_a_terminal(text: &str) -> bool {
    text.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[test]
fn nothing_stored_drives_a_terminal() {
    let world = world();
    let evil = "\x1b]0;owned\x07\x1b[31m\r\u{9b}2J\u{202e}txt\n";
    let mut forge = Forge::new(&world);
    let lost = Id::new([3; 32]);
    let entries = [
        link(format!("a{evil}").as_bytes(), evil.as_bytes()),
        file_of(format!("b{evil}").as_bytes(), &[(lost, 10)]),
        directory(
            format!("c{evil}").as_bytes(),
            Some(TreeRef { id: lost, level: 0, entry_count: 1, content_bytes: 0 }),
        ),
    ];
    let mut entries = entries.to_vec();
    entries[0].user = Some(evil.as_bytes().to_vec());
    let root = forge.tree(&entries);
    let pack = forge.store_pack();
    let (fence, places) = parados::repo::session::gather(std::iter::once(pack));
    forge.store_segment(fence, &places);
    let mut said = snapshot(vec![component(Some(root))]);
    (said.host, said.user) = (evil.into(), evil.into());
    said.tags = vec![evil.into()];
    said.components[0].paths[0].0 = evil.as_bytes().to_vec();
    said.program = evil.into();
    let id = forge.decide(&Decision::Snapshot(said)).to_hex();
    put_on_disk(&world);
    // A name of an object that is none, for `check` to tell.
    fs::create_dir_all(world.at("repository/notes")).unwrap();
    fs::write(world.at("repository/notes").join("\x1b[31mjunk"), "").unwrap();
    let target = world.at("shown").to_string_lossy().into_owned();
    let commands: &[&[&str]] = &[
        &["snapshots"],
        &["ls", &id, "--recursive", "--long"],
        &["ls", &id, &format!("/c{evil}")],
        &["check"],
        &["restore", &id, "--target", &target],
        &["restore", &format!("{id}:/absent{evil}"), "--target", &target],
    ];
    for command in commands {
        for json in [&[][..], &["--json"]] {
            let Some(_case) = Case::begin(format!("{command:?} {json:?}")) else { continue };
            let text = say(&world, &[command, json].concat());
            assert!(!drives_a_terminal(&text), "{text:?}");
            assert!(json.is_empty() || text.lines().all(is_json), "{text}");
        }
    }
}

fn is_json(line: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(line).is_ok()
}

#[test]
fn the_checks_of_this_file_see_what_they_look_for() {
    assert!(
        drives_a_terminal("\x1b[31m") && drives_a_terminal("a\u{202e}") && drives_a_terminal("\r")
    );
    assert!(!drives_a_terminal("a\nb \u{e9}"));
    let world = world();
    let before = outside(&world);
    fs::write(world.at("outside/new"), "").unwrap();
    assert_ne!(outside(&world), before);
    assert!(
        Path::new("/").exists()
            && world.run(Operation::Snapshots, SessionId::new([0; 32])).snapshots.is_empty()
    );
}
