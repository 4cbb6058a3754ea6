//! Index segments: blocks of entries sealed one by one, so that one can be read alone.

use super::keys::{Key, Keyring};
use super::object::associated;
use super::{Sealed, aead, compress};
use crate::base::id::ID_LEN;
use crate::base::{SegmentId, SessionId, random};
use crate::format::envelope::{self, HEADER_LEN, Header, INNER_LEN, TAG_LEN};
use crate::format::segment::{
    self, BLOCK_COUNT, BlockRecord, Fence, SegmentEntry, TRAILER_LEN, Trailer,
};
use crate::format::{DecodeError, ObjectKind, Suite};

/// Number of the fence among the messages under a segment's key; blocks count from 0.
const FENCE_NUMBER: u64 = u64::MAX - 1;
/// Number of the trailer.
const TRAILER_NUMBER: u64 = u64::MAX;
/// Level for blocks and fence; ids do not compress, the rest does.
const LEVEL: i32 = 3;

/// Seals `entries`, which must be sorted, with everything else that `fence` says. Blocks and
/// filter of the fence are made here.
///
/// # Panics
/// When the entries are not sorted, or the keyring has no root key of `epoch`.
pub fn seal(
    keyring: &Keyring,
    suite: Suite,
    epoch: u32,
    (session, sequence): (SessionId, u32),
    mut fence: Fence,
    entries: &[SegmentEntry],
) -> (SegmentId, Sealed, Fence) {
    assert!(entries.windows(2).all(|pair| pair[0] < pair[1]), "entries are sorted");
    let entries = &bounded(entries);
    let header = Header { kind: ObjectKind::Index, suite, epoch, salt: random() };
    let sealer = Sealer::new(keyring, header, session, sequence)
        .expect("a writer seals with an epoch it has");
    let mut bytes = sealer.header.encode().to_vec();
    fence.blocks.clear();
    // A block ends after 4,096 entries, but never between two places of one chunk.
    let mut rest = &entries[..];
    while !rest.is_empty() {
        let mut end = rest.len().min(BLOCK_COUNT);
        while end < rest.len() && end > 1 && rest[end].id == rest[end - 1].id {
            end -= 1;
        }
        let (block, tail) = rest.split_at(end);
        let start = bytes.len();
        let raw = segment::encode_block(block);
        let mut stored = Vec::new();
        let codec = compress::compress_into(&raw, LEVEL, &mut stored);
        bytes.extend(envelope::lay_out(&stored, raw.len(), codec, INNER_LEN + stored.len()));
        sealer.seal(fence.blocks.len() as u64, &mut bytes, start);
        let sealed_len = (bytes.len() - start) as u32;
        fence.blocks.push(BlockRecord {
            first: block[0].id,
            sealed_len,
            count: block.len() as u32,
        });
        rest = tail;
    }
    fence.filter = segment::build_filter(entries.len(), entries.iter().map(|e| &e.id));
    let fence_offset = bytes.len();
    let raw = fence.encode();
    let mut stored = Vec::new();
    let codec = compress::compress_into(&raw, LEVEL, &mut stored);
    let overhead = fence_offset + TAG_LEN + TRAILER_LEN;
    bytes.extend(envelope::pad(&stored, raw.len(), codec, overhead));
    sealer.seal(FENCE_NUMBER, &mut bytes, fence_offset);
    let trailer_offset = bytes.len();
    let trailer = Trailer {
        total_len: (trailer_offset + TRAILER_LEN) as u64,
        fence_offset: fence_offset as u64,
        fence_len: (trailer_offset - fence_offset) as u64,
    };
    bytes.extend_from_slice(&trailer.encode());
    sealer.seal(TRAILER_NUMBER, &mut bytes, trailer_offset);
    let id = SegmentId::new(*blake3::hash(&bytes).as_bytes());
    (id, Sealed::new(bytes), fence)
}

/// All places of a chunk share a block, so those that no block has room for are left out.
fn bounded(entries: &[SegmentEntry]) -> Vec<SegmentEntry> {
    let mut last = None;
    let mut count = 0;
    let mut kept = entries.to_vec();
    kept.retain(|entry| {
        count = if last == Some(entry.id) { count + 1 } else { 1 };
        last = Some(entry.id);
        count <= BLOCK_COUNT
    });
    kept
}

struct Sealer {
    header: Header,
    key: Key,
    associated: Vec<u8>,
}

impl Sealer {
    fn new(
        keyring: &Keyring,
        header: Header,
        session: SessionId,
        sequence: u32,
    ) -> Result<Self, DecodeError> {
        let key = keyring.object_key(header.kind, header.epoch, &header.salt)?;
        // The full name holds the hash of the object, which is not known yet.
        let name = format!("index/{session}-{sequence}");
        let associated = associated(keyring, &header, &name);
        Ok(Self { header, key, associated })
    }

    fn seal(&self, number: u64, bytes: &mut Vec<u8>, start: usize) {
        aead::seal(self.header.suite, &self.key, number, &self.associated, bytes, start);
    }

    fn open(&self, number: u64, sealed: &[u8]) -> Result<Vec<u8>, DecodeError> {
        aead::open(self.header.suite, &self.key, number, &self.associated, sealed)
    }
}

/// Opens the parts of a segment one by one.
pub struct SegmentOpener {
    sealer: Sealer,
    total_len: u64,
}

impl SegmentOpener {
    /// Starts with the first 48 bytes of a segment of `total_len` bytes.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn new(
        keyring: &Keyring,
        (session, sequence): (SessionId, u32),
        head: &[u8],
        total_len: u64,
    ) -> Result<Self, DecodeError> {
        let header = Header::decode(head)?;
        if header.kind != ObjectKind::Index {
            return Err(DecodeError::Magic);
        }
        Ok(Self { sealer: Sealer::new(keyring, header, session, sequence)?, total_len })
    }

    /// Opens the last 40 bytes.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn trailer(&self, sealed: &[u8]) -> Result<Trailer, DecodeError> {
        Trailer::decode(&self.sealer.open(TRAILER_NUMBER, sealed)?, self.total_len)
    }

    /// Opens the fence, the bytes before the trailer.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn fence(&self, trailer: &Trailer, sealed: &[u8]) -> Result<Fence, DecodeError> {
        let fence = Fence::decode(&self.body(FENCE_NUMBER, sealed)?)?;
        let blocks: u64 = fence.blocks.iter().map(|b| u64::from(b.sealed_len)).sum();
        if HEADER_LEN as u64 + blocks != trailer.fence_offset {
            return Err(DecodeError::Inconsistent);
        }
        Ok(fence)
    }

    /// Opens block `index`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn block(
        &self,
        fence: &Fence,
        index: usize,
        sealed: &[u8],
    ) -> Result<Vec<SegmentEntry>, DecodeError> {
        let record = fence.blocks.get(index).ok_or(DecodeError::Limit)?;
        segment::decode_block(&self.body(index as u64, sealed)?, record, fence)
    }

    fn body(&self, number: u64, sealed: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let inner = self.sealer.open(number, sealed)?;
        let (codec, raw_len, stored) = envelope::unpad(&inner)?;
        compress::decompress(codec, stored.to_vec(), raw_len)
    }
}

/// Opens a whole segment.
///
/// # Errors
/// Says what is wrong.
pub fn open(
    keyring: &Keyring,
    name: (SessionId, u32),
    bytes: &[u8],
) -> Result<(Fence, Vec<SegmentEntry>), DecodeError> {
    let opener = SegmentOpener::new(keyring, name, bytes, bytes.len() as u64)?;
    let trailer_start = bytes.len().checked_sub(TRAILER_LEN).ok_or(DecodeError::Truncated)?;
    let trailer = opener.trailer(&bytes[trailer_start..])?;
    let fence_start = trailer.fence_offset as usize;
    let fence = opener.fence(&trailer, &bytes[fence_start..trailer_start])?;
    // Ids do not compress: no honest segment has more entries than it has room for their ids.
    let room = bytes.len() / ID_LEN;
    let mut entries: Vec<SegmentEntry> = Vec::with_capacity(fence.entry_count().min(room));
    let mut start = HEADER_LEN;
    for (index, record) in fence.blocks.iter().enumerate() {
        let end = start + record.sealed_len as usize;
        let block = opener.block(&fence, index, &bytes[start..end])?;
        if entries.last().is_some_and(|last| *last >= block[0]) {
            return Err(DecodeError::Inconsistent);
        }
        entries.extend(block);
        start = end;
    }
    Ok((fence, entries))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ChunkId, PackId, RepositoryId};
    use crate::format::pack::SEAL_LEN;
    use crate::format::segment::{SegmentFrame, SegmentPack};
    use crate::format::{Codec, FrameKind};
    use crate::seal::keys::Roots;

    #[test]
    fn a_chunk_in_thousands_of_places_does_not_spoil_the_segment() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        let session = SessionId::random();
        let key = keyring.new_session(session, Suite::Aes256Gcm, 0).expect("epoch 0 exists");
        let entries: Vec<_> = (0..5000)
            .map(|frame| SegmentEntry {
                id: ChunkId::new([1; 32]),
                pack: 0,
                frame,
                offset: 0,
                len: 7,
            })
            .collect();
        let frame = SegmentFrame {
            sealed_len: 7 + SEAL_LEN as u32,
            raw_len: 7,
            codec: Codec::Stored,
            kind: FrameKind::Data,
            origin: 0,
        };
        let pack =
            SegmentPack { id: PackId::new([2; 32]), len: 1 << 20, frames: vec![frame; 5000] };
        let fence =
            Fence { origins: vec![key.origin.clone()], packs: vec![pack], ..Fence::default() };
        let (_, sealed, _) = seal(&keyring, Suite::Aes256Gcm, 0, (session, 0), fence, &entries);
        let (_, found) = open(&keyring, (session, 0), sealed.bytes()).expect("it opens");
        assert_eq!(found.len(), BLOCK_COUNT);
    }

    #[test]
    fn a_segment_opens_as_a_whole_or_block_by_block() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        let session = SessionId::random();
        let origin = keyring
            .new_session(session, Suite::Aes256Gcm, 0)
            .expect("epoch 0 exists")
            .origin
            .clone();
        let mut entries: Vec<_> = (0..10_000u32)
            .map(|n| SegmentEntry {
                id: ChunkId::new(*blake3::hash(&n.to_le_bytes()).as_bytes()),
                pack: 0,
                frame: n % 10,
                offset: 5,
                len: 7,
            })
            .collect();
        entries.sort();
        let frame = SegmentFrame {
            sealed_len: 12 + SEAL_LEN as u32,
            raw_len: 12,
            codec: Codec::Stored,
            kind: FrameKind::Data,
            origin: 0,
        };
        let fence = Fence {
            origins: vec![origin],
            packs: vec![SegmentPack {
                id: PackId::new([2; 32]),
                len: 1000,
                frames: vec![frame; 10],
            }],
            ..Fence::default()
        };
        let (_, sealed, fence) = seal(&keyring, Suite::Aes256Gcm, 0, (session, 3), fence, &entries);
        let bytes = sealed.bytes();
        assert_eq!(crate::base::size::padme(sealed.len()), sealed.len());
        let (opened, found) = open(&keyring, (session, 3), bytes).expect("it opens");
        assert_eq!((&opened, &found), (&fence, &entries));
        assert!(open(&keyring, (session, 4), bytes).is_err());

        let id = entries[7777].id;
        assert!(opened.may_contain(&id));
        let block = opened.block_of(&id).expect("it is in a block");
        let start = HEADER_LEN
            + opened.blocks[..block].iter().map(|b| b.sealed_len as usize).sum::<usize>();
        let end = start + opened.blocks[block].sealed_len as usize;
        let opener = SegmentOpener::new(&keyring, (session, 3), bytes, sealed.len()).expect("ok");
        let found = opener.block(&opened, block, &bytes[start..end]).expect("the block opens");
        assert!(found.iter().any(|entry| entry.id == id));
        let wrong = (0..1000u32)
            .filter(|n| {
                let id = ChunkId::new(*blake3::hash(&(n + 1_000_000).to_le_bytes()).as_bytes());
                opened.may_contain(&id)
            })
            .count();
        assert!(wrong < 30, "{wrong} of 1000 absent ids pass the filter");
    }
}
