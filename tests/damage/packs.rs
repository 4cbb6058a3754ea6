//! Tries packs that were put together from parts of others, or that contradict themselves.

use bytes::Bytes;
use parados::base::{ChunkId, SessionId};
use parados::format::entry::Entry;
use parados::format::pack::{FrameChunk, PREFIX_LEN, TRAILER_LEN};
use parados::format::{FrameKind, ObjectName};
use parados::repo::session::{Pack, gather};
use parados::seal::pack::PackOpener;

use crate::forge::{Forge, file_of};
use crate::world::{ALL_OPERATIONS, Answer, Case, Operation, Thing, World, noise};

/// Files of each of the two packs, all of one length.
const FILE_COUNT: usize = 3;
const FILE_LEN: usize = 2000;

/// Two packs of equal layout, one file a frame, beside a third one with the tree over them.
struct Scene {
    world: World,
    id: SessionId,
    packs: [ObjectName; 2],
}

fn name_of(pack: usize, file: usize) -> String {
    format!("{pack}-{file}")
}

fn content_of(pack: usize, file: usize) -> Vec<u8> {
    noise(&name_of(pack, file), FILE_LEN)
}

impl Scene {
    /// Both packs are of one session, or of two; a segment names them, or nothing does.
    fn new(is_one_session: bool, is_indexed: bool) -> Self {
        let world = World::new();
        world.fill();
        world.backup();
        let mut forge = Forge::new(&world);
        let mut others = Forge::new(&world);
        let mut entries: Vec<Entry> = Vec::new();
        let mut packs = Vec::new();
        for pack in 0..2 {
            let writer = if pack == 0 || is_one_session { &mut forge } else { &mut others };
            for file in 0..FILE_COUNT {
                entries.push(writer.file(name_of(pack, file).as_bytes(), &content_of(pack, file)));
            }
            packs.push(writer.store_pack());
        }
        let names = [0, 1].map(|pack: usize| ObjectName::pack(packs[pack].id));
        if is_indexed {
            let (fence, places) = gather(packs.into_iter());
            forge.store_segment(fence, &places);
        }
        let root = forge.tree(&entries);
        let id = forge.publish(Some(root));
        Self { world, id, packs: names }
    }

    fn bytes(&self, pack: usize) -> Bytes {
        self.world.store.contents()[self.packs[pack].as_str()].clone()
    }

    /// The files of these two packs that came back, and how many; none with wrong bytes.
    fn restored(&self) -> (usize, String) {
        let answer = self.world.run(Operation::Restore, self.id);
        let told = answer.told();
        assert!(answer.error.is_none(), "{told}");
        let mut count = 0;
        for (pack, file) in (0..2).flat_map(|pack| (0..FILE_COUNT).map(move |file| (pack, file))) {
            let name = name_of(pack, file);
            match answer.restored.get(&name) {
                Some(Thing::File(bytes)) if *bytes == content_of(pack, file) => count += 1,
                found => {
                    assert!(told.contains(&format!("/{name}: ")), "nobody told of {name}: {told}");
                    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
                    let is_hollow = matches!(found, Some(Thing::File(bytes)) if is_zero(bytes));
                    assert!(found.is_none() || is_hollow, "{name} has wrong bytes");
                }
            }
        }
        (count, told)
    }
}

/// A part of a pack, by where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Prefix,
    Frames,
    Header,
    Trailer,
}

impl Part {
    /// What of `bytes` it is. Without a part of its own, a header ends where the trailer starts.
    fn range(self, bytes: &[u8], world: &World) -> std::ops::Range<usize> {
        let repository = world.open().unwrap();
        let opener = PackOpener::new(repository.keyring(), bytes, bytes.len() as u64).unwrap();
        let trailer_start = bytes.len() - TRAILER_LEN;
        let trailer = opener.trailer(&bytes[trailer_start..]).unwrap();
        match self {
            Self::Prefix => 0..PREFIX_LEN,
            Self::Frames => PREFIX_LEN..trailer.frames_end as usize,
            Self::Header => trailer_start - trailer.header_len as usize..trailer_start,
            Self::Trailer => trailer_start..bytes.len(),
        }
    }
}

/// Swaps these parts of the two packs, which are equally long; whether that changes them.
fn swap(scene: &Scene, parts: &[Part]) -> bool {
    let whole = [scene.bytes(0), scene.bytes(1)];
    let mut swapped = [whole[0].to_vec(), whole[1].to_vec()];
    for part in parts {
        let range = part.range(&whole[0], &scene.world);
        assert_eq!(part.range(&whole[1], &scene.world), range, "the layouts are equal");
        swapped[0][range.clone()].copy_from_slice(&whole[1][range.clone()]);
        swapped[1][range.clone()].copy_from_slice(&whole[0][range]);
    }
    let is_changed = swapped[0] != whole[0];
    for (name, bytes) in scene.packs.iter().zip(swapped) {
        scene.world.store.plant(name.as_str(), bytes);
    }
    is_changed
}

/// How many files are left of two packs of which these parts were swapped.
struct Swap {
    parts: &'static [Part],
    indexed: usize,
    /// Of one session, when no segment names them.
    unindexed: usize,
}

const ALL_COUNT: usize = 2 * FILE_COUNT;

const SWAPS: &[Swap] = &[
    // The index knows where frames are. A header of the same session opens, and says that the
    // frames are others: their chunks are not what it promises.
    Swap { parts: &[Part::Header], indexed: ALL_COUNT, unindexed: 0 },
    // Equal layouts have equal trailers, in the same session.
    Swap { parts: &[Part::Trailer], indexed: ALL_COUNT, unindexed: ALL_COUNT },
    Swap { parts: &[Part::Header, Part::Trailer], indexed: ALL_COUNT, unindexed: 0 },
    Swap { parts: &[Part::Prefix], indexed: ALL_COUNT, unindexed: ALL_COUNT },
    Swap { parts: &[Part::Frames], indexed: 0, unindexed: 0 },
    // Each pack under the name of the other: the frames go with the header.
    Swap { parts: &[Part::Frames, Part::Header], indexed: 0, unindexed: ALL_COUNT },
];

/// 12 to 15: no part of a pack stands in for that of another.
#[test]
fn parts_of_two_packs_that_are_swapped_cost_at_most_what_is_in_them() {
    for Swap { parts, indexed, unindexed } in SWAPS {
        for is_one_session in [true, false] {
            for is_indexed in [true, false] {
                let title = format!("{parts:?} / one {is_one_session} / indexed {is_indexed}");
                let Some(_case) = Case::begin(title) else { continue };
                let scene = Scene::new(is_one_session, is_indexed);
                assert_eq!(scene.restored().0, ALL_COUNT, "before");
                let is_changed = swap(&scene, parts);
                assert!(is_changed || *parts == [Part::Prefix] && is_one_session);
                let (count, _) = scene.restored();
                // What ends a pack opens with the prefix of its own session only.
                let is_mixed = !is_one_session && !is_indexed && parts.len() < 4;
                let expected = match (is_indexed, is_mixed) {
                    (true, _) => *indexed,
                    (false, true) => 0,
                    (false, false) => *unindexed,
                };
                assert_eq!(count, expected);
                check_all(&scene, count, is_changed);
            }
        }
    }
}

/// Whatever else is done, no other file is lost, and no more of these are; `check` names the packs.
fn check_all(scene: &Scene, count: usize, is_changed: bool) {
    let source = crate::world::look(&scene.world.at("source"));
    for operation in ALL_OPERATIONS {
        let answer = scene.world.run(operation, scene.id);
        let told = answer.told();
        match operation {
            Operation::Check => {
                for name in &scene.packs {
                    assert_eq!(told.contains(name.as_str()), is_changed, "{told}");
                }
            }
            Operation::Backup => {
                let made = scene.world.run(Operation::Restore, answer.snapshots[0]);
                assert_eq!(scene.world.of_source(&made.restored), source, "{}", made.told());
            }
            // It is not whole any more, or not known to be.
            Operation::Unforget if count < ALL_COUNT => {}
            _ => assert!(answer.error.is_none(), "{operation:?}: {told}"),
        }
    }
    let listed = scene.world.run(Operation::Snapshots, scene.id).clean().snapshots;
    for id in listed {
        let answer = scene.world.run(Operation::Restore, id);
        assert!(answer.error.is_none(), "{}", answer.told());
    }
}

// ---------------------------------------------------------------------------------------------
// One id, two contents
// ---------------------------------------------------------------------------------------------

const TRUE: &[u8] = b"the content that the id is of\n";
const FALSE: &[u8] = b"something else, equally long.\n";

/// How one pack says twice that it holds a chunk.
#[derive(Clone, Copy, Debug)]
enum Twice {
    /// In two frames.
    Frames,
    /// Twice in one frame.
    OneFrame,
    /// As data and as metadata.
    Kinds,
}

/// Frames under one id, of which one tells the truth.
fn twice(forge: &mut Forge, how: Twice, true_first: bool) -> ChunkId {
    let id = forge.repository.keyring().chunk_id(FrameKind::Data, TRUE);
    let contents = if true_first { [TRUE, FALSE] } else { [FALSE, TRUE] };
    match how {
        Twice::Frames => contents.iter().for_each(|raw| forge.chunk_as(id, FrameKind::Data, raw)),
        Twice::OneFrame => {
            let chunks = contents.map(|raw| FrameChunk { id, len: raw.len() as u32 }).to_vec();
            forge.frame_of(FrameKind::Data, &contents.concat(), chunks);
        }
        Twice::Kinds => {
            let kinds = if true_first {
                [(FrameKind::Data, TRUE), (FrameKind::Metadata, FALSE)]
            } else {
                [(FrameKind::Metadata, FALSE), (FrameKind::Data, TRUE)]
            };
            kinds.iter().for_each(|(kind, raw)| forge.chunk_as(id, *kind, raw));
        }
    }
    id
}

/// 32: where one pack has an id twice with different content, the right one is found.
#[test]
fn a_pack_that_has_an_id_twice_yields_the_content_that_the_id_is_of() {
    assert_eq!(TRUE.len(), FALSE.len());
    for how in [Twice::Frames, Twice::OneFrame, Twice::Kinds] {
        for true_first in [true, false] {
            for is_indexed in [true, false] {
                let title = format!("32 {how:?} / true {true_first} / indexed {is_indexed}");
                let Some(_case) = Case::begin(title) else { continue };
                let world = World::new();
                world.write("precious", TRUE);
                let mut forge = Forge::new(&world);
                let id = twice(&mut forge, how, true_first);
                let pack = forge.store_pack();
                let name = ObjectName::pack(pack.id);
                if is_indexed {
                    store_segment_over(&mut forge, pack);
                }
                let root = forge.tree(&[file_of(b"precious", &[(id, TRUE.len() as u64)])]);
                let forged = forge.publish(Some(root));
                check_twice(&world, forged, &name);
            }
        }
    }
}

fn store_segment_over(forge: &mut Forge, pack: Pack) {
    let (fence, entries) = gather(std::iter::once(pack));
    forge.store_segment(fence, &entries);
}

fn check_twice(world: &World, mut forged: SessionId, pack: &ObjectName) {
    let is_whole = |answer: &Answer, path: &str| {
        answer.restored.get(path) == Some(&Thing::File(TRUE.to_vec()))
    };
    for operation in ALL_OPERATIONS {
        let answer = world.run(operation, forged);
        let told = answer.told();
        assert!(answer.error.is_none(), "{operation:?}: {told}");
        match operation {
            Operation::Restore => assert!(is_whole(&answer, "precious"), "{told}"),
            Operation::Check => assert!(told.contains(pack.as_str()), "{told}"),
            Operation::Backup => {
                // It relied on the chunk, and may.
                let made = world.run(Operation::Restore, answer.snapshots[0]);
                let source = world.of_source(&made.restored);
                let found = source.get("precious");
                assert_eq!(found, Some(&Thing::File(TRUE.to_vec())), "{}", made.told());
            }
            Operation::Unforget => forged = answer.snapshots[0],
            _ => {}
        }
    }
    // A prune that moved frames has moved the right one.
    assert!(is_whole(&world.run(Operation::Restore, forged), "precious"));
}
