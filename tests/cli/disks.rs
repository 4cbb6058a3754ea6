//! Disks that are full, or may only be read.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::world::{World, is_root, look, noise, skip};

/// A small file system in memory, unmounted when dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// Mounts one; `None`, said aloud, where that is not possible.
    pub(crate) fn mount(test: &str, path: PathBuf, size: &str) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let option = format!("size={size}");
        let mounted = is_root()
            && Command::new("mount")
                .args(["-t", "tmpfs", "-o", &option, "tmpfs"])
                .arg(&path)
                .output()
                .is_ok_and(|output| output.status.success());
        if !mounted {
            skip(test, "only root can mount a small disk");
            return None;
        }
        Some(Self(path))
    }

    fn make_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn big(world: &World, path: &str, mebibytes: usize) {
    world.write(path, noise(7, mebibytes << 20));
}

#[test]
fn a_full_disk_ends_a_backup_and_harms_no_snapshot() {
    let world = World::new();
    let place = world.at("disk");
    // 2 MiB of it are the reserve.
    let Some(_disk) = Disk::mount("a_full_disk_ends_a_backup", place.clone(), "40m") else {
        return;
    };
    let typed = ["init", "-r", "disk/r", "--key-file", "key", "-q", "--no-recovery-code"];
    world.ok(&typed);
    let open = ["-r", "disk/r", "--key-file", "key"];
    let with = |words: &[&'static str]| [words, &open].concat();
    world.source();
    world.ok(&with(&["backup", "source"]));
    big(&world, "more/big.bin", 64);
    let error = world.error(1, &with(&["backup", "more"]));
    // Which pack it is differs from run to run.
    let digits = error.find("packs/").expect("it names a pack") + "packs/".len();
    let error = format!("{}NN{}", &error[..digits], &error[digits + 2..]);
    insta::assert_snapshot!("a full disk in a backup", error);
    world.ok(&with(&["restore", "latest", "-t", "back"]));
    world.ok(&with(&["check", "--read-data"]));
}

#[test]
fn a_full_disk_ends_a_restore_with_a_way_out() {
    let world = World::with_repository();
    let Some(_disk) = Disk::mount("a_full_disk_ends_a_restore", world.at("disk"), "20m") else {
        return;
    };
    big(&world, "small/a.bin", 30);
    let id = world.ok(&["backup", "small", "--json"]).snapshot_id();
    let error = world.error(1, &["restore", &id, "-t", "disk/back"]);
    insta::assert_snapshot!("a full disk in a restore", error);
    // Holes and further names of a file take no room.
    world.write("thin/file", "x");
    let thin = std::fs::File::options().write(true).open(world.at("thin/file")).unwrap();
    thin.set_len(1 << 40).unwrap();
    for n in 0..8 {
        std::fs::hard_link(world.at("small/a.bin"), world.at("thin").join(n.to_string())).unwrap();
    }
    std::fs::File::options()
        .write(true)
        .open(world.at("small/a.bin"))
        .unwrap()
        .set_len(9 << 20)
        .unwrap();
    world.ok(&["backup", "thin"]);
    std::fs::remove_dir_all(world.at("disk/back")).unwrap();
    world.ok(&["restore", "latest", "-t", "disk/back"]);
    // What cannot fit at all is refused before anything is written.
    big(&world, "large/b.bin", 60);
    world.ok(&["backup", "large"]);
    std::fs::remove_dir_all(world.at("disk/back")).unwrap();
    insta::assert_snapshot!(world.error(1, &["restore", "latest", "-t", "disk/back"]), @r"
    error: what is to be restored takes more than <size>, and disk/back has room for <size>
    hint: Free some space, choose another target, or restore a part: `SNAPSHOT:PATH`.
    ");
}

#[test]
fn reading_needs_no_writable_medium() {
    let test = "reading_needs_no_writable_medium";
    let world = World::new();
    let Some(disk) = Disk::mount(test, world.at("disk"), "64m") else { return };
    let source = world.source();
    let open = ["-r", "disk/r", "--key-file", "key"];
    let with = |words: &[&'static str]| [words, &open].concat();
    world.ok(&with(&["init", "-q", "--no-recovery-code"]));
    world.ok(&with(&["backup", "source"]));
    disk.make_read_only();
    for words in
        [&["snapshots"][..], &["ls", "latest"], &["check", "--read-data"], &["key", "list"]]
    {
        world.ok(&with(words));
    }
    world.ok(&with(&["restore", "latest", "-t", "back"]));
    assert_eq!(look(&inner(&world, &source)), look(&source));
    let error = world.error(1, &with(&["backup", "source"]));
    assert!(error.contains("disk/r"), "{error}");
}

fn inner(world: &World, source: &Path) -> PathBuf {
    world.at("back").join(source.strip_prefix("/").unwrap())
}
