//! Kinds of bad days: how often what goes wrong, who is about.

use crate::world::{Chances, Mix};

/// A bit of everything that stores, machines and people do, but no damage.
pub const MIXED: Chances = Chances {
    fault: 30,
    late: 400,
    torn: 100,
    landing: 10,
    pages: 150,
    reading: 300,
    kill: 4,
    suspend: 15,
    dwell: 3,
    sleep_max: 900,
    goes_on: 600,
    hide: 1,
    unfound: 0,
    misread: 0,
    damage: 0,
    lose: 0,
    fence: 200,
    grace: 150,
    empty: 500,
    change: 400,
    forgetful: 200,
    mix: Mix { backup: 40, unforget: 6, forget: 14, prune: 30, restore: 10 },
    actor_count: 5,
    step_count: 450,
};

/// Nothing happens by itself, and nobody comes unasked.
pub const QUIET: Chances = Chances {
    fault: 0,
    pages: 0,
    reading: 0,
    dwell: 0,
    grace: 0,
    change: 0,
    forgetful: 0,
    ..MIXED
};

/// Many prunes, each of which may sleep while others decide, carry out and trim its round.
pub const SLEEPY: Chances = Chances {
    fault: 5,
    kill: 3,
    pages: 0,
    reading: 50,
    suspend: 2,
    dwell: 30,
    sleep_max: 300,
    goes_on: 800,
    hide: 0,
    fence: 100,
    grace: 0,
    mix: Mix { backup: 40, unforget: 0, forget: 15, prune: 60, restore: 0 },
    actor_count: 8,
    step_count: 2000,
    ..MIXED
};

/// Listings that go on for as long as several rounds take.
pub const SLOW_LISTINGS: Chances = Chances {
    pages: 700,
    reading: 100,
    kill: 1,
    dwell: 40,
    sleep_max: 900,
    goes_on: 940,
    mix: Mix { backup: 45, unforget: 1, forget: 10, prune: 55, restore: 0 },
    empty: 100,
    ..SLEEPY
};

/// Snapshots are forgotten as fast as they are made, and taken over meanwhile.
pub const FORGETFUL: Chances = Chances {
    kill: 1,
    dwell: 40,
    sleep_max: 500,
    goes_on: 850,
    fence: 20,
    empty: 0,
    mix: Mix { backup: 40, unforget: 0, forget: 25, prune: 40, restore: 0 },
    step_count: 900,
    ..SLEEPY
};

/// The store does not find, now and then, what it has listed.
pub const FLAKY: Chances = Chances { unfound: 20, ..MIXED };

/// What is read is now and then not what is stored. Nobody restores: that would fail.
pub const NOISY: Chances = Chances {
    misread: 40,
    mix: Mix { backup: 45, unforget: 6, forget: 14, prune: 35, restore: 0 },
    ..MIXED
};

/// Packs lose their ends.
pub const DAMAGED: Chances = Chances { hide: 0, damage: 4, ..MIXED };

/// Index segments are lost. Nobody restores: a restore looks at headers once, and a segment may be
/// lost after that.
pub const LOSSY: Chances = Chances {
    hide: 0,
    lose: 4,
    mix: Mix { backup: 45, unforget: 6, forget: 14, prune: 35, restore: 0 },
    ..MIXED
};

/// All kinds, each with its share of a hundred schedules.
pub const ALL: [(&str, Chances, u64); 8] = [
    ("mixed", MIXED, 69),
    ("flaky", FLAKY, 3),
    ("noisy", NOISY, 3),
    ("damaged", DAMAGED, 10),
    ("lossy", LOSSY, 9),
    ("sleepy", SLEEPY, 2),
    ("slow-listings", SLOW_LISTINGS, 2),
    ("forgetful", FORGETFUL, 2),
];
