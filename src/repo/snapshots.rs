//! Finding snapshots again: what is listed, what is forgotten.

use std::collections::{HashMap, HashSet};

use super::access::list;
use super::parallel::ask_all;
use super::select::{Filter, Selector};
use super::{Repository, damaged};
use crate::backend::Listed;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Problems, Result, SessionId, Timestamp, WriterId};
use crate::format::name::Parsed;
use crate::format::note::Note;
use crate::format::snapshot::{Decision, Seen, Snapshot};
use crate::format::tombstone::Tombstone;
use crate::format::{ObjectKind, ObjectName};

/// Seconds by which the clock of another host may be ahead of ours before what it wrote counts as
/// dated in the future.
const CLOCK_AHEAD_MAX: i64 = 300;

/// A committed snapshot with the id that names it, or what a session has captured so far where
/// [`Snapshots::interrupted`] was asked for.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The session that it decided.
    pub id: SessionId,
    /// What it says.
    pub snapshot: Snapshot,
}

/// Every snapshot that is committed and not forgotten, oldest first, with an error for each object
/// that could not be read.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// The snapshots, by time, then id.
    pub all: Vec<Committed>,
    /// When each was stored, by the clock of the place.
    pub stored: HashMap<SessionId, Timestamp>,
    /// Those of them that must not be forgotten.
    pub pinned: HashSet<SessionId>,
    /// Forgotten sessions.
    pub tombed: HashSet<SessionId>,
    /// When each of them was first forgotten, by the clock of the place.
    pub(super) tombed_at: HashMap<SessionId, Timestamp>,
    /// What the forgotten snapshots had seen.
    pub seen_by_tombed: Vec<Seen>,
    /// Objects that are set aside.
    pub problems: Vec<Error>,
    /// Snapshots that could not be read, any of which may be the newest.
    pub(super) unreadable_count: usize,
    /// How many at the end of `all` lie ahead of the clock.
    pub(super) ahead_count: usize,
}

impl Snapshots {
    /// Reads tombstones, then snapshots: a snapshot that is forgotten in between is still listed,
    /// none that is kept is missed.
    ///
    /// # Errors
    /// When the objects cannot be listed; one that cannot be read is a problem instead.
    pub fn read(repository: &Repository) -> Result<Self> {
        Self::read_if(repository, |is_tombed| !is_tombed)
    }

    /// As [`Snapshots::read`], but of those that are forgotten and still there.
    ///
    /// # Errors
    /// As [`Snapshots::read`].
    pub fn read_forgotten(repository: &Repository) -> Result<Self> {
        Self::read_if(repository, |is_tombed| is_tombed)
    }

    fn read_if(repository: &Repository, is_wanted: impl Fn(bool) -> bool) -> Result<Self> {
        let mut found = Self { problems: repository.problems().collect(), ..Self::default() };
        found.read_tombstones(repository)?;
        let mut sessions = Vec::new();
        for Listed { name, modified, .. } in listed(repository, ObjectKind::Snapshot)? {
            match name.parsed() {
                Parsed::Snapshot(id) if is_wanted(found.tombed.contains(&id)) => {
                    found.stored.insert(id, modified);
                    sessions.push((id, name));
                }
                _ => {}
            }
        }
        let decisions = ask_all(&sessions, &|(_, name)| read_decision(repository, name));
        for ((id, _), decision) in sessions.into_iter().zip(decisions) {
            match decision {
                Ok(Some(Decision::Snapshot(snapshot))) => {
                    found.all.push(Committed { id, snapshot });
                }
                Ok(Some(Decision::Abort { .. }) | None) => {}
                Err(error) => {
                    found.unreadable_count += 1;
                    found.problems.push(error);
                }
            }
        }
        found.all.sort_by_key(|c| (c.snapshot.time, c.id));
        found.apply_notes(repository)?;
        Ok(found)
    }

    /// Applies what was said about snapshots after the fact: of several notes, the one with the
    /// highest number that says something holds.
    fn apply_notes(&mut self, repository: &Repository) -> Result<()> {
        let places: HashMap<SessionId, usize> =
            self.all.iter().enumerate().map(|(place, c)| (c.id, place)).collect();
        let mut notes = Vec::new();
        for Listed { name, .. } in listed(repository, ObjectKind::Note)? {
            if let Parsed::Note(session, number) = name.parsed()
                && let Some(place) = places.get(&session)
            {
                notes.push((*place, number, session, name));
            }
        }
        notes.sort_by_key(|(place, number, ..)| (*place, *number));
        let read = ask_all(&notes, &|(_, _, session, name)| {
            let body = repository.open_object(name)?;
            Note::decode(&body, session).map_err(|error| damaged(name, error))
        });
        for ((place, _, session, _), note) in notes.iter().zip(read) {
            match note {
                Ok(note) => {
                    match note.pinned {
                        Some(true) => drop(self.pinned.insert(*session)),
                        Some(false) => drop(self.pinned.remove(session)),
                        None => {}
                    }
                    let snapshot = &mut self.all[*place].snapshot;
                    snapshot.tags = note.tags.unwrap_or(std::mem::take(&mut snapshot.tags));
                    snapshot.description = note.description.or(snapshot.description.take());
                }
                Err(error) => self.problems.push(error),
            }
        }
        Ok(())
    }

    /// Only the forgotten sessions.
    ///
    /// # Errors
    /// When tombstones cannot be listed.
    pub fn read_tombed(repository: &Repository, problems: &Problems) -> Result<HashSet<SessionId>> {
        let mut found = Self::default();
        found.read_tombstones(repository)?;
        problems.extend(found.problems);
        Ok(found.tombed)
    }

    /// Only what tombstones say.
    ///
    /// # Errors
    /// When tombstones cannot be listed.
    pub(super) fn of_tombstones(repository: &Repository, problems: &Problems) -> Result<Self> {
        let mut found = Self::default();
        found.read_tombstones(repository)?;
        problems.extend(std::mem::take(&mut found.problems));
        Ok(found)
    }

    fn read_tombstones(&mut self, repository: &Repository) -> Result<()> {
        let mut sessions = Vec::new();
        for Listed { name, modified, .. } in listed(repository, ObjectKind::Tombstone)? {
            if let Parsed::Tombstone(id) = name.parsed() {
                sessions.push((id, name, modified));
            }
        }
        let tombstones = ask_all(&sessions, &|(id, name, _)| {
            let body = repository.open_object(name)?;
            Tombstone::decode(&body, id).map_err(|error| damaged(name, error))
        });
        for ((.., modified), tombstone) in sessions.iter().zip(tombstones) {
            match tombstone {
                Ok(tombstone) => {
                    for id in &tombstone.sessions {
                        let at = self.tombed_at.entry(*id).or_insert(*modified);
                        *at = (*at).min(*modified);
                    }
                    self.tombed.extend(tombstone.sessions);
                    self.seen_by_tombed.extend(tombstone.seen);
                }
                // One that does not authenticate has no effect, or anybody could forget.
                Err(error) => self.problems.push(error),
            }
        }
        Ok(())
    }

    /// Looks at the snapshots by this clock: those that are dated later are neither `latest` nor
    /// parent, or one wrong clock would hide everything that comes after it.
    #[must_use]
    pub fn as_of(mut self, now: Timestamp) -> Self {
        let limit = Timestamp::new(now.seconds.saturating_add(CLOCK_AHEAD_MAX), now.nanos);
        self.ahead_count = self.all.len() - self.all.partition_point(|c| c.snapshot.time <= limit);
        self
    }

    /// Whether the newest snapshot may be one that could not be read.
    pub fn may_miss_latest(&self) -> bool {
        self.unreadable_count > 0
    }

    /// The snapshots that the clock has reached.
    pub fn present(&self) -> &[Committed] {
        &self.all[..self.all.len() - self.ahead_count]
    }

    /// The snapshots that lie ahead of the clock.
    pub fn ahead(&self) -> &[Committed] {
        &self.all[self.all.len() - self.ahead_count..]
    }

    /// A problem that names the snapshots ahead of the clock that `filter` accepts, if there are
    /// any.
    pub fn ahead_problem(&self, filter: &Filter) -> Option<Error> {
        let mut ahead = self.ahead().iter().filter(|c| filter.accepts(&c.snapshot));
        let first = ahead.next()?;
        let (id, time) = (first.id.short(), first.snapshot.time.to_local());
        let more = match ahead.count() {
            0 => String::new(),
            count => format!(", and so are {count} more"),
        };
        let host = escape(first.snapshot.host.as_bytes());
        Some(
            Error::new(
                ErrorKind::Clock,
                format!(
                    "snapshot {id} is dated {time}, later than now{more}: it is not the latest"
                ),
            )
            .hint(format!("Check the clocks of {host} and of this host; select it by its id.")),
        )
    }

    /// The snapshot that a word selects: `latest`, an id, or a prefix that only one id has.
    ///
    /// # Errors
    /// As [`Snapshots::select`].
    pub fn resolve(&self, word: &str) -> Result<&Committed> {
        self.select(&Selector::from(word))
    }

    /// The last snapshots of every writer, and each that nobody says to have seen: runs of one
    /// writer at the same time go on from the same one, and none of them may be taken away unnoticed.
    pub fn heads(&self) -> Vec<Seen> {
        let seen = self.all.iter().flat_map(|committed| &committed.snapshot.seen);
        let seen: HashSet<SessionId> =
            seen.chain(&self.seen_by_tombed).map(|seen| seen.session).collect();
        let mut last: HashMap<WriterId, u64> = HashMap::new();
        for Committed { snapshot, .. } in &self.all {
            let sequence = last.entry(snapshot.writer).or_default();
            *sequence = snapshot.sequence.max(*sequence);
        }
        let heads = self.all.iter().filter(|Committed { id, snapshot }| {
            last[&snapshot.writer] == snapshot.sequence || !seen.contains(id)
        });
        let mut heads: Vec<Seen> = heads
            .map(|Committed { id, snapshot }| Seen {
                writer: snapshot.writer,
                session: *id,
                sequence: snapshot.sequence,
            })
            .collect();
        heads.sort_unstable_by_key(|seen| (seen.writer, seen.sequence, seen.session));
        heads
    }
}

/// All objects of a kind, sorted, so that problems are told in the same order every time.
fn listed(repository: &Repository, kind: ObjectKind) -> Result<Vec<Listed>> {
    let mut listed = list(&**repository.backend(), kind)?;
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

/// Reads what became of a session; `None` when nothing did.
///
/// # Errors
/// Names the object.
pub fn read_decision(repository: &Repository, name: &ObjectName) -> Result<Option<Decision>> {
    let Some(body) = repository.find_object(name)? else { return Ok(None) };
    Decision::decode(&body).map(Some).map_err(|error| damaged(name, error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::backend::Verb;
    use crate::backend::memory::Memory;
    use crate::backend::with::count::Counted;
    use crate::backend::with::fault::{Fault, Faulty, Rule};
    use crate::backend::with::slow::Slow;
    use crate::base::SystemClock;
    use crate::repo::parallel::REQUEST_COUNT_MAX;
    use crate::repo::testing::{self, make, open, snapshot_of};

    /// Longer than a busy machine keeps a thread waiting, far shorter than asking one by one takes.
    const DELAY: Duration = Duration::from_millis(20);

    /// An empty snapshot that is dated `seconds`.
    fn commit(repository: &Repository, seconds: i64) -> SessionId {
        testing::commit(repository, snapshot_of(Timestamp::new(seconds, 0), "host", "/x"))
    }

    #[test]
    fn a_far_store_is_asked_for_many_snapshots_at_a_time() {
        let memory = Memory::new("snapshots", Arc::new(SystemClock));
        make(memory.clone());
        let near = open(memory.clone());
        let ids: Vec<SessionId> = (0..60).map(|n| commit(&near, n)).collect();
        let slow = Slow::new(memory, DELAY);
        let counted = Counted::new(slow.clone());
        let far = open(counted.clone());
        drop(counted.take());
        let found = Snapshots::read(&far).expect("they are listed");
        assert_eq!(found.all.iter().map(|c| c.id).collect::<Vec<_>>(), ids);
        assert!(found.problems.is_empty());
        // One request for each object, and one listing for each kind.
        assert_eq!((counted.count(Verb::Get), counted.count(Verb::List)), (60, 3));
        assert_eq!(slow.in_flight_max(), REQUEST_COUNT_MAX);
    }

    #[test]
    fn an_object_that_cannot_be_read_costs_no_other() {
        let memory = Memory::new("snapshots", Arc::new(SystemClock));
        make(memory.clone());
        let near = open(memory.clone());
        let ids: Vec<SessionId> = (0..20).map(|n| commit(&near, n)).collect();
        let faulty = Faulty::new(memory);
        let far = open(faulty.clone());
        let rule = |fault| Rule::on(Verb::Get, fault).of(ObjectKind::Snapshot);
        faulty.inject(rule(Fault::Flipped));
        faulty.inject(rule(Fault::Denied));
        let found = Snapshots::read(&far).expect("they are listed");
        assert_eq!((found.all.len(), found.problems.len()), (18, 2));
        for id in ids {
            let is_told = found.problems.iter().any(|p| p.to_string().contains(&id.to_hex()));
            let is_found = found.all.iter().any(|c| c.id == id);
            assert!(is_told != is_found, "{id}");
        }
    }

    /// Three runs of one writer that began with the same snapshot, of which one was very slow.
    #[test]
    fn no_run_of_a_writer_hides_another() {
        let memory = Memory::new("snapshots", Arc::new(SystemClock));
        make(memory.clone());
        let repository = open(memory);
        let heads = || Snapshots::read(&repository).expect("they are listed").heads();
        let commit = |sequence, seen: &[Seen]| {
            let snapshot = snapshot_of(Timestamp::new(1_000, 0), "host", "/x");
            let seen = seen.to_vec();
            crate::repo::testing::commit(&repository, Snapshot { sequence, seen, ..snapshot })
        };
        let ids = || heads().iter().map(|seen| seen.session).collect::<HashSet<_>>();
        let first = commit(1, &[]);
        let from = heads();
        let siblings = [commit(2, &from), commit(2, &from)];
        assert_eq!(ids(), HashSet::from(siblings));
        let next = commit(3, &heads());
        assert_eq!(ids(), HashSet::from([next]));
        let slow = commit(2, &from);
        assert_eq!(ids(), HashSet::from([next, slow]));
        commit(4, &heads());
        assert_eq!(ids().len(), 1);
        assert!(!ids().contains(&first));
    }

    #[test]
    fn what_is_ahead_of_the_clock_is_not_the_latest() {
        let memory = Memory::new("snapshots", Arc::new(SystemClock));
        make(memory.clone());
        let repository = open(memory);
        let past = commit(&repository, 1_000);
        let future = commit(&repository, 9_000_000_000);
        let read = || Snapshots::read(&repository).expect("they are listed");
        let found = read().as_of(Timestamp::new(2_000, 0));
        assert_eq!(found.resolve("latest").expect("there is one").id, past);
        assert_eq!(found.present().iter().map(|c| c.id).collect::<Vec<_>>(), [past]);
        assert_eq!(found.resolve(&future.to_hex()).expect("there is one").id, future);
        let problem = found.ahead_problem(&Filter::default()).expect("it is told");
        assert_eq!(problem.kind, ErrorKind::Clock);
        let start = format!("snapshot {} is dated 2255-03-", future.short());
        assert!(problem.message.starts_with(&start), "{problem}");
        let other = Filter { hosts: vec!["other".to_owned()], ..Filter::default() };
        assert!(found.ahead_problem(&other).is_none());
        // What every writer wrote last is seen all the same: here two runs at once.
        assert_eq!(found.heads().len(), 2);
        // Nobody is left out of a listing without a clock.
        assert_eq!(read().resolve("latest").expect("there is one").id, future);
    }
}
