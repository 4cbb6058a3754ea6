//! What prunes have decided: the packs that a writer must not rely on.

use std::collections::{BTreeMap, HashSet};

use super::access::list_names;
use super::{Repository, damaged, is_missing};
use crate::base::{PackId, Result};
use crate::format::generation::Generation;
use crate::format::name::Parsed;
use crate::format::{GenerationStep, ObjectKind, ObjectName};

/// Times that a view is taken again because records went away while it was read.
const RESTART_COUNT_MAX: usize = 100;

/// The generations at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenerationView {
    /// Packs that are doomed, or candidates of a generation that has begun.
    pub endangered: HashSet<PackId>,
    /// Highest decided generation.
    pub decided: u64,
}

impl GenerationView {
    /// Reads all records. One that goes away in between restarts the reading: a view with holes
    /// would miss doomed packs.
    ///
    /// # Errors
    /// When a record cannot be read; guessing what it doomed would risk data.
    pub fn read(repository: &Repository) -> Result<Self> {
        for _ in 0..RESTART_COUNT_MAX {
            if let Some(view) = Self::try_read(repository)? {
                return Ok(view);
            }
        }
        Err(crate::base::Error::new(
            crate::base::ErrorKind::Busy,
            "the generations of prune change faster than they can be read",
        )
        .hint("Try again when fewer prunes are running."))
    }

    fn try_read(repository: &Repository) -> Result<Option<Self>> {
        let mut steps: BTreeMap<u64, HashSet<GenerationStep>> = BTreeMap::new();
        for name in list_names(&**repository.backend(), ObjectKind::Generation)? {
            if let Parsed::Generation(number, step) = name.parsed() {
                steps.entry(number).or_default().insert(step);
            }
        }
        let mut view = Self::default();
        for (number, steps) in steps {
            let step = if steps.contains(&GenerationStep::Doomed) {
                view.decided = number;
                GenerationStep::Doomed
            } else if steps.contains(&GenerationStep::Begin) {
                GenerationStep::Candidates
            } else {
                continue;
            };
            let name = ObjectName::generation(number, step);
            let sealed = match repository.backend().get(&name) {
                Ok(sealed) => sealed,
                Err(error) if is_missing(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let body = crate::seal::object::open(repository.keyring(), &name, &sealed)
                .map_err(|error| damaged(&name, error))?;
            let generation =
                Generation::decode(&body, number, step).map_err(|error| damaged(&name, error))?;
            view.endangered.extend(generation.packs);
        }
        Ok(Some(view))
    }
}
