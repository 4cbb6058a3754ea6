//! A disk that is full at any moment of a backup.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disks::Disk;
use crate::world::{World, look, noise};

/// Sizes of the disk that are tried, unless the variable of that name says more.
const POINT_COUNT: u64 = 12;
const VARIABLE: &str = "PARADOS_FULL_DISK_STEPS";
/// A disk grows by pages.
const PAGE_LEN: u64 = 4096;
/// New bytes of the backup for which there is no room.
const NEW_LEN: usize = 3 << 20;
/// Small packs, so that the disk is full at many different objects.
const PACK_SIZE: &str = "64K";
/// What the local backend keeps back.
const RESERVE_LEN: u64 = 2 << 20;

/// A repository as it is before each point.
struct Start {
    world: World,
    disk: PathBuf,
    /// The snapshot that is forgotten while the disk is full, and the one that stays.
    old: String,
    kept: String,
    /// Bytes that the repository takes, and those that the next backup adds.
    base_bytes: u64,
    new_bytes: u64,
}

impl Start {
    /// Makes a repository with two snapshots; `disk` is where it is worked on.
    fn new(world: World, disk: PathBuf) -> Self {
        let backup = || world.ok(&["backup", "source", "--json"]).snapshot_id();
        world.write("source/a", noise(1, 1 << 20));
        world.write("source/b", noise(2, 300_000));
        let old = backup();
        // Next to nothing of the old one is in the one that stays.
        world.write("source/a", noise(3, 1 << 20));
        let kept = backup();
        let mut start = Self { world, disk, old, kept, base_bytes: 0, new_bytes: 0 };
        copy(&start.world.at("disk/repository"), &start.world.at("memory/start"));
        start.resize(None);
        start.base_bytes = start.used_bytes();
        start.world.write("source/new", noise(4, NEW_LEN));
        start.world.ok(&["backup", "source"]);
        start.new_bytes = start.used_bytes() - start.base_bytes;
        assert!(start.new_bytes > NEW_LEN as u64);
        start
    }

    fn used_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.disk).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }

    fn free_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.disk).unwrap();
        stat.f_bavail * stat.f_frsize
    }

    /// Gives the disk so many bytes, or plenty.
    fn resize(&self, bytes: Option<u64>) {
        let bytes = bytes.unwrap_or(64 << 20);
        let option = format!("remount,size={bytes}");
        let done = Command::new("mount").args(["-o", &option]).arg(&self.disk).status();
        assert!(done.unwrap().success());
    }

    /// The repository as it was, on a disk with so many free bytes; nothing is cached.
    fn reset(&self, free_bytes: u64) {
        self.resize(None);
        for entry in fs::read_dir(&self.disk).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
        let _none = fs::remove_dir_all(self.world.at("memory/cache"));
        copy(&self.world.at("memory/start"), &self.disk.join("repository"));
        self.resize(Some(self.base_bytes + free_bytes));
        assert_eq!(self.free_bytes(), free_bytes);
    }

    fn check(&self) {
        let checked = self.world.ok(&["check", "--read-data"]);
        assert!(checked.out.contains("no errors were found"), "{}{}", checked.out, checked.err);
    }

    fn restore(&self, id: &str) -> PathBuf {
        let back = self.world.at("memory/back");
        let _none = fs::remove_dir_all(&back);
        self.world.ok(&["restore", id, "--target", "memory/back"]);
        back.join(self.world.at("source").strip_prefix("/").unwrap())
    }

    /// Everything that must hold on a disk with so many free bytes. Whether it became full.
    fn point(&self, free_bytes: u64) -> bool {
        let world = &self.world;
        self.reset(free_bytes);
        let answer = world.run(&["backup", "source"]);
        if answer.code == 0 {
            // Padding is random, so that the backup is not always as long.
            assert!(free_bytes > self.new_bytes * 9 / 10, "{free_bytes} are not enough");
            return false;
        }
        let told = format!("{free_bytes} bytes free: {}{}", answer.out, answer.err);
        assert_eq!(answer.code, 1, "{told}");
        assert!(
            answer.err.contains("the disk is full") || answer.err.contains("no space"),
            "{told}"
        );
        self.check();
        // With nothing left, not even for a record.
        let filler = self.disk.join("filler");
        fs::create_dir(&filler).unwrap();
        fill(&filler.join("file"));
        world.ok(&["forget", &self.old]);
        let before = self.free_bytes();
        world.ok(&["prune", "--grace", "0"]);
        let freed = self.free_bytes().saturating_sub(before);
        assert!(freed > 1 << 20, "{freed} bytes came back: {told}");
        self.check();
        assert_eq!(fs::read(self.restore(&self.kept).join("a")).unwrap(), noise(3, 1 << 20));
        fs::remove_dir_all(filler).unwrap();
        self.resize(None);
        let next = world.ok(&["backup", "source", "--json"]).snapshot_id();
        self.check();
        let source = world.at("source");
        assert!(look(&self.restore(&next)) == look(&source), "{told}");
        true
    }
}

/// Takes every byte that is left.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[0; PAGE_LEN as usize]).is_ok() {}
}

/// Copies a directory, zeros included.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--sparse=never"]).args([from, to]).status();
    assert!(copied.unwrap().success());
    let reserve = fs::metadata(to.join("reserve")).unwrap();
    assert!(reserve.blocks() * 512 >= RESERVE_LEN, "the reserve takes no room");
}

#[test]
fn a_disk_that_is_full_at_any_moment_of_a_backup_is_emptied_and_used_again() {
    let count = std::env::var(VARIABLE).map_or(POINT_COUNT, |text| text.parse().unwrap());
    let mut world = World::new();
    let disk = world.at("disk");
    let mount =
        |path: &Path, size| Disk::mount("a_disk_that_is_full_at_any_moment", path.into(), size);
    let Some(_disk) = mount(&disk, "64m") else { return };
    // Everything else, so that nobody waits for a real disk.
    let Some(_memory) = mount(&world.at("memory"), "256m") else { return };
    world.set("PARADOS_REPOSITORY", disk.join("repository"));
    world.set("PARADOS_KEY_FILE", world.at("key"));
    world.set("PARADOS_CACHE_DIR", world.at("memory/cache"));
    world.ok(&["init", "--no-recovery-code", "--pack-size", PACK_SIZE]);
    let start = Start::new(world, disk);
    let mut full_count = 0;
    for point in 0..count {
        // One in each part of the way, anywhere in it.
        let part = start.new_bytes / count;
        let share = u64::from_le_bytes(noise(point, 8).try_into().unwrap()) % part.max(1);
        let free_bytes = (point * part + share) / PAGE_LEN * PAGE_LEN;
        full_count += u64::from(start.point(free_bytes));
    }
    let told = format!("full disks: {full_count} of {count} points\n");
    std::io::Write::write_all(&mut std::io::stdout(), told.as_bytes()).unwrap();
    assert!(full_count >= count * 9 / 10, "{told}");
}
