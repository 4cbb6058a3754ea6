//! What a thread does otherwise that plays an actor of a simulation: it goes the same way each time.
//!
//! A program that is not a test has no such thread, and the compiler sees that.

use super::rules::Rule;

/// Whether this thread does everything itself, one thing after the other.
pub fn is_simulated() -> bool {
    #[cfg(test)]
    return actor::is_one();
    #[cfg(not(test))]
    false
}

/// Waits, but not where nothing takes time.
pub fn pause(duration: std::time::Duration) {
    if !is_simulated() {
        std::thread::sleep(duration);
    }
}

/// What bad memory does to bytes, where a test asked for that.
pub fn spoil(bytes: &mut [u8]) {
    #[cfg(test)]
    actor::spoil(bytes);
    #[cfg(not(test))]
    let _ = bytes;
}

/// Whether this thread plays one who does not know of a rule.
pub(super) fn is_off(rule: Rule) -> bool {
    #[cfg(test)]
    return actor::is_off(rule);
    #[cfg(not(test))]
    {
        let _ = rule;
        false
    }
}

#[cfg(test)]
pub(crate) use actor::{enter, fill, has_bad_memory, knowing_all_rules, leave};

#[cfg(test)]
mod actor {
    use std::cell::{Cell, RefCell};

    use crate::base::rules::Rule;

    struct Actor {
        random: blake3::OutputReader,
        off: Option<Rule>,
    }

    thread_local! {
        static ACTOR: RefCell<Option<Actor>> = const { RefCell::new(None) };
        static HAS_BAD_MEMORY: Cell<bool> = const { Cell::new(false) };
    }

    /// From here on the memory of this thread is bad, or good again.
    pub(crate) fn has_bad_memory(is_bad: bool) {
        HAS_BAD_MEMORY.set(is_bad);
    }

    pub(super) fn spoil(bytes: &mut [u8]) {
        let middle = bytes.len() / 2;
        if HAS_BAD_MEMORY.get() {
            bytes[middle] ^= 4;
        }
    }

    /// From here on the thread plays an actor that draws from `seed` and does without rule `off`.
    pub(crate) fn enter(seed: u64, off: Option<Rule>) {
        let random = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
        ACTOR.set(Some(Actor { random, off }));
    }

    /// It plays nobody any more.
    pub(crate) fn leave() {
        ACTOR.set(None);
    }

    /// Does something as one who knows every rule.
    pub(crate) fn knowing_all_rules<T>(work: impl FnOnce() -> T) -> T {
        let set = |off| {
            ACTOR.with_borrow_mut(|actor| {
                actor.as_mut().and_then(|actor| std::mem::replace(&mut actor.off, off))
            })
        };
        let off = set(None);
        let done = work();
        set(off);
        done
    }

    pub(super) fn is_one() -> bool {
        ACTOR.with_borrow(Option::is_some)
    }

    pub(super) fn is_off(rule: Rule) -> bool {
        ACTOR.with_borrow(|actor| actor.as_ref().is_some_and(|actor| actor.off == Some(rule)))
    }

    /// Draws from the seed, if there is one.
    pub(crate) fn fill(bytes: &mut [u8]) -> bool {
        ACTOR.with_borrow_mut(|actor| match actor {
            Some(actor) => {
                actor.random.fill(bytes);
                true
            }
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;

    #[test]
    fn an_actor_draws_the_same_each_time_and_others_never() {
        let drawn = || {
            enter(7, None);
            let drawn: ([u8; 9], [u8; 9]) = (random(), random());
            leave();
            drawn
        };
        assert_eq!(drawn(), drawn());
        assert_ne!(drawn().0, drawn().1);
        assert_ne!(random::<16>(), random::<16>());
    }

    #[test]
    fn a_rule_is_off_for_its_actor_alone() {
        enter(1, Some(Rule::SecondLook));
        assert!(is_simulated() && is_off(Rule::SecondLook) && !is_off(Rule::ListedPacks));
        assert!(
            std::thread::spawn(|| !is_simulated() && !is_off(Rule::SecondLook)).join().unwrap()
        );
        leave();
        assert!(!is_simulated() && !is_off(Rule::SecondLook));
    }
}
