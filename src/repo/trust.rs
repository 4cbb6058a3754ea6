//! Decides which of several index segments tells the truth about a pack.
//!
//! A segment is authentic when somebody with the keys wrote it, which does not make it true. A
//! writer that believes a false entry stores nothing for the chunk, and nobody can restore it. The
//! header of the pack itself is the judge.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use super::adopt::read_header;
use super::session::{Pack, gather};
use super::{Repository, damaged, is_missing};
use crate::backend::BackendError;
use crate::base::{Error, ErrorKind, PackId, Result, SegmentId, SessionId};
use crate::format::segment::{Fence, SegmentEntry, SegmentFrame};
use crate::format::{DecodeError, ObjectName};
use crate::index::remembered::{decode_ids, encode_ids};
use crate::seal::segment;

/// Segments that a host remembers not to believe; 32 bytes each.
const DISTRUSTED_COUNT_MAX: usize = 4096;
/// Key of the local record of these.
pub const DISTRUSTED_KEY: &str = "distrusted segments";

/// What a pack says about itself, in the words of a segment.
type Truth = (Fence, Vec<SegmentEntry>);

/// What an entry says, in the words of one pack: frame, offset, length.
type Place = (u32, u32, u32);

/// Whether a segment tells the truth.
#[derive(Debug)]
pub enum Verdict {
    /// About every pack that could be asked, of which there is one at least.
    True,
    /// Not about these packs.
    False(Vec<PackId>),
    /// Neither it nor a pack could be asked.
    Unknown,
}

/// A verdict, and what it lacks.
pub struct Judged {
    /// By all that could be read.
    pub verdict: Verdict,
    /// Why the segment or a pack that is there could not be read.
    pub unread: Option<Error>,
}

/// Asks packs about segments, each pack once.
pub struct Judge<'a> {
    repository: &'a Repository,
    /// The packs that may be asked, with their lengths.
    lens: &'a HashMap<PackId, u64>,
    truths: Mutex<HashMap<PackId, Option<Truth>>>,
    remembers: bool,
}

impl<'a> Judge<'a> {
    /// One who remembers what packs said: for few packs, as all of it is kept in memory.
    pub fn of_few(repository: &'a Repository, lens: &'a HashMap<PackId, u64>) -> Self {
        Self { repository, lens, truths: Mutex::default(), remembers: true }
    }

    /// One for any number of packs.
    pub fn of_many(repository: &'a Repository, lens: &'a HashMap<PackId, u64>) -> Self {
        Self { remembers: false, ..Self::of_few(repository, lens) }
    }

    /// Compares a segment with the packs that it names.
    ///
    /// # Errors
    /// When the backend does not answer.
    pub fn judge(&self, name: &ObjectName, origin: (SessionId, u32)) -> Result<Judged> {
        let unknown = |unread| Judged { verdict: Verdict::Unknown, unread };
        let body = match self.repository.backend().get(name) {
            Ok(sealed) => segment::open(self.repository.keyring(), origin, sealed.bytes()),
            Err(error @ BackendError::Offline { .. }) => return Err(error.into()),
            Err(error) => return Ok(unknown((!is_missing(&error)).then(|| error.into()))),
        };
        let (fence, entries) = match body {
            Ok(opened) => opened,
            Err(error) => return Ok(unknown(Some(damaged(name, error)))),
        };
        let mut by_pack: HashMap<u32, Vec<&SegmentEntry>> = HashMap::new();
        for entry in &entries {
            by_pack.entry(entry.pack).or_default().push(entry);
        }
        let (mut liable, mut asked_count, mut unread) = (Vec::new(), 0, None);
        for (index, pack) in (0..).zip(&fence.packs) {
            let said = by_pack.get(&index).map(Vec::as_slice).unwrap_or_default();
            match self.ask(pack.id, |truth| agrees(&fence, said, index, truth)) {
                Err(error) if error.kind == ErrorKind::Offline => return Err(error),
                Err(error) => unread = Some(error),
                Ok(None) => {}
                Ok(Some(agrees)) => {
                    asked_count += 1;
                    if !agrees {
                        liable.push(pack.id);
                    }
                }
            }
        }
        let verdict = match (asked_count, liable.is_empty()) {
            (0, _) => Verdict::Unknown,
            (_, true) => Verdict::True,
            (_, false) => Verdict::False(liable),
        };
        Ok(Judged { verdict, unread })
    }

    /// Asks a pack; `None` when it is not among those that may be asked, or not there.
    fn ask<T>(&self, pack: PackId, question: impl Fn(&Truth) -> T) -> Result<Option<T>> {
        let Some(len) = self.lens.get(&pack).copied() else { return Ok(None) };
        if self.remembers
            && let Some(known) = self.truths().get(&pack)
        {
            return Ok(known.as_ref().map(question));
        }
        let (truth, unread) = match read_header(self.repository, pack, len) {
            Ok(header) => (Some(gather(std::iter::once(Pack { id: pack, len, header }))), None),
            Err(error) if error.kind == ErrorKind::Offline => return Err(error),
            Err(error) => (None, Some(error).filter(|e| e.kind != ErrorKind::NotFound)),
        };
        let answer = truth.as_ref().map(question);
        if self.remembers {
            self.truths().insert(pack, truth);
        }
        unread.map_or(Ok(answer), Err)
    }

    fn truths(&self) -> std::sync::MutexGuard<'_, HashMap<PackId, Option<Truth>>> {
        self.truths.lock().expect("no thread panics while it holds the lock")
    }
}

/// The error for a segment that says of packs what is not true.
pub fn false_segment(name: &ObjectName) -> Error {
    damaged(name, DecodeError::Inconsistent)
}

/// The record of segments not to believe.
pub fn distrusted_record(segments: &HashSet<SegmentId>) -> Vec<u8> {
    encode_ids(segments.iter().take(DISTRUSTED_COUNT_MAX))
}

/// What a record says; nothing where there is none.
pub fn distrusted_in(record: Option<Vec<u8>>) -> HashSet<SegmentId> {
    decode_ids(&record.unwrap_or_default()).collect()
}

/// Whether frames and entries of one pack are those of its header. A segment may say less: places
/// that no block has room for are left out.
fn agrees(
    fence: &Fence,
    entries: &[&SegmentEntry],
    index: u32,
    (true_fence, true_entries): &Truth,
) -> bool {
    let (pack, true_pack) = (&fence.packs[index as usize], &true_fence.packs[0]);
    let same_frames = pack.len == true_pack.len
        && pack.frames.len() == true_pack.frames.len()
        && pack.frames.iter().zip(&true_pack.frames).all(|(said, found)| {
            let sealed = |f: &SegmentFrame| (f.sealed_len, f.raw_len, f.codec, f.kind);
            let origin = &fence.origins[said.origin as usize];
            sealed(said) == sealed(found) && *origin == true_fence.origins[found.origin as usize]
        });
    let place = |entry: &SegmentEntry| -> Place { (entry.frame, entry.offset, entry.len) };
    let found: HashSet<_> = true_entries.iter().map(|entry| (entry.id, place(entry))).collect();
    same_frames && entries.iter().all(|entry| found.contains(&(entry.id, place(entry))))
}
