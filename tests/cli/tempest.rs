//! Writers, prunes and restores on one repository, all at once, a part of them killed at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::moto::Moto;
use crate::world::{Answer, World, look, noise, skip};

/// How long it lasts in seconds, unless the variable of that name says more.
const SECONDS: u64 = 12;
const VARIABLE: &str = "PARADOS_TEMPEST_SECONDS";
/// So many times as long it may last until there was enough to see, on a busy machine.
const PATIENCE: u32 = 10;
/// From here on many rounds are expected.
const LONG_SECONDS: u64 = 300;
const WRITER_COUNT: usize = 4;
const PRUNE_COUNT: usize = 2;
/// Of a hundred processes so many are killed.
const KILLED: u32 = 35;
/// Files of a writer, and different contents, which all writers share.
const FILE_COUNT: usize = 12;
const CONTENT_COUNT: usize = 300;
/// Snapshots of which older ones are forgotten.
const KEPT_COUNT: usize = 8;
/// Prunes after which nothing is left that nobody needs.
const LAST_PRUNE_COUNT: usize = 3;

/// Deletes all it can, at once.
const PRUNE: [&str; 6] = ["prune", "--grace", "0", "--max-unused", "0", "--json"];

type Tree = BTreeMap<PathBuf, String>;

/// Snapshots that were acknowledged and are not to be forgotten.
#[derive(Default)]
struct Kept {
    snapshots: BTreeMap<String, (PathBuf, Tree)>,
    /// Those being restored, which nobody forgets meanwhile.
    in_use: BTreeSet<String>,
}

#[derive(Default)]
struct Counts {
    acknowledged: AtomicU64,
    restored: AtomicU64,
    forgotten: AtomicU64,
    prunes: AtomicU64,
    /// Prunes that deleted something and lived to tell.
    deletions: AtomicU64,
    deleted_packs: AtomicU64,
    killed: AtomicU64,
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

struct Scene {
    world: World,
    kept: Mutex<Kept>,
    counts: Counts,
    is_over: AtomicBool,
}

/// One who starts processes, one after the other.
struct Actor<'a> {
    scene: &'a Scene,
    dice: Dice,
    /// Arguments that name its cache.
    cache: [String; 2],
    /// How long its processes take when nobody kills them, by command.
    pace: BTreeMap<String, Duration>,
}

impl Scene {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    fn actor(&self, number: usize) -> Actor<'_> {
        // The first two share a cache, the others have one each.
        let cache = ["--cache-dir".to_owned(), format!("cache-{}", number.saturating_sub(1))];
        Actor { scene: self, dice: Dice::new(number as u64), cache, pace: BTreeMap::new() }
    }

    /// What must hold when nobody runs any more.
    fn inspect(&self) {
        for _ in 0..LAST_PRUNE_COUNT {
            self.world.ok(&PRUNE);
        }
        let last = self.world.ok(&PRUNE).json().pop().unwrap();
        assert_eq!(last["packs_deleted"], 0, "{last}");
        let checked = self.world.ok(&["check", "--read-data"]);
        assert!(checked.out.contains("no errors were found"), "{}{}", checked.out, checked.err);
        let kept = self.kept();
        for (id, (source, tree)) in &kept.snapshots {
            let (answer, back) = self.restored(id, source);
            assert!(answer.code == 0 && back.as_ref() == Some(tree), "{id}: {}", answer.err);
        }
    }

    /// Restores a snapshot; what came back.
    fn restored(&self, id: &str, source: &Path) -> (Answer, Option<Tree>) {
        let target = self.world.at("back");
        let answer = self.world.run(&["restore", id, "--target", "back"]);
        let inner = target.join(source.strip_prefix("/").unwrap());
        let tree = inner.exists().then(|| look(&inner));
        let _absent = fs::remove_dir_all(&target);
        (answer, tree)
    }
}

impl Actor<'_> {
    /// Runs a command, or kills it at some moment of its usual time; what it answered, if it lived.
    fn run(&mut self, words: &[&str]) -> Option<Answer> {
        let command = words[0].to_owned();
        let usual = self.pace.get(&command).copied();
        let moment = match usual {
            Some(usual) if self.dice.falls(KILLED) => usual.mul_f64(self.dice.throw()),
            _ => Duration::MAX,
        };
        let mut child = self.scene.world.command(words).args(&self.cache).spawn().unwrap();
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() && started.elapsed() < moment {
            thread::sleep(Duration::from_millis(1));
        }
        let elapsed = started.elapsed();
        // SIGKILL; of no effect on one that has ended.
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.code().is_none() {
            add(&self.scene.counts.killed, 1);
            return None;
        }
        self.pace.insert(command, elapsed);
        let answer = Answer::of(output);
        assert!(!answer.err.contains("this is a bug"), "{}", answer.err);
        Some(answer)
    }

    /// Changes files, backs them up, and now and then forgets an old snapshot.
    fn write(&mut self, writer: usize) {
        let source = format!("source-{writer}");
        let path = self.scene.world.at(&source);
        for _ in 0..3 {
            let content = self.dice.below(CONTENT_COUNT);
            let len = 4_000 + 300 * content;
            let name = format!("{source}/{}", self.dice.below(FILE_COUNT));
            self.scene.world.write(&name, noise(content as u64, len));
        }
        let tree = look(&path);
        let host = format!("host-{writer}");
        let words = ["backup", &source, "--json", "--host", &host];
        if let Some(answer) = self.run(&words) {
            assert_eq!(answer.code, 0, "backup: {}{}", answer.out, answer.err);
            add(&self.scene.counts.acknowledged, 1);
            self.scene.kept().snapshots.insert(answer.snapshot_id(), (path, tree));
        }
        let Some(old) = self.choose_old() else { return };
        if let Some(answer) = self.run(&["forget", &old]) {
            assert_eq!(answer.code, 0, "forget: {}{}", answer.out, answer.err);
            add(&self.scene.counts.forgotten, 1);
        }
    }

    /// One that may be forgotten from here on. Who is killed while forgetting has done so or not.
    fn choose_old(&mut self) -> Option<String> {
        let mut kept = self.scene.kept();
        if kept.snapshots.len() <= KEPT_COUNT {
            return None;
        }
        let free: Vec<&String> =
            kept.snapshots.keys().filter(|id| !kept.in_use.contains(*id)).collect();
        let old = free.get(self.dice.below(free.len()))?.to_string();
        kept.snapshots.remove(&old);
        Some(old)
    }

    fn prune(&mut self) {
        let Some(answer) = self.run(&PRUNE) else { return };
        assert_eq!(answer.code, 0, "prune: {}{}", answer.out, answer.err);
        // Notices come before the result.
        let result = answer.json().pop().unwrap();
        let deleted = result["packs_deleted"].as_u64().unwrap();
        add(&self.scene.counts.prunes, 1);
        add(&self.scene.counts.deletions, u64::from(deleted > 0));
        add(&self.scene.counts.deleted_packs, deleted);
    }

    fn restore(&mut self) {
        let (id, source, tree) = {
            let mut kept = self.scene.kept();
            let chosen = self.dice.below(kept.snapshots.len().max(1));
            let found = kept.snapshots.iter().nth(chosen);
            let Some((id, (source, tree))) = found.map(|(id, kept)| (id.clone(), kept.clone()))
            else {
                drop(kept);
                return thread::sleep(Duration::from_millis(20));
            };
            kept.in_use.insert(id.clone());
            (id, source, tree)
        };
        let (answer, back) = self.scene.restored(&id, &source);
        assert_eq!(answer.code, 0, "restore {id}: {}{}", answer.out, answer.err);
        assert!(back == Some(tree), "the snapshot {id} is not what was backed up");
        add(&self.scene.counts.restored, 1);
        self.scene.kept().in_use.remove(&id);
    }
}

/// Plays it on a repository; rounds are counted by `decided`, and there are at least so many, with so
/// many packs deleted.
fn play(
    world: World,
    seconds: u64,
    least: (u64, u64),
    decided: impl Fn(&World, &Counts) -> u64 + Sync,
) {
    let scene = Scene {
        world,
        kept: Mutex::default(),
        counts: Counts::default(),
        is_over: AtomicBool::new(false),
    };
    let started = Instant::now();
    let lasts = Duration::from_secs(seconds);
    let goes_on = || {
        let has_enough = decided(&scene.world, &scene.counts) >= least.0
            && get(&scene.counts.deleted_packs) >= least.1
            && get(&scene.counts.killed) > 0;
        let patience = if has_enough { lasts } else { lasts * PATIENCE };
        scene.goes_on() && started.elapsed() < patience
    };
    // Whoever fails ends it for all.
    let repeat = |work: &mut dyn FnMut()| {
        let all = || {
            while goes_on() {
                work();
            }
        };
        if let Err(failure) = catch_unwind(AssertUnwindSafe(all)) {
            scene.is_over.store(true, Ordering::Relaxed);
            resume_unwind(failure);
        }
    };
    let (scene_of_all, repeat) = (&scene, &repeat);
    thread::scope(|threads| {
        for writer in 0..WRITER_COUNT {
            threads.spawn(move || {
                let mut actor = scene_of_all.actor(writer);
                repeat(&mut || actor.write(writer));
            });
        }
        for number in 0..PRUNE_COUNT {
            threads.spawn(move || {
                let mut actor = scene_of_all.actor(WRITER_COUNT + number);
                repeat(&mut || actor.prune());
            });
        }
        threads.spawn(move || {
            let mut actor = scene_of_all.actor(WRITER_COUNT + PRUNE_COUNT);
            repeat(&mut || actor.restore());
        });
    });
    scene.inspect();
    let Scene { world, kept, counts, .. } = &scene;
    let rounds = decided(world, counts);
    let deleted = get(&counts.deleted_packs);
    let line = format!(
        "tempest: {} s, {} snapshots, {} forgotten, {} kept, {} restored, {} processes killed, \
         {} prunes, {rounds} rounds, {deleted} packs deleted\n",
        started.elapsed().as_secs(),
        get(&counts.acknowledged),
        get(&counts.forgotten),
        kept.lock().unwrap().snapshots.len(),
        get(&counts.restored),
        get(&counts.killed),
        get(&counts.prunes),
    );
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    assert!(rounds >= least.0 && deleted >= least.1 && get(&counts.killed) > 0, "{line}");
}

fn seconds() -> u64 {
    std::env::var(VARIABLE).map_or(SECONDS, |text| text.parse().unwrap())
}

#[test]
fn nothing_that_is_kept_is_lost_in_a_tempest() {
    let world = World::with_repository_at(None, &["--pack-size", "64K"]);
    let least = if seconds() >= LONG_SECONDS { (20, 500) } else { (1, 1) };
    play(world, seconds(), least, |world, _| {
        let rounds = fs::read_dir(world.at("repository/gc")).into_iter().flatten();
        let numbers = rounds.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        numbers.map(|number| number.parse().unwrap()).max().unwrap_or(0)
    });
}

#[test]
fn nothing_that_is_kept_is_lost_in_a_tempest_on_s3() {
    let moto = match Moto::start() {
        Ok(moto) => moto,
        Err(why) => return skip("nothing_that_is_kept_is_lost_in_a_tempest_on_s3", why),
    };
    moto.make_bucket("bucket");
    let mut world = World::new();
    for (name, value) in [
        ("AWS_ENDPOINT", format!("http://127.0.0.1:{}", moto.port)),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("PARADOS_REPOSITORY", "s3://bucket/tempest".to_owned()),
    ] {
        world.set(name, value);
    }
    world.set("PARADOS_KEY_FILE", world.at("key"));
    world.ok(&["init", "--no-recovery-code", "--pack-size", "64K"]);
    // Moto takes some milliseconds for a request, and there are thousands. Prunes that were killed after
    // they decided are not counted.
    play(world, seconds() / 2, (1, 1), |_, counts| get(&counts.deletions));
}
