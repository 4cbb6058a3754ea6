//! A host with files of its own and a cache, which does one thing after the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::baton::SkewedClock;
use super::oracle::{Tree, tree_of};
use super::store::{Break, Client, Faults};
use super::world::World;
use super::{content, secret};
use crate::backend::{Backend, Verb};
use crate::base::calendar::Calendar;
use crate::base::rules::Rule;
use crate::base::{
    Cancel, Error, ErrorKind, Problems, Progress, Result, SessionId, WriterId, simulated,
};
use crate::format::name::Parsed;
use crate::format::snapshot::Decision;
use crate::format::{GenerationStep, ObjectKind, ObjectName};
use crate::index::Cache;
use crate::index::cache::simulated::{Kept, run_on};
use crate::ops::backup::{self, Made, SAVE_INTERVAL};
use crate::ops::forget::policy::Policy;
use crate::ops::group::GroupBy;
use crate::ops::prune::MaxUnused;
use crate::ops::{Run, check, forget, prune, unforget};
use crate::repo::Repository;
use crate::repo::access::list_names;
use crate::repo::chunks::Chunks;
use crate::repo::ledger::{Ledger, ReadBack};
use crate::repo::reader::Reader;
use crate::repo::select::Filter;
use crate::repo::snapshots::read_decision;

/// Files of a host.
const NAMES: [&str; 5] = ["a/one", "a/two", "b/one", "b/two", "top"];
/// Most requests that a killed client lived for; a backup or a prune makes some dozens.
const LIFE_MAX: u64 = 90;
/// How far clocks of hosts are off, in years.
const YEARS_OFF: [i64; 6] = [0, 0, 0, 10, -10, -50];
const YEAR: i64 = 365 * 86_400;
/// How long a prune waits before it decides, in seconds.
const GRACES: [i64; 5] = [0, 0, 0, 60, 86_400];

/// What actors do, in percent; the rest is checking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mix {
    pub(super) backup: u64,
    pub(super) prune: u64,
    pub(super) forget: u64,
    pub(super) unforget: u64,
    pub(super) restore: u64,
}

/// A request by what it does, and to which kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trap {
    pub(super) verb: Verb,
    pub(super) kind: ObjectKind,
    /// Which step of a round it is about, where it is one.
    pub(super) step: Option<GenerationStep>,
    /// How often the same client has made it by then.
    pub(super) nth: u64,
}

/// How a schedule treats its actors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Treatment {
    pub(super) mix: Mix,
    pub(super) faults: Faults,
    /// Of a thousand requests so many suspend their actor.
    pub(super) sleeps: u64,
    /// A request before which half of all clients are suspended.
    pub(super) trap: Option<Trap>,
    /// Of a thousand clients so many do not see one of the snapshots.
    pub(super) hides: u64,
    /// Before so many of a thousand requests the store loses an index segment.
    pub(super) loses: u64,
    /// Of a thousand reads of objects of a kind so many come back wrong; of rounds only candidates.
    pub(super) misreads: Option<(ObjectKind, u64)>,
    /// Of a hundred things that an actor does so many are claims that packs are damaged.
    pub(super) accuses: u64,
    /// Whether backups store what they have captured so far after every step.
    pub(super) saves: bool,
    /// Of a thousand clients so many are killed.
    pub(super) killed: u64,
    /// Things that an actor does.
    pub(super) task_count: u64,
    /// Contents that its files have.
    pub(super) content_count: u64,
    /// The rule that nobody knows of.
    pub(super) off: Option<Rule>,
}

/// What came of a schedule, beside what was lost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) backups: u64,
    pub(super) commits: u64,
    pub(super) with_parent: u64,
    pub(super) prunes: u64,
    pub(super) forgets: u64,
    pub(super) unforgets: u64,
    pub(super) restores: u64,
    pub(super) checks: u64,
    pub(super) killed: u64,
    pub(super) broken: u64,
}

/// One host.
pub(super) struct Actor {
    pub(super) me: usize,
    pub(super) world: Arc<World>,
    pub(super) treatment: Treatment,
    /// Where its files are.
    pub(super) dir: PathBuf,
    pub(super) cache: Kept,
    tree: Tree,
    /// The last snapshot that it made.
    newest: Option<SessionId>,
    /// The request at which its next client is killed.
    pub(super) dies_at: Option<u64>,
    /// When the disk of its next client fails.
    pub(super) breaks: Option<Break>,
    pub(super) tally: Tally,
}

impl Actor {
    pub(super) fn new(me: usize, world: Arc<World>, treatment: Treatment, dir: PathBuf) -> Self {
        let (cache, tree, tally) = (Kept::default(), Tree::new(), Tally::default());
        Self {
            me,
            world,
            treatment,
            dir,
            cache,
            tree,
            newest: None,
            dies_at: None,
            breaks: None,
            tally,
        }
    }

    /// Does what the dice say, until its tasks are done or something was lost.
    pub(super) fn live(&mut self) {
        self.world.baton.start(self.me);
        for _ in 0..self.treatment.task_count {
            if self.world.is_over() {
                break;
            }
            if self.treatment.accuses > 0 && self.below(100) < self.treatment.accuses {
                self.accuse();
                continue;
            }
            let Mix { backup, prune, forget, unforget, restore } = self.treatment.mix;
            let mut number = self.below(100);
            let mut falls = |share: u64| {
                let falls = number < share;
                number = number.saturating_sub(share);
                falls
            };
            if falls(backup) {
                self.back_up();
            } else if falls(prune) {
                self.prune();
            } else if falls(forget) {
                self.forget();
            } else if falls(unforget) {
                self.unforget();
            } else if falls(restore) {
                self.restore();
            } else {
                self.check(false);
            }
        }
        self.world.baton.end(self.me);
    }

    fn below(&self, count: u64) -> u64 {
        self.world.baton.dice(|dice| dice.below(count))
    }

    /// Runs something as a process of its own. Whatever it says once it was killed is not heard.
    fn run<T>(&mut self, work: impl FnOnce(&Arc<Repository>, &Run<'_>) -> Result<T>) -> Said<T> {
        let life = match self.dies_at.take() {
            Some(request) => request,
            None if self.below(1000) < self.treatment.killed => 1 + self.below(LIFE_MAX),
            None => u64::MAX,
        };
        let breaks = self.breaks.take();
        let client = Client::new(&self.world, self.me, &self.treatment, life, breaks);
        let ahead = self.world.baton.dice(|dice| *dice.pick(&YEARS_OFF)) * YEAR;
        let clock = SkewedClock { baton: Arc::clone(&self.world.baton), ahead };
        let (problems, progress, cancel) =
            (Problems::default(), Progress::default(), Cancel::default());
        let run = Run { clock: &clock, problems: &problems, progress: &progress, cancel: &cancel };
        if self.below(8) == 0 {
            self.cache = Kept::default();
        }
        run_on(Some(self.cache.clone()));
        let backend = Arc::clone(&client) as Arc<dyn Backend>;
        let result = Repository::open(backend, &mut |_| Ok(secret()))
            .and_then(|repository| work(&Arc::new(repository), &run));
        run_on(None);
        self.world.compare_cache(self.cache.index());
        self.tally.killed += u64::from(client.is_dead());
        self.tally.broken += u64::from(client.is_broken());
        let is_excused = client.met_fault();
        let mut problems = problems.take();
        // What a clock that is off makes of times is no fault, nor is to name what is damaged.
        problems.retain(|problem| !problem.message.contains("later than now"));
        problems.retain(|problem| !self.world.is_torn(problem));
        if let Err(error) = &result {
            self.world.note(self.me, || format!("fails: {error} {:?}", error.source));
        }
        match result {
            _ if client.is_dead() => Said::Nothing,
            Ok(value) if problems.is_empty() || is_excused => Said::Done(value),
            Ok(_) => Said::Failed(problems.into_iter().next().expect("there is one"), is_excused),
            Err(error) => Said::Failed(error, is_excused),
        }
    }

    /// Nobody may fail who was told the truth, but for somebody else who was faster.
    fn settle<T>(&self, task: &str, said: Said<T>) -> Option<T> {
        match said {
            Said::Done(value) => return Some(value),
            // A segment may be lost after its host has looked at headers.
            Said::Failed(error, false)
                if error.kind == ErrorKind::Damaged && self.world.has_lost_segments() => {}
            Said::Failed(error, false) if error.kind != ErrorKind::Busy => {
                self.world.violated(format!("{task} fails: {error} {:?}", error.source));
            }
            Said::Failed(..) | Said::Nothing => {}
        }
        None
    }

    pub(super) fn back_up(&mut self) {
        self.tally.backups += 1;
        for _ in 0..2 {
            let name = NAMES[self.below(NAMES.len() as u64) as usize];
            let number = self.below(self.treatment.content_count);
            let path = self.dir.join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("there is space");
            fs::write(&path, content::of_number(number)).expect("there is space");
            let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 + number);
            let file = fs::File::options().write(true).open(&path).expect("it was just made");
            file.set_modified(time).expect("it is ours");
            self.tree.insert(format!("{}/{name}", self.dir.display()), number);
        }
        for dir in ["a", "b", "."] {
            if let Ok(dir) = fs::File::open(self.dir.join(dir)) {
                dir.set_modified(std::time::UNIX_EPOCH).expect("it is ours");
            }
        }
        let options = backup::Options {
            sources: vec![self.dir.clone()],
            host: format!("host-{}", self.me),
            max_memory: 512 << 20,
            skip_if_unchanged: self.below(8) == 0,
            save_interval: if self.treatment.saves { Duration::ZERO } else { SAVE_INTERVAL },
            ..backup::Options::default()
        };
        self.world.note(self.me, || "backup".to_owned());
        let said = self.run(|repository, run| backup::backup(repository, &options, run));
        let Some(report) = self.settle("backup", said) else { return };
        self.tally.with_parent += u64::from(report.parent.is_some());
        match report.made {
            Made::Snapshot(id) => {
                self.tally.commits += 1;
                self.world.note(self.me, || format!("made {}", id.short()));
                self.acknowledge(id);
                self.newest = Some(id);
            }
            Made::Unchanged | Made::Nothing => {}
        }
    }

    fn acknowledge(&self, id: SessionId) {
        let oracle = self.world.oracle.lock().expect("not poisoned");
        let fault = match oracle.known.get(&id) {
            None => Some("it never was there"),
            Some(known) if known.tree != self.tree => Some("it is something else"),
            Some(_) => None,
        };
        drop(oracle);
        if let Some(fault) = fault {
            self.world.violated(format!("snapshot {id} is acknowledged, but {fault}"));
        }
    }

    fn prune(&mut self) {
        let grace = self.world.baton.dice(|dice| *dice.pick(&GRACES));
        self.world.note(self.me, || format!("prune, grace {grace}"));
        self.prune_with(grace);
    }

    pub(super) fn prune_with(&mut self, grace: i64) -> Option<prune::Report> {
        self.tally.prunes += 1;
        let options = prune::Options {
            grace,
            max_unused: MaxUnused::Bytes(0),
            max_moved: u64::MAX,
            exclusive: false,
            dry_run: false,
            cache_dir: None,
            scratch_dir: self.dir.clone(),
            max_memory: 512 << 20,
        };
        let said = self.run(|repository, run| prune::prune(repository, &options, run));
        self.settle("prune", said)
    }

    /// Claims that some packs are damaged, as a host of bad memory does. Nobody may believe it so far
    /// that something is lost.
    fn accuse(&mut self) {
        self.world.note(self.me, || "accuse".to_owned());
        let (me, number) = (self.me as u8, self.below(3));
        let said = self.run(|repository, run| {
            let mut packs = Vec::new();
            for (at, name) in
                list_names(&**repository.backend(), ObjectKind::Pack)?.iter().enumerate()
            {
                if let Parsed::Pack(id) = name.parsed()
                    && at as u64 % 3 == number
                {
                    packs.push(id);
                }
            }
            let read = ReadBack { damaged: packs, ..ReadBack::default() };
            let writer = WriterId::new([me; 32]);
            Ledger::default().record(repository, read, writer, run.clock.now())
        });
        self.settle("accuse", said);
    }

    /// A snapshot that is there and not forgotten.
    fn pick_live(&self) -> Option<(SessionId, Tree)> {
        let oracle = self.world.oracle.lock().expect("not poisoned");
        let count = oracle.live().count() as u64;
        let chosen = self.below(count.max(1)) as usize;
        oracle.live().nth(chosen).map(|(id, known)| (*id, known.tree.clone()))
    }

    pub(super) fn forget(&mut self) {
        let newest = self.newest.filter(|id| !self.is_tombed(*id) && self.below(2) == 0);
        let Some(id) = newest.or_else(|| self.pick_live().map(|(id, _)| id)) else { return };
        self.tally.forgets += 1;
        self.world.note(self.me, || format!("forget {}", id.short()));
        let options = forget::Options {
            words: vec![id.to_hex()],
            filter: Filter::default(),
            policy: Policy::default(),
            group_by: GroupBy::default(),
            calendar: Calendar::utc(),
            allow_all: true,
            dry_run: false,
        };
        let said = self.run(|repository, run| forget::forget(repository, &options, run));
        if let Said::Failed(error, false) = &said
            && error.kind == ErrorKind::NotFound
            && self.is_tombed(id)
        {
            return;
        }
        self.settle("forget", said);
    }

    fn is_tombed(&self, id: SessionId) -> bool {
        self.world.oracle.lock().expect("not poisoned").tombed.contains(&id)
    }

    pub(super) fn unforget(&mut self) {
        let forgotten = self.world.oracle.lock().expect("not poisoned").forgotten();
        if forgotten.is_empty() {
            return;
        }
        let id = forgotten[self.below(forgotten.len() as u64) as usize];
        self.tally.unforgets += 1;
        self.world.note(self.me, || format!("unforget {}", id.short()));
        let options = unforget::Options {
            words: vec![id.to_hex()],
            cache_dir: None,
            scratch_dir: self.dir.clone(),
            max_memory: 64 << 20,
        };
        let said = self.run(|repository, run| unforget::unforget(repository, &options, run));
        if let Said::Failed(error, _) = &said
            && error.is_loss()
        {
            // A prune was faster.
            return;
        }
        let Some(report) = self.settle("unforget", said) else { return };
        let oracle = self.world.oracle.lock().expect("not poisoned");
        for (old, new) in &report.back {
            let tree = |id| oracle.known.get(id).map(|known| &known.tree);
            if tree(&old.id) != tree(&new.id) {
                drop(oracle);
                return self.world.violated(format!("{id} came back as something else"));
            }
        }
    }

    pub(super) fn restore(&mut self) {
        let Some((id, tree)) = self.pick_live() else { return };
        self.tally.restores += 1;
        self.world.note(self.me, || format!("restore {}", id.short()));
        let said = self.run(|repository, _| read(repository, id));
        if !self.is_tombed(id)
            && let Some(found) = self.settle("restore", said)
            && found != tree
        {
            self.world.violated(format!("snapshot {id} is restored as something else"));
        }
    }

    /// Checks everything; nothing may be found, unless something was forgotten meanwhile.
    pub(super) fn check(&mut self, read_data: bool) {
        self.tally.checks += 1;
        self.world.note(self.me, || "check".to_owned());
        let tombed = || self.world.oracle.lock().expect("not poisoned").tombed.len();
        let before = tombed();
        let depth = match read_data {
            true => check::Depth::Data(check::Subset::All),
            false => check::Depth::Metadata,
        };
        let options = check::Options { depth, cache_dir: None, max_memory: 64 << 20 };
        let said = self.run(|repository, run| {
            let report = check::check(repository, &options, run)?;
            Ok((report, run.problems.count()))
        });
        let said = match said {
            Said::Failed(error, false) if tombed_since(before, &self.world) => {
                Said::Failed(error, true)
            }
            said => said,
        };
        let Some((report, _)) = self.settle("check", said) else { return };
        if let Some(first) = report.findings.first()
            && !tombed_since(before, &self.world)
            && self.treatment.faults.is_none()
            && self.treatment.hides == 0
            && !(first.affected.is_empty() && self.world.has_lost_segments())
        {
            self.world.violated(format!("check finds {first:?}"));
        }
    }

    /// Reads every pack, so that what is sound is held for sound.
    pub(super) fn read_back(&mut self) {
        let depth = check::Depth::Data(check::Subset::All);
        let options = check::Options { depth, cache_dir: None, max_memory: 64 << 20 };
        let broken = self.tally.broken;
        let said = self.run(|repository, run| check::check(repository, &options, run));
        let met_fault = self.tally.broken > broken;
        let Some(report) = self.settle("check", said) else { return };
        // What can be read the second time is misread. Other notices are of what a check always says.
        let is_told = |notice: &String| notice.contains("memory:") || notice.contains("os error");
        if met_fault
            && report.findings.is_empty()
            && report.misread_count == 0
            && !report.notices.iter().any(is_told)
        {
            self.world.violated("a check says nothing of what it could not read".to_owned());
        }
    }

    /// Restores everything that is to be there.
    pub(super) fn restore_all(&mut self) {
        let live: BTreeMap<SessionId, Tree> = {
            let oracle = self.world.oracle.lock().expect("not poisoned");
            oracle.live().map(|(id, known)| (*id, known.tree.clone())).collect()
        };
        for (id, tree) in live {
            let said = self.run(|repository, _| read(repository, id));
            if let Some(found) = self.settle("restore at the end", said)
                && found != tree
            {
                self.world.violated(format!("snapshot {id} is something else in the end"));
            }
        }
    }

    /// From here on it plays an actor of its schedule.
    pub(super) fn enter(&self, seed: u64) {
        simulated::enter(seed.wrapping_mul(31) + self.me as u64, self.treatment.off);
    }
}

fn tombed_since(before: usize, world: &World) -> bool {
    world.oracle.lock().expect("not poisoned").tombed.len() != before
}

/// What somebody finds who restores a snapshot.
fn read(repository: &Arc<Repository>, id: SessionId) -> Result<Tree> {
    let name = ObjectName::snapshot(id);
    let Some(Decision::Snapshot(snapshot)) = read_decision(repository, &name)? else {
        return Err(Error::new(ErrorKind::NotFound, format!("{name} is gone")));
    };
    let cache = Cache::memory(repository.config().repository);
    let chunks = Chunks::open(Arc::clone(repository), cache)?;
    let reader = Reader::new(repository, &chunks);
    tree_of(&reader, &snapshot).map_err(|what| Error::new(ErrorKind::Damaged, what))
}

/// What a process said at its end.
enum Said<T> {
    Done(T),
    /// What went wrong, and whether the store was to blame.
    Failed(Error, bool),
    /// It was killed.
    Nothing,
}

impl Tally {
    /// Adds what somebody else did.
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            backups,
            commits,
            with_parent,
            prunes,
            forgets,
            unforgets,
            restores,
            checks,
            killed,
            broken,
        } = self;
        *backups += other.backups;
        *commits += other.commits;
        *with_parent += other.with_parent;
        *prunes += other.prunes;
        *forgets += other.forgets;
        *unforgets += other.unforgets;
        *restores += other.restores;
        *checks += other.checks;
        *killed += other.killed;
        *broken += other.broken;
    }
}
