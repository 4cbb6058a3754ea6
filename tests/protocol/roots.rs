//! How snapshots, sessions and tombstones are read, as `repo::roots` and `repo::snapshots` do.

use crate::client::{Client, Ended, Run};
use crate::rules::Rule;
use crate::set::Set;
use crate::world::{Body, HOST_COUNT, Kind, Name, Value};

/// Snapshots as a writer or a reader sees them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshots {
    /// Committed and not forgotten.
    pub kept: Set,
    /// Forgotten and still there.
    pub forgotten: Set,
}

impl Snapshots {
    /// Reads tombstones, then snapshots.
    pub async fn read(client: &Client) -> Self {
        let tombed = read_tombed(client).await;
        let mut found = Self::default();
        for id in client.list(Kind::Snapshots).await.iter() {
            if client.get(Name::Snapshot(id)).await == Some(Value::Snapshot) {
                match tombed.has(id) {
                    true => found.forgotten.insert(id),
                    false => found.kept.insert(id),
                }
            }
        }
        found
    }

    /// The newest one of a writer.
    pub fn newest_of(&self, client: &Client, writer: u8) -> Option<u16> {
        let of_writer = self.kept.iter().filter(|id| client.body(*id).writer == writer);
        of_writer.max_by_key(|id| client.body(*id).sequence)
    }

    /// The newest one of every writer.
    pub fn heads(&self, client: &Client) -> Set {
        let mut heads = Set::EMPTY;
        for writer in 0..HOST_COUNT as u8 {
            self.newest_of(client, writer).into_iter().for_each(|id| heads.insert(id));
        }
        heads
    }
}

/// All forgotten sessions.
pub async fn read_tombed(client: &Client) -> Set {
    let mut tombed = Set::EMPTY;
    for id in client.list(Kind::Tombstones).await.iter() {
        if let Some(Value::Sessions(sessions)) = client.get(Name::Tombstone(id)).await {
            tombed |= sessions;
        }
    }
    tombed
}

/// What is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    Snapshot(u16),
    /// The root of a session of which nothing was decided.
    Pending(u16),
}

/// What must not be pruned.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    pub live: Vec<(Live, Body)>,
    /// Forgotten snapshots that are still there.
    pub forgotten: Set,
    /// Roots of sessions that were decided.
    pub finished: Set,
    /// Sessions of which nothing was decided.
    pub undecided: Set,
}

impl Roots {
    /// Reads tombstones, then sessions, then snapshots.
    pub async fn read(client: &Client) -> Run<Self> {
        let mut tombed = Set::EMPTY;
        let mut decisions = Decisions::default();
        if client.keeps(Rule::TombstonesFirst) {
            tombed = read_tombed(client).await;
        }
        if !client.keeps(Rule::SessionsBeforeSnapshots) {
            decisions = read_decisions(client).await;
        }
        let sessions = read_sessions(client).await;
        if client.keeps(Rule::SessionsBeforeSnapshots) {
            decisions = read_decisions(client).await;
        }
        if !client.keeps(Rule::TombstonesFirst) {
            tombed = read_tombed(client).await;
        }
        let mut found = Self::default();
        let mut decided = Set::EMPTY;
        let mut seen = tombed.iter().fold(Set::EMPTY, |seen, id| seen | client.body(id).seen);
        for (id, decision) in decisions.found {
            decided.insert(id);
            if tombed.has(id) {
                found.forgotten.insert(id);
            } else if decision == Value::Snapshot {
                seen |= client.body(id).seen;
                found.live.push((Live::Snapshot(id), client.body(id)));
            }
        }
        let mut hidden = Set::EMPTY;
        if client.keeps(Rule::MissSeen) {
            hidden |= seen - decided - tombed;
        }
        if client.keeps(Rule::MissListed) {
            hidden |= decisions.missing - tombed;
        }
        if !hidden.is_empty() && !(hidden - read_tombed(client).await).is_empty() {
            client.tell(|| format!("misses snapshots {hidden:?}"));
            return Err(Ended::Lost);
        }
        for id in sessions.iter() {
            if decided.has(id) || tombed.has(id) {
                found.finished.insert(id);
            } else {
                found.undecided.insert(id);
                found.live.push((Live::Pending(id), client.body(id)));
            }
        }
        client.tell(|| {
            let live: Vec<Live> = found.live.iter().map(|(live, _)| *live).collect();
            format!("reads roots {live:?}, forgotten {:?}", found.forgotten)
        });
        Ok(found)
    }
}

async fn read_sessions(client: &Client) -> Set {
    let mut sessions = Set::EMPTY;
    for id in client.list(Kind::Roots).await.iter() {
        if client.get(Name::Root(id)).await.is_some() {
            sessions.insert(id);
        }
    }
    sessions
}

/// What was decided of sessions.
#[derive(Default)]
struct Decisions {
    found: Vec<(u16, Value)>,
    /// Listed, and gone when they were asked for.
    missing: Set,
}

async fn read_decisions(client: &Client) -> Decisions {
    let mut decisions = Decisions::default();
    for id in client.list(Kind::Snapshots).await.iter() {
        match client.get(Name::Snapshot(id)).await {
            Some(decision) => decisions.found.push((id, decision)),
            None => decisions.missing.insert(id),
        }
    }
    decisions
}
