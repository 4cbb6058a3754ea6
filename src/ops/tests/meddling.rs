//! Sources that change at the worst moment, wherever the tests run.
//!
//! `tests/cli/meddling.rs` does the same to the real program, with a kernel that can hold it at an
//! open or a read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::io::Errno;

use super::{Counts, Run, World, backup, ls, noise};
use crate::base::{Clock, Result, SystemClock, Timestamp};
use crate::format::entry::{Entry, EntryKind, flags};
use crate::source::meddler::{Meddler, Moment, errno};

/// Bytes of a file that is read block by block.
const LARGE_LEN: usize = (3 << 20) + 17;
/// Where the last whole block of it starts; the read that meets it goes further.
const LATE: u64 = 2 << 20;

/// What is done to a file.
type Deed = fn(&Path) -> io::Result<()>;

/// How often.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Always,
}

struct Case {
    title: &'static str,
    len: usize,
    moment: Moment,
    deed: Deed,
    times: Times,
    /// What is said of it.
    problem: Option<&'static str>,
    /// The length that is recorded; nothing where there is no record.
    size: Option<u64>,
    /// Bytes at the start that the deed may have changed before they were read.
    changed_len: usize,
}

const fn case(title: &'static str, len: usize, moment: Moment, deed: Deed) -> Case {
    let (times, size) = (Times::Once, Some(len as u64));
    Case { title, len, moment, deed, times, problem: None, size, changed_len: 0 }
}

impl Case {
    const fn lost(self, problem: &'static str) -> Self {
        Self { problem: Some(problem), size: None, ..self }
    }

    const fn told(self, problem: &'static str) -> Self {
        Self { problem: Some(problem), ..self }
    }

    const fn of(self, size: u64) -> Self {
        Self { size: Some(size), ..self }
    }

    const fn always(self) -> Self {
        Self { times: Times::Always, ..self }
    }

    const fn changing(self, changed_len: usize) -> Self {
        Self { changed_len, ..self }
    }
}

const GONE: &str = "could not read <file>: no such file or directory";
const REPLACED: &str = "could not read <file>: it is no longer a regular file";
const DENIED: &str = "could not read <file>: permission denied";
const CHANGED: &str = "<file> changed while it was read";
const FAILED: &str = "could not read all of <file>: Input/output error (os error 5)";

const CASES: &[Case] = &[
    case("vanishes", 5000, Moment::Open, |b| fs::remove_file(b)).lost(GONE),
    case("is a fifo", 5000, Moment::Open, |b| replace(b, |b| Ok(mkfifoat(CWD, b, Mode::RWXU)?)))
        .lost(REPLACED),
    case("is a link", 5000, Moment::Open, |b| replace(b, |b| symlink("/etc/passwd", b)))
        .lost(REPLACED),
    case("is a directory", 5000, Moment::Open, |b| replace(b, |b| fs::create_dir(b)))
        .lost(REPLACED),
    case("is a socket", 5000, Moment::Open, |b| replace(b, |b| UnixListener::bind(b).map(drop)))
        .lost(REPLACED),
    case("loses its permission", 5000, Moment::Open, deny).lost(DENIED).always(),
    case("loses its permission, large", LARGE_LEN, Moment::Open, deny).lost(DENIED).always(),
    case("is another file, opened", 5000, Moment::Open, another).of(12).changing(5000),
    case("is another file, meanwhile", 5000, Moment::Read(0), another),
    case("is another file, large", LARGE_LEN, Moment::Read(LATE), another),
    case("outgrows its scan", 5000, Moment::Open, |b| set_len(b, 3_000_000)).of(3_000_000),
    case("shrinks once", 5000, Moment::Read(0), |b| set_len(b, 1700)).of(1700),
    case("grows once", 5000, Moment::Read(0), |b| set_len(b, 6000)).of(6000),
    case("is written once", 5000, Moment::Read(0), touch).changing(1),
    case("grows for ever", 5000, Moment::Read(0), |b| set_len(b, fs::metadata(b)?.len() + 1))
        .told(CHANGED)
        .of(5001)
        .always(),
    case("is cut behind the read", LARGE_LEN, Moment::Read(LATE), |b| set_len(b, 1_000_000))
        .told(CHANGED)
        .of(2 << 20),
    case("is cut before the read", LARGE_LEN, Moment::Read(0), |b| set_len(b, 1_000_000))
        .told(CHANGED)
        .of(1_000_000),
    case("grows behind the read", LARGE_LEN, Moment::Read(LATE), |b| set_len(b, 4_000_000))
        .told(CHANGED),
    case("is written behind the read", LARGE_LEN, Moment::Read(LATE), touch).told(CHANGED),
    case("is written before the read", LARGE_LEN, Moment::Read(0), touch).told(CHANGED).changing(1),
    case("fails at once", 5000, Moment::Read(0), fail).told(FAILED).of(0).always(),
    case("fails at once, large", LARGE_LEN, Moment::Read(0), fail).told(FAILED).of(0).always(),
    case("fails late", LARGE_LEN, Moment::Read(LATE), fail).told(FAILED).of(2 << 20).always(),
];

fn replace(b: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    fs::remove_file(b)?;
    make(b)
}

/// Takes the permission away; the superuser, whom nothing is denied, is told so all the same.
fn deny(b: &Path) -> io::Result<()> {
    fs::set_permissions(b, fs::Permissions::from_mode(0o0))?;
    if rustix::process::geteuid().is_root() { Err(Errno::ACCESS.into()) } else { Ok(()) }
}

fn another(b: &Path) -> io::Result<()> {
    let new = b.with_extension("new");
    fs::write(&new, "another file")?;
    fs::rename(new, b)
}

fn set_len(b: &Path, len: u64) -> io::Result<()> {
    // The clock of the file system ticks every few milliseconds, and a change within one tick of
    // the write before would be seen by the length alone.
    std::thread::sleep(std::time::Duration::from_millis(15));
    File::options().write(true).open(b)?.set_len(len)
}

fn touch(b: &Path) -> io::Result<()> {
    std::thread::sleep(std::time::Duration::from_millis(15));
    File::options().write(true).open(b)?.write_all_at(b"\xff", 0)
}

fn fail(_: &Path) -> io::Result<()> {
    Err(Errno::IO.into())
}

/// Waits for `file` to do to it what the case says.
fn meddle(case: &Case, file: &Path) -> Meddler {
    fs::write(file, noise(1, case.len)).unwrap();
    let (victim, deed, times) = (file.to_owned(), case.deed, case.times);
    let mut is_done = false;
    Meddler::start(file, case.moment, move || {
        if std::mem::replace(&mut is_done, times == Times::Once) {
            return Ok(());
        }
        deed(&victim).map_err(|error| errno(&error))
    })
}

/// The files of the last snapshot: kind, length, whether it is marked.
fn recorded(world: &World) -> BTreeMap<String, (EntryKind, Option<u64>, bool)> {
    let counts = Counts::default();
    let source = world.source().to_str().unwrap().to_owned();
    let options = ls::Options {
        snapshot: "latest".into(),
        paths: vec![source.clone().into()],
        recursive: true,
        cache_dir: None,
    };
    let mut files = BTreeMap::new();
    let mut visit = |path: &[u8], entry: &Entry| -> Result<()> {
        let path = String::from_utf8(path.to_vec()).unwrap();
        let is_marked = entry.flags.unwrap_or(0) & flags::INCONSISTENT != 0;
        if let Some(name) = path.strip_prefix(&format!("{source}/")) {
            files.insert(name.to_owned(), (entry.kind, entry.size, is_marked));
        }
        Ok(())
    };
    ls::ls(&world.repository, &options, &counts.run(), &mut visit).unwrap();
    files
}

/// Nothing of what came back is made up: it was there before or after, and zeros are what it grew by.
fn check_content(case: &Case, back: &[u8]) {
    let title = case.title;
    let kept = back.len().min(case.len);
    let from = case.changed_len.min(kept);
    assert!(back[from..kept] == noise(1, case.len)[from..kept], "{title}");
    assert!(back[kept..].iter().all(|byte| *byte == 0), "{title}");
    if case.changed_len == case.len {
        assert_eq!(back, b"another file", "{title}");
    }
}

/// All of them in one run, each the neighbor of the others.
#[test]
fn a_file_that_changes_at_any_moment_is_named_marked_and_stored_as_read() {
    let world = World::new();
    let at = |case: &Case| world.source().join(case.title);
    fs::write(world.source().join("quiet"), "quiet").unwrap();
    let _meddlers: Vec<_> = CASES.iter().map(|case| meddle(case, &at(case))).collect();
    let (_, counts) = world.backup();
    let told: BTreeSet<String> = counts.problems.take().iter().map(ToString::to_string).collect();
    let expected = CASES
        .iter()
        .filter_map(|case| Some(case.problem?.replace("<file>", at(case).to_str().unwrap())));
    assert_eq!(told, expected.collect());
    let mut files = BTreeMap::from([("quiet".to_owned(), (EntryKind::File, Some(5), false))]);
    for case in CASES.iter().filter(|case| case.size.is_some()) {
        let record = (EntryKind::File, case.size, case.problem.is_some());
        files.insert(case.title.to_owned(), record);
    }
    assert_eq!(recorded(&world), files);
    // A length that is not the sum of its chunks would be damage.
    assert_eq!(world.check().findings, []);
    let (target, counts) = world.restore("target");
    assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
    for case in CASES.iter().filter(|case| case.size.is_some()) {
        check_content(case, &fs::read(target.join(case.title)).unwrap());
    }
    assert_eq!(fs::read_dir(target).unwrap().count(), files.len());
}

/// Tells the time some seconds from now.
struct Later(i64);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        let now = SystemClock.now();
        Timestamp::new(now.seconds + self.0, now.nanos)
    }
}

/// Their times are old enough to prove something of a file that was read whole.
#[test]
fn a_file_that_was_not_read_whole_is_read_again_by_the_next_run() {
    let world = World::new();
    let titles = ["fails late", "is cut behind the read", "fails at once"];
    let cases = CASES.iter().filter(|case| titles.contains(&case.title));
    let meddlers = cases.map(|case| meddle(case, &world.source().join(case.title)));
    let meddlers: Vec<_> = meddlers.collect();
    let run_at = |seconds| {
        let counts = Counts::default();
        let run = Run { clock: &Later(seconds), ..counts.run() };
        let options = world.backup_options(&world.source());
        backup::backup(&world.repository, &options, &run).unwrap();
        counts.problems.count()
    };
    assert_eq!(run_at(10), 3);
    drop(meddlers);
    assert_eq!(run_at(20), 0);
    let (target, _) = world.restore("target");
    for title in titles {
        let now = fs::read(world.source().join(title)).unwrap();
        assert!(fs::read(target.join(title)).unwrap() == now, "{title}");
    }
}
