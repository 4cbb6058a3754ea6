//! One bad object never stops the rest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::world::{Answer, World, look, noise};

/// What is done to an object.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip,
    Truncate,
    Swap,
    Remove,
}

const HARMS: [Harm; 4] = [Harm::Flip, Harm::Truncate, Harm::Swap, Harm::Remove];

/// Objects as they were, put back when dropped.
struct Harmed(BTreeMap<PathBuf, Vec<u8>>);

impl Harmed {
    /// Harms `object`; `other` is what it is swapped with.
    fn new(harm: Harm, object: &Path, other: &Path) -> Self {
        let (own, others) = (fs::read(object).unwrap(), fs::read(other).unwrap());
        let mut bytes = own.clone();
        match harm {
            Harm::Flip => bytes[own.len() / 2] ^= 0x10,
            Harm::Truncate => bytes.truncate(own.len() / 2),
            Harm::Swap => {
                overwrite(other, &own);
                bytes.clone_from(&others);
            }
            Harm::Remove => {}
        }
        overwrite(object, &bytes);
        if matches!(harm, Harm::Remove) {
            fs::remove_file(object).unwrap();
        }
        Self(BTreeMap::from([(object.to_owned(), own), (other.to_owned(), others)]))
    }

    /// Writes `bytes` at `offset` of `object`.
    fn patch(object: &Path, offset: usize, bytes: &[u8]) -> Self {
        let own = fs::read(object).unwrap();
        let mut patched = own.clone();
        patched[offset..offset + bytes.len()].copy_from_slice(bytes);
        overwrite(object, &patched);
        Self(BTreeMap::from([(object.to_owned(), own)]))
    }
}

impl Drop for Harmed {
    fn drop(&mut self) {
        self.0.iter().for_each(|(path, bytes)| overwrite(path, bytes));
    }
}

/// Objects may not be written by their owner, so they are replaced.
fn overwrite(path: &Path, bytes: &[u8]) {
    let _absent = fs::remove_file(path);
    fs::write(path, bytes).unwrap();
}

/// A repository of small packs with two snapshots.
struct Scene {
    world: World,
    source: PathBuf,
    ids: [String; 2],
}

impl Scene {
    fn new() -> Self {
        let world = World::with_repository_at(None, &["--pack-size", "128K"]);
        for number in 0..6 {
            world.write(&format!("source/{number}.bin"), noise(number, 90_000));
        }
        let backup = || world.ok(&["backup", "source", "--json"]).snapshot_id();
        let first = backup();
        world.write("source/new.bin", noise(7, 10_000));
        let second = backup();
        Self { source: world.at("source"), ids: [first, second], world }
    }

    /// Restores a snapshot without the help of a cache; what came back, and what was said.
    fn restore(&self, id: &str, code: i32) -> (BTreeMap<PathBuf, String>, String) {
        let target = self.world.at("back");
        let _absent = fs::remove_dir_all(&target);
        let answer = self.world.expect(code, &["restore", id, "-t", "back", "--no-cache"]);
        let inner = target.join(self.source.strip_prefix("/").unwrap());
        (if inner.exists() { look(&inner) } else { BTreeMap::new() }, answer.err)
    }

    fn object(&self, kind: &str, id: &str) -> PathBuf {
        let mut found = self.world.objects(kind).into_iter();
        found.find(|path| path.to_string_lossy().contains(id)).unwrap()
    }
}

/// Each line that was told once, without what differs from run to run.
fn shapes(world: &World, answer: &Answer) -> String {
    let text = world.stable(&format!("{}{}", answer.out, answer.err));
    let mut lines: Vec<String> = text.lines().map(shape).collect();
    lines.sort();
    lines.dedup();
    format!("exit {}\n{}", answer.code, lines.join("\n"))
}

/// A line with `N` for every number, of which chunks are cut and packs are filled anew each time.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    let mut digits = String::new();
    for c in line.replace("packs/", "packs/\u{1}").chars().chain(['\n']) {
        let may_be_letter = shape.ends_with('\u{1}') || !digits.is_empty();
        if c.is_ascii_digit() || c.is_ascii_hexdigit() && may_be_letter {
            digits.push(c);
        } else {
            if !digits.is_empty() {
                shape.push('N');
                digits.clear();
            }
            shape.push(c);
        }
    }
    shape.replace('\u{1}', "").trim_end().to_owned()
}

#[test]
fn each_damage_is_told_with_its_object_and_a_way_out() {
    let scene = Scene::new();
    let other = Scene::new();
    let newest = |scene: &Scene, kind: &str| scene.object(kind, &scene.ids[1]);
    let packs = scene.world.objects("packs");
    // Without the pack of its trees a snapshot cannot be listed.
    let holds_trees = |pack: &PathBuf| {
        let _removed = Harmed::new(Harm::Remove, pack, pack);
        scene.world.run(&["ls", "latest", "--no-cache"]).code != 0
    };
    let trees = packs.iter().find(|pack| holds_trees(pack)).unwrap().clone();
    let mut data: Vec<PathBuf> = packs.into_iter().filter(|pack| *pack != trees).collect();
    data.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    let only = |scene: &Scene, kind: &str| scene.world.objects(kind).remove(0);
    let objects = [
        ("config", only(&scene, "config"), only(&other, "config")),
        ("key slot", only(&scene, "keys"), only(&other, "keys")),
        ("pack of data", data[0].clone(), data[1].clone()),
        ("pack of metadata", trees, data[0].clone()),
        ("index segment", newest(&scene, "index"), newest(&other, "index")),
        ("session root", newest(&scene, "sessions"), newest(&other, "sessions")),
        ("snapshot", newest(&scene, "snapshots"), newest(&other, "snapshots")),
    ];
    let mut told = String::new();
    for (kind, object, other) in &objects {
        for harm in HARMS {
            let harmed = Harmed::new(harm, object, other);
            let _absent = fs::remove_dir_all(scene.world.at("back"));
            for typed in [
                &["restore", "latest", "-t", "back", "--no-cache"][..],
                &["check", "--read-data", "--no-cache"],
            ] {
                let answer = scene.world.run(typed);
                assert!(!answer.err.contains("this is a bug"), "{}", answer.err);
                let shapes = shapes(&scene.world, &answer);
                told.push_str(&format!("--- {kind}, {harm:?}: {}, {shapes}\n\n", typed[0]));
            }
            drop(harmed);
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_damaged_pack_costs_only_the_files_in_it() {
    let scene = Scene::new();
    let whole = look(&scene.source);
    let mut packs = scene.world.objects("packs");
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    let [pack, other] = [&packs[0], &packs[1]];
    let name = pack.file_name().unwrap().to_string_lossy().into_owned();
    for harm in HARMS {
        let harmed = Harmed::new(harm, pack, other);
        let (back, told) = scene.restore("latest", 3);
        assert!(told.contains(&name), "{harm:?}: {told}");
        let lost: Vec<_> =
            whole.keys().filter(|path| back.get(*path) != whole.get(*path)).collect();
        assert!(!lost.is_empty() && lost.len() < 6, "{harm:?}: {lost:?}");
        for path in lost {
            assert!(told.contains(path.to_str().unwrap()), "{harm:?}: {path:?} in {told}");
        }
        let found = scene.world.expect(1, &["check", "--read-data"]);
        assert!(found.err.contains(&name), "{harm:?}: {}", found.err);
        assert!(found.err.contains("lost in snapshot"), "{harm:?}: {}", found.err);
        drop(harmed);
    }
    assert_eq!(scene.restore("latest", 0).0, whole);
    scene.world.ok(&["check", "--read-data"]);
}

#[test]
fn the_next_backup_heals_what_the_source_still_has() {
    let scene = Scene::new();
    let mut packs = scene.world.objects("packs");
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    fs::remove_file(&packs[0]).unwrap();
    scene.world.ok(&["backup", "source"]);
    assert_eq!(scene.restore("latest", 0).0, look(&scene.source));
    assert_eq!(scene.restore(&scene.ids[1], 0).0, look(&scene.source));
}

#[test]
fn a_damaged_snapshot_hides_no_other() {
    let scene = Scene::new();
    let [first, second] = &scene.ids;
    let [object, other] = [second, first].map(|id| scene.object("snapshots", id));
    for harm in [Harm::Flip, Harm::Truncate] {
        let harmed = Harmed::new(harm, &object, &other);
        let listed = scene.world.expect(3, &["snapshots"]);
        assert!(listed.err.contains(&**second), "{}", listed.err);
        assert!(listed.out.contains(&first[..8]) && listed.out.ends_with("1 snapshot\n"));
        let (back, told) = scene.restore(first, 3);
        assert_eq!(back.len(), 7, "{told}");
        let found = scene.world.expect(1, &["check"]);
        assert!(found.err.contains(&**second), "{}", found.err);
        drop(harmed);
    }
    let swapped = Harmed::new(Harm::Swap, &object, &other);
    let listed = scene.world.expect(3, &["snapshots"]);
    assert!(listed.err.contains(&**first) && listed.err.contains(&**second), "{}", listed.err);
    assert!(listed.out.contains("no snapshot can be read"), "{}", listed.out);
    drop(swapped);
    let removed = Harmed::new(Harm::Remove, &object, &other);
    assert_eq!(scene.restore(first, 0).0.len(), 7);
    drop(removed);
    scene.world.ok(&["check"]);
}

#[test]
fn a_damaged_session_root_of_a_committed_snapshot_is_not_needed() {
    let scene = Scene::new();
    let [object, other] = [1, 0].map(|at| scene.object("sessions", &scene.ids[at]));
    for harm in HARMS {
        let harmed = Harmed::new(harm, &object, &other);
        assert_eq!(scene.restore("latest", 0).0, look(&scene.source), "{harm:?}");
        drop(harmed);
    }
}

#[test]
fn a_damaged_index_segment_is_named_and_healed() {
    for harm in HARMS {
        let scene = Scene::new();
        let [object, other] = [1, 0].map(|at| scene.object("index", &scene.ids[at]));
        let harmed = Harmed::new(harm, &object, &other);
        let name = object.file_name().unwrap().to_string_lossy().into_owned();
        let found = scene.world.expect(1, &["check"]);
        // A segment that is gone has no name any more; what it pointed to is missed.
        let is_named = found.err.contains(&name) || matches!(harm, Harm::Remove);
        assert!(is_named, "{harm:?}: {}", found.err);
        fs::remove_dir_all(scene.world.at("home/.cache")).unwrap();
        let code = if matches!(harm, Harm::Remove) { 0 } else { 3 };
        let told = scene.world.expect(code, &["backup", "source"]);
        assert!(code == 0 || told.out.contains("the snapshot is whole"), "{}", told.out);
        assert_eq!(scene.restore("latest", code).0, look(&scene.source), "{harm:?}");
        // The scene goes away as it is.
        std::mem::forget(harmed);
    }
}

/// What the cache still knows about a segment that is gone helps no other host.
#[test]
fn a_snapshot_relies_on_no_segment_that_only_the_cache_knows() {
    let scene = Scene::new();
    let object = scene.object("index", &scene.ids[0]);
    fs::remove_file(object).unwrap();
    scene.world.ok(&["backup", "source"]);
    assert_eq!(scene.restore("latest", 0).0, look(&scene.source));
}

#[test]
fn a_damaged_config_says_so() {
    let scene = Scene::new();
    let config = scene.world.objects("config").remove(0);
    let unused = scene.world.write("unused", "unused");
    for (harm, expect) in [
        (Harm::Flip, "error: config config/1 is damaged"),
        (Harm::Truncate, "error: config config/1 is damaged"),
        (Harm::Remove, "error: config/1 of the repository at <world>/repository is missing"),
    ] {
        let harmed = Harmed::new(harm, &config, &unused);
        let error = scene.world.error(1, &["snapshots"]);
        assert!(error.starts_with(expect) && error.contains("\nhint: "), "{harm:?}: {error}");
        drop(harmed);
    }
}

#[test]
fn a_damaged_key_slot_leaves_the_others() {
    let world = World::with_repository();
    let slot = world.objects("keys").remove(0);
    world.ok(&["key", "add", "--new-key-file", "second"]);
    let other = world.objects("keys").into_iter().find(|path| *path != slot).unwrap();
    for harm in HARMS {
        let harmed = Harmed::new(harm, &slot, &other);
        if !matches!(harm, Harm::Swap) {
            // One that is there and fits the key is known to be damaged.
            let code = if matches!(harm, Harm::Flip) { 1 } else { 12 };
            world.expect(code, &["snapshots"]);
            world.ok(&["snapshots", "--key-file", "second"]);
        } else {
            // Both have a name that is not theirs.
            world.expect(1, &["snapshots", "--key-file", "second"]);
        }
        drop(harmed);
    }
    let removed = Harmed::new(Harm::Remove, &slot, &other);
    let unused = world.write("unused", "unused");
    let last = Harmed::new(Harm::Truncate, &other, &unused);
    let error = world.error(1, &["snapshots"]);
    assert!(error.contains("key slot keys/<id> is damaged: it is truncated"), "{error}");
    drop((removed, last));
}

#[test]
fn a_newer_format_is_told_apart_from_damage() {
    let scene = Scene::new();
    let version = 2u16.to_le_bytes();
    for kind in ["config", "keys"] {
        let object = scene.world.objects(kind).remove(0);
        let harmed = Harmed::patch(&object, 4, &version);
        let error = scene.world.error(1, &["snapshots"]);
        insta::assert_snapshot!(format!("a newer {kind}"), error);
        drop(harmed);
    }
    let object = scene.object("snapshots", &scene.ids[1]);
    let _harmed = Harmed::patch(&object, 4, &version);
    let told = scene.world.error(3, &["snapshots"]);
    insta::assert_snapshot!("a newer snapshot", told);
}

#[test]
fn absurd_costs_of_a_key_slot_are_refused_at_once() {
    let world = World::with_repository();
    world.write("passphrase", "x");
    let slot = world.objects("keys").remove(0);
    let kind = Harmed::patch(&slot, 6, &[1]);
    for [memory_kib, passes, lanes] in [[u32::MAX, 3, 4], [262_144, u32::MAX, 4], [8, 1, 1]] {
        let costs = [memory_kib, passes, lanes].map(u32::to_le_bytes).concat();
        let harmed = Harmed::patch(&slot, 72, &costs);
        let error = world.error(1, &["snapshots", "-p", "passphrase"]);
        insta::assert_snapshot!("absurd costs of a key slot", error);
        drop(harmed);
    }
    drop(kind);
    world.ok(&["snapshots"]);
}
