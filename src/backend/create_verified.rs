//! Creating an object so that the answer is true even when replies are lost.

use std::time::Duration;

use super::error::{At, BackendError};
use super::verb::Verb;
use super::{Backend, Put};
use crate::base::rules::{Rule, keeps};
use crate::base::simulated::pause;
use crate::format::name::ObjectName;
use crate::seal::Sealed;

/// Rounds of creating and reading back. Below them the backend has its own retries.
const ATTEMPTS_MAX: u32 = 6;

/// Doubles with each round in which the name is taken and yet not there, which S3 answers while
/// another request for the name is under way.
const CONFLICT_PAUSE: Duration = Duration::from_millis(20);

/// How an object came to be stored with the bytes we gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// This call created it.
    Created,
    /// It was there with the same bytes: stored by an earlier attempt, or by somebody else.
    AlreadyOurs,
}

/// Creates an object, and where the answer leaves doubt reads it back and compares.
///
/// *Already exists* may be the echo of our own attempt whose reply was lost, and after a time-out
/// nobody knows: both are settled by looking. The comparison is by bytes, so that a damaged object
/// under a content-derived name is found too.
///
/// # Errors
/// [`BackendError::Conflict`] with the stored bytes when they are others; any error of the
/// backend that is not transient; the last transient one when the rounds are used up.
pub fn create_verified(
    backend: &dyn Backend,
    name: &ObjectName,
    sealed: &Sealed,
) -> Result<Verified, BackendError> {
    let mut last = None;
    for attempt in 0..ATTEMPTS_MAX {
        let exists = match backend.put(name, sealed) {
            Ok(Put::Created) => return Ok(Verified::Created),
            Ok(Put::Exists) if !keeps(Rule::ReadBack) => return Ok(Verified::AlreadyOurs),
            Ok(Put::Exists) => true,
            Err(error) if error.is_transient() => {
                last = Some(error);
                false
            }
            Err(error) => return Err(error),
        };
        match backend.get(name) {
            Ok(stored) if stored == *sealed => return Ok(Verified::AlreadyOurs),
            Ok(stored) => {
                let at = Box::new(At::object(backend.location(), Verb::Put, name));
                return Err(BackendError::Conflict { at, stored });
            }
            Err(error) if error.is_not_found() => {
                if exists {
                    pause(CONFLICT_PAUSE * (1 << attempt));
                }
            }
            Err(error) if error.is_transient() => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| BackendError::Other {
        at: Box::new(At::object(backend.location(), Verb::Put, name)),
        source: Some("the name is taken, but nothing can be read under it".into()),
    }))
}

/// What came of a single request to create an object.
#[derive(Debug)]
pub enum Once {
    /// It is there.
    Stored,
    /// It is not known to be, for this reason if there was any: the name must not be tried again,
    /// since the request may still arrive, at any time.
    InDoubt(Option<BackendError>),
}

/// Creates an object with a single request, and reads it back where the answer leaves doubt.
///
/// # Errors
/// Any error of the backend that is not transient.
pub fn create_once(
    backend: &dyn Backend,
    name: &ObjectName,
    sealed: &Sealed,
) -> Result<Once, BackendError> {
    let why = match backend.put(name, sealed) {
        Ok(Put::Created) => return Ok(Once::Stored),
        Ok(Put::Exists) if !keeps(Rule::ReadBack) => return Ok(Once::Stored),
        Ok(Put::Exists) => None,
        Err(error) if error.is_transient() => Some(error),
        Err(error) => return Err(error),
    };
    match backend.get(name) {
        Ok(stored) if stored == *sealed => Ok(Once::Stored),
        Ok(_) => Ok(Once::InDoubt(why)),
        Err(error) if error.is_not_found() => Ok(Once::InDoubt(why)),
        Err(error) if error.is_transient() => Ok(Once::InDoubt(why.or(Some(error)))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::backend::memory::Memory;
    use crate::backend::with::fault::{Fault, Faulty, Rule};
    use crate::base::SystemClock;

    fn sealed(text: &'static str) -> Sealed {
        Sealed::from_store(Bytes::from_static(text.as_bytes()))
    }

    fn world() -> (Arc<Memory>, Arc<Faulty>, ObjectName) {
        let memory = Memory::new("test", Arc::new(SystemClock));
        let faulty = Faulty::new(Arc::clone(&memory) as Arc<dyn Backend>);
        (memory, faulty, ObjectName::config(7))
    }

    #[test]
    fn a_lost_reply_is_found_to_be_our_own_object() {
        let (_, faulty, name) = world();
        faulty.inject(Rule::on(Verb::Put, Fault::After));
        let verified = create_verified(&*faulty, &name, &sealed("a")).expect("verified");
        assert_eq!(verified, Verified::AlreadyOurs);
    }

    #[test]
    fn an_error_before_the_effect_is_tried_again() {
        let (_, faulty, name) = world();
        faulty.inject(Rule::on(Verb::Put, Fault::Before).times(2));
        let verified = create_verified(&*faulty, &name, &sealed("a")).expect("verified");
        assert_eq!(verified, Verified::Created);
    }

    #[test]
    fn a_late_arrival_of_our_own_request_is_not_a_conflict() {
        let (_, faulty, name) = world();
        faulty.inject(Rule::on(Verb::Put, Fault::Ghost));
        let verified = create_verified(&*faulty, &name, &sealed("a")).expect("verified");
        assert_eq!(verified, Verified::Created);
        faulty.land_ghosts();
        assert_eq!(faulty.get(&name).expect("stored"), sealed("a"));
    }

    #[test]
    fn other_bytes_under_the_name_are_a_conflict_that_carries_them() {
        let (memory, faulty, name) = world();
        memory.put(&name, &sealed("theirs")).expect("stored");
        match create_verified(&*faulty, &name, &sealed("ours")) {
            Err(BackendError::Conflict { stored, .. }) => assert_eq!(stored, sealed("theirs")),
            other => panic!("{other:?}"),
        }
        assert_eq!(memory.get(&name).expect("stored"), sealed("theirs"));
    }

    #[test]
    fn a_place_that_stays_away_gives_the_transient_error() {
        let (_, faulty, name) = world();
        faulty.inject(Rule::on(Verb::Put, Fault::Before).times(u32::MAX));
        let error = create_verified(&*faulty, &name, &sealed("a")).expect_err("offline");
        assert!(error.is_transient() && error.object() == Some(&name));
    }

    #[test]
    fn a_full_disk_is_not_tried_again() {
        let (_, faulty, name) = world();
        faulty.limit_space(0);
        let error = create_verified(&*faulty, &name, &sealed("a")).expect_err("full");
        assert!(matches!(error, BackendError::Full { .. }));
    }
}
