//! How objects hang together: a repository, opened.
//!
//! `access` opens and creates, `chunks` knows where chunks are, `reader` brings them back, `ledger`
//! remembers what was verified,
//! `session` is the only way to add a snapshot, `snapshots` finds them again, `interrupted` what came to no
//! end, `select` picks one,
//! `tombstones` forgets them.

pub mod access;
pub mod adopt;
pub mod chunks;
pub mod examine;
pub mod generations;
pub mod interrupted;
pub mod ledger;
pub mod list;
pub mod parallel;
pub mod reader;
pub mod roots;
pub mod rounds;
pub mod select;
pub mod session;
pub mod snapshots;
#[cfg(test)]
pub(crate) mod testing;
pub mod tombstones;
pub mod tree;
pub mod trust;

use std::sync::Arc;

use crate::backend::with::dry_run::DryRun;
use crate::backend::{Backend, BackendError};
use crate::base::{Error, ErrorKind, Result};
use crate::format::config::Config;
use crate::format::{DecodeError, ObjectKind, ObjectName};
use crate::seal::Sealed;
use crate::seal::keys::Keyring;
use crate::seal::object;

/// A repository whose keys are at hand.
pub struct Repository {
    backend: Arc<dyn Backend>,
    keyring: Arc<Keyring>,
    config: Config,
    config_head: ConfigHead,
    set_aside: SetAside,
}

/// Configs that are there and mean nothing, with the reason. They have no effect but to be told.
type SetAside = Vec<(ObjectName, DecodeError)>;

/// Which config holds; what a client remembers of a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigHead {
    /// Number of the config.
    pub number: u64,
    /// BLAKE3 of the whole object.
    pub hash: [u8; 32],
}

impl Repository {
    /// Where the objects live.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// The keys.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// What all clients agree on.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which config that is.
    pub fn config_head(&self) -> ConfigHead {
        self.config_head
    }

    /// An error for each config that has no effect.
    pub fn problems(&self) -> impl Iterator<Item = Error> + '_ {
        self.set_aside.iter().map(|(name, error)| damaged(name, *error))
    }

    /// The same repository, of which nothing that is written to it reaches the backend.
    #[must_use]
    pub fn dry_run(&self) -> Self {
        Self {
            backend: DryRun::new(Arc::clone(&self.backend)),
            keyring: Arc::clone(&self.keyring),
            config: self.config.clone(),
            config_head: self.config_head,
            set_aside: self.set_aside.clone(),
        }
    }

    /// Seals `body` as the object `name`, as the configuration says.
    pub fn seal(&self, name: &ObjectName, body: &[u8]) -> Sealed {
        object::seal(&self.keyring, self.config.suite, self.config.epoch, name, body)
    }

    /// Gets and opens the object `name`.
    ///
    /// # Errors
    /// Names the object.
    pub fn open_object(&self, name: &ObjectName) -> Result<Vec<u8>> {
        let sealed = self.backend.get(name)?;
        object::open(&self.keyring, name, &sealed).map_err(|error| damaged(name, error))
    }

    /// As [`Repository::open_object`]; `None` when it is not there.
    ///
    /// # Errors
    /// Names the object.
    pub fn find_object(&self, name: &ObjectName) -> Result<Option<Vec<u8>>> {
        let sealed = match self.backend.get(name) {
            Err(error) if is_missing(&error) => return Ok(None),
            sealed => sealed?,
        };
        let opened = object::open(&self.keyring, name, &sealed);
        opened.map(Some).map_err(|error| damaged(name, error))
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository {}", self.config.repository.short())
    }
}

/// The error for an object that is not what was written.
pub(crate) fn damaged(name: &ObjectName, error: DecodeError) -> Error {
    let object = format!("{} {name}", name.kind().noun());
    let (kind, message, hint) = match (error, name.kind()) {
        (DecodeError::Version(_), _) => (
            ErrorKind::Unsupported,
            format!("could not read {object}"),
            "Use the version of Parados that wrote it, or a later one.",
        ),
        // Without them nothing can be checked.
        (_, ObjectKind::Config) => (
            ErrorKind::Damaged,
            format!("{object} is damaged"),
            "Bring this object back from another copy of the repository.",
        ),
        (_, ObjectKind::Key) => (
            ErrorKind::Damaged,
            format!("{object} is damaged"),
            "Open the repository with another key, or bring this object back from another copy of \
             the repository.",
        ),
        _ => (
            ErrorKind::Damaged,
            format!("{object} is damaged"),
            "Run `parados check` to see what depends on it.",
        ),
    };
    Error::new(kind, message).because(error).hint(hint).about(object)
}

/// Whether the backend says that there is no such object.
pub(crate) fn is_missing(error: &BackendError) -> bool {
    matches!(error, BackendError::NotFound { .. })
}
