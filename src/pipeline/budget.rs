//! A bound on the bytes that are between two stages.

use std::sync::{Condvar, Mutex};

/// Bytes that may be in flight; whoever brings more waits.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    used: Mutex<usize>,
    freed: Condvar,
}

/// Bytes taken from a budget until it is dropped.
#[derive(Debug)]
pub struct Grant<'a> {
    budget: &'a Budget,
    len: usize,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: usize) -> Self {
        Self { total, used: Mutex::new(0), freed: Condvar::new() }
    }

    /// Takes `len` bytes, waiting for others to give back. More than the total counts as all of
    /// it, so that nothing waits for ever.
    pub fn take(&self, len: usize) -> Grant<'_> {
        let len = len.min(self.total);
        let used = self.used.lock().expect("no thread panics while it holds the lock");
        let mut used = self
            .freed
            .wait_while(used, |used| *used + len > self.total)
            .expect("no thread panics while it holds the lock");
        *used += len;
        Grant { budget: self, len }
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        if let Ok(mut used) = self.budget.used.lock() {
            *used -= self.len;
        }
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_total_is_out() {
        let budget = Budget::new(100);
        let first = budget.take(60);
        std::thread::scope(|s| {
            let waiting = s.spawn(|| {
                let _grant = budget.take(60);
                *budget.used.lock().expect("not poisoned")
            });
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!waiting.is_finished());
            drop(first);
            assert_eq!(waiting.join().expect("it ends"), 60);
        });
        let _all = budget.take(1000);
    }
}
