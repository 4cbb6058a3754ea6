//! A backend that is far away, for tests of how many requests are on their way at a time.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::backend::error::BackendError;
use crate::backend::location::Location;
use crate::backend::{Backend, Junk, Listed, Put};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// Answers every call late.
pub struct Slow {
    inner: Arc<dyn Backend>,
    delay: Duration,
    in_flight: AtomicUsize,
    in_flight_max: AtomicUsize,
}

impl Slow {
    /// Answers for `inner`, each time after `delay`.
    pub fn new(inner: Arc<dyn Backend>, delay: Duration) -> Arc<Self> {
        let (in_flight, in_flight_max) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { inner, delay, in_flight, in_flight_max })
    }

    /// Most calls that were ever on their way together.
    pub fn in_flight_max(&self) -> usize {
        self.in_flight_max.load(Ordering::SeqCst)
    }

    fn call<T>(&self, call: impl FnOnce(&dyn Backend) -> T) -> T {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.in_flight_max.fetch_max(now, Ordering::SeqCst);
        thread::sleep(self.delay);
        let answer = call(&*self.inner);
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

impl Backend for Slow {
    fn location(&self) -> &Location {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        self.call(|inner| inner.put(name, sealed))
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        self.call(|inner| inner.get(name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        self.call(|inner| inner.get_range(name, range))
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        self.call(|inner| inner.stat(name))
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        self.call(|inner| inner.list(kind, each))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        self.call(|inner| inner.delete(name))
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        self.call(|inner| inner.heal(name, sealed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::conformance::{self, Subject};
    use crate::backend::memory::Memory;
    use crate::base::SystemClock;

    #[test]
    fn being_far_away_changes_nothing() {
        conformance::check(&|| {
            let memory = Memory::new("slow", Arc::new(SystemClock));
            let planter = Arc::clone(&memory);
            Subject {
                backend: Slow::new(memory, Duration::ZERO),
                plant: Box::new(move |name, bytes| planter.plant(name, bytes.to_vec())),
            }
        });
    }
}
