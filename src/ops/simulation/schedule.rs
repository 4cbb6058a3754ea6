//! Runs the schedule of a seed to its end.

use std::sync::{Arc, LazyLock};

use super::actor::{Actor, Mix, Tally, Trap, Treatment};
use super::baton::{Baton, Dice};
use super::place::Place;
use super::secret;
use super::store::{Break, Faults};
use super::world::World;
use crate::backend::memory::Memory;
use crate::backend::{Backend, Verb};
use crate::base::rules::Rule;
use crate::base::{SystemClock, simulated};
use crate::format::config::{ChunkLens, PACK_LEN_MIN};
use crate::format::slot::Label;
use crate::format::{GenerationStep, ObjectKind, Suite};
use crate::ops::init;
use crate::repo::access::Creation;

/// Most actors of a schedule.
pub(super) const ACTOR_COUNT_MAX: usize = 4;
/// What schedules are like: as in life; full of prunes and sleep; full of second thoughts; with a
/// store that hides things; with clients that are suspended where it hurts.
const MOODS: [Mood; 8] = [LIFE, LIFE, LIFE, SLEEPY, UNDECIDED, HIDING, TRAPPED, TRAPPED];

const LIFE: Mood = Mood {
    mix: mix(45, 30, 10, 4, 9),
    cast: &[],
    sleeps: 4,
    hides: 0,
    loses: 0,
    misreads: None,
    accuses: 0,
    saves: false,
    traps: &[],
    task_count: 4,
    content_count: CONTENT_COUNT,
};
const SLEEPY: Mood = Mood { mix: mix(30, 55, 10, 2, 2), sleeps: 25, task_count: 6, ..LIFE };
const UNDECIDED: Mood = Mood { mix: mix(35, 25, 22, 16, 2), sleeps: 8, task_count: 5, ..LIFE };
const HIDING: Mood = Mood { hides: 150, ..LIFE };
const TRAPPED: Mood =
    Mood { mix: mix(35, 45, 14, 3, 2), sleeps: 6, traps: &TRAPS, task_count: 6, ..LIFE };

/// One writer sleeps while rounds come and go.
pub(super) const WRITER_ASLEEP: Mood = Mood {
    mix: mix(34, 40, 26, 0, 0),
    cast: &[Role { mix: mix(96, 0, 4, 0, 0), traps: &WRITER_TRAPS }],
    sleeps: 0,
    task_count: 14,
    ..LIFE
};
/// One prune does.
pub(super) const PRUNE_ASLEEP: Mood =
    Mood { cast: &[Role { mix: mix(15, 80, 5, 0, 0), traps: &PRUNE_TRAPS }], ..WRITER_ASLEEP };

/// One prune sleeps before it says what is doomed, beside writers that take their time.
pub(super) const DOOM_ASLEEP: Mood = Mood {
    mix: mix(50, 42, 8, 0, 0),
    cast: &[Role { mix: mix(0, 100, 0, 0, 0), traps: &DOOM_TRAPS }],
    sleeps: 30,
    task_count: 14,
    ..LIFE
};
/// As that, beside a writer that stores its root and sleeps before it looks again.
pub(super) const LATE_DOOM: Mood = Mood {
    mix: mix(44, 34, 22, 0, 0),
    cast: &[
        Role { mix: mix(0, 100, 0, 0, 0), traps: &DOOM_TRAPS },
        Role { mix: mix(100, 0, 0, 0, 0), traps: &SECOND_LOOK_TRAPS },
    ],
    sleeps: 0,
    task_count: 14,
    content_count: 3,
    ..LIFE
};
/// One prune sleeps while it reads the roots, not the first time; another one before it decides, and a
/// writer before it commits.
pub(super) const LISTING_ASLEEP: Mood = Mood {
    mix: mix(70, 0, 30, 0, 0),
    cast: &[
        Role { mix: mix(0, 100, 0, 0, 0), traps: &LISTING_TRAPS },
        Role { mix: mix(0, 100, 0, 0, 0), traps: &DOOM_TRAPS },
        Role { mix: mix(80, 0, 20, 0, 0), traps: &COMMIT_TRAPS },
    ],
    sleeps: 0,
    task_count: 14,
    content_count: 3,
    ..LIFE
};
/// All back up the same few files at the same time, and forget them.
pub(super) const TWINS: Mood =
    Mood { mix: mix(42, 32, 26, 0, 0), sleeps: 12, task_count: 12, content_count: 3, ..LIFE };
/// The store loses index segments. Nobody restores: whoever looks at headers does so once, and a
/// segment may be lost after that.
pub(super) const LOSSY: Mood = Mood { mix: mix(45, 40, 15, 0, 0), loses: 8, ..LIFE };

/// Some claim that packs are damaged which are not.
pub(super) const ACCUSED: Mood =
    Mood { mix: mix(42, 38, 20, 0, 0), accuses: 12, sleeps: 12, task_count: 10, ..LIFE };

/// Backups store what they have captured so far after every step.
pub(super) const SAVING: Mood =
    Mood { mix: mix(48, 34, 14, 0, 2), saves: true, sleeps: 12, task_count: 8, ..LIFE };

/// Candidates are read wrongly half of the time, by writers whose root is late and meets a prune that
/// has looked at the roots and decides later.
pub(super) const MISREAD: Mood = Mood {
    mix: mix(50, 34, 16, 0, 0),
    cast: &[
        Role { mix: mix(0, 100, 0, 0, 0), traps: &DOOM_TRAPS },
        Role { mix: mix(100, 0, 0, 0, 0), traps: &ROOT_TRAPS },
    ],
    sleeps: 0,
    misreads: Some((ObjectKind::Generation, 500)),
    task_count: 14,
    content_count: 3,
    ..LIFE
};
/// Packs are read wrongly now and then, while a writer that has looked again takes its time to commit.
pub(super) const MISREAD_PACKS: Mood = Mood {
    mix: mix(40, 40, 20, 0, 0),
    cast: &[Role { mix: mix(100, 0, 0, 0, 0), traps: &COMMIT_TRAPS }],
    misreads: Some((ObjectKind::Pack, 200)),
    ..MISREAD
};

/// What a schedule is like.
pub(super) struct Mood {
    mix: Mix,
    /// What the first actors do who are not like the others; one at least is.
    cast: &'static [Role],
    sleeps: u64,
    hides: u64,
    loses: u64,
    misreads: Option<(ObjectKind, u64)>,
    accuses: u64,
    saves: bool,
    /// Requests before one of which all are suspended, if there are some; the same one each time.
    traps: &'static [Trap],
    /// Most things that each actor does.
    task_count: u64,
    /// How many contents there are.
    content_count: u64,
}

/// What an actor does, and before which requests it is suspended: one of them, the same each time.
struct Role {
    mix: Mix,
    traps: &'static [Trap],
}

/// Nothing goes wrong.
const CALM: Treatment = Treatment {
    mix: LIFE.mix,
    faults: Faults { lost: 0, unheard: 0, late: 0, refused: 0, flipped: 0, full: 0, torn: 0 },
    sleeps: 0,
    trap: None,
    hides: 0,
    loses: 0,
    misreads: None,
    accuses: 0,
    saves: false,
    killed: 0,
    task_count: 0,
    content_count: CONTENT_COUNT,
    off: None,
};

/// Requests before which it matters what others do.
const TRAPS: [Trap; 12] = [
    trap(Verb::Put, ObjectKind::Generation, Some(GenerationStep::Candidates)),
    trap(Verb::Put, ObjectKind::Generation, Some(GenerationStep::Begin)),
    trap(Verb::Put, ObjectKind::Generation, Some(GenerationStep::Doomed)),
    trap(Verb::Delete, ObjectKind::Generation, Some(GenerationStep::Doomed)),
    trap(Verb::List, ObjectKind::Generation, None),
    trap(Verb::Put, ObjectKind::Session, None),
    trap(Verb::List, ObjectKind::Session, None),
    trap(Verb::Put, ObjectKind::Snapshot, None),
    trap(Verb::List, ObjectKind::Snapshot, None),
    trap(Verb::Put, ObjectKind::Index, None),
    trap(Verb::Delete, ObjectKind::Index, None),
    trap(Verb::Delete, ObjectKind::Pack, None),
];

const WRITER_TRAPS: [Trap; 5] = [
    trap(Verb::Put, ObjectKind::Pack, None),
    trap(Verb::Put, ObjectKind::Index, None),
    trap(Verb::Put, ObjectKind::Session, None),
    trap(Verb::List, ObjectKind::Generation, None),
    trap(Verb::Put, ObjectKind::Snapshot, None),
];
const PRUNE_TRAPS: [Trap; 6] = [
    trap(Verb::Put, ObjectKind::Generation, Some(GenerationStep::Candidates)),
    trap(Verb::Put, ObjectKind::Generation, Some(GenerationStep::Begin)),
    trap(Verb::Put, ObjectKind::Generation, Some(GenerationStep::Doomed)),
    trap(Verb::Delete, ObjectKind::Pack, None),
    trap(Verb::List, ObjectKind::Session, None),
    trap(Verb::List, ObjectKind::Snapshot, None),
];

const DOOM_TRAPS: [Trap; 1] =
    [trap(Verb::Put, ObjectKind::Generation, Some(GenerationStep::Doomed))];
const COMMIT_TRAPS: [Trap; 1] = [trap(Verb::Put, ObjectKind::Snapshot, None)];
const ROOT_TRAPS: [Trap; 1] = [trap(Verb::Put, ObjectKind::Session, None)];
const SECOND_LOOK_TRAPS: [Trap; 2] = [
    Trap { nth: 3, ..trap(Verb::List, ObjectKind::Generation, None) },
    Trap { nth: 4, ..trap(Verb::List, ObjectKind::Generation, None) },
];
const LISTING_TRAPS: [Trap; 2] = [
    Trap { nth: 2, ..trap(Verb::List, ObjectKind::Session, None) },
    Trap { nth: 3, ..trap(Verb::List, ObjectKind::Session, None) },
];

const fn trap(verb: Verb, kind: ObjectKind, step: Option<GenerationStep>) -> Trap {
    Trap { verb, kind, step, nth: 1 }
}

const fn mix(backup: u64, prune: u64, forget: u64, unforget: u64, restore: u64) -> Mix {
    Mix { backup, prune, forget, unforget, restore }
}

/// Contents that files of a schedule have.
const CONTENT_COUNT: u64 = 20;
/// Seconds after which sessions of which nothing was heard are held for dead, and a day more.
const LONG: u64 = 15 * 86_400;

/// An empty repository, made once.
static ORIGIN: LazyLock<Arc<Memory>> = LazyLock::new(|| {
    let memory = Memory::new("simulation", Arc::new(SystemClock));
    let creation = Creation {
        suite: Some(Suite::ChaCha20Poly1305),
        chunker: ChunkLens { min: 64, avg: 256, max: 16 << 10 },
        pack_len: PACK_LEN_MIN,
        ..Creation::default()
    };
    let secrets = [(secret(), Label::default())];
    simulated::enter(0, None);
    let made =
        init::init(Arc::clone(&memory) as Arc<dyn Backend>, &secrets, &creation, &SystemClock);
    simulated::leave();
    made.expect("memory does not fail");
    memory
});

/// What a schedule came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What must never happen, if it did.
    pub(super) violation: Option<String>,
    pub(super) tally: Tally,
    pub(super) requests: u64,
    pub(super) decided: u64,
    pub(super) deleted_packs: u64,
    pub(super) interrupted: u64,
    /// Every request, if somebody wants to read it.
    pub(super) log: String,
}

/// Threads that play actors, one schedule after the other.
pub(super) struct Stage {
    pools: Vec<rayon::ThreadPool>,
}

impl Stage {
    pub(super) fn new() -> Self {
        // What an actor leaves to rayon is done by its own thread.
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("threads");
        Self { pools: (0..ACTOR_COUNT_MAX).map(pool).collect() }
    }

    /// Plays the schedule of `seed`, in which nobody knows of the rule `off`.
    pub(super) fn play(&self, seed: u64, off: Option<Rule>, is_told: bool) -> Outcome {
        self.play_in(None, seed, off, is_told)
    }

    /// As [`Self::play`], in a mood that is given.
    pub(super) fn play_in(
        &self,
        mood: Option<&Mood>,
        seed: u64,
        off: Option<Rule>,
        is_told: bool,
    ) -> Outcome {
        let mut dice = Dice::new(seed);
        let count = 2 + dice.below(ACTOR_COUNT_MAX as u64 - 1) as usize;
        let any_mood = dice.pick(&MOODS);
        let mood = mood.unwrap_or(any_mood);
        let count = count.max(mood.cast.len() + 1);
        let treatment = Treatment {
            mix: mood.mix,
            faults: faults(&mut dice),
            sleeps: mood.sleeps,
            trap: (!mood.traps.is_empty()).then(|| *dice.pick(mood.traps)),
            hides: mood.hides,
            loses: mood.loses,
            misreads: mood.misreads,
            accuses: mood.accuses,
            saves: mood.saves,
            killed: *dice.pick(&[0, 200, 500]),
            task_count: 1 + dice.below(mood.task_count),
            content_count: mood.content_count,
            off,
        };
        let cast: Vec<Treatment> = mood
            .cast
            .iter()
            .map(|role| Treatment {
                mix: role.mix,
                trap: Some(*dice.pick(role.traps)),
                ..treatment
            })
            .collect();
        let place = Place::of(seed);
        let baton = Baton::new(dice.below(u64::MAX), count);
        let world = World::new(Arc::clone(&baton), &ORIGIN, is_told);
        let mut actors: Vec<Actor> = (0..count)
            .map(|me| {
                let treatment = *cast.get(me).unwrap_or(&treatment);
                Actor::new(me, Arc::clone(&world), treatment, place.dir(me))
            })
            .collect();
        std::thread::scope(|threads| {
            for (actor, pool) in actors.iter_mut().zip(&self.pools) {
                threads.spawn(move || {
                    pool.install(|| {
                        actor.enter(seed);
                        actor.live();
                        simulated::leave();
                    });
                });
            }
        });
        let mut tally = Tally::default();
        actors.iter().for_each(|actor| tally.add(&actor.tally));
        drop(actors);
        if !world.is_over() {
            self.pools[0].install(|| self.calm(&world, &place, seed, mood.accuses > 0));
        }
        let oracle = world.oracle.lock().expect("not poisoned");
        Outcome {
            violation: world.violation(),
            tally,
            requests: baton.steps(),
            decided: oracle.decided,
            deleted_packs: oracle.deleted_packs,
            interrupted: oracle.interrupted,
            log: world.log(),
        }
    }

    /// Lets a host alone with its files do `task`, and kills it at the `at`th request: what is wrong
    /// then, and whether it came so far.
    pub(super) fn crash(&self, seed: u64, at: u64, task: fn(&mut Actor)) -> (Option<String>, bool) {
        let baton = Baton::new(seed, 1);
        let world = World::new(Arc::clone(&baton), &ORIGIN, false);
        let place = Place::of(seed);
        let mut actor = Actor::new(0, Arc::clone(&world), CALM, place.dir(0));
        let killed = self.pools[0].install(|| {
            actor.enter(seed);
            baton.start(0);
            for _ in 0..3 {
                actor.back_up();
            }
            actor.forget();
            actor.dies_at = Some(at);
            task(&mut actor);
            let killed = actor.tally.killed;
            // Whoever comes next needs no repair.
            actor.back_up();
            simulated::leave();
            killed
        });
        if !world.is_over() {
            self.pools[0].install(|| self.calm(&world, &place, seed, false));
        }
        (world.violation(), killed > 0)
    }

    /// Lets a host alone with its files do `task` while its disk fails: what is wrong then, and whether it came
    /// so far.
    pub(super) fn fail(
        &self,
        seed: u64,
        breaks: Break,
        task: fn(&mut Actor),
    ) -> (Option<String>, bool) {
        let world = World::new(Baton::new(seed, 1), &ORIGIN, true);
        let place = Place::of(seed);
        let mut actor = Actor::new(0, Arc::clone(&world), CALM, place.dir(0));
        self.pools[0].install(|| {
            actor.enter(seed);
            world.baton.start(0);
            for _ in 0..3 {
                actor.back_up();
            }
            actor.forget();
            actor.breaks = Some(breaks);
            task(&mut actor);
            actor.back_up();
            simulated::leave();
        });
        if !world.is_over() {
            // A pack that could not be read counts as damaged until it can.
            self.pools[0].install(|| self.calm(&world, &place, seed, true));
        }
        let log = world.log();
        let broken: Vec<&str> = log.lines().filter(|line| line.ends_with(" broken")).collect();
        let what = world.violation().map(|what| format!("{what} ({})", broken.join(", ")));
        (what, !broken.is_empty())
    }

    /// Lets a host alone that does not know of the rule `off`, and loses one of its packs between two
    /// backups: the second one must store anew what the source still has.
    pub(super) fn lose_a_pack(&self, seed: u64, off: Option<Rule>, is_told: bool) -> Outcome {
        let world = World::new(Baton::new(seed, 1), &ORIGIN, is_told);
        let place = Place::of(seed);
        let mut actor = Actor::new(0, Arc::clone(&world), Treatment { off, ..CALM }, place.dir(0));
        self.pools[0].install(|| {
            actor.enter(seed);
            world.baton.start(0);
            for _ in 0..3 {
                actor.back_up();
            }
            world.lose_pack();
            actor.back_up();
            simulated::leave();
        });
        Outcome {
            violation: world.violation(),
            tally: actor.tally,
            requests: world.baton.steps(),
            log: world.log(),
            ..Outcome::default()
        }
    }

    /// What is said of a cache in the store that it is of, and in one that never held what it knows.
    pub(super) fn stray_cache(&self) -> [Option<String>; 2] {
        let [own, other] = [(); 2].map(|()| World::new(Baton::new(0, 1), &ORIGIN, false));
        let place = Place::of(0);
        let mut actor = Actor::new(0, Arc::clone(&own), CALM, place.dir(0));
        self.pools[0].install(|| {
            actor.enter(0);
            own.baton.start(0);
            // The second one takes in what the first one has stored.
            actor.back_up();
            actor.back_up();
            simulated::leave();
        });
        other.compare_cache(actor.cache.index());
        [own.violation(), other.violation()]
    }

    /// Nobody writes any more and nothing fails: three prunes later only what is needed is left.
    fn calm(&self, world: &Arc<World>, place: &Place, seed: u64, is_accused: bool) {
        world.note(90, || "calm".to_owned());
        world.apply_due(u64::MAX);
        let me = 0;
        world.baton.resume(me);
        let mut actor = Actor::new(me, Arc::clone(world), CALM, place.dir(ACTOR_COUNT_MAX));
        // With the numbers of an actor of the schedule it would make packs of the same names again.
        simulated::enter(!seed, None);
        if is_accused {
            // Packs that are held for damaged stay while something needs them.
            actor.read_back();
        }
        for _ in 0..3 {
            world.baton.wait_for(LONG);
            actor.prune_with(0);
        }
        let left = world.oracle.lock().expect("not poisoned").left_over();
        if let Some(first) = left.first()
            && !world.is_over()
            && !world.has_lost_segments()
        {
            world.violated(format!("after three prunes {first}"));
        }
        actor.check(true);
        actor.restore_all();
        simulated::leave();
    }
}

/// Some schedules are calm, most have faults now and then, some have many.
fn faults(dice: &mut Dice) -> Faults {
    let often = *dice.pick(&[0, 5, 5, 30]);
    let mut rate = || if often == 0 { 0 } else { dice.below(often) };
    Faults {
        lost: rate(),
        unheard: rate(),
        late: rate(),
        refused: rate(),
        flipped: rate() / 2,
        full: rate() / 4,
        torn: rate(),
    }
}
