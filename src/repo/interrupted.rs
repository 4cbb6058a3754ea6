//! Sessions that stored a root and came to no end: they run still, or were interrupted.

use std::collections::HashMap;

use super::access::list;
use super::parallel::ask_all;
use super::snapshots::{Committed, Snapshots};
use super::{Repository, damaged};
use crate::base::{Result, SessionId};
use crate::format::name::Parsed;
use crate::format::snapshot::Root;
use crate::format::{ObjectKind, ObjectName};

/// Times that roots are listed because one is gone that was there.
const READ_COUNT_MAX: usize = 3;

impl Snapshots {
    /// What sessions have captured so far that are neither committed here nor given up: of each its last root.
    /// It has only what was stored by then, and goes with the prune that gives the session up.
    ///
    /// # Errors
    /// When the roots cannot be listed; one that cannot be read is a problem instead.
    pub fn interrupted(&self, repository: &Repository) -> Result<Self> {
        for _ in 1..READ_COUNT_MAX {
            let (found, has_missed) = self.try_interrupted(repository)?;
            if !has_missed {
                return Ok(found);
            }
        }
        self.try_interrupted(repository).map(|(found, _)| found)
    }

    /// With whether one was listed and is gone: a running session has a later one by now, or a prune gave it
    /// up.
    fn try_interrupted(&self, repository: &Repository) -> Result<(Self, bool)> {
        let mut last: HashMap<SessionId, u32> = HashMap::new();
        for listed in list(&**repository.backend(), ObjectKind::Session)? {
            if let Parsed::Session(id, number) = listed.name.parsed()
                && !self.stored.contains_key(&id)
                && !self.tombed.contains(&id)
            {
                let known = last.entry(id).or_default();
                *known = number.max(*known);
            }
        }
        let mut last: Vec<(SessionId, u32)> = last.into_iter().collect();
        // So that problems are told in the same order every time.
        last.sort_unstable();
        let roots = ask_all(&last, &|(id, number)| {
            let name = ObjectName::session(*id, *number);
            let Some(body) = repository.find_object(&name)? else { return Ok(None) };
            Root::decode(&body).map(Some).map_err(|error| damaged(&name, error))
        });
        let mut found = Self::default();
        let mut has_missed = false;
        for ((id, _), root) in last.into_iter().zip(roots) {
            match root {
                Ok(Some(Root { snapshot, .. })) => found.all.push(Committed { id, snapshot }),
                Ok(None) => has_missed = true,
                Err(error) => found.problems.push(error),
            }
        }
        found.all.sort_by_key(|c| (c.snapshot.time, c.id));
        Ok((found, has_missed))
    }
}
