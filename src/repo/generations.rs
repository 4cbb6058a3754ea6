//! What prunes have decided: the packs that a writer must not rely on.

use std::collections::{BTreeMap, HashSet};

use super::access::list_names;
use super::{Repository, damaged, is_missing};
use crate::base::rules::{Rule, keeps};
use crate::base::{Error, ErrorKind, PackId, Result};
use crate::format::generation::Generation;
use crate::format::name::Parsed;
use crate::format::{GenerationStep, ObjectKind, ObjectName};

/// Times that a view is taken again because records went away while it was read.
const RESTART_COUNT_MAX: usize = 100;

/// Times that a record is read that cannot be believed.
const READ_COUNT_MAX: usize = 3;

/// The generations at one moment.
#[derive(Debug, Default)]
pub struct GenerationView {
    /// Packs that are doomed, or candidates of a generation that has begun.
    pub endangered: HashSet<PackId>,
    /// Highest decided generation.
    pub decided: u64,
    /// Records that say nothing that can be believed.
    pub problems: Vec<Error>,
}

/// What became of reading a record.
pub(super) enum Record {
    Packs(Vec<PackId>),
    Gone,
    Damaged(Error),
}

impl GenerationView {
    /// Reads all records. One that goes away in between restarts the reading: a view with holes
    /// would miss doomed packs.
    ///
    /// A record that does not authenticate has no effect, or anybody who may create an object
    /// could end all backups. Candidates stand in for a doomed list that is damaged, because every
    /// doomed pack is among them. Where neither can be read, though somebody with the keys has begun
    /// the round, nobody knows what a prune is about to delete.
    ///
    /// # Errors
    /// When records cannot be listed or fetched, or do not say which packs are endangered.
    pub fn read(repository: &Repository) -> Result<Self> {
        for _ in 0..RESTART_COUNT_MAX {
            if let Some(view) = Self::try_read(repository)? {
                return Ok(view);
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            "the generations of prune change faster than they can be read",
        )
        .hint("Try again when fewer prunes are running."))
    }

    fn try_read(repository: &Repository) -> Result<Option<Self>> {
        let steps = list_steps(repository)?;
        let mut view = Self::default();
        for (&number, steps) in &steps {
            let is_decided = steps.contains(&GenerationStep::Doomed);
            let has_begun = steps.contains(&GenerationStep::Begin) && keeps(Rule::BeginMarker);
            let matters = is_decided || has_begun;
            let mut is_unread = false;
            let in_order = [GenerationStep::Doomed, GenerationStep::Candidates];
            for step in in_order.into_iter().filter(|step| matters && steps.contains(step)) {
                match read_record(repository, number, step)? {
                    Record::Gone => return Ok(None),
                    Record::Damaged(error) => {
                        is_unread = true;
                        view.problems.push(error);
                    }
                    Record::Packs(packs) => {
                        is_unread = false;
                        if is_decided {
                            view.decided = number;
                        }
                        view.endangered.extend(packs);
                        break;
                    }
                }
            }
            if is_unread
                && has_begun
                && keeps(Rule::BegunRead)
                && let Record::Packs(_) = read_record(repository, number, GenerationStep::Begin)?
                && let Some(error) = view.problems.pop()
            {
                return Err(error.hint(
                    "Nobody knows which packs that round of prune may delete. Try again; if it stays \
                     so, remove that object while no prune runs.",
                ));
            }
        }
        // A listing takes its time: what it began with may be of another round than its end.
        let is_same = steps.is_empty() || list_steps(repository)? == steps;
        Ok(is_same.then_some(view))
    }
}

/// The steps of each generation that have a record.
fn list_steps(repository: &Repository) -> Result<BTreeMap<u64, HashSet<GenerationStep>>> {
    let mut steps: BTreeMap<u64, HashSet<GenerationStep>> = BTreeMap::new();
    for name in list_names(&**repository.backend(), ObjectKind::Generation)? {
        if let Parsed::Generation(number, step) = name.parsed() {
            steps.entry(number).or_default().insert(step);
        }
    }
    Ok(steps)
}

/// Reads a record, and again where it says nothing that can be believed: what is wrong with it may
/// have come about on its way.
pub(super) fn read_record(
    repository: &Repository,
    number: u64,
    step: GenerationStep,
) -> Result<Record> {
    for _ in 1..READ_COUNT_MAX {
        match read_record_once(repository, number, step)? {
            Record::Damaged(_) if keeps(Rule::BegunRead) => {}
            record => return Ok(record),
        }
    }
    read_record_once(repository, number, step)
}

fn read_record_once(repository: &Repository, number: u64, step: GenerationStep) -> Result<Record> {
    let name = ObjectName::generation(number, step);
    let sealed = match repository.backend().get(&name) {
        Ok(sealed) => sealed,
        Err(error) if is_missing(&error) => return Ok(Record::Gone),
        Err(error) => {
            let error = Error::from(error);
            let is_damage = error.kind == ErrorKind::Damaged;
            return if is_damage { Ok(Record::Damaged(error)) } else { Err(error) };
        }
    };
    let generation = crate::seal::object::open(repository.keyring(), &name, &sealed)
        .and_then(|body| Generation::decode(&body, number, step));
    Ok(match generation {
        Ok(generation) => Record::Packs(generation.packs),
        Err(error) => Record::Damaged(damaged(&name, error)),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::memory::Memory;
    use crate::backend::with::fault::{Fault, Faulty, Rule as FaultRule};
    use crate::backend::{self, Location, Options, Verb};
    use crate::base::{SystemClock, Timestamp};
    use crate::format::slot::Label;
    use crate::repo::access::Creation;
    use crate::seal::keys::Key;
    use crate::seal::slot::Secret;

    fn repository(place: &str) -> Repository {
        let location: Location = format!("memory:{place}").parse().unwrap();
        let options = Options { writable: true, ..Options::default() };
        let store = backend::create(&location, &options).unwrap();
        let secrets = [(Secret::KeyFile(Key::new([7; 32])), Label::default())];
        Repository::create(store, &Creation::default(), &secrets, &SystemClock).unwrap()
    }

    /// Stores a record under the name of a step, sealed for the name of another if that is given.
    fn put(repository: &Repository, number: u64, step: GenerationStep, packs: &[u8], good: bool) {
        let packs = packs.iter().map(|byte| PackId::new([*byte; 32])).collect();
        let body = Generation { number, time: Timestamp::default(), packs }.encode();
        let name = ObjectName::generation(number, step);
        let sealed_for = if good { name.clone() } else { ObjectName::config(number) };
        let sealed = repository.seal(&sealed_for, &body);
        Arc::clone(repository.backend()).put(&name, &sealed).unwrap();
    }

    #[test]
    fn candidates_stand_in_for_a_doomed_list_that_cannot_be_read() {
        use GenerationStep::{Begin, Candidates, Doomed};
        let repository = repository("generations");
        put(&repository, 1, Candidates, &[1, 2, 3], true);
        put(&repository, 1, Begin, &[], true);
        put(&repository, 1, Doomed, &[1, 2], true);
        put(&repository, 2, Candidates, &[4, 5], true);
        put(&repository, 2, Begin, &[], true);
        put(&repository, 2, Doomed, &[4], false);
        put(&repository, 3, Candidates, &[6], true);
        put(&repository, 9, Doomed, &[7], false);
        let view = GenerationView::read(&repository).unwrap();
        let mut endangered: Vec<u8> = view.endangered.iter().map(|id| id.as_bytes()[0]).collect();
        endangered.sort_unstable();
        // Of the first what is doomed, of the second all that may be; the third has not begun, and
        // the last is nobody's.
        assert_eq!((endangered, view.decided), (vec![1, 2, 4, 5], 2));
        let told: Vec<String> = view.problems.iter().map(ToString::to_string).collect();
        assert!(told.len() == 2 && told[0].contains("gc/2/d") && told[1].contains("gc/9/d"));
    }
    #[test]
    fn a_round_that_has_begun_and_says_nothing_stops_who_looks_at_it() {
        use GenerationStep::{Begin, Candidates};
        let repository = repository("begun generations");
        put(&repository, 1, Candidates, &[1], false);
        put(&repository, 1, Begin, &[], false);
        // Anybody can do that.
        assert!(GenerationView::read(&repository).unwrap().endangered.is_empty());
        put(&repository, 2, Candidates, &[2], false);
        put(&repository, 2, Begin, &[], true);
        let error = GenerationView::read(&repository).unwrap_err();
        assert!(error.to_string().contains("gc/2/c"), "{error}");
        // As the hint says.
        repository.backend().delete(&ObjectName::generation(2, Candidates)).unwrap();
        assert!(GenerationView::read(&repository).unwrap().endangered.is_empty());
    }

    #[test]
    fn a_record_that_is_misread_once_is_read_again() {
        use GenerationStep::{Begin, Candidates};
        for fault in [Fault::Flipped, Fault::Short] {
            let store = Faulty::new(Memory::new("misread", Arc::new(SystemClock)));
            let secrets = [(Secret::KeyFile(Key::new([7; 32])), Label::default())];
            let repository =
                Repository::create(store.clone(), &Creation::default(), &secrets, &SystemClock)
                    .unwrap();
            put(&repository, 1, Candidates, &[1], true);
            put(&repository, 1, Begin, &[], true);
            store.inject(FaultRule::on(Verb::Get, fault).of(ObjectKind::Generation));
            let view = GenerationView::read(&repository).unwrap();
            assert_eq!((store.fault_count(), view.endangered.len()), (1, 1), "{fault:?}");
            assert!(view.problems.is_empty(), "{:?}", view.problems);
        }
    }
}
