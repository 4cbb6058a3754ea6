//! Several processes that are one writer, as cron makes them when one run takes longer than an hour.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Child;

use crate::world::{Answer, World, look, noise};

/// Backups at a time.
const PROCESS_COUNT: u64 = 4;

/// All objects that must never change, with their bytes.
fn stored(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let kinds = ["config", "keys", "packs", "index", "sessions", "snapshots"];
    let paths = kinds.iter().flat_map(|kind| world.objects(kind));
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn start(world: &World, number: u64) -> Child {
    let source = format!("source-{number}");
    world.command(&["backup", &source, "source", "--json"]).spawn().unwrap()
}

/// 87: they share one cache, so that all of them take the next number of the same writer. Each makes
/// a snapshot of its own, none overwrites anything, and none can be taken away unnoticed.
#[test]
fn backups_of_one_writer_at_the_same_time_all_count_and_are_all_missed() {
    let world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    for number in 0..PROCESS_COUNT {
        world.write(&format!("source-{number}/own"), noise(number, 300_000));
        world.write(&format!("source-{number}/common"), noise(99, 300_000));
    }
    let before = stored(&world);
    let children: Vec<_> = (0..PROCESS_COUNT).map(|number| start(&world, number)).collect();
    let mut ids = Vec::new();
    for child in children {
        let answer = Answer::of(child.wait_with_output().unwrap());
        assert_eq!(answer.code, 0, "{}", answer.err);
        ids.push(answer.snapshot_id());
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
    let after = stored(&world);
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
    // This one says which it has seen.
    world.ok(&["backup", "source"]);
    for (number, id) in ids.iter().enumerate() {
        let _none = fs::remove_dir_all(world.at("back"));
        let source = world.at(&format!("source-{number}"));
        let part = format!("{id}:{}", source.display());
        world.ok(&["restore", &part, "--target", "back"]);
        assert_eq!(look(&world.at("back")), look(&source));
    }
    world.ok(&["check", "--read-data"]);
    for id in &ids {
        let path = world.at("repository/snapshots").join(id);
        fs::rename(&path, world.at("taken")).unwrap();
        let told = world.expect(1, &["check"]).err;
        assert!(told.contains(id) && told.contains("nobody forgot it"), "{told}");
        // What only it needs is not deleted.
        let told = world.expect(1, &["prune", "--grace", "0"]).err;
        assert!(told.contains(id), "{told}");
        fs::rename(world.at("taken"), &path).unwrap();
    }
    world.ok(&["check"]);
}
