//! All that is hard to back up comes back as it was.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, makedev, mknodat, setxattr};

use crate::disks::Disk;
use crate::world::{World, compare, has, is_root, problems, skip};

/// Holes below this length are stored as zeros.
const HOLE_MIN: [&str; 2] = ["--hole-min", "65536"];
/// Bits that a plain user does not give back: they would grant the rights of an owner that is not
/// restored either.
const SET_ID: u32 = 0o6000;

/// A tree that is removed however deep it is.
struct Torture<'a> {
    world: &'a World,
    source: PathBuf,
}

impl<'a> Torture<'a> {
    /// Makes it as the user of this world; `None`, said aloud, without Python.
    fn make(test: &str, world: &'a World) -> Option<Self> {
        if !has("python3") {
            skip(test, "no program `python3`");
            return None;
        }
        let output = world.script("torture.py", &["source"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        told.lines().for_each(|line| skip(test, line));
        Some(Self { world, source: world.at("source") })
    }

    /// Where a restore to `back` puts it.
    fn restored(&self) -> PathBuf {
        self.world.at("back").join(self.source.strip_prefix("/").unwrap())
    }

    fn backup(&self, expected: &[String]) {
        let code = if expected.is_empty() { 0 } else { 3 };
        let answer = self.world.expect(code, &["backup", "source", "--json"]);
        let mut told = problems(&answer);
        told.sort();
        assert_eq!(told, expected);
    }

    fn restore(&self) {
        self.world.ok(&["restore", "latest", "--target", "back", "--special"]);
    }

    /// The standard library holds a descriptor for each level.
    fn remove(&self, name: &str) {
        let removed = Command::new("rm").arg("-rf").arg(self.world.at(name)).status();
        assert!(removed.unwrap().success());
    }
}

impl Drop for Torture<'_> {
    fn drop(&mut self) {
        ["source", "back"].iter().for_each(|name| self.remove(name));
    }
}

fn assert_same(a: &Path, b: &Path, options: &[&str]) {
    let answer = compare(a, b, &[&HOLE_MIN[..], options].concat());
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    assert!(answer.out.ends_with(": equal\n"), "{}", answer.out);
}

#[test]
fn a_torture_tree_comes_back_as_it_was() {
    let test = "a_torture_tree_comes_back_as_it_was";
    if !is_root() {
        return skip(test, "only root can make and read all of it");
    }
    let world = World::with_repository();
    let Some(torture) = Torture::make(test, &world) else { return };
    torture.backup(&[]);
    torture.restore();
    assert_same(&torture.source, &torture.restored(), &[]);
    // What is taken over from the last run is the same.
    std::thread::sleep(Duration::from_millis(2100));
    torture.backup(&[]);
    let again = world.ok(&["backup", "source", "--json"]).json().pop().unwrap();
    assert_eq!((&again["files_new"], &again["files_changed"]), (&0.into(), &0.into()), "{again}");
    assert_eq!(again["packs_added"], 0);
    torture.remove("back");
    torture.restore();
    assert_same(&torture.source, &torture.restored(), &[]);
}

#[test]
fn a_plain_user_gets_back_what_could_be_read_and_hears_of_the_rest() {
    let test = "a_plain_user_gets_back_what_could_be_read_and_hears_of_the_rest";
    let mut world = World::with_repository();
    if is_root() {
        if !has("setpriv") {
            return skip(test, "no program `setpriv`");
        }
        world.become_nobody();
    }
    let Some(torture) = Torture::make(test, &world) else { return };
    let closed = torture.source.join("closed");
    let mut expected = Vec::new();
    for name in [
        "directory-0000",
        "directory-0100",
        "directory-0300",
        "file-0000",
        "file-0100",
        "file-0200",
    ] {
        let path = closed.join(name);
        expected.push(format!("could not read {}: permission denied", path.display()));
    }
    torture.backup(&expected);
    torture.restore();
    let back = torture.restored();
    let names: Vec<_> = fs::read_dir(back.join("closed"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["open"]);
    for tree in [&torture.source, &back] {
        let removed =
            Command::new("chmod").arg("-R").arg("u+rwX").arg(tree.join("closed")).status();
        assert!(removed.unwrap().success());
        fs::remove_dir_all(tree.join("closed")).unwrap();
    }
    for entry in fs::read_dir(torture.source.join("modes")).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::symlink_metadata(&path).unwrap().mode();
        if mode & 0o170_000 == 0o100_000 && mode & SET_ID != 0 {
            fs::set_permissions(path, Permissions::from_mode(mode & !SET_ID)).unwrap();
        }
    }
    assert_same(&torture.source, &back, &["--no-times-on-root"]);
}

#[test]
fn a_directory_below_the_deepest_one_is_named_and_the_rest_is_there() {
    let test = "a_directory_below_the_deepest_one_is_named_and_the_rest_is_there";
    let world = World::with_repository();
    let Some(torture) = Torture::make(test, &world) else { return };
    let deeper = world.script("torture.py", &["--deeper", "source"]).status().unwrap();
    assert!(deeper.success());
    let answer = world.expect(3, &["backup", "source/deep", "source/times"]);
    assert!(answer.err.starts_with("problem: could not read "), "{}", answer.err);
    let end = "/deep-er/too deep: it lies deeper than 1024 directories\n";
    assert!(answer.err.ends_with(end) && answer.err.lines().count() == 1);
    torture.restore();
    let (source, back) = (torture.source.join("deep"), torture.restored().join("deep"));
    let compared = compare(&source, &back, &HOLE_MIN);
    assert_eq!(compared.code, 1);
    assert!(compared.out.ends_with("/too deep: only in A\n1 differences\n"), "{}", compared.out);
    assert_same(&torture.source.join("times"), &torture.restored().join("times"), &[]);
}

const ACL: &[u8] = b"\x02\0\0\0\x01\0\x06\0\xff\xff\xff\xff\x04\0\x04\0\xff\xff\xff\xff\
                    \x20\0\x04\0\xff\xff\xff\xff";

fn set(path: PathBuf, name: &str, value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

fn make(path: PathBuf, kind: FileType, device: u64) {
    let _gone = fs::remove_file(&path);
    mknodat(CWD, &path, kind, Mode::RUSR, device).unwrap();
}

/// A time with a nanosecond.
fn times() -> FileTimes {
    let old = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_000_000_000_000_001);
    FileTimes::new().set_modified(old)
}

/// A plant: what is done to the copy, and how the checker puts it.
type Plant = (&'static str, fn(&Path), &'static str);

#[test]
fn the_checker_notices_each_difference() {
    let world = World::new();
    let a = world.at("a");
    if !has("python3") || !make_tree(&a) {
        return skip("the_checker_notices_each_difference", "no python3, or no attributes");
    }
    let plants: Vec<Plant> = vec![
        ("nothing", |_| (), ": equal\n"),
        ("missing", |b| fs::remove_file(b.join("file")).unwrap(), "file: only in A\n"),
        ("surplus", |b| fs::write(b.join("new"), "").unwrap(), "new: only in B\n"),
        ("type", |b| make(b.join("file"), FileType::Fifo, 0), "file: type file / pipe\n"),
        (
            "mode",
            |b| fs::set_permissions(b.join("file"), Permissions::from_mode(0o4644)).unwrap(),
            "file: mode 0644 / 4644\n",
        ),
        (
            "mode of a directory",
            |b| fs::set_permissions(b.join("directory"), Permissions::from_mode(0o1755)).unwrap(),
            "directory: mode 0755 / 1755\n",
        ),
        ("size", |b| fs::write(b.join("file"), "longer").unwrap(), "file: size 5 / 6\n"),
        ("content", |b| fs::write(b.join("file"), "bytEs").unwrap(), "file: content from byte 3\n"),
        (
            "time",
            |b| {
                File::options()
                    .write(true)
                    .open(b.join("file"))
                    .unwrap()
                    .set_times(times())
                    .unwrap()
            },
            "file: mtime 1000000000.000000000 / 1000000.000000001\n",
        ),
        (
            "time of a directory",
            |b| File::open(b.join("directory")).unwrap().set_times(times()).unwrap(),
            "directory: mtime 1000000000.000000000 / 1000000.000000001\n",
        ),
        (
            "target",
            |b| {
                fs::remove_file(b.join("link")).unwrap();
                symlink("filE", b.join("link")).unwrap();
            },
            "link: link target file / filE\n",
        ),
        (
            "time of a link",
            |b| {
                fs::remove_file(b.join("link")).unwrap();
                symlink("file", b.join("link")).unwrap();
            },
            "link: mtime 1000000000.000000000 / ",
        ),
        (
            "attribute",
            |b| set(b.join("file"), "user.a", b"2"),
            "file: attribute 'user.a' b'1' / b'2'\n",
        ),
        (
            "attribute gone",
            |b| rustix::fs::removexattr(b.join("file"), "user.a").unwrap(),
            "file: attribute 'user.a' b'1' / None\n",
        ),
        (
            "ACL",
            |b| set(b.join("directory"), "system.posix_acl_default", ACL),
            "directory: attribute 'system.posix_acl_default' None / b'",
        ),
        (
            "hole filled",
            |b| {
                let file = File::options().write(true).open(b.join("sparse")).unwrap();
                file.write_all_at(&[0; 1 << 20], 0).unwrap();
            },
            "sparse: holes [(0, 1048576)] / []\n",
        ),
        (
            "link cut",
            |b| {
                fs::copy(b.join("one"), b.join("new")).unwrap();
                fs::rename(b.join("new"), b.join("two")).unwrap();
            },
            "one: one file only in A: one = two\n",
        ),
        (
            "link made",
            |b| {
                fs::remove_file(b.join("same")).unwrap();
                fs::hard_link(b.join("file"), b.join("same")).unwrap();
            },
            "file: one file only in B: file = same\n",
        ),
    ];
    let as_root: Vec<Plant> = vec![
        (
            "owner",
            |b| lchown(b.join("link"), Some(7), Some(9)).unwrap(),
            "link: owner (0, 0) / (7, 9)\n",
        ),
        (
            "device",
            |b| make(b.join("device"), FileType::CharacterDevice, makedev(1, 5)),
            "device: device (1, 3) / (1, 5)\n",
        ),
        (
            "kind of device",
            |b| make(b.join("device"), FileType::BlockDevice, makedev(1, 3)),
            "device: type character device / block device\n",
        ),
    ];
    let count = if is_root() { usize::MAX } else { 0 };
    for (what, plant, expected) in plants.iter().chain(as_root.iter().take(count)) {
        let b = world.at("b");
        let copied = Command::new("cp").args(["-a", "--sparse=auto"]).arg(&a).arg(&b).status();
        assert!(copied.unwrap().success());
        plant(&b);
        let answer = compare(&a, &b, &[]);
        assert!(answer.out.contains(expected), "{what}: {}{}", answer.out, answer.err);
        assert_eq!(answer.code, i32::from(*what != "nothing"), "{what}");
        fs::remove_dir_all(&b).unwrap();
    }
}

/// One of each; whether the file system of the tests has attributes.
fn make_tree(a: &Path) -> bool {
    fs::create_dir_all(a.join("directory")).unwrap();
    for name in ["file", "same"] {
        fs::write(a.join(name), "bytes").unwrap();
    }
    fs::set_permissions(a.join("file"), Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(a.join("directory"), Permissions::from_mode(0o755)).unwrap();
    fs::write(a.join("one"), "two names").unwrap();
    fs::hard_link(a.join("one"), a.join("two")).unwrap();
    symlink("file", a.join("link")).unwrap();
    File::create(a.join("sparse")).unwrap().set_len(1 << 20).unwrap();
    if is_root() {
        let device = makedev(1, 3);
        mknodat(CWD, a.join("device"), FileType::CharacterDevice, Mode::RUSR, device).unwrap();
    }
    let has_attributes = setxattr(a.join("file"), "user.a", b"1", XattrFlags::empty()).is_ok();
    let touched =
        Command::new("sh").args(["-c", "touch -h -d @1000000000 \"$0\"/* \"$0\""]).arg(a).status();
    assert!(touched.unwrap().success());
    has_attributes
}

#[test]
fn equal_inodes_of_two_file_systems_are_two_files() {
    let test = "equal_inodes_of_two_file_systems_are_two_files";
    let world = World::with_repository();
    let mounts = ["one", "two"].map(|name| world.at("source").join(name));
    let mut disks = Vec::new();
    for path in &mounts {
        let Some(disk) = Disk::mount(test, path.clone(), "1m") else { return };
        disks.push(disk);
        fs::write(path.join("name"), path.file_name().unwrap().as_bytes()).unwrap();
        fs::hard_link(path.join("name"), path.join("other name")).unwrap();
    }
    let identity = |path: &Path| {
        let found = fs::symlink_metadata(path.join("name")).unwrap();
        (found.ino(), found.dev())
    };
    let [(inode, device), (other_inode, other_device)] = [0, 1].map(|at| identity(&mounts[at]));
    if inode != other_inode {
        return skip(test, "this kernel numbers the files of two tmpfs differently");
    }
    assert_ne!(device, other_device);
    for round in 0..3 {
        world.ok(&["backup", "source"]);
        world.ok(&["restore", "latest", "--target", "back"]);
        let back = world.at("back").join(world.at("source").strip_prefix("/").unwrap());
        assert_same(&world.at("source"), &back, &[]);
        for name in ["one", "two"] {
            let restored = back.join(name).join("other name");
            assert_eq!(fs::read(&restored).unwrap(), name.as_bytes());
            assert_eq!(fs::metadata(restored).unwrap().nlink(), 2);
        }
        fs::remove_dir_all(world.at("back")).unwrap();
        if round == 0 {
            std::thread::sleep(Duration::from_millis(2100));
        }
    }
}
