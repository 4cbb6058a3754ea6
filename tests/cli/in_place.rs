//! Restores that write into the files that are there.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::disks::Disk;
use crate::restoring::summary;
use crate::world::{World, look, noise};

const LEN: usize = 24 << 20;

/// A snapshot of one file, and the argument that restores it.
fn backed_up(arguments: &[&str]) -> (World, String) {
    let world = World::with_repository_at(None, arguments);
    world.write("source/image", noise(1, LEN));
    world.ok(&["backup", "source"]);
    let part = format!("latest:{}", world.at("source").display());
    (world, part)
}

/// The file with some bytes of its own in the middle.
fn write_changed(world: &World, path: &str) -> PathBuf {
    let path = world.write(path, noise(1, LEN));
    let file = File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"changed", 10 << 20).unwrap();
    path
}

#[test]
fn only_what_differs_is_written() {
    let (world, part) = backed_up(&[]);
    let restored = write_changed(&world, "back/image");
    let before = fs::metadata(&restored).unwrap();
    let told = summary(&world, &[&part, "-t", "back", "--in-place", "--verify"]);
    let fetched = told["bytes_restored"].as_u64().unwrap();
    assert!(fetched > 0 && fetched <= 512 << 10, "{told}");
    assert_eq!(fs::metadata(&restored).unwrap().ino(), before.ino());
    assert_eq!(look(&world.at("back")), look(&world.at("source")));
    for other in [noise(1, LEN + 5_000_000), noise(1, LEN - 5_000_000), noise(2, 100), Vec::new()] {
        fs::write(&restored, other).unwrap();
        summary(&world, &[&part, "-t", "back", "--in-place"]);
        assert_eq!(fs::metadata(&restored).unwrap().ino(), before.ino());
        assert_eq!(look(&world.at("back")), look(&world.at("source")));
    }
}

/// To replace one takes no space, and whoever reads it finds the old one or the new one.
#[test]
fn a_small_file_is_replaced() {
    let world = World::with_repository();
    world.write("source/small", "new");
    world.ok(&["backup", "source"]);
    let part = format!("latest:{}", world.at("source").display());
    let restored = world.write("back/small", "old");
    let before = File::open(&restored).unwrap();
    world.ok(&["restore", &part, "-t", "back", "--in-place"]);
    assert_eq!(std::io::read_to_string(before).unwrap(), "old");
    assert_eq!(fs::read(&restored).unwrap(), b"new");
}

#[test]
fn holes_come_back_where_something_was_written() {
    let world = World::with_repository();
    let thin = |path: &str| {
        let file = File::create(world.write(path, "")).unwrap();
        file.set_len(16 << 20).unwrap();
        file.write_all_at(&noise(3, 1 << 20), 4 << 20).unwrap();
    };
    thin("source/image");
    world.ok(&["backup", "source"]);
    let part = format!("latest:{}", world.at("source").display());
    let restored = world.write("back/image", noise(4, 16 << 20));
    world.ok(&["restore", &part, "-t", "back", "--in-place"]);
    assert_eq!(look(&world.at("back")), look(&world.at("source")));
    let blocks = |path| fs::metadata(path).unwrap().blocks();
    assert!(blocks(&restored) <= blocks(&world.at("source/image")) + 64);
}

#[test]
fn it_needs_no_room_for_a_second_file() {
    let (world, part) = backed_up(&[]);
    let Some(_disk) = Disk::mount("it_needs_no_room", world.at("disk"), "32m") else { return };
    write_changed(&world, "disk/image");
    let error = world.error(1, &["restore", &part, "-t", "disk"]);
    assert!(error.contains("No space left"), "{error}");
    world.ok(&["restore", &part, "-t", "disk", "--in-place"]);
    assert_eq!(look(&world.at("disk")), look(&world.at("source")));
}

#[test]
fn what_has_another_name_or_leads_elsewhere_is_replaced() {
    let (world, part) = backed_up(&[]);
    let mine = write_changed(&world, "elsewhere/mine");
    let content = fs::read(&mine).unwrap();
    fs::create_dir(world.at("back")).unwrap();
    fs::hard_link(&mine, world.at("back/image")).unwrap();
    world.ok(&["restore", &part, "-t", "back", "--in-place"]);
    assert_eq!(look(&world.at("back")), look(&world.at("source")));
    assert!(fs::read(&mine).unwrap() == content);
    fs::remove_file(world.at("back/image")).unwrap();
    symlink(&mine, world.at("back/image")).unwrap();
    world.ok(&["restore", &part, "-t", "back", "--in-place"]);
    assert_eq!(look(&world.at("back")), look(&world.at("source")));
    assert!(fs::read(&mine).unwrap() == content);
}

#[test]
fn what_would_never_be_finished_is_refused() {
    let (world, part) = backed_up(&[]);
    write_changed(&world, "back/image");
    let typed = ["restore", &part, "-t", "back", "--in-place", "--overwrite", "if-newer"];
    insta::assert_snapshot!(world.error(2, &typed), @r"
    error: a file that was written in place in part is newer than the snapshot
    hint: Give `--in-place` with `--overwrite always` or `if-changed`.
    ");
}

#[test]
fn a_run_that_is_killed_leaves_both_and_the_next_goes_on() {
    let (world, part) = backed_up(&[]);
    let restored = world.write("back/image", noise(9, LEN));
    let before = fs::metadata(&restored).unwrap();
    let slowly = ["restore", &part, "-t", "back", "--in-place", "--limit-download", "8192"];
    let mut child = world.command(&slowly).spawn().unwrap();
    let patience = Instant::now() + Duration::from_secs(20);
    let old = noise(9, LEN);
    let is_begun = || {
        let now = fs::read(&restored).unwrap();
        now.chunks(4096).zip(old.chunks(4096)).filter(|(now, old)| now != old).count() > 100
    };
    while !is_begun() {
        assert!(Instant::now() < patience && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    let half = fs::read(&restored).unwrap();
    assert!(half != noise(1, LEN) && half.len() == LEN);
    // Its time does not say that it is whole.
    let told = summary(&world, &[&part, "-t", "back", "--in-place", "--overwrite", "if-changed"]);
    assert!(told["bytes_skipped"].as_u64().unwrap() > 100_000, "{told}");
    assert_eq!(fs::metadata(&restored).unwrap().ino(), before.ino());
    assert_eq!(look(&world.at("back")), look(&world.at("source")));
}

#[test]
fn what_is_lost_stays_as_it_is_there() {
    let (world, part) = backed_up(&["--pack-size", "1"]);
    let mut packs = world.objects("packs");
    packs.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    fs::rename(&packs[0], world.at("kept")).unwrap();
    let old = noise(9, LEN);
    let restored = world.write("back/image", &old);
    let typed = ["restore", &part, "-t", "back", "--in-place", "--overwrite", "if-changed"];
    for _ in 0..2 {
        let told = world.expect(3, &typed);
        assert!(told.err.contains("what is there stays"), "{}", told.err);
        let (now, new) = (fs::read(&restored).unwrap(), noise(1, LEN));
        let stayed =
            (0..LEN).filter(|at| now[*at] != new[*at]).inspect(|at| assert!(now[*at] == old[*at]));
        let stayed = stayed.count();
        assert!(stayed > 500_000 && stayed < 1 << 20, "{stayed}");
    }
    // Beyond the end of what is there, nothing is worth more than zeros.
    fs::write(&restored, &noise(1, LEN)[..1000]).unwrap();
    world.expect(3, &typed);
    fs::rename(world.at("kept"), &packs[0]).unwrap();
    world.ok(&typed);
    assert_eq!(look(&world.at("back")), look(&world.at("source")));
}
