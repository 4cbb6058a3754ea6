//! Finding snapshots again: what is listed, what is forgotten, what a word selects.

use std::collections::{BTreeMap, HashSet};

use super::access::list_names;
use super::{Repository, damaged, is_missing};
use crate::base::{Error, ErrorKind, Problems, Result, SessionId, WriterId};
use crate::format::name::Parsed;
use crate::format::snapshot::{Decision, Seen, Snapshot};
use crate::format::tombstone::Tombstone;
use crate::format::{ObjectKind, ObjectName};

/// Shortest prefix of an id that selects a snapshot.
const PREFIX_LEN_MIN: usize = 4;

/// A committed snapshot with the id that names it.
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
    /// Forgotten sessions.
    pub tombed: HashSet<SessionId>,
    /// Objects that are set aside.
    pub problems: Vec<Error>,
}

impl Snapshots {
    /// Reads tombstones, then snapshots: a snapshot that is forgotten in between is still listed,
    /// none that is kept is missed.
    ///
    /// # Errors
    /// When the objects cannot be listed; one that cannot be read is a problem instead.
    pub fn read(repository: &Repository) -> Result<Self> {
        let mut found = Self::default();
        found.read_tombstones(repository)?;
        for name in list_names(&**repository.backend(), ObjectKind::Snapshot)? {
            let Parsed::Snapshot(id) = name.parsed() else { continue };
            if found.tombed.contains(&id) {
                continue;
            }
            match read_decision(repository, &name) {
                Ok(Some(Decision::Snapshot(snapshot))) => {
                    found.all.push(Committed { id, snapshot });
                }
                Ok(Some(Decision::Abort { .. }) | None) => {}
                Err(error) => found.problems.push(error),
            }
        }
        found.all.sort_by_key(|c| (c.snapshot.time, c.id));
        Ok(found)
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

    fn read_tombstones(&mut self, repository: &Repository) -> Result<()> {
        for name in list_names(&**repository.backend(), ObjectKind::Tombstone)? {
            let Parsed::Tombstone(id) = name.parsed() else { continue };
            let read = repository.open_object(&name).and_then(|body| {
                Tombstone::decode(&body, &id).map_err(|error| damaged(&name, error))
            });
            match read {
                Ok(tombstone) => self.tombed.extend(tombstone.sessions),
                // One that does not authenticate has no effect, or anybody could forget.
                Err(error) => self.problems.push(error),
            }
        }
        Ok(())
    }

    /// The snapshot that a word selects: `latest`, an id, or a prefix that only one id has.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::Usage`], with what there is.
    pub fn resolve(&self, word: &str) -> Result<&Committed> {
        if word == "latest" {
            return self.all.last().ok_or_else(|| {
                Error::new(ErrorKind::NotFound, "there is no snapshot yet")
                    .hint("Make one with `parados backup PATH`.")
            });
        }
        let is_prefix = word.len() >= PREFIX_LEN_MIN
            && word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let matching: Vec<&Committed> = if is_prefix {
            self.all.iter().filter(|c| c.id.to_hex().starts_with(word)).collect()
        } else {
            Vec::new()
        };
        match matching[..] {
            [one] => Ok(one),
            [] => Err(Error::new(ErrorKind::NotFound, format!("there is no snapshot {word}"))
                .hint("List them with `parados snapshots`; four or more digits of an id will do.")),
            _ => {
                let ids: Vec<String> =
                    matching.iter().map(|c| c.id.to_hex()[..16].into()).collect();
                Err(Error::new(
                    ErrorKind::Usage,
                    format!("{word} is ambiguous: {} snapshots start so", matching.len()),
                )
                .hint(format!("Give more digits: {}.", ids.join(", "))))
            }
        }
    }

    /// The last snapshot of every writer.
    pub fn heads(&self) -> Vec<Seen> {
        let mut heads: BTreeMap<WriterId, Seen> = BTreeMap::new();
        for Committed { id, snapshot } in &self.all {
            let seen = Seen { writer: snapshot.writer, session: *id, sequence: snapshot.sequence };
            let head = heads.entry(snapshot.writer).or_insert(seen);
            if seen.sequence >= head.sequence {
                *head = seen;
            }
        }
        heads.into_values().collect()
    }
}

/// Reads what became of a session; `None` when nothing did.
///
/// # Errors
/// Names the object.
pub fn read_decision(repository: &Repository, name: &ObjectName) -> Result<Option<Decision>> {
    let sealed = match repository.backend().get(name) {
        Ok(sealed) => sealed,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let body = crate::seal::object::open(repository.keyring(), name, &sealed)
        .map_err(|error| damaged(name, error))?;
    Decision::decode(&body).map(Some).map_err(|error| damaged(name, error))
}
