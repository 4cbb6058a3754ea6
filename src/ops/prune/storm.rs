//! Writers, prunes, restores and forgetting, all at once on one repository and killed anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::tests::{forgetting, restoring};
use super::*;
use crate::backend::Backend;
use crate::backend::memory::Memory;
use crate::backend::with::mortal::Mortal;
use crate::base::{SessionId, SystemClock};
use crate::format::config::{ChunkLens, PACK_LEN_MIN};
use crate::format::slot::Label;
use crate::format::wire::Cursor;
use crate::ops::backup::{Made, Options as BackupOptions, backup};
use crate::ops::check;
use crate::ops::tests::{Counts, noise};
use crate::ops::{forget, init, restore};
use crate::repo::access::Creation;
use crate::seal::keys::Key;
use crate::seal::slot::Secret;

/// How long it lasts, unless the variable of that name says more, in seconds.
const SECONDS: u64 = 8;
const VARIABLE: &str = "PARADOS_PRUNE_STORM_SECONDS";
const WRITER_COUNT: u64 = 3;
const PRUNE_COUNT: usize = 2;
/// Files of a writer, and different contents that any of them may have.
const FILE_COUNT: u64 = 6;
const CONTENT_COUNT: u64 = 40;
/// Most requests that a client answers before it is killed; a backup or a prune makes some dozens.
const LIFE_MAX: u64 = 150;

type Tree = BTreeMap<String, u64>;

/// What was acknowledged, and not forgotten since.
#[derive(Default)]
struct Model {
    kept: BTreeMap<SessionId, (Tree, String)>,
    acknowledged: u64,
}

struct Scene {
    backend: Arc<Memory>,
    dir: tempfile::TempDir,
    model: Mutex<Model>,
    is_over: AtomicBool,
    next: AtomicU64,
    killed: AtomicU64,
    is_calm: AtomicBool,
}

fn secret() -> Secret {
    Secret::KeyFile(Key::new([7; 32]))
}

impl Scene {
    fn new() -> Self {
        let backend = Memory::new("prune-storm", Arc::new(SystemClock));
        let creation = Creation {
            chunker: ChunkLens { min: 64, avg: 256, max: 16 << 10 },
            pack_len: PACK_LEN_MIN,
            ..Creation::default()
        };
        let secrets = [(secret(), Label::default())];
        init::init(backend.clone(), &secrets, &creation, &SystemClock).unwrap();
        let builder = tempfile::Builder::new().prefix("parados-prune-").to_owned();
        let dir = builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).unwrap();
        Self {
            backend,
            dir,
            model: Mutex::default(),
            is_over: AtomicBool::new(false),
            next: AtomicU64::new(1),
            killed: AtomicU64::new(0),
            is_calm: AtomicBool::new(false),
        }
    }

    /// A client of its own.
    fn open(&self) -> Arc<Repository> {
        let backend = Arc::clone(&self.backend) as Arc<dyn Backend>;
        Arc::new(Repository::open(backend, &mut |_| Ok(secret())).unwrap())
    }

    /// Does something as a client of its own, which one time in three is killed at some request.
    /// Nothing is said of what a killed client was told.
    fn as_client<T>(&self, work: impl Fn(&Arc<Repository>) -> T) -> Option<T> {
        let backend = Arc::clone(&self.backend) as Arc<dyn Backend>;
        let life = match self.random() % 3 {
            0 if !self.is_calm.load(Ordering::Relaxed) => self.random() % LIFE_MAX,
            _ => u64::from(u32::MAX),
        };
        let mortal = Mortal::new(backend, life, self.random().is_multiple_of(2));
        let opened = Repository::open(Arc::clone(&mortal) as _, &mut |_| Ok(secret()));
        let done = match opened {
            Ok(repository) => Some(work(&Arc::new(repository))),
            Err(error) if mortal.is_dead() => {
                drop(error);
                None
            }
            Err(error) => panic!("{error}"),
        };
        self.killed.fetch_add(u64::from(mortal.is_dead()), Ordering::Relaxed);
        done.filter(|_| !mortal.is_dead())
    }

    fn random(&self) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Cursor::new(blake3::hash(&number.to_le_bytes()).as_bytes()).u64().unwrap()
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn write(&self, writer: u64) {
        let source = self.dir.path().join(format!("source-{writer}"));
        fs::create_dir_all(&source).unwrap();
        let mut tree = Tree::new();
        while self.goes_on() {
            for _ in 0..2 {
                let (file, content) = (self.random() % FILE_COUNT, self.random() % CONTENT_COUNT);
                let name = format!("file-{file}");
                let len = 500 + content as usize * 400;
                fs::write(source.join(&name), noise(content, len)).unwrap();
                tree.insert(name, content);
            }
            // Another client each time, with and without what the last one knew.
            let keeps = self.random().is_multiple_of(2);
            let counts = Counts::default();
            let options = BackupOptions {
                sources: vec![source.clone()],
                host: format!("host-{writer}"),
                cache_dir: keeps.then(|| self.dir.path().join(format!("cache-{writer}"))),
                ..BackupOptions::default()
            };
            match self.as_client(|repository| backup(repository, &options, &counts.run())) {
                None => {}
                Some(Ok(report)) => {
                    assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
                    let Made::Snapshot(id) = report.made else { panic!("{:?}", report.made) };
                    let mut model = self.model.lock().unwrap();
                    model.acknowledged += 1;
                    let place = source.to_str().unwrap().to_owned();
                    model.kept.insert(id, (tree.clone(), place));
                }
                Some(Err(error)) => assert_eq!(error.kind, ErrorKind::Busy, "{error}"),
            }
        }
    }

    fn prune(&self, no: usize) -> Report {
        let options = Options {
            grace: 0,
            max_unused: MaxUnused::Bytes(0),
            max_moved: u64::MAX,
            exclusive: false,
            dry_run: false,
            cache_dir: self
                .random()
                .is_multiple_of(2)
                .then(|| self.dir.path().join(format!("cache-of-prune-{no}"))),
            scratch_dir: self.dir.path().to_path_buf(),
            max_memory: 64 << 20,
        };
        let counts = Counts::default();
        match self.as_client(|repository| prune(repository, &options, &counts.run())) {
            None => Report::default(),
            Some(Ok(report)) => {
                assert_eq!(counts.problems.count(), 0, "{:?}", counts.problems.take());
                report
            }
            Some(Err(error)) => {
                assert_eq!(error.kind, ErrorKind::Busy, "{error} {:?}", error.source);
                Report::default()
            }
        }
    }

    fn pick(&self) -> Option<(SessionId, Tree, String)> {
        let model = self.model.lock().unwrap();
        let count = model.kept.len().max(1) as u64;
        let chosen = (self.random() % count) as usize;
        model.kept.iter().nth(chosen).map(|(id, (tree, place))| (*id, tree.clone(), place.clone()))
    }

    fn forget(&self) {
        let Some((id, ..)) = self.pick() else { return };
        // Before it is: whoever restores it meanwhile may find it or not.
        self.model.lock().unwrap().kept.remove(&id);
        let options = forgetting(&[id]);
        let forgotten = self
            .as_client(|repository| forget::forget(repository, &options, &Counts::default().run()));
        drop(forgotten.transpose().unwrap());
    }

    /// Restores a snapshot; what is wrong with it.
    fn restored(&self, id: SessionId, tree: &Tree, place: &str) -> Result<(), String> {
        let target = self.dir.path().join(format!("restored-{}", self.random()));
        let counts = Counts::default();
        let options = restoring(id, place, &target);
        let result = restore::restore(&self.open(), &options, &counts.run());
        let told =
            result.map_err(|error| format!("{error} {:?}", error.source)).and_then(
                |_| match counts.problems.take() {
                    none if none.is_empty() => Ok(()),
                    problems => Err(format!("{problems:?}")),
                },
            );
        let compared = told.and_then(|()| compare(&target, tree));
        fs::remove_dir_all(&target).ok();
        compared
    }

    fn restore(&self) {
        let Some((id, tree, place)) = self.pick() else { return };
        if let Err(fault) = self.restored(id, &tree, &place) {
            let is_kept = self.model.lock().unwrap().kept.contains_key(&id);
            assert!(!is_kept, "snapshot {id}: {fault}");
        }
    }
}

fn compare(target: &Path, tree: &Tree) -> Result<(), String> {
    for (name, content) in tree {
        let expect = noise(*content, 500 + *content as usize * 400);
        if fs::read(target.join(name)).map_err(|error| error.to_string())? != expect {
            return Err(format!("{name} differs"));
        }
    }
    Ok(())
}

#[test]
fn nothing_that_is_kept_is_lost_whoever_runs_beside_it() {
    let seconds = std::env::var(VARIABLE).map_or(SECONDS, |text| text.parse().unwrap());
    let scene = Scene::new();
    let deleted = AtomicU64::new(0);
    let ended = Instant::now() + Duration::from_secs(seconds);
    thread::scope(|threads| {
        let scene = &scene;
        // Whoever panics ends it for all.
        let guard = |work: &dyn Fn()| {
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            if let Err(panic) = result {
                scene.is_over.store(true, Ordering::Relaxed);
                std::panic::resume_unwind(panic);
            }
        };
        for writer in 0..WRITER_COUNT {
            threads.spawn(move || guard(&|| scene.write(writer)));
        }
        for no in 0..PRUNE_COUNT {
            let deleted = &deleted;
            threads.spawn(move || {
                guard(&|| {
                    while scene.goes_on() {
                        deleted.fetch_add(scene.prune(no).deleted_packs, Ordering::Relaxed);
                    }
                });
            });
        }
        threads.spawn(move || {
            guard(&|| {
                while scene.goes_on() {
                    if scene.model.lock().unwrap().kept.len() > 4 {
                        scene.forget();
                    }
                    thread::sleep(Duration::from_millis(5));
                }
            });
        });
        threads.spawn(move || {
            guard(&|| {
                while scene.goes_on() {
                    scene.restore();
                }
            });
        });
        while scene.goes_on() && Instant::now() < ended {
            thread::sleep(Duration::from_millis(20));
        }
        scene.is_over.store(true, Ordering::Relaxed);
    });
    let kept = std::mem::take(&mut scene.model.lock().unwrap().kept);
    for (id, (tree, place)) in &kept {
        scene.restored(*id, tree, place).unwrap_or_else(|fault| panic!("snapshot {id}: {fault}"));
    }
    // Once it is calm and nobody is killed any more, what nobody needs goes within three prunes.
    scene.is_calm.store(true, Ordering::Relaxed);
    for no in 0..3 {
        scene.prune(no);
    }
    let last = scene.prune(0);
    assert_eq!((last.deleted_packs, last.moved_bytes), (0, 0), "{last:?}");
    let options = check::Options {
        depth: check::Depth::Data(check::Subset::All),
        cache_dir: None,
        max_memory: 64 << 20,
    };
    let report = check::check(&scene.open(), &options, &Counts::default().run()).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    let rounds = rounds::read(&scene.open()).unwrap();
    let acknowledged = scene.model.lock().unwrap().acknowledged;
    let decided = rounds.last().map_or(0, |round| round.number);
    let deleted = deleted.into_inner();
    assert!(decided > 2 && deleted > 10, "{decided} rounds, {deleted} packs");
    let line = format!(
        "prune storm: {acknowledged} snapshots, {} kept, {decided} generations, {deleted} packs \
         deleted, {} clients killed\n",
        kept.len(),
        scene.killed.load(Ordering::Relaxed)
    );
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
}
