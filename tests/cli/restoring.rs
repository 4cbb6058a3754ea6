//! Restores into directories that hold something already.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::world::{World, has, is_root, look, noise, skip};

/// A backed-up source, with what names it in a snapshot.
pub(crate) fn backed_up() -> (World, PathBuf, String) {
    let world = World::with_repository();
    let source = world.source();
    world.ok(&["backup", "source"]);
    let part = format!("latest:{}", source.display());
    (world, source, part)
}

pub(crate) fn summary(world: &World, arguments: &[&str]) -> Value {
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
fn a_further_name_of_a_file_is_left_alone_like_the_first() {
    let world = World::with_repository();
    world.write("source/a", "of the snapshot");
    fs::hard_link(world.at("source/a"), world.at("source/b")).unwrap();
    world.ok(&["backup", "source"]);
    let part = format!("latest:{}", world.at("source").display());
    for overwrite in ["never", "if-newer"] {
        let target = format!("back {overwrite}");
        world.write(&format!("{target}/b"), "of somebody else");
        world.ok(&["restore", &part, "-t", &target, "--overwrite", overwrite]);
        let found = ["a", "b"].map(|name| fs::read(world.at(&target).join(name)).unwrap());
        assert_eq!(found, [&b"of the snapshot"[..], b"of somebody else"], "{overwrite}");
    }
    // Nor does an empty directory give way.
    fs::create_dir_all(world.at("third/a")).unwrap();
    let ran = world.expect(3, &["restore", &part, "-t", "third", "--overwrite", "never"]);
    assert!(ran.err.contains("a directory is there, and is left alone"), "{}", ran.err);
    assert!(world.at("third/a").is_dir());
}

#[test]
fn names_of_one_file_in_the_target_become_the_files_that_they_were() {
    let world = World::with_repository();
    let names: Vec<_> = (0..6).map(|n| format!("{n}")).collect();
    for name in &names {
        world.write(&format!("source/{name}"), noise(5, 3_000_000));
    }
    world.ok(&["backup", "source"]);
    world.write("back/0", noise(5, 3_000_000));
    for name in &names[1..] {
        fs::hard_link(world.at("back/0"), world.at("back").join(name)).unwrap();
    }
    let part = format!("latest:{}", world.at("source").display());
    world.ok(&["restore", &part, "-t", "back", "--overwrite", "always"]);
    assert_eq!(look(&world.at("back")), look(&world.at("source")));
}

#[test]
fn attributes_of_a_file_that_may_not_be_written_are_set_again() {
    let mut world = World::with_repository();
    let source = world.source();
    world.write("source/file", "x");
    if is_root() {
        if !has("setpriv") {
            return skip("attributes_of_a_file_that_may_not_be_written", "no setpriv");
        }
        world.become_nobody();
    }
    rustix::fs::setxattr(source.join("file"), "user.a", b"1", rustix::fs::XattrFlags::empty())
        .unwrap();
    fs::set_permissions(source.join("file"), fs::Permissions::from_mode(0o444)).unwrap();
    world.ok(&["backup", "source"]);
    let part = format!("latest:{}", source.display());
    world.ok(&["restore", &part, "-t", "back"]);
    world.ok(&["restore", &part, "-t", "back"]);
    let restored = world.at("back/file");
    rustix::fs::setxattr(&restored, "user.a", b"2", rustix::fs::XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(&restored, "user.b", b"2", rustix::fs::XattrFlags::empty()).unwrap();
    world.ok(&["restore", &part, "-t", "back"]);
    assert_eq!(look(&world.at("back")), look(&source));
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let (world, _, part) = backed_up();
    let error = world.error(2, &["restore", "latest", "-t", "/", "--delete", "-n"]);
    assert!(error.contains("would ruin this system"), "{error}");
    world.expect(2, &["restore", &part, "-t", "back", "--include", "a", "--exclude", "b"]);
    world.expect(2, &["restore", &part, "-t", "back", "--dry-run", "--verify"]);
    for option in ["--include", "--iexclude"] {
        let error = world.error(2, &["restore", &part, "-t", "back", option, ""]);
        assert!(error.contains("a pattern of --i"), "{error}");
    }
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
