//! What is lost is taken out of snapshots under its name; what is left comes back.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dice::Dice;
use crate::repairing::{flip, forget_cache, is_whole};
use crate::world::{Answer, World, look, noise};

/// A repository of packs that hold little more than a frame.
fn world() -> World {
    World::with_repository_at(None, &["--pack-size", "64K"])
}

/// A file whose chunks are in packs of their own, those of `source/large`; returns its content.
fn large(world: &World) -> (Vec<u8>, Vec<PathBuf>) {
    let before = world.objects("packs");
    let content = noise(5, 2_000_000);
    world.write("source/large", &content);
    world.ok(&["backup", "source"]);
    let mut packs = world.objects("packs");
    packs.retain(|pack| !before.contains(pack));
    // What is metadata is smaller.
    packs.retain(|pack| fs::metadata(pack).unwrap().len() > 100_000);
    (content, packs)
}

fn id_of(pack: &Path) -> String {
    pack.file_name().unwrap().to_str().unwrap().to_owned()
}

/// What `repair packs` says of one pack.
fn only(answer: &Answer) -> serde_json::Value {
    let mut all = answer.json();
    assert_eq!(all.len(), 1, "{}", answer.out);
    all.remove(0)
}

fn restored(world: &World, snapshot: &str, target: &str, code: i32) -> Answer {
    world.expect(code, &["restore", snapshot, "--target", target])
}

#[test]
fn a_damaged_pack_is_healed_by_any_host_and_then_pruned() {
    let world = world();
    let (_, packs) = large(&world);
    let id = id_of(&packs[0]);
    flip(&packs[0], 20_000);
    let checked = world.expect(1, &["check", "--read-data"]);
    assert!(checked.err.contains("`parados repair packs`"), "{}", checked.err);
    // Known to all: this host looks as if it had never been here.
    forget_cache(&world);
    let found = only(&world.expect(3, &["repair", "packs", "--json"]));
    assert_eq!((found["id"].as_str(), &found["dry_run"]), (Some(&*id), &true.into()), "{found}");
    assert!(found["chunks_lost"].as_u64() > Some(0), "{found}");
    let kept = world.ok(&["prune", "--grace", "0"]);
    assert!(packs[0].exists() && kept.err.contains("1 damaged pack"), "{}", kept.err);
    let told = world.ok(&["backup", "source"]);
    assert!(told.out.contains("Healed: "), "{}", told.out);
    let told = world.ok(&["repair", "packs", "--apply"]);
    let expect = format!("pack {id}: ");
    assert!(told.out.starts_with(&expect) && !told.out.contains("lost"), "{}", told.out);
    assert!(packs[0].exists() && told.out.contains("`parados prune`"), "{}", told.out);
    world.ok(&["prune", "--grace", "0"]);
    assert!(!packs[0].exists());
    is_whole(&world);
    let told = world.ok(&["repair", "packs"]);
    assert!(told.out.starts_with("no damaged pack is known"), "{}", told.out);
}

/// What becomes of a pack of many frames that is damaged at an offset and is gone later, while the
/// sources are away.
fn salvage(at: usize) -> (World, serde_json::Value, String) {
    let world = World::with_repository_at(None, &["--pack-size", "2M"]);
    for number in 0..40 {
        world.write(&format!("source/{number:02}"), noise(number, 30_000));
    }
    world.ok(&["backup", "source"]);
    let mut packs = world.objects("packs");
    packs.sort_by_key(|pack| fs::metadata(pack).unwrap().len());
    let damaged = packs.pop().unwrap();
    flip(&damaged, at);
    fs::rename(world.at("source"), world.at("away")).unwrap();
    // Named, before any check has seen it.
    let name = format!("packs/{}/{}", &id_of(&damaged)[..2], id_of(&damaged));
    let answer = world.run(&["repair", "packs", &name, "--apply", "--json"]);
    let found = only(&answer);
    assert_eq!(answer.code, if found["chunks_lost"] == 0 { 0 } else { 3 }, "{found}");
    assert!(found["chunks_stored"].as_u64() > Some(10), "{found}");
    // What was stored once more needs it no longer.
    fs::remove_file(&damaged).unwrap();
    forget_cache(&world);
    let restored = world.run(&["restore", "latest", "--target", "back"]);
    (world, found, restored.err)
}

#[test]
fn what_can_be_read_of_a_damaged_pack_is_stored_once_more() {
    let (world, found, told) = salvage(2_000);
    let lost = found["chunks_lost"].as_u64().unwrap();
    let torn = world.expect(1, &["check"]).err.matches("lost in").count() as u64;
    // One line for each range.
    let restored = told.lines().filter(|line| line.contains("zeros stand in their place"));
    let restored: BTreeSet<&str> = restored.filter_map(|line| line.split(": ").nth(1)).collect();
    assert!(torn > 0 && torn <= lost && lost < 20, "{torn} {found}");
    assert_eq!(restored.len() as u64, torn, "{told}");
}

#[test]
fn a_pack_that_does_not_say_what_it_holds_is_saved_by_the_index() {
    let (world, found, told) = salvage(100);
    assert_eq!((&found["chunks_lost"], &found["unknown"]), (&0.into(), &false.into()), "{found}");
    assert!(!told.contains("error"), "{told}");
    let inner = world.at("source");
    let inner = world.at("back").join(inner.strip_prefix("/").unwrap());
    assert_eq!(look(&inner), look(&world.at("away")));
}

#[test]
fn a_pack_that_is_as_it_should_be_is_no_longer_held_for_damaged() {
    let world = world();
    let (_, packs) = large(&world);
    flip(&packs[0], 20_000);
    world.expect(1, &["check", "--read-data"]);
    flip(&packs[0], 20_000);
    let told = world.ok(&["repair", "packs", "--apply"]);
    assert!(told.out.contains("is as it should be"), "{}", told.out);
    assert!(!world.ok(&["check"]).err.contains("damaged"));
    assert!(!world.ok(&["backup", "source"]).out.contains("Healed"));
    let missing = "0".repeat(64);
    assert!(world.error(1, &["repair", "packs", &missing]).contains("there is no packs/00/"));
    assert!(world.error(2, &["repair", "packs", "abc"]).contains("64 hexadecimal digits"));
}

/// Ranges of `path` that are lost in a snapshot, as `ls` says.
fn lost_ranges(world: &World, snapshot: &str, path: &str) -> Vec<(usize, usize)> {
    let listed = world.ok(&["ls", snapshot, "--json"]).json();
    let node = listed.iter().find(|node| node["path"].as_str().is_some_and(|p| p.ends_with(path)));
    let lost = node.unwrap()["lost"].as_array().cloned().unwrap_or_default();
    let range = |told: &serde_json::Value| {
        let (offset, len) = told.as_str().unwrap().split_once('+').unwrap();
        (offset.parse().unwrap(), len.parse().unwrap())
    };
    lost.iter().map(range).collect()
}

#[test]
fn a_snapshot_without_what_is_lost_says_where_it_was() {
    let world = world();
    world.source();
    world.ok(&["backup", "source"]);
    let (content, packs) = large(&world);
    let old = world.ok(&["snapshots", "latest", "--json"]).json().remove(0);
    let old = old[0]["id"].as_str().unwrap().to_owned();
    for pack in [&packs[0], &packs[5]] {
        fs::remove_file(pack).unwrap();
    }
    let source = world.at("source");
    let kept = look(&source);
    let inner = source.strip_prefix("/").unwrap();
    world.expect(1, &["check"]);
    let before = world.objects("snapshots").len();
    let told = world.expect(3, &["repair", "snapshots"]);
    assert!(told.out.contains("/large: ") && told.out.contains("`--apply`"), "{}", told.out);
    assert!(told.out.contains("something is lost of 1 of 2 snapshots"), "{}", told.out);
    assert_eq!(world.objects("snapshots").len(), before);
    assert!(world.error(2, &["repair", "snapshots", "--forget"]).contains("`--apply`"));
    let repair = ["repair", "snapshots", "--apply", "--forget", "--json"];
    let done = world.expect(3, &repair).json().remove(0);
    assert_eq!(done["original"].as_str(), Some(&*old), "{done}");
    let new = done["snapshot_id"].as_str().unwrap();
    assert_eq!((&done["files_lost"], &done["forgotten"]), (&1.into(), &true.into()), "{done}");

    let checked = world.ok(&["check"]);
    assert!(checked.out.contains("no errors"), "{}", checked.out);
    let ranges = lost_ranges(&world, new, "/large");
    let lost: usize = ranges.iter().map(|(_, len)| len).sum();
    assert_eq!(Some(lost as u64), done["bytes_lost"].as_u64());
    assert!(lost > 0 && lost < content.len(), "{ranges:?}");
    let answer = restored(&world, new, "back", 3);
    assert!(answer.err.contains("/large: "), "{}", answer.err);
    let mut expect = content.clone();
    for (offset, len) in ranges {
        expect[offset..offset + len].fill(0);
    }
    let back = world.at("back").join(inner);
    assert!(fs::read(back.join("large")).unwrap() == expect, "not what is left of it");
    let mut got = look(&back);
    let mut rest = kept;
    got.remove(Path::new("large"));
    rest.remove(Path::new("large"));
    assert_eq!(got, rest);
    // Nothing more is lost, and the next backup has all of it again.
    assert!(world.ok(&["repair", "snapshots"]).out.starts_with("nothing to repair"));
    world.ok(&["prune", "--grace", "0"]);
    world.ok(&["backup", "source"]);
    is_whole(&world);
    assert_eq!(lost_ranges(&world, "latest", "/large"), []);
}

#[test]
fn lost_directories_are_named_and_what_was_in_them_is_recovered() {
    let world = world();
    // Directories deep enough that one can be lost above others.
    for number in 0..20 {
        world.write(&format!("source/a/b/c/{number}"), noise(number, 2_000));
    }
    world.ok(&["backup", "source"]);
    let below = world.objects("packs");
    // A change in `a` makes new nodes of it and of what is above, in a pack of their own.
    world.write("source/a/late", "late");
    world.ok(&["backup", "source"]);
    let told = world.ok(&["recover"]);
    assert_eq!(told.out, "nothing to recover: snapshots name every tree\n");
    world.ok(&["forget", "latest~1"]);
    world.ok(&["prune", "--grace", "0", "--max-unused", "unlimited"]);
    for pack in world.objects("packs").iter().filter(|pack| !below.contains(pack)) {
        fs::remove_file(pack).unwrap();
    }
    forget_cache(&world);
    let told = world.expect(3, &["repair", "snapshots", "--apply", "--forget"]);
    assert!(told.out.contains("its top directory cannot be read"), "{}", told.out);
    assert!(told.err.contains("`parados recover`"), "{}", told.err);
    assert_eq!(world.objects("snapshots").len(), 1, "it may turn up again");
    let found = world.ok(&["recover"]);
    assert!(found.out.contains("`--apply`"), "{}", found.out);
    assert_eq!(world.objects("snapshots").len(), 1);
    let done = world.ok(&["recover", "--apply", "--json"]).json().remove(0);
    let id = done["snapshot_id"].as_str().unwrap();
    world.ok(&["restore", id, "--target", "back"]);
    let mut found = BTreeSet::new();
    for (path, told) in look(&world.at("back")) {
        if told.contains(" links") {
            found.insert(path.file_name().unwrap().to_owned());
        }
    }
    let expect = (0..20).map(|number| number.to_string().into());
    assert_eq!(found, expect.collect::<BTreeSet<std::ffi::OsString>>());
    assert_eq!(world.ok(&["recover"]).out, "nothing to recover: snapshots name every tree\n");
}

#[test]
fn a_snapshot_that_somebody_took_away_is_recovered() {
    let world = world();
    let source = world.source();
    world.ok(&["backup", "source"]);
    let snapshots = world.objects("snapshots");
    fs::remove_file(&snapshots[0]).unwrap();
    let id = world.ok(&["recover", "--apply", "--json"]).json().remove(0);
    let id = id["snapshot_id"].as_str().unwrap().to_owned();
    let shown = world.ok(&["snapshots"]);
    assert!(shown.out.contains("recovered"), "{}", shown.out);
    world.ok(&["restore", &id, "--target", "back"]);
    let top = fs::read_dir(world.at("back")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(look(&source), look(&top.join(source.strip_prefix("/").unwrap())));
}

/// Issue 5: one pack in a hundred is gone.
#[test]
fn what_is_left_of_a_repository_comes_back_and_one_backup_makes_it_whole() {
    let world = world();
    let mut dice = Dice::new(11);
    for number in 0..1_200 {
        let len = 1 + dice.below(60_000);
        world.write(&format!("source/{}/{number}", number % 7), noise(number, len));
    }
    world.ok(&["backup", "source"]);
    // Those of metadata are smaller; where they are gone directories are named, and not files.
    let mut packs = world.objects("packs");
    packs.retain(|pack| fs::metadata(pack).unwrap().len() > 100_000);
    assert!(packs.len() > 100, "{}", packs.len());
    let mut gone = BTreeSet::new();
    while gone.len() * 100 < packs.len() {
        gone.insert(dice.below(packs.len()));
    }
    for number in &gone {
        fs::remove_file(&packs[*number]).unwrap();
    }
    let source = world.at("source");
    let inner = source.strip_prefix("/").unwrap();
    let answer = restored(&world, "latest", "back", 3);
    let whole = look(&source);
    let got = look(&world.at("back").join(inner));
    // Each file that is not as it was is named, and no other one.
    let mut broken = 0;
    for (path, told) in &whole {
        let name = format!("back/{}", inner.join(path).display());
        let is_named = answer.err.lines().any(|line| {
            line.split(|c: char| c.is_whitespace() || c == ':').any(|word| word.ends_with(&name))
        });
        let is_right = got.get(path) == Some(told);
        let is_file = told.contains(" links");
        assert!(!is_file || is_right != is_named, "{}: {}", path.display(), answer.err);
        broken += u32::from(!is_right && is_file);
    }
    assert!(broken > 0 && broken < 120, "{broken}");
    let told = world.ok(&["backup", "source"]);
    assert!(told.out.contains("Healed: "), "{}", told.out);
    is_whole(&world);
}
