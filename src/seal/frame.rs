//! Frames: several chunks compressed and sealed as one, free to move between packs.

use std::cell::RefCell;
use std::sync::Arc;

use super::keys::{Keyring, SessionKey};
use super::{aead, compress, planes};
use crate::base::simulated::spoil;
use crate::base::{ChunkId, RepositoryId, random};
use crate::format::pack::{FrameChunk, FrameRecord, Origin, SALT_LEN, SEAL_LEN};
use crate::format::{Codec, DecodeError, FrameKind, RAW_LEN_MAX};

/// Context of a frame's key; fresh salt makes each key serve one message.
const CONTEXT: &str = "parados 2026-11-23 v1 frame";

/// Bytes that each thread keeps for the next frame that it checks, twice: those of a frame of weights, which
/// are longer than others.
pub(super) const SCRATCH_LEN_MAX: usize = (1 << 20) + 4096;

thread_local! {
    /// A frame as it is stored, and raw.
    static SCRATCH: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// A sealed frame on its way into a pack.
#[derive(Clone, Debug)]
pub struct SealedFrame {
    /// Salt, ciphertext, tag.
    pub bytes: Vec<u8>,
    /// What the pack's header will say; its origin index is set there.
    pub record: FrameRecord,
    /// The session that sealed it.
    pub origin: Arc<SessionKey>,
}

impl SealedFrame {
    /// Opens the frame as it is, and compares each of its chunks with its id: a bad memory cell must not
    /// write what nobody can read.
    ///
    /// # Errors
    /// Says where it went wrong.
    pub fn check(&self, keyring: &Keyring) -> Result<(), DecodeError> {
        let FrameRecord { kind, codec, raw_len, ref chunks, .. } = self.record;
        let shape = FrameShape { origin: &self.origin.origin, kind, codec, raw_len };
        check(keyring, &shape, &self.bytes, chunks)
    }
}

/// What must be known to open a frame.
#[derive(Clone, Copy, Debug)]
pub struct FrameShape<'a> {
    /// The session that sealed it.
    pub origin: &'a Origin,
    /// What it holds.
    pub kind: FrameKind,
    /// How it is compressed.
    pub codec: Codec,
    /// Length of its chunks together.
    pub raw_len: u32,
}

/// Compresses with `level` of zstd, or not without one, and seals `raw`, the concatenation of
/// `chunks`.
pub fn seal(
    repository: RepositoryId,
    session: &Arc<SessionKey>,
    kind: FrameKind,
    level: impl Into<Option<i32>>,
    raw: &[u8],
    chunks: Vec<FrameChunk>,
) -> SealedFrame {
    debug_assert_eq!(chunks.iter().map(|c| c.len as usize).sum::<usize>(), raw.len());
    assert!(raw.len() <= RAW_LEN_MAX, "a frame is limited");
    let mut bytes = Vec::with_capacity(raw.len() + SEAL_LEN + planes::HEAD_LEN_MAX);
    let salt: [u8; SALT_LEN] = random();
    bytes.extend_from_slice(&salt);
    let codec = compress::compress_frame_into(raw, level, &mut bytes);
    spoil(&mut bytes[SALT_LEN..]);
    let shape = FrameShape { origin: &session.origin, kind, codec, raw_len: raw.len() as u32 };
    let key = session.key.derive(CONTEXT, &[&salt]);
    let associated = associated(repository, &shape);
    aead::seal(session.origin.suite, &key, 0, &associated, &mut bytes, SALT_LEN);
    bytes.shrink_to_fit();
    let record = FrameRecord {
        sealed_len: bytes.len() as u32,
        raw_len: raw.len() as u32,
        codec,
        kind,
        origin: 0,
        chunks,
    };
    SealedFrame { bytes, record, origin: Arc::clone(session) }
}

/// Opens a frame into its raw bytes. Chunk ids are not checked yet: see [`verify`].
///
/// # Errors
/// Says what is wrong.
pub fn open(
    keyring: &Keyring,
    shape: &FrameShape<'_>,
    sealed: &[u8],
) -> Result<Vec<u8>, DecodeError> {
    let mut stored = Vec::new();
    let len = open_stored(keyring, shape, sealed, &mut stored)?.len();
    stored.truncate(len);
    compress::decompress(shape.codec, stored, shape.raw_len as usize)
}

/// Opens a frame and compares each of its chunks with its id; keeps nothing of it.
///
/// # Errors
/// Says where it went wrong.
pub fn check(
    keyring: &Keyring,
    shape: &FrameShape<'_>,
    sealed: &[u8],
    chunks: &[FrameChunk],
) -> Result<(), DecodeError> {
    SCRATCH.with_borrow_mut(|(stored, raw)| {
        let checked = check_with(keyring, shape, sealed, chunks, (&mut *stored, &mut *raw));
        for buffer in [stored, raw] {
            // One large frame must not cost each thread its length for ever.
            if buffer.len() > SCRATCH_LEN_MAX {
                *buffer = Vec::new();
            }
        }
        checked
    })
}

fn check_with(
    keyring: &Keyring,
    shape: &FrameShape<'_>,
    sealed: &[u8],
    chunks: &[FrameChunk],
    (stored, raw): (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<(), DecodeError> {
    let opened = open_stored(keyring, shape, sealed, stored)?;
    let raw_len = shape.raw_len as usize;
    let mut rest = compress::decompress_into(shape.codec, opened, raw_len, raw)?;
    for chunk in chunks {
        let split = rest.split_at_checked(chunk.len as usize);
        let (own, tail) = split.ok_or(DecodeError::Inconsistent)?;
        verify(keyring, shape.kind, &chunk.id, own)?;
        rest = tail;
    }
    Ok(())
}

/// Decrypts a frame, which may be compressed.
fn open_stored<'b>(
    keyring: &Keyring,
    shape: &FrameShape<'_>,
    sealed: &[u8],
    buffer: &'b mut Vec<u8>,
) -> Result<&'b [u8], DecodeError> {
    if shape.raw_len as usize > RAW_LEN_MAX {
        return Err(DecodeError::Limit);
    }
    let session = keyring.session(shape.origin)?;
    let (salt, body) = sealed.split_first_chunk::<SALT_LEN>().ok_or(DecodeError::Truncated)?;
    let key = session.key.derive(CONTEXT, &[salt]);
    let associated = associated(keyring.repository(), shape);
    aead::open_into(session.origin.suite, &key, 0, &associated, body, buffer)
}

/// Checks that `raw` is the chunk that `id` names.
///
/// # Errors
/// [`DecodeError::Id`].
pub fn verify(
    keyring: &Keyring,
    kind: FrameKind,
    id: &ChunkId,
    raw: &[u8],
) -> Result<(), DecodeError> {
    if keyring.chunk_id(kind, raw) == *id { Ok(()) } else { Err(DecodeError::Id) }
}

/// What a frame means, without where it lies: prune may move it unopened.
fn associated(repository: RepositoryId, shape: &FrameShape<'_>) -> [u8; 75] {
    let mut bytes = [0; 75];
    bytes[0..32].copy_from_slice(repository.as_bytes());
    bytes[32] = shape.origin.suite as u8;
    bytes[33..37].copy_from_slice(&shape.origin.epoch.to_le_bytes());
    bytes[37..69].copy_from_slice(shape.origin.session.as_bytes());
    bytes[69] = shape.kind as u8;
    bytes[70] = shape.codec as u8;
    bytes[71..75].copy_from_slice(&shape.raw_len.to_le_bytes());
    bytes
}
