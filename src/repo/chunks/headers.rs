//! What packs say themselves that no segment names.

use std::collections::HashSet;

use super::{Chunks, Inner, LIST_COUNT_MAX};
use crate::base::{ChunkId, ErrorKind, PackId, Result};
use crate::index::Notice;
use crate::repo::adopt;

/// Headers that are read at a time.
const READ_COUNT: usize = 16;

/// What came of reading the headers of packs.
#[derive(Default)]
struct Adoption {
    /// Some could not be read, or contradict what is known.
    is_partial: bool,
    /// Some were not there any more.
    has_missed: bool,
}

/// Which packs are there, looked at closely enough to call a chunk gone.
#[derive(Debug)]
pub struct CloseLook {
    listed: HashSet<PackId>,
    /// It is known of each of them what it holds.
    is_complete: bool,
}

impl CloseLook {
    /// Whether a chunk is gone for certain. It is not when a pack that may hold it is there, though
    /// it cannot be read: that may pass.
    ///
    /// # Errors
    /// When the index fails twice.
    pub fn is_gone(&self, chunks: &Chunks, id: &ChunkId) -> Result<bool> {
        let copies = chunks.locate(&[*id])?.pop().unwrap_or_default();
        Ok(self.is_complete && !copies.iter().any(|copy| self.listed.contains(&copy.pack.id)))
    }
}

impl Chunks {
    /// Takes in what the headers of packs say that no segment names, once.
    pub(super) fn adopt(&self) -> Result<()> {
        let mut inner = self.inner.write().expect("no thread panics while it holds the lock");
        if inner.has_adopted {
            return Ok(());
        }
        let unindexed = self.compare(&inner, self.listed_packs()?)?.unindexed;
        inner.has_adopted = true;
        self.adopt_packs(&inner, &unindexed)?;
        if !unindexed.is_empty() {
            let count = unindexed.len();
            self.notices().push(Notice(format!(
                "{count} packs are in no index segment; their headers were read instead"
            )));
        }
        Ok(())
    }

    /// Takes in what the headers of `packs` say.
    fn adopt_packs(&self, inner: &Inner, packs: &[(PackId, u64)]) -> Result<Adoption> {
        let mut adoption = Adoption::default();
        for batch in packs.chunks(READ_COUNT) {
            let mut segments = Vec::new();
            for result in adopt::adopt(&self.repository, batch) {
                match result {
                    Ok(adopted) => segments.push(adopted),
                    // A prune deleted it since it was listed.
                    Err(error) if error.kind == ErrorKind::NotFound => adoption.has_missed = true,
                    Err(error) => {
                        adoption.is_partial = true;
                        self.problems().push(error);
                    }
                }
            }
            let borrowed: Vec<_> = segments.iter().map(|(id, s)| (*id, s)).collect();
            let refused = inner.cache.index().apply_many(&borrowed)?;
            adoption.is_partial |= !refused.is_empty();
            self.problems().extend(refused.into_iter().map(|refused| refused.error));
        }
        Ok(adoption)
    }

    /// Lists segments and packs again, and has packs that no segment names say themselves what they
    /// hold: what is in none of them then is gone.
    ///
    /// # Errors
    /// When they cannot be listed, or the index fails.
    pub fn look_closely(&self) -> Result<CloseLook> {
        self.refresh()?;
        let inner = self.inner.write().expect("no thread panics while it holds the lock");
        let mut attempt = 1;
        loop {
            let listing = self.listed_packs()?;
            let listed = listing.iter().map(|(id, _)| *id).collect();
            let mut unknown = Vec::new();
            for pack in self.compare(&inner, listing)?.unindexed {
                if inner.cache.index().pack_no(&pack.0)?.is_none() {
                    unknown.push(pack);
                }
            }
            let Adoption { is_partial, has_missed } = self.adopt_packs(&inner, &unknown)?;
            if !has_missed || attempt == LIST_COUNT_MAX {
                return Ok(CloseLook { listed, is_complete: !is_partial && !has_missed });
            }
            attempt += 1;
        }
    }
}
