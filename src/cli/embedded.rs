//! The repository that needs no set-up.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use zeroize::Zeroizing;

use super::context::{Access, Context};
use super::environment::Environment;
use super::key_file;
use super::secret::{self, Purpose, SecretSource};
use crate::backend::{self, Location};
use crate::base::{Error, ErrorKind, RepositoryId, Result, SlotId};
use crate::ops;
use crate::repo::access::Creation;
use crate::seal::code::{self, CodeKind};
use crate::seal::keys::Key;
use crate::seal::slot::Secret;

/// Where the embedded repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Embedded {
    pub(crate) repository: PathBuf,
    pub(crate) key_file: PathBuf,
}

/// A repository that was just made.
pub(crate) struct Made {
    pub(crate) id: RepositoryId,
    pub(crate) location: String,
    /// Absent when something else opens it.
    pub(crate) key_file: Option<PathBuf>,
    pub(crate) recovery_code: Zeroizing<String>,
}

impl Embedded {
    /// Finds where it is, or would be.
    ///
    /// # Errors
    /// When there is no home directory.
    pub(crate) fn find(environment: &Environment) -> Result<Self> {
        let data = environment.xdg("XDG_DATA_HOME", ".local/share");
        let config = environment.xdg("XDG_CONFIG_HOME", ".config");
        match (data, config) {
            (Some(data), Some(config)) => Ok(Self {
                repository: data.join("parados/repository"),
                key_file: config.join("parados/key"),
            }),
            _ => Err(Error::new(
                ErrorKind::NoRepository,
                "no repository was named, and there is no home directory for the default one",
            )
            .hint("Name one with `-r LOCATION` or PARADOS_REPOSITORY.")),
        }
    }

    /// Whether it was made.
    pub(crate) fn exists(&self) -> bool {
        fs::symlink_metadata(&self.repository).is_ok()
    }

    /// Makes it under another name and gives it its own at once, so that a process that dies
    /// leaves either nothing or all. `None` when another process was faster.
    ///
    /// # Errors
    /// When the directories cannot be written.
    pub(crate) fn make(&self, context: &Context) -> Result<Option<Made>> {
        let shown = self.repository.display();
        let cannot =
            |error: io::Error| Error::io(format!("could not make the repository {shown}"), error);
        let (secret, made_key_file) = self.secret(context)?;
        let parent = self.repository.parent().unwrap_or(Path::new("/"));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(cannot)?;
        let temporary = parent.join(format!(".repository-{}", SlotId::random().short()));
        let made = self.make_at(&temporary, secret, context);
        let (id, recovery_code) = made.inspect_err(|_| drop(fs::remove_dir_all(&temporary)))?;
        let renamed = renameat_with(CWD, &temporary, CWD, &self.repository, RenameFlags::NOREPLACE);
        if let Err(error) = renamed {
            drop(fs::remove_dir_all(&temporary));
            let error = io::Error::from(error);
            if error.kind() == io::ErrorKind::AlreadyExists {
                return Ok(None);
            }
            return Err(cannot(error));
        }
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(cannot)?;
        let location = Location::local(&self.repository)?.to_string();
        Ok(Some(Made { id, location, key_file: made_key_file, recovery_code }))
    }

    /// What opens it: what was said, or its own key file, which is there before the repository is.
    fn secret(&self, context: &Context) -> Result<(Secret, Option<PathBuf>)> {
        match &context.settings.secret {
            None => {
                let (key, _) = key_file::read_or_make(&self.key_file)?;
                Ok((Secret::KeyFile(key), Some(self.key_file.clone())))
            }
            Some(SecretSource::RecoveryCode) => Err(Error::new(
                ErrorKind::NoRepository,
                "there is no repository yet that a recovery code could open",
            )),
            Some(source) => {
                let (environment, ui) = (&context.environment, &context.ui);
                Ok((secret::load(source, Purpose::Make, environment, ui)?, None))
            }
        }
    }

    fn make_at(
        &self,
        path: &Path,
        secret: Secret,
        context: &Context,
    ) -> Result<(RepositoryId, Zeroizing<String>)> {
        let location = Location::local(path)?;
        let backend = backend::create(&location, &context.backend_options(Access::Write))?;
        let (code, recovery_code) = new_recovery_code();
        let secrets =
            [(secret, context.label("first key")), (code, context.label("recovery code"))];
        let creation = Creation::default();
        let repository = ops::init::init(backend, &secrets, &creation, &context.clock)?;
        Ok((repository.config().repository, recovery_code))
    }
}

/// A new random recovery code, and its text.
pub(crate) fn new_recovery_code() -> (Secret, Zeroizing<String>) {
    let key = Key::random();
    let text = code::to_text(CodeKind::Recovery, &key);
    (Secret::RecoveryCode(key), text)
}
