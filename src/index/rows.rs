//! Rows: what the last run saw in a directory, kept so that the next one need not look again.
//!
//! A row is opaque here; the pipeline puts a stat signature and encoded entries into it. Beside
//! each row lies a small *stamp* with the epoch of the last run that found the row right, so that
//! an unchanged directory costs a few bytes, however large its row.
//!
//! An **epoch** names one run of a writer. Rows prove that what they name is stored only under the epoch
//! of a run that committed; the caller remembers that epoch beside its snapshot
//! ([`super::Cache::meta_put`]) after the commit. Whoever uses rows of a run that did not asks for each
//! chunk. Hence two rules for callers:
//!
//! 1. *An epoch is never used twice*, not even by the run after one that crashed: rows that the
//!    crashed run stamped would prove something when the second one commits, although nobody keeps the
//!    chunks they name. The first eight bytes of the random session id serve.
//! 2. *A row is put only under the epoch of the run that puts it.*
//!
//! A stamp also holds a digest of its row, and a checksum of both: a crash that keeps one of them,
//! a row that a run without commit replaced, and a flipped bit all make the row absent, never wrong.

use std::collections::HashMap;
use std::sync::Mutex;

use super::lock;

/// Names a row; the caller hashes source root and path into it.
pub type RowKey = [u8; 32];

/// Remembers rows. Trouble makes rows absent and is never an error.
pub trait Rows: Send + Sync {
    /// The rows that carry the stamp of `epoch`.
    fn get(&self, keys: &[RowKey], epoch: u64) -> Vec<Option<Vec<u8>>>;

    /// Writes rows and stamps them with `epoch`.
    fn put(&self, rows: &[(RowKey, &[u8])], epoch: u64);

    /// Stamps unchanged rows with `to`, if they carry the stamp of `from`.
    fn stamp(&self, keys: &[RowKey], from: u64, to: u64);

    /// Keeps what was put even if this process is killed.
    fn keep(&self);

    /// Removes the rows whose stamp is of none of `epochs`; returns how many.
    fn retain(&self, epochs: &[u64]) -> u64;
}

/// No rows at all: every directory is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRows;

impl Rows for NoRows {
    fn get(&self, keys: &[RowKey], _: u64) -> Vec<Option<Vec<u8>>> {
        vec![None; keys.len()]
    }

    fn put(&self, _: &[(RowKey, &[u8])], _: u64) {}

    fn stamp(&self, _: &[RowKey], _: u64, _: u64) {}

    fn keep(&self) {}

    fn retain(&self, _: &[u64]) -> u64 {
        0
    }
}

/// Rows that are read and never changed.
#[derive(Clone, Copy)]
pub struct UntouchedRows<'a>(pub &'a dyn Rows);

impl Rows for UntouchedRows<'_> {
    fn get(&self, keys: &[RowKey], epoch: u64) -> Vec<Option<Vec<u8>>> {
        self.0.get(keys, epoch)
    }

    fn put(&self, _: &[(RowKey, &[u8])], _: u64) {}

    fn stamp(&self, _: &[RowKey], _: u64, _: u64) {}

    fn keep(&self) {}

    fn retain(&self, _: &[u64]) -> u64 {
        0
    }
}

/// Rows in memory, for tests and simulation.
#[derive(Debug, Default)]
pub struct MemoryRows(Mutex<HashMap<RowKey, (u64, Vec<u8>)>>);

impl Rows for MemoryRows {
    fn get(&self, keys: &[RowKey], epoch: u64) -> Vec<Option<Vec<u8>>> {
        let rows = lock(&self.0);
        let row = |key| rows.get(key).filter(|(stamp, _)| *stamp == epoch);
        keys.iter().map(|key| row(key).map(|(_, bytes)| bytes.clone())).collect()
    }

    fn put(&self, new: &[(RowKey, &[u8])], epoch: u64) {
        lock(&self.0).extend(new.iter().map(|(key, bytes)| (*key, (epoch, bytes.to_vec()))));
    }

    fn stamp(&self, keys: &[RowKey], from: u64, to: u64) {
        let mut rows = lock(&self.0);
        for key in keys {
            if let Some((stamp, _)) = rows.get_mut(key)
                && *stamp == from
            {
                *stamp = to;
            }
        }
    }

    fn keep(&self) {}

    fn retain(&self, epochs: &[u64]) -> u64 {
        let mut rows = lock(&self.0);
        let before = rows.len();
        rows.retain(|_, (stamp, _)| epochs.contains(stamp));
        (before - rows.len()) as u64
    }
}
