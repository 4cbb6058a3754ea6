//! A backend that remembers every call, for tests that assert how many requests of which kind an
//! operation makes.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::error::BackendError;
use crate::backend::location::Location;
use crate::backend::verb::Verb;
use crate::backend::{Backend, Junk, Listed, Put};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// One call of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was asked for.
    pub verb: Verb,
    /// The kind of object.
    pub kind: ObjectKind,
    /// The name of the object; for a listing the prefix.
    pub name: String,
    /// Bytes sent or received, whether or not the call succeeded. A put that found the name taken
    /// sent its bytes too.
    pub bytes: u64,
    /// Objects listed, or 1 for a put that created its object, else 0.
    pub objects: u64,
}

/// Remembers every call. Grows without limit, so it is for tests.
pub struct Counted {
    inner: Arc<dyn Backend>,
    calls: Mutex<Vec<Call>>,
}

impl Counted {
    /// Watches `inner`.
    pub fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, calls: Mutex::default() })
    }

    /// Every call since the start or the last [`Counted::take`], in the order of their returns.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().clone()
    }

    /// As [`Counted::calls`], and starts anew.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut self.lock())
    }

    /// How often `verb` was asked for.
    pub fn count(&self, verb: Verb) -> usize {
        self.lock().iter().filter(|call| call.verb == verb).count()
    }

    /// Objects of `kind` that were created.
    pub fn created(&self, kind: ObjectKind) -> u64 {
        let calls = self.lock();
        let puts = calls.iter().filter(|call| call.verb == Verb::Put && call.kind == kind);
        puts.map(|call| call.objects).sum()
    }

    /// Bytes sent by puts.
    pub fn bytes_put(&self) -> u64 {
        self.lock().iter().filter(|call| call.verb == Verb::Put).map(|call| call.bytes).sum()
    }

    /// Bytes received by reads of whole objects and of parts.
    pub fn bytes_read(&self) -> u64 {
        let is_read = |call: &&Call| matches!(call.verb, Verb::Get | Verb::GetRange);
        self.lock().iter().filter(is_read).map(|call| call.bytes).sum()
    }

    fn record(&self, verb: Verb, name: &ObjectName, bytes: u64, objects: u64) {
        let (kind, name) = (name.kind(), name.as_str().to_owned());
        self.lock().push(Call { verb, kind, name, bytes, objects });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Counted {
    fn location(&self) -> &Location {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        let result = self.inner.put(name, sealed);
        let created = u64::from(matches!(result, Ok(Put::Created)));
        self.record(Verb::Put, name, sealed.len(), created);
        result
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        let result = self.inner.get(name);
        self.record(Verb::Get, name, result.as_ref().map_or(0, Sealed::len), 0);
        result
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        let result = self.inner.get_range(name, range);
        self.record(Verb::GetRange, name, result.as_ref().map_or(0, Sealed::len), 0);
        result
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        let result = self.inner.stat(name);
        self.record(Verb::Stat, name, 0, 0);
        result
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        let mut objects = 0;
        let result = self.inner.list(kind, &mut |listed| {
            objects += u64::from(listed.is_ok());
            each(listed);
        });
        let name = kind.prefix().to_owned();
        self.lock().push(Call { verb: Verb::List, kind, name, bytes: 0, objects });
        result
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        let result = self.inner.delete(name);
        self.record(Verb::Delete, name, 0, 0);
        result
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        let result = self.inner.heal(name, sealed);
        self.record(Verb::Heal, name, sealed.len(), 0);
        result
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backend::conformance::{self, Subject};
    use crate::backend::memory::Memory;
    use crate::base::SystemClock;

    #[test]
    fn counting_changes_nothing() {
        conformance::check(&|| {
            let memory = Memory::new("counted", Arc::new(SystemClock));
            let planter = Arc::clone(&memory);
            Subject {
                backend: Counted::new(memory),
                plant: Box::new(move |name, bytes| planter.plant(name, bytes.to_vec())),
            }
        });
    }

    #[test]
    fn calls_are_remembered_with_their_bytes() {
        let counted = Counted::new(Memory::new("counted", Arc::new(SystemClock)));
        let name = ObjectName::config(1);
        let sealed = Sealed::from_store(Bytes::from_static(b"12345"));
        assert_eq!(counted.put(&name, &sealed).expect("stored"), Put::Created);
        assert_eq!(counted.put(&name, &sealed).expect("asked"), Put::Exists);
        counted.get_range(&name, 1..3).expect("read");
        counted.list(ObjectKind::Config, &mut |_| {}).expect("listed");
        let expect = [(Verb::Put, 5, 1), (Verb::Put, 5, 0), (Verb::GetRange, 2, 0)];
        let calls = counted.calls();
        for (call, (verb, bytes, objects)) in calls.iter().zip(expect) {
            assert_eq!((call.verb, call.bytes, call.objects), (verb, bytes, objects));
        }
        assert_eq!(
            (calls[3].verb, calls[3].name.as_str(), calls[3].objects),
            (Verb::List, "config/", 1)
        );
        assert_eq!(counted.created(ObjectKind::Config), 1);
        assert_eq!((counted.bytes_put(), counted.bytes_read()), (10, 2));
        assert_eq!((counted.take().len(), counted.calls().len()), (4, 0));
    }
}
