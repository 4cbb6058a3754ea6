//! The request to stop, checked between units of work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Error, ErrorKind, Result};

/// A flag that a person (Ctrl-C) or a failing stage raises; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks everyone who holds a clone to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The shared flag, for a signal handler.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Fails with [`ErrorKind::Cancelled`] once a stop was asked for.
    ///
    /// # Errors
    /// Only that one.
    pub fn check(&self) -> Result<()> {
        if self.is_raised() {
            return Err(Error::new(ErrorKind::Cancelled, "stopped by request"));
        }
        Ok(())
    }
}
