//! Sources that change at the worst moment, down to the very read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::world::{World, noise, problems, python, skip, support};

/// Bytes of a file that is read block by block.
const LARGE_LEN: usize = (3 << 20) + 17;
/// Where the last whole block of it starts; the read that meets it goes further.
const LATE: &str = "2097152";

/// A process that does something to a file when the backup opens or reads one.
struct Meddler {
    process: Child,
    stdin: Option<ChildStdin>,
}

impl Meddler {
    /// Starts it; `None`, said aloud, where this system has no means to wait for a read.
    fn start(
        test: &str,
        watched: &Path,
        moment: &str,
        action: &str,
        victim: &Path,
    ) -> Option<Self> {
        let spawned = Command::new(python())
            .args(["-I", "-B"])
            .arg(support("meddle.py"))
            .args([watched.as_os_str(), moment.as_ref(), action.as_ref(), victim.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut process) = spawned else {
            skip(test, "no program `python3`");
            return None;
        };
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let stdin = process.stdin.take();
        let meddler = Self { process, stdin };
        if line == "ready\n" {
            return Some(meddler);
        }
        assert!(line.starts_with("cannot"), "the meddler broke: {line}");
        skip(test, line.trim_end());
        None
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ended = self.process.wait();
    }
}

/// What a snapshot says of the file.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    kind: String,
    size: Option<u64>,
    inconsistent: bool,
}

/// A world with two files, of which the backup reads `a` before `b`.
fn two_files(len: usize) -> World {
    let world = World::with_repository();
    world.write("source/a", "first");
    world.write("source/b", noise(1, len));
    world.write("source/c", "last");
    world
}

/// Files of the last snapshot below `source`.
fn listed(world: &World) -> BTreeMap<String, Told> {
    let source = world.at("source").display().to_string();
    let nodes = world.ok(&["ls", "latest", &source, "--json"]).json();
    let told = nodes.iter().skip(2).map(|node| {
        let kind = node["type"].as_str().unwrap().to_owned();
        let inconsistent = node["inconsistent"].as_bool().unwrap_or(false);
        let size = node["size"].as_u64();
        (node["name"].as_str().unwrap().to_owned(), Told { kind, size, inconsistent })
    });
    told.collect()
}

/// Expects one backup to say nothing but `problem` of the file `b`, and to record it as `size`
/// bytes, or not at all. Returns what a restore makes of it.
fn check(world: &World, case: &str, problem: Option<&str>, size: Option<u64>) -> Option<Vec<u8>> {
    let code = if problem.is_some() { 3 } else { 0 };
    let answer = world.expect(code, &["backup", "source", "--json"]);
    let path = world.at("source/b").display().to_string();
    let expected: Vec<String> = problem.iter().map(|text| text.replace("<b>", &path)).collect();
    assert_eq!(problems(&answer), expected, "{case}");
    let mut files = listed(world);
    for (name, size) in [("a", 5), ("c", 4)] {
        let whole = Told { kind: "file".into(), size: Some(size), inconsistent: false };
        assert_eq!(files.remove(name), Some(whole), "{case}: the rest is complete");
    }
    let told = files.remove("b");
    let is_marked = problem.is_some();
    let record = size.map(|_| Told { kind: "file".into(), size, inconsistent: is_marked });
    assert_eq!((told, files), (record, BTreeMap::new()), "{case}");
    // A length that is not the sum of its chunks would be damage.
    world.ok(&["check", "--read-data"]);
    let back = world.at("back");
    let _none = fs::remove_dir_all(&back);
    world.ok(&["restore", "latest", "--target", "back"]);
    let restored = back.join(world.at("source/b").strip_prefix("/").unwrap());
    size.map(|_| fs::read(restored).unwrap())
}

#[test]
fn what_takes_the_place_of_a_file_before_it_is_opened_is_named() {
    let test = "what_takes_the_place_of_a_file_before_it_is_opened_is_named";
    let replaced = "could not read <b>: it is no longer a regular file";
    let cases = [
        ("vanish", "could not read <b>: no such file or directory"),
        ("fifo", replaced),
        ("link", replaced),
        ("directory", replaced),
        ("socket", replaced),
    ];
    for (action, problem) in cases {
        let world = two_files(5000);
        let (a, b) = (world.at("source/a"), world.at("source/b"));
        // Both are scanned by the time that the first one is opened.
        let Some(_meddler) = Meddler::start(test, &a, "open", action, &b) else { return };
        check(&world, action, Some(problem), None);
    }
}

#[test]
fn a_file_that_replaces_another_is_stored_as_itself() {
    let test = "a_file_that_replaces_another_is_stored_as_itself";
    let world = two_files(5000);
    let (a, b) = (world.at("source/a"), world.at("source/b"));
    let Some(_meddler) = Meddler::start(test, &a, "open", "another", &b) else { return };
    assert_eq!(check(&world, "before", None, Some(12)).unwrap(), b"another file");
    for len in [5000, LARGE_LEN] {
        let world = two_files(len);
        let b = world.at("source/b");
        let Some(_meddler) = Meddler::start(test, &b, "0", "another", &b) else { return };
        // The one that was opened is whole, only its name is lost.
        let back = check(&world, "meanwhile", None, Some(len as u64)).unwrap();
        assert!(back == noise(1, len));
    }
}

#[test]
fn a_file_that_outgrows_its_scan_is_read_block_by_block() {
    let test = "a_file_that_outgrows_its_scan_is_read_block_by_block";
    let world = two_files(5000);
    let (a, b) = (world.at("source/a"), world.at("source/b"));
    let Some(_meddler) = Meddler::start(test, &a, "open", "grow:3000000", &b) else { return };
    let back = check(&world, "outgrown", None, Some(3_000_000)).unwrap();
    assert!(back[..5000] == noise(1, 5000) && back[5000..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_file_that_may_not_be_opened_any_more_is_named() {
    let test = "a_file_that_may_not_be_opened_any_more_is_named";
    for len in [5000, LARGE_LEN] {
        let world = two_files(len);
        let b = world.at("source/b");
        let Some(_meddler) = Meddler::start(test, &b, "open", "deny", &b) else { return };
        check(&world, "deny", Some("could not read <b>: operation not permitted"), None);
    }
}

#[test]
fn a_small_file_that_changes_once_is_read_again() {
    let test = "a_small_file_that_changes_once_is_read_again";
    for (action, len) in [("cut:1700", 1700), ("grow:6000", 6000), ("touch", 5000)] {
        let world = two_files(5000);
        let b = world.at("source/b");
        let Some(_meddler) = Meddler::start(test, &b, "0", action, &b) else { return };
        let back = check(&world, action, None, Some(len)).unwrap();
        assert!(back == fs::read(&b).unwrap(), "{action}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_is_named_and_marked() {
    let test = "a_file_that_changes_while_it_is_read_is_named_and_marked";
    let large = LARGE_LEN as u64;
    let cases = [
        // It stays one byte ahead of each read, for ever.
        (5000, "0", "always-grow", 5001, 0),
        (LARGE_LEN, LATE, "cut:1000000", 2 << 20, 0),
        (LARGE_LEN, "0", "cut:1000000", 1_000_000, 0),
        (LARGE_LEN, LATE, "grow:4000000", large, 0),
        (LARGE_LEN, LATE, "touch", large, 0),
        (LARGE_LEN, "0", "touch", large, 1),
    ];
    for (len, moment, action, size, changed_len) in cases {
        let world = two_files(len);
        let b = world.at("source/b");
        let Some(_meddler) = Meddler::start(test, &b, moment, action, &b) else { return };
        let back =
            check(&world, action, Some("<b> changed while it was read"), Some(size)).unwrap();
        // What was read before and after: nothing of it is made up.
        let kept = back.len().min(len);
        assert!(back[changed_len..kept] == noise(1, len)[changed_len..kept], "{action}");
        assert!(back[kept..].iter().all(|byte| *byte == 0), "{action}");
    }
}

#[test]
fn a_read_that_fails_is_named_with_all_that_came_before() {
    let test = "a_read_that_fails_is_named_with_all_that_came_before";
    for (len, moment, size) in [(5000, "0", 0), (LARGE_LEN, "0", 0), (LARGE_LEN, LATE, 2 << 20)] {
        let world = two_files(len);
        let b = world.at("source/b");
        let Some(_meddler) = Meddler::start(test, &b, moment, "fail", &b) else { return };
        let problem = "could not read all of <b>: Input/output error (os error 5)";
        let back = check(&world, moment, Some(problem), Some(size)).unwrap();
        assert!(back == noise(1, len)[..size as usize]);
    }
}

#[test]
fn an_inconsistent_file_is_read_again_by_the_next_run() {
    let test = "an_inconsistent_file_is_read_again_by_the_next_run";
    let world = two_files(LARGE_LEN);
    let b = world.at("source/b");
    let Some(meddler) = Meddler::start(test, &b, LATE, "fail", &b) else { return };
    world.expect(3, &["backup", "source"]);
    drop(meddler);
    // By now its times are old enough to prove something of a file that was read whole.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let back = check(&world, "again", None, Some(LARGE_LEN as u64)).unwrap();
    assert!(back == noise(1, LARGE_LEN));
}

#[test]
fn what_the_kernel_makes_up_is_stored_as_it_reads() {
    let world = World::with_repository();
    let page = "/sys/kernel/mm/transparent_hugepage/enabled";
    let paths: Vec<&str> =
        ["/proc/version", page].into_iter().filter(|path| Path::new(path).exists()).collect();
    if paths.len() < 2 {
        skip("what_the_kernel_makes_up_is_stored_as_it_reads", "no /proc or no /sys");
        return;
    }
    for _ in 0..2 {
        world.ok(&["backup", paths[0], paths[1]]);
        let _none = fs::remove_dir_all(world.at("back"));
        world.ok(&["restore", "latest", "--target", "back"]);
        for path in &paths {
            let back = world.at("back").join(path.strip_prefix('/').unwrap());
            assert_eq!(fs::read(back).unwrap(), fs::read(path).unwrap(), "{path}");
        }
    }
    // A file that fails to be read wherever it is, with no privilege at all.
    let memory = PathBuf::from(format!("/proc/{}/mem", std::process::id()));
    let answer = world.expect(3, &["backup".as_ref(), memory.as_os_str(), "--json".as_ref()]);
    let expected =
        format!("could not read all of {}: Input/output error (os error 5)", memory.display());
    assert_eq!(problems(&answer), [expected]);
}
