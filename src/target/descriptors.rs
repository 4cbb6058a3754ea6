//! How many directories are open at a time.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Directories kept open: a quarter of the usual limit of 1,024 descriptors per process, which the
/// files being written, the backend and the local index share.
pub(super) const OPEN_COUNT_MAX: usize = 256;

/// The directories used last, open. One that is closed here stays open while a call uses it.
#[derive(Debug, Default)]
pub(super) struct Descriptors(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, Slot>,
    clock: u64,
    next_serial: u64,
}

#[derive(Debug)]
struct Slot {
    fd: Arc<OwnedFd>,
    used_at: u64,
}

impl Descriptors {
    /// A number that names one directory of this run.
    pub(super) fn serial(&self) -> u64 {
        let mut state = self.lock();
        state.next_serial += 1;
        state.next_serial
    }

    /// The descriptor of a directory, if it is open.
    pub(super) fn get(&self, serial: u64) -> Option<Arc<OwnedFd>> {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        let slot = state.open.get_mut(&serial)?;
        slot.used_at = now;
        Some(Arc::clone(&slot.fd))
    }

    /// Keeps the descriptor of a directory; closes the one that was not used for longest.
    pub(super) fn keep(&self, serial: u64, fd: Arc<OwnedFd>) {
        let mut state = self.lock();
        state.clock += 1;
        let slot = Slot { fd, used_at: state.clock };
        let replaced = state.open.insert(serial, slot);
        let evicted = if state.open.len() > OPEN_COUNT_MAX {
            let oldest =
                state.open.iter().min_by_key(|(_, slot)| slot.used_at).map(|(key, _)| *key);
            oldest.and_then(|key| state.open.remove(&key))
        } else {
            None
        };
        // Closing may wait for a network file system: not under the lock.
        drop(state);
        drop((replaced, evicted));
    }

    /// Closes the descriptor of a directory that is needed no more.
    pub(super) fn forget(&self, serial: u64) {
        let slot = self.lock().open.remove(&serial);
        drop(slot);
    }

    /// How many are open.
    #[cfg(test)]
    pub(super) fn open_count(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_not_used_for_longest_is_closed() {
        let descriptors = Descriptors::default();
        let fd = Arc::new(OwnedFd::from(std::fs::File::open("/").unwrap()));
        for serial in 0..OPEN_COUNT_MAX as u64 {
            descriptors.keep(serial, Arc::clone(&fd));
        }
        assert!(descriptors.get(0).is_some());
        descriptors.keep(1_000_000, Arc::clone(&fd));
        assert_eq!(descriptors.open_count(), OPEN_COUNT_MAX);
        assert!(descriptors.get(0).is_some() && descriptors.get(1).is_none());
        descriptors.forget(0);
        assert!(descriptors.get(0).is_none());
    }
}
