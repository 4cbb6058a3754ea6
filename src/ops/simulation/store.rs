//! A store as an actor meets it: each request is a turn that may fail in every way a store can.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rustix::io::Errno;

use super::actor::{Trap, Treatment};
use super::world::{Effect, World};
use crate::backend::error::{At, BackendError, What};
use crate::backend::{Backend, Junk, Listed, Location, Probe, Put, Verb};
use crate::format::name::{ObjectKind, Parsed};
use crate::format::{GenerationStep, ObjectName};
use crate::seal::Sealed;

/// Names that a listing hands over at a time; what changes between two pages may be in it or not.
const PAGE_COUNT: usize = 4;
/// Requests after which one that timed out may still take effect.
const LATE_MAX: u64 = 600;
/// How long, in seconds: from one second to 90 days.
const SLEEPS: [u64; 6] = [1, 60, 3600, 86_400, 20 * 86_400, 90 * 86_400];
/// How long a trap holds, in seconds: some dozens of requests, or until nobody else is awake.
const TRAPPED_FOR: [u64; 4] = [60, 200, 500, 90 * 86_400];

/// How many of a thousand requests fail in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Nothing happens, and the actor is told so or not.
    pub(super) lost: u64,
    /// It happens, and nobody hears of it.
    pub(super) unheard: u64,
    /// It happens later, perhaps when nobody waits for it any more.
    pub(super) late: u64,
    /// A create is refused although there is nothing.
    pub(super) refused: u64,
    /// What is read is not what is stored, or only a part of it.
    pub(super) flipped: u64,
    /// There is no space.
    pub(super) full: u64,
    /// A pack is stored in part, and the actor is told that something went wrong.
    pub(super) torn: u64,
}

impl Faults {
    /// Whether the store does all that it is asked for.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// When the disk fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    /// The request at which it does, counted from 1.
    pub(super) at: u64,
    /// Whether it fails whenever the same thing is asked for again.
    pub(super) stays: bool,
}

/// One client of the store, until its process ends.
pub(super) struct Client {
    world: Arc<World>,
    me: usize,
    treatment: Treatment,
    /// A snapshot that the store does not show to it.
    hidden: Option<ObjectName>,
    /// Requests until it is killed.
    left: AtomicU64,
    is_dead: AtomicBool,
    /// Requests until the disk fails, and whether what was asked for cannot be had from then on.
    sound: AtomicU64,
    stays_broken: bool,
    broken: Mutex<Option<What>>,
    broken_count: AtomicU64,
    /// How often it met the trap of the schedule.
    trap_count: AtomicU64,
    fault_count: AtomicU64,
}

enum Fate {
    Happens,
    Lost,
    Unheard,
    Late,
    Refused,
    Flipped,
    Full,
    Torn,
    Broken,
}

impl Fate {
    fn mark(&self) -> &'static str {
        match self {
            Self::Happens => "",
            Self::Lost => " lost",
            Self::Unheard => " unheard",
            Self::Late => " late",
            Self::Refused => " refused",
            Self::Flipped => " flipped",
            Self::Full => " full",
            Self::Torn => " torn",
            Self::Broken => " broken",
        }
    }
}

impl Client {
    /// A client that is killed after so many requests, and whose disk fails at another one.
    pub(super) fn new(
        world: &Arc<World>,
        me: usize,
        treatment: &Treatment,
        life: u64,
        breaks: Option<Break>,
    ) -> Arc<Self> {
        let hides = world.baton.dice(|dice| dice.falls(treatment.hides));
        let hidden = if hides { world.any_seen_snapshot() } else { None };
        Arc::new(Self {
            world: Arc::clone(world),
            me,
            treatment: *treatment,
            fault_count: AtomicU64::new(u64::from(hidden.is_some())),
            hidden,
            left: AtomicU64::new(life),
            is_dead: AtomicBool::new(false),
            sound: AtomicU64::new(breaks.map_or(0, |breaks| breaks.at)),
            stays_broken: breaks.is_some_and(|breaks| breaks.stays),
            broken: Mutex::default(),
            broken_count: AtomicU64::new(0),
            trap_count: AtomicU64::new(0),
        })
    }

    /// Whether it was killed, or all are because something was lost.
    pub(super) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed) || self.world.is_over()
    }

    /// Whether its disk has failed.
    pub(super) fn is_broken(&self) -> bool {
        self.broken_count.load(Ordering::Relaxed) > 0
    }

    /// Whether it was told the truth all the time.
    pub(super) fn met_fault(&self) -> bool {
        self.fault_count.load(Ordering::Relaxed) > 0 || self.is_dead()
    }

    /// Waits for its turn, and says what becomes of the request. Nothing does once it is killed.
    fn turn(&self, at: &At) -> Result<Fate, BackendError> {
        if self.is_dead() {
            return Err(other(at, "the process was killed"));
        }
        let baton = &self.world.baton;
        let is_trapped = self.is_trap(at);
        let is_trapped = is_trapped && baton.dice(|dice| dice.falls(500));
        if is_trapped || baton.dice(|dice| dice.falls(self.treatment.sleeps)) {
            let of = if is_trapped { &TRAPPED_FOR[..] } else { &SLEEPS };
            let seconds = baton.dice(|dice| *dice.pick(of));
            self.world.note(self.me, || format!("sleeps {seconds} s"));
            baton.sleep(self.me, seconds);
        }
        let step = baton.pass(self.me);
        self.world.apply_due(step);
        if self.treatment.loses > 0 && baton.dice(|dice| dice.falls(self.treatment.loses)) {
            self.world.lose_segment();
        }
        let is_last = self.left.fetch_sub(1, Ordering::Relaxed) == 1;
        let mut fate = baton.dice(|dice| self.fate(at, dice));
        if let Some((kind, share)) = self.treatment.misreads
            && reads_of(at, kind)
            && baton.dice(|dice| dice.falls(share))
        {
            fate = Fate::Flipped;
        }
        if self.breaks(at) {
            self.broken_count.fetch_add(1, Ordering::Relaxed);
            fate = Fate::Broken;
        }
        if is_last {
            self.is_dead.store(true, Ordering::Relaxed);
            fate = match baton.dice(|dice| dice.below(3)) {
                0 => Fate::Lost,
                1 => Fate::Unheard,
                _ => Fate::Late,
            };
        }
        let is_fault = !matches!(fate, Fate::Happens);
        self.fault_count.fetch_add(u64::from(is_fault), Ordering::Relaxed);
        let killed = if is_last { " killed" } else { "" };
        self.world.note(self.me, || format!("{at}{}{killed}", fate.mark()));
        Ok(fate)
    }

    /// Whether the disk fails at this request.
    fn breaks(&self, at: &At) -> bool {
        let mut broken = self.broken.lock().expect("not poisoned");
        let count = |left: u64| left.checked_sub(1);
        let begins = self.sound.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) == Ok(1);
        if begins && self.stays_broken {
            *broken = Some(at.what.clone());
        }
        begins || broken.as_ref() == Some(&at.what)
    }

    fn is_trap(&self, at: &At) -> bool {
        let is_nth = |trap: Trap| self.trap_count.fetch_add(1, Ordering::Relaxed) + 1 == trap.nth;
        self.treatment.trap.is_some_and(|trap| {
            let (kind, step) = match &at.what {
                What::Object(name) => match name.parsed() {
                    Parsed::Generation(_, step) => (name.kind(), Some(step)),
                    _ => (name.kind(), None),
                },
                What::Kind(kind) => (*kind, None),
                What::Place => return false,
            };
            (trap.verb, trap.kind, trap.step) == (at.verb, kind, step) && is_nth(trap)
        })
    }

    fn fate(&self, at: &At, dice: &mut super::baton::Dice) -> Fate {
        let Faults { lost, unheard, late, refused, flipped, full, torn } = self.treatment.faults;
        let is_pack = matches!(&at.what, What::Object(name) if name.kind() == ObjectKind::Pack);
        let torn = if is_pack && at.verb == Verb::Put { torn } else { 0 };
        let mut number = dice.below(1000);
        for (rate, fate) in [
            (lost, Fate::Lost),
            (unheard, Fate::Unheard),
            (late, Fate::Late),
            (refused, Fate::Refused),
            (flipped, Fate::Flipped),
            (full, Fate::Full),
            (torn, Fate::Torn),
        ] {
            if number < rate {
                return fate;
            }
            number -= rate;
        }
        Fate::Happens
    }

    /// A request that changes something.
    fn change(&self, at: &At, effect: Effect) -> Result<Put, BackendError> {
        let is_put = matches!(effect, Effect::Put(..));
        match self.turn(at)? {
            Fate::Unheard => {
                self.world.apply(effect);
                Err(offline(at))
            }
            Fate::Late => {
                let due = self.world.baton.dice(|dice| dice.below(LATE_MAX));
                self.world.apply_later(due, effect);
                Err(offline(at))
            }
            Fate::Lost => Err(offline(at)),
            Fate::Broken => Err(broken(at)),
            Fate::Refused if is_put => Ok(Put::Exists),
            Fate::Full if is_put => {
                Err(BackendError::Full { at: Box::new(at.clone()), source: None })
            }
            Fate::Torn => {
                self.world.tear(effect);
                Err(offline(at))
            }
            _ => Ok(self.world.apply(effect)),
        }
    }

    /// A request that changes nothing.
    fn look<T>(
        &self,
        at: &At,
        read: impl FnOnce() -> Result<T, BackendError>,
    ) -> Result<(T, bool), BackendError> {
        match self.turn(at)? {
            Fate::Lost | Fate::Unheard | Fate::Late => Err(offline(at)),
            Fate::Broken => Err(broken(at)),
            fate => Ok((read()?, matches!(fate, Fate::Flipped))),
        }
    }

    /// What is read of an object, with a bit flipped or cut short.
    fn spoil(&self, sealed: &Sealed) -> Sealed {
        match self.world.baton.dice(|dice| dice.falls(500)) {
            true => flipped(sealed),
            false => Sealed::from_store(sealed.bytes().slice(..sealed.bytes().len() / 2)),
        }
    }

    fn at(&self, verb: Verb, name: &ObjectName) -> At {
        At::object(self.location(), verb, name)
    }
}

impl Backend for Client {
    fn location(&self) -> &Location {
        self.world.memory.location()
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        let effect = Effect::Put(name.clone(), sealed.bytes().clone());
        self.change(&self.at(Verb::Put, name), effect)
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        let at = self.at(Verb::Get, name);
        let (sealed, is_flipped) = self.look(&at, || match self.hidden.as_ref() == Some(name) {
            true => Err(BackendError::NotFound { at: Box::new(at.clone()) }),
            false => self.world.memory.get(name),
        })?;
        Ok(if is_flipped { self.spoil(&sealed) } else { sealed })
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        let (sealed, is_flipped) =
            self.look(&self.at(Verb::GetRange, name), || self.world.memory.get_range(name, range))?;
        Ok(if is_flipped { flipped(&sealed) } else { sealed })
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        self.look(&self.at(Verb::Stat, name), || self.world.memory.stat(name)).map(|found| found.0)
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        let at = At::kind(self.location(), Verb::List, kind);
        let mut last: Option<ObjectName> = None;
        loop {
            let (page, _) = self.look(&at, || {
                let mut page = Vec::new();
                self.world.memory.list(kind, &mut |found| page.extend(found.ok()))?;
                page.retain(|listed: &Listed| Some(&listed.name) != self.hidden.as_ref());
                page.retain(|listed: &Listed| {
                    last.as_ref().is_none_or(|last| listed.name.as_str() > last.as_str())
                });
                page.truncate(PAGE_COUNT);
                Ok(page)
            })?;
            let is_end = page.len() < PAGE_COUNT;
            for listed in page {
                last = Some(listed.name.clone());
                each(Ok(listed));
            }
            if is_end {
                return Ok(());
            }
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        self.change(&self.at(Verb::Delete, name), Effect::Delete(name.clone())).map(drop)
    }

    fn heal(&self, name: &ObjectName, _: &Sealed) -> Result<(), BackendError> {
        Err(other(&self.at(Verb::Heal, name), "nobody heals here"))
    }

    fn probe(&self) -> Result<Probe, BackendError> {
        // The store keeps what it promises; trying that out would only cost time.
        self.turn(&At::place(self.location(), Verb::Put))?;
        Ok(Probe {
            create_is_refused: true,
            create_is_atomic: true,
            reads_follow_writes: true,
            lists_follow_writes: true,
            deletes_take_effect: Some(true),
            now: self.world.now(),
        })
    }
}

/// Whether somebody reads an object of this kind; of rounds, which packs are candidates.
fn reads_of(at: &At, kind: ObjectKind) -> bool {
    let What::Object(name) = &at.what else { return false };
    let is_meant = match name.parsed() {
        Parsed::Generation(_, step) => step == GenerationStep::Candidates,
        _ => true,
    };
    matches!(at.verb, Verb::Get | Verb::GetRange) && name.kind() == kind && is_meant
}

fn flipped(sealed: &Sealed) -> Sealed {
    let mut bytes = sealed.bytes().to_vec();
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    Sealed::from_store(Bytes::from(bytes))
}

fn offline(at: &At) -> BackendError {
    BackendError::Offline { at: Box::new(at.clone()), source: None }
}

fn broken(at: &At) -> BackendError {
    BackendError::io(at.clone(), Errno::IO.into())
}

fn other(at: &At, why: &str) -> BackendError {
    BackendError::Other { at: Box::new(at.clone()), source: Some(why.into()) }
}
