//! A bound on the bytes that are between two stages.

use std::sync::{Condvar, Mutex};

/// Bytes that may be in flight; whoever brings more waits.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    used: Mutex<Used>,
    freed: Condvar,
}

/// Bytes that are out.
#[derive(Debug, Default)]
struct Used {
    now: usize,
    most: usize,
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
        Self { total, used: Mutex::default(), freed: Condvar::new() }
    }

    /// Takes `len` bytes, waiting for others to give back. More than the total counts as all of
    /// it, so that nothing waits for ever.
    pub fn take(&self, len: usize) -> Grant<'_> {
        let len = len.min(self.total);
        let used = self.used.lock().expect("no thread panics while it holds the lock");
        let mut used = self
            .freed
            .wait_while(used, |used| used.now + len > self.total)
            .expect("no thread panics while it holds the lock");
        used.now += len;
        used.most = used.most.max(used.now);
        Grant { budget: self, len }
    }

    /// Most bytes that were ever out together.
    pub fn most(&self) -> usize {
        self.used.lock().expect("no thread panics while it holds the lock").most
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        if let Ok(mut used) = self.budget.used.lock() {
            used.now -= self.len;
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
                budget.used.lock().expect("not poisoned").now
            });
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!waiting.is_finished());
            drop(first);
            assert_eq!(waiting.join().expect("it ends"), 60);
        });
        assert_eq!(budget.most(), 60);
        let _all = budget.take(1000);
        assert_eq!(budget.most(), 100);
    }
}
