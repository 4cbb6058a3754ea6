//! Rounds of prune: the steps by which any number of prunes agree on one list.
//!
//! A round has three records. `c` names candidates, `b` says that from now on they may be doomed,
//! `d` names the doomed. Each is created once; who comes second goes on with what the first one
//! wrote. So no prune owns a round, and one that dies is finished by the next.

use std::collections::{BTreeMap, HashSet};

use super::Repository;
use super::access::list;
use super::generations::{Record, read_record};
use crate::backend::{BackendError, Listed, create_verified};
use crate::base::{Error, ErrorKind, PackId, Result, Timestamp};
use crate::format::generation::Generation;
use crate::format::name::Parsed;
use crate::format::{GenerationStep, ObjectKind, ObjectName};

/// Times that the records are read again because some went away meanwhile.
const RESTART_COUNT_MAX: usize = 100;

/// One round, as far as it went.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Its number, from 1.
    pub number: u64,
    /// Candidates, if the record is there.
    pub candidates: Option<Vec<PackId>>,
    /// When the candidates were named, by the clock of the place.
    pub named: Timestamp,
    /// Whether the candidates may be doomed.
    pub has_begun: bool,
    /// What is doomed, once that is decided.
    pub doomed: Option<Vec<PackId>>,
}

/// All rounds that have records, by number.
///
/// # Errors
/// When they cannot be listed, or one says nothing that can be believed: then a round is not what
/// it seems, and nothing may be decided on it.
pub fn read(repository: &Repository) -> Result<Vec<Round>> {
    for _ in 0..RESTART_COUNT_MAX {
        if let Some(rounds) = try_read(repository)? {
            return Ok(rounds);
        }
    }
    Err(Error::new(ErrorKind::Busy, "the generations of prune change faster than they can be read")
        .hint("Try again when fewer prunes are running."))
}

/// What rounds have doomed, carried out to the end or not.
///
/// # Errors
/// As [`read`].
pub fn doomed(repository: &Repository) -> Result<HashSet<PackId>> {
    let rounds = read(repository)?.into_iter();
    Ok(rounds.filter_map(|round| round.doomed).flatten().collect())
}

fn try_read(repository: &Repository) -> Result<Option<Vec<Round>>> {
    let mut rounds: BTreeMap<u64, Round> = BTreeMap::new();
    let listed = list_records(repository)?;
    for Listed { name, modified, .. } in listed.iter().cloned() {
        let Parsed::Generation(number, step) = name.parsed() else { continue };
        let packs = match read_record(repository, number, step)? {
            Record::Packs(packs) => packs,
            Record::Gone => return Ok(None),
            Record::Damaged(error) => {
                return Err(error.hint(
                    "No prune can go on with what it does not say. If nobody of yours wrote it, \
                     remove that object.",
                ));
            }
        };
        let round = rounds.entry(number).or_insert_with(|| Round { number, ..Round::default() });
        match step {
            GenerationStep::Candidates => {
                round.candidates = Some(packs);
                round.named = modified;
            }
            GenerationStep::Begin => round.has_begun = true,
            GenerationStep::Doomed => round.doomed = Some(packs),
        }
    }
    // A listing takes its time: what it began with may be of another round than its end.
    let is_same = listed.is_empty() || list_records(repository)? == listed;
    Ok(is_same.then(|| rounds.into_values().collect()))
}

fn list_records(repository: &Repository) -> Result<Vec<Listed>> {
    let mut listed = list(&**repository.backend(), ObjectKind::Generation)?;
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}

/// Writes a record, or finds the one that somebody else wrote; returns the packs that hold.
///
/// # Errors
/// When the record cannot be stored, or what is there is not believed.
pub fn agree(
    repository: &Repository,
    number: u64,
    step: GenerationStep,
    packs: &HashSet<PackId>,
    time: Timestamp,
) -> Result<Vec<PackId>> {
    let mut packs: Vec<PackId> = packs.iter().copied().collect();
    packs.sort_unstable();
    let name = ObjectName::generation(number, step);
    let record = Generation { number, time, packs };
    let sealed = repository.seal(&name, &record.encode());
    match create_verified(&**repository.backend(), &name, &sealed) {
        Ok(_) => Ok(record.packs),
        Err(BackendError::Conflict { .. }) => match read_record(repository, number, step)? {
            Record::Packs(packs) => Ok(packs),
            Record::Damaged(error) => Err(error),
            // Decided, carried out and trimmed by others since.
            Record::Gone => Err(Error::new(
                ErrorKind::Busy,
                format!("generation {number} was finished by another prune"),
            )
            .hint("Run it again to free what is left.")),
        },
        Err(error) => Err(error.into()),
    }
}

/// Removes the records of a round that left nothing behind; `d` last, since without it the round
/// would seem undecided.
///
/// # Errors
/// When one cannot be deleted.
pub fn trim(repository: &Repository, number: u64) -> Result<()> {
    for step in [GenerationStep::Candidates, GenerationStep::Begin, GenerationStep::Doomed] {
        repository.backend().delete(&ObjectName::generation(number, step))?;
    }
    Ok(())
}
