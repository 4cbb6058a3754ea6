//! Faults that do not stop a run: each is named at once and counted to the end.

use std::sync::Mutex;

use super::Error;

/// Most problems that are kept with their text; the rest are only counted.
const KEPT_MAX: usize = 10_000;

/// Shown every problem as it happens.
pub type Listener = Box<dyn Fn(&Error) + Send + Sync>;

/// Gathers problems from all threads of a run.
#[derive(Default)]
pub struct Problems {
    inner: Mutex<Inner>,
    listener: Option<Listener>,
}

#[derive(Default)]
struct Inner {
    kept: Vec<Error>,
    count: u64,
}

impl Problems {
    /// A gatherer that also shows each problem to `listener`.
    pub fn with_listener(listener: Listener) -> Self {
        Self { inner: Mutex::default(), listener: Some(listener) }
    }

    /// Adds one.
    pub fn push(&self, problem: Error) {
        if let Some(listener) = &self.listener {
            listener(&problem);
        }
        let mut inner = self.lock();
        inner.count += 1;
        if inner.kept.len() < KEPT_MAX {
            inner.kept.push(problem);
        }
    }

    /// Adds several.
    pub fn extend(&self, problems: impl IntoIterator<Item = Error>) {
        for problem in problems {
            self.push(problem);
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    /// Takes the kept ones, in the order they came.
    pub fn take(&self) -> Vec<Error> {
        std::mem::take(&mut self.lock().kept)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics while it holds the lock")
    }
}

impl std::fmt::Debug for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Problems({})", self.count())
    }
}
