//! What must not be pruned: every snapshot that is committed, or may be yet.

use std::collections::{HashMap, HashSet};

use super::access::list;
use super::parallel::ask_all;
use super::snapshots::{Snapshots, read_decision};
use super::{Repository, damaged, is_missing};
use crate::backend::Listed;
use crate::base::rules::{Rule, keeps};
use crate::base::{Error, ErrorKind, Problems, Result, SessionId, Timestamp};
use crate::format::name::Parsed;
use crate::format::snapshot::{Decision, Root, Seen, Snapshot};
use crate::format::{ObjectKind, ObjectName};

/// Times that roots are read again because a listing missed some.
const READ_COUNT_MAX: usize = 10;

/// What snapshots and sessions there are, as a prune sees them.
#[derive(Debug, Default)]
pub struct Roots {
    /// What is kept, with all it leads to: snapshots that are not forgotten, and the last root of each
    /// session of which nothing was decided.
    pub live: Vec<(ObjectName, Snapshot)>,
    /// Snapshots that are forgotten and still there, with the time at which they were forgotten, by
    /// the clock of the place.
    pub forgotten: Vec<(ObjectName, Timestamp)>,
    /// Roots of sessions that were decided or have a later one: nobody needs them any more.
    pub finished: Vec<ObjectName>,
    /// Sessions of which nothing was decided, with the time at which their last root was stored, by
    /// the clock of the place.
    pub undecided: Vec<(SessionId, Timestamp)>,
    /// Sessions of which something was decided.
    pub settled: HashSet<SessionId>,
}

impl Roots {
    /// Reads tombstones, then sessions, then snapshots. In this order a session that commits
    /// meanwhile is found at least once, as a root or as a snapshot.
    ///
    /// # Errors
    /// When anything of it cannot be read: what it leads to is not known, and must not be deleted.
    /// When the backend hides a snapshot that others have seen.
    pub fn read(repository: &Repository, problems: &Problems) -> Result<Self> {
        for _ in 0..READ_COUNT_MAX {
            if let Some(found) = Self::try_read(repository, problems)? {
                return Ok(found);
            }
        }
        Err(Error::new(ErrorKind::Busy, "snapshots are made faster than they can be listed")
            .hint("Try again when fewer backups are running."))
    }

    /// `None` when the listing of snapshots has missed one that is there: it takes its time, and what
    /// is made meanwhile may be in it or not.
    fn try_read(repository: &Repository, problems: &Problems) -> Result<Option<Self>> {
        let mut found = Self::default();
        let read_tombstones = || Snapshots::of_tombstones(repository, problems);
        let tombstones = if keeps(Rule::TombstonesFirst) { Some(read_tombstones()?) } else { None };
        let (sessions, decisions) = if keeps(Rule::SessionsFirst) {
            let sessions = read_sessions(repository)?;
            (sessions, read_decisions(repository)?)
        } else {
            let decisions = read_decisions(repository)?;
            (read_sessions(repository)?, decisions)
        };
        let tombstones = tombstones.map_or_else(read_tombstones, Ok)?;
        let Snapshots { tombed, tombed_at, seen_by_tombed, .. } = tombstones;
        let mut decided: HashSet<SessionId> = HashSet::new();
        let mut seen = seen_by_tombed;
        let (decisions, unfound) = decisions;
        for (name, id, decision) in decisions {
            decided.insert(id);
            match decision {
                // What it was matters no more.
                _ if tombed.contains(&id) => found.forgotten.push((name, tombed_at[&id])),
                Err(error) => return Err(unreadable(error)),
                Ok(Decision::Abort { .. }) => {}
                Ok(Decision::Snapshot(snapshot)) => {
                    seen.extend(snapshot.seen.iter().copied());
                    found.live.push((name, snapshot));
                }
            }
        }
        found.settled = decided.union(&tombed).copied().collect();
        if keeps(Rule::Seen) && missed(repository, &seen, &found.settled, problems)? {
            return Ok(None);
        }
        // Only one that was forgotten can be deleted between listing and reading.
        if unfound.iter().any(|id| !tombed.contains(id)) {
            let tombed = Snapshots::read_tombed(repository, problems)?;
            if unfound.iter().any(|id| !tombed.contains(id)) {
                return Ok(None);
            }
        }
        let mut last: HashMap<SessionId, Timestamp> = HashMap::new();
        let (sessions, outdated) = sessions;
        found.finished.extend(outdated);
        for (Listed { name, modified, .. }, id, root) in sessions {
            if decided.contains(&id) || tombed.contains(&id) {
                found.finished.push(name);
                continue;
            }
            last.insert(id, modified);
            if root.is_final || keeps(Rule::SavedKept) {
                found.live.push((name, root.snapshot));
            }
        }
        found.undecided = last.into_iter().collect();
        found.undecided.sort_unstable();
        Ok(Some(found))
    }
}

/// The last root of each session, and the names of those before it.
type Sessions = (Vec<(Listed, SessionId, Root)>, Vec<ObjectName>);
/// What became of each session, or why that cannot be read.
type Decisions = Vec<(ObjectName, SessionId, Result<Decision>)>;

fn read_sessions(repository: &Repository) -> Result<Sessions> {
    let mut listed = list(&**repository.backend(), ObjectKind::Session)?;
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let outdated = drop_outdated(&mut listed);
    let read = ask_all(&listed, &|object| -> Result<Option<Root>> {
        let sealed = match repository.backend().get(&object.name) {
            Ok(sealed) => sealed,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let body = crate::seal::object::open(repository.keyring(), &object.name, &sealed);
        let root = body.and_then(|body| Root::decode(&body));
        root.map(Some).map_err(|error| unreadable(damaged(&object.name, error)))
    });
    let mut sessions = Vec::new();
    for (object, root) in listed.into_iter().zip(read) {
        if let Parsed::Session(id, _) = object.name.parsed()
            && let Some(root) = root?
        {
            sessions.push((object, id, root));
        }
    }
    Ok((sessions, outdated))
}

/// Takes out the roots of which there is a later one of the same session: it is what that session goes on
/// with.
fn drop_outdated(listed: &mut Vec<Listed>) -> Vec<ObjectName> {
    let parse = |object: &Listed| match object.name.parsed() {
        Parsed::Session(id, number) => Some((id, number)),
        _ => None,
    };
    let mut last: HashMap<SessionId, u32> = HashMap::new();
    for (id, number) in listed.iter().filter_map(parse) {
        let known = last.entry(id).or_default();
        *known = number.max(*known);
    }
    let is_outdated = |object: &mut Listed| parse(object).is_some_and(|(id, n)| n < last[&id]);
    listed.extract_if(.., is_outdated).map(|object| object.name).collect()
}

/// What became of sessions, and those of which it is listed and was not found.
fn read_decisions(repository: &Repository) -> Result<(Decisions, Vec<SessionId>)> {
    let mut listed = list(&**repository.backend(), ObjectKind::Snapshot)?;
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let read = ask_all(&listed, &|object| read_decision(repository, &object.name));
    let (mut decisions, mut unfound) = (Vec::new(), Vec::new());
    for (object, decision) in listed.into_iter().zip(read) {
        if let Parsed::Snapshot(id) = object.name.parsed() {
            match decision.transpose() {
                Some(Err(error)) if error.kind != ErrorKind::Damaged => {
                    return Err(unreadable(error));
                }
                Some(decision) => decisions.push((object.name, id, decision)),
                None => unfound.push(id),
            }
        }
    }
    Ok((decisions, unfound))
}

/// Whether one that others have seen is missing in what was listed, and is there.
///
/// # Errors
/// When one is not there, though nobody forgot it: a backend that hides a snapshot would have prune
/// delete what it needs.
fn missed(
    repository: &Repository,
    seen: &[Seen],
    settled: &HashSet<SessionId>,
    problems: &Problems,
) -> Result<bool> {
    let mut absent = Vec::new();
    let mut is_any_there = false;
    for seen in seen.iter().filter(|seen| !settled.contains(&seen.session)) {
        let name = ObjectName::snapshot(seen.session);
        match read_decision(repository, &name).map_err(unreadable)? {
            Some(_) => is_any_there = true,
            None => absent.push(seen.session),
        }
    }
    if absent.is_empty() {
        return Ok(is_any_there);
    }
    // One that was forgotten and pruned since the tombstones were read is not hidden.
    let tombed = Snapshots::read_tombed(repository, problems)?;
    match absent.iter().find(|session| !tombed.contains(session)) {
        None => Ok(is_any_there),
        Some(hidden) => Err(Error::new(
            ErrorKind::Damaged,
            format!("snapshot {} is gone, though nobody forgot it", hidden.to_hex()),
        )
        .hint(
            "Nothing was pruned. Bring the object back from a copy of the repository; if it is lost \
             for good, `parados forget` with its whole id lets prune go on.",
        )),
    }
}

/// What to do about a root that keeps prune from knowing what is needed.
fn unreadable(error: Error) -> Error {
    match error.kind {
        ErrorKind::Damaged => error.hint(
            "Nothing was pruned, since nobody knows what it needs. Bring the object back from a \
             copy, or remove it if it is lost for good.",
        ),
        _ => error,
    }
}
