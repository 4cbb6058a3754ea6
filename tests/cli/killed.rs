//! Processes that are killed at any moment, on a repository of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::world::{Answer, World, look, noise};

/// Kills of a run, unless the variable of that name says more.
const KILL_COUNT: u32 = 50;
const VARIABLE: &str = "PARADOS_KILLS";
/// What decides over the moments; another number in this variable makes other moments.
const SEED_VARIABLE: &str = "PARADOS_SEED";
/// Repositories at the same time. A process that is slowed down leaves the processor to another.
const LANE_COUNT: u32 = 2;
/// What slows most of them down as a store far away would, so that they spend their time between
/// the first object and the last also where everything else takes longer than usual.
const SLOW_BACKUP: [&str; 2] = ["--limit-upload", "2000"];
const SLOW_PRUNE: [&str; 2] = ["--limit-requests", "150"];
/// Each moment lies so much of the whole time behind the one before, and so they are spread evenly.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
/// Small packs, so that there are many objects to be killed between.
const PACK_SIZE: &str = "64K";
/// Files of the source beside the large one.
const SMALL_COUNT: u64 = 24;
/// Ages after which a temporary file or a trial is a leftover, and a root without decision is given
/// up, as `docs/protocol.md` says; with an hour more.
const A_DAY: Duration = Duration::from_secs(25 * 60 * 60);
const TWO_WEEKS: Duration = Duration::from_secs((14 * 24 + 1) * 60 * 60);

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Backup,
    Prune,
    Forget,
}

/// Where the kill fell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fell {
    /// Before the first object was created or deleted.
    Before,
    /// After the first and before the last one.
    Between,
    /// After the last one, or the process had ended by itself.
    After,
}

type Histogram = BTreeMap<(Victim, Fell), u32>;
type Tree = BTreeMap<PathBuf, String>;

/// A repository with what must be in it.
struct Site {
    world: World,
    dice: Dice,
    /// Trees of the snapshots that were acknowledged or seen, and not forgotten.
    known: BTreeMap<String, Tree>,
    /// How long each takes when nobody kills it; slowed down in which way.
    pace: BTreeMap<(Victim, Vec<&'static str>), Duration>,
    /// The last moment, as a share of the whole time.
    share: f64,
    histogram: Histogram,
}

impl Site {
    fn new(seed: u64) -> Self {
        let world = World::with_repository_at(None, &["--pack-size", PACK_SIZE]);
        let dice = Dice::new(seed);
        let mut site = Self {
            world,
            dice,
            known: BTreeMap::new(),
            // There are too few to time the first one.
            pace: BTreeMap::from([((Victim::Forget, Vec::new()), Duration::from_millis(100))]),
            share: 0.0,
            histogram: Histogram::new(),
        };
        for number in 0..SMALL_COUNT {
            site.world.write(&format!("source/{number}"), noise(number, 30_000));
        }
        site.backup();
        site
    }

    /// One kill and everything that must hold after it.
    fn round(&mut self, number: u32) {
        let victim = match number % 20 {
            3 | 8 | 13 | 18 => Victim::Prune,
            // It has one object, and nothing between the first and the last.
            6 => Victim::Forget,
            _ => Victim::Backup,
        };
        let how = match (victim, number % 8) {
            (Victim::Forget, _) | (_, 7) => vec![],
            (Victim::Backup, way) => {
                [&SLOW_BACKUP[..], &["--no-cache"][..way as usize % 2]].concat()
            }
            (Victim::Prune, way) => [&SLOW_PRUNE[..], &["--no-cache"][..way as usize % 2]].concat(),
        };
        if victim == Victim::Prune {
            self.forget_old();
        }
        self.change_source();
        let mut doomed = None;
        let mut words = match victim {
            Victim::Backup => vec!["backup", "source", "--json"],
            Victim::Prune => vec!["prune", "--grace", "0", "--max-unused", "0"],
            Victim::Forget => {
                self.backup();
                doomed = self.known.pop_first();
                vec!["forget", &doomed.as_ref().unwrap().0]
            }
        };
        words.extend(&how);
        let fell = self.kill(victim, how, &words);
        let listed = self.listed();
        match doomed {
            // Nobody was told that it was forgotten.
            Some((id, tree)) if listed.contains(&id) => {
                assert_eq!(fell, Fell::Before, "{id} is forgotten, and listed");
                self.known.insert(id, tree);
            }
            Some(_) => assert_eq!(fell, Fell::After),
            None => {}
        }
        let unheard = listed.iter().find(|id| !self.known.contains_key(*id));
        if let Some(id) = unheard.filter(|_| victim == Victim::Backup && fell == Fell::After) {
            self.acknowledge(id.clone());
        }
        assert_eq!(self.known.keys().cloned().collect::<BTreeSet<_>>(), listed);
        self.inspect();
        self.age("tmp", A_DAY);
        self.backup();
        let left = files(&self.world.at("repository/tmp"));
        assert!(left.is_empty(), "temporary files stay: {left:?}");
        if victim == Victim::Prune {
            self.world.ok(&["prune", "--grace", "0"]);
        }
    }

    /// Starts the program, kills it at a moment of its usual time, and sees where that was.
    fn kill(&mut self, victim: Victim, how: Vec<&'static str>, words: &[&str]) -> Fell {
        let before = self.objects();
        self.share = (self.share + GOLDEN_RATIO + 0.1 * self.dice.throw()).fract();
        // The first of a kind is not killed, but timed.
        let usual = self.pace.get(&(victim, how.clone())).copied();
        let moment = usual.map_or(Duration::MAX, |usual| usual.mul_f64(self.share));
        let mut child = self.world.command(words).spawn().unwrap();
        let started = Instant::now();
        let is_over = loop {
            if child.try_wait().unwrap().is_some() {
                break true;
            }
            if started.elapsed() >= moment {
                break false;
            }
            thread::sleep(Duration::from_micros(500));
        };
        let elapsed = started.elapsed();
        // SIGKILL.
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let is_done = output.status.success();
        let was_killed = output.status.code().is_none();
        let answer = Answer::of(output);
        assert!(is_done || was_killed, "{words:?}: {}{}", answer.out, answer.err);
        let after = self.objects();
        let has_snapshot = after.difference(&before).any(|name| name.starts_with("snapshots/"));
        let fell = match (is_done, before == after) {
            (true, _) => Fell::After,
            _ if victim == Victim::Backup && has_snapshot => Fell::After,
            // It creates one object, the first and the last.
            (false, false) if victim == Victim::Forget => Fell::After,
            (false, true) => Fell::Before,
            (false, false) => Fell::Between,
        };
        // The moments follow the machine, whatever else it has to do: a bit later each time, until one
        // was too late.
        let pace = if is_over { elapsed } else { usual.unwrap_or_default().mul_f64(1.05) };
        self.pace.insert((victim, how), pace);
        if usual.is_some() {
            *self.histogram.entry((victim, fell)).or_default() += 1;
        }
        if is_done && victim == Victim::Backup {
            self.acknowledge(answer.snapshot_id());
        }
        fell
    }

    /// What must hold after a kill.
    fn inspect(&self) {
        self.look_at_files();
        let checked = self.world.ok(&["check", "--read-data"]);
        assert!(checked.out.contains("no errors were found"), "{}{}", checked.out, checked.err);
        let source = self.world.at("source");
        let back = self.world.at("back").join(source.strip_prefix("/").unwrap());
        for (id, tree) in &self.known {
            self.world.ok(&["restore", id, "--target", "back"]);
            assert!(look(&back) == *tree, "the snapshot {id} is not what was backed up");
            fs::remove_dir_all(self.world.at("back")).unwrap();
        }
    }

    /// Ids of the snapshots that are listed.
    fn listed(&self) -> BTreeSet<String> {
        let answer = self.world.ok(&["snapshots", "--json"]).json().remove(0);
        answer.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().into()).collect()
    }

    /// Nothing is in the repository but whole objects, the reserve, and temporary files.
    fn look_at_files(&self) {
        let root = self.world.at("repository");
        for path in files(&root) {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            let (kind, rest) = name.split_once('/').unwrap_or((name, ""));
            match kind {
                "reserve" => {}
                "tmp" => {
                    let (prefix, serial) = rest.split_once('-').unwrap();
                    let is_hex = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
                    assert!(
                        is_hex && prefix.len() == 16 && serial.parse::<u64>().is_ok(),
                        "{name}"
                    );
                }
                // Named by their content.
                "packs" | "index" => {
                    let hash = blake3::hash(&fs::read(&path).unwrap()).to_hex();
                    assert!(name.ends_with(hash.as_str()), "{name} is not whole");
                }
                // `check` opens each.
                "config" | "keys" | "sessions" | "snapshots" | "tombs" | "gc" => {
                    assert!(path.metadata().unwrap().len() > 0, "{name} is empty");
                }
                // What `prune` tries the place with, and what `check` has read.
                "ledger" => {
                    let is_known = rest.starts_with("probe/") || rest.starts_with("verified/");
                    assert!(is_known, "{name} is nobody's");
                }
                _ => panic!("{name} is no object and no temporary file"),
            }
        }
    }

    /// Lets time pass for what killed processes left here.
    fn age(&self, directory: &str, by: Duration) {
        for path in files(&self.world.at("repository").join(directory)) {
            let file = File::open(path).unwrap();
            let then = file.metadata().unwrap().modified().unwrap() - by;
            file.set_times(FileTimes::new().set_modified(then)).unwrap();
        }
    }

    /// What nobody needs is gone in the end.
    fn finish(mut self) -> Histogram {
        self.change_source();
        self.backup();
        self.forget_old();
        self.age("ledger", A_DAY);
        self.age("sessions", TWO_WEEKS);
        // The first one gives up what was never decided.
        for _ in 0..2 {
            self.world.ok(&["prune", "--grace", "0", "--max-unused", "0"]);
        }
        let left = self.objects().into_iter().filter(|name| name.starts_with("ledger/probe/"));
        assert_eq!(left.count(), 0, "probes stay");
        self.inspect();
        let stored: u64 = files(&self.world.at("repository/packs"))
            .iter()
            .map(|path| path.metadata().unwrap().len())
            .sum();
        // Noise does not shrink; the rest is padding and metadata.
        let source = (3 << 20) + 30_000 * SMALL_COUNT;
        assert!(stored < source * 5 / 4, "{stored} bytes of packs for {source} bytes");
        self.histogram
    }

    /// A backup that nobody kills.
    fn backup(&mut self) {
        let id = self.world.ok(&["backup", "source", "--json"]).snapshot_id();
        self.acknowledge(id);
    }

    fn acknowledge(&mut self, id: String) {
        self.known.insert(id, look(&self.world.at("source")));
    }

    /// Forgets all but the newest.
    fn forget_old(&mut self) {
        self.world.ok(&["forget", "--keep-last", "1"]);
        let listed = self.listed();
        self.known.retain(|id, _| listed.contains(id));
        assert_eq!(self.known.len(), 1);
    }

    /// New content for one large file and a third of the small ones.
    fn change_source(&mut self) {
        let mut content = |len| noise((self.dice.throw() * 1e15) as u64, len);
        let (large, small) = (content(3 << 20), content(30_000 * SMALL_COUNT as usize / 3));
        self.world.write("source/large", large);
        for (number, part) in small.chunks(30_000).enumerate() {
            self.world.write(&format!("source/{}", 3 * number), part);
        }
    }

    /// Names of all objects.
    fn objects(&self) -> BTreeSet<String> {
        let root = self.world.at("repository");
        let names = files(&root)
            .into_iter()
            .map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
        names.filter(|name| !name.starts_with("tmp/") && name != "reserve").collect()
    }
}

/// Every file below a directory.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn whatever_is_killed_at_any_moment_loses_nothing_and_leaves_nothing_broken() {
    let number = |name, default| {
        std::env::var(name).map_or(default, |text| text.parse().expect("the variable is a number"))
    };
    let count: u32 = number(VARIABLE, KILL_COUNT);
    let seed = number(SEED_VARIABLE, 1);
    let mut total = Histogram::new();
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANE_COUNT)
            .map(|lane| {
                scope.spawn(move || {
                    let mut site = Site::new(u64::from(seed * LANE_COUNT + lane));
                    let wanted = (count + LANE_COUNT - 1 - lane) / LANE_COUNT;
                    for number in 0.. {
                        if site.histogram.values().sum::<u32>() == wanted {
                            break;
                        }
                        site.round(number);
                    }
                    site.finish()
                })
            })
            .collect();
        for lane in lanes {
            for (bar, count) in lane.join().unwrap() {
                *total.entry(bar).or_default() += count;
            }
        }
    });
    let mut told = format!("kills: {count}, seed {seed}\n");
    let mut sums = [0; 3];
    for victim in [Victim::Backup, Victim::Prune, Victim::Forget] {
        let bars = [Fell::Before, Fell::Between, Fell::After];
        let bars = bars.map(|fell| total.get(&(victim, fell)).copied().unwrap_or_default());
        sums.iter_mut().zip(bars).for_each(|(sum, bar)| *sum += bar);
        told.push_str(&row(&format!("{victim:?}").to_lowercase(), bars));
    }
    told.push_str(&row("all", sums));
    std::io::stdout().write_all(told.as_bytes()).unwrap();
    assert_eq!(sums.iter().sum::<u32>(), count);
    assert!(2 * sums[1] >= count, "too few fell between the first and the last object:\n{told}");
}

fn row(name: &str, [before, between, after]: [u32; 3]) -> String {
    format!("{name:8} {before:4} before first, {between:4} between, {after:4} after last\n")
}
