//! Brings chunks back, from whichever copy is good.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use super::chunks::{Chunks, Located};
use super::{Repository, is_missing};
use crate::base::{ChunkId, Error, ErrorKind, PackId, Result};
use crate::format::{DecodeError, FrameKind, ObjectName};
use crate::index::{FramePlace, PackRecord};
use crate::seal::Sealed;
use crate::seal::frame::{self, FrameShape};

/// Raw bytes of frames that are kept for the next question, unless something else is said.
const KEPT_BYTES_MAX: usize = 24 << 20;

/// Times that a copy is read before it is held for damaged.
const READ_COUNT_MAX: usize = 3;
/// Packs of which it is remembered that others were read in their place.
const PASSED_OVER_COUNT_MAX: usize = 1000;
/// Looks for moved chunks in vain after which they are held for lost.
const VAIN_COUNT_MAX: usize = 16;

/// Reads chunks of an opened repository.
pub struct Reader<'a> {
    repository: &'a Repository,
    chunks: &'a Chunks,
    kept: Mutex<Kept>,
    kept_bytes_max: usize,
    /// Packs that a request has found missing: asking again for each of their chunks helps nobody.
    /// The index names more packs than ever can be here.
    missing: Mutex<HashSet<PackId>>,
    looked: Mutex<Looked>,
    unread: Mutex<Unread>,
}

/// Copies of chunks that were not as they should be, and cost nothing.
#[derive(Default)]
pub struct Unread {
    /// Chunks that were read wrongly, and right when they were read again.
    pub misread_count: u64,
    /// Errors of copies in place of which others were read, the first of each pack.
    pub passed_over: Vec<Error>,
}

/// Looks for what packs held that were found missing: a prune may have moved it.
#[derive(Default)]
struct Looked {
    /// Packs for which the segments were listed again.
    packs: HashSet<PackId>,
    /// How often that helped nobody since it did.
    vain_count: usize,
}

#[derive(Default)]
struct Kept {
    frames: HashMap<(PackId, u32), Arc<Vec<u8>>>,
    order: VecDeque<(PackId, u32)>,
    bytes: usize,
}

impl<'a> Reader<'a> {
    /// A reader that keeps a few frames.
    pub fn new(repository: &'a Repository, chunks: &'a Chunks) -> Self {
        Self {
            repository,
            chunks,
            kept: Mutex::default(),
            kept_bytes_max: KEPT_BYTES_MAX,
            missing: Mutex::default(),
            looked: Mutex::default(),
            unread: Mutex::default(),
        }
    }

    /// The same, keeping as many raw bytes of frames for the next question.
    #[must_use]
    pub fn keeping(self, kept_bytes_max: usize) -> Self {
        Self { kept_bytes_max, ..self }
    }

    /// The repository.
    pub fn repository(&self) -> &'a Repository {
        self.repository
    }

    /// Where its chunks are.
    pub fn chunks(&self) -> &'a Chunks {
        self.chunks
    }

    /// The raw bytes of a chunk, checked against its id.
    ///
    /// # Errors
    /// Names the chunk when every copy is damaged, or none is known.
    pub fn chunk(&self, kind: FrameKind, id: &ChunkId) -> Result<Vec<u8>> {
        let copies = self.locate(id)?;
        let mut failed = Vec::new();
        for copy in &copies {
            match self.read_copy(kind, id, copy) {
                Ok(raw) => {
                    self.pass_over(failed);
                    return Ok(raw);
                }
                Err(error) => failed.push(error),
            }
        }
        let other = match self.looks_again(&copies)? {
            true => self.other_copy(kind, id, &copies)?,
            false => None,
        };
        let other = match other {
            None if !copies.is_empty() => {
                self.chunks.search_for_copies()?;
                self.other_copy(kind, id, &copies)?
            }
            other => other,
        };
        match other {
            Some(raw) => {
                self.pass_over(failed);
                Ok(raw)
            }
            None => {
                // One that cannot be asked for now may be good.
                let worst = failed.iter().rposition(|error| !error.is_loss()).unwrap_or_default();
                Err(failed.into_iter().nth(worst).unwrap_or_else(|| lost(id)))
            }
        }
    }

    /// What came to light of copies that nobody missed, as there are others.
    pub fn take_unread(&self) -> Unread {
        std::mem::take(&mut self.unread())
    }

    fn unread(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().expect("no thread panics while it holds the lock")
    }

    /// Remembers copies that cannot be read, where another one could.
    fn pass_over(&self, failed: Vec<Error>) {
        // What is gone may have been moved, and what cannot be reached may be good.
        let is_bad =
            |error: &Error| !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Offline);
        for error in failed.into_iter().filter(is_bad) {
            let mut unread = self.unread();
            if unread.passed_over.len() < PASSED_OVER_COUNT_MAX
                && unread.passed_over.iter().all(|known| known.object != error.object)
            {
                unread.passed_over.push(error);
            }
        }
    }

    /// The raw bytes of a chunk from a pack that is not among those `avoided`; `None` if no such copy is
    /// good.
    ///
    /// # Errors
    /// When the index fails.
    pub fn chunk_outside(
        &self,
        kind: FrameKind,
        id: &ChunkId,
        avoided: &HashSet<PackId>,
    ) -> Result<Option<Vec<u8>>> {
        let copies = self.chunks.locate(&[*id])?.pop().unwrap_or_default();
        let mut others = copies.iter().filter(|copy| !avoided.contains(&copy.pack.id));
        Ok(others.find_map(|copy| self.read_copy(kind, id, copy).ok()))
    }

    /// The raw bytes of a chunk from a copy that is not among those that were `tried`.
    fn other_copy(
        &self,
        kind: FrameKind,
        id: &ChunkId,
        tried: &[Located],
    ) -> Result<Option<Vec<u8>>> {
        let is_new = |copy: &&Located| tried.iter().all(|old| old.pack.id != copy.pack.id);
        let found = self.chunks.locate(&[*id])?.pop().unwrap_or_default();
        let raw = found.iter().filter(is_new).find_map(|copy| self.read_copy(kind, id, copy).ok());
        if raw.is_some() {
            self.looked().vain_count = 0;
        }
        Ok(raw)
    }

    /// Lists segments again, once for each pack that was found missing; whether what is known of
    /// `copies` may be out of date.
    fn looks_again(&self, copies: &[Located]) -> Result<bool> {
        let gone: Vec<PackId> =
            copies.iter().map(|copy| copy.pack.id).filter(|id| self.is_missing(id)).collect();
        // Held to the end: whoever comes meanwhile waits for what is found.
        let mut looked = self.looked();
        let is_new = gone.iter().any(|id| !looked.packs.contains(id));
        // Where many packs are lost and not moved, each look is a listing for nothing.
        if is_new && looked.vain_count < VAIN_COUNT_MAX {
            self.chunks.refresh()?;
            looked.packs.extend(&gone);
            looked.vain_count += 1;
        }
        Ok(!gone.is_empty())
    }

    fn looked(&self) -> MutexGuard<'_, Looked> {
        self.looked.lock().expect("no thread panics while it holds it")
    }

    fn locate(&self, id: &ChunkId) -> Result<Vec<Located>> {
        let copies = self.chunks.locate(&[*id])?.pop().unwrap_or_default();
        if !copies.is_empty() {
            return Ok(copies);
        }
        self.chunks.search_again(&[*id])?;
        Ok(self.chunks.locate(&[*id])?.pop().unwrap_or_default())
    }

    /// Reads a copy, again if that does not go well: it may have been spoiled on its way.
    fn read_copy(&self, kind: FrameKind, id: &ChunkId, copy: &Located) -> Result<Vec<u8>> {
        let mut read = self.read_copy_once(kind, id, copy);
        let may_pass =
            |error: &Error| !matches!(error.kind, ErrorKind::NotFound | ErrorKind::Offline);
        if read.as_ref().is_err_and(may_pass) {
            for _ in 1..READ_COUNT_MAX {
                read = self.read_copy_once(kind, id, copy);
                if read.is_ok() {
                    self.unread().misread_count += 1;
                    break;
                }
            }
        }
        read
    }

    fn read_copy_once(&self, kind: FrameKind, id: &ChunkId, copy: &Located) -> Result<Vec<u8>> {
        let key = (copy.pack.id, copy.place.frame);
        let frame = match self.kept(&key) {
            Some(frame) => frame,
            None => {
                let place = frame_of(&copy.pack, copy.place.frame)?;
                let frame = Arc::new(self.fetch_frame(&copy.pack, place)?);
                self.keep(key, &frame);
                frame
            }
        };
        let raw = slice(&frame, copy)?;
        frame::verify(self.repository.keyring(), kind, id, raw)
            .map_err(|error| damaged_pack(&copy.pack.id, error))?;
        Ok(raw.to_vec())
    }

    /// Asks again for packs that were found missing and are there after all.
    pub fn ask_again(&self, is_there: impl Fn(&PackId) -> bool) {
        let mut missing = self.missing.lock().expect("no thread panics while it holds it");
        missing.retain(|id| !is_there(id));
    }

    /// Fetches and opens one frame. Its chunks are not checked against their ids.
    ///
    /// # Errors
    /// Names the pack.
    pub fn fetch_frame(&self, pack: &PackRecord, place: &FramePlace) -> Result<Vec<u8>> {
        let range = place.offset..place.offset + u64::from(place.sealed_len);
        let sealed = self.fetch_range(&pack.id, range)?;
        self.open_frame(pack, place, sealed.bytes())
    }

    /// Fetches a range of a pack. One that was found missing is not asked for again.
    ///
    /// # Errors
    /// Names the pack.
    pub fn fetch_range(&self, pack: &PackId, range: Range<u64>) -> Result<Sealed> {
        let name = ObjectName::pack(*pack);
        if self.is_missing(pack) {
            return Err(Error::new(ErrorKind::NotFound, format!("{name} is missing"))
                .hint("Run `parados check` to see what depends on it."));
        }
        let fetched = self.repository.backend().get_range(&name, range);
        if fetched.as_ref().is_err_and(is_missing) {
            let mut missing = self.missing.lock().expect("no thread panics while it holds it");
            missing.insert(*pack);
        }
        Ok(fetched?)
    }

    /// Whether a request has found a pack missing.
    pub fn is_missing(&self, pack: &PackId) -> bool {
        self.missing.lock().expect("no thread panics while it holds it").contains(pack)
    }

    /// Opens a frame that was fetched.
    ///
    /// # Errors
    /// Names the pack.
    pub fn open_frame(
        &self,
        pack: &PackRecord,
        place: &FramePlace,
        sealed: &[u8],
    ) -> Result<Vec<u8>> {
        let refuse = |error| damaged_pack(&pack.id, error);
        let origin = pack
            .origins
            .get(place.origin as usize)
            .ok_or_else(|| refuse(DecodeError::Inconsistent))?;
        let shape =
            FrameShape { origin, kind: place.kind, codec: place.codec, raw_len: place.raw_len };
        frame::open(self.repository.keyring(), &shape, sealed).map_err(refuse)
    }

    fn kept(&self, key: &(PackId, u32)) -> Option<Arc<Vec<u8>>> {
        let kept = self.kept.lock().expect("no thread panics while it holds the lock");
        kept.frames.get(key).cloned()
    }

    fn keep(&self, key: (PackId, u32), frame: &Arc<Vec<u8>>) {
        let mut kept = self.kept.lock().expect("no thread panics while it holds the lock");
        if kept.frames.insert(key, Arc::clone(frame)).is_some() {
            return;
        }
        kept.order.push_back(key);
        kept.bytes += frame.len();
        while kept.bytes > self.kept_bytes_max && kept.order.len() > 1 {
            if let Some(oldest) = kept.order.pop_front()
                && let Some(frame) = kept.frames.remove(&oldest)
            {
                kept.bytes -= frame.len();
            }
        }
    }
}

/// The frame that a place names.
///
/// # Errors
/// Names the pack, for an index that contradicts itself.
pub fn frame_of(pack: &PackRecord, frame: u32) -> Result<&FramePlace> {
    pack.frames.get(frame as usize).ok_or_else(|| damaged_pack(&pack.id, DecodeError::Inconsistent))
}

/// The bytes of a chunk within its raw frame.
///
/// # Errors
/// Names the pack, for an index that contradicts the frame.
pub fn slice<'f>(frame: &'f [u8], copy: &Located) -> Result<&'f [u8]> {
    let start = copy.place.offset as usize;
    frame
        .get(start..start + copy.place.len as usize)
        .ok_or_else(|| damaged_pack(&copy.pack.id, DecodeError::Inconsistent))
}

/// The error for a pack that does not hold what the index promises.
pub fn damaged_pack(id: &PackId, error: DecodeError) -> Error {
    super::damaged(&ObjectName::pack(*id), error)
}

/// The error for a chunk that is whole but makes no sense.
pub fn damaged_chunk(id: &ChunkId, error: DecodeError) -> Error {
    Error::new(ErrorKind::Damaged, format!("chunk {} is damaged", id.short()))
        .because(error)
        .hint("Run `parados check` to see what depends on it.")
}

/// The error for a chunk that no pack is known to hold.
pub fn lost(id: &ChunkId) -> Error {
    Error::new(ErrorKind::Damaged, format!("chunk {} is in no pack that is left", id.short()))
        .hint("Run `parados check` to see what depends on it.")
}
