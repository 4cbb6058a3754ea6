//! How many schedules are played.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::actor::{Actor, Tally};
use super::schedule::{
    ACCUSED, DOOM_ASLEEP, LATE_DOOM, LISTING_ASLEEP, LOSSY, MISREAD, MISREAD_PACKS, Mood, Outcome,
    PRUNE_ASLEEP, SAVING, Stage, TWINS, WRITER_ASLEEP,
};
use super::store::Break;
use crate::base::rules::{ALL, Rule};

/// Schedules in CI.
const COUNT: u64 = 10_000;
/// How many there are, if others are wanted.
const COUNT_VARIABLE: &str = "PARADOS_SIMULATION_SCHEDULES";
/// The first seed.
const FIRST_VARIABLE: &str = "PARADOS_SIMULATION_FIRST";
/// A single seed, told request by request.
const SEED_VARIABLE: &str = "PARADOS_SIMULATION_SEED";
/// The kind of schedules that a seed is of, where it is not any.
const WAY_VARIABLE: &str = "PARADOS_SIMULATION_WAY";
/// Of each kind one plays so many times fewer.
const WAY_SHARE: u64 = 100;
/// So many schedules that go wrong end the run: the others would say the same.
const VIOLATION_COUNT_MAX: usize = 20;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_schedule_loses_anything() {
    if let Some(seed) = number(SEED_VARIABLE) {
        let named = std::env::var(WAY_VARIABLE).unwrap_or_else(|_| "Any".to_owned());
        let way = Way::ALL.into_iter().find(|way| format!("{way:?}") == named).expect("a way");
        let outcome = way.play(&Stage::new(), seed, None, true);
        std::io::stdout().write_all(outcome.log.as_bytes()).unwrap();
        assert_eq!(outcome.violation, None);
        return;
    }
    play_all(Way::Any, number(COUNT_VARIABLE).unwrap_or(COUNT));
}

/// Schedules of one kind only, which the others are seldom.
#[test]
fn no_kind_of_schedule_loses_anything() {
    let count = number(COUNT_VARIABLE).unwrap_or(COUNT) / WAY_SHARE;
    for way in Way::ALL.into_iter().filter(|way| !matches!(way, Way::Any)) {
        play_all(way, count);
    }
}

/// Plays so many schedules on all cores, and says what happened in them.
fn play_all(way: Way, count: u64) {
    let first = number(FIRST_VARIABLE).unwrap_or(0);
    let next = AtomicU64::new(first);
    let total = Mutex::new((Tally::default(), 0, 0, 0, 0));
    let violations = Mutex::new(Vec::new());
    let started = Instant::now();
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                let stage = Stage::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let outcome = way.play(&stage, seed, None, false);
                    if let Some(what) = outcome.violation {
                        let mut violations = violations.lock().unwrap();
                        violations
                            .push(format!("{way:?}: {SEED_VARIABLE}={seed} repeats it: {what}"));
                        if violations.len() >= VIOLATION_COUNT_MAX {
                            next.store(u64::MAX / 2, Ordering::Relaxed);
                        }
                        continue;
                    }
                    let mut total = total.lock().unwrap();
                    total.0.add(&outcome.tally);
                    total.1 += outcome.requests;
                    total.2 += outcome.decided;
                    total.3 += outcome.deleted_packs;
                    total.4 += outcome.interrupted;
                }
            });
        }
    });
    let (tally, requests, decided, deleted, interrupted) = total.into_inner().unwrap();
    let line = format!(
        "simulation, {way:?}: {count} schedules, {requests} requests, {tally:?}, {decided} rounds, \
         {deleted} packs deleted, {interrupted} interrupted roots, {} ms\n",
        started.elapsed().as_millis()
    );
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    let violations = violations.into_inner().unwrap();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    assert!(interrupted > 0 || !matches!(way, Way::Saving));
}

#[test]
fn a_seed_goes_the_same_way_twice() {
    let stage = Stage::new();
    for seed in 0..40 {
        let [first, second] = [(); 2].map(|()| stage.play(seed, None, true));
        if first.log != second.log {
            let lines = first.log.lines().zip(second.log.lines());
            let differing = lines.enumerate().find(|(_, (one, other))| one != other);
            panic!("seed {seed}: {differing:?}");
        }
    }
}

#[test]
fn a_cache_that_says_what_never_was_is_noticed() {
    let [own, other] = Stage::new().stray_cache();
    assert_eq!(own, None);
    assert!(other.is_some_and(|what| what.contains("which nobody wrote")));
}

/// What a schedule is like that shows what a rule is for.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// As the seed says.
    Any,
    /// A writer sleeps while rounds come and go.
    WriterAsleep,
    /// A prune does.
    PruneAsleep,
    /// A prune does before it says what is doomed, beside writers that take their time.
    DoomAsleep,
    /// As that, beside a writer that sleeps before it looks again.
    LateDoom,
    /// A prune does while it reads the roots.
    ListingAsleep,
    /// All store the same few files.
    Twins,
    /// Candidates are read wrongly.
    Misread,
    /// Packs are.
    MisreadPacks,
    /// Index segments are lost.
    Lossy,
    /// Packs are held for damaged that are not.
    Accused,
    /// What is captured so far is stored all the time.
    Saving,
    /// One host is alone, and a pack is lost between two of its backups.
    LostPack,
}

impl Way {
    const ALL: [Self; 13] = [
        Self::Any,
        Self::WriterAsleep,
        Self::PruneAsleep,
        Self::DoomAsleep,
        Self::LateDoom,
        Self::ListingAsleep,
        Self::Twins,
        Self::Misread,
        Self::MisreadPacks,
        Self::Lossy,
        Self::Accused,
        Self::Saving,
        Self::LostPack,
    ];

    fn mood(self) -> Option<&'static Mood> {
        match self {
            Self::Any | Self::LostPack => None,
            Self::WriterAsleep => Some(&WRITER_ASLEEP),
            Self::PruneAsleep => Some(&PRUNE_ASLEEP),
            Self::DoomAsleep => Some(&DOOM_ASLEEP),
            Self::LateDoom => Some(&LATE_DOOM),
            Self::ListingAsleep => Some(&LISTING_ASLEEP),
            Self::Twins => Some(&TWINS),
            Self::Misread => Some(&MISREAD),
            Self::MisreadPacks => Some(&MISREAD_PACKS),
            Self::Lossy => Some(&LOSSY),
            Self::Accused => Some(&ACCUSED),
            Self::Saving => Some(&SAVING),
        }
    }

    fn play(self, stage: &Stage, seed: u64, off: Option<Rule>, is_told: bool) -> Outcome {
        match self {
            Self::LostPack => stage.lose_a_pack(seed, off, is_told),
            _ => stage.play_in(self.mood(), seed, off, is_told),
        }
    }
}

/// Rules with a seed that goes wrong without them, and right with them.
const NEEDED: [(Rule, Way, u64); 22] = [
    (Rule::ListedPacks, Way::Any, 5),
    (Rule::BeginMarker, Way::Any, 151),
    (Rule::PendingRoot, Way::Any, 269),
    (Rule::SecondLook, Way::Any, 5),
    (Rule::Gap, Way::WriterAsleep, 147),
    (Rule::ParentWhole, Way::LostPack, 17),
    (Rule::ReadBack, Way::Any, 36),
    (Rule::Tombstone, Way::Any, 6),
    (Rule::SessionsFirst, Way::ListingAsleep, 3011),
    (Rule::RootsFirst, Way::WriterAsleep, 2109),
    (Rule::Seen, Way::Any, 2207),
    (Rule::Fence, Way::Any, 11900),
    (Rule::OneRound, Way::Any, 6),
    (Rule::RootsAgain, Way::Any, 269),
    (Rule::BegunRead, Way::Misread, 54),
    (Rule::Gone, Way::MisreadPacks, 104),
    (Rule::LastCopy, Way::Twins, 408),
    (Rule::HeaderRead, Way::Lossy, 1),
    (Rule::OneDecision, Way::PruneAsleep, 184),
    (Rule::TwoRounds, Way::LateDoom, 2288),
    (Rule::SavedWhole, Way::Saving, 0),
    (Rule::SavedKept, Way::Saving, 3),
];

/// Rules that have a second line, so that nothing goes wrong without one of them alone.
/// `docs/protocol.md` says what each is for.
const ONLY_IN_THE_MODEL: [Rule; 4] =
    [Rule::ParentKept, Rule::TombstonesFirst, Rule::NothingLeft, Rule::LaterRound];

/// Seeds that are tried from the one that is written down: what the program asks for in another order
/// makes another schedule of a seed.
const TRIED_COUNT: u64 = 1_500;

#[test]
fn each_rule_is_needed() {
    let stage = Stage::new();
    for rule in ALL {
        let Some((_, way, first)) = NEEDED.iter().find(|(needed, ..)| *needed == rule) else {
            assert!(ONLY_IN_THE_MODEL.contains(&rule), "{rule:?} has no seed");
            continue;
        };
        let play = |seed: u64, off| way.play(&stage, seed, off, false).violation;
        let goes_wrong = |seed: &u64| play(*seed, Some(rule)).is_some();
        let found = (*first..first + TRIED_COUNT).find(goes_wrong);
        let seed = found.unwrap_or_else(|| panic!("{rule:?}: nothing goes wrong without it"));
        if seed != *first {
            let line = format!("{rule:?} needs another seed by now: {seed}\n");
            std::io::stdout().write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(play(seed, None), None, "{rule:?}, seed {seed}");
    }
}

/// Something that a host does, with what it is called.
type Task = (&'static str, fn(&mut Actor));

/// What a host does when it is killed.
const TASKS: [Task; 6] = [
    ("backup", Actor::back_up),
    ("backup that saves", |actor| {
        actor.treatment.saves = true;
        actor.back_up();
    }),
    ("forget", Actor::forget),
    ("unforget", Actor::unforget),
    ("prune", |actor| drop(actor.prune_with(0))),
    ("prune with grace", |actor| drop(actor.prune_with(60))),
];

#[test]
fn any_request_may_be_the_last() {
    let stage = Stage::new();
    for (name, task) in TASKS {
        let mut at = 0;
        loop {
            at += 1;
            // The last request has no effect, has one that nobody hears of, or a late one.
            let ends: Vec<bool> = (0..6)
                .map(|seed| {
                    let (violation, is_killed) = stage.crash(seed, at, task);
                    assert_eq!(violation, None, "{name}, killed at request {at}, seed {seed}");
                    is_killed
                })
                .collect();
            if ends.iter().all(|is_killed| !is_killed) {
                break;
            }
        }
        assert!(at > 8, "{name} makes {at} requests");
    }
}

#[test]
fn a_disk_may_fail_at_any_request() {
    let stage = Stage::new();
    let more: [Task; 2] = [("restore", Actor::restore), ("check", Actor::read_back)];
    let mut site_count = 0;
    for (name, task) in TASKS.into_iter().chain(more) {
        for at in 1.. {
            // Once, or whenever the same is asked for again.
            let came: Vec<bool> = [(0, false), (0, true), (1, true)]
                .into_iter()
                .map(|(seed, stays)| {
                    let (violation, is_broken) = stage.fail(seed, Break { at, stays }, task);
                    assert_eq!(violation, None, "{name}, request {at}, {stays}, seed {seed}");
                    is_broken
                })
                .collect();
            site_count += came.iter().filter(|came| **came).count();
            if came.iter().all(|came| !came) {
                break;
            }
        }
    }
    std::io::stdout().write_all(format!("{site_count} sites of EIO\n").as_bytes()).unwrap();
    assert!(site_count > 700, "{site_count}");
}

/// Searches for seeds in which something goes wrong without a rule, for those who add one.
#[test]
#[ignore = "a search, not a test"]
fn find_seeds_that_need_a_rule() {
    let wanted = std::env::var("PARADOS_SIMULATION_RULE").unwrap_or_default();
    let (first, count) =
        (number(FIRST_VARIABLE).unwrap_or(0), number(COUNT_VARIABLE).unwrap_or(COUNT));
    let stage = Stage::new();
    for rule in ALL {
        if !wanted.is_empty() && !wanted.split(',').any(|name| name == format!("{rule:?}")) {
            continue;
        }
        let named = std::env::var(WAY_VARIABLE).unwrap_or_default();
        let is_wanted = |way: &Way| named.is_empty() || format!("{way:?}") == named;
        for way in Way::ALL.into_iter().filter(is_wanted) {
            let started = Instant::now();
            let found = (first..first + count).find_map(|seed| {
                let what = way.play(&stage, seed, Some(rule), false).violation?;
                Some((seed, what))
            });
            let took = started.elapsed().as_millis();
            let line = format!("{rule:?}, {way:?}: {found:?} {took} ms\n");
            std::io::stdout().write_all(line.as_bytes()).unwrap();
        }
    }
}
