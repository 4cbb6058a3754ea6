//! What is damaged is mended from what is left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::world::{World, look, noise};

/// Every object with its bytes.
fn objects(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let kinds = ["config", "keys", "packs", "index", "sessions", "snapshots"];
    let paths = kinds.iter().flat_map(|kind| world.objects(kind));
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Flips a bit of an object, which may not be written by its owner.
pub(crate) fn flip(object: &Path, at: usize) {
    let mut bytes = fs::read(object).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 1;
    fs::remove_file(object).unwrap();
    fs::write(object, bytes).unwrap();
}

/// Two snapshots, and so two segments with packs of their own.
fn backed_up_twice() -> World {
    let world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    world.write("source/more", noise(77, 300_000));
    world.ok(&["backup", "source"]);
    assert_eq!(world.objects("index").len(), 2);
    world
}

/// As on a host that was never here.
pub(crate) fn forget_cache(world: &World) {
    fs::remove_dir_all(world.at("home/.cache")).unwrap();
}

/// Everything is there, and nobody had to look into packs for it.
pub(crate) fn is_whole(world: &World) {
    forget_cache(world);
    let checked = world.ok(&["check", "--read-data"]);
    assert!(checked.out.contains("no errors"), "{}", checked.out);
    let target = world.at("back");
    let restored = world.ok(&["restore", "latest", "--target", "back"]);
    assert!(!restored.err.contains("headers"), "{}", restored.err);
    let source = world.at("source");
    assert_eq!(look(&source), look(&target.join(source.strip_prefix("/").unwrap())));
}

#[test]
fn a_lost_segment_is_made_again_from_packs() {
    let world = backed_up_twice();
    for segment in world.objects("index") {
        fs::remove_file(segment).unwrap();
    }
    forget_cache(&world);
    let before = objects(&world);
    let packs = world.objects("packs").len();
    let told = world.ok(&["repair", "index"]);
    assert!(told.out.contains(&format!("would describe {packs} packs")), "{}", told.out);
    assert!(told.out.contains("`--apply`"), "{}", told.out);
    assert!(objects(&world) == before);
    let told = world.ok(&["repair", "index", "--apply"]);
    assert!(told.out.contains(&format!("described {packs} packs")), "{}", told.out);
    assert!(before.iter().all(|(path, bytes)| fs::read(path).unwrap() == *bytes));
    is_whole(&world);
    assert_eq!(world.ok(&["repair", "index"]).out, "nothing to repair\n");
}

#[test]
fn a_damaged_segment_goes_when_packs_say_the_same() {
    let world = backed_up_twice();
    let damaged = world.objects("index").remove(0);
    flip(&damaged, 300);
    // A record that nobody can read is no obstacle.
    fs::create_dir_all(world.at("repository/gc/1")).unwrap();
    let junk = world.write("repository/gc/1/d", "junk");
    forget_cache(&world);
    assert!(world.expect(1, &["check"]).err.contains("`parados repair index`"));
    let told = world.ok(&["repair", "index", "--json"]).json().remove(0);
    assert_eq!((&told["dry_run"], &told["segments_removed"]), (&true.into(), &1.into()), "{told}");
    let name = damaged.file_name().unwrap().to_str().unwrap();
    assert_eq!(told["segments_damaged"][0].as_str(), Some(&*format!("index/{name}")), "{told}");
    assert!(damaged.exists());
    world.ok(&["repair", "index", "--apply"]);
    assert!(!damaged.exists());
    fs::remove_file(junk).unwrap();
    is_whole(&world);
}

#[test]
fn a_damaged_segment_stays_where_it_may_be_all_that_is_known_of_a_pack() {
    let world = backed_up_twice();
    let kept = world.objects("index").remove(0);
    let of_first = world.objects("packs");
    world.write("source/third", noise(78, 300_000));
    world.ok(&["backup", "source"]);
    let mut segments = world.objects("index");
    segments.retain(|path| *path != kept);
    let damaged =
        segments.iter().max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    let damaged = damaged.unwrap().clone();
    flip(&damaged, 300);
    // The trailer of one of its packs, without which its header cannot be read.
    let mut packs = world.objects("packs");
    packs.retain(|path| !of_first.contains(path));
    let len = fs::metadata(&packs[0]).unwrap().len();
    flip(&packs[0], usize::try_from(len).unwrap() - 1);
    forget_cache(&world);
    let told = world.expect(3, &["repair", "index", "--apply"]);
    assert!(told.err.contains("pack") && told.out.contains("stays"), "{}{}", told.out, told.err);
    assert!(damaged.exists() && packs.iter().all(|pack| pack.exists()));
    // Once it can be read, nothing is left to say.
    flip(&damaged, 300);
    flip(&packs[0], usize::try_from(len).unwrap() - 1);
    forget_cache(&world);
    world.ok(&["repair", "index", "--apply"]);
    is_whole(&world);
}
