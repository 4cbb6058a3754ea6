//! A backend whose process is killed at some request, for tests of what is left then.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::backend::error::{At, BackendError};
use crate::backend::location::Location;
use crate::backend::verb::Verb;
use crate::backend::{Backend, Junk, Listed, Put};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// Answers so many requests, and none from then on.
pub struct Mortal {
    inner: Arc<dyn Backend>,
    left: AtomicU64,
    /// Whether the request that was under way takes effect.
    last_takes_effect: bool,
}

/// What becomes of a request.
enum Fate {
    Answered,
    /// Carried out, and nobody hears of it.
    Unheard,
    Lost,
}

impl Mortal {
    /// Lets `inner` answer `count` requests.
    pub fn new(inner: Arc<dyn Backend>, count: u64, last_takes_effect: bool) -> Arc<Self> {
        Arc::new(Self { inner, left: AtomicU64::new(count + 1), last_takes_effect })
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    fn ask<T>(
        &self,
        at: At,
        request: impl FnOnce() -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let killed = || {
            let source = Some("the process was killed".into());
            Err(BackendError::Other { at: Box::new(at), source })
        };
        match self.fate() {
            Fate::Answered => request(),
            Fate::Lost => killed(),
            Fate::Unheard => {
                drop(request());
                killed()
            }
        }
    }

    fn fate(&self) -> Fate {
        let one_less = |left: u64| left.checked_sub(1);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(1) if self.last_takes_effect => Fate::Unheard,
            Ok(1) | Err(_) => Fate::Lost,
            Ok(_) => Fate::Answered,
        }
    }

    fn at(&self, verb: Verb, name: &ObjectName) -> At {
        At::object(self.location(), verb, name)
    }
}

impl Backend for Mortal {
    fn location(&self) -> &Location {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        self.ask(self.at(Verb::Put, name), || self.inner.put(name, sealed))
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        self.ask(self.at(Verb::Get, name), || self.inner.get(name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        self.ask(self.at(Verb::GetRange, name), || self.inner.get_range(name, range))
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        self.ask(self.at(Verb::Stat, name), || self.inner.stat(name))
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        let at = At::kind(self.location(), Verb::List, kind);
        self.ask(at, || self.inner.list(kind, each))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        self.ask(self.at(Verb::Delete, name), || self.inner.delete(name))
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        self.ask(self.at(Verb::Heal, name), || self.inner.heal(name, sealed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::memory::Memory;
    use crate::base::SystemClock;

    #[test]
    fn after_the_last_request_nothing_is_answered() {
        for takes_effect in [false, true] {
            let memory = Memory::new("mortal", Arc::new(SystemClock));
            let mortal = Mortal::new(memory.clone(), 2, takes_effect);
            let name = ObjectName::config;
            let sealed = Sealed::from_store(bytes::Bytes::from_static(b"x"));
            for number in 1..=2 {
                assert_eq!(mortal.put(&name(number), &sealed).expect("it lives"), Put::Created);
            }
            assert!(!mortal.is_dead());
            for number in 3..=5 {
                assert!(mortal.put(&name(number), &sealed).is_err());
            }
            assert!(mortal.is_dead() && mortal.get(&name(1)).is_err());
            let is_there = |number| memory.get(&name(number)).is_ok();
            assert_eq!([3, 4, 5].map(is_there), [takes_effect, false, false]);
        }
    }
}
