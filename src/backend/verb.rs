//! What can be asked of a backend, as a word for errors, records and faults.

use std::fmt;

/// One operation of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Open a location.
    Open,
    /// Make a place for a new repository.
    Create,
    /// Store an object that is not there.
    Put,
    /// Read a whole object.
    Get,
    /// Read a part of an object.
    GetRange,
    /// Look up an object.
    Stat,
    /// List the objects of a kind.
    List,
    /// Delete an object.
    Delete,
    /// Replace a damaged object.
    Heal,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Put => "store",
            Self::Get => "read",
            Self::GetRange => "read a part of",
            Self::Stat => "look up",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Heal => "replace",
        })
    }
}
