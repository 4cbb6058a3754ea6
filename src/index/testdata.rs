//! Made-up segments for the tests of this folder.

use proptest::prelude::*;

use super::{Index, Segment};
use crate::base::{ChunkId, PackId, SegmentId, SessionId};
use crate::format::pack::{Origin, SEAL_LEN, WRAP_DERIVED};
use crate::format::segment::{Fence, SegmentEntry, SegmentFrame, SegmentPack};
use crate::format::{Codec, FrameKind, Suite};

/// Frames of every pack here.
pub(super) const FRAME_COUNT: u32 = 3;
/// Raw length of every chunk here.
pub(super) const CHUNK_LEN: u32 = 100;

/// Thirty-two bytes that depend on both numbers alone.
fn hash(kind: u64, number: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&kind.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    *hasher.finalize().as_bytes()
}

pub(super) fn chunk(number: u64) -> ChunkId {
    ChunkId::new(hash(0, number))
}

pub(super) fn pack(number: u64) -> PackId {
    PackId::new(hash(1, number))
}

pub(super) fn segment_id(number: u64) -> SegmentId {
    SegmentId::new(hash(2, number))
}

/// Length of a pack; all here have the same.
pub(super) const PACK_LEN: u64 = 16 << 20;

fn origin(number: u64) -> Origin {
    Origin {
        session: SessionId::new(hash(3, number)),
        suite: Suite::Aes256Gcm,
        epoch: 0,
        wrap: WRAP_DERIVED,
        wrapped: Vec::new(),
        commitment: hash(4, number),
    }
}

/// A segment with the packs `packs`, and chunks given as (chunk, index into `packs`).
///
/// What a pack looks like depends on its number alone, not on the segment.
pub(super) fn segment(packs: &[u64], chunks: &[(u64, u32)]) -> Segment {
    // The order of origins differs from segment to segment.
    let first = packs.first().copied().unwrap_or_default();
    let mut numbers: Vec<u64> = packs.iter().flat_map(|n| [n % 3, n % 5]).collect();
    numbers.push(first + 100);
    numbers.sort_unstable_by_key(|n| n.wrapping_mul(first + 7) % 11);
    numbers.dedup();
    let find = |n: u64| numbers.iter().position(|other| *other == n).unwrap() as u32;
    let packs = packs
        .iter()
        .map(|number| SegmentPack {
            id: pack(*number),
            len: PACK_LEN,
            frames: (0..FRAME_COUNT)
                .map(|frame| SegmentFrame {
                    sealed_len: SEAL_LEN as u32 + 1000 + frame,
                    raw_len: 1 << 20,
                    codec: Codec::Zstd,
                    kind: FrameKind::Data,
                    origin: find(if frame == 0 { number % 3 } else { number % 5 }),
                })
                .collect(),
        })
        .collect();
    let mut entries: Vec<SegmentEntry> = chunks
        .iter()
        .map(|(number, pack)| SegmentEntry {
            id: chunk(*number),
            pack: *pack,
            frame: (number % u64::from(FRAME_COUNT)) as u32,
            offset: (number % 1000) as u32 * CHUNK_LEN,
            len: CHUNK_LEN,
        })
        .collect();
    entries.sort_unstable();
    entries.dedup();
    let fence =
        Fence { origins: numbers.into_iter().map(origin).collect(), packs, ..Fence::default() };
    Segment { fence, entries }
}

/// Segments that share chunks and packs.
pub(super) fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let one =
        (prop::collection::vec(0..12u64, 1..4), prop::collection::vec((0..60u64, 0..3u32), 0..40));
    let one = one.prop_map(|(packs, chunks)| {
        let count = packs.len() as u32;
        let chunks: Vec<_> = chunks.into_iter().map(|(n, pack)| (n, pack % count)).collect();
        segment(&packs, &chunks)
    });
    prop::collection::vec(one, 0..8)
}

/// What an index says about a chunk, without numbers that differ between indexes.
pub(super) fn places(index: &dyn Index, ids: &[ChunkId]) -> Vec<Vec<(PackId, u32, u32, u32)>> {
    let found = index.find(ids).unwrap();
    let name = |place: &super::Place| {
        (index.pack(place.pack).unwrap().id, place.frame, place.offset, place.len)
    };
    found
        .iter()
        .map(|list| {
            let mut named: Vec<_> = list.iter().map(name).collect();
            named.sort_unstable();
            named
        })
        .collect()
}
