//! Opens every object that neither snapshots nor the index lead to.

use std::collections::HashSet;

use rayon::prelude::*;

use super::{Repository, damaged};
use crate::backend::{Listed, probe};
use crate::base::{Error, ErrorKind, Result, SessionId};
use crate::format::generation::Generation;
use crate::format::name::Parsed;
use crate::format::note::Note;
use crate::format::snapshot::{Decision, Root};
use crate::format::{ObjectKind, ObjectName};

/// Most names that are kept of what is no object.
const JUNK_COUNT_MAX: usize = 10;

/// Whether an object is opened here; all others are met on the way to the files.
fn is_wanted(object: &Listed, forgotten: &HashSet<SessionId>) -> bool {
    match object.name.parsed() {
        Parsed::Session(..) | Parsed::Generation(..) | Parsed::Note(..) => true,
        Parsed::Snapshot(id) => forgotten.contains(&id),
        _ => false,
    }
}

/// What was found.
#[derive(Debug, Default)]
pub struct Examined {
    /// An error for each object that cannot be read.
    pub problems: Vec<Error>,
    /// Names below the prefixes of objects that are no names of objects, the first few.
    pub junk: Vec<String>,
    /// How many of these there are.
    pub junk_count: u64,
    /// Objects that were read wrongly, and right when they were read again.
    pub misread_count: u64,
}

/// Opens key slots, session roots, generations, notes and snapshots that are forgotten, and looks for what is
/// no object at all.
///
/// # Errors
/// When objects cannot be listed, or the backend cannot be reached.
pub fn examine(repository: &Repository, forgotten: &HashSet<SessionId>) -> Result<Examined> {
    let mut examined = Examined { problems: repository.slots()?.1, ..Examined::default() };
    for kind in ObjectKind::ALL {
        let mut listed = Vec::new();
        repository.backend().list(kind, &mut |found| match found {
            // What a probe tried out with says nothing.
            Ok(object) if probe::is_left_over(&object.name) => {}
            Ok(object) if is_wanted(&object, forgotten) => listed.push(object),
            Ok(_) => {}
            Err(junk) => {
                examined.junk_count += 1;
                if examined.junk.len() < JUNK_COUNT_MAX {
                    examined.junk.push(junk.name);
                }
            }
        })?;
        let opened: Vec<_> =
            listed.par_iter().map(|object| open_twice(repository, object)).collect();
        for opened in opened {
            let error = match opened {
                Ok(was_misread) => {
                    examined.misread_count += u64::from(was_misread);
                    continue;
                }
                Err(error) => error,
            };
            if error.kind == ErrorKind::Offline {
                return Err(error);
            }
            let is_forgotten = kind == ObjectKind::Snapshot && error.kind == ErrorKind::Damaged;
            examined.problems.push(match is_forgotten {
                true => error.hint(
                    "It was forgotten: nothing but `parados unforget` needs it, and a prune removes it.",
                ),
                false => error,
            });
        }
    }
    Ok(examined)
}

/// Opens an object, once more if that does not go well; whether it then did.
fn open_twice(repository: &Repository, object: &Listed) -> Result<bool> {
    match open(repository, object) {
        Err(error) if error.kind != ErrorKind::Offline => open(repository, object).map(|()| true),
        opened => opened.map(|()| false),
    }
}

fn open(repository: &Repository, object: &Listed) -> Result<()> {
    let name: &ObjectName = &object.name;
    let Some(body) = repository.find_object(name)? else { return Ok(()) };
    match name.parsed() {
        Parsed::Session(..) => Root::decode(&body).map(drop),
        Parsed::Snapshot(_) => Decision::decode(&body).map(drop),
        Parsed::Generation(number, step) => Generation::decode(&body, number, step).map(drop),
        Parsed::Note(session, _) => Note::decode(&body, &session).map(drop),
        _ => Ok(()),
    }
    .map_err(|error| damaged(name, error))
}
