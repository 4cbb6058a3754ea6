//! What only a directory can do wrong.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::backend::conformance::{self, Subject};
use crate::base::testing::skip;
use crate::base::{PackId, SessionId};
use crate::format::name::GenerationStep;

struct World {
    dir: TempDir,
    location: Location,
}

impl World {
    fn new() -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let location = Location::local(&dir.path().join("repo")).expect("a location");
        create(&location, &writable()).expect("created");
        Self { dir, location }
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("repo")
    }

    fn open(&self) -> Arc<Local> {
        Local::open(&self.location, &writable()).expect("opened")
    }

    fn temps(&self) -> usize {
        fs::read_dir(self.root().join("tmp")).expect("read").count()
    }
}

fn writable() -> Options {
    Options { writable: true, ..Options::default() }
}

fn sealed(bytes: impl Into<Bytes>) -> Sealed {
    Sealed::from_store(bytes.into())
}

fn count(backend: &dyn Backend, kind: ObjectKind) -> usize {
    let mut count = 0;
    backend.list(kind, &mut |found| count += usize::from(found.is_ok())).expect("listed");
    count
}

#[test]
fn local_conforms() {
    let dir = TempDir::new().expect("a temporary directory");
    let serial = std::cell::Cell::new(0);
    conformance::check(&|| {
        serial.set(serial.get() + 1);
        let root = dir.path().join(format!("deep/er/{}", serial.get()));
        let location = Location::local(&root).expect("a location");
        Subject {
            backend: create(&location, &writable()).expect("created"),
            plant: Box::new(move |name, bytes| {
                let path = root.join(name);
                fs::create_dir_all(path.parent().expect("below the root")).expect("made");
                drop(fs::remove_file(&path));
                fs::write(path, bytes).expect("written");
            }),
        }
    });
}

#[test]
fn a_directory_that_does_not_exist_is_no_repository_and_is_not_made() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("absent");
    let location = Location::local(&path).expect("a location");
    for writable in [false, true] {
        let options = Options { writable, ..Options::default() };
        let error = crate::backend::open(&location, &options).err().expect("no repository");
        assert!(matches!(error, BackendError::NoRepository { .. }), "{error:?}");
    }
    assert!(!path.exists());
    fs::write(&path, "a file").expect("written");
    let error = crate::backend::open(&location, &Options::default()).err().expect("no directory");
    assert!(matches!(error, BackendError::NoRepository { .. }), "{error:?}");
}

#[test]
fn opening_and_reading_write_nothing() {
    let dir = TempDir::new().expect("a temporary directory");
    let location = Location::local(dir.path()).expect("a location");
    let backend = crate::backend::open(&location, &Options::default()).expect("opened");
    for kind in ObjectKind::ALL {
        assert_eq!(count(&*backend, kind), 0);
    }
    assert!(backend.get(&ObjectName::config(1)).expect_err("absent").is_not_found());
    assert_eq!(fs::read_dir(dir.path()).expect("read").count(), 0);
}

#[test]
fn what_a_killed_writer_leaves_is_ignored_and_swept_after_a_day() {
    let world = World::new();
    let tmp = world.root().join("tmp");
    let old = tmp.join("0123456789abcdef-7");
    let young = tmp.join("0123456789abcdef-8");
    let foreign = tmp.join("notes.txt");
    for path in [&old, &young, &foreign] {
        fs::write(path, "half a pack").expect("written");
    }
    let day_old = fs::metadata(&young).expect("there").modified().expect("a time")
        - Duration::from_secs(25 * 60 * 60);
    for path in [&old, &foreign] {
        let file = fs::File::options().append(true).open(path).expect("opened");
        file.set_modified(day_old).expect("set");
    }
    for kind in ObjectKind::ALL {
        assert_eq!(count(&*world.open(), kind), 0);
    }
    assert!(!old.exists() && young.exists() && foreign.exists());
    assert_eq!(world.temps(), 2);
}

#[test]
fn a_crash_between_link_and_unlink_leaves_a_whole_object() {
    let world = World::new();
    let name = ObjectName::config(1);
    world.open().put(&name, &sealed("body")).expect("created");
    let (object, temp) =
        (world.root().join("config/1"), world.root().join("tmp/0123456789abcdef-0"));
    fs::hard_link(&object, &temp).expect("linked");
    let file = fs::File::open(&object).expect("opened");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1)).expect("set");
    assert_eq!(world.open().get(&name).expect("read"), sealed("body"));
    assert!(!temp.exists() && object.exists());
}

#[test]
fn no_temporary_file_outlives_a_call() {
    let world = World::new();
    let local = world.open();
    local.put(&ObjectName::config(1), &sealed("a")).expect("created");
    local.put(&ObjectName::config(1), &sealed("b")).expect("exists");
    let name = ObjectName::pack(PackId::new(*blake3::hash(b"c").as_bytes()));
    local.heal(&name, &sealed("c")).expect("healed");
    assert_eq!(world.temps(), 0);
}

#[test]
fn objects_cannot_be_written_to_and_are_private_unless_the_root_is_shared() {
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    let world = World::new();
    let name = ObjectName::session(SessionId::new([1; 32]), 0);
    world.open().put(&name, &sealed("a")).expect("created");
    let object = world.root().join(name.as_str());
    assert_eq!(mode(&world.root()), 0o700);
    assert_eq!(mode(&object), 0o400);
    assert_eq!(mode(object.parent().expect("below the root")), 0o700);
    fs::set_permissions(world.root(), fs::Permissions::from_mode(0o2770)).expect("set");
    let name = ObjectName::session(SessionId::new([2; 32]), 0);
    world.open().put(&name, &sealed("a")).expect("created");
    let object = world.root().join(name.as_str());
    assert_eq!(mode(&object), 0o440);
    assert_eq!(mode(object.parent().expect("below the root")), 0o2770);
}

#[test]
fn links_pipes_and_directories_are_no_objects() {
    let world = World::new();
    let local = world.open();
    let outside = world.dir.path().join("outside");
    fs::write(&outside, "secret").expect("written");
    symlink(&outside, world.root().join("config/1")).expect("linked");
    fs::create_dir(world.root().join("config/2")).expect("made");
    let pipe = world.root().join("config/3");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    for n in 1..=3 {
        let error = local.get(&ObjectName::config(n)).expect_err("no file");
        assert!(matches!(error, BackendError::Damaged { .. }), "{error:?}");
    }
    let mut junk = Vec::new();
    let list = local.list(ObjectKind::Config, &mut |f| junk.push(f.expect_err("junk").name));
    list.expect("listed");
    junk.sort();
    assert_eq!(junk, ["config/1", "config/3"]);
    assert_eq!(local.put(&ObjectName::config(1), &sealed("x")).expect("asked"), Put::Exists);
    assert_eq!(fs::read(&outside).expect("read"), b"secret");
}

#[test]
fn names_that_are_not_text_are_junk() {
    let world = World::new();
    let strange = std::ffi::OsStr::from_bytes(b"config/\xff\xfe");
    fs::write(world.root().join(strange), "x").expect("written");
    fs::create_dir(world.root().join(std::ffi::OsStr::from_bytes(b"config/\xff"))).expect("made");
    let mut junk = 0;
    let list = world.open().list(ObjectKind::Config, &mut |f| junk += usize::from(f.is_err()));
    list.expect("listed");
    assert_eq!(junk, 2);
}

#[test]
fn a_truncated_pack_is_an_error_and_no_signal() {
    let world = World::new();
    let local = world.open();
    let body = vec![7; 3 << 20];
    let name = ObjectName::pack(PackId::new(*blake3::hash(&body).as_bytes()));
    local.put(&name, &sealed(body)).expect("created");
    let path = world.root().join(name.as_str());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
    let file = fs::File::options().write(true).open(&path).expect("opened");
    file.set_len(1 << 20).expect("truncated");
    let error = local.get_range(&name, 0..3 << 20).expect_err("short");
    assert!(matches!(error, BackendError::Range { .. }), "{error:?}");
    assert_eq!(local.get(&name).expect("what is there").len(), 1 << 20);
}

#[test]
fn a_mapped_pack_outlives_its_deletion() {
    let world = World::new();
    let local = world.open();
    let body = Bytes::from(vec![7; 3 << 20]);
    let name = ObjectName::pack(PackId::new(*blake3::hash(&body).as_bytes()));
    local.put(&name, &sealed(body.clone())).expect("created");
    let (whole, part) = (local.get(&name), local.get_range(&name, 5..(2 << 20) + 5));
    local.delete(&name).expect("deleted");
    assert!(whole.expect("read") == sealed(body.clone()));
    assert!(part.expect("read") == sealed(body.slice(5..(2 << 20) + 5)));
}

#[test]
fn an_object_of_absurd_length_is_refused_unread() {
    let world = World::new();
    let file = fs::File::create(world.root().join("config/1")).expect("made");
    file.set_len(1 << 40).expect("a hole");
    let error = world.open().get(&ObjectName::config(1)).expect_err("too long");
    assert!(matches!(error, BackendError::Damaged { .. }), "{error:?}");
}

#[test]
fn puts_survive_a_prune_that_removes_their_empty_directories() {
    let world = World::new();
    let local = world.open();
    let session = SessionId::new([1; 32]);
    let rounds = 200;
    std::thread::scope(|scope| {
        for thread in 0..2u32 {
            let local = &local;
            scope.spawn(move || {
                for n in 0..rounds {
                    let name = ObjectName::session(session, thread * rounds + n);
                    let put = local.put(&name, &sealed("x"));
                    assert_eq!(put.expect("created"), Put::Created);
                    local.delete(&name).expect("deleted");
                }
            });
        }
    });
    assert_eq!(fs::read_dir(world.root().join("sessions")).expect("read").count(), 0);
}

#[test]
fn directories_that_somebody_removed_are_made_again() {
    let world = World::new();
    let local = world.open();
    local.put(&ObjectName::config(1), &sealed("a")).expect("created");
    fs::remove_dir_all(world.root().join("tmp")).expect("removed");
    fs::remove_dir_all(world.root().join("config")).expect("removed");
    local.put(&ObjectName::config(2), &sealed("b")).expect("created");
    assert_eq!(local.get(&ObjectName::config(2)).expect("read"), sealed("b"));
}

#[test]
fn a_missing_reserve_is_taken_again_at_the_next_put() {
    let world = World::new();
    let reserve = world.root().join("reserve");
    assert_eq!(fs::metadata(&reserve).expect("there").len(), 2 << 20);
    fs::remove_file(&reserve).expect("removed");
    let local = world.open();
    assert!(!reserve.exists());
    local.put(&ObjectName::config(1), &sealed("a")).expect("created");
    assert_eq!(fs::metadata(&reserve).expect("there").len(), 2 << 20);
}

#[test]
fn a_full_disk_leaves_nothing_behind_and_still_takes_a_tombstone() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let location = Location::local(&disk.0.path().join("repo")).expect("a location");
    let backend = create(&location, &writable()).expect("created");
    let (mut stored, mut full) = (0, None);
    for n in 0..64u32 {
        let body = Bytes::from(vec![n as u8; 1 << 20]);
        let name = ObjectName::pack(PackId::new(*blake3::hash(&body).as_bytes()));
        match backend.put(&name, &sealed(body)) {
            Ok(_) => stored += 1,
            Err(error) => {
                full = Some(error);
                break;
            }
        }
    }
    let full = full.expect("16 MiB are not enough");
    assert!(matches!(full, BackendError::Full { .. }), "{full:?}");
    assert!(full.object().is_some() && !full.is_transient());
    assert_eq!(count(&*backend, ObjectKind::Pack), stored);
    let temps = fs::read_dir(disk.0.path().join("repo/tmp")).expect("read").count();
    assert_eq!(temps, 0);
    // Up to the last byte, as other programs would.
    let filler = disk.0.path().join("filler");
    while fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&filler)
        .and_then(|mut file| std::io::Write::write_all(&mut file, &[1; 4096]))
        .is_ok()
    {}
    let snapshot = ObjectName::snapshot(SessionId::new([1; 32]));
    let refused = backend.put(&snapshot, &sealed(vec![1; 8192])).expect_err("full");
    assert!(matches!(refused, BackendError::Full { .. }), "{refused:?}");
    assert_eq!(count(&*backend, ObjectKind::Snapshot), 0);

    let tombstone = ObjectName::tombstone(SessionId::new([1; 32]));
    let put = backend.put(&tombstone, &sealed(vec![1; 8192])).expect("the reserve is for this");
    assert_eq!(put, Put::Created);
    let doomed = ObjectName::generation(1, GenerationStep::Doomed);
    backend.put(&doomed, &sealed(vec![1; 8192])).expect("and for this");
    assert_eq!(count(&*backend, ObjectKind::Tombstone), 1);
    assert!(!disk.0.path().join("repo/reserve").exists());
}

#[test]
fn a_disk_mounted_read_only_can_be_read() {
    let Some(disk) = SmallDisk::mount(32) else { return };
    let location = Location::local(&disk.0.path().join("repo")).expect("a location");
    let name = ObjectName::config(1);
    create(&location, &writable()).expect("created").put(&name, &sealed("a")).expect("stored");
    disk.make_read_only();
    let reader = crate::backend::open(&location, &Options::default()).expect("opened");
    assert_eq!(reader.get(&name).expect("read"), sealed("a"));
    assert_eq!(count(&*reader, ObjectKind::Config), 1);
    // Opening for writing works too, so that the error names the object that was to be written.
    let writer = crate::backend::open(&location, &writable()).expect("opened");
    let error = writer.put(&ObjectName::config(2), &sealed("b")).expect_err("read-only");
    assert!(matches!(error, BackendError::Access { .. }), "{error:?}");
}

/// A tmpfs of a few MiB, where the tests may mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(mib: u32) -> Option<Self> {
        let dir = TempDir::new().expect("a temporary directory");
        let size = format!("size={mib}m");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .stderr(std::process::Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(dir));
        }
        skip("a full or read-only disk", "only root can mount a small disk");
        None
    }

    fn make_read_only(&self) {
        let status = std::process::Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(self.0.path())
            .status();
        assert!(status.expect("mount runs").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, because a failing test may still hold files open.
        drop(std::process::Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}
