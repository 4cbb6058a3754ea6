//! Lets exactly one actor run at a time, chosen by a seed, by the only clock there is.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::base::{Clock, Timestamp};

/// Where time starts: 2060. What the kernel says of source files lies far before.
const START: i64 = 2_840_140_800;
/// Most milliseconds that a request takes.
const REQUEST_MILLIS_MAX: u64 = 3000;

/// Numbers that follow from a seed.
pub(super) struct Dice(blake3::OutputReader);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }

    /// A number below `count`.
    pub(super) fn below(&mut self, count: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % count
    }

    /// Whether something happens that happens so many times in a thousand.
    pub(super) fn falls(&mut self, in_thousand: u64) -> bool {
        self.below(1000) < in_thousand
    }

    /// Any of these.
    pub(super) fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len() as u64) as usize]
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Ready,
    /// Suspended until this millisecond.
    Asleep(u64),
    Over,
}

struct State {
    dice: Dice,
    /// Milliseconds since the start.
    now: u64,
    steps: u64,
    turns: Vec<Turn>,
    holder: Option<usize>,
    /// How often in a thousand requests the same actor goes on.
    stays: u64,
}

/// What all actors of a schedule wait for.
pub(super) struct Baton {
    state: Mutex<State>,
    wake: Vec<Condvar>,
}

impl Baton {
    /// A baton for so many actors, of which one has it already.
    pub(super) fn new(seed: u64, count: usize) -> Arc<Self> {
        let mut dice = Dice::new(seed);
        let stays = *dice.pick(&[0, 500, 900, 970]);
        let turns = vec![Turn::Ready; count];
        let mut state = State { dice, now: 0, steps: 0, turns, holder: None, stays };
        state.choose(None);
        let wake = (0..count).map(|_| Condvar::new()).collect();
        Arc::new(Self { state: Mutex::new(state), wake })
    }

    /// Returns once it is this actor's turn for the first time.
    pub(super) fn start(&self, me: usize) {
        drop(self.wait(self.lock(), me));
    }

    /// Lets others go on, perhaps; returns the number of the request.
    pub(super) fn pass(&self, me: usize) -> u64 {
        let mut state = self.lock();
        state.steps += 1;
        state.now += state.dice.below(REQUEST_MILLIS_MAX);
        state.choose(Some(me));
        let state = self.hand_over(state, me);
        state.steps
    }

    /// Suspends an actor for so many seconds.
    pub(super) fn sleep(&self, me: usize, seconds: u64) {
        let mut state = self.lock();
        state.turns[me] = Turn::Asleep(state.now + seconds * 1000);
        state.choose(None);
        drop(self.hand_over(state, me));
    }

    /// Ends an actor.
    pub(super) fn end(&self, me: usize) {
        let mut state = self.lock();
        state.turns[me] = Turn::Over;
        state.choose(None);
        if let Some(next) = state.holder {
            self.wake[next].notify_one();
        }
    }

    /// Wakes one up whose turns were over: there is nobody else.
    pub(super) fn resume(&self, me: usize) {
        let mut state = self.lock();
        state.turns[me] = Turn::Ready;
        state.holder = Some(me);
    }

    /// Asks the dice of the schedule.
    pub(super) fn dice<T>(&self, ask: impl FnOnce(&mut Dice) -> T) -> T {
        ask(&mut self.lock().dice)
    }

    /// Lets time pass while nothing happens.
    pub(super) fn wait_for(&self, seconds: u64) {
        self.lock().now += seconds * 1000;
    }

    pub(super) fn steps(&self) -> u64 {
        self.lock().steps
    }

    fn hand_over<'l>(&'l self, state: MutexGuard<'l, State>, me: usize) -> MutexGuard<'l, State> {
        if state.holder != Some(me)
            && let Some(next) = state.holder
        {
            self.wake[next].notify_one();
        }
        self.wait(state, me)
    }

    fn wait<'l>(&'l self, state: MutexGuard<'l, State>, me: usize) -> MutexGuard<'l, State> {
        let waits = |state: &mut State| state.holder != Some(me);
        self.wake[me].wait_while(state, waits).expect("nobody panics while holding it")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding it")
    }
}

impl State {
    /// Gives the baton to one who can go on; `last` more often than to others. When all sleep, time
    /// passes until the first one wakes.
    fn choose(&mut self, last: Option<usize>) {
        if let Some(last) = last
            && self.dice.falls(self.stays)
        {
            self.holder = Some(last);
            return;
        }
        let asleep = |turn: &Turn| match turn {
            Turn::Asleep(until) => Some(*until),
            _ => None,
        };
        if !self.turns.contains(&Turn::Ready)
            && let Some(first) = self.turns.iter().filter_map(asleep).min()
        {
            self.now = self.now.max(first);
        }
        for turn in &mut self.turns {
            if asleep(turn).is_some_and(|until| until <= self.now) {
                *turn = Turn::Ready;
            }
        }
        let ready: Vec<usize> =
            (0..self.turns.len()).filter(|actor| self.turns[*actor] == Turn::Ready).collect();
        self.holder = match ready.is_empty() {
            true => None,
            false => Some(*self.dice.pick(&ready)),
        };
    }
}

/// A clock that shows the time of the schedule, and so many seconds more.
pub(super) struct SkewedClock {
    pub(super) baton: Arc<Baton>,
    pub(super) ahead: i64,
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let millis = self.baton.lock().now;
        let nanos = (millis % 1000) as u32 * 1_000_000;
        Timestamp::new(START + self.ahead + (millis / 1000) as i64, nanos)
    }
}
