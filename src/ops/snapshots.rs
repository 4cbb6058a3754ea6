//! Lists snapshots.

use crate::base::Result;
use crate::repo::Repository;
use crate::repo::snapshots::Snapshots;

/// Every snapshot that is committed and not forgotten, oldest first.
///
/// # Errors
/// When they cannot be listed; one that cannot be read is a problem of the result.
pub fn snapshots(repository: &Repository) -> Result<Snapshots> {
    Snapshots::read(repository)
}
