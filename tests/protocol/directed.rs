//! Schedules that are written down step by step, because chance hardly ever meets them.

use crate::chances::QUIET;
use crate::prune::Options;
use crate::rules::{Rule, Rules};
use crate::schedule::Schedule;
use crate::world::Chances;

const PRUNE: Options =
    Options { has_no_grace: true, fences: false, empties: false, merges_from: usize::MAX };
/// No line of a trace has it: an actor goes on to its end.
const THE_END: &str = "(the end)";

/// A prune computes `d` of round 1 and sleeps. A session that needs the packs and starts over makes
/// another prune decide otherwise. When round 3 has its candidates, these packs are needed no more,
/// and a backup finds them good. Now the sleeper wakes and writes its `d`, which was removed long
/// ago. Whoever decides round 3 must not take that for a decision.
fn late_decision(rules: Rules) -> Option<String> {
    let mut schedule = Schedule::new(1, rules, QUIET, true);
    schedule.hosts.borrow_mut()[0].directories = [1, 2];
    schedule.hosts.borrow_mut()[1].directories = [4, 8];
    let first = schedule.begin_backup(0);
    schedule.go(first, THE_END);
    let forget = schedule.begin_forget();
    schedule.go(forget, THE_END);
    let second = schedule.begin_backup(1);
    schedule.go(second, THE_END);

    let sleeper = schedule.begin_prune(PRUNE);
    schedule.go(sleeper, "put Round(1, Candidates)");
    let restarted = schedule.begin_backup(0);
    schedule.go(restarted, "starts session");
    schedule.go(sleeper, "put Round(1, Begin)");
    schedule.go(restarted, "put Root");
    schedule.kill(restarted);
    let other = schedule.begin_prune(PRUNE);
    schedule.go(other, THE_END);

    let forget = schedule.begin_forget();
    schedule.go(forget, THE_END);
    let fencing = schedule.begin_prune(Options { fences: true, ..PRUNE });
    schedule.go(fencing, THE_END);
    let victim = schedule.begin_prune(PRUNE);
    schedule.go(victim, "put Round(3, Candidates)");
    let third = schedule.begin_backup(0);
    schedule.go(third, THE_END);
    let trimming = schedule.begin_prune(PRUNE);
    schedule.go(trimming, "delete Round(1, Doomed)");
    schedule.kill(trimming);
    schedule.go(sleeper, "put Round(1, Doomed)");
    schedule.kill(sleeper);
    schedule.go(victim, THE_END);

    let world = schedule.world.borrow();
    let trace = world.trace.as_deref().unwrap_or_default();
    for step in ["put Round(2, Doomed)", "put Round(3, Doomed)", "put Round(1, Doomed)"] {
        let is_done = |line: &String| line.contains(step) && line.contains("Created");
        assert!(trace.iter().any(is_done), "{step}: {}", trace.join("\n"));
    }
    world.truth.violation.clone()
}

#[test]
fn a_doomed_list_of_a_round_long_over_decides_nothing() {
    let rules = [Rule::TwoRoundsCountInDecision, Rule::KeepOnlyCopy];
    let violation = late_decision(Rules::without(&rules)).expect("something is lost");
    assert!(violation.contains("is only in doomed packs"), "{violation}");
    for rule in rules {
        assert_eq!(late_decision(Rules::without(&[rule])), None, "{rule:?}");
    }
    assert_eq!(late_decision(Rules::ALL), None);
}

/// A restore finds a pack missing, because a prune has moved what is needed of it, and lists the
/// index again. Before it reads the segment that says where that is now, another prune merges it
/// with others.
fn merged_meanwhile(rules: Rules) -> Option<String> {
    let mut schedule = Schedule::new(1, rules, Chances { reading: 1000, ..QUIET }, true);
    schedule.hosts.borrow_mut()[0].directories = [1, 2];
    let first = schedule.begin_backup(0);
    schedule.go(first, THE_END);
    let forget = schedule.begin_forget();
    schedule.go(forget, THE_END);
    schedule.hosts.borrow_mut()[0].directories = [1, 4];
    let second = schedule.begin_backup(0);
    schedule.go(second, THE_END);

    let restore = schedule.begin_restore();
    schedule.go(restore, "get Pack");
    let moving = schedule.begin_prune(Options { empties: true, ..PRUNE });
    schedule.go(moving, THE_END);
    schedule.go(restore, "-> None");
    schedule.go(restore, "list Segments ->");
    let merging = schedule.begin_prune(Options { merges_from: 2, ..PRUNE });
    schedule.go(merging, THE_END);
    schedule.go(restore, THE_END);

    let world = schedule.world.borrow();
    let trace = world.trace.as_deref().unwrap_or_default();
    assert!(world.counts.moved > 0 && world.counts.restored == 1, "{}", trace.join("\n"));
    world.truth.violation.clone()
}

#[test]
fn a_segment_that_is_merged_while_the_index_is_read_is_not_missed() {
    let rules = [Rule::StableIndex, Rule::AdoptBeforeLost];
    let violation = merged_meanwhile(Rules::without(&rules)).expect("the restore misses something");
    assert!(violation.contains("restore of snapshot"), "{violation}");
    for rule in rules {
        assert_eq!(merged_meanwhile(Rules::without(&[rule])), None, "{rule:?}");
    }
    assert_eq!(merged_meanwhile(Rules::ALL), None);
}
