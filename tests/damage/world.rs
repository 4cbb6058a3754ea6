//! A small repository in memory, with everything that a person can do with it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parados::backend::Backend;
use parados::backend::memory::Memory;
use parados::base::calendar::Calendar;
use parados::base::{Cancel, Clock, Error, Problems, Progress, Result, SessionId, Timestamp};
use parados::format::Suite;
use parados::format::config::{ChunkLens, PACK_LEN_MIN};
use parados::format::entry::Entry;
use parados::format::slot::Label;
use parados::ops::backup::Made;
use parados::ops::check::Finding;
use parados::ops::group::GroupBy;
use parados::ops::prune::MaxUnused;
use parados::ops::{self, Run};
use parados::repo::Repository;
use parados::repo::access::Creation;
use parados::repo::select::Filter;
use parados::seal::keys::Key;
use parados::seal::slot::Secret;
use parados::target;
use tempfile::TempDir;

/// Longest that one operation on a repository of this size may take; others keep the machine busy,
/// and what has no bound takes hours.
const PATIENCE: Duration = Duration::from_secs(120);
/// Memory that an operation is given.
const MEMORY: u64 = 256 << 20;
/// Only cases whose name contains the value of this variable run.
pub(crate) const CASE: &str = "PARADOS_TEST_CASE";

/// Every object by its name.
pub(crate) type Contents = BTreeMap<String, Bytes>;

/// The secret that opens every repository here.
pub(crate) fn secret() -> Secret {
    Secret::KeyFile(Key::new([7; 32]))
}

/// Another one that opens it.
pub(crate) fn spare() -> Secret {
    Secret::RecoveryCode(Key::new([8; 32]))
}

/// A clock of which every look is a second later.
#[derive(Default)]
pub(crate) struct Ticks(AtomicI64);

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::new(1_795_478_400 + self.0.fetch_add(1, Ordering::Relaxed), 0)
    }
}

/// Bytes that do not shrink and are the same in every run.
pub(crate) fn noise(text: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Start of the names of scratch directories.
const PREFIX: &str = "parados-damage-";

/// A scratch directory, in memory where the system has such a place: restores wait for the disk.
pub(crate) fn scratch() -> TempDir {
    let builder = tempfile::Builder::new().prefix(PREFIX).to_owned();
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).unwrap()
}

/// What a restored thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
    Other,
}

/// What is below a directory, by relative path.
pub(crate) type Look = BTreeMap<String, Thing>;

/// Looks at everything below `root`.
pub(crate) fn look(root: &Path) -> Look {
    let mut seen = Look::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            // In a race, what was listed may be gone.
            let Ok(kind) = fs::symlink_metadata(&path).map(|stat| stat.file_type()) else {
                continue;
            };
            let thing = if kind.is_dir() {
                left.push(path.clone());
                Thing::Directory
            } else if kind.is_file() {
                Thing::File(fs::read(&path).unwrap_or_default())
            } else if kind.is_symlink() {
                Thing::Link(fs::read_link(&path).unwrap_or_default())
            } else {
                Thing::Other
            };
            let below = path.strip_prefix(root).unwrap();
            seen.insert(below.to_string_lossy().into_owned(), thing);
        }
    }
    seen
}

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Snapshots,
    Ls,
    Restore,
    Check,
    Backup,
    Forget,
    Unforget,
    Prune,
    RepairIndex,
    RepairPacks,
    RepairSnapshots,
    Recover,
}

/// Those that take nothing away.
pub(crate) const OPERATIONS: [Operation; 5] =
    [Operation::Snapshots, Operation::Ls, Operation::Restore, Operation::Check, Operation::Backup];

/// All of them, in an order in which each has something to do.
pub(crate) const ALL_OPERATIONS: [Operation; 12] = [
    Operation::Snapshots,
    Operation::Ls,
    Operation::Restore,
    Operation::Check,
    Operation::Backup,
    Operation::Forget,
    Operation::Unforget,
    Operation::RepairIndex,
    Operation::RepairPacks,
    Operation::RepairSnapshots,
    Operation::Recover,
    Operation::Prune,
];

/// What an operation came to.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// What ended it.
    pub(crate) error: Option<Error>,
    /// What it told on the way.
    pub(crate) problems: Vec<String>,
    /// What `check` found.
    pub(crate) findings: Vec<Finding>,
    /// What `check` noted and called no damage.
    pub(crate) notices: Vec<String>,
    /// The snapshots that are listed, or the one that was made or came back.
    pub(crate) snapshots: Vec<SessionId>,
    /// The paths that `ls` listed.
    pub(crate) paths: Vec<String>,
    /// Snapshots of which a repair found something lost, with what they were made anew as.
    pub(crate) torn: Vec<(SessionId, Option<SessionId>)>,
    /// What is in the target of a restore.
    pub(crate) restored: Look,
}

impl Answer {
    /// Everything that was said.
    pub(crate) fn told(&self) -> String {
        let error = self.error.iter().map(Error::to_string);
        let findings = self
            .findings
            .iter()
            .map(|f| format!("{}: {} {}", f.object, f.message, f.affected.join(" ")));
        error.chain(self.problems.iter().cloned()).chain(findings).collect::<Vec<_>>().join("\n")
    }

    /// As [`Self::told`], with the ways out and without what differs from run to run.
    pub(crate) fn stable(&self) -> String {
        let hints = self.findings.iter().map(|finding| format!("hint: {}", finding.hint));
        let all = std::iter::once(self.told()).chain(hints).collect::<Vec<_>>().join("\n");
        let mut text = String::new();
        let mut digits = String::new();
        for character in all.chars().chain(['\n']) {
            if character.is_ascii_digit() || ('a'..='f').contains(&character) {
                digits.push(character);
                continue;
            }
            let is_id = digits.len() >= 8;
            text.push_str(if is_id { "<id>" } else { &digits });
            digits.clear();
            text.push(character);
        }
        // The first two digits of an id name the directory of a pack.
        let parts: Vec<&str> = text.trim_end().split("packs/").collect();
        let joined = parts.iter().enumerate().map(|(number, part)| match part.get(2..3) {
            Some("/") if number > 0 => format!("<aa>{}", &part[2..]),
            _ => (*part).to_owned(),
        });
        let joined = joined.collect::<Vec<_>>().join("packs/");
        // Where the scratch directory is, and its six random letters.
        let mut parts = joined.split(PREFIX);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text.truncate(text.rfind([' ', '\n']).map_or(0, |at| at + 1));
            text.push_str("<world>");
            text.push_str(&part[6..]);
        }
        text
    }

    /// Fails unless it ended well and told nothing.
    #[track_caller]
    pub(crate) fn clean(self) -> Self {
        assert_eq!(self.told(), "");
        self
    }
}

/// A repository in memory beside a scratch directory.
pub(crate) struct World {
    pub(crate) store: Arc<Memory>,
    /// What stands before the store for who opens it.
    pub(crate) front: Option<Arc<dyn Backend>>,
    pub(crate) scratch: Arc<TempDir>,
    target_options: target::Options,
    /// Longest that one operation may take.
    pub(crate) patience: Duration,
    /// What one host keeps; without it, every operation is of a host of its own.
    pub(crate) cache_dir: Option<PathBuf>,
}

impl World {
    /// A new repository without a snapshot, of the smallest packs that the format permits.
    pub(crate) fn new() -> Self {
        let world = Self::over(&Contents::new(), &Arc::new(scratch()));
        let creation = Creation {
            suite: Some(Suite::ChaCha20Poly1305),
            chunker: ChunkLens { min: 64, avg: 256, max: 16 << 10 },
            pack_len: PACK_LEN_MIN,
            ..Creation::default()
        };
        let secrets = [(secret(), Label::default()), (spare(), Label::default())];
        let backend = Arc::clone(&world.store) as Arc<dyn Backend>;
        ops::init::init(backend, &secrets, &creation, &Ticks::default()).unwrap();
        fs::create_dir(world.at("source")).unwrap();
        world
    }

    /// A repository of these objects.
    pub(crate) fn over(contents: &Contents, scratch: &Arc<TempDir>) -> Self {
        let store = Memory::new("damage", Arc::new(Ticks::default()));
        contents.iter().for_each(|(name, bytes)| store.plant(name, bytes.clone()));
        let target_options =
            target::Options { owner: false, numeric_ids: true, xattrs: false, special: false };
        let scratch = Arc::clone(scratch);
        Self { store, front: None, scratch, target_options, patience: PATIENCE, cache_dir: None }
    }

    /// A path in the scratch directory.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.scratch.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.at("source").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Puts a few files, links and directories into the source.
    pub(crate) fn fill(&self) {
        self.write("hello.txt", "hello\n");
        self.write("empty", "");
        self.write("one.bin", noise("one", 9000));
        self.write("dir/two.bin", noise("two", 3000));
        self.write("dir/text", "nothing here compresses less than this\n".repeat(50));
        symlink("../hello.txt", self.at("source/dir/link")).unwrap();
        fs::hard_link(self.at("source/hello.txt"), self.at("source/dir/again")).unwrap();
    }

    pub(crate) fn open(&self) -> Result<Arc<Repository>> {
        self.open_with(secret)
    }

    pub(crate) fn open_with(&self, secret: impl Fn() -> Secret) -> Result<Arc<Repository>> {
        let store = || Arc::clone(&self.store) as Arc<dyn Backend>;
        let backend = self.front.clone().unwrap_or_else(store);
        Repository::open(backend, &mut |_| Ok(secret())).map(Arc::new)
    }

    /// Runs `operation`, of which some are about the snapshot `id`.
    pub(crate) fn run(&self, operation: Operation, id: SessionId) -> Answer {
        let (problems, progress) = (Problems::default(), Progress::default());
        let cancel = Cancel::default();
        let clock = Ticks::default();
        let run = Run { clock: &clock, problems: &problems, progress: &progress, cancel: &cancel };
        let started = Instant::now();
        let mut answer = Answer::default();
        let result = self.open().and_then(|repository| match operation {
            Operation::Snapshots => {
                let options = ops::snapshots::Options::default();
                let found = ops::snapshots::snapshots(&repository, &options, &run)?;
                let all = found.groups.iter().flat_map(|(_, committed)| committed);
                answer.snapshots = all.map(|committed| committed.id).collect();
                Ok(())
            }
            Operation::Ls => self.ls(&repository, id, &run, &mut answer),
            Operation::Restore => self.restore(&repository, id, &run, &mut answer),
            Operation::Check => {
                let options = ops::check::Options {
                    depth: ops::check::Depth::Data(ops::check::Subset::All),
                    cache_dir: self.cache_dir.clone(),
                    max_memory: MEMORY,
                };
                let report = ops::check::check(&repository, &options, &run)?;
                (answer.findings, answer.notices) = (report.findings, report.notices);
                Ok(())
            }
            Operation::Backup => {
                let report = ops::backup::backup(&repository, &self.backup_options(), &run)?;
                if let Made::Snapshot(id) = report.made {
                    answer.snapshots.push(id);
                }
                Ok(())
            }
            Operation::Forget => ops::forget::forget(&repository, &forgetting(id), &run).map(drop),
            Operation::Unforget => {
                let options = ops::unforget::Options {
                    words: vec![id.to_hex()],
                    cache_dir: self.cache_dir.clone(),
                    scratch_dir: std::env::temp_dir(),
                    max_memory: MEMORY,
                };
                let report = ops::unforget::unforget(&repository, &options, &run)?;
                answer.snapshots.extend(report.back.iter().map(|(_, new)| new.id));
                Ok(())
            }
            Operation::Prune => {
                ops::prune::prune(&repository, &self.prune_options(), &run).map(drop)
            }
            Operation::RepairIndex => {
                let options =
                    ops::repair::index::Options { apply: true, cache_dir: self.cache_dir.clone() };
                ops::repair::index::repair(&repository, &options, &run).map(drop)
            }
            Operation::RepairPacks => {
                let options = ops::repair::packs::Options {
                    packs: Vec::new(),
                    apply: true,
                    cache_dir: self.cache_dir.clone(),
                };
                ops::repair::packs::repair(&repository, &options, &run).map(drop)
            }
            Operation::RepairSnapshots => {
                let options = ops::repair::snapshots::Options {
                    words: Vec::new(),
                    filter: Filter::default(),
                    apply: true,
                    forget: true,
                    cache_dir: self.cache_dir.clone(),
                    scratch_dir: self.scratch.path().to_owned(),
                    max_memory: MEMORY,
                };
                let report = ops::repair::snapshots::repair(&repository, &options, &run)?;
                let torn = report.torn.iter();
                let torn = torn.map(|torn| (torn.old.id, torn.new.as_ref().map(|new| new.id)));
                answer.torn = torn.collect();
                Ok(())
            }
            Operation::Recover => {
                let options = ops::recover::Options {
                    apply: true,
                    host: "host".into(),
                    user: "user".into(),
                    program: "test".into(),
                    cache_dir: self.cache_dir.clone(),
                    scratch_dir: self.scratch.path().to_owned(),
                    max_memory: MEMORY,
                };
                let report = ops::recover::recover(&repository, &options, &run)?;
                answer.snapshots.extend(report.made.map(|made| made.id));
                Ok(())
            }
        });
        answer.error = result.err();
        answer.problems = problems.take().iter().map(Error::to_string).collect();
        assert!(started.elapsed() < self.patience, "{operation:?} took {:?}", started.elapsed());
        answer
    }

    fn ls(
        &self,
        repository: &Arc<Repository>,
        id: SessionId,
        run: &Run<'_>,
        answer: &mut Answer,
    ) -> Result<()> {
        let options = ops::ls::Options {
            snapshot: id.to_hex().into(),
            paths: Vec::new(),
            recursive: true,
            cache_dir: self.cache_dir.clone(),
        };
        ops::ls::ls(repository, &options, run, &mut |path: &[u8], _: &Entry| {
            answer.paths.push(String::from_utf8_lossy(path).into_owned());
            Ok(())
        })
        .map(drop)
    }

    fn restore(
        &self,
        repository: &Arc<Repository>,
        id: SessionId,
        run: &Run<'_>,
        answer: &mut Answer,
    ) -> Result<()> {
        let options = self.restore_options(id);
        let result = ops::restore::restore(repository, &options, run).map(drop);
        answer.restored = look(&options.target);
        // Gone before the next one; a test that plants something does so before it restores.
        let _absent = fs::remove_dir_all(&options.target);
        result
    }

    /// Restores in another way than usual, to a target that stays.
    pub(crate) fn restore_as(
        &self,
        id: SessionId,
        change: impl FnOnce(&mut ops::restore::Options),
    ) -> Answer {
        let mut options = self.restore_options(id);
        change(&mut options);
        let (problems, progress) = (Problems::default(), Progress::default());
        let (cancel, clock) = (Cancel::default(), Ticks::default());
        let run = Run { clock: &clock, problems: &problems, progress: &progress, cancel: &cancel };
        let started = Instant::now();
        let result = self.open().and_then(|r| ops::restore::restore(&r, &options, &run));
        assert!(started.elapsed() < self.patience, "it took {:?}", started.elapsed());
        Answer {
            error: result.err(),
            problems: problems.take().iter().map(Error::to_string).collect(),
            restored: look(&options.target),
            ..Answer::default()
        }
    }

    fn restore_options(&self, id: SessionId) -> ops::restore::Options {
        ops::restore::Options {
            snapshot: id.to_hex().into(),
            target_options: self.target_options,
            cache_dir: self.cache_dir.clone(),
            ..ops::restore::Options::new(self.at("target"))
        }
    }

    /// Deletes at once whatever it may, and empties every pack that holds anything needless.
    fn prune_options(&self) -> ops::prune::Options {
        ops::prune::Options {
            grace: 0,
            max_unused: MaxUnused::Bytes(0),
            max_moved: u64::MAX,
            exclusive: false,
            dry_run: false,
            cache_dir: self.cache_dir.clone(),
            scratch_dir: self.scratch.path().to_owned(),
            max_memory: MEMORY,
        }
    }

    fn backup_options(&self) -> ops::backup::Options {
        ops::backup::Options {
            sources: vec![self.at("source")],
            host: "host".into(),
            user: "user".into(),
            max_memory: MEMORY,
            read_concurrency: 2,
            program: "test".into(),
            cache_dir: self.cache_dir.clone(),
            ..ops::backup::Options::default()
        }
    }

    /// Makes a snapshot of the source, of which all is well.
    #[track_caller]
    pub(crate) fn backup(&self) -> SessionId {
        self.run(Operation::Backup, SessionId::new([0; 32])).clean().snapshots[0]
    }

    /// The part of what was restored that came from the source.
    pub(crate) fn of_source(&self, restored: &Look) -> Look {
        let top = self.at("source").strip_prefix("/").unwrap().to_string_lossy().into_owned() + "/";
        let below = |(path, thing): (&String, &Thing)| {
            Some((path.strip_prefix(&top)?.to_owned(), thing.clone()))
        };
        restored.iter().filter_map(below).collect()
    }
}

/// Forgets this snapshot, whatever is left.
fn forgetting(id: SessionId) -> ops::forget::Options {
    ops::forget::Options {
        words: vec![id.to_hex()],
        filter: Filter::default(),
        policy: ops::forget::policy::Policy::default(),
        group_by: GroupBy::default(),
        calendar: Calendar::utc(),
        allow_all: true,
        dry_run: false,
    }
}

/// Bytes of memory that this process had at most, all tests in it together.
pub(crate) fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Says past the runner, which keeps what a test prints, why a test did not run.
pub(crate) fn skip(test: &str, why: &str) {
    let line = format!("SKIPPED: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// A case that is told when the test fails in it.
pub(crate) struct Case(pub(crate) String);

impl Case {
    /// The case `name`, unless another one was asked for.
    pub(crate) fn begin(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let wanted = std::env::var(CASE).unwrap_or_default();
        name.contains(&wanted).then_some(Self(name))
    }
}

impl Drop for Case {
    #[expect(clippy::print_stderr, reason = "the runner shows it with the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the case: {CASE}='{}' cargo test --test damage", self.0);
        }
    }
}
