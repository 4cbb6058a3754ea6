//! What signals ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

use super::exit;
use crate::base::{Cancel, ErrorKind};

/// Flags that signals raise.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    report: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

/// Keeps SIGUSR1 from ending the process before there is anything to report.
pub(crate) fn ignore_early() {
    // Without it a signal ends the process, which is safe at any time.
    drop(flag::register(SIGUSR1, Arc::default()));
}

impl Signals {
    /// Takes over Ctrl-C, SIGTERM and SIGUSR1.
    ///
    /// Called when a run starts and not before: while a passphrase is typed, Ctrl-C ends the
    /// process as everywhere else.
    pub(crate) fn install(cancel: &Cancel) -> Self {
        let signals = Self { report: Arc::default(), stop: Arc::default() };
        let code = i32::from(exit::code_of(ErrorKind::Cancelled));
        // In this order: the second Ctrl-C finds the flag that the first one, or SIGTERM, raised.
        let taken = flag::register_conditional_shutdown(SIGINT, code, Arc::clone(&signals.stop))
            .and_then(|_| flag::register(SIGINT, Arc::clone(&signals.stop)))
            .and_then(|_| flag::register(SIGINT, cancel.flag()))
            .and_then(|_| flag::register(SIGTERM, Arc::clone(&signals.stop)))
            .and_then(|_| flag::register(SIGTERM, cancel.flag()))
            .and_then(|_| flag::register(SIGUSR1, Arc::clone(&signals.report)));
        // Without them a signal ends the process, which is safe at any time.
        drop(taken);
        signals
    }

    /// Whether a status line was asked for since the last call.
    pub(crate) fn take_report(&self) -> bool {
        self.report.swap(false, Ordering::Relaxed)
    }

    /// Whether a stop was asked for.
    pub(crate) fn was_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
