//! Snapshots that are forgotten by name or by policy until they are brought back.

use std::fs;

use crate::world::{World, noise};

/// A world with snapshots of one source, dated on these days of January 2026 at noon UTC.
fn world_of(days: &[u32]) -> (World, Vec<String>) {
    let world = World::with_repository();
    let mut ids = Vec::new();
    for day in days {
        world.write("source/file", noise(u64::from(*day), 50_000));
        let time = format!("2026-01-{day:02}T12:00:00Z");
        let out = world.ok(&["backup", "source", "--time", &time, "--json"]).json();
        ids.push(out.last().unwrap()["snapshot_id"].as_str().unwrap().to_owned());
    }
    (world, ids)
}

fn listed(world: &World) -> Vec<String> {
    let answer = world.ok(&["snapshots", "--json"]).json();
    let all = answer[0].as_array().unwrap();
    all.iter().map(|snapshot| snapshot["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_policy_keeps_what_it_says_with_its_reason() {
    let (world, ids) = world_of(&[3, 7, 8, 9]);
    let dry = world.ok(&["forget", "--keep-last", "1", "--keep-daily", "2", "-n"]);
    assert!(dry.out.contains("keep 2 snapshots\n"), "{}", dry.out);
    assert!(dry.out.contains("last snapshot"), "{}", dry.out);
    assert!(dry.out.contains("forget 2 snapshots\n"), "{}", dry.out);
    assert!(dry.out.ends_with("would forget 2 snapshots\n"), "{}", dry.out);
    assert_eq!(listed(&world), ids);

    let told = world.ok(&["forget", "--keep-last", "1", "--keep-daily", "2", "--json"]).json();
    let group = &told[0][0];
    assert!(group["host"].is_string() && group["tags"].is_null(), "{group}");
    let of = |all: &serde_json::Value| -> Vec<String> {
        all.as_array().unwrap().iter().map(|s| s["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((of(&group["keep"]), of(&group["remove"])), (ids[2..].to_vec(), ids[..2].to_vec()));
    assert_eq!(group["reasons"][1]["matches"][0], "last snapshot", "{group}");
    assert_eq!(listed(&world), ids[2..]);
    let nothing = world.ok(&["forget", "--keep-last", "2"]);
    assert!(nothing.out.ends_with("nothing to forget\n"), "{}", nothing.out);
}

#[test]
fn what_was_forgotten_comes_back_and_restores() {
    let (world, ids) = world_of(&[3, 7]);
    let told = world.ok(&["forget", &ids[0][..8]]);
    assert!(told.out.contains("forgot 1 snapshot; `parados unforget`"), "{}", told.out);
    assert_eq!(listed(&world), ids[1..]);
    let error = world.error(1, &["restore", &ids[0], "--target", "back"]);
    assert!(error.contains("there is no snapshot"), "{error}");
    let list = world.ok(&["unforget"]);
    assert!(list.out.contains(&ids[0][..8]), "{}", list.out);
    let back = world.ok(&["unforget", &ids[0][..8], "--json"]).json();
    assert_eq!(back[0]["original"].as_str(), Some(&ids[0][..]));
    let new = back[0]["snapshot_id"].as_str().unwrap();
    assert_eq!(listed(&world), [new, &ids[1]]);
    let part = format!("{new}:{}", world.at("source").display());
    world.ok(&["restore", &part, "--target", "back"]);
    assert_eq!(fs::read(world.at("back/file")).unwrap(), noise(3, 50_000));
    world.ok(&["check", "--read-data"]);
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_forgotten() {
    let (world, ids) = world_of(&[3, 7]);
    for (args, says) in [
        (vec!["forget"], "neither a snapshot nor a policy"),
        (vec!["forget", "--keep-daily", "0"], "neither a snapshot nor a policy"),
        (vec!["forget", &ids[0], "--keep-last", "1"], "no say in snapshots that are named"),
        (vec!["forget", &ids[0], &ids[1]], "these are all snapshots there are"),
        (vec!["forget", "--keep-tag", "x"], "the policy keeps none of the 2 snapshots"),
        (vec!["forget", "--keep-last", "some"], "it is neither a number nor `unlimited`"),
        (vec!["forget", "--keep-within", "7"], "write it like `1y6m7d12h`"),
    ] {
        let error = world.error(2, &args);
        assert!(error.contains(says), "{args:?}: {error}");
    }
    let error = world.error(1, &["unforget", "abcd"]);
    assert!(error.contains("`parados unforget` lists"), "{error}");
    assert_eq!(listed(&world), ids);
    world.ok(&["forget", "--keep-tag", "x", "--allow-all"]);
    assert_eq!(listed(&world), Vec::<String>::new());
}

#[test]
fn what_is_pruned_does_not_come_back_and_its_space_does() {
    let (world, ids) = world_of(&[3, 7, 8, 9]);
    let size = |world: &World| -> u64 {
        world.objects("packs").iter().map(|path| fs::metadata(path).unwrap().len()).sum()
    };
    let before = size(&world);
    world.ok(&["forget", &ids[0], &ids[1]]);
    let named = world.ok(&["prune"]);
    assert!(named.out.contains("; a prune after "), "{}", named.out);
    assert_eq!(size(&world), before);
    // Within the grace one of them comes back.
    let back = world.ok(&["unforget", &ids[1], "--json"]).json();
    let new = back[0]["snapshot_id"].as_str().unwrap().to_owned();
    let told = world.ok(&["prune", "--grace", "0", "--max-unused", "0"]);
    assert!(told.out.contains("deleted ") && told.out.contains("kept "), "{}", told.out);
    assert!(size(&world) + 50_000 <= before, "{} {before}", size(&world));
    let gone = world.error(1, &["unforget", &ids[0]]);
    assert!(gone.contains("what was pruned does not come back"), "{gone}");
    for (id, day) in [(&new, 7), (&ids[2], 8), (&ids[3], 9)] {
        let part = format!("{id}:{}", world.at("source").display());
        world.ok(&["restore", &part, "--target", "back"]);
        assert_eq!(fs::read(world.at("back/file")).unwrap(), noise(day, 50_000));
    }
    // The one that came back is the last by the time it was stored, whatever it claims.
    let again = world.ok(&["forget", "--keep-last", "1", "--prune", "--grace", "0"]).out;
    assert!(again.contains("forgot 1 snapshot;") && again.contains("deleted "), "{again}");
    world.ok(&["check", "--read-data"]);
    assert_eq!(world.ok(&["prune", "--grace", "0"]).out.lines().next(), Some("nothing to prune"));
}

#[test]
fn a_snapshot_that_shares_all_its_data_goes_without_any_pack() {
    let (world, ids) = world_of(&[3]);
    let source = world.at("source").display().to_string();
    world.ok(&["backup", &source]);
    world.ok(&["forget", &ids[0]]);
    let named = world.ok(&["prune"]).out;
    assert!(named.starts_with("what was forgotten can be brought back until a prune"), "{named}");
    let gone = world.ok(&["prune", "--grace", "0"]).out;
    assert!(
        gone.starts_with("1 forgotten snapshot cannot be brought back any more\nkept "),
        "{gone}"
    );
    assert!(world.error(1, &["unforget", &ids[0]]).contains("does not come back"));
}

#[test]
fn nothing_is_locked() {
    let world = World::with_repository();
    assert_eq!(world.ok(&["unlock"]).out, "there are no locks, so there is nothing to unlock\n");
}

/// No later snapshot can have seen it; only the host that made it knows.
#[test]
fn the_last_snapshot_of_this_host_is_missed_when_somebody_takes_it_away() {
    let (world, ids) = world_of(&[3, 7]);
    let object = world.objects("snapshots").into_iter().find(|path| path.ends_with(&ids[1]));
    fs::remove_file(object.unwrap()).unwrap();
    for typed in [&["restore", "latest", "--target", "back"][..], &["ls", "latest"]] {
        let told = world.error(3, typed);
        assert!(told.contains("the last that this host made, is gone"), "{told}");
    }
    let check = world.expect(1, &["check"]);
    assert!(check.err.contains("this host made it, and nobody forgot it"), "{}", check.err);
    // Forgotten, it is missed by nobody.
    let (world, ids) = world_of(&[3, 7]);
    world.ok(&["forget", &ids[1]]);
    world.ok(&["ls", "latest"]);
    world.ok(&["check"]);
}
