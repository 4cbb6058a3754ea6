//! What the options of a backup promise, through the whole engine on a real disk.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Made, Options, Report, backup};
use crate::backend::Backend;
use crate::backend::memory::Memory;
use crate::backend::verb::Verb;
use crate::backend::with::count::Counted;
use crate::base::{Error, ErrorKind, Result, SystemClock, Timestamp, simulated};
use crate::format::slot::Label;
use crate::format::snapshot::State;
use crate::ops::tests::{Counts, World, describe, fill, noise};
use crate::ops::{init, restore};
use crate::repo::Repository;
use crate::repo::access::Creation;
use crate::repo::snapshots::Snapshots;
use crate::seal::keys::Key;
use crate::seal::slot::Secret;
use crate::source::{Comparison, Stream, StreamPath};

/// Longer than the age that times must have before they prove anything.
const SETTLED: Duration = Duration::from_millis(2100);

impl World {
    fn options(&self, change: impl FnOnce(&mut Options)) -> Options {
        let mut options = self.backup_options(&self.source());
        change(&mut options);
        options
    }

    fn try_backup(&self, change: impl FnOnce(&mut Options)) -> Result<(Report, Counts)> {
        let counts = Counts::default();
        let report = backup(&self.repository, &self.options(change), &counts.run())?;
        Ok((report, counts))
    }

    fn backup_with(&self, change: impl FnOnce(&mut Options)) -> (Report, Counts) {
        self.try_backup(change).unwrap()
    }

    fn snapshot_count(&self) -> usize {
        Snapshots::read(&self.repository).unwrap().all.len()
    }

    /// The stream of a command under the name `dump`.
    fn command(words: &[&str]) -> Option<Stream> {
        let words = words.iter().map(|word| (*word).into()).collect();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let environment = vec![("PATH".into(), path)];
        let dump = StreamPath::parse(b"dump").unwrap();
        Some(Stream::command(dump, words, environment).unwrap())
    }

    fn restored_dump(&self, name: &str) -> Vec<u8> {
        let counts = Counts::default();
        let target = self.dir.path().join(name);
        let options = restore::Options::new(target.clone());
        restore::restore(&self.repository, &options, &counts.run()).unwrap();
        assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
        fs::read(target.join("dump")).unwrap()
    }
}

impl Report {
    fn id(&self) -> crate::base::SessionId {
        let Made::Snapshot(id) = self.made else { panic!("{:?}", self.made) };
        id
    }
}

/// Whether a large file was read: those that are taken over are never current.
fn was_read(counts: &Counts) -> bool {
    !counts.progress.current().is_empty()
}

#[test]
fn a_dry_run_writes_nothing_and_says_what_a_run_would_add() {
    let world = World::new();
    fill(&world.source());
    let counted = Counted::new(Memory::new("dry-run-of-a-backup", Arc::new(SystemClock)));
    let secrets = [(Secret::KeyFile(Key::new([7; 32])), Label::default())];
    let backend = Arc::clone(&counted) as Arc<dyn Backend>;
    let repository =
        Arc::new(init::init(backend, &secrets, &Creation::default(), &SystemClock).unwrap());
    let run = |repository: &Arc<Repository>, dry_run| {
        counted.take();
        let counts = Counts::default();
        let options = world.options(|options| options.dry_run = dry_run);
        let report = backup(repository, &options, &counts.run()).unwrap();
        (report, counts)
    };
    let writes = || {
        let calls = counted.calls();
        calls.iter().filter(|c| matches!(c.verb, Verb::Put | Verb::Delete | Verb::Heal)).count()
    };
    thread::sleep(SETTLED);
    let (report, would) = run(&repository, true);
    assert_eq!((report.made, writes()), (Made::Nothing, 0));
    let (report, did) = run(&repository, false);
    assert!(matches!(report.made, Made::Snapshot(_)) && writes() > 0);
    let sums = |counts: &Counts| {
        let progress = &counts.progress;
        [
            progress.files_new.get(),
            progress.files_done.get(),
            progress.bytes_done.get(),
            progress.new_data_bytes.get(),
            progress.new_metadata_bytes.get(),
            progress.stored_packs.get(),
        ]
    };
    assert_eq!(sums(&would), sums(&did));
    // It takes over what the last run knew, and leaves it there for the next one.
    fs::write(world.source().join("new"), noise(77, 2_000_000)).unwrap();
    let (_, would) = run(&repository, true);
    assert_eq!((writes(), would.progress.new_data_bytes.get()), (0, 2_000_000));
    fs::remove_file(world.source().join("new")).unwrap();
    let (_, did) = run(&repository, false);
    assert!(!was_read(&did));
    assert_eq!(did.progress.files_unmodified.get(), 506);
}

#[test]
fn files_that_were_named_are_compared_with_the_last_run_too() {
    let world = World::new();
    let files = ["one", "two"].map(|name| world.source().join(name));
    files.iter().for_each(|file| fs::write(file, noise(1, 300_000)).unwrap());
    thread::sleep(SETTLED);
    let backup = || world.backup_with(|options| options.sources = files.to_vec()).1;
    assert_eq!(backup().progress.files_new.get(), 2);
    let second = backup();
    assert_eq!(second.progress.files_unmodified.get(), 2);
    assert!(!was_read(&second));
    fs::write(&files[0], noise(2, 300_000)).unwrap();
    let third = backup();
    let progress = &third.progress;
    assert_eq!((progress.files_changed.get(), progress.files_unmodified.get()), (1, 1));
}

#[test]
fn an_unchanged_source_makes_no_snapshot_when_that_is_asked_for() {
    let world = World::new();
    fill(&world.source());
    thread::sleep(SETTLED);
    let skip = |options: &mut Options| options.skip_if_unchanged = true;
    // Without a parent there is nothing that could be unchanged.
    let first = world.backup_with(skip).0.id();
    for _ in 0..2 {
        let (report, counts) = world.backup_with(skip);
        assert_eq!((report.made, report.parent), (Made::Unchanged, Some(first)));
        assert!(!was_read(&counts));
    }
    assert_eq!(world.snapshot_count(), 1);
    let forced = |options: &mut Options| (options.skip_if_unchanged, options.force) = (true, true);
    assert!(matches!(world.backup_with(forced).0.made, Made::Snapshot(_)));
    fs::write(world.source().join("small"), b"HELLO").unwrap();
    assert!(matches!(world.backup_with(skip).0.made, Made::Snapshot(_)));
    assert_eq!(world.snapshot_count(), 3);
    assert_eq!(describe(&world.restore("target").0), describe(&world.source()));
}

#[test]
fn the_parent_is_the_newest_of_the_same_sources_or_the_one_that_was_named() {
    let world = World::new();
    fill(&world.source());
    thread::sleep(SETTLED);
    let at = |seconds| Some(Timestamp::new(seconds, 0));
    let new = world.backup_with(|options| options.time = at(2_000)).0;
    assert_eq!((new.parent, new.snapshot.time), (None, Timestamp::new(2_000, 0)));
    // One that is to be older has no newer parent.
    let old = world.backup_with(|options| options.time = at(1_000)).0;
    assert_eq!(old.parent, None);
    let middle = world.backup_with(|options| options.time = at(1_500)).0;
    assert_eq!(middle.parent, Some(old.id()));
    let named = |word: String| world.try_backup(|options| options.parent = Some(word));
    let (report, _) = named(middle.id().to_hex()[..12].to_owned()).unwrap();
    assert_eq!(report.parent, Some(middle.id()));
    let newest = report.id();
    assert_eq!(named("latest".into()).unwrap().0.parent, Some(newest));
    assert_eq!(named("dead".into()).unwrap_err().kind, ErrorKind::NotFound);
    let (report, counts) = world.backup_with(|options| {
        options.force = true;
        options.parent = Some("latest".into());
    });
    assert_eq!((report.parent, counts.progress.files_new.get()), (None, 506));
    assert!(was_read(&counts));
    // Another host has no snapshot of its own, but may name one and read nothing.
    let elsewhere = |options: &mut Options| options.host = "other".into();
    let latest = |options: &mut Options| {
        elsewhere(options);
        options.parent = Some("latest".into());
    };
    assert_eq!(world.try_backup(latest).unwrap_err().kind, ErrorKind::NotFound);
    let known = report.id();
    let (report, counts) = world.backup_with(|options| {
        elsewhere(options);
        options.parent = Some(known.to_hex());
    });
    assert_eq!(report.parent, Some(known));
    assert!(!was_read(&counts));
    let (report, counts) = world.backup_with(elsewhere);
    assert!(report.parent.is_some() && !was_read(&counts));
    assert_eq!(describe(&world.restore("target").0), describe(&world.source()));
}

#[test]
fn what_is_ignored_in_a_comparison_is_no_reason_to_read_and_its_metadata_is_kept_up() {
    let world = World::new();
    let big = world.source().join("big");
    fs::write(&big, noise(1, 3_000_000)).unwrap();
    thread::sleep(SETTLED);
    let ignore = |ignore_inode, ignore_ctime| {
        move |options: &mut Options| {
            options.comparison = Comparison { ignore_inode, ignore_ctime };
        }
    };
    world.backup();
    // A second name changes the ctime, and must come back as a second name.
    fs::hard_link(&big, world.source().join("link")).unwrap();
    // Its own row is new, so only the first name is taken over; the second one is read.
    let (_, counts) = world.backup_with(ignore(false, true));
    assert_eq!(
        counts.progress.current(),
        [world.source().as_os_str().as_encoded_bytes(), b"/link"].concat()
    );
    assert_eq!(describe(&world.restore("linked").0), describe(&world.source()));
    assert!(was_read(&world.backup().1));
    // The same file at another inode, as after a move to another disk.
    fs::remove_file(world.source().join("link")).unwrap();
    let mtime = fs::metadata(&big).unwrap().modified().unwrap();
    fs::copy(&big, world.dir.path().join("copy")).unwrap();
    let copy = fs::File::options().write(true).open(world.dir.path().join("copy")).unwrap();
    copy.set_modified(mtime).unwrap();
    fs::rename(world.dir.path().join("copy"), &big).unwrap();
    assert!(!was_read(&world.backup_with(ignore(true, true)).1));
    assert!(was_read(&world.backup_with(ignore(false, true)).1));
    assert_eq!(describe(&world.restore("target").0), describe(&world.source()));
}

#[test]
fn what_a_run_that_ignores_ctimes_missed_the_next_careful_one_finds() {
    let world = World::new();
    let big = world.source().join("big");
    fs::write(&big, noise(1, 3_000_000)).unwrap();
    thread::sleep(SETTLED);
    world.backup();
    // As long, and with the old mtime: only the ctime tells.
    let mtime = fs::metadata(&big).unwrap().modified().unwrap();
    fs::write(&big, noise(2, 3_000_000)).unwrap();
    fs::File::options().write(true).open(&big).unwrap().set_modified(mtime).unwrap();
    thread::sleep(SETTLED);
    let careless = |options: &mut Options| options.comparison.ignore_ctime = true;
    for _ in 0..2 {
        assert!(!was_read(&world.backup_with(careless).1));
    }
    assert!(was_read(&world.backup().1));
    assert_eq!(describe(&world.restore("target").0), describe(&world.source()));
    // A young mtime proves nothing, whatever is ignored.
    fs::write(&big, noise(3, 3_000_000)).unwrap();
    world.backup_with(careless);
    assert!(was_read(&world.backup_with(careless).1));
}

#[test]
fn a_stream_comes_back_and_shares_its_chunks_with_files() {
    let world = World::new();
    let content = noise(5, 20_000_001);
    let file = world.source().join("file");
    fs::write(&file, &content).unwrap();
    world.backup();
    let cat = World::command(&["cat", file.to_str().unwrap()]);
    let (report, counts) = world.backup_with(|options| options.stream = cat.clone());
    assert_eq!(counts.progress.new_data_bytes.get(), 0);
    let component = &report.snapshot.components[0];
    assert_eq!((component.kind.as_str(), component.state), ("command", State::Complete));
    assert_eq!(component.paths[0].0, b"/dump");
    assert_eq!(component.statistics.content_bytes, 20_000_001);
    assert!(world.restored_dump("target") == content);
    assert_eq!(world.check().findings, []);
    // The same content again is the same tree: nothing to store, and no news.
    let again = |options: &mut Options| {
        options.stream = cat.clone();
        options.skip_if_unchanged = true;
    };
    let (report, counts) = world.backup_with(again);
    assert_eq!(report.made, Made::Unchanged);
    let progress = &counts.progress;
    assert_eq!((progress.stored_packs.get(), progress.files_unmodified.get()), (0, 1));
}

#[test]
fn a_command_that_does_not_succeed_leaves_no_snapshot() {
    let world = World::new();
    let cases: [(&[&str], &str); 5] = [
        (&["sh", "-c", "head -c 3000000 /dev/zero; exit 3"], "failed: exit status: 3"),
        (&["sh", "-c", "echo half; kill -9 $$"], "failed: signal: 9"),
        (&["sh", "-c", "exec >&-; sleep 0.3; exit 4"], "failed: exit status: 4"),
        (&["false"], "the command `false` failed: exit status: 1"),
        (&["/no/such/program"], "could not start the command `/no/such/program`"),
    ];
    for (words, expect) in cases {
        let stream = World::command(words);
        let error = world.try_backup(|options| options.stream = stream).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expect) && text.contains(words[0]), "{text}");
        assert!(!matches!(error.kind, ErrorKind::Usage | ErrorKind::Cancelled), "{error:?}");
        assert_eq!(world.snapshot_count(), 0, "{words:?}");
        let roots = world.dir.path().join("repository/sessions");
        let roots = fs::read_dir(roots).map_or(0, Iterator::count);
        assert_eq!(roots, 0, "{words:?} left a session root");
    }
    let stream = World::command(&["sh", "-c", "echo whole"]);
    world.backup_with(|options| options.stream = stream);
    assert_eq!(world.restored_dump("target"), b"whole\n");
}

#[test]
fn an_empty_or_shrunken_stream_is_suspect_until_somebody_says_otherwise() {
    let world = World::new();
    let dump = |len: usize, allow_suspect| {
        let stream = World::command(&["head", "-c", &len.to_string(), "/dev/zero"]);
        let (report, counts) = world.backup_with(|options| {
            options.stream = stream;
            options.allow_suspect = allow_suspect;
        });
        (report.snapshot.components[0].state, counts.problems.count())
    };
    assert_eq!(dump(0, false), (State::Suspect, 1));
    assert_eq!(world.restored_dump("target"), b"");
    assert_eq!(dump(10_000, false), (State::Complete, 0));
    assert_eq!(dump(1_000, false), (State::Suspect, 1));
    // A suspect one is no measure for the next.
    assert_eq!(dump(1_000, false), (State::Suspect, 1));
    assert_eq!(dump(1_000, true), (State::Complete, 0));
    assert_eq!(dump(1_000, false), (State::Complete, 0));
    assert_eq!(dump(0, true), (State::Complete, 0));
    assert_eq!(world.snapshot_count(), 7);
}

#[test]
fn a_silent_command_is_stopped_with_the_run() {
    let world = World::new();
    let pid_file: PathBuf = world.dir.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", pid_file.display());
    let stream = World::command(&["sh", "-c", &script]);
    let counts = Counts::default();
    let options = world.options(|options| options.stream = stream);
    let (result, elapsed) = thread::scope(|threads| {
        threads.spawn(|| {
            while fs::read_to_string(&pid_file).unwrap_or_default().is_empty() {
                thread::sleep(Duration::from_millis(5));
            }
            counts.cancel.raise();
        });
        let started = Instant::now();
        let result: Result<(), Error> =
            backup(&world.repository, &options, &counts.run()).map(|_| ());
        (result, started.elapsed())
    });
    assert_eq!(result.unwrap_err().kind, ErrorKind::Cancelled);
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    let pid = fs::read_to_string(&pid_file).unwrap();
    assert!(!PathBuf::from(format!("/proc/{}", pid.trim())).exists(), "it still runs");
    assert_eq!(world.snapshot_count(), 0);
}

#[test]
fn without_a_cache_files_are_compared_with_the_tree_of_the_parent() {
    let world = World::new();
    let source = world.source();
    fill(&source);
    // Several windows, and several nodes below one another.
    fs::create_dir_all(source.join("many/below")).unwrap();
    for n in 0..9000 {
        fs::write(source.join(format!("many/{n:04}")), []).unwrap();
    }
    fs::write(source.join("many/below/x"), "x").unwrap();
    let counts_of = |options: &dyn Fn(&mut Options)| {
        let (report, counts) = world.backup_with(|it| {
            it.cache_dir = None;
            options(it);
        });
        let progress = &counts.progress;
        let counted = [&progress.files_new, &progress.files_changed, &progress.files_unmodified];
        (report.id(), counted.map(|counter| counter.get()))
    };
    let (first, counted) = counts_of(&|_| ());
    let file_count = counted[0];
    assert!(file_count > 9500 && counted[1..] == [0, 0], "{counted:?}");
    assert_eq!(counts_of(&|_| ()).1, [0, 0, file_count]);
    fs::write(source.join("many/4500"), "changed").unwrap();
    fs::write(source.join("many/4500a"), "new").unwrap();
    fs::remove_file(source.join("many/0000")).unwrap();
    assert_eq!(counts_of(&|_| ()).1, [1, 1, file_count - 2]);
    // Another parent than the last one, also where the cache knows the last one.
    let with_cache = |it: &mut Options| it.cache_dir = world.options(|_| ()).cache_dir;
    let old = |it: &mut Options| {
        with_cache(it);
        it.parent = Some(first.to_hex());
    };
    assert_eq!(counts_of(&with_cache).1, [0, 0, file_count]);
    assert_eq!(counts_of(&old).1, [1, 1, file_count - 2]);
    let all_new = counts_of(&|it| it.force = true).1;
    assert_eq!(all_new, [file_count, 0, 0]);
}

#[test]
fn bad_memory_stores_nothing_that_cannot_be_read() {
    let world = World::new();
    fs::write(world.source().join("file"), noise(1, 300_000)).unwrap();
    let attempt = |checks_frames| {
        // What is simulated is done by one thread.
        simulated::enter(1, None);
        simulated::has_bad_memory(true);
        let made = world.try_backup(|options| options.checks_frames = checks_frames);
        simulated::has_bad_memory(false);
        simulated::leave();
        made
    };
    let error = attempt(true).unwrap_err();
    assert!(error.message.contains("this machine computes wrongly"), "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("memory")));
    assert_eq!(world.snapshot_count(), 0);
    assert_eq!(world.check().findings, []);
    // Without that check it is found when it is too late.
    attempt(false).unwrap();
    assert!(world.check().findings.iter().any(|finding| !finding.affected.is_empty()));
}
