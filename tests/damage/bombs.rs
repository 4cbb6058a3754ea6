//! A few KiB that would become 4 GiB, wherever something is decompressed.

use parados::base::SessionId;
use parados::format::entry::TreeRef;
use parados::format::envelope::BODY_LEN_MAX;
use parados::format::name::Parsed;
use parados::format::pack::FrameChunk;
use parados::format::segment::BlockRecord;
use parados::format::{FrameKind, GenerationStep, ObjectKind, ObjectName, RAW_LEN_MAX};
use parados::repo::session::gather;

use crate::forge::{Forge, directory, file_of};
use crate::numbers::{check_forged, publish};
use crate::parting::part_with;
use crate::world::{ALL_OPERATIONS, Answer, Case, Operation, World, look, noise, peak_memory};

/// What a bomb becomes, if it is let.
const BOMB_LEN: u64 = 4 << 30;
/// Largest block of zstd.
const BLOCK_LEN: u64 = 128 << 10;
/// Memory of this process, whatever else its tests do at the same time.
const MEMORY_MAX: u64 = 2 << 30;

/// One frame of zstd that repeats one byte 4 GiB long in 128 KiB, which is as short as it can be;
/// its head says so, or says nothing.
fn bomb(is_announced: bool) -> Vec<u8> {
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd];
    // Whether eight bytes say the length of the content, and a window of 128 KiB.
    bytes.extend([u8::from(is_announced) * 0b1100_0000, (17 - 10) << 3]);
    if is_announced {
        bytes.extend(BOMB_LEN.to_le_bytes());
    }
    let count = BOMB_LEN / BLOCK_LEN;
    for n in 0..count {
        let is_last = u32::from(n + 1 == count);
        let head = is_last | 1 << 1 | (BLOCK_LEN as u32) << 3;
        bytes.extend(&head.to_le_bytes()[..3]);
        bytes.push(0);
    }
    bytes
}

/// A smaller one of the same making, for the proof that it is one.
#[test]
fn the_bombs_of_this_file_go_off() {
    for is_announced in [false, true] {
        let whole = bomb(is_announced);
        assert!(whole.len() < 132 << 10);
        let written = zstd::zstd_safe::find_frame_compressed_size(&whole);
        assert_eq!(written, Ok(whole.len()), "it is one frame");
        let mut decoder = zstd::stream::Decoder::new(&whole[..]).unwrap();
        let mut sink = vec![1; 64 << 20];
        std::io::Read::read_exact(&mut decoder, &mut sink).unwrap();
        assert!(sink.iter().all(|byte| *byte == 0));
    }
}

/// What is said to be in a bomb: little, or as much as may be. A frame is never longer than what is
/// in it.
const FRAME_PROMISES: [usize; 2] = [200_000, RAW_LEN_MAX];
const OBJECT_PROMISES: [usize; 2] = [1000, BODY_LEN_MAX];

/// 26: in frames, as content, node of a tree and page of a list.
#[test]
fn a_bomb_in_a_frame_costs_what_depends_on_it() {
    for (is_announced, promise) in variants(FRAME_PROMISES) {
        for kind in ["content", "node", "page"] {
            let title = format!("26 {kind} / announced {is_announced} / promise {promise}");
            let Some(_case) = Case::begin(title) else { continue };
            let world = World::new();
            world.write("source", "of the backup");
            let mut forge = Forge::new(&world);
            let is_data = kind == "content";
            let frame_kind = if is_data { FrameKind::Data } else { FrameKind::Metadata };
            let id = forge.repository.keyring().chunk_id(frame_kind, b"bomb");
            forge.compressed(id, frame_kind, &bomb(is_announced), promise as u32);
            let mut evil = match kind {
                "node" => {
                    let tree = TreeRef { id, level: 0, entry_count: 1, content_bytes: 0 };
                    directory(b"evil", Some(tree))
                }
                _ => file_of(b"evil", &[(id, promise as u64)]),
            };
            if kind == "page" {
                evil.content.as_mut().unwrap().level = 1;
            }
            let id = publish(forge, &[evil]);
            check_forged(&world, id, false);
            part_with(&world, id);
        }
    }
    assert!(peak_memory() < MEMORY_MAX);
}

fn variants(promises: [usize; 2]) -> impl Iterator<Item = (bool, usize)> {
    [false, true].into_iter().flat_map(move |is_announced| {
        promises.into_iter().map(move |promise| (is_announced, promise))
    })
}

/// The name that an object of `kind` must have to be read, where the snapshot `id` is honest.
fn names(kind: ObjectKind, id: SessionId) -> Vec<ObjectName> {
    let other = SessionId::random();
    match kind {
        ObjectKind::Config => vec![ObjectName::config(2)],
        ObjectKind::Session => vec![ObjectName::session(other, 1)],
        ObjectKind::Snapshot => vec![ObjectName::snapshot(other)],
        ObjectKind::Tombstone => vec![ObjectName::tombstone(id)],
        ObjectKind::Generation => {
            let steps = [GenerationStep::Candidates, GenerationStep::Begin, GenerationStep::Doomed];
            steps.map(|step| ObjectName::generation(1, step)).to_vec()
        }
        ObjectKind::Note => vec![ObjectName::of(&Parsed::Note(id, 1))],
        ObjectKind::Ledger => {
            vec![ObjectName::of(&Parsed::Ledger("verified".into(), "1".into()))]
        }
        // Slots and packs are not compressed as a whole; segments have a test of their own.
        ObjectKind::Key | ObjectKind::Pack | ObjectKind::Index => Vec::new(),
    }
}

/// 26: in every kind of object that is compressed.
#[test]
fn a_bomb_in_an_object_has_no_effect_but_to_be_named() {
    let mut tried = 0;
    for kind in ObjectKind::ALL {
        for (is_announced, promise) in variants(OBJECT_PROMISES) {
            let title = format!("26 {kind:?} / announced {is_announced} / promise {promise}");
            let Some(_case) = Case::begin(title) else { continue };
            let world = World::new();
            world.fill();
            let id = world.backup();
            for name in names(kind, id) {
                let world = World::over(&world.store.contents(), &world.scratch);
                let forge = Forge::new(&world);
                forge.seal_stored(&world, &name, &bomb(is_announced), promise);
                check_all(&world, id, &name);
                tried += 1;
            }
        }
    }
    assert!(peak_memory() < MEMORY_MAX);
    assert!(tried == 9 * 4 || std::env::var_os(crate::world::CASE).is_some(), "{tried}");
}

/// 26: in the blocks and in the fence of an index segment.
#[test]
fn a_bomb_in_an_index_segment_has_no_effect_but_to_be_named() {
    for (is_announced, promise) in variants(OBJECT_PROMISES) {
        for is_in_fence in [false, true] {
            let title = format!("26 fence {is_in_fence} / {is_announced} / promise {promise}");
            let Some(_case) = Case::begin(title) else { continue };
            let world = World::new();
            world.fill();
            let id = world.backup();
            let mut forge = Forge::new(&world);
            let content = noise("of the pack", 3000);
            let chunk = forge.repository.keyring().chunk_id(FrameKind::Data, &content);
            let chunks = vec![FrameChunk { id: chunk, len: 3000 }];
            forge.frame_of(FrameKind::Data, &content, chunks);
            let (mut fence, entries) = gather(std::iter::once(forge.store_pack()));
            let bomb = bomb(is_announced);
            let name = if is_in_fence {
                forge.store_segment_of(&world, &[], (&bomb, promise))
            } else {
                let block = forge.segment_body(0, &bomb, promise);
                fence.blocks = vec![BlockRecord {
                    first: entries[0].id,
                    sealed_len: block.len() as u32,
                    count: 1,
                }];
                let raw = fence.encode();
                let stored = zstd::bulk::compress(&raw, 1).unwrap();
                forge.store_segment_of(&world, &block, (&stored, raw.len()))
            };
            check_all(&world, id, &name);
        }
    }
    assert!(peak_memory() < MEMORY_MAX);
}

/// Everything that is done goes its way; `check` names the object, and the snapshot stays whole.
fn check_all(world: &World, mut id: SessionId, name: &ObjectName) {
    let expected = look(&world.at("source"));
    let is_whole = |answer: &Answer| {
        assert_eq!(world.of_source(&answer.restored), expected, "{}", answer.told());
    };
    for operation in ALL_OPERATIONS {
        let answer = world.run(operation, id);
        let told = answer.told();
        match (operation, &answer.error) {
            // What cannot be read might need anything.
            (Operation::Prune, Some(error)) => {
                assert_eq!(error.kind, parados::base::ErrorKind::Damaged, "{told}");
                assert!(told.contains(name.as_str()), "{told}");
            }
            // A name of its tombstone that is taken cannot be had.
            (Operation::Forget, Some(_)) if name.kind() == ObjectKind::Tombstone => {
                assert!(told.contains(name.as_str()), "{told}");
                return is_whole(&world.run(Operation::Restore, id));
            }
            (_, error) => assert!(error.is_none(), "{operation:?}: {told}"),
        }
        match operation {
            Operation::Restore => is_whole(&answer),
            Operation::Check => assert!(told.contains(name.as_str()), "{told}"),
            Operation::Unforget => id = answer.snapshots[0],
            _ => {}
        }
    }
    is_whole(&world.run(Operation::Restore, id));
}
