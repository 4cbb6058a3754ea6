//! Finding out by trying what a place can be relied on for.

use bytes::Bytes;

use super::error::{At, BackendError};
use super::verb::Verb;
use super::{Backend, Listed, Put};
use crate::base::{Timestamp, random};
use crate::format::name::{ObjectKind, ObjectName, Parsed};
use crate::seal::Sealed;

/// Threads that try to create one name at the same time. A store that checks and then writes
/// lets several of 16 win; 8 find that nearly always and cost eight small requests.
const RACERS: usize = 8;

/// What a place was seen to keep and to break.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// A second create of a name was refused and changed nothing.
    pub create_is_refused: bool,
    /// Of several creates at the same time exactly one won, and its bytes were kept.
    pub create_is_atomic: bool,
    /// What was written could be read and looked up at once.
    pub reads_follow_writes: bool,
    /// What was written was listed at once.
    pub lists_follow_writes: bool,
    /// What was deleted could neither be read nor listed any more; `None` when deleting is not
    /// permitted, in which case the probe's own objects stay behind.
    pub deletes_take_effect: Option<bool>,
    /// The time of the place when it was probed. Ages of objects are measured from here.
    pub now: Timestamp,
}

impl Probe {
    /// Whether any number of writers and prunes may run here at the same time.
    pub fn is_safe(&self) -> bool {
        self.create_is_refused
            && self.create_is_atomic
            && self.reads_follow_writes
            && self.lists_follow_writes
            && self.deletes_take_effect != Some(false)
    }
}

/// Tries everything under two names that nobody used before and nobody will use again, so that a
/// request that arrives late can hurt nothing.
pub(super) fn run<B: Backend + ?Sized>(backend: &B) -> Result<Probe, BackendError> {
    let (name, race) = (unique_name(), unique_name());
    let outcome = try_all(backend, &name, &race);
    if outcome.is_err() {
        // Best effort: the error that is about to be returned says what is wrong.
        drop(backend.delete(&name));
        drop(backend.delete(&race));
    }
    outcome
}

fn try_all<B: Backend + ?Sized>(
    backend: &B,
    name: &ObjectName,
    race: &ObjectName,
) -> Result<Probe, BackendError> {
    let (first, second) = (random_body(), random_body());
    if backend.put(name, &first)? != Put::Created {
        let at = Box::new(At::object(backend.location(), Verb::Put, name));
        let why = "a name nobody ever used is said to exist".to_owned();
        return Err(BackendError::Unsupported { at, why, source: None });
    }
    let second_put = backend.put(name, &second)?;
    let kept = found(backend.get(name))? == Some(first.clone());
    let looked_up = found(backend.stat(name))?;
    let create_is_atomic = race_is_fair(backend, race)?;
    let listed = lists(backend, name)?;
    let deletes_take_effect = match backend.delete(name).and_then(|()| backend.delete(race)) {
        Ok(()) => Some(found(backend.get(name))?.is_none() && lists(backend, name)?.is_none()),
        Err(BackendError::Access { .. } | BackendError::Unsupported { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(Probe {
        create_is_refused: second_put == Put::Exists && kept,
        create_is_atomic,
        reads_follow_writes: kept && looked_up.as_ref().is_some_and(|l| l.len == first.len()),
        lists_follow_writes: listed.is_some_and(|l| l.len == first.len()),
        deletes_take_effect,
        now: looked_up.map(|l| l.modified).unwrap_or_default(),
    })
}

/// Whether exactly one of many creates of `name` wins, and is what can be read afterwards.
fn race_is_fair<B: Backend + ?Sized>(backend: &B, name: &ObjectName) -> Result<bool, BackendError> {
    let bodies: Vec<_> = (0..RACERS).map(|_| random_body()).collect();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> =
            bodies.iter().map(|body| scope.spawn(move || backend.put(name, body))).collect();
        racers.into_iter().map(|racer| racer.join().expect("a put does not panic")).collect()
    });
    let mut winners = Vec::new();
    for (outcome, body) in outcomes.into_iter().zip(&bodies) {
        if outcome? == Put::Created {
            winners.push(body);
        }
    }
    let stored = found(backend.get(name))?;
    Ok(winners.len() == 1 && stored.as_ref() == winners.first().copied())
}

fn lists<B: Backend + ?Sized>(
    backend: &B,
    name: &ObjectName,
) -> Result<Option<Listed>, BackendError> {
    let mut result = None;
    backend.list(ObjectKind::Ledger, &mut |listed| {
        result = listed.ok().filter(|l| l.name == *name).or_else(|| result.take());
    })?;
    Ok(result)
}

fn found<T>(result: Result<T, BackendError>) -> Result<Option<T>, BackendError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Kind of the records that a probe writes and deletes; one that is killed leaves them.
const KIND: &str = "probe";

/// Whether an object is what a probe left.
pub fn is_left_over(name: &ObjectName) -> bool {
    matches!(name.parsed(), Parsed::Ledger(kind, _) if kind == KIND)
}

fn unique_name() -> ObjectName {
    let text = format!("ledger/{KIND}/{}", hex::encode(random::<16>()));
    ObjectName::parse(&text).expect("a ledger name of hex digits is well formed")
}

/// Random bytes look to the place like any other object.
fn random_body() -> Sealed {
    Sealed::from_store(Bytes::copy_from_slice(&random::<128>()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::memory::Memory;
    use crate::backend::with::fault::{Fault, Faulty, Rule};
    use crate::base::SystemClock;

    #[test]
    fn a_place_without_delete_rights_is_still_safe_to_write_to() {
        let memory = Memory::new("probed", Arc::new(SystemClock));
        let faulty = Faulty::new(memory);
        faulty.inject(Rule::on(Verb::Delete, Fault::Denied).times(u32::MAX));
        let probe = faulty.probe().expect("probed");
        assert_eq!(probe.deletes_take_effect, None);
        assert!(probe.is_safe());
    }

    #[test]
    fn a_place_that_overwrites_is_found_out() {
        let memory = Memory::new("probed", Arc::new(SystemClock));
        let faulty = Faulty::new(memory);
        faulty.inject(Rule::on(Verb::Put, Fault::Overwrite).times(u32::MAX));
        let probe = faulty.probe().expect("probed");
        assert!(!probe.create_is_refused && !probe.create_is_atomic && !probe.is_safe());
    }
}
