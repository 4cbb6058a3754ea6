//! Knows where the chunks of a repository are, whatever happens to the local cache.
//!
//! Wraps the local index: fills it from the segments the backend lists, and fills it again, in
//! memory if need be, when it fails in the middle of a run.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::access::list;
use super::parallel::ask_all;
use super::trust::{self, Judge, Verdict};
use super::{Repository, adopt, damaged, is_missing, session};
use crate::backend::Listed;
use crate::base::rules::{Rule, keeps};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, SegmentId, SessionId};
use crate::format::name::Parsed;
use crate::format::{ObjectKind, ObjectName};
use crate::index::remembered::{decode_ids, encode_ids};
use crate::index::{
    Alive, Cache, Index, Notice, PackNo, PackRecord, Place, Refused, RowKey, Rows, Segment,
};
use crate::seal::segment;

/// Segments that are fetched and applied at a time; each is a few MiB.
const FETCH_COUNT: usize = 16;
/// Bytes of segments that are fetched at a time, unless a single one is longer: a stranger may have
/// planted any number of the longest objects.
const FETCH_BYTES: u64 = 64 << 20;
/// Times that segments are listed because some were replaced while they were read.
const LIST_COUNT_MAX: usize = 10;
/// Key of the segments that were replaced, in the local cache.
const SUPERSEDED_KEY: &str = "superseded segments";
/// So many of them are remembered, which takes 2 MiB.
const SUPERSEDED_COUNT_MAX: usize = 65_536;
/// Between two looks for chunks that are missing, of which there may be millions.
const SEARCH_INTERVAL: Duration = Duration::from_secs(30);
/// How often the index is filled again without segments that proved false.
const JUDGMENT_COUNT_MAX: usize = 8;

/// Where chunks are.
pub struct Chunks {
    repository: Arc<Repository>,
    inner: RwLock<Inner>,
    notices: Mutex<Vec<Notice>>,
    problems: Mutex<Vec<Error>>,
    /// Segments that are among the problems, which every look finds again.
    reported: Mutex<HashSet<SegmentId>>,
    last_search: Mutex<Option<Instant>>,
}

struct Inner {
    cache: Cache,
    /// Listed segments that are applied.
    segments: HashSet<SegmentId>,
    /// Packs as listed; absent for a reader, which finds out by reading.
    alive: Option<Alive>,
    /// A segment was listed and gone when it was to be read.
    has_missed: bool,
    /// They were listed, and have to be again when their numbers are void.
    is_listed: bool,
    doomed: HashSet<PackId>,
    /// Whether one of those would count as alive otherwise.
    relies_on_doomed: bool,
    has_adopted: bool,
    /// Segments that say of packs what is not true.
    distrusted: HashSet<SegmentId>,
}

/// Packs that segments describe in several ways.
#[derive(Default)]
struct Dispute<'l> {
    packs: HashSet<PackId>,
    parties: Vec<Party<'l>>,
    /// A segment that is not to be believed is applied.
    holds_false: bool,
}

/// A segment that describes a disputed pack.
struct Party<'l> {
    name: &'l ObjectName,
    origin: (SessionId, u32),
    id: SegmentId,
    is_believed: bool,
}

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

/// A copy of a chunk, with how to read it.
#[derive(Clone, Debug)]
pub struct Located {
    /// Number of its pack.
    pub no: PackNo,
    /// Its pack.
    pub pack: Arc<PackRecord>,
    /// Where it is in the pack.
    pub place: Place,
}

impl Chunks {
    /// Brings `cache` up to date with the segments of the repository.
    ///
    /// # Errors
    /// When segments cannot be listed. One that cannot be read is a problem instead.
    pub fn open(repository: Arc<Repository>, cache: Cache) -> Result<Self> {
        let distrusted = trust::distrusted_in(cache.meta_get(trust::DISTRUSTED_KEY));
        let inner = Inner {
            cache,
            segments: HashSet::new(),
            alive: None,
            has_missed: false,
            is_listed: false,
            doomed: HashSet::new(),
            relies_on_doomed: false,
            has_adopted: false,
            distrusted,
        };
        let chunks = Self {
            repository,
            inner: RwLock::new(inner),
            notices: Mutex::default(),
            problems: Mutex::default(),
            reported: Mutex::default(),
            last_search: Mutex::default(),
        };
        chunks.refresh()?;
        Ok(chunks)
    }

    /// Lists segments again and takes in the new ones.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn refresh(&self) -> Result<()> {
        let mut inner = self.inner.write().expect("no thread panics while it holds the lock");
        self.fill_or_recover(&mut inner)
    }

    /// Looks again for chunks that a reader misses: in segments that are new since the listing,
    /// then in packs that no segment names.
    ///
    /// # Errors
    /// When segments or packs cannot be listed.
    pub fn search_again(&self, ids: &[ChunkId]) -> Result<()> {
        // Held to the end: whoever comes meanwhile waits for what is found.
        let mut last = self.last_search.lock().expect("no thread panics while it holds the lock");
        if last.is_some_and(|at| at.elapsed() < SEARCH_INTERVAL) {
            return Ok(());
        }
        self.refresh()?;
        if self.locate(ids)?.iter().any(Vec::is_empty) {
            self.adopt()?;
        }
        *last = Some(Instant::now());
        Ok(())
    }

    /// Takes in what the headers of packs say that no segment names, once.
    fn adopt(&self) -> Result<()> {
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
        for batch in packs.chunks(FETCH_COUNT) {
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

    /// Whether the headers of packs had to be read to find what somebody asked for.
    pub fn has_adopted(&self) -> bool {
        self.read().has_adopted
    }

    /// Lists packs, for a writer: only chunks in listed packs of the right length count as stored.
    /// Packs in `doomed` do not.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn list_packs(&self, doomed: &HashSet<PackId>) -> Result<()> {
        let mut inner = self.inner.write().expect("no thread panics while it holds the lock");
        inner.doomed.clone_from(doomed);
        inner.is_listed = true;
        let listing = self.listed_packs()?;
        let Err(error) = Self::compare_alive(&mut inner, &listing) else { return Ok(()) };
        self.recover(&mut inner, &error)
    }

    /// Whether a pack that segments name is missing, too short or too long, or doomed: then nothing
    /// may be taken over from the last run without asking for each chunk.
    pub fn is_degraded(&self) -> bool {
        let inner = self.read();
        let is_missing = inner.alive.as_ref().is_none_or(|alive| !alive.missing.is_empty());
        is_missing || inner.relies_on_doomed
    }

    /// The segments that are listed and applied.
    pub fn segments(&self) -> HashSet<SegmentId> {
        self.read().segments.clone()
    }

    /// Segments that were replaced by others, as far as this host has seen it.
    pub fn superseded(&self) -> HashSet<SegmentId> {
        let record = self.meta_get(SUPERSEDED_KEY).unwrap_or_default();
        decode_ids(&record).collect()
    }

    /// The newest are remembered: they serve hosts that take files over from a run before.
    fn remember_superseded(cache: &Cache, segments: &[SegmentId]) {
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

    /// Packs that segments name and the listing lacks, or has with another length.
    pub fn missing_packs(&self) -> Vec<(PackId, Option<u64>)> {
        self.read().alive.as_ref().map(|alive| alive.missing.clone()).unwrap_or_default()
    }

    /// Packs that are listed and that no segment names, with their lengths.
    pub fn unindexed_packs(&self) -> Vec<(PackId, u64)> {
        self.read().alive.as_ref().map(|alive| alive.unindexed.clone()).unwrap_or_default()
    }

    /// Whether a pack was alive when packs were listed.
    pub fn is_alive(&self, pack: &PackId) -> bool {
        let inner = self.read();
        let no = inner.cache.index().pack_no(pack).ok().flatten();
        no.zip(inner.alive.as_ref()).is_some_and(|(no, alive)| alive.contains(no))
    }

    /// Every pack that the index knows, with its length.
    ///
    /// # Errors
    /// When the index fails twice.
    pub fn packs(&self) -> Result<Vec<(PackId, u64)>> {
        self.ask(|inner| {
            let mut packs = Vec::new();
            inner.cache.index().packs(&mut |_, id, len| packs.push((*id, len)))?;
            Ok(packs)
        })
    }

    /// How to read a pack, if the index knows it.
    ///
    /// # Errors
    /// When the index fails twice.
    pub fn pack(&self, id: &PackId) -> Result<Option<Arc<PackRecord>>> {
        self.ask(|inner| {
            let index = inner.cache.index();
            index.pack_no(id)?.map(|no| index.pack(no)).transpose()
        })
    }

    /// Whether each chunk is in a pack that is alive.
    ///
    /// # Errors
    /// When the index fails twice.
    pub fn find_alive(&self, ids: &[ChunkId]) -> Result<Vec<bool>> {
        self.ask(|inner| match &inner.alive {
            Some(_) if !keeps(Rule::ListedPacks) => {
                let places = inner.cache.index().find(ids)?;
                Ok(places.iter().map(|places| !places.is_empty()).collect())
            }
            Some(alive) => inner.cache.index().find_alive(ids, alive),
            None => Ok(vec![false; ids.len()]),
        })
    }

    /// All copies of each chunk.
    ///
    /// # Errors
    /// When the index fails twice.
    pub fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Vec<Located>>> {
        self.ask(|inner| {
            let index = inner.cache.index();
            let places = index.find(ids)?;
            let mut last: Option<(PackNo, Arc<PackRecord>)> = None;
            let mut located = Vec::with_capacity(places.len());
            for places in places {
                let mut copies = Vec::with_capacity(places.len());
                for place in places {
                    let no = place.pack;
                    let pack = match &last {
                        Some((last_no, pack)) if *last_no == no => Arc::clone(pack),
                        _ => index.pack(no)?,
                    };
                    last = Some((no, Arc::clone(&pack)));
                    copies.push(Located { no, pack, place });
                }
                located.push(copies);
            }
            Ok(located)
        })
    }

    /// Asks the index and the listing of packs at one moment, since pack numbers hold no longer: when
    /// the index fails, it is filled again and asked anew from the start.
    ///
    /// # Errors
    /// When packs were not listed, or the index fails twice; those of `question`.
    pub fn ask_index<T>(
        &self,
        mut question: impl FnMut(&dyn Index, &Alive) -> Result<T>,
    ) -> Result<T> {
        self.ask(|inner| match &inner.alive {
            Some(alive) => question(inner.cache.index(), alive),
            None => Err(Error::new(ErrorKind::Bug, "packs were not listed")),
        })
    }

    /// Takes in a segment that this session stored.
    ///
    /// # Errors
    /// When the index fails twice.
    pub fn apply_own(&self, segment: session::Segment) -> Result<()> {
        let mut inner = self.inner.write().expect("no thread panics while it holds the lock");
        let packs: Vec<PackId> = segment.fence.packs.iter().map(|pack| pack.id).collect();
        for superseded in &segment.fence.supersedes {
            inner.segments.remove(superseded);
        }
        Self::remember_superseded(&inner.cache, &segment.fence.supersedes);
        let applied = Segment { fence: segment.fence, entries: segment.entries };
        inner.segments.insert(segment.id);
        let result = inner.cache.index().apply(segment.id, &applied).and_then(|()| {
            for pack in &packs {
                let no = inner.cache.index().pack_no(pack)?;
                if let (Some(no), Some(alive)) = (no, &inner.alive) {
                    alive.mark_alive(no);
                }
            }
            Ok(())
        });
        // It is stored, so that filling the index again finds it.
        result.or_else(|error| self.recover(&mut inner, &error))
    }

    /// A record that is not about chunks; absent when it cannot be read.
    pub fn meta_get(&self, key: &str) -> Option<Vec<u8>> {
        self.read().cache.meta_get(key)
    }

    /// Keeps a record for the next run, if it can be kept.
    pub fn meta_put(&self, key: &str, bytes: &[u8]) {
        self.read().cache.meta_put(key, bytes);
    }

    /// What a person may want to know about the cache since the last call.
    pub fn take_notices(&self) -> Vec<Notice> {
        let mut notices = std::mem::take(&mut *self.notices());
        notices.extend(self.read().cache.take_notices());
        notices
    }

    /// Segments that could not be read since the last call.
    pub fn take_problems(&self) -> Vec<Error> {
        let mut problems = self.problems.lock().expect("no thread panics while it holds the lock");
        std::mem::take(&mut *problems)
    }

    fn ask<T>(&self, mut question: impl FnMut(&Inner) -> Result<T>) -> Result<T> {
        let error = match question(&self.read()) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let mut inner = self.inner.write().expect("no thread panics while it holds the lock");
        // Another thread may have recovered while this one waited.
        if let Ok(answer) = question(&inner) {
            return Ok(answer);
        }
        self.recover(&mut inner, &error)?;
        question(&inner)
    }

    fn recover(&self, inner: &mut Inner, error: &Error) -> Result<()> {
        self.start_anew(inner, error);
        self.fill_or_recover(inner)
    }

    fn fill_or_recover(&self, inner: &mut Inner) -> Result<()> {
        for _ in 0..LIST_COUNT_MAX {
            inner.has_missed = false;
            self.fill_once(inner)?;
            if !inner.has_missed {
                break;
            }
        }
        Ok(())
    }

    fn fill_once(&self, inner: &mut Inner) -> Result<()> {
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

    fn fill_and_look<'l>(
        &self,
        inner: &mut Inner,
        listing: &'l [Listed],
    ) -> Result<(Vec<Refused>, Dispute<'l>)> {
        let refusals = self.fill(inner, listing)?;
        let dispute = Self::find_dispute(inner, listing, &refusals)?;
        Ok((refusals, dispute))
    }

    /// Gives up the index, and with it every number of a pack and what packs said themselves.
    fn start_anew(&self, inner: &mut Inner, error: &Error) {
        let notices = inner.cache.recover(error);
        self.notices().extend(notices);
        inner.alive = None;
        inner.has_adopted = false;
    }

    /// Takes in what is listed, and returns what contradicts it.
    fn fill(&self, inner: &mut Inner, listing: &[Listed]) -> Result<Vec<Refused>> {
        let applied = inner.cache.index().segments()?;
        let mut wanted = Vec::new();
        let mut listed = HashSet::new();
        let mut refusals = Vec::new();
        for object in listing {
            let Parsed::Index(session, sequence, id) = object.name.parsed() else { continue };
            if inner.distrusted.contains(&id) {
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
            for (id, result) in fetched {
                match result {
                    Ok(Some(segment)) => segments.push((id, segment)),
                    // A prune deleted it after a better one was written, which may not be listed.
                    Ok(None) => {
                        listed.remove(&id);
                        inner.has_missed = true;
                    }
                    Err(error) => {
                        listed.remove(&id);
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
        Ok(refusals)
    }

    /// Finds what is disputed and who takes part. Only the index is asked.
    fn find_dispute<'l>(
        inner: &Inner,
        listing: &'l [Listed],
        refusals: &[Refused],
    ) -> Result<Dispute<'l>> {
        let index = inner.cache.index();
        let mut dispute = Dispute::default();
        // One that was found to be false after it was applied.
        for id in &inner.distrusted {
            dispute.holds_false |= index.packs_of(id)?.is_some();
        }
        dispute.packs.extend(refusals.iter().filter_map(|refused| refused.contested));
        if dispute.packs.is_empty() {
            return Ok(dispute);
        }
        let mut numbers = HashSet::new();
        for pack in &dispute.packs {
            numbers.extend(index.pack_no(pack)?);
        }
        let refused: HashSet<SegmentId> = refusals.iter().map(|r| r.segment).collect();
        for object in listing {
            let Parsed::Index(session, sequence, id) = object.name.parsed() else { continue };
            let believed = index.packs_of(&id)?;
            let is_party = match &believed {
                Some(packs) => packs.iter().any(|no| numbers.contains(no)),
                None => refused.contains(&id),
            };
            if is_party {
                let (origin, is_believed) = ((session, sequence), believed.is_some());
                dispute.parties.push(Party { name: &object.name, origin, id, is_believed });
            }
        }
        Ok(dispute)
    }

    /// Finds out by the headers of packs who tells the truth, since the index believes the first
    /// one it meets. An error when the index was misled: it has to be filled again.
    fn settle(&self, inner: &mut Inner, dispute: &Dispute<'_>) -> Result<Option<Error>> {
        let mut misled = dispute
            .holds_false
            .then(|| Error::new(ErrorKind::Damaged, "the local index holds a false segment"));
        if dispute.parties.is_empty() {
            return Ok(misled);
        }
        let packs = self.listed_packs()?.into_iter();
        let lens: HashMap<_, _> = packs.filter(|(id, _)| dispute.packs.contains(id)).collect();
        let judge = Judge::of_few(&self.repository, &lens);
        let distrusted_count = inner.distrusted.len();
        for party in &dispute.parties {
            match judge.verdict(party.name, party.origin)? {
                Verdict::False(_) => {
                    inner.distrusted.insert(party.id);
                    self.report_once(party.id, trust::false_segment(party.name));
                }
                // The index believed another one, which may be gone by now.
                Verdict::True if !party.is_believed => {
                    let message = format!(
                        "the local index contradicts index segment {}, which tells the truth",
                        party.id
                    );
                    misled = Some(Error::new(ErrorKind::Damaged, message));
                }
                Verdict::True | Verdict::Unknown => {}
            }
        }
        if inner.distrusted.len() > distrusted_count {
            let record = trust::distrusted_record(&inner.distrusted);
            inner.cache.meta_put(trust::DISTRUSTED_KEY, &record);
        }
        Ok(misled)
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
        let sealed = match self.repository.backend().get(name) {
            Ok(sealed) => sealed,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (fence, entries) = segment::open(self.repository.keyring(), origin, sealed.bytes())
            .map_err(|error| damaged(name, error))?;
        Ok(Some(Segment { fence, entries }))
    }

    fn compare_alive(inner: &mut Inner, listing: &[(PackId, u64)]) -> Result<()> {
        let index = inner.cache.index();
        let alive = Alive::new(index, listing.iter().copied(), &inner.segments)?;
        inner.relies_on_doomed = false;
        for pack in &inner.doomed {
            if let Some(no) = inner.cache.index().pack_no(pack)? {
                inner.relies_on_doomed |= alive.contains(no);
                alive.mark_doomed(no);
            }
        }
        inner.alive = Some(alive);
        Ok(())
    }

    /// Compares the packs that are listed with those that listed segments name.
    fn compare(&self, inner: &Inner, listing: Vec<(PackId, u64)>) -> Result<Alive> {
        Alive::new(inner.cache.index(), listing.into_iter(), &inner.segments)
    }

    fn listed_packs(&self) -> Result<Vec<(PackId, u64)>> {
        let listing = list(&**self.repository.backend(), ObjectKind::Pack)?;
        let packs = listing.into_iter().filter_map(|object| match object.name.parsed() {
            Parsed::Pack(id) => Some((id, object.len)),
            _ => None,
        });
        Ok(packs.collect())
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().expect("no thread panics while it holds the lock")
    }

    fn notices(&self) -> std::sync::MutexGuard<'_, Vec<Notice>> {
        self.notices.lock().expect("no thread panics while it holds the lock")
    }

    fn report_once(&self, segment: SegmentId, error: Error) {
        let mut reported = self.reported.lock().expect("no thread panics while it holds the lock");
        if reported.insert(segment) {
            self.problems().push(error);
        }
    }

    fn problems(&self) -> std::sync::MutexGuard<'_, Vec<Error>> {
        self.problems.lock().expect("no thread panics while it holds the lock")
    }
}

impl Rows for Chunks {
    fn get(&self, keys: &[RowKey], epoch: u64) -> Vec<Option<Vec<u8>>> {
        self.read().cache.rows().get(keys, epoch)
    }

    fn put(&self, rows: &[(RowKey, &[u8])], epoch: u64) {
        self.read().cache.rows().put(rows, epoch);
    }

    fn stamp(&self, keys: &[RowKey], from: u64, to: u64) {
        self.read().cache.rows().stamp(keys, from, to);
    }

    fn retain(&self, epochs: &[u64]) -> u64 {
        self.read().cache.rows().retain(epochs)
    }
}

impl std::fmt::Debug for Chunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunks of {:?}", self.repository)
    }
}
