//! Restores into directories that hold something already.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::{World, look, noise};

/// A backed-up source, with what names it in a snapshot.
fn backed_up() -> (World, PathBuf, String) {
    let world = World::with_repository();
    let source = world.source();
    world.ok(&["backup", "source"]);
    let part = format!("latest:{}", source.display());
    (world, source, part)
}

fn summary(world: &World, arguments: &[&str]) -> Value {
    let mut typed = vec!["restore", "--json"];
    typed.extend(arguments);
    world.ok(&typed).json().pop().unwrap()
}

#[test]
fn a_second_restore_skips_what_is_there_and_says_so() {
    let (world, source, part) = backed_up();
    let first = summary(&world, &[&part, "-t", "back"]);
    assert_eq!(first["files_restored"], 8);
    assert_eq!(first["files_skipped"], 0);
    world.write("back/data/0.bin", noise(77, 90_000));
    let told = world.ok(&["restore", &part, "-t", "back", "-n", "-v", "--json"]).json();
    let updated: Vec<_> = told.iter().filter(|line| line["action"] == "updated").collect();
    assert!(updated.iter().any(|line| line["item"] == "/data/0.bin"), "{told:?}");
    assert!(told.iter().all(|line| line["message_type"] != "verbose_status"
        || line["size"].is_u64() && line["action"].is_string()));
    assert_eq!(told.last().unwrap()["dry_run"], true);
    assert_ne!(look(&world.at("back")), look(&source));
    let second = summary(&world, &[&part, "-t", "back", "--verify"]);
    assert_eq!(second["bytes_skipped"], 3 * 90_000 + 16);
    assert_eq!(second["files_deleted"], 0);
    assert_eq!(look(&world.at("back")), look(&source));
}

#[test]
fn what_the_snapshot_does_not_have_is_removed_on_request_only() {
    let (world, source, part) = backed_up();
    world.ok(&["restore", &part, "-t", "back"]);
    let spoil = || {
        world.write("back/docs/more/and/more", "x");
        world.write("back/docs/more/keep.log", "x");
        world.write("back/new", "x");
        world.write("outside/precious", "x");
        let _there_already = symlink(world.at("outside"), world.at("back/link out"));
    };
    spoil();
    world.ok(&["restore", &part, "-t", "back"]);
    assert!(world.at("back/new").exists());
    let some = summary(&world, &[&part, "-t", "back", "--delete", "--exclude", "*.log"]);
    assert_eq!(some["files_deleted"], 4, "{some}");
    assert!(world.at("back/docs/more/keep.log").exists());
    spoil();
    let one = summary(&world, &[&part, "-t", "back", "--delete", "--include", "/docs"]);
    assert_eq!(one["files_deleted"], 4, "{one}");
    assert!(world.at("back/new").exists() && world.at("back/link out").is_symlink());
    world.ok(&["restore", &part, "-t", "back", "--delete"]);
    assert_eq!(look(&world.at("back")), look(&source));
    assert!(world.at("outside/precious").exists());
}

#[test]
fn nothing_is_removed_beside_what_was_backed_up_nor_what_the_program_needs() {
    let (mut world, source, _) = backed_up();
    world.ok(&["restore", "latest", "-t", "root"]);
    let inner = world.at("root").join(source.strip_prefix("/").unwrap());
    // The snapshot knows nothing of what lies beside the source.
    let beside = [world.at("root/beside"), inner.with_file_name("beside"), inner.join("new")];
    beside.iter().for_each(|path| fs::write(path, "x").unwrap());
    fs::rename(world.at("repository"), inner.join("repository")).unwrap();
    world.set("PARADOS_REPOSITORY", inner.join("repository"));
    let told = summary(&world, &["latest", "-t", "root", "--delete"]);
    assert_eq!(told["files_deleted"], 1, "{told}");
    assert_eq!(beside.map(|path| path.exists()), [true, true, false]);
    world.ok(&["check"]);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (world, _, part) = backed_up();
    let error = world.error(2, &["restore", "latest", "-t", "/", "--delete", "-n"]);
    assert!(error.contains("would ruin this system"), "{error}");
    world.expect(2, &["restore", &part, "-t", "back", "--include", "a", "--exclude", "b"]);
    world.expect(2, &["restore", &part, "-t", "back", "--dry-run", "--verify"]);
    assert!(!world.at("back").exists());
}

#[test]
fn only_what_is_included_comes_back() {
    let (world, source, part) = backed_up();
    world.ok(&["restore", &part, "-t", "some", "--include", "/data/[01].bin", "-i", "link"]);
    let found: Vec<_> = look(&world.at("some")).into_keys().collect();
    let expect = ["", "data", "data/0.bin", "data/1.bin", "docs", "docs/link"];
    assert_eq!(found, expect.map(PathBuf::from));
    world.ok(&["restore", &part, "-t", "rest", "--iexclude", "DATA", "--exclude", "a*n"]);
    let rest = look(&world.at("rest"));
    let all = look(&source);
    assert_eq!(all.len() - rest.len(), 6);
    assert!(!world.at("rest/data").exists() && !world.at("rest/docs/again").exists());
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_file_and_the_next_one_goes_on() {
    let world = World::with_repository();
    world.write("source/large", noise(1, 160 << 20));
    world.write("source/small", "small");
    world.ok(&["backup", "source"]);
    let part = format!("latest:{}", world.at("source").display());
    world.write("back/large", "old");
    let mut child = world.command(&["restore", &part, "-t", "back"]).spawn().unwrap();
    // As soon as some of it is on its way.
    let patience = Instant::now() + Duration::from_secs(20);
    let is_begun = || {
        let names = fs::read_dir(world.at("back")).unwrap().map(|entry| entry.unwrap());
        let mut temporary =
            names.filter(|e| e.file_name().to_string_lossy().starts_with(".parados-"));
        // What was written: the length tells only how far out the first write was. In blocks of 512.
        temporary.any(|entry| entry.metadata().unwrap().blocks() > 16 << 20 >> 9)
    };
    while !is_begun() {
        assert!(Instant::now() < patience && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(2));
    }
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read(world.at("back/large")).unwrap(), b"old");
    let told = summary(&world, &[&part, "-t", "back"]);
    assert!(told["bytes_skipped"].as_u64().unwrap() > 1 << 20, "{told}");
    assert_eq!(look(&world.at("back")), look(&world.at("source")));
}
