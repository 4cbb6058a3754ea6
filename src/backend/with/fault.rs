//! A backend that fails on purpose, for tests of everything above it.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::backend::error::{At, BackendError, What};
use crate::backend::location::Location;
use crate::backend::verb::Verb;
use crate::backend::{Backend, Junk, Listed, Put};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A transient error, without effect.
    Before,
    /// A transient error, after the effect: a lost reply.
    After,
    /// A transient error now; the effect of a put or delete comes with [`Faulty::land_ghosts`].
    Ghost,
    /// Permission denied, without effect.
    Denied,
    /// The disk fails, without effect.
    Broken,
    /// The object is not found though it is there, as from a listing that lies.
    Missing,
    /// One bit of what is read is wrong, in the middle; of an empty object the length is.
    Flipped,
    /// What is read lacks its last byte.
    Short,
    /// A put overwrites, as a store that does not know create-if-absent.
    Overwrite,
}

/// Which calls a fault happens to.
#[derive(Clone, Debug)]
pub struct Rule {
    verb: Verb,
    kind: Option<ObjectKind>,
    fault: Fault,
    skip: u32,
    times: u32,
}

impl Rule {
    /// `fault` happens to the next call of `verb`.
    pub fn on(verb: Verb, fault: Fault) -> Self {
        Self { verb, kind: None, fault, skip: 0, times: 1 }
    }

    /// Only for objects of `kind`.
    #[must_use]
    pub fn of(mut self, kind: ObjectKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Lets the first `count` matching calls pass.
    #[must_use]
    pub fn after(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Happens to `count` matching calls instead of one.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.times = count;
        self
    }
}

/// Fails by rule, by chance, or for lack of space.
pub struct Faulty {
    inner: Arc<dyn Backend>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    chance: Option<Chance>,
    space: Option<u64>,
    ghosts: Vec<Ghost>,
    fault_count: u64,
}

/// Faults by chance: the same seed and the same order of calls give the same faults.
struct Chance {
    state: u64,
    per_mille: u64,
    faults: Vec<Fault>,
}

enum Ghost {
    Put(ObjectName, Sealed),
    Delete(ObjectName),
}

impl Faulty {
    /// Fails only by rule.
    pub fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, state: Mutex::default() })
    }

    /// Adds a rule; the first that matches a call is used.
    pub fn inject(&self, rule: Rule) {
        self.lock().rules.push(rule);
    }

    /// From now on `per_mille` of a thousand calls fail with one of `faults`.
    pub fn by_chance(&self, seed: u64, per_mille: u64, faults: &[Fault]) {
        self.lock().chance = Some(Chance { state: seed, per_mille, faults: faults.to_vec() });
    }

    /// Puts may store `bytes` more before the place is full. Deleting frees nothing.
    pub fn limit_space(&self, bytes: u64) {
        self.lock().space = Some(bytes);
    }

    /// Ends every fault; ghosts stay on their way.
    pub fn calm(&self) {
        let mut state = self.lock();
        state.rules.clear();
        state.chance = None;
        state.space = None;
    }

    /// How many faults happened.
    pub fn fault_count(&self) -> u64 {
        self.lock().fault_count
    }

    /// Lets every request that was lost on its way arrive, in order. Returns how many.
    ///
    /// # Panics
    /// When the backend below fails: a test that stacks faults wants to know.
    pub fn land_ghosts(&self) -> usize {
        let ghosts = std::mem::take(&mut self.lock().ghosts);
        let count = ghosts.len();
        for ghost in ghosts {
            match ghost {
                Ghost::Put(name, sealed) => {
                    self.inner.put(&name, &sealed).expect("the backend below works");
                }
                Ghost::Delete(name) => self.inner.delete(&name).expect("the backend below works"),
            }
        }
        count
    }

    fn fault(&self, verb: Verb, kind: ObjectKind) -> Option<Fault> {
        let mut state = self.lock();
        let fault = state.by_rule(verb, kind).or_else(|| state.chance.as_mut()?.draw());
        state.fault_count += u64::from(fault.is_some());
        fault
    }

    /// Runs one call with whatever fault is due. `ghost` is what a lost request would do later.
    fn call<T>(
        &self,
        at: At,
        kind: ObjectKind,
        ghost: impl FnOnce() -> Option<Ghost>,
        run: impl FnOnce(Option<Fault>) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let fault = self.fault(at.verb, kind);
        let at = Box::new(at);
        let source = Some("injected by a test".into());
        match fault {
            Some(Fault::Before) => Err(BackendError::Offline { at, source }),
            Some(Fault::After) => {
                run(None)?;
                Err(BackendError::Offline { at, source })
            }
            Some(Fault::Ghost) => {
                if let Some(ghost) = ghost() {
                    self.lock().ghosts.push(ghost);
                }
                Err(BackendError::Offline { at, source })
            }
            Some(Fault::Denied) => Err(BackendError::Access { at, source }),
            Some(Fault::Broken) => Err(BackendError::Other { at, source }),
            Some(Fault::Missing) if matches!(at.what, What::Object(_)) => {
                Err(BackendError::NotFound { at })
            }
            fault => run(fault),
        }
    }

    fn at(&self, verb: Verb, name: &ObjectName) -> At {
        At::object(self.inner.location(), verb, name)
    }

    /// Takes `len` bytes of the space that is left.
    fn take_space(&self, name: &ObjectName, len: u64) -> Result<(), BackendError> {
        let mut state = self.lock();
        let Some(space) = state.space else {
            return Ok(());
        };
        if len > space || space == 0 {
            state.fault_count += 1;
            let at = Box::new(self.at(Verb::Put, name));
            return Err(BackendError::Full { at, source: Some("injected by a test".into()) });
        }
        state.space = Some(space - len);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn by_rule(&mut self, verb: Verb, kind: ObjectKind) -> Option<Fault> {
        for rule in &mut self.rules {
            if rule.verb != verb || rule.kind.is_some_and(|k| k != kind) || rule.times == 0 {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times -= 1;
            return Some(rule.fault);
        }
        None
    }
}

impl Chance {
    fn draw(&mut self) -> Option<Fault> {
        if self.faults.is_empty() || self.next() % 1000 >= self.per_mille {
            return None;
        }
        let index = self.next() % self.faults.len() as u64;
        Some(self.faults[index as usize])
    }

    /// SplitMix64: small, and good enough to scatter faults.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Backend for Faulty {
    fn location(&self) -> &Location {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        let ghost = || Some(Ghost::Put(name.clone(), sealed.clone()));
        self.call(self.at(Verb::Put, name), name.kind(), ghost, |fault| {
            self.take_space(name, sealed.len())?;
            if fault == Some(Fault::Overwrite) {
                self.inner.delete(name)?;
                self.inner.put(name, sealed)?;
                return Ok(Put::Created);
            }
            self.inner.put(name, sealed)
        })
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        self.call(
            self.at(Verb::Get, name),
            name.kind(),
            || None,
            |fault| Ok(spoil(fault, self.inner.get(name)?)),
        )
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        self.call(
            self.at(Verb::GetRange, name),
            name.kind(),
            || None,
            |fault| Ok(spoil(fault, self.inner.get_range(name, range)?)),
        )
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        self.call(
            self.at(Verb::Stat, name),
            name.kind(),
            || None,
            |fault| {
                let mut listed = self.inner.stat(name)?;
                if fault == Some(Fault::Short) {
                    listed.len = listed.len.saturating_sub(1);
                }
                Ok(listed)
            },
        )
    }

    /// A short listing lacks its first object.
    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        let at = At::kind(self.inner.location(), Verb::List, kind);
        self.call(
            at,
            kind,
            || None,
            |fault| {
                let mut lacking = matches!(fault, Some(Fault::Short | Fault::Missing));
                self.inner.list(kind, &mut |listed| {
                    if lacking && listed.is_ok() {
                        lacking = false;
                    } else {
                        each(listed);
                    }
                })
            },
        )
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        let ghost = || Some(Ghost::Delete(name.clone()));
        self.call(self.at(Verb::Delete, name), name.kind(), ghost, |_| self.inner.delete(name))
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        self.call(
            self.at(Verb::Heal, name),
            name.kind(),
            || None,
            |_| self.inner.heal(name, sealed),
        )
    }
}

fn spoil(fault: Option<Fault>, sealed: Sealed) -> Sealed {
    let mut bytes = sealed.bytes().to_vec();
    match fault {
        Some(Fault::Flipped) => match bytes.len() {
            0 => bytes.push(0),
            len => bytes[len / 2] ^= 1,
        },
        Some(Fault::Short) => {
            bytes.pop();
        }
        _ => return sealed,
    }
    Sealed::from_store(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::conformance::{self, Subject};
    use crate::backend::memory::Memory;
    use crate::base::SystemClock;

    fn sealed(text: &'static str) -> Sealed {
        Sealed::from_store(Bytes::from_static(text.as_bytes()))
    }

    fn world() -> (Arc<Faulty>, ObjectName) {
        let faulty = Faulty::new(Memory::new("faulty", Arc::new(SystemClock)));
        (faulty, ObjectName::config(1))
    }

    #[test]
    fn without_faults_nothing_changes() {
        conformance::check(&|| {
            let memory = Memory::new("faulty", Arc::new(SystemClock));
            let planter = Arc::clone(&memory);
            Subject {
                backend: Faulty::new(memory),
                plant: Box::new(move |name, bytes| planter.plant(name, bytes.to_vec())),
            }
        });
    }

    #[test]
    fn rules_skip_match_and_end() {
        let (faulty, name) = world();
        let rule = Rule::on(Verb::Put, Fault::Broken).of(ObjectKind::Config).after(1).times(1);
        faulty.inject(rule);
        faulty.put(&name, &sealed("a")).expect("skipped");
        faulty.put(&ObjectName::parse("ledger/a/b").expect("a name"), &sealed("a")).expect("other");
        assert!(matches!(faulty.put(&name, &sealed("a")), Err(BackendError::Other { .. })));
        assert_eq!(faulty.put(&name, &sealed("a")).expect("used up"), Put::Exists);
        assert_eq!(faulty.fault_count(), 1);
    }

    #[test]
    fn errors_before_and_after_the_effect_differ_in_the_effect_only() {
        let (faulty, name) = world();
        faulty.inject(Rule::on(Verb::Put, Fault::Before));
        assert!(faulty.put(&name, &sealed("a")).expect_err("injected").is_transient());
        assert!(faulty.get(&name).expect_err("absent").is_not_found());
        faulty.inject(Rule::on(Verb::Put, Fault::After));
        assert!(faulty.put(&name, &sealed("a")).expect_err("injected").is_transient());
        assert_eq!(faulty.get(&name).expect("stored"), sealed("a"));
        faulty.inject(Rule::on(Verb::Delete, Fault::Ghost));
        assert!(faulty.delete(&name).expect_err("injected").is_transient());
        assert_eq!(faulty.get(&name).expect("still there"), sealed("a"));
        assert_eq!(faulty.land_ghosts(), 1);
        assert!(faulty.get(&name).expect_err("gone").is_not_found());
    }

    #[test]
    fn reads_are_flipped_and_short() {
        let (faulty, name) = world();
        faulty.put(&name, &sealed("abc")).expect("stored");
        faulty.inject(Rule::on(Verb::Get, Fault::Flipped));
        faulty.inject(Rule::on(Verb::Get, Fault::Short));
        assert_eq!(faulty.get(&name).expect("read"), sealed("acc"));
        assert_eq!(faulty.get(&name).expect("read"), sealed("ab"));
        assert_eq!(faulty.get(&name).expect("read"), sealed("abc"));
    }

    #[test]
    fn space_runs_out() {
        let (faulty, name) = world();
        faulty.limit_space(4);
        faulty.put(&name, &sealed("abc")).expect("it fits");
        let full = faulty.put(&ObjectName::config(2), &sealed("abc"));
        assert!(matches!(full, Err(BackendError::Full { .. })));
        assert!(faulty.get(&ObjectName::config(2)).expect_err("absent").is_not_found());
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let run = |seed| {
            let (faulty, name) = world();
            faulty.by_chance(seed, 300, &[Fault::Before, Fault::Broken]);
            (0..100).map(|_| faulty.stat(&name).expect_err("absent").kind()).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
