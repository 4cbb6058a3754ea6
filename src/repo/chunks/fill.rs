//! Fills the index from the segments that the backend lists, as often as it takes.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::dispute::Dispute;
use super::{Chunks, Inner, LIST_COUNT_MAX, SUPERSEDED_KEY};
use crate::backend::Listed;
use crate::base::{Error, ErrorKind, Result, SegmentId, SessionId};
use crate::format::name::Parsed;
use crate::format::{ObjectKind, ObjectName};
use crate::index::remembered::{decode_ids, encode_ids};
use crate::index::{Cache, Refused, Segment};
use crate::repo::access::list;
use crate::repo::parallel::ask_all;
use crate::repo::{damaged, is_missing, trust};
use crate::seal::segment;

/// Segments that are fetched and applied at a time; each is a few MiB.
const FETCH_COUNT: usize = 16;
/// Bytes of segments that are fetched at a time, unless a single one is longer: a stranger may have
/// planted any number of the longest objects.
const FETCH_BYTES: u64 = 64 << 20;
/// So many of them are remembered, which takes 2 MiB.
const SUPERSEDED_COUNT_MAX: usize = 65_536;
/// How often the index is filled again without segments that proved false.
const JUDGMENT_COUNT_MAX: usize = 8;

impl Chunks {
    pub(super) fn recover(&self, inner: &mut Inner, error: &Error) -> Result<()> {
        self.start_anew(inner, error);
        self.fill_or_recover(inner)
    }

    pub(super) fn fill_or_recover(&self, inner: &mut Inner) -> Result<()> {
        for _ in 0..LIST_COUNT_MAX {
            inner.has_missed = false;
            self.fill_once(inner)?;
            if !inner.has_missed {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn fill_once(&self, inner: &mut Inner) -> Result<()> {
        // That the backend does not answer is no fault of the cache.
        let listing = list(&**self.repository.backend(), ObjectKind::Index)?;
        for round in 1.. {
            let (refusals, dispute) = match self.fill_and_look(inner, &listing) {
                Ok(filled) => filled,
                Err(error) => {
                    self.start_anew(inner, &error);
                    self.fill_and_look(inner, &listing).or_else(|error| {
                        // The second recovery ends in memory, which does not fail.
                        self.start_anew(inner, &error);
                        self.fill_and_look(inner, &listing)
                    })?
                }
            };
            let misled = match round {
                ..=JUDGMENT_COUNT_MAX => self.settle(inner, &dispute)?,
                _ => None,
            };
            let Some(error) = misled else {
                for Refused { segment, error, .. } in refusals {
                    self.report_once(segment, error);
                }
                break;
            };
            self.start_anew(inner, &error);
        }
        if inner.is_listed && inner.alive.is_none() {
            let listing = self.listed_packs()?;
            Self::compare_alive(inner, &listing)?;
        }
        Ok(())
    }

    pub(super) fn fill_and_look<'l>(
        &self,
        inner: &mut Inner,
        listing: &'l [Listed],
    ) -> Result<(Vec<Refused>, Dispute<'l>)> {
        let refusals = self.fill(inner, listing)?;
        let dispute = Self::find_dispute(inner, listing, &refusals)?;
        Ok((refusals, dispute))
    }

    /// Gives up the index, and with it every number of a pack and what packs said themselves.
    pub(super) fn start_anew(&self, inner: &mut Inner, error: &Error) {
        let notices = inner.cache.recover(error);
        self.notices().extend(notices);
        inner.alive = None;
        inner.has_searched = false;
        inner.has_adopted = false;
        inner.silent.clear();
        inner.anew_count += 1;
    }

    /// Takes in what is listed, and returns what contradicts it.
    pub(super) fn fill(&self, inner: &mut Inner, listing: &[Listed]) -> Result<Vec<Refused>> {
        let applied = inner.cache.index().segments()?;
        let mut wanted = Vec::new();
        let mut listed = HashSet::new();
        let mut refusals = Vec::new();
        let mut unreadable = Vec::new();
        inner.unfetched = None;
        inner.writers.clear();
        for object in listing {
            let Parsed::Index(session, sequence, id) = object.name.parsed() else { continue };
            inner.writers.insert(session);
            if inner.distrusted.contains(&id) {
                unreadable.push(object.name.clone());
                self.report_once(id, trust::false_segment(&object.name));
                continue;
            }
            listed.insert(id);
            if !applied.contains(&id) {
                wanted.push((object, (session, sequence), id));
            }
        }
        let mut rest = &wanted[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take(FETCH_COUNT).take_while(|(object, ..)| {
                let is_first = bytes == 0;
                bytes += object.len;
                is_first || bytes <= FETCH_BYTES
            });
            let (batch, tail) = rest.split_at(fitting.count());
            rest = tail;
            // Not on rayon: its workers may wait for the lock that is held here, or steal a job
            // that does.
            let fetched = ask_all(batch, &|(object, origin, id)| {
                (*id, self.fetch_segment(&object.name, *origin))
            });
            let mut segments = Vec::new();
            for ((object, ..), (id, result)) in batch.iter().zip(fetched) {
                match result {
                    Ok(Some(segment)) => segments.push((id, segment)),
                    // A prune deleted it after a better one was written, which may not be listed.
                    Ok(None) => {
                        listed.remove(&id);
                        inner.has_missed = true;
                    }
                    Err(error) => {
                        listed.remove(&id);
                        match error.kind {
                            ErrorKind::Damaged => unreadable.push(object.name.clone()),
                            _ => inner.unfetched = Some(error.to_string()),
                        }
                        self.report_once(id, error);
                    }
                }
            }
            let borrowed: Vec<_> = segments.iter().map(|(id, s)| (*id, s)).collect();
            let refused = inner.cache.index().apply_many(&borrowed)?;
            let refused_ids: HashSet<_> = refused.iter().map(|refused| refused.segment).collect();
            listed.retain(|id| !refused_ids.contains(id));
            // What is not believed takes the place of nothing.
            for (_, segment) in segments.iter().filter(|(id, _)| !refused_ids.contains(id)) {
                for superseded in &segment.fence.supersedes {
                    listed.remove(superseded);
                }
                Self::remember_superseded(&inner.cache, &segment.fence.supersedes);
            }
            refusals.extend(refused);
        }
        inner.segments = listed;
        inner.unreadable = unreadable;
        Ok(refusals)
    }

    /// Reads a segment; `None` when it is gone.
    ///
    /// # Errors
    /// Names the segment.
    pub fn fetch_segment(
        &self,
        name: &ObjectName,
        origin: (SessionId, u32),
    ) -> Result<Option<Segment>> {
        match self.fetch_segment_once(name, origin) {
            // Perhaps only on its way.
            Err(error) if error.kind != ErrorKind::Offline => {
                let again = self.fetch_segment_once(name, origin)?;
                self.misread_count.fetch_add(1, Ordering::Relaxed);
                Ok(again)
            }
            fetched => fetched,
        }
    }

    fn fetch_segment_once(
        &self,
        name: &ObjectName,
        origin: (SessionId, u32),
    ) -> Result<Option<Segment>> {
        let sealed = match self.repository.backend().get(name) {
            Ok(sealed) => sealed,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (fence, entries) = segment::open(self.repository.keyring(), origin, sealed.bytes())
            .map_err(|error| damaged(name, error))?;
        Ok(Some(Segment { fence, entries }))
    }

    /// The newest are remembered: they serve hosts that take files over from a run before.
    pub(super) fn remember_superseded(cache: &Cache, segments: &[SegmentId]) {
        if segments.is_empty() {
            return;
        }
        let record = cache.meta_get(SUPERSEDED_KEY).unwrap_or_default();
        let known: HashSet<SegmentId> = decode_ids(&record).collect();
        let new = segments.iter().copied().filter(|id| !known.contains(id));
        let all: Vec<SegmentId> = decode_ids(&record).chain(new).collect();
        if all.len() > known.len() {
            let kept = &all[all.len().saturating_sub(SUPERSEDED_COUNT_MAX)..];
            cache.meta_put(SUPERSEDED_KEY, &encode_ids(kept));
        }
    }
}
