//! What packs say themselves that no segment names.

use std::collections::{HashMap, HashSet};

use super::{Chunks, Inner, LIST_COUNT_MAX};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result};
use crate::index::Notice;
use crate::repo::adopt;

/// Headers that are read at a time.
const READ_COUNT: usize = 16;

/// What came of reading the headers of packs.
#[derive(Default)]
struct Adoption {
    /// Those that did not say what they hold.
    silent: Vec<PackId>,
    /// Some of them contradict what is known.
    is_contradicted: bool,
    /// Some were not there any more.
    has_missed: bool,
    /// Why one of them could not be asked, which may pass.
    unasked: Option<Error>,
}

/// Which packs are there, looked at closely enough to call a chunk gone.
#[derive(Debug)]
pub struct CloseLook {
    /// With their lengths.
    listed: HashMap<PackId, u64>,
    /// It is known of each of them what it holds.
    is_complete: bool,
    /// How often the index had been filled anew: what headers said goes with it.
    anew_count: u64,
}

/// Where a close look finds a chunk that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// No pack that is there holds it.
    Gone,
    /// A pack that is there holds it, though it cannot be read: that may pass.
    There,
    /// No pack that is there is known to hold it, and one that does not say what it holds may.
    Unknown,
}

impl CloseLook {
    /// Where a chunk is, if anywhere.
    ///
    /// # Errors
    /// When the index fails twice.
    pub fn whereabouts(&self, chunks: &Chunks, id: &ChunkId) -> Result<Whereabouts> {
        let copies = chunks.locate(&[*id])?.pop().unwrap_or_default();
        let is_as_before = chunks.read().anew_count == self.anew_count;
        Ok(match copies.iter().any(|copy| self.lists(&copy.pack.id)) {
            true => Whereabouts::There,
            false if self.is_complete && is_as_before => Whereabouts::Gone,
            false => Whereabouts::Unknown,
        })
    }

    /// Whether a pack that was there, as long as it should be and not `doomed`, holds a chunk.
    ///
    /// # Errors
    /// When the index fails twice.
    pub fn finds(&self, chunks: &Chunks, id: &ChunkId, doomed: &HashSet<PackId>) -> Result<bool> {
        let copies = chunks.locate(&[*id])?.pop().unwrap_or_default();
        Ok(copies
            .iter()
            .map(|copy| &copy.pack)
            .any(|pack| self.listed.get(&pack.id) == Some(&pack.len) && !doomed.contains(&pack.id)))
    }

    /// Whether a pack was there.
    pub fn lists(&self, pack: &PackId) -> bool {
        self.listed.contains_key(pack)
    }
}

impl Chunks {
    /// Takes in what the headers of packs say that no segment names, each once.
    pub(super) fn adopt(&self) -> Result<()> {
        let mut inner = self.inner.write().expect("no thread panics while it holds the lock");
        let mut unknown = self.unknown(&inner, self.listed_packs()?)?;
        unknown.retain(|(id, _)| !inner.silent.contains(id));
        inner.has_searched = true;
        let Adoption { silent, .. } = self.adopt_packs(&inner, &unknown)?;
        let count = unknown.len() - silent.len();
        inner.silent.extend(silent);
        if count > 0 && !std::mem::replace(&mut inner.has_adopted, true) {
            self.notices().push(Notice(format!(
                "{count} packs are in no index segment; their headers were read instead"
            )));
        }
        Ok(())
    }

    /// Listed packs that no segment names and that have not said yet what they hold.
    fn unknown(&self, inner: &Inner, listing: Vec<(PackId, u64)>) -> Result<Vec<(PackId, u64)>> {
        let mut unknown = Vec::new();
        // A number alone proves no places: they come after it.
        for pack in self.compare(inner, listing)?.unindexed {
            if inner.cache.index().packs_of(&adopt::segment_id(&pack.0))?.is_none() {
                unknown.push(pack);
            }
        }
        Ok(unknown)
    }

    /// Takes in what the headers of `packs` say.
    fn adopt_packs(&self, inner: &Inner, packs: &[(PackId, u64)]) -> Result<Adoption> {
        let mut adoption = Adoption::default();
        for batch in packs.chunks(READ_COUNT) {
            let mut segments = Vec::new();
            for (result, (id, _)) in adopt::adopt(&self.repository, batch).into_iter().zip(batch) {
                match result {
                    Ok(adopted) => {
                        segments.push(adopted);
                        continue;
                    }
                    // A prune deleted it since it was listed.
                    Err(error) if error.kind == ErrorKind::NotFound => adoption.has_missed = true,
                    Err(error) if error.kind == ErrorKind::Damaged => {
                        self.report_once(adopt::segment_id(id), error);
                    }
                    Err(error) => adoption.unasked = Some(error),
                }
                adoption.silent.push(*id);
            }
            let borrowed: Vec<_> = segments.iter().map(|(id, s)| (*id, s)).collect();
            let refused = inner.cache.index().apply_many(&borrowed)?;
            adoption.is_contradicted |= !refused.is_empty();
            self.problems().extend(refused.into_iter().map(|refused| refused.error));
        }
        Ok(adoption)
    }

    /// Lists segments and packs again, and has packs that no segment names say themselves what they
    /// hold: what is in none of them then is gone.
    ///
    /// # Errors
    /// When they cannot be listed, or one of them cannot be fetched for now, or the index fails.
    pub fn look_closely(&self) -> Result<CloseLook> {
        self.refresh()?;
        if let Some(why) = &self.read().unfetched {
            let message = "an index segment cannot be fetched, so that nothing is known to be gone";
            return Err(Error::new(ErrorKind::Offline, message).because(why.clone()));
        }
        let inner = self.inner.write().expect("no thread panics while it holds the lock");
        let mut attempt = 1;
        loop {
            let listing = self.listed_packs()?;
            let listed = listing.iter().copied().collect();
            let unknown = self.unknown(&inner, listing)?;
            let Adoption { silent, is_contradicted, has_missed, unasked } =
                self.adopt_packs(&inner, &unknown)?;
            if let Some(error) = unasked {
                return Err(error);
            }
            if !has_missed || attempt == LIST_COUNT_MAX {
                let is_complete = silent.is_empty() && !is_contradicted;
                return Ok(CloseLook { listed, is_complete, anew_count: inner.anew_count });
            }
            attempt += 1;
        }
    }
}
