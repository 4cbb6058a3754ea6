//! A backend that keeps nothing of what it is given, for runs that only say what they would store.

use std::ops::Range;
use std::sync::Arc;

use crate::backend::error::{At, BackendError};
use crate::backend::location::Location;
use crate::backend::verb::Verb;
use crate::backend::{Backend, Junk, Listed, Probe, Put};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// Reads what is there, and says of all else that it is done.
pub struct DryRun(Arc<dyn Backend>);

impl DryRun {
    /// Guards `inner`, which is only read.
    pub fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self(inner))
    }
}

impl Backend for DryRun {
    fn location(&self) -> &Location {
        self.0.location()
    }

    fn put(&self, _name: &ObjectName, _sealed: &Sealed) -> Result<Put, BackendError> {
        Ok(Put::Created)
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        self.0.get(name)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        self.0.get_range(name, range)
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        self.0.stat(name)
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        self.0.list(kind, each)
    }

    fn delete(&self, _name: &ObjectName) -> Result<(), BackendError> {
        Ok(())
    }

    fn heal(&self, _name: &ObjectName, _sealed: &Sealed) -> Result<(), BackendError> {
        Ok(())
    }

    fn probe(&self) -> Result<Probe, BackendError> {
        let source = Some("a dry run writes nothing".into());
        Err(BackendError::Access { at: Box::new(At::place(self.location(), Verb::Put)), source })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::backend::memory::Memory;
    use crate::backend::with::count::Counted;
    use crate::base::SystemClock;

    #[test]
    fn nothing_that_writes_reaches_the_backend_below_and_reads_do() {
        let counted = Counted::new(Memory::new("dry-run", Arc::new(SystemClock)));
        let name = ObjectName::config(1);
        let sealed = Sealed::from_store(Bytes::from_static(b"x"));
        let backend = DryRun::new(Arc::clone(&counted) as Arc<dyn Backend>);
        assert_eq!(backend.put(&name, &sealed).expect("it says so"), Put::Created);
        backend.delete(&name).expect("it says so");
        backend.heal(&name, &sealed).expect("it says so");
        backend.probe().expect_err("it cannot know");
        assert_eq!(counted.calls(), []);
        assert!(matches!(backend.get(&name), Err(BackendError::NotFound { .. })));
        assert_eq!(counted.count(Verb::Get), 1);
    }
}
