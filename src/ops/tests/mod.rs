//! A directory goes in and comes back, through the whole engine on a real disk.

mod checks;
mod costs;
mod meddling;
mod models;
mod orphans;
mod racy;
mod trust;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Run, backup, check, init, ls, restore};
use crate::backend::{self, Location, Options as BackendOptions};
use crate::base::{Cancel, Clock, Problems, Progress, SystemClock};
use crate::format::entry::Entry;
use crate::format::slot::Label;
use crate::repo::Repository;
use crate::repo::access::Creation;
use crate::repo::snapshots::Snapshots;
use crate::seal::keys::Key;
use crate::seal::slot::Secret;

/// A repository and a source in a directory of their own.
pub(super) struct World {
    pub(super) dir: tempfile::TempDir,
    pub(super) repository: Arc<Repository>,
}

/// Counters of one run.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) problems: Problems,
    pub(super) progress: Progress,
    pub(super) cancel: Cancel,
}

impl Counts {
    pub(super) fn run(&self) -> Run<'_> {
        Run {
            clock: &SystemClock,
            problems: &self.problems,
            progress: &self.progress,
            cancel: &self.cancel,
        }
    }
}

impl World {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("repository");
        let location: Location = path.to_str().unwrap().parse().unwrap();
        let options = BackendOptions { writable: true, ..BackendOptions::default() };
        let store = backend::create(&location, &options).unwrap();
        let secret = Secret::KeyFile(Key::new([7; 32]));
        let secrets = [(secret, Label::default())];
        let repository = init::init(store, &secrets, &Creation::default(), &SystemClock).unwrap();
        fs::create_dir(dir.path().join("source")).unwrap();
        Self { dir, repository }
    }

    pub(super) fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    pub(super) fn backup_options(&self, source: &Path) -> backup::Options {
        backup::Options {
            sources: vec![source.to_path_buf()],
            cwd: PathBuf::from("/"),
            host: "host".into(),
            user: "user".into(),
            read_concurrency: 2,
            cache_dir: Some(self.dir.path().join("cache")),
            program: "test".into(),
            ..backup::Options::default()
        }
    }

    pub(super) fn backup(&self) -> (backup::Report, Counts) {
        self.backup_at(&SystemClock)
    }

    /// A backup by another clock.
    fn backup_at(&self, clock: &dyn Clock) -> (backup::Report, Counts) {
        let counts = Counts::default();
        let options = self.backup_options(&self.source());
        let run = Run { clock, ..counts.run() };
        let report = backup::backup(&self.repository, &options, &run).unwrap();
        (report, counts)
    }

    /// Names and lengths of all objects.
    fn objects(&self) -> BTreeMap<PathBuf, u64> {
        let repository = self.dir.path().join("repository");
        let mut found = BTreeMap::new();
        let mut open = vec![repository.clone()];
        while let Some(path) = open.pop() {
            for entry in fs::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                let metadata = entry.metadata().unwrap();
                if metadata.is_dir() {
                    open.push(entry.path());
                } else {
                    let name = entry.path().strip_prefix(&repository).unwrap().to_path_buf();
                    found.insert(name, metadata.len());
                }
            }
        }
        found
    }

    /// What a run adds: number of objects, and their lengths.
    fn added(&self, run: impl FnOnce()) -> (usize, u64) {
        let before = self.objects();
        run();
        let mut after = self.objects();
        after.retain(|name, _| !before.contains_key(name));
        (after.len(), after.values().sum())
    }

    /// The repository, opened anew.
    fn reopen(&self) -> Arc<Repository> {
        let path = self.dir.path().join("repository");
        let location: Location = path.to_str().unwrap().parse().unwrap();
        let options = BackendOptions { writable: true, ..BackendOptions::default() };
        let store = backend::open(&location, &options).unwrap();
        let secret = || Ok(Secret::KeyFile(Key::new([7; 32])));
        Arc::new(Repository::open(store, &mut |_| secret()).unwrap())
    }

    pub(super) fn restore(&self, name: &str) -> (PathBuf, Counts) {
        self.restore_of(&self.source(), name)
    }

    fn restore_of(&self, source: &Path, name: &str) -> (PathBuf, Counts) {
        let counts = Counts::default();
        let target = self.dir.path().join(name);
        let options = restore::Options {
            path: Some(source.to_str().unwrap().into()),
            ..restore::Options::new(target.clone())
        };
        restore::restore(&self.repository, &options, &counts.run()).unwrap();
        (target, counts)
    }

    pub(super) fn check(&self) -> check::Report {
        self.check_to(check::Depth::Data(check::Subset::All))
    }

    pub(super) fn check_to(&self, depth: check::Depth) -> check::Report {
        let counts = Counts::default();
        let cache_dir = Some(self.dir.path().join("cache"));
        let options = check::Options { depth, cache_dir, max_memory: 512 << 20 };
        check::check(&self.repository, &options, &counts.run()).unwrap()
    }
}

pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Every path below `dir` with what a restore must bring back.
pub(super) fn describe(dir: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(path) = open.pop() {
        for entry in fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let content = if stat.is_file() {
                blake3::hash(&fs::read(&path).unwrap()).to_hex().to_string()
            } else if stat.is_symlink() {
                fs::read_link(&path).unwrap().display().to_string()
            } else {
                open.push(path.clone());
                String::new()
            };
            let words = format!(
                "{:o} {} {}.{} {content}",
                stat.mode(),
                stat.nlink(),
                stat.mtime(),
                stat.mtime_nsec()
            );
            found.insert(path.strip_prefix(dir).unwrap().to_path_buf(), words);
        }
    }
    found
}

pub(super) fn fill(source: &Path) {
    fs::write(source.join("empty"), b"").unwrap();
    fs::write(source.join("small"), b"hello").unwrap();
    fs::write(source.join("random"), noise(1, 3_000_000)).unwrap();
    fs::write(source.join("zeros"), vec![0; 5_000_000]).unwrap();
    fs::create_dir_all(source.join("deep/er")).unwrap();
    fs::create_dir_all(source.join("hollow")).unwrap();
    for n in 0..500 {
        fs::write(source.join(format!("deep/er/file-{n}")), noise(n, 100 * n as usize)).unwrap();
    }
    fs::hard_link(source.join("small"), source.join("deep/link")).unwrap();
    symlink("../small", source.join("deep/symlink")).unwrap();
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 5 << 20).unwrap();
}

#[test]
fn a_directory_comes_back_identical() {
    let world = World::new();
    fill(&world.source());
    let (report, counts) = world.backup();
    assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
    assert_eq!(report.snapshot.components[0].statistics.file_count, 506);
    let (target, counts) = world.restore("target");
    assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
    assert_eq!(describe(&target), describe(&world.source()));
    let sparse = fs::metadata(target.join("sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "the hole was filled");
    assert_eq!(world.check().findings, []);
}

#[test]
fn an_unchanged_tree_writes_no_pack() {
    let world = World::new();
    fill(&world.source());
    world.backup();
    std::thread::sleep(std::time::Duration::from_millis(2100));
    // The first run met files that had just been written; the second one knows them settled.
    world.backup();
    let (_, counts) = world.backup();
    assert_eq!(counts.progress.stored_packs.get(), 0);
    assert_eq!(counts.progress.files_unmodified.get(), 506);
    assert_eq!(Snapshots::read(&world.repository).unwrap().all.len(), 3);
}

#[test]
fn a_renamed_directory_stores_no_file_data() {
    let world = World::new();
    fill(&world.source());
    world.backup();
    fs::rename(world.source().join("deep"), world.source().join("other")).unwrap();
    let (_, counts) = world.backup();
    assert_eq!(counts.progress.new_data_bytes.get(), 0);
    let (target, _) = world.restore("target");
    assert_eq!(describe(&target), describe(&world.source()));
}

#[test]
fn listing_names_every_path() {
    let world = World::new();
    fill(&world.source());
    world.backup();
    let counts = Counts::default();
    let options = ls::Options {
        snapshot: "latest".into(),
        paths: vec![world.source().to_str().unwrap().into()],
        recursive: true,
        cache_dir: None,
    };
    let mut paths = Vec::new();
    ls::ls(&world.repository, &options, &counts.run(), &mut |path: &[u8], _: &Entry| {
        paths.push(String::from_utf8(path.to_vec()).unwrap());
        Ok(())
    })
    .unwrap();
    let source = world.source().display().to_string();
    assert!(paths.contains(&source));
    assert!(paths.contains(&format!("{source}/deep/er/file-7")));
    assert_eq!(paths.len(), 1 + describe(&world.source()).len());
}

#[test]
fn a_lost_index_segment_loses_no_file() {
    let world = World::new();
    fill(&world.source());
    world.backup();
    for entry in fs::read_dir(world.dir.path().join("repository/index")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let (target, counts) = world.restore("target");
    assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
    assert_eq!(describe(&target), describe(&world.source()));
    let findings = world.check().findings;
    assert!(findings.iter().any(|f| f.object.starts_with("index segment")), "{findings:?}");
    assert!(findings.iter().all(|f| f.affected.is_empty()), "{findings:?}");
    // The next run relies on nothing that others cannot find.
    world.backup();
    assert_eq!(describe(&world.restore("again").0), describe(&world.source()));
}

#[test]
fn a_snapshot_that_was_taken_away_is_missed() {
    let world = World::new();
    fill(&world.source());
    let (first, _) = world.backup();
    world.backup();
    let backup::Made::Snapshot(id) = first.made else { panic!("{first:?}") };
    let name = id.to_hex();
    fs::remove_file(world.dir.path().join("repository/snapshots").join(&name)).unwrap();
    let findings = world.check().findings;
    assert!(findings.iter().any(|f| f.object.contains(&name)), "{findings:?}");
}

#[test]
fn an_interrupted_init_does_not_spoil_the_place() {
    let world = World::new();
    fs::remove_dir_all(world.dir.path().join("repository/config")).unwrap();
    let location: Location = world.dir.path().join("repository").to_str().unwrap().parse().unwrap();
    let options = BackendOptions { writable: true, ..BackendOptions::default() };
    let store = backend::create(&location, &options).unwrap();
    let secret = || Secret::KeyFile(Key::new([7; 32]));
    let secrets = [(secret(), Label::default())];
    let made =
        init::init(Arc::clone(&store), &secrets, &Creation::default(), &SystemClock).unwrap();
    let opened = Repository::open(store, &mut |_| Ok(secret())).unwrap();
    assert_eq!(opened.config(), made.config());
}

#[test]
fn nothing_is_taken_over_that_only_this_host_could_find() {
    let world = World::new();
    fill(&world.source());
    std::thread::sleep(std::time::Duration::from_millis(2100));
    world.backup();
    assert_eq!(world.backup().1.progress.stored_packs.get(), 0);
    for entry in fs::read_dir(world.dir.path().join("repository/index")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    // Every file is settled and unchanged, and its packs are there; others must find them as well.
    let (report, counts) = world.backup();
    assert_eq!(counts.progress.new_data_bytes.get(), 0);
    assert!(report.notices.iter().any(|notice| notice.contains("interrupted run")), "{report:?}");
    fs::remove_dir_all(world.dir.path().join("cache")).unwrap();
    assert!(world.check().notices.iter().all(|notice| !notice.contains("headers")));
    assert_eq!(world.backup().1.progress.stored_packs.get(), 0);
}

/// Tells the time to the thread that made it, and panics in every other.
struct OneThreadClock(std::thread::ThreadId);

impl Clock for OneThreadClock {
    fn now(&self) -> crate::base::Timestamp {
        assert_eq!(std::thread::current().id(), self.0, "a helper thread breaks on purpose");
        SystemClock.now()
    }
}

#[test]
fn a_panic_in_a_helper_ends_the_run() {
    let (told, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let world = World::new();
        fill(&world.source());
        let counts = Counts::default();
        let clock = OneThreadClock(std::thread::current().id());
        let run = Run { clock: &clock, ..counts.run() };
        let options = world.backup_options(&world.source());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            backup::backup(&world.repository, &options, &run).map(|_| ())
        }));
        let snapshots = Snapshots::read(&world.repository).unwrap().all.len();
        told.send((result.is_ok_and(|r| r.is_ok()), snapshots)).unwrap();
    });
    let (succeeded, snapshots) =
        answer.recv_timeout(std::time::Duration::from_secs(60)).expect("the run hangs");
    assert!(!succeeded && snapshots == 0);
}

#[test]
fn a_backup_heals_what_a_check_found_damaged() {
    let world = World::new();
    fill(&world.source());
    world.backup();
    let mut packs = Vec::new();
    for folder in fs::read_dir(world.dir.path().join("repository/packs")).unwrap() {
        packs.extend(fs::read_dir(folder.unwrap().path()).unwrap().map(|e| e.unwrap().path()));
    }
    packs.sort_by_key(|path| fs::metadata(path).unwrap().len());
    let pack = packs.last().unwrap();
    let mut bytes = fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(pack).unwrap();
    fs::write(pack, bytes).unwrap();
    assert!(world.check().findings.iter().any(|finding| !finding.affected.is_empty()));
    let (_, counts) = world.backup();
    let new = counts.progress.new_data_chunks.get() + counts.progress.new_metadata_chunks.get();
    assert!(new > 0 && counts.progress.healed_chunks.get() == new, "{new}");
    let (target, counts) = world.restore("target");
    assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
    assert_eq!(describe(&target), describe(&world.source()));
    let (_, counts) = world.backup();
    assert_eq!(counts.progress.healed_chunks.get(), 0);
    assert!(world.check().findings.iter().all(|finding| finding.affected.is_empty()));
}
