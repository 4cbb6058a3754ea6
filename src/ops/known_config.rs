//! Remembers which config a repository had, so that an older one shows itself.

use crate::base::{Error, ErrorKind, Result};
use crate::format::ObjectName;
use crate::index::Cache;
use crate::index::remembered::KnownConfig;
use crate::repo::chunks::Chunks;
use crate::repo::{ConfigHead, Repository};

/// Key of the config that this host knows, in the local cache.
const KEY: &str = "config";

/// Compares the config that holds with the one that this host has seen last, and keeps it.
///
/// # Errors
/// [`ErrorKind::Damaged`] when this host has seen a later one, or another of the same number.
pub(super) fn compare(repository: &Repository, chunks: &Chunks) -> Result<()> {
    let now = repository.config_head();
    let known = chunks.meta_get(KEY).as_deref().and_then(head_of);
    if let Some(error) = contradiction(known, now) {
        return Err(error);
    }
    if known != Some(now) {
        let now = KnownConfig { number: now.number, hash: now.hash };
        chunks.meta_put(KEY, &now.encode());
    }
    Ok(())
}

/// As [`compare`] for a cache that is not in use, without keeping anything.
pub(super) fn compare_with(cache: &Cache, repository: &Repository) -> Result<()> {
    let known = cache.meta_get(KEY).as_deref().and_then(head_of);
    contradiction(known, repository.config_head()).map_or(Ok(()), Err)
}

fn contradiction(known: Option<ConfigHead>, now: ConfigHead) -> Option<Error> {
    let known = known.filter(|known| *known != now && known.number >= now.number)?;
    let name = ObjectName::config(known.number);
    let what = if known.number > now.number { "is gone" } else { "is another" };
    let error = Error::new(
        ErrorKind::Damaged,
        format!("config {name}, which this host has seen in the repository, {what}"),
    );
    Some(error.hint(
        "Somebody brought an older state of the repository back. If that was you, run with \
         `--no-cache`, or delete the cache of this host.",
    ))
}

fn head_of(record: &[u8]) -> Option<ConfigHead> {
    let known = KnownConfig::decode(record).ok()?;
    Some(ConfigHead { number: known.number, hash: known.hash })
}
