//! The protocol without one of its rules: each of these must lose something.
//!
//! What each of them loses, and how, is told in `docs/protocol.md`.

use crate::chances::{DAMAGED, FLAKY, FORGETFUL, LOSSY, MIXED, NOISY, SLEEPY, SLOW_LISTINGS};
use crate::rules::Rule;
use crate::world::Chances;

/// The protocol without some rules.
pub struct Mutant {
    pub name: &'static str,
    /// What is switched off. Where it is more than one rule, each does for the other.
    pub off: &'static [Rule],
    /// The days on which it shows soon.
    pub chances: Chances,
    /// The first seed that shows it.
    pub seed: u64,
}

macro_rules! mutant {
    ($name:literal, [$($rule:ident),*], $chances:expr, $seed:literal) => {
        Mutant { name: $name, off: &[$(Rule::$rule),*], chances: $chances, seed: $seed }
    };
}

const FAULTY: Chances = Chances { fault: 80, late: 500, step_count: 900, ..MIXED };
const FAULTY_SLEEPY: Chances = Chances { fault: 60, ..SLEEPY };
const SLOW_READS: Chances = Chances { reading: 600, ..MIXED };
/// All that die.
pub const ALL: [Mutant; 37] = [
    // Writing.
    mutant!("begin-unheeded", [HeedBegin], MIXED, 9),
    mutant!("no-second-look", [LookAgain], MIXED, 7),
    mutant!("rounds-uncounted", [CountRounds], MIXED, 49),
    mutant!("view-with-holes", [RestartView, StableGenerations], SLOW_LISTINGS, 143),
    mutant!("generations-read-once", [StableGenerations], SLOW_LISTINGS, 1070),
    mutant!("packs-unlisted", [ListPacks], MIXED, 11),
    mutant!("length-unchecked", [CheckLength], DAMAGED, 0),
    mutant!("pack-put-again", [PutPackOnce], FAULTY, 7),
    mutant!("no-root", [StoreRoot], MIXED, 8),
    mutant!("forgotten-parent", [ParentKept, ParentKeptAfterRoot], SLEEPY, 59),
    mutant!("parent-forgotten-meanwhile", [ParentKeptAfterRoot, LookAtAll], FORGETFUL, 16106),
    mutant!("interrupted-parent", [ParentCommitted], MIXED, 1385),
    mutant!("parent-with-holes", [ParentWhole], DAMAGED, 17),
    mutant!("unforget-from-doomed", [UnforgetAlive], MIXED, 2),
    // Creating.
    mutant!("taken-is-success", [ReadBackTaken], MIXED, 2),
    mutant!("silence-is-success", [ReadBackUnclear], MIXED, 1),
    // Forgetting.
    mutant!("forget-by-deleting", [Tombstone, MissSeen, MissListed], MIXED, 44),
    // Rounds.
    mutant!("first-roots-again", [ReadRootsAgain], MIXED, 3),
    mutant!("snapshots-before-sessions", [SessionsBeforeSnapshots], SLOW_READS, 602),
    mutant!("old-index", [IndexAfterRoots, ReadHeader], MIXED, 159),
    mutant!("own-doomed", [AgreeOnDoomed], MIXED, 70),
    mutant!("fence-without-abort", [FenceByAbort], MIXED, 22),
    mutant!("two-undecided", [OneUndecided], MIXED, 0),
    mutant!("packs-left", [NoneLeft, DeleteOnceMore], FAULTY_SLEEPY, 251),
    mutant!("deleted-once", [DeleteOnceMore], MIXED, 88),
    mutant!("old-rounds-count", [TwoRoundsCount], SLEEPY, 138),
    mutant!("late-doom", [LookAfterDoom], SLEEPY, 4),
    mutant!("header-unread", [ReadHeader], LOSSY, 3),
    mutant!("last-copy", [KeepLastCopy], MIXED, 14),
    mutant!("only-copy", [KeepOnlyCopy], DAMAGED, 37388),
    mutant!("hidden-unmissed", [MissSeen], MIXED, 57),
    mutant!("listed-unfound", [MissListed], FLAKY, 109),
    mutant!("unread-passed-over", [StopAtUnread], DAMAGED, 14),
    mutant!("pending-passed-over", [AskPendingAgain, PassOverGone], DAMAGED, 48244),
    mutant!("begun-unread", [ReadBegun], NOISY, 694),
    mutant!("misread-passed-over", [PassOverGone], NOISY, 827),
    // Reading.
    mutant!("lost-before-headers", [AdoptBeforeLost], LOSSY, 5266),
];

/// Rules that do not matter alone: another one does for them, or nothing has to.
pub const SECOND_LINES: [(Rule, Chances); 11] = [
    (Rule::LookAtAll, FORGETFUL),
    (Rule::RestartView, SLOW_LISTINGS),
    (Rule::ParentKept, SLEEPY),
    (Rule::ParentKeptAfterRoot, FORGETFUL),
    (Rule::DeleteAfterDoom, MIXED),
    (Rule::TombstonesFirst, FORGETFUL),
    (Rule::IndexAfterRoots, MIXED),
    (Rule::NoneLeft, FAULTY_SLEEPY),
    (Rule::TwoRoundsCountInDecision, SLEEPY),
    (Rule::AskPendingAgain, DAMAGED),
    (Rule::StableIndex, MIXED),
];
