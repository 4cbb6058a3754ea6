//! The directory of caches on this host.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::base::RepositoryId;

/// Tells other programs not to back the directory up (<https://bford.info/cachedir/>).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
                   # This directory holds caches of parados, which may be deleted at any time.\n";

/// The directory for the cache of one repository below `base`.
pub(crate) fn of(base: &Path, repository: RepositoryId) -> PathBuf {
    base.join(repository.to_hex())
}

/// Makes the directory for the cache of one repository below `base`.
///
/// # Errors
/// As the operating system says.
pub(crate) fn make(base: &Path, repository: RepositoryId) -> io::Result<PathBuf> {
    let dir = of(base, repository);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    let tag = base.join("CACHEDIR.TAG");
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(tag) {
        Ok(mut file) => file.write_all(TAG.as_bytes())?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(dir)
}
