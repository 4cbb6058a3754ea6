//! A backend that writes every call into the log.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use tracing::{Level, debug};

use crate::backend::error::BackendError;
use crate::backend::location::Location;
use crate::backend::verb::Verb;
use crate::backend::{Backend, Junk, Listed, Probe, Put};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// What these lines are filtered by.
const TARGET: &str = "parados::backend";

/// Passes every call on, and says what became of it and how long it took. Names and lengths are
/// what the place sees anyway; bytes are never written.
pub struct Logged(Arc<dyn Backend>);

impl Logged {
    /// Watches `inner`, if anybody wants to read about it.
    pub fn around(inner: Arc<dyn Backend>) -> Arc<dyn Backend> {
        if tracing::enabled!(target: TARGET, Level::DEBUG) { Arc::new(Self(inner)) } else { inner }
    }

    /// Makes a call; `len` is the number of bytes that went over.
    fn call<T>(
        &self,
        verb: Verb,
        name: &dyn Display,
        len: impl FnOnce(&T) -> u64,
        call: impl FnOnce(&dyn Backend) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let started = Instant::now();
        let result = call(&*self.0);
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        match &result {
            Ok(answer) => debug!(target: TARGET, %verb, %name, len = len(answer), ms, "done"),
            Err(error) => debug!(target: TARGET, %verb, %name, kind = ?error.kind(), ms, "failed"),
        }
        result
    }
}

impl Backend for Logged {
    fn location(&self) -> &Location {
        self.0.location()
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        self.call(Verb::Put, name, |_| sealed.len(), |inner| inner.put(name, sealed))
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        self.call(Verb::Get, name, Sealed::len, |inner| inner.get(name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        self.call(Verb::GetRange, name, Sealed::len, |inner| inner.get_range(name, range))
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        self.call(Verb::Stat, name, |_| 0, |inner| inner.stat(name))
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        self.call(Verb::List, &kind.prefix(), |()| 0, |inner| inner.list(kind, each))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        self.call(Verb::Delete, name, |()| 0, |inner| inner.delete(name))
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        self.call(Verb::Heal, name, |()| sealed.len(), |inner| inner.heal(name, sealed))
    }

    fn probe(&self) -> Result<Probe, BackendError> {
        self.0.probe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::conformance::{self, Subject};
    use crate::backend::memory::Memory;
    use crate::base::SystemClock;

    #[test]
    fn being_watched_changes_nothing() {
        conformance::check(&|| {
            let memory = Memory::new("logged", Arc::new(SystemClock));
            let planter = Arc::clone(&memory);
            Subject {
                backend: Arc::new(Logged(memory)),
                plant: Box::new(move |name, bytes| planter.plant(name, bytes.to_vec())),
            }
        });
    }

    #[test]
    fn nobody_is_watched_for_nobody() {
        let memory: Arc<dyn Backend> = Memory::new("logged", Arc::new(SystemClock));
        assert!(Arc::ptr_eq(&Logged::around(Arc::clone(&memory)), &memory));
    }
}
