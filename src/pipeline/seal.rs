//! Turns chunks into sealed frames: hash, dedup, group, compress, seal.

use std::sync::{Arc, Mutex, RwLock};

use crossbeam_channel::Sender;

use super::backup::ending;
use super::dedup::Dedup;
use super::failure::Failure;
use super::flow::{FrameMessage, Pieces};
use crate::base::{ChunkId, Error, ErrorKind, Progress, Result};
use crate::format::list::Piece;
use crate::format::pack::FrameChunk;
use crate::format::snapshot::Snapshot;
use crate::format::{DecodeError, FrameKind};
use crate::seal::frame;
use crate::seal::keys::{Keyring, SessionKey};

/// Raw length that frames aim at, in bytes: small files compress together, and a reader that
/// wants one chunk opens little more than it needs.
pub const FRAME_LEN_TARGET: usize = 256 << 10;
/// zstd level for tree nodes and list pages: few bytes that are kept and read often.
const METADATA_LEVEL: i32 = 3;

/// Why a lock is never poisoned.
const UNPOISONED: &str = "no thread panics while it holds the lock";

/// Seals for one session. Shared by all workers.
pub struct Sealer<'a> {
    keyring: &'a Keyring,
    session: &'a Arc<SessionKey>,
    dedup: &'a Dedup<'a>,
    progress: &'a Progress,
    failure: &'a Failure,
    frames: Sender<FrameMessage>,
    level: Option<i32>,
    /// Whether each frame is opened again before it goes on.
    checks: bool,
    metadata: Mutex<OpenFrame>,
    /// Held by many from the promise to store chunks until they are on their way.
    promising: RwLock<()>,
}

#[derive(Default)]
struct OpenFrame {
    raw: Vec<u8>,
    chunks: Vec<FrameChunk>,
}

impl<'a> Sealer<'a> {
    /// A sealer that sends its frames to `frames`.
    pub fn new(
        keyring: &'a Keyring,
        session: &'a Arc<SessionKey>,
        dedup: &'a Dedup<'a>,
        progress: &'a Progress,
        failure: &'a Failure,
        frames: Sender<FrameMessage>,
        level: Option<i32>,
    ) -> Self {
        Self {
            keyring,
            session,
            dedup,
            progress,
            failure,
            frames,
            level,
            checks: true,
            metadata: Mutex::default(),
            promising: RwLock::default(),
        }
    }

    /// The same, which sends frames on as they are if `checks` is not set.
    #[must_use]
    pub fn checking(self, checks: bool) -> Self {
        Self { checks, ..self }
    }

    /// Seals what is new of several files, and says for each which chunks it consists of.
    ///
    /// # Errors
    /// When the index fails or the run is ending.
    pub fn data(&self, files: &[Pieces]) -> Result<Vec<Vec<Piece>>> {
        let slices = || files.iter().flat_map(|f| f.cuts.iter().map(|cut| &f.raw[cut.clone()]));
        let ids: Vec<ChunkId> =
            slices().map(|raw| self.keyring.chunk_id(FrameKind::Data, raw)).collect();
        let promising = self.promising.read().expect(UNPOISONED);
        let fresh = self.dedup.claim(&ids)?;
        let new: Vec<(ChunkId, &[u8])> = ids
            .iter()
            .zip(slices())
            .zip(&fresh)
            .filter(|(_, fresh)| **fresh)
            .map(|((id, raw), _)| (*id, raw))
            .collect();
        self.frames_of(&new)?;
        drop(promising);
        let mut next = ids.into_iter();
        Ok(files
            .iter()
            .map(|file| {
                let ids = next.by_ref().take(file.cuts.len());
                ids.zip(&file.cuts).map(|(id, cut)| Piece { id, len: cut.len() as u64 }).collect()
            })
            .collect())
    }

    /// Stores a tree node or list page unless it is known.
    ///
    /// # Errors
    /// When the index fails or the run is ending.
    pub fn metadata(&self, raw: Vec<u8>) -> Result<ChunkId> {
        let id = self.keyring.chunk_id(FrameKind::Metadata, &raw);
        let _promising = self.promising.read().expect(UNPOISONED);
        if !self.dedup.claim(&[id])?[0] {
            return Ok(id);
        }
        self.progress.new_metadata_chunks.add(1);
        self.progress.new_metadata_bytes.add(raw.len() as u64);
        let full = {
            let mut open = self.metadata.lock().expect(UNPOISONED);
            let fits = open.raw.len() + raw.len() <= crate::format::RAW_LEN_MAX;
            let before = if fits { None } else { Some(std::mem::take(&mut *open)) };
            open.chunks.push(FrameChunk { id, len: raw.len() as u32 });
            open.raw.extend_from_slice(&raw);
            let after = open.raw.len() >= FRAME_LEN_TARGET;
            [before, after.then(|| std::mem::take(&mut *open))]
        };
        for frame in full.into_iter().flatten() {
            self.seal_metadata(frame)?;
        }
        Ok(id)
    }

    /// Seals the metadata that is waiting for more, and says that no more frames will come. That is
    /// said in any case: the pack stage waits for it.
    ///
    /// # Errors
    /// When the run is ending.
    pub fn finish(&self) -> Result<()> {
        let sealed = self.seal_open();
        let told = self.frames.send(FrameMessage::End).map_err(|_| ending());
        sealed.and(told)
    }

    /// Sends what is captured so far behind all that it needs: what anybody has promised is sealed first.
    ///
    /// # Errors
    /// When the run is ending.
    pub fn so_far(&self, snapshot: Box<Snapshot>) -> Result<()> {
        let _nobody_promises = self.promising.write().expect(UNPOISONED);
        self.seal_open()?;
        self.send(FrameMessage::SoFar(snapshot))
    }

    /// Seals the metadata that is waiting for more.
    fn seal_open(&self) -> Result<()> {
        let open = std::mem::take(&mut *self.metadata.lock().expect(UNPOISONED));
        if open.chunks.is_empty() { Ok(()) } else { self.seal_metadata(open) }
    }

    fn seal_metadata(&self, frame: OpenFrame) -> Result<()> {
        self.seal(FrameKind::Metadata, Some(METADATA_LEVEL), &frame.raw, frame.chunks)
    }

    /// Groups neighbors into frames of about the same length, none much above the target but where
    /// one chunk alone is longer.
    fn frames_of(&self, new: &[(ChunkId, &[u8])]) -> Result<()> {
        let total: usize = new.iter().map(|(_, raw)| raw.len()).sum();
        self.progress.new_data_chunks.add(new.len() as u64);
        self.progress.new_data_bytes.add(total as u64);
        let frame_count = total.div_ceil(FRAME_LEN_TARGET).max(1);
        let frame_len = total.div_ceil(frame_count);
        let mut rest = new;
        let mut joined = Vec::new();
        while !rest.is_empty() {
            let mut len = 0;
            let count = rest
                .iter()
                .take(crate::format::pack::FRAME_CHUNK_COUNT_MAX)
                .take_while(|(_, raw)| {
                    let wanted = len == 0 || len + raw.len() / 2 <= frame_len;
                    len += raw.len();
                    wanted
                })
                .count();
            let (group, tail) = rest.split_at(count);
            let chunks =
                group.iter().map(|(id, raw)| FrameChunk { id: *id, len: raw.len() as u32 });
            let chunks = chunks.collect();
            match contiguous(group) {
                Some(raw) => self.seal(FrameKind::Data, self.level, raw, chunks)?,
                None => {
                    joined.clear();
                    group.iter().for_each(|(_, raw)| joined.extend_from_slice(raw));
                    self.seal(FrameKind::Data, self.level, &joined, chunks)?;
                }
            }
            rest = tail;
        }
        Ok(())
    }

    fn seal(
        &self,
        kind: FrameKind,
        level: Option<i32>,
        raw: &[u8],
        chunks: Vec<FrameChunk>,
    ) -> Result<()> {
        let repository = self.keyring.repository();
        let frame = frame::seal(repository, self.session, kind, level, raw, chunks);
        if self.checks {
            frame.check(self.keyring).map_err(bad_memory)?;
        }
        self.send(FrameMessage::Frame(frame))
    }

    fn send(&self, message: FrameMessage) -> Result<()> {
        if self.failure.is_raised() {
            return Err(ending());
        }
        self.frames.send(message).map_err(|_| ending())
    }
}

/// The error for a frame that was sealed just now and cannot be opened.
pub fn bad_memory(error: DecodeError) -> Error {
    let message = "what was read is not what was sealed: this machine computes wrongly";
    Error::new(ErrorKind::Damaged, message).because(error).hint(
        "Test the memory of this machine, for example with memtest86+. What this run has stored before may \
         be bad as well: run `parados check --read-data` before the next backup.",
    )
}

/// The one slice that a group of neighbors covers, if they lie side by side in one buffer.
fn contiguous<'r>(group: &[(ChunkId, &'r [u8])]) -> Option<&'r [u8]> {
    match group {
        [(_, raw)] => Some(raw),
        _ => None,
    }
}
