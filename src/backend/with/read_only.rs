//! A backend that refuses to write, whatever the place would permit.

use std::ops::Range;
use std::sync::Arc;

use crate::backend::error::{At, BackendError};
use crate::backend::location::Location;
use crate::backend::verb::Verb;
use crate::backend::{Backend, Junk, Listed, Probe, Put};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// Passes on what reads and refuses the rest, so that no reading command writes by mistake.
pub struct ReadOnly(Arc<dyn Backend>);

impl ReadOnly {
    /// Guards `inner`.
    pub fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self(inner))
    }

    fn refuse<T>(&self, at: At) -> Result<T, BackendError> {
        let source = Some("it was opened for reading only".into());
        Err(BackendError::Access { at: Box::new(at), source })
    }
}

impl Backend for ReadOnly {
    fn location(&self) -> &Location {
        self.0.location()
    }

    fn put(&self, name: &ObjectName, _sealed: &Sealed) -> Result<Put, BackendError> {
        self.refuse(At::object(self.location(), Verb::Put, name))
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

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        self.refuse(At::object(self.location(), Verb::Delete, name))
    }

    fn heal(&self, name: &ObjectName, _sealed: &Sealed) -> Result<(), BackendError> {
        self.refuse(At::object(self.location(), Verb::Heal, name))
    }

    fn probe(&self) -> Result<Probe, BackendError> {
        self.refuse(At::place(self.location(), Verb::Put))
    }
}
