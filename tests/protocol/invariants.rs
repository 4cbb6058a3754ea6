//! What holds at every step, whoever did what.

use crate::set::{CAPACITY, Set};
use crate::world::{Chunks, Name, Step, Value, World, contents, node};

/// What really happened, which no actor knows.
pub struct Truth {
    /// Snapshots whose writers were told that they are committed.
    pub acknowledged: Set,
    /// Sessions that were ever committed, and ever fenced off.
    committed: Set,
    aborted: Set,
    /// Snapshots that somebody may have forgotten.
    pub forgotten: Set,
    /// The first doomed list of each round: that is the decision.
    decided: Vec<Option<Set>>,
    /// All packs that were ever doomed.
    pub doomed: Set,
    /// What the store itself lost, by the sessions that had begun by then.
    lost: Vec<Chunks>,
    /// Sessions that had not committed by then: of these, what only a lost node leads to is lost
    /// too.
    cut_off: Set,
    /// A pack was damaged.
    pub is_damaged: bool,
    /// What does not hold.
    pub violation: Option<String>,
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            acknowledged: Set::EMPTY,
            committed: Set::EMPTY,
            aborted: Set::EMPTY,
            forgotten: Set::EMPTY,
            decided: vec![None; CAPACITY],
            doomed: Set::EMPTY,
            lost: vec![0; CAPACITY],
            cut_off: Set::EMPTY,
            is_damaged: false,
            violation: None,
        }
    }
}

impl World {
    /// Takes note of an object that was created.
    pub(crate) fn note_put(&mut self, name: Name, value: Value) {
        match (name, value) {
            (Name::Round(number, Step::Doomed), Value::Packs(packs)) => {
                let decided = &mut self.truth.decided[usize::from(number)];
                match decided {
                    Some(first) if *first == packs => {}
                    Some(_) => self.counts.zombies += 1,
                    None => {
                        *decided = Some(packs);
                        self.truth.doomed |= packs;
                        self.counts.decided += 1;
                    }
                }
            }
            (Name::Snapshot(session), Value::Snapshot) => {
                self.counts.commits += 1;
                self.truth.committed.insert(session);
            }
            (Name::Snapshot(session), _) => {
                self.counts.fenced += 1;
                self.truth.aborted.insert(session);
            }
            _ => {}
        }
    }

    /// A writer is told that its snapshot is committed.
    pub fn acknowledge(&mut self, session: u16) {
        self.truth.acknowledged.insert(session);
        self.has_changed = true;
    }

    /// The store loses the end of a pack. Sessions that began before may rely on it.
    pub fn damage(&mut self) {
        let packs = self.stored.packs - self.stored.short;
        let Some(pack) = packs.any(&mut self.random) else { return };
        self.stored.short.insert(pack);
        self.truth.is_damaged = true;
        self.counts.damaged += 1;
        self.truth.cut_off |= self.sessions() - self.stored.snapshots;
        for session in self.sessions().iter() {
            self.truth.lost[usize::from(session)] |= self.packs[usize::from(pack)];
        }
        self.tell(|| format!("  damaged: pack {pack}"));
    }

    /// The store loses a segment. The packs that it named say themselves what they hold.
    pub fn lose_segment(&mut self) {
        let Some(segment) = self.stored.segments.any(&mut self.random) else { return };
        self.stored.segments.remove(segment);
        self.counts.lost_segments += 1;
        self.tell(|| format!("  lost: segment {segment}"));
    }

    /// The store hides a snapshot that a tombstone or another snapshot names as seen.
    pub fn hide(&mut self) {
        let there = self.stored.snapshots;
        let tombed = self.tombed();
        let mut seen = Set::EMPTY;
        for session in (there | tombed).iter() {
            let mut others = self.bodies[usize::from(session)].seen;
            others.remove(session);
            seen |= others;
        }
        if let Some(session) = (there & (seen - tombed)).any(&mut self.random) {
            self.stored.hidden.insert(session);
            self.counts.hidden += 1;
            self.tell(|| format!("  hidden: snapshot {session}"));
        }
    }

    /// What a restore of a snapshot may miss.
    pub fn excuse(&self, session: u16) -> Chunks {
        let is_gone = self.truth.forgotten.has(session) || self.tombed().has(session);
        if is_gone { Chunks::MAX } else { self.lost_with(session) }
    }

    /// What the store lost of a snapshot.
    fn lost_with(&self, session: u16) -> Chunks {
        let lost = self.truth.lost[usize::from(session)];
        if !self.truth.cut_off.has(session) {
            return lost;
        }
        let directories = self.bodies[usize::from(session)].directories.into_iter();
        let cut_off = directories.filter(|directory| node(*directory) & lost != 0);
        cut_off.fold(lost, |all, directory| all | contents(directory))
    }

    /// Notes the first thing that does not hold.
    pub fn fail(&mut self, what: String) {
        self.tell(|| format!("VIOLATION: {what}"));
        self.truth.violation.get_or_insert(what);
    }

    /// Compares what is stored with what must be.
    pub fn check(&mut self) {
        if let Err(what) = self.holds() {
            self.fail(what);
        }
    }

    fn holds(&self) -> Result<(), String> {
        let tombed = self.tombed();
        let sound = self.stored.packs - self.stored.short;
        let lasting = self.chunks_of(sound - self.truth.doomed);
        for session in (self.stored.snapshots - tombed).iter() {
            let of = usize::from(session);
            let missing = self.bodies[of].needs() & !lasting & !self.lost_with(session);
            if missing != 0 {
                let how = match missing & !self.chunks_of(sound) {
                    0 => "is only in doomed packs",
                    _ => "is gone",
                };
                return Err(format!("snapshot {session}: chunk {} {how}", first(missing)));
            }
        }
        let unlisted = self.truth.acknowledged - self.stored.snapshots - tombed;
        if let Some(session) = (unlisted - self.truth.forgotten).iter().next() {
            return Err(format!("snapshot {session} was acknowledged and is not there"));
        }
        let twice = self.truth.committed & (self.truth.aborted - self.truth.forgotten);
        if let Some(session) = twice.iter().next() {
            return Err(format!("session {session} was decided in two ways"));
        }
        self.rounds_hold()
    }

    /// Of the last round and the one before, only the last may be undecided, and what their records
    /// say is what was decided first. What else is there means nothing.
    fn rounds_hold(&self) -> Result<(), String> {
        let steps = [Step::Candidates, Step::Begin, Step::Doomed];
        let has = |number, step| self.get(Name::Round(number, step));
        let numbers = 1..self.round_count();
        let Some(last) = numbers.rev().find(|n| steps.iter().any(|s| has(*n, *s).is_some())) else {
            return Ok(());
        };
        for number in [last - 1, last] {
            let decided = self.truth.decided[usize::from(number)].map(Value::Packs);
            let stored = has(number, Step::Doomed);
            if number > 0 && stored != decided {
                return Err(format!("round {number}: {stored:?} was {decided:?}"));
            }
            if number > 0 && number < last && stored.is_none() {
                return Err(format!("round {number} is undecided, and round {last} is begun"));
            }
        }
        Ok(())
    }

    /// After all faults have stopped and some prunes have run: nothing is left that nobody needs.
    pub fn check_calm(&mut self) {
        let kept = (self.stored.snapshots - self.tombed()).iter();
        let needed = kept.fold(0, |all, s| all | self.bodies[usize::from(s)].needs());
        let packs = (self.stored.packs - self.stored.short).iter();
        let unneeded = packs.filter(|pack| self.packs[usize::from(*pack)] & needed == 0).count();
        let roots = self.stored.roots;
        if self.truth.is_damaged {
            return;
        }
        if unneeded > 0 || !roots.is_empty() {
            self.fail(format!("{unneeded} packs that nobody needs are left, and roots {roots:?}"));
        }
        let last = (1..self.round_count())
            .rev()
            .find(|number| self.get(Name::Round(*number, Step::Candidates)).is_some());
        if let Some(last) = last.filter(|last| self.get(Name::Round(*last, Step::Doomed)).is_none())
        {
            self.fail(format!("round {last} stays undecided"));
        }
    }
}

fn first(chunks: Chunks) -> u32 {
    chunks.trailing_zeros()
}
