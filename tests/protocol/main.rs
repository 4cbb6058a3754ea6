//! An abstract model of the protocol (`docs/protocol.md`), run by random schedules: with all rules
//! nothing is lost, without any one of them something is.
//!
//! Every actor follows the steps of the real code, at the size of sets of numbers. Every request is
//! a step at which any other actor may come in. It uses nothing of the library, so that it is built
//! in seconds:
//!
//! ```console
//! $ rustc -O --test --edition 2024 tests/protocol/main.rs -o /tmp/protocol && /tmp/protocol
//! ```

mod chances;
mod client;
mod counts;
mod directed;
mod forget;
mod hosts;
mod index;
mod invariants;
mod marks;
mod mutants;
mod prune;
mod random;
mod restore;
mod roots;
mod rounds;
mod rules;
mod schedule;
mod segments;
mod set;
mod usage;
mod world;
mod writer;

use std::fmt::Display;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use counts::Counts;
use rules::Rules;
use world::Chances;

/// Schedules that run when nothing is said.
const SCHEDULE_COUNT: u64 = 100_000;
/// Schedules after which a mutant counts as alive.
const MUTANT_SCHEDULE_COUNT: u64 = 100_000;
/// How many there are, in all and for each mutant.
const COUNT_VARIABLE: &str = "PARADOS_PROTOCOL_SCHEDULES";
/// The one that is told step by step: the kind of its day or the name of a mutant, a slash, a seed.
const SEED_VARIABLE: &str = "PARADOS_PROTOCOL_SEED";
/// Schedules that a thread takes at a time.
const BATCH: u64 = 64;
const THREAD_COUNT_MAX: usize = 8;

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn schedule_count(otherwise: u64) -> u64 {
    variable(COUNT_VARIABLE).map_or(otherwise, |text| text.parse().expect("a number is given"))
}

/// Says something that the test runner does not keep.
fn say(text: &dyn Display) {
    let _written = writeln!(std::io::stdout(), "{text}");
}

/// The lowest of `count` seeds with a violation, and what happened in all schedules that were run.
fn first_violation(rules: Rules, chances: Chances, count: u64) -> (Option<(u64, String)>, Counts) {
    const NO_PANIC: &str = "no thread panics while it holds it";
    let next = AtomicU64::new(0);
    let first = AtomicU64::new(u64::MAX);
    let found: Mutex<(Option<(u64, String)>, Counts)> = Mutex::default();
    let work = || {
        let mut counts = Counts::default();
        loop {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            // What is below the first one that was found must still be looked at.
            if start >= count.min(first.load(Ordering::Relaxed)) {
                break;
            }
            for seed in start..count.min(start + BATCH) {
                let outcome = schedule::run(seed, rules, chances, false);
                counts.add(&outcome.counts);
                if let Some(violation) = outcome.violation {
                    let mut found = found.lock().expect(NO_PANIC);
                    if seed < first.fetch_min(seed, Ordering::Relaxed) {
                        found.0 = Some((seed, violation));
                    }
                    break;
                }
            }
        }
        found.lock().expect(NO_PANIC).1.add(&counts);
    };
    let available = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|threads| {
        for _ in 0..available.min(THREAD_COUNT_MAX) {
            threads.spawn(work);
        }
    });
    found.into_inner().expect(NO_PANIC)
}

/// What happened in a schedule, with the way to see it again.
fn story(name: &str, seed: u64, rules: Rules, chances: Chances) -> String {
    let trace = schedule::run(seed, rules, chances, true).trace.join("\n");
    format!("{trace}\n{SEED_VARIABLE}={name}/{seed} cargo test --test protocol one -- --nocapture")
}

#[test]
fn with_all_rules_nothing_is_lost_and_nothing_is_left() {
    let count = schedule_count(SCHEDULE_COUNT);
    let mut total = Counts::default();
    for (name, chances, share) in chances::ALL {
        let (violation, counts) = first_violation(Rules::ALL, chances, count * share / 100);
        if let Some((seed, what)) = violation {
            panic!("{}\n{name}, seed {seed}: {what}", story(name, seed, Rules::ALL, chances));
        }
        total.add(&counts);
    }
    say(&format!("{total:#?}"));
    let idle = total.idle();
    assert!(idle.is_empty(), "never happened: {idle:?}");
}

#[test]
fn without_any_one_rule_something_is_lost() {
    let count = schedule_count(MUTANT_SCHEDULE_COUNT);
    let mut alive = Vec::new();
    for mutant in &mutants::ALL {
        let (violation, counts) =
            first_violation(Rules::without(mutant.off), mutant.chances, count);
        match violation {
            Some((seed, what)) => {
                let (name, run) = (mutant.name, counts.schedules);
                say(&format!("{name:<28} seed {seed:>6}, {run:>6} schedules: {what}"));
            }
            None => alive.push(mutant.name),
        }
    }
    assert!(alive.is_empty(), "alive after {count} schedules: {alive:?}");
}

#[test]
#[ignore = "a long run, which shows what docs/protocol.md says of second lines"]
fn without_a_second_line_alone_nothing_is_lost() {
    let count = schedule_count(MUTANT_SCHEDULE_COUNT);
    for (rule, chances) in mutants::SECOND_LINES {
        let (violation, counts) = first_violation(Rules::without(&[rule]), chances, count);
        say(&format!("{rule:?}: {} schedules, {violation:?}", counts.schedules));
        assert_eq!(violation, None, "{rule:?}");
    }
}

/// The schedules that showed first what each rule is for.
#[test]
fn what_each_rule_once_failed_to_prevent_is_still_seen() {
    for mutant in &mutants::ALL {
        let rules = Rules::without(mutant.off);
        let without = schedule::run(mutant.seed, rules, mutant.chances, false);
        assert!(without.violation.is_some(), "{}: seed {} shows nothing", mutant.name, mutant.seed);
        let with = schedule::run(mutant.seed, Rules::ALL, mutant.chances, false);
        assert_eq!(with.violation, None, "{}: seed {}", mutant.name, mutant.seed);
    }
}

#[test]
fn a_seed_determines_every_step() {
    for seed in 0..50 {
        let run = || schedule::run(seed, Rules::ALL, chances::MIXED, true).trace;
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// Tells the schedule that a variable names.
#[test]
fn one_schedule_is_told() {
    let Some(text) = variable(SEED_VARIABLE) else { return };
    let (name, seed) = text.split_once('/').expect("a name, a slash, a seed");
    let seed = seed.parse().expect("a seed is a number");
    let mutant = mutants::ALL.iter().find(|mutant| mutant.name == name);
    let (rules, chances) = match mutant {
        Some(mutant) => (Rules::without(mutant.off), mutant.chances),
        None => {
            let kind = chances::ALL.into_iter().find(|(kind, ..)| *kind == name);
            (Rules::ALL, kind.expect("a kind of days, or a mutant").1)
        }
    };
    say(&story(name, seed, rules, chances));
}
