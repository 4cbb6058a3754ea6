//! What all actors of a schedule share.

use std::collections::{BTreeSet, BinaryHeap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::baton::{Baton, SkewedClock};
use super::oracle::Oracle;
use crate::backend::memory::Memory;
use crate::backend::{Backend, Put};
use crate::base::{Clock, Error, Timestamp, simulated};
use crate::format::name::Parsed;
use crate::format::{ObjectKind, ObjectName};
use crate::index::Index;
use crate::repo::Repository;
use crate::seal::Sealed;

/// What a request does once it reaches the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    Put(ObjectName, Bytes),
    Delete(ObjectName),
}

/// The objects and those who watch them.
pub(super) struct World {
    pub(super) memory: Arc<Memory>,
    pub(super) baton: Arc<Baton>,
    pub(super) oracle: Mutex<Oracle>,
    clock: SkewedClock,
    late: Mutex<BinaryHeap<std::cmp::Reverse<(u64, Effect)>>>,
    /// Names of what was stored in part.
    torn: Mutex<BTreeSet<String>>,
    /// Every object that was made, in this order: names differ from run to run, as paths do.
    made: Mutex<Vec<ObjectName>>,
    has_lost_segments: AtomicBool,
    is_over: AtomicBool,
    violation: Mutex<Option<String>>,
    /// Every request, when somebody wants to read it.
    log: Option<Mutex<String>>,
}

impl World {
    /// A world with the objects of `origin`, an empty repository.
    pub(super) fn new(baton: Arc<Baton>, origin: &Memory, is_told: bool) -> Arc<Self> {
        let clock = || SkewedClock { baton: Arc::clone(&baton), ahead: 0 };
        let memory = Memory::new("simulation", Arc::new(clock()));
        for (name, bytes) in origin.contents() {
            memory.plant(&name, bytes);
        }
        let raw = Arc::clone(&memory) as Arc<dyn Backend>;
        let repository = Repository::open(raw, &mut |_| Ok(super::secret())).expect("it is whole");
        Arc::new(Self {
            memory,
            clock: clock(),
            oracle: Mutex::new(Oracle::new(repository)),
            late: Mutex::default(),
            torn: Mutex::default(),
            made: Mutex::default(),
            has_lost_segments: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            violation: Mutex::default(),
            log: is_told.then(Mutex::default),
            baton,
        })
    }

    /// The time of the store.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The name of a snapshot that is there, and that some writer has seen.
    pub(super) fn any_seen_snapshot(&self) -> Option<ObjectName> {
        let oracle = self.oracle.lock().expect("not poisoned");
        let seen: BTreeSet<_> = oracle.live().flat_map(|(_, known)| &known.seen).collect();
        let live = oracle.live().filter(|(id, _)| seen.contains(id));
        let names: Vec<_> = live.map(|(id, _)| ObjectName::snapshot(*id)).collect();
        drop(oracle);
        if names.is_empty() {
            None
        } else {
            Some(self.baton.dice(|dice| dice.pick(&names).clone()))
        }
    }

    /// Stores an object in part.
    pub(super) fn tear(&self, effect: Effect) {
        let Effect::Put(name, bytes) = effect else { unreachable!("only what is stored is torn") };
        let len = self.baton.dice(|dice| dice.below(bytes.len() as u64)) as usize;
        self.torn.lock().expect("not poisoned").insert(name.as_str().to_owned());
        self.apply(Effect::Put(name, bytes.slice(..len)));
    }

    /// Loses an index segment, if there is one. What it said its packs say themselves.
    pub(super) fn lose_segment(&self) {
        if self.lose(ObjectKind::Index).is_some() {
            self.has_lost_segments.store(true, Ordering::Relaxed);
            self.oracle.lock().expect("not poisoned").lose_segment();
        }
    }

    /// Loses a pack, if there is one, with all that it holds.
    pub(super) fn lose_pack(&self) {
        if let Some(Parsed::Pack(id)) = self.lose(ObjectKind::Pack).map(|name| name.parsed()) {
            self.oracle.lock().expect("not poisoned").lose_pack(&id);
        }
    }

    fn lose(&self, kind: ObjectKind) -> Option<ObjectName> {
        let made = self.made.lock().expect("not poisoned");
        let is_there = |name: &&ObjectName| name.kind() == kind && self.memory.stat(name).is_ok();
        let names: Vec<_> = made.iter().filter(is_there).collect();
        if names.is_empty() {
            return None;
        }
        let name = self.baton.dice(|dice| (*dice.pick(&names)).clone());
        self.note(99, || format!("loses {name}"));
        self.memory.delete(&name).expect("memory does not fail");
        Some(name)
    }

    /// Whether segments were lost.
    pub(super) fn has_lost_segments(&self) -> bool {
        self.has_lost_segments.load(Ordering::Relaxed)
    }

    /// Whether an error is about an object that was stored in part.
    pub(super) fn is_torn(&self, error: &Error) -> bool {
        let torn = self.torn.lock().expect("not poisoned");
        let object = error.object.as_deref().unwrap_or_default();
        torn.iter().any(|name| object.contains(name))
    }

    /// Whether a cache says what is so.
    pub(super) fn compare_cache(&self, index: &dyn Index) {
        let told = self.oracle.lock().expect("not poisoned").agrees_with(index);
        told.unwrap_or_else(|what| self.violated(what));
    }

    /// Whether the schedule is over because something must never have happened.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Ends the schedule: something must never have happened.
    pub(super) fn violated(&self, what: String) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut first = self.violation.lock().expect("not poisoned");
        if first.is_none() {
            self.note(99, || format!("VIOLATION {what}"));
            *first = Some(what);
        }
    }

    pub(super) fn violation(&self) -> Option<String> {
        self.violation.lock().expect("not poisoned").clone()
    }

    /// Writes down what an actor does.
    pub(super) fn note(&self, actor: usize, what: impl FnOnce() -> String) {
        if let Some(log) = &self.log {
            let mut log = log.lock().expect("not poisoned");
            let step = self.baton.steps();
            writeln!(log, "{step:>6} {actor}: {}", what()).expect("memory is there");
        }
    }

    /// Everything that was written down.
    pub(super) fn log(&self) -> String {
        self.log.as_ref().map(|log| log.lock().expect("not poisoned").clone()).unwrap_or_default()
    }

    /// What a request does, which the oracle looks at before anybody else.
    pub(super) fn apply(&self, effect: Effect) -> Put {
        let mut oracle = self.oracle.lock().expect("not poisoned");
        let told = simulated::knowing_all_rules(|| match &effect {
            Effect::Put(name, bytes) => {
                let sealed = Sealed::from_store(bytes.clone());
                match self.memory.put(name, &sealed).expect("memory does not fail") {
                    Put::Exists => Ok(Put::Exists),
                    Put::Created => {
                        self.made.lock().expect("not poisoned").push(name.clone());
                        oracle.created(name, bytes).map(|()| Put::Created)
                    }
                }
            }
            Effect::Delete(name) => {
                let was_there = self.memory.stat(name).is_ok();
                self.memory.delete(name).expect("memory does not fail");
                let looked = if was_there { oracle.deleted(name) } else { Ok(()) };
                looked.map(|()| Put::Created)
            }
        });
        told.unwrap_or_else(|what| {
            self.violated(what);
            Put::Created
        })
    }

    /// As [`World::apply`], so many requests from now.
    pub(super) fn apply_later(&self, requests: u64, effect: Effect) {
        let due = self.baton.steps() + requests;
        self.late.lock().expect("not poisoned").push(std::cmp::Reverse((due, effect)));
    }

    /// Lets everything take effect that was late and is due.
    pub(super) fn apply_due(&self, step: u64) {
        loop {
            let mut late = self.late.lock().expect("not poisoned");
            match late.pop() {
                Some(std::cmp::Reverse((due, effect))) if due <= step => {
                    drop(late);
                    self.note(98, || format!("late {}", effect.name()));
                    self.apply(effect);
                }
                Some(later) => return late.push(later),
                None => return,
            }
        }
    }
}

impl Effect {
    fn name(&self) -> &ObjectName {
        match self {
            Self::Put(name, _) | Self::Delete(name) => name,
        }
    }
}
