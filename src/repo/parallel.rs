//! Asks a backend for many objects at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::base::simulated::is_simulated;

/// Requests in flight at a time: enough to hide how far away a store is, few enough for any.
pub const REQUEST_COUNT_MAX: usize = 16;

/// What `ask` says of each of `names`, in their order. A single name is asked for on this thread.
pub fn ask_all<N: Sync, T: Send>(names: &[N], ask: &(impl Fn(&N) -> T + Sync)) -> Vec<T> {
    let thread_count = REQUEST_COUNT_MAX.min(names.len());
    if thread_count < 2 || is_simulated() {
        return names.iter().map(ask).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut answers = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = names.get(place) else { return answers };
            answers.push((place, ask(name)));
        }
    };
    let mut answers: Vec<(usize, T)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..thread_count).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().flat_map(|thread| match thread.join() {
            Ok(answers) => answers,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    });
    answers.sort_unstable_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_questions() {
        for count in [0, 1, 2, 15, 16, 17, 1000] {
            let names: Vec<u64> = (0..count).collect();
            let expect: Vec<u64> = names.iter().map(|n| n * n).collect();
            assert_eq!(ask_all(&names, &|n| n * n), expect);
        }
    }
}
