//! The first fatal error of a run, seen by all its stages.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::{Error, ErrorKind};

/// Keeps the first fatal error. Stages that see it drain their queues and end.
#[derive(Debug, Default)]
pub struct Failure {
    is_raised: AtomicBool,
    first: Mutex<Option<Error>>,
}

impl Failure {
    /// Records `error` unless there is one already.
    pub fn raise(&self, error: Error) {
        let mut first = self.first.lock().expect("no thread panics while it holds the lock");
        first.get_or_insert(error);
        self.is_raised.store(true, Ordering::SeqCst);
    }

    /// Whether there is one.
    pub fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Relaxed)
    }

    /// Whether it is that no space is left.
    pub fn is_full(&self) -> bool {
        let first = self.first.lock().expect("no thread panics while it holds the lock");
        first.as_ref().is_some_and(|error| error.kind == ErrorKind::Full)
    }

    /// Takes it.
    pub fn take(&self) -> Option<Error> {
        self.first.lock().expect("no thread panics while it holds the lock").take()
    }
}
