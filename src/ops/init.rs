//! Makes a new repository.

use std::sync::Arc;

use crate::backend::Backend;
use crate::base::{Clock, Error, ErrorKind, Result};
use crate::chunk::Params;
use crate::format::slot::Label;
use crate::repo::Repository;
use crate::repo::access::Creation;
use crate::seal::slot::Secret;

/// Makes a repository at `backend` that each of `secrets` opens.
///
/// # Errors
/// [`ErrorKind::Usage`] for lengths that no chunker has, [`ErrorKind::Exists`] when there is a
/// repository already.
pub fn init(
    backend: Arc<dyn Backend>,
    secrets: &[(Secret, Label)],
    creation: &Creation,
    clock: &dyn Clock,
) -> Result<Arc<Repository>> {
    let lens = creation.chunker;
    Params::new(lens.min, lens.avg, lens.max).map_err(|error| {
        Error::new(ErrorKind::Usage, "these chunk lengths cannot be used").because(error)
    })?;
    Ok(Arc::new(Repository::create(backend, creation, secrets, clock)?))
}
