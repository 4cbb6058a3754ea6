//! Several processes on one repository at the same time.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Child;

use crate::world::{Answer, World, look, noise};

/// Backups at a time, and times.
const WRITER_COUNT: u64 = 3;
const ROUND_COUNT: u64 = 4;

/// Whose cache a process uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caches {
    /// All the same: processes of one host.
    One,
    /// Each its own: hosts of their own.
    Each,
}

fn source(writer: u64) -> String {
    format!("source/{writer}")
}

/// New content: a part that all writers have, and one of each alone.
fn change(world: &World, round: u64, writer: u64) {
    let path = |name: &str| format!("{}/{name}", source(writer));
    world.write(&path("of-all"), noise(1_000 + round, 400_000));
    world.write(&path("own"), noise(2_000 + 10 * round + writer, 400_000));
    world.write(&path(&format!("of-round-{round}")), noise(3_000 + round, 20_000));
}

/// What the writer of this number calls itself, with its cache.
fn identity(caches: Caches, writer: u64) -> [String; 2] {
    let number = if caches == Caches::One { 0 } else { writer };
    ["--cache-dir".to_owned(), format!("cache-{number}")]
}

fn check(caches: Caches) {
    let world = World::with_repository_at(None, &["--pack-size", "64K"]);
    let mut expected: BTreeMap<String, (PathBuf, _)> = BTreeMap::new();
    let mut deleted = 0;
    for round in 0..ROUND_COUNT {
        (0..WRITER_COUNT).for_each(|writer| change(&world, round, writer));
        let start = |words: Vec<String>| -> Child { world.command(&words).spawn().unwrap() };
        let mut children: Vec<Child> = Vec::new();
        for writer in 0..WRITER_COUNT {
            let words = ["backup".to_owned(), source(writer), "--json".to_owned()];
            let host = ["--host".to_owned(), format!("host-{writer}")];
            children.push(start([&words[..], &host, &identity(caches, writer)].concat()));
        }
        // Prunes come and go until the last backup has ended.
        let mut prunes = 0;
        let words = ["prune", "--grace", "0", "--max-unused", "0", "--json"].map(str::to_owned);
        while prunes == 0 || children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
            let prune = start([&words[..], &identity(caches, prunes % WRITER_COUNT)].concat());
            let answer = Answer::of(prune.wait_with_output().unwrap());
            assert_eq!(answer.code, 0, "{caches:?}: prune: {}{}", answer.out, answer.err);
            deleted += answer.json()[0]["packs_deleted"].as_u64().unwrap();
            prunes += 1;
        }
        for (writer, child) in (0..).zip(children) {
            let answer = Answer::of(child.wait_with_output().unwrap());
            assert_eq!(answer.code, 0, "{caches:?}: backup: {}{}", answer.out, answer.err);
            let path = world.at(&source(writer));
            let tree = look(&path);
            assert!(expected.insert(answer.snapshot_id(), (path, tree)).is_none());
        }
        // From the second round on there is something to delete beside the next backups.
        let forgotten = expected.keys().take(2).cloned().collect::<Vec<_>>();
        if round + 1 < ROUND_COUNT {
            let words = [&["forget".to_owned()][..], &forgotten, &identity(caches, round)].concat();
            world.ok(&words);
            expected.retain(|id, _| !forgotten.contains(id));
        }
    }
    assert!(deleted > 0, "no prune found anything to delete");
    for writer in 0..WRITER_COUNT {
        let words = [&["check", "--read-data"].map(str::to_owned)[..], &identity(caches, writer)];
        let checked = world.ok(&words.concat());
        assert!(checked.out.contains("no errors were found"), "{}{}", checked.out, checked.err);
    }
    for (id, (path, tree)) in &expected {
        world.ok(&["restore", id, "--target", "back"]);
        let back = world.at("back").join(path.strip_prefix("/").unwrap());
        assert!(look(&back) == *tree, "{caches:?}: the snapshot {id} is not what was backed up");
        fs::remove_dir_all(world.at("back")).unwrap();
    }
}

#[test]
fn backups_and_prunes_of_one_host_share_a_repository_and_a_cache() {
    check(Caches::One);
}

#[test]
fn backups_and_prunes_of_several_hosts_share_a_repository() {
    check(Caches::Each);
}
