//! One schedule: a seed decides whose turn it is until at last it is calm.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::client::{Client, Ended, Run};
use crate::counts::Counts;
use crate::forget::forget;
use crate::hosts::{Hosts, any_directory};
use crate::prune::{Options, Prune};
use crate::restore::restore;
use crate::rules::Rules;
use crate::world::{Chances, HOST_COUNT, World};
use crate::writer::{backup, unforget};

/// Steps after which an actor that is left in peace should have ended.
const CALM_STEP_COUNT_MAX: usize = 100_000;
/// Prunes that must suffice to leave nothing that nobody needs.
const CALM_PRUNE_COUNT: usize = 3;
/// Steps for which an actor is suspended half of the times.
const SHORT_SLEEP: usize = 60;

/// What came of a schedule.
pub struct Outcome {
    pub violation: Option<String>,
    pub counts: Counts,
    pub trace: Vec<String>,
}

struct Actor {
    work: Pin<Box<dyn Future<Output = Run<()>>>>,
    label: (&'static str, u16),
    wakes_at: u64,
}

/// Who is about, and whose turn it is.
pub struct Schedule {
    pub world: Rc<RefCell<World>>,
    pub hosts: Hosts,
    actors: Vec<Actor>,
    last: usize,
    next: u16,
}

/// Runs the schedule of a seed.
pub fn run(seed: u64, rules: Rules, chances: Chances, is_traced: bool) -> Outcome {
    let mut schedule = Schedule::new(seed, rules, chances, is_traced);
    schedule.storm();
    schedule.calm();
    schedule.actors.clear();
    let mut world = schedule.world.borrow_mut();
    world.counts.schedules = 1;
    world.counts.steps = world.now;
    Outcome {
        violation: world.truth.violation.take(),
        counts: world.counts,
        trace: world.trace.take().unwrap_or_default(),
    }
}

impl Schedule {
    /// Nobody is about yet.
    pub fn new(seed: u64, rules: Rules, chances: Chances, is_traced: bool) -> Self {
        let mut world = World::new(seed, rules, chances, is_traced);
        let hosts = Hosts::default();
        for host in hosts.borrow_mut().iter_mut() {
            host.directories.fill_with(|| any_directory(&mut world.random));
        }
        let world = Rc::new(RefCell::new(world));
        Self { world, hosts, actors: Vec::new(), last: 0, next: 1 }
    }

    /// Lets one actor go on until it has done what `text` says, or to its end; the others wait.
    pub fn go(&mut self, actor: u16, text: &str) {
        loop {
            let at = self.actors.iter().position(|other| other.label.1 == actor);
            let Some(at) = at else { return };
            let told = self.told();
            self.world.borrow_mut().now += 1;
            let _ended = self.step(at);
            let world = self.world.borrow();
            let lines = world.trace.as_deref().unwrap_or_default();
            if lines[told..].iter().any(|line| line.contains(text)) {
                return;
            }
        }
    }

    /// Kills an actor.
    pub fn kill(&mut self, actor: u16) {
        self.actors.retain(|other| other.label.1 != actor);
    }

    fn told(&self) -> usize {
        self.world.borrow().trace.as_ref().map_or(0, Vec::len)
    }

    fn storm(&mut self) {
        let Chances { step_count, actor_count, .. } = self.world.borrow().chances;
        while self.world.borrow().now < step_count && !self.is_over() {
            self.world.borrow_mut().now += 1;
            self.disturb();
            if self.actors.len() < actor_count {
                self.begin_any();
            }
            let Some(at) = self.choose() else { continue };
            if self.step(at).is_none() {
                self.trouble(at);
            }
        }
    }

    fn is_over(&self) -> bool {
        self.world.borrow().truth.violation.is_some()
    }

    /// What happens to the store by itself.
    fn disturb(&mut self) {
        let mut guard = self.world.borrow_mut();
        let world = &mut *guard;
        let chances = world.chances;
        if !world.ghosts.is_empty() && world.random.per_mille(chances.landing) {
            let at = world.random.below(world.ghosts.len());
            world.land(at);
        }
        if !world.stored.hidden.is_empty() {
            if world.random.per_mille(10) {
                world.tell(|| "  shown again".to_owned());
                world.stored.hidden = Default::default();
            }
        } else if world.random.per_mille(chances.hide) {
            world.hide();
        }
        if world.random.per_mille(chances.damage) {
            world.damage();
        }
        if world.random.per_mille(chances.lose) {
            world.lose_segment();
        }
        if std::mem::take(&mut world.has_changed) {
            world.check();
        }
    }

    /// Lets somebody new begin.
    fn begin_any(&mut self) {
        let mut world = self.world.borrow_mut();
        let Chances { fence, grace, empty, mix, .. } = world.chances;
        let shares = [mix.backup, mix.unforget, mix.forget, mix.prune, mix.restore];
        let mut at = world.random.below(shares.iter().sum::<u32>() as usize) as u32;
        let verb = shares.iter().position(|share| {
            let is_it = at < *share;
            at = at.wrapping_sub(*share);
            is_it
        });
        let options = Options {
            has_no_grace: !world.random.per_mille(grace),
            fences: world.random.per_mille(fence),
            empties: world.random.per_mille(empty),
            merges_from: 2 + world.random.below(6),
        };
        let host = world.random.below(HOST_COUNT);
        drop(world);
        match verb {
            Some(0) => self.begin_backup(host),
            Some(1) => self.begin("unforget", async move |client| unforget(&client).await),
            Some(2) => self.begin_forget(),
            Some(3) => self.begin_prune(options),
            _ => self.begin_restore(),
        };
    }

    /// Lets somebody restore.
    pub fn begin_restore(&mut self) -> u16 {
        self.begin("restore", async move |client| restore(&client).await)
    }

    /// Lets somebody forget.
    pub fn begin_forget(&mut self) -> u16 {
        self.begin("forget", async move |client| forget(&client).await)
    }

    /// Lets a backup of a host begin.
    pub fn begin_backup(&mut self, host: usize) -> u16 {
        let hosts = Rc::clone(&self.hosts);
        self.begin("backup", async move |client| backup(&client, &hosts, host).await)
    }

    /// Lets a prune begin.
    pub fn begin_prune(&mut self, options: Options) -> u16 {
        self.begin("prune", async move |client| Prune::run(&client, options).await)
    }

    fn begin(
        &mut self,
        verb: &'static str,
        work: impl AsyncFnOnce(Client) -> Run<()> + 'static,
    ) -> u16 {
        let label = (verb, self.next);
        self.next += 1;
        let client = Client::new(Rc::clone(&self.world), label);
        let mut world = self.world.borrow_mut();
        let counts = &mut world.counts;
        *match verb {
            "backup" => &mut counts.backups,
            "unforget" => &mut counts.unforgets,
            "forget" => &mut counts.forgets,
            "prune" => &mut counts.prunes,
            _ => &mut counts.restores,
        } += 1;
        drop(world);
        let work = Box::pin(async move { work(client).await });
        self.actors.push(Actor { work, label, wakes_at: 0 });
        label.1
    }

    /// Whose turn it is.
    fn choose(&mut self) -> Option<usize> {
        let mut world = self.world.borrow_mut();
        let now = world.now;
        let is_awake = |actor: &Actor| actor.wakes_at <= now;
        let goes_on = world.chances.goes_on;
        if self.actors.get(self.last).is_some_and(is_awake) && world.random.per_mille(goes_on) {
            return Some(self.last);
        }
        let count = self.actors.iter().filter(|actor| is_awake(actor)).count();
        if count == 0 {
            return None;
        }
        let nth = world.random.below(count);
        let awake = self.actors.iter().enumerate().filter(|(_, actor)| is_awake(actor));
        self.last = awake.map(|(at, _)| at).nth(nth).unwrap_or(0);
        Some(self.last)
    }

    /// Lets an actor make one step; how it ended, if it did.
    fn step(&mut self, at: usize) -> Option<Run<()>> {
        let mut context = Context::from_waker(Waker::noop());
        let ended = match self.actors[at].work.as_mut().poll(&mut context) {
            std::task::Poll::Ready(result) => Some(result),
            std::task::Poll::Pending => None,
        };
        let (verb, number) = self.actors[at].label;
        let mut world = self.world.borrow_mut();
        if std::mem::take(&mut world.has_changed) {
            world.check();
        }
        if let Some(result) = ended {
            world.tell(|| format!("{verb}#{number} ends: {result:?}"));
            world.counts.ended += 1;
            world.counts.gave_up += u64::from(result.is_err());
            drop(world);
            self.actors.swap_remove(at);
        }
        ended
    }

    /// What happens to the actor that made a step.
    fn trouble(&mut self, at: usize) {
        let mut world = self.world.borrow_mut();
        let chances = world.chances;
        let dwells = std::mem::take(&mut world.dwells);
        let actor = &mut self.actors[at];
        let (verb, number) = actor.label;
        if world.random.per_mille(chances.kill) {
            world.counts.killed += 1;
            world.tell(|| format!("{verb}#{number} is killed"));
            drop(world);
            self.actors.swap_remove(at);
        } else if dwells || world.random.per_mille(chances.suspend) {
            world.counts.suspended += 1;
            let longest = if !dwells && world.random.per_mille(500) {
                SHORT_SLEEP
            } else {
                chances.sleep_max
            };
            actor.wakes_at = world.now + world.random.below(longest) as u64;
            let until = actor.wakes_at;
            world.tell(|| format!("{verb}#{number} sleeps until {until}"));
        }
    }

    /// No more faults: all that began ends, late requests take effect, and a few prunes clean up.
    fn calm(&mut self) {
        if self.is_over() {
            return;
        }
        {
            let mut guard = self.world.borrow_mut();
            let world = &mut *guard;
            world.tell(|| "it is calm from here on".to_owned());
            world.chances.fault = 0;
            world.chances.damage = 0;
            world.chances.reading = 0;
            world.chances.dwell = 0;
            world.chances.unfound = 0;
            world.chances.misread = 0;
            world.stored.hidden = Default::default();
            while !world.ghosts.is_empty() {
                let at = world.random.below(world.ghosts.len());
                world.land(at);
            }
            world.check();
        }
        self.actors.iter_mut().for_each(|actor| actor.wakes_at = 0);
        self.finish();
        for _ in 0..CALM_PRUNE_COUNT {
            let options =
                Options { has_no_grace: true, fences: true, empties: true, merges_from: 4 };
            self.begin_prune(options);
            if let Some(Err(ended)) = self.finish() {
                let mut world = self.world.borrow_mut();
                let is_excused = world.truth.is_damaged || ended == Ended::Full;
                if !is_excused {
                    world.fail(format!("a prune in peace ended: {ended:?}"));
                }
                return;
            }
        }
        if !self.is_over() {
            self.world.borrow_mut().check_calm();
        }
    }

    /// Lets all actors end; how the last one did.
    fn finish(&mut self) -> Option<Run<()>> {
        let mut last = None;
        for _ in 0..CALM_STEP_COUNT_MAX {
            if self.is_over() {
                return last;
            }
            self.world.borrow_mut().now += 1;
            let Some(at) = self.choose() else { return last };
            last = self.step(at).or(last);
        }
        self.world.borrow_mut().fail("somebody does not end".to_owned());
        last
    }
}
