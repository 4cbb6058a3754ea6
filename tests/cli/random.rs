//! Without random numbers nothing is sealed.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::world::{Answer, PROGRAM, World, python, skip, support};

/// Everything that is stored, with its bytes.
fn stored(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let kinds = ["config", "keys", "packs", "index", "sessions", "snapshots", "tombs"];
    let kinds = kinds.iter().filter(|kind| world.at("repository").join(kind).exists());
    let paths = kinds.flat_map(|kind| world.objects(kind));
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Runs the program without random numbers; `None` where this system cannot.
fn without_random(world: &World, typed: &[&str]) -> Option<Answer> {
    let mut command = Command::new(python());
    command.args(["-I", "-B"]).arg(support("no_random.py")).arg(PROGRAM).args(typed);
    world.dress(&mut command);
    let answer = command.output().ok().map(Answer::of)?;
    (answer.code != 99).then_some(answer)
}

/// 88: a generator that fails ends every command with an error, before anything is written.
#[test]
fn without_random_numbers_nothing_is_begun() {
    let test = "without_random_numbers_nothing_is_begun";
    let world = World::with_repository();
    world.source();
    let id = world.ok(&["backup", "source", "--json"]).snapshot_id();
    let before = stored(&world);
    for typed in [
        &["backup", "source"][..],
        &["init", "-r", "other", "--key-file", "other-key", "--no-recovery-code"],
        &["key", "add", "--new-key-file", "new-key"],
        &["forget", &id, "--allow-all"],
        &["unforget", &id],
        &["prune", "--grace", "0"],
        &["restore", "latest", "--target", "back"],
        &["check"],
    ] {
        let Some(answer) = without_random(&world, typed) else {
            return skip(test, "python3 or seccomp is missing");
        };
        assert_eq!(answer.code, 1, "{typed:?}: {}", answer.err);
        let told = "error: the operating system gives no random numbers";
        assert!(answer.err.starts_with(told), "{typed:?}: {}", answer.err);
        assert!(!answer.err.contains("this is a bug"), "{}", answer.err);
    }
    assert!(stored(&world) == before);
    for path in ["other", "other-key", "new-key", "back"] {
        assert!(!world.at(path).exists(), "{path}");
    }
    world.ok(&["backup", "source"]);
}
