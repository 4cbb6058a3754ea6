//! Opens every object that neither snapshots nor the index lead to.

use rayon::prelude::*;

use super::{Repository, damaged};
use crate::backend::{Listed, probe};
use crate::base::{Error, ErrorKind, Result};
use crate::format::generation::Generation;
use crate::format::name::Parsed;
use crate::format::note::Note;
use crate::format::snapshot::Root;
use crate::format::{ObjectKind, ObjectName};

/// Kinds that are opened here; all others are met on the way to the files.
const KINDS: [ObjectKind; 3] = [ObjectKind::Session, ObjectKind::Generation, ObjectKind::Note];
/// Most names that are kept of what is no object.
const JUNK_COUNT_MAX: usize = 10;

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

/// Opens key slots, session roots, generations and notes, and looks for what is no object at all.
///
/// # Errors
/// When objects cannot be listed, or the backend cannot be reached.
pub fn examine(repository: &Repository) -> Result<Examined> {
    let mut examined = Examined { problems: repository.slots()?.1, ..Examined::default() };
    for kind in ObjectKind::ALL {
        let mut listed = Vec::new();
        repository.backend().list(kind, &mut |found| match found {
            // What a probe tried out with says nothing.
            Ok(object) if probe::is_left_over(&object.name) => {}
            Ok(object) if KINDS.contains(&kind) => listed.push(object),
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
            examined.problems.push(error);
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
        Parsed::Generation(number, step) => Generation::decode(&body, number, step).map(drop),
        Parsed::Note(session, _) => Note::decode(&body, &session).map(drop),
        _ => Ok(()),
    }
    .map_err(|error| damaged(name, error))
}
