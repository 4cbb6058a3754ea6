//! The index in RocksDB, one per repository and host.
//!
//! | file | answers |
//! | --- | --- |
//! | `home` | which directory, and whose turn is it? |
//! | `store` | which families, with which options? |
//! | `view` | what do the families say? |
//! | `fill` | how do segments get in? |
//! | `rows` | which directories need no look? |
//! | `shared` | what does a second process do? |

mod fill;
mod home;
mod rows;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod view;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{Index, PackNo, PackRecord, Place, Refused, Segment};
use crate::base::{ChunkId, Error, ErrorKind, PackId, RepositoryId, Result, SegmentId};
use fill::Writer;
use home::{Home, Lock};
pub use shared::SharedIndex;
pub(super) use store::Store;
use store::Trouble;

/// Why the local index cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it open.
    Locked,
    /// The directory, the disk or RocksDB refuses.
    Unusable(Error),
}

/// The RocksDB index, open for writing by this process alone.
#[derive(Debug)]
pub struct LocalIndex {
    writer: Mutex<Writer>,
    store: Store,
    /// Dropped last: the database must be closed before another process may open it.
    _lock: Lock,
}

impl LocalIndex {
    /// Opens or creates the index of a repository below `dir`.
    ///
    /// A directory that is damaged, incomplete or belongs to another repository is set aside as
    /// `….bad` and built anew, empty. The text then says why.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is set aside then.
    pub fn open(
        dir: &Path,
        repository: RepositoryId,
        cache_bytes: usize,
    ) -> Result<(Self, Option<String>), OpenError> {
        let home = Home::new(dir);
        home.create().map_err(OpenError::Unusable)?;
        let lock = home.lock()?;
        home.sweep();
        let reason = if home.is_poisoned() {
            "an earlier run found it damaged".to_owned()
        } else {
            match open_whole(&home, repository, cache_bytes) {
                Ok((store, writer)) => return Ok((Self::new(store, writer, lock), None)),
                Err(Trouble::Locked) => return Err(OpenError::Locked),
                Err(Trouble::Failed(error)) if error.kind == ErrorKind::Full => {
                    return Err(OpenError::Unusable(error));
                }
                Err(Trouble::Failed(error)) => error.to_string(),
            }
        };
        home.set_aside().map_err(OpenError::Unusable)?;
        match open_whole(&home, repository, cache_bytes) {
            Ok((store, writer)) => Ok((Self::new(store, writer, lock), Some(reason))),
            Err(Trouble::Locked) => Err(OpenError::Locked),
            Err(Trouble::Failed(error)) => Err(OpenError::Unusable(error)),
        }
    }

    fn new(store: Store, writer: Writer, lock: Lock) -> Self {
        Self { writer: Mutex::new(writer), store, _lock: lock }
    }

    /// Rows and meta records.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Makes the next open build the index anew.
    pub(super) fn poison(&self) {
        self.store.poison();
    }
}

/// Opens the database; refuses one whose families do not belong together.
fn open_whole(
    home: &Home,
    repository: RepositoryId,
    cache_bytes: usize,
) -> Result<(Store, Writer), Trouble> {
    let store = Store::open(home, cache_bytes)?;
    store.check_identity(repository)?;
    let writer = Writer::new(&store)?;
    Ok((store, writer))
}

impl Index for LocalIndex {
    fn segments(&self) -> Result<HashSet<SegmentId>> {
        self.store.segments()
    }

    fn apply_many(&self, segments: &[(SegmentId, &Segment)]) -> Result<Vec<Refused>> {
        super::lock(&self.writer).apply(&self.store, segments)
    }

    fn packs_of(&self, segment: &SegmentId) -> Result<Option<Vec<PackNo>>> {
        self.store.packs_of(segment)
    }

    fn each_place(&self, ids: &[ChunkId], found: &mut dyn FnMut(usize, Place)) -> Result<()> {
        self.store.each_place(ids, found)
    }

    fn pack(&self, no: PackNo) -> Result<Arc<PackRecord>> {
        self.store.pack(no)
    }

    fn packs(&self, visit: &mut dyn FnMut(PackNo, &PackId, u64)) -> Result<()> {
        self.store.packs(visit)
    }

    fn pack_no(&self, id: &PackId) -> Result<Option<PackNo>> {
        self.store.pack_no(id)
    }

    fn chunk_count_estimate(&self) -> u64 {
        self.store.chunk_count_estimate()
    }
}
