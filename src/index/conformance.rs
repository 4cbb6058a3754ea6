//! What every index must do, whatever it is made of.

use std::collections::{BTreeSet, HashSet};

use super::testdata::{CHUNK_LEN, FRAME_COUNT, PACK_LEN, chunk, pack, places, segment, segment_id};
use super::{Alive, Index, PackNo, Segment};
use crate::base::{ChunkId, ErrorKind, PackId};
use crate::format::Codec;
use crate::format::pack::PREFIX_LEN;

/// Makes an empty index and hands it over; may apply segments given first in a way of its own.
pub(super) type Make<'a> = &'a dyn Fn(&[(u64, &Segment)], &mut dyn FnMut(&dyn Index));

/// Runs the whole suite.
pub(super) fn check(make: Make<'_>) {
    applies_and_finds(make);
    applies_twice_without_change(make);
    merges_duplicates(make);
    refuses_contradictions(make);
    knows_only_packs_that_are_listed(make);
    takes_many_at_once(make);
}

fn with(make: Make<'_>, segments: &[(u64, &Segment)], mut test: impl FnMut(&dyn Index)) {
    make(segments, &mut |index| test(index));
}

fn applies_and_finds(make: Make<'_>) {
    let one = segment(&[1, 2], &[(10, 0), (11, 1), (12, 1)]);
    let two = segment(&[3], &[(13, 0)]);
    with(make, &[(1, &one), (2, &two)], |index| {
        assert_eq!(index.segments().unwrap(), HashSet::from([segment_id(1), segment_id(2)]));
        // In no order, with a repetition and unknown ids between.
        let ids = [chunk(13), chunk(99), chunk(10), chunk(12), chunk(10), ChunkId::new([0; 32])];
        let found = places(index, &ids);
        assert_eq!(found[0], [(pack(3), 1, 13 * CHUNK_LEN, CHUNK_LEN)]);
        assert!(found[1].is_empty() && found[5].is_empty());
        assert_eq!(found[2], [(pack(1), 1, 10 * CHUNK_LEN, CHUNK_LEN)]);
        assert_eq!(found[2], found[4]);
        assert!(index.find(&[]).unwrap().is_empty());

        let no = index.pack_no(&pack(2)).unwrap().unwrap();
        let record = index.pack(no).unwrap();
        assert_eq!((record.id, record.len), (pack(2), PACK_LEN));
        assert_eq!(record.frames.len(), FRAME_COUNT as usize);
        assert_eq!(record.frames[0].offset, PREFIX_LEN as u64);
        assert_eq!(
            record.frames[2].offset,
            PREFIX_LEN as u64
                + u64::from(record.frames[0].sealed_len + record.frames[1].sealed_len)
        );
        assert_eq!(record.frames[1].codec, Codec::Zstd);
        let origin = |frame: usize, of: &Segment, n: usize| {
            let theirs = of.fence.packs[n].frames[frame].origin as usize;
            let ours = record.frames[frame].origin as usize;
            (record.origins[ours].clone(), of.fence.origins[theirs].clone())
        };
        for frame in 0..3 {
            let (ours, theirs) = origin(frame, &one, 1);
            assert_eq!(ours, theirs);
        }
        assert_eq!(index.pack_no(&pack(9)).unwrap(), None);
        assert_eq!(index.pack(PackNo(4_000_000)).unwrap_err().kind, ErrorKind::Bug);
        assert_eq!(index.packs_of(&segment_id(2)).unwrap().unwrap().len(), 1);
        assert_eq!(index.packs_of(&segment_id(9)).unwrap(), None);
        assert!((4..=8).contains(&index.chunk_count_estimate()));
    });
}

fn listed(index: &dyn Index) -> Vec<(PackId, u64)> {
    let mut packs = Vec::new();
    index
        .packs(&mut |no, id, len| {
            assert_eq!(index.pack_no(id).unwrap(), Some(no));
            packs.push((*id, len));
        })
        .unwrap();
    packs.sort_unstable();
    packs
}

fn applies_twice_without_change(make: Make<'_>) {
    let one = segment(&[1, 2], &[(10, 0), (11, 1)]);
    with(make, &[(1, &one)], |index| {
        let ids = [chunk(10), chunk(11)];
        let (found, packs) = (places(index, &ids), listed(index));
        index.apply(segment_id(1), &one).unwrap();
        // The same content under another name: a merged segment.
        index.apply(segment_id(2), &one).unwrap();
        let again = (segment_id(3), &one);
        assert!(index.apply_many(&[again, again]).unwrap().is_empty());
        assert_eq!(places(index, &ids), found);
        assert_eq!(listed(index), packs);
        assert_eq!(index.segments().unwrap().len(), 3);
    });
}

fn merges_duplicates(make: Make<'_>) {
    let one = segment(&[1, 2], &[(10, 0), (10, 1), (11, 0)]);
    let two = segment(&[3, 2], &[(10, 0), (10, 1)]);
    with(make, &[(1, &one), (2, &two)], |index| {
        let found = index.find(&[chunk(10), chunk(11)]).unwrap();
        assert_eq!((found[0].len(), found[1].len()), (3, 1));
        let packs: BTreeSet<_> =
            found[0].iter().map(|place| index.pack(place.pack).unwrap().id).collect();
        assert_eq!(packs, BTreeSet::from([pack(1), pack(2), pack(3)]));
        assert_eq!(listed(index).len(), 3);
    });
}

fn refuses_contradictions(make: Make<'_>) {
    let good = segment(&[1], &[(10, 0)]);
    // Another length for pack 1, beside a pack of its own.
    let mut other_len = segment(&[2, 1], &[(20, 0)]);
    other_len.fence.packs[1].len += 1;
    let mut other_frames = segment(&[1], &[(21, 0)]);
    other_frames.fence.packs[0].frames[1].codec = Codec::Stored;
    let mut other_origin = segment(&[1], &[(22, 0)]);
    other_origin.fence.origins.iter_mut().for_each(|origin| origin.commitment[0] ^= 1);
    let mut unsorted = segment(&[3], &[(23, 0), (24, 0)]);
    unsorted.entries.reverse();
    let mut frameless = segment(&[4], &[(25, 0)]);
    frameless.entries[0].frame = FRAME_COUNT;
    let mut packless = segment(&[5], &[(26, 0)]);
    packless.entries[0].pack = 1;
    let mut originless = segment(&[6], &[(27, 0)]);
    originless.fence.packs[0].frames[0].origin = 1000;
    let mut overlong = segment(&[7], &[(28, 0)]);
    overlong.fence.packs[0].len = 1000;
    let bad = [
        other_len,
        other_frames,
        other_origin,
        unsorted,
        frameless,
        packless,
        originless,
        overlong,
    ];

    with(make, &[(1, &good)], |index| {
        for (n, segment) in (50..).zip(&bad) {
            let error = index.apply(segment_id(n), segment).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Damaged);
            assert!(error.message.contains(&segment_id(n).to_hex()), "{error}");
        }
        // One that is refused does not stop the rest, nor leave its packs behind.
        let rest = segment(&[2, 8], &[(20, 0), (30, 1)]);
        let batch = [(segment_id(50), &bad[0]), (segment_id(70), &rest), (segment_id(51), &bad[1])];
        let refused: Vec<_> =
            index.apply_many(&batch).unwrap().into_iter().map(|refused| refused.segment).collect();
        assert_eq!(refused, [segment_id(50), segment_id(51)]);
        assert_eq!(index.segments().unwrap(), HashSet::from([segment_id(1), segment_id(70)]));
        let ids: Vec<_> = (20..30).map(chunk).collect();
        let found = places(index, &ids);
        assert_eq!(found[0], [(pack(2), 2, 20 * CHUNK_LEN, CHUNK_LEN)]);
        assert!(found[1..].iter().all(Vec::is_empty));
        assert_eq!(listed(index).len(), 3);
    });
}

fn knows_only_packs_that_are_listed(make: Make<'_>) {
    let old = segment(&[1, 2], &[(10, 0), (11, 1)]);
    let new = segment(&[3, 4, 5], &[(12, 0), (13, 1), (14, 2)]);
    with(make, &[(1, &old), (2, &new)], |index| {
        let listing = [(pack(2), PACK_LEN), (pack(3), PACK_LEN), (pack(4), 0), (pack(9), 77)];
        let ids: Vec<_> = (10..15).map(chunk).chain([chunk(99)]).collect();
        let alive = |numbers: [u64; 2]| {
            let segments = numbers.map(segment_id).into();
            Alive::new(index, listing.into_iter(), &segments).unwrap()
        };

        // Both segments are in the repository.
        let both = alive([1, 2]);
        let mut missing = both.missing.clone();
        missing.sort_by_key(|(id, _)| [1, 4, 5].iter().position(|n| pack(*n) == *id));
        assert_eq!(missing, [(pack(1), None), (pack(4), Some(0)), (pack(5), None)]);
        assert_eq!(both.unindexed, [(pack(9), 77)]);
        assert_eq!((both.indexed_count, both.stale_count), (5, 0));
        let known = index.find_alive(&ids, &both).unwrap();
        assert_eq!(known, [false, true, true, false, false, false]);

        // The old one was pruned: its lost pack is nobody's loss.
        let new = alive([2, 3]);
        assert_eq!(new.missing.len(), 2);
        assert_eq!(new.stale_count, 1);
        // What only this index remembers is of no use to others: it must be stored again.
        let mut unindexed = new.unindexed.clone();
        unindexed.sort_by_key(|(_, len)| *len);
        assert_eq!(unindexed, [(pack(9), 77), (pack(2), PACK_LEN)]);

        let no = |n| index.pack_no(&pack(n)).unwrap().unwrap();
        new.mark_alive(no(5));
        new.mark_doomed(no(3));
        new.mark_alive(no(3));
        let known = index.find_alive(&ids, &new).unwrap();
        assert_eq!(known, [false, false, false, false, true, false]);
        assert!(!new.contains(PackNo(u32::MAX)));
    });
}

/// Enough entries for a file of their own.
fn takes_many_at_once(make: Make<'_>) {
    const COUNT: u64 = 30_000;
    let many = |pack: u64, step: u64| {
        let chunks: Vec<_> = (0..COUNT).step_by(step as usize).map(|n| (n, 0)).collect();
        segment(&[pack], &chunks)
    };
    let (all, even, third) = (many(1, 1), many(2, 2), many(3, 3));
    with(make, &[(1, &all)], |index| {
        let batch = [(segment_id(2), &even), (segment_id(3), &third)];
        assert!(index.apply_many(&batch).unwrap().is_empty());
        assert!(index.apply_many(&batch).unwrap().is_empty());
        let ids: Vec<_> = (0..COUNT + 100).rev().map(chunk).collect();
        for (list, n) in index.find(&ids).unwrap().iter().zip((0..COUNT + 100).rev()) {
            let expect =
                if n < COUNT { 1 + usize::from(n % 2 == 0) + usize::from(n % 3 == 0) } else { 0 };
            assert_eq!(list.len(), expect, "chunk {n}");
            let place = |place: &super::Place| (place.offset, place.len);
            assert!(list.iter().all(|p| place(p) == ((n % 1000) as u32 * CHUNK_LEN, CHUNK_LEN)));
        }
    });
}
