//! What an interrupted run stored serves the next one.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::world::{World, look, noise};

/// Content of the large backup.
const LEN: u64 = 2 << 30;
/// It is killed once so much of it is stored, usually before the first segment.
const KILLED_AT: u64 = 920 << 20;
const FILE_LEN: u64 = 128 << 20;
/// Longest that it may take to store that much.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes of the packs that are stored.
fn stored(world: &World) -> u64 {
    let packs = world.objects("packs").into_iter().filter(|path| is_object(path));
    packs.filter_map(|path| fs::metadata(path).ok()).map(|packed| packed.len()).sum()
}

/// Not a temporary name.
fn is_object(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.len() == 64)
}

/// Leaves only what a run has stored that was killed before it could describe its packs.
fn forget_the_end(world: &World) {
    for kind in ["index", "sessions", "snapshots"] {
        world.objects(kind).iter().for_each(|object| fs::remove_file(object).unwrap());
    }
    fs::remove_dir_all(world.at("home/.cache")).unwrap();
}

#[test]
fn a_backup_that_is_killed_halfway_stores_at_most_a_twentieth_again() {
    let world = World::with_repository();
    fs::create_dir(world.at("source")).unwrap();
    for number in 0..LEN / FILE_LEN {
        world.write(&format!("source/{number}"), noise(number, FILE_LEN as usize));
    }
    let mut child = world.command(&["backup", "source"]).spawn().unwrap();
    let patience = Instant::now() + PATIENCE;
    while stored(&world) < KILLED_AT {
        assert!(Instant::now() < patience && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // On a slow machine some of it may be described by now.
    world.objects("index").iter().for_each(|segment| fs::remove_file(segment).unwrap());
    let before = stored(&world);
    let answer = world.ok(&["backup", "source"]);
    let line = format!(
        "killed with {} MiB stored; {} MiB were stored again\n",
        before >> 20,
        stored(&world).saturating_sub(LEN) >> 20
    );
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    assert!(stored(&world) < LEN + LEN / 20, "{line}{}", answer.out);
    world.ok(&["check", "--read-data"]);
}

/// Backs up many files of one directory, slowly, ends the run by a signal some time after so many MiB were
/// stored, and backs up again: half of that at least is not read.
fn resumed(signal: Signal, stored_mib: u64, after: Duration) -> World {
    const COUNT: u64 = 600;
    /// Digits take half of their length.
    const STORED_LEN: u64 = 128 << 10;
    let world = World::with_repository_at(None, &["--pack-size", "256K"]);
    for number in 0..COUNT {
        let slow = hex::encode(noise(number, 128 << 10));
        world.write(&format!("source/{number:03}"), slow);
    }
    // So that times prove something.
    sleep(Duration::from_secs(3));
    let typed = ["backup", "source", "--compression", "max", "--max-memory", "256M"];
    let mut child = world.command(&typed).spawn().unwrap();
    let patience = Instant::now() + PATIENCE;
    while stored(&world) >> 20 < stored_mib {
        assert!(Instant::now() < patience && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(20));
    }
    sleep(after);
    kill_process(Pid::from_child(&child), signal).unwrap();
    child.wait().unwrap();
    let first = stored(&world);
    assert_eq!(world.objects("snapshots").len(), 0, "it was too fast");
    let told = world.ok(&["backup", "source", "--json"]).json().pop().unwrap();
    let unmodified = told["files_unmodified"].as_u64().unwrap();
    assert_eq!(unmodified + told["files_new"].as_u64().unwrap(), COUNT, "{told}");
    assert_eq!(told["files_resumed"].as_u64().unwrap_or(0), unmodified, "{told}");
    assert!(unmodified * STORED_LEN >= stored_mib << 19, "{told}");
    let line = format!("{} MiB were stored, {unmodified} files were not read again\n", first >> 20);
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    world.ok(&["check", "--read-data"]);
    world.ok(&["restore", "latest", "--target", "back"]);
    let back = world.at("back").join(world.at("source").strip_prefix("/").unwrap());
    assert_eq!(look(&world.at("source")), look(&back));
    world
}

#[test]
fn files_that_a_killed_run_has_stored_are_not_read_again() {
    // Noted every five seconds.
    resumed(Signal::KILL, 4, Duration::from_secs(9));
}

#[test]
fn files_that_a_stopped_run_has_stored_are_not_read_again() {
    let world = resumed(Signal::INT, 1, Duration::from_secs(1));
    // What was read is read again where its packs are gone.
    let content = hex::encode(noise(0, 128 << 10)).into_bytes();
    for pack in world.objects("packs") {
        fs::remove_file(pack).unwrap();
    }
    let told = world.ok(&["backup", "source", "--json"]).json().pop().unwrap();
    assert!(told["data_blobs"].as_u64() > Some(0), "{told}");
    world.ok(&["restore", "latest", "--target", "again"]);
    let again = world.at("again").join(world.at("source").strip_prefix("/").unwrap());
    assert!(fs::read(again.join("000")).unwrap() == content);
}

/// What is listed of interrupted backups.
fn interrupted(world: &World) -> Vec<serde_json::Value> {
    let listed = world.ok(&["snapshots", "--interrupted", "--json"]).json().remove(0);
    listed.as_array().unwrap().clone()
}

#[test]
fn what_was_captured_before_a_kill_is_listed_restored_and_a_parent() {
    let world = World::with_repository_at(None, &["--pack-size", "256K"]);
    for number in 0..600u64 {
        let slow = hex::encode(noise(number, 128 << 10));
        world.write(&format!("source/{}/{number:03}", number % 7), slow);
    }
    let typed = ["backup", "source", "--compression", "max", "--save-interval", "1s"];
    let mut child = world.command(&typed).spawn().unwrap();
    let patience = Instant::now() + PATIENCE;
    while world.objects("sessions").len() < 3 {
        assert!(Instant::now() < patience && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    assert_eq!(world.ok(&["snapshots", "--json"]).out, "[]\n");
    let told = world.ok(&["snapshots", "--interrupted"]);
    let text = format!("{}{}", told.out, told.err);
    assert!(text.contains("(partial)") && text.contains("1 interrupted backup"), "{text}");
    let [listed] = &interrupted(&world)[..] else { panic!("there is one") };
    let id = listed["id"].as_str().unwrap();
    // Prunes leave what it needs, and of its roots only the last.
    world.ok(&["prune", "--grace", "0", "--max-unused", "0"]);
    world.ok(&["prune", "--grace", "0", "--max-unused", "0"]);
    assert_eq!(world.objects("sessions").len(), 1);
    world.ok(&["check", "--read-data"]);
    let source = world.at("source");
    world.ok(&["restore", &id[..8], "--target", "back"]);
    let below = |path: &Path| path.strip_prefix("/").unwrap().to_path_buf();
    let back = world.at("back").join(below(&source));
    let mut count = 0;
    for directory in fs::read_dir(&back).unwrap().map(Result::unwrap) {
        for file in fs::read_dir(directory.path()).unwrap().map(Result::unwrap) {
            let original = source.join(directory.file_name()).join(file.file_name());
            assert!(fs::read(file.path()).unwrap() == fs::read(original).unwrap());
            count += 1;
        }
    }
    assert!((1..600).contains(&count), "{count}");
    assert!(
        listed["summary"]["total_files_processed"].as_u64() >= Some(count),
        "{count}: {listed}"
    );
    // Another host, or one whose cache is gone, stores only what lacks.
    fs::remove_dir_all(world.at("home/.cache")).unwrap();
    let told = world.ok(&["backup", "source", "--json"]).json().pop().unwrap();
    assert_eq!(told["parent"].as_str(), Some(id), "{told}");
    assert!(told["files_unmodified"].as_u64() >= Some(count), "{count} {told}");
    world.ok(&["restore", "latest", "--target", "whole"]);
    assert_eq!(look(&source), look(&world.at("whole").join(below(&source))));
}

#[test]
fn a_large_file_that_was_read_in_part_is_read_from_there_on() {
    let world = World::with_repository_at(None, &["--pack-size", "256K"]);
    let mut content = hex::encode(noise(3, 96 << 20)).into_bytes();
    world.write("source/large", &content);
    sleep(Duration::from_secs(3));
    let typed = ["backup", "source", "--compression", "max", "--max-memory", "256M"];
    let mut child = world.command(&typed).spawn().unwrap();
    let patience = Instant::now() + PATIENCE;
    while stored(&world) < 4 << 20 {
        assert!(Instant::now() < patience && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let [listed] = &interrupted(&world)[..] else { panic!("there is one") };
    let id = listed["id"].as_str().unwrap();
    let source = world.at("source/large");
    let below = source.strip_prefix("/").unwrap();
    world.ok(&["restore", id, "--target", "part"]);
    let part = fs::read(world.at("part").join(below)).unwrap();
    assert!(part.len() > 1 << 20 && part.len() < content.len() && content.starts_with(&part));
    // What nobody can see by its stat was not read again: what comes back is what was there before.
    let stat = fs::metadata(&source).unwrap();
    let file = fs::File::options().write(true).open(&source).unwrap();
    file.write_all_at(b"changed", 0).unwrap();
    file.set_modified(stat.modified().unwrap()).unwrap();
    drop(file);
    world.ok(&["backup", "source", "--ignore-ctime"]);
    world.ok(&["restore", "latest", "--target", "back"]);
    assert!(fs::read(world.at("back").join(below)).unwrap() == content);
    world.ok(&["check", "--read-data"]);
    // With another time it is.
    content[..7].copy_from_slice(b"changed");
    let file = fs::File::options().write(true).open(&source).unwrap();
    file.set_modified(stat.modified().unwrap() + Duration::from_secs(1)).unwrap();
    world.ok(&["backup", "source"]);
    world.ok(&["restore", "latest", "--target", "again"]);
    assert!(fs::read(world.at("again").join(below)).unwrap() == content);
}

/// Bytes of the large file that are stored fast, and parts of it that are told apart.
const FAST_LEN: usize = 2304 << 20;
const MARK_LEN: usize = 64 << 20;

/// Two GiB and a quarter are stored soon; the rest takes long.
#[test]
fn of_a_large_file_a_killed_run_leaves_the_last_gibibyte_at_most() {
    let world = World::with_repository();
    fs::create_dir(world.at("source")).unwrap();
    let path = world.at("source/large");
    let mut file = fs::File::create(&path).unwrap();
    for number in 0..FAST_LEN / MARK_LEN {
        file.write_all(&noise(number as u64, MARK_LEN)).unwrap();
    }
    file.write_all(hex::encode(noise(99, 96 << 20)).as_bytes()).unwrap();
    file.sync_all().unwrap();
    drop(file);
    sleep(Duration::from_secs(3));
    let typed = ["backup", "source", "--compression", "max", "--max-memory", "256M"];
    let mut child = world.command(&typed).spawn().unwrap();
    let patience = Instant::now() + PATIENCE;
    // One for each GiB.
    while world.objects("sessions").len() < 2 {
        assert!(Instant::now() < patience && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(20));
    }
    // Rows are written every five seconds.
    sleep(Duration::from_secs(6));
    assert!(child.try_wait().unwrap().is_none(), "it was too fast");
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    // Whatever was not read again is as it was before.
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let marks = || (0..FAST_LEN as u64).step_by(MARK_LEN);
    marks().for_each(|offset| file.write_all_at(b"changed", offset).unwrap());
    file.set_modified(modified).unwrap();
    drop(file);
    let told = world.ok(&["backup", "source", "--ignore-ctime", "--json"]).json().pop().unwrap();
    world.ok(&["restore", "latest", "--target", "back"]);
    let back = fs::File::open(world.at("back").join(path.strip_prefix("/").unwrap())).unwrap();
    let is_unread = |offset: &u64| {
        let mut start = [0; 7];
        back.read_exact_at(&mut start, *offset).unwrap();
        start != *b"changed"
    };
    let unread = marks().filter(is_unread).count();
    assert_eq!(told["files_resumed"], 1, "{told}");
    let resumed = told["bytes_resumed"].as_u64().unwrap() as usize;
    assert_eq!(resumed.div_ceil(MARK_LEN), unread, "{told}");
    let line = format!("{} MiB of it were not read again\n", unread * (MARK_LEN >> 20));
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    // Two GiB, but for what was in flight, at most a quarter of one.
    assert!(unread * MARK_LEN >= FAST_LEN - (512 << 20), "{unread}");
    world.ok(&["check", "--read-data"]);
}

#[test]
fn a_large_file_of_which_a_pack_is_lost_is_read_from_there_on() {
    const LEN: usize = 96 << 20;
    let world = World::with_repository_at(None, &["--pack-size", "256K"]);
    world.write("source/0", noise(1, LEN));
    for number in 0..1200 {
        world.write(&format!("source/{number:03}.hex"), hex::encode(noise(number, 128 << 10)));
    }
    sleep(Duration::from_secs(3));
    let typed = ["backup", "source", "--compression", "max", "--max-memory", "256M"];
    let typed = [&typed[..], &["--save-interval", "2s"]].concat();
    let mut child = world.command(&typed).spawn().unwrap();
    let patience = Instant::now() + PATIENCE;
    // All of it is saved: what list pages are in as well.
    let large = world.at("source/0");
    let is_saved = |saved: &serde_json::Value| {
        let id = saved["id"].as_str().unwrap();
        let listed = world.run(&["ls", id, large.to_str().unwrap(), "--json"]);
        listed.json().iter().any(|entry| entry["size"] == LEN as u64)
    };
    while !interrupted(&world).iter().any(is_saved) {
        assert!(Instant::now() < patience && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(200));
    }
    // Noted every five seconds.
    sleep(Duration::from_secs(6));
    assert!(child.try_wait().unwrap().is_none(), "it was too fast");
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    let mut packs = world.objects("packs");
    packs.sort_by_key(|pack| fs::metadata(pack).unwrap().modified().unwrap());
    let reached = packs.iter().scan(0, |sum, pack| {
        *sum += fs::metadata(pack).unwrap().len();
        Some(*sum)
    });
    let half = reached.take_while(|sum| *sum < LEN as u64 / 2).count();
    fs::remove_file(&packs[half]).unwrap();
    let told = world.ok(&["backup", "source", "--json"]).json().pop().unwrap();
    // Not the rest of it, and more than the small files.
    let resumed = told["bytes_resumed"].as_u64().unwrap();
    let small = (told["files_resumed"].as_u64().unwrap() - 1) * (256 << 10);
    let of_large = resumed - small;
    assert!((LEN as u64 / 4..LEN as u64 * 3 / 4).contains(&of_large), "{told}");
    world.ok(&["check", "--read-data"]);
    world.ok(&["restore", "latest", "--target", "back"]);
    let back = world.at("back").join(world.at("source").strip_prefix("/").unwrap());
    assert_eq!(look(&world.at("source")), look(&back));
}

#[test]
fn packs_without_a_segment_are_used_and_described() {
    let world = World::with_repository();
    world.source();
    world.ok(&["backup", "source"]);
    let packs = world.objects("packs");
    forget_the_end(&world);
    // Whatever else lies there is no obstacle.
    fs::create_dir_all(world.at("repository/packs/ff")).unwrap();
    fs::write(world.at("repository/packs/ff").join("ff".repeat(32)), noise(1, 9000)).unwrap();
    let dry = world.ok(&["backup", "source", "--dry-run"]);
    assert!(!dry.err.contains("interrupted"), "{}", dry.err);
    let answer = world.ok(&["backup", "source"]);
    let told = format!("{}{}", answer.out, answer.err);
    assert!(told.contains("an interrupted run left packs, which are used: 2, "), "{told}");
    let mut now = world.objects("packs");
    now.retain(|path| packs.contains(path));
    assert_eq!((now, world.objects("packs").len()), (packs.clone(), packs.len() + 1));
    // They are described: nobody has to read headers any more.
    fs::remove_dir_all(world.at("home/.cache")).unwrap();
    let answer = world.ok(&["restore", "latest", "--target", "back"]);
    assert!(!answer.err.contains("headers"), "{}", answer.err);
    assert_eq!(
        look(&world.at("source")),
        look(&world.at("back").join(world.at("source").strip_prefix("/").unwrap()))
    );
    let answer = world.ok(&["backup", "source"]);
    assert!(!answer.err.contains("interrupted run left"), "{}", answer.err);
}

#[test]
fn a_restore_that_is_killed_fetches_again_only_what_was_in_flight() {
    const COUNT: u64 = 48;
    const LEN: usize = 1 << 20;
    let world = World::with_repository();
    for number in 0..COUNT {
        world.write(&format!("source/{number}"), noise(number, LEN));
    }
    let id = world.ok(&["backup", "source", "--json"]).snapshot_id();
    let part = format!("{id}:{}", world.at("source").display());
    let typed = ["restore", &part, "--target", "back"];
    let mut child =
        world.command(&[&typed[..], &["--limit-download", "16384"]].concat()).spawn().unwrap();
    let target = world.at("back");
    let restored = || {
        let files = fs::read_dir(&target).into_iter().flatten().flatten();
        let whole = files.filter(|file| {
            let number = file.file_name().to_str().and_then(|name| name.parse().ok());
            number.is_some_and(|number| fs::read(file.path()).unwrap() == noise(number, LEN))
        });
        whole.count() as u64
    };
    let patience = Instant::now() + PATIENCE;
    while restored() < COUNT / 3 {
        assert!(Instant::now() < patience && child.try_wait().unwrap().is_none());
        sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = restored() * LEN as u64;
    let told = world.ok(&[&typed[..], &["--json"]].concat()).json().pop().unwrap();
    let bytes = |name: &str| told[name].as_u64().unwrap();
    assert_eq!(bytes("bytes_restored") + bytes("bytes_skipped"), COUNT * LEN as u64, "{told}");
    assert!(done > 0 && bytes("bytes_skipped") >= done, "{done} {told}");
    assert_eq!(look(&world.at("source")), look(&target));
}
