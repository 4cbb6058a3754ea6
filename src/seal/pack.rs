//! Packs: sealed frames gathered into one object of the common length.

use std::sync::Arc;

use super::frame::SealedFrame;
use super::keys::{Keyring, SessionKey};
use super::{Sealed, aead};
use crate::base::size::padme;
use crate::base::{PackId, random};
use crate::format::DecodeError;
use crate::format::pack::{
    Header, Origin, PREFIX_LEN, Prefix, SALT_LEN, SEAL_LEN, TRAILER_LEN, Trailer,
};

const HEADER_CONTEXT: &str = "parados 2026-11-23 v1 pack header";
const TRAILER_CONTEXT: &str = "parados 2026-11-23 v1 pack trailer";
/// Most bytes that an origin takes in a header.
const ORIGIN_COST: usize = 128;
/// Most bytes that a frame takes in a header, without its chunks.
const FRAME_COST: usize = 32;
/// Most bytes that a chunk takes in a header.
const CHUNK_COST: usize = 40;

/// A pack that is being filled.
#[derive(Debug)]
pub struct PackBuilder {
    session: Arc<SessionKey>,
    bytes: Vec<u8>,
    header: Header,
    header_cost: usize,
    pack_len: usize,
}

/// A pack that is ready to be stored.
#[derive(Debug)]
pub struct FinishedPack {
    /// Its name.
    pub id: PackId,
    /// Its bytes.
    pub sealed: Sealed,
    /// What it holds.
    pub header: Header,
}

impl PackBuilder {
    /// An empty pack of `session`, to be `pack_len` bytes long when full.
    pub fn new(session: Arc<SessionKey>, pack_len: u32) -> Self {
        let pack_len = pack_len as usize;
        let mut bytes = Vec::with_capacity(pack_len);
        bytes.extend_from_slice(&Prefix(session.origin.clone()).encode());
        Self { session, bytes, header: Header::default(), header_cost: ORIGIN_COST, pack_len }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.header.frames.is_empty()
    }

    /// Bytes that its frames take.
    pub fn frame_bytes(&self) -> usize {
        self.bytes.len() - PREFIX_LEN
    }

    /// Whether `frame` can be added without making the pack longer than it should be. An empty
    /// pack takes any frame, and grows where it must.
    pub fn fits(&self, frame: &SealedFrame) -> bool {
        let cost = ORIGIN_COST + FRAME_COST + CHUNK_COST * frame.record.chunks.len();
        let total =
            self.bytes.len() + frame.bytes.len() + self.header_cost + cost + SEAL_LEN + TRAILER_LEN;
        self.is_empty() || total <= self.pack_len
    }

    /// Adds a frame.
    pub fn push(&mut self, frame: SealedFrame) {
        let mut record = frame.record;
        let origins = &mut self.header.origins;
        let origin = origins.iter().position(|known| *known == frame.origin.origin);
        record.origin = origin.unwrap_or_else(|| {
            origins.push(frame.origin.origin.clone());
            self.header_cost += ORIGIN_COST;
            origins.len() - 1
        }) as u32;
        self.header_cost += FRAME_COST + CHUNK_COST * record.chunks.len();
        self.bytes.extend_from_slice(&frame.bytes);
        self.header.frames.push(record);
    }

    /// Takes frames of another pack of the same session as long as they fit; gives back what is
    /// left of it.
    pub fn absorb(&mut self, other: Self) -> Option<Self> {
        let mut rest: Option<Self> = None;
        let mut offset = PREFIX_LEN;
        for record in other.header.frames {
            let end = offset + record.sealed_len as usize;
            let bytes = other.bytes[offset..end].to_vec();
            let frame = SealedFrame { bytes, record, origin: Arc::clone(&other.session) };
            match &mut rest {
                None if self.fits(&frame) => self.push(frame),
                Some(builder) => builder.push(frame),
                None => {
                    let mut builder = Self::new(Arc::clone(&other.session), other.pack_len as u32);
                    builder.push(frame);
                    rest = Some(builder);
                }
            }
            offset = end;
        }
        rest
    }

    /// Pads, closes and names the pack: at its common length when it is `full`, at a Padmé length
    /// when it is what was left at the end of a session.
    pub fn finish(mut self, full: bool) -> FinishedPack {
        let frames_end = self.bytes.len();
        let header = self.header.encode();
        let sealed_header_len = header.len() + SEAL_LEN;
        let least = frames_end + sealed_header_len + TRAILER_LEN;
        let total = if least > self.pack_len {
            padme(least as u64) as usize
        } else if full {
            self.pack_len
        } else {
            (padme(least as u64) as usize).min(self.pack_len)
        };
        self.bytes.reserve_exact(total - frames_end);
        // The padding looks like the frames around it.
        let padding_end = total - sealed_header_len - TRAILER_LEN;
        self.bytes.resize(padding_end, 0);
        let seed: [u8; 32] = random();
        let mut stream = blake3::Hasher::new_keyed(&seed).finalize_xof();
        stream.fill(&mut self.bytes[frames_end..]);
        self.append_sealed(HEADER_CONTEXT, &header);
        let trailer = Trailer {
            pack_len: total as u64,
            frames_end: frames_end as u64,
            header_len: sealed_header_len as u64,
        };
        self.append_sealed(TRAILER_CONTEXT, &trailer.encode());
        assert_eq!(self.bytes.len(), total, "the parts of a pack fill it");
        let id = PackId::new(*blake3::hash(&self.bytes).as_bytes());
        FinishedPack { id, sealed: Sealed::new(self.bytes), header: self.header }
    }

    fn append_sealed(&mut self, context: &str, raw: &[u8]) {
        let salt: [u8; SALT_LEN] = random();
        let key = self.session.key.derive(context, &[&salt]);
        let associated: [u8; PREFIX_LEN] = self.bytes[..PREFIX_LEN].try_into().expect("it is full");
        self.bytes.extend_from_slice(&salt);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(raw);
        aead::seal(self.session.origin.suite, &key, 0, &associated, &mut self.bytes, start);
    }
}

impl FinishedPack {
    /// The same pack of `session` under another name: its end is sealed once more.
    pub fn renamed(self, session: &Arc<SessionKey>) -> Self {
        let total = self.sealed.len() as usize;
        let frames = self.header.frames.iter().map(|frame| frame.sealed_len as usize);
        let trailer = Trailer {
            pack_len: total as u64,
            frames_end: (PREFIX_LEN + frames.sum::<usize>()) as u64,
            header_len: (self.header.encode().len() + SEAL_LEN) as u64,
        };
        let mut bytes = Vec::with_capacity(total);
        bytes.extend_from_slice(&self.sealed.bytes()[..total - TRAILER_LEN]);
        let header = self.header;
        let mut builder = PackBuilder {
            session: Arc::clone(session),
            bytes,
            header: Header::default(),
            header_cost: 0,
            pack_len: total,
        };
        builder.append_sealed(TRAILER_CONTEXT, &trailer.encode());
        let id = PackId::new(*blake3::hash(&builder.bytes).as_bytes());
        Self { id, sealed: Sealed::new(builder.bytes), header }
    }
}

/// Opens what ends a pack of `pack_len` bytes.
#[derive(Debug)]
pub struct PackOpener {
    session: Arc<SessionKey>,
    prefix: [u8; PREFIX_LEN],
    pack_len: u64,
}

impl PackOpener {
    /// Starts with the first 128 bytes.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn new(keyring: &Keyring, prefix: &[u8], pack_len: u64) -> Result<Self, DecodeError> {
        let bytes = *prefix.first_chunk::<PREFIX_LEN>().ok_or(DecodeError::Truncated)?;
        let Prefix(origin) = Prefix::decode(&bytes)?;
        Ok(Self { session: keyring.session(&origin)?, prefix: bytes, pack_len })
    }

    /// The session that wrote the pack.
    pub fn origin(&self) -> &Origin {
        &self.session.origin
    }

    /// Opens the last 64 bytes.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn trailer(&self, sealed: &[u8]) -> Result<Trailer, DecodeError> {
        Trailer::decode(&self.open(TRAILER_CONTEXT, sealed)?, self.pack_len)
    }

    /// Opens the header, the bytes before the trailer.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn header(&self, trailer: &Trailer, sealed: &[u8]) -> Result<Header, DecodeError> {
        Header::decode(&self.open(HEADER_CONTEXT, sealed)?, trailer.frames_end)
    }

    fn open(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let (salt, body) = sealed.split_first_chunk::<SALT_LEN>().ok_or(DecodeError::Truncated)?;
        let key = self.session.key.derive(context, &[salt]);
        aead::open(self.session.origin.suite, &key, 0, &self.prefix, body)
    }
}

/// Reads the header of a whole pack.
///
/// # Errors
/// Says what is wrong.
pub fn open_header(keyring: &Keyring, pack: &[u8]) -> Result<Header, DecodeError> {
    let opener = PackOpener::new(keyring, pack, pack.len() as u64)?;
    let trailer_start = pack.len().checked_sub(TRAILER_LEN).ok_or(DecodeError::Truncated)?;
    let trailer = opener.trailer(&pack[trailer_start..])?;
    let header_start = trailer_start - trailer.header_len as usize;
    opener.header(&trailer, &pack[header_start..trailer_start])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{RepositoryId, SessionId};
    use crate::format::pack::FrameChunk;
    use crate::format::{FrameKind, Suite};
    use crate::seal::frame::{self, FrameShape};
    use crate::seal::keys::Roots;

    fn frame_of(keyring: &Keyring, session: &Arc<SessionKey>, raw: &[u8]) -> SealedFrame {
        let id = keyring.chunk_id(FrameKind::Data, raw);
        let chunk = FrameChunk { id, len: raw.len() as u32 };
        frame::seal(keyring.repository(), session, FrameKind::Data, 1, raw, vec![chunk])
    }

    #[test]
    fn full_packs_are_equally_long_and_open_again() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        for suite in [Suite::ChaCha20Poly1305, Suite::Aes256Gcm] {
            let session =
                keyring.new_session(SessionId::random(), suite, 0).expect("epoch 0 exists");
            let mut builder = PackBuilder::new(Arc::clone(&session), 65_536);
            let mut raws = Vec::new();
            for n in 0.. {
                let mut raw = vec![0; 5000 + n];
                blake3::Hasher::new().update(&[n as u8]).finalize_xof().fill(&mut raw);
                let frame = frame_of(&keyring, &session, &raw);
                if !builder.fits(&frame) {
                    break;
                }
                builder.push(frame);
                raws.push(raw);
            }
            let pack = builder.finish(true);
            assert_eq!(pack.sealed.len(), 65_536);
            let header = open_header(&keyring, pack.sealed.bytes()).expect("it opens");
            assert_eq!(header, pack.header);
            let mut offset = PREFIX_LEN;
            for (record, raw) in header.frames.iter().zip(&raws) {
                let shape = FrameShape {
                    origin: &header.origins[record.origin as usize],
                    kind: record.kind,
                    codec: record.codec,
                    raw_len: record.raw_len,
                };
                let end = offset + record.sealed_len as usize;
                let sealed = &pack.sealed.bytes()[offset..end];
                assert_eq!(frame::open(&keyring, &shape, sealed).as_ref(), Ok(raw));
                let longer = FrameShape { raw_len: shape.raw_len + 1, ..shape };
                assert_eq!(frame::open(&keyring, &longer, sealed), Err(DecodeError::Forged));
                offset = end;
            }
        }
    }

    #[test]
    fn a_frame_longer_than_a_pack_makes_a_longer_pack() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        let session = keyring
            .new_session(SessionId::random(), Suite::ChaCha20Poly1305, 0)
            .expect("epoch 0 exists");
        let mut raw = vec![0; 100_000];
        blake3::Hasher::new().finalize_xof().fill(&mut raw);
        let mut builder = PackBuilder::new(Arc::clone(&session), 65_536);
        let frame = frame_of(&keyring, &session, &raw);
        assert!(builder.fits(&frame));
        builder.push(frame);
        let pack = builder.finish(true);
        assert!(pack.sealed.len() > 100_000);
        assert!(open_header(&keyring, pack.sealed.bytes()).is_ok());
    }
}
