//! Knows where the chunks of a repository are, whatever happens to the local cache.
//!
//! Wraps the local index: fills it from the segments the backend lists, and fills it again, in
//! memory if need be, when it fails in the middle of a run.

mod dispute;
mod fill;
mod headers;

pub use headers::{CloseLook, Whereabouts};

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::access::listed_packs;
use super::{Repository, session, trust};
use crate::base::rules::{Rule, keeps};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result, SegmentId, SessionId};
use crate::format::ObjectName;
use crate::index::remembered::decode_ids;
use crate::index::{Alive, Cache, Index, Notice, PackNo, PackRecord, Place, RowKey, Rows, Segment};

/// Times that segments are listed because some were replaced while they were read.
const LIST_COUNT_MAX: usize = 10;
/// Key of the segments that were replaced, in the local cache.
const SUPERSEDED_KEY: &str = "superseded segments";
/// Between two looks for chunks that are missing, of which there may be millions.
const SEARCH_INTERVAL: Duration = Duration::from_secs(30);

/// Where chunks are.
pub struct Chunks {
    repository: Arc<Repository>,
    inner: RwLock<Inner>,
    notices: Mutex<Vec<Notice>>,
    problems: Mutex<Vec<Error>>,
    /// Segments that are among the problems, which every look finds again.
    reported: Mutex<HashSet<SegmentId>>,
    last_search: Mutex<Option<Instant>>,
    /// Segments that were read wrongly, and right when they were read again.
    misread_count: AtomicU64,
}

struct Inner {
    cache: Cache,
    /// Listed segments that are applied.
    segments: HashSet<SegmentId>,
    /// Sessions that wrote listed segments.
    writers: HashSet<SessionId>,
    /// Listed segments that cannot be read, or say of packs what is not true.
    unreadable: Vec<ObjectName>,
    /// Why one of those could not be fetched that are listed, which may pass.
    unfetched: Option<String>,
    /// Packs as listed; absent for a reader, which finds out by reading.
    alive: Option<Alive>,
    /// A segment was listed and gone when it was to be read.
    has_missed: bool,
    /// They were listed, and have to be again when their numbers are void.
    is_listed: bool,
    doomed: HashSet<PackId>,
    /// Whether one of those would count as alive otherwise.
    relies_on_doomed: bool,
    /// Headers were read to find what somebody missed.
    has_searched: bool,
    /// And said something.
    has_adopted: bool,
    /// Packs that said nothing then, which are not asked again for that.
    silent: HashSet<PackId>,
    /// How often the index was given up and filled anew.
    anew_count: u64,
    /// Segments that say of packs what is not true.
    distrusted: HashSet<SegmentId>,
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
            writers: HashSet::new(),
            unreadable: Vec::new(),
            unfetched: None,
            alive: None,
            has_missed: false,
            is_listed: false,
            doomed: HashSet::new(),
            relies_on_doomed: false,
            has_searched: false,
            has_adopted: false,
            silent: HashSet::new(),
            anew_count: 0,
            distrusted,
        };
        let chunks = Self {
            repository,
            inner: RwLock::new(inner),
            notices: Mutex::default(),
            problems: Mutex::default(),
            reported: Mutex::default(),
            last_search: Mutex::default(),
            misread_count: AtomicU64::new(0),
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
    /// then in packs that no segment names. Not if that was done a moment ago.
    ///
    /// # Errors
    /// When segments or packs cannot be listed.
    pub fn search_again(&self, ids: &[ChunkId]) -> Result<()> {
        self.search(&|| Ok(self.locate(ids)?.iter().any(Vec::is_empty)))
    }

    /// The same for a reader that knows of copies and can read none of them.
    ///
    /// # Errors
    /// When segments or packs cannot be listed.
    pub fn search_for_copies(&self) -> Result<()> {
        self.search(&|| Ok(true))
    }

    fn search(&self, wants_headers: &dyn Fn() -> Result<bool>) -> Result<()> {
        // Held to the end: whoever comes meanwhile waits for what is found.
        let mut last = self.last_search.lock().expect("no thread panics while it holds the lock");
        // Until headers were read, nothing is known to be lost.
        if self.read().has_searched && last.is_some_and(|at| at.elapsed() < SEARCH_INTERVAL) {
            return Ok(());
        }
        self.refresh()?;
        if wants_headers()? {
            self.adopt()?;
        }
        *last = Some(Instant::now());
        Ok(())
    }

    /// Whether headers of packs were read to find what somebody asked for, and said something that no
    /// segment says.
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

    /// The sessions that wrote the segments that are listed.
    pub fn writers(&self) -> HashSet<SessionId> {
        self.read().writers.clone()
    }

    /// Listed segments that cannot be read, or say of packs what is not true.
    pub fn unreadable_segments(&self) -> Vec<ObjectName> {
        self.read().unreadable.clone()
    }

    /// Segments that were read wrongly so far, and right when they were read again.
    pub fn misread_count(&self) -> u64 {
        self.misread_count.load(Ordering::Relaxed)
    }

    /// Whether a segment says of packs what is not true.
    pub fn distrusts(&self, segment: &SegmentId) -> bool {
        self.read().distrusted.contains(segment)
    }

    /// Segments that were replaced by others, as far as this host has seen it.
    pub fn superseded(&self) -> HashSet<SegmentId> {
        let record = self.meta_get(SUPERSEDED_KEY).unwrap_or_default();
        decode_ids(&record).collect()
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
        let listed = listed_packs(&**self.repository.backend())?;
        Ok(listed.map(|(id, object)| (id, object.len)).collect())
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

    fn keep(&self) {
        self.read().cache.rows().keep();
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
