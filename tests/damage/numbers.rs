//! Authentic objects with numbers, ids and compressed forms that are not true.

use std::sync::Arc;

use parados::base::{ChunkId, Id, SessionId};
use parados::format::entry::{Entry, TreeRef};
use parados::format::list::{ChunkList, PAGE_COUNT_MAX, Piece};
use parados::format::pack::Origin;
use parados::format::segment::{Fence, SegmentEntry};
use parados::format::tree::Node;
use parados::format::{Codec, FrameKind, ObjectName, RAW_LEN_MAX};
use parados::repo::session::gather;
use parados::seal::frame::SealedFrame;
use parados::seal::keys::{Key, SessionKey};

use crate::forge::{Forge, absent_pack, again, directory, file_of};
use crate::parting::part_with;
use crate::world::{Answer, Case, OPERATIONS, Operation, Thing, World, look, noise};

/// What every honest part of a forged snapshot holds.
const HONEST: &[u8] = b"an honest file\n";

/// Compresses into a frame whose header asks for a window of 2^`log` bytes.
fn with_window(raw: &[u8], log: u32) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    compressor.include_contentsize(false).unwrap();
    let mut bytes = compressor.compress(raw).unwrap();
    // Magic, then a descriptor without single segment, then the window: exponent in the top bits.
    assert_eq!(bytes[4] & 0b0010_0000, 0, "the frame has a window");
    bytes[5] = ((log - 10) << 3) as u8;
    bytes
}

fn compressed(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 1).unwrap()
}

/// A file of one chunk that lies.
fn evil_file(id: ChunkId, len: u64) -> Entry {
    file_of(b"evil", &[(id, len)])
}

/// One way for a file or directory to lie; the tree of it stands beside an honest file.
struct Lie {
    title: &'static str,
    make: fn(&mut Forge) -> Entry,
    /// Whether the file comes back all the same.
    is_harmless: bool,
}

const fn lie(title: &'static str, make: fn(&mut Forge) -> Entry) -> Lie {
    Lie { title, make, is_harmless: false }
}

const LIES: &[Lie] = &[
    lie("25 raw length is not the true one", |forge| {
        let id = forge.repository.keyring().chunk_id(FrameKind::Data, b"abc");
        forge.compressed(id, FrameKind::Data, &compressed(&[b'a'; 4000]), 3999);
        evil_file(id, 3999)
    }),
    lie("26 bomb of a few KiB to 64 MiB", |forge| {
        let bomb = compressed(&vec![0; 64 << 20]);
        let id = forge.repository.keyring().chunk_id(FrameKind::Data, b"bomb");
        let len = bomb.len() as u32;
        forge.compressed(id, FrameKind::Data, &bomb, len);
        evil_file(id, len.into())
    }),
    lie("27 window of 2 TiB", |forge| {
        let raw = vec![7; 5000];
        let id = forge.repository.keyring().chunk_id(FrameKind::Data, &raw);
        forge.compressed(id, FrameKind::Data, &with_window(&raw, 41), 5000);
        evil_file(id, 5000)
    }),
    Lie {
        // Decompressed at once into the promised length, a frame needs no window.
        title: "27 window of 2 GiB",
        is_harmless: true,
        make: |forge| {
            let raw = vec![7; 5000];
            let id = forge.repository.keyring().chunk_id(FrameKind::Data, &raw);
            forge.compressed(id, FrameKind::Data, &with_window(&raw, 31), 5000);
            evil_file(id, 5000)
        },
    },
    lie("28 two frames one after the other", |forge| {
        let raw = vec![7; 8000];
        let id = forge.repository.keyring().chunk_id(FrameKind::Data, &raw);
        let twice = [compressed(&raw[..4000]), compressed(&raw[4000..])].concat();
        forge.compressed(id, FrameKind::Data, &twice, 8000);
        evil_file(id, 8000)
    }),
    lie("28 skippable frame before the true one", |forge| {
        let raw = vec![7; 8000];
        let id = forge.repository.keyring().chunk_id(FrameKind::Data, &raw);
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], &compressed(&raw)[..]];
        forge.compressed(id, FrameKind::Data, &skipped.concat(), 8000);
        evil_file(id, 8000)
    }),
    lie("28 no frame at all", |forge| {
        let id = forge.repository.keyring().chunk_id(FrameKind::Data, b"none");
        forge.compressed(id, FrameKind::Data, &noise("no frame", 2000), 3000);
        evil_file(id, 3000)
    }),
    lie("30 a tree node as file content", |forge| {
        let raw = Node::Leaf(vec![directory(b"d", None)]).encode();
        let id = forge.chunk(FrameKind::Metadata, &raw);
        evil_file(id, raw.len() as u64)
    }),
    lie("30 file content as a tree node", |forge| {
        let raw = Node::Leaf(vec![directory(b"d", None)]).encode();
        let id = forge.chunk(FrameKind::Data, &raw);
        let tree = TreeRef { id, level: 0, entry_count: 1, content_bytes: 0 };
        directory(b"evil", Some(tree))
    }),
    lie("30 a page of a list as a tree node", |forge| {
        let page = ChunkList { level: 0, pieces: vec![Piece { id: Id::new([1; 32]), len: 1 }] };
        let id = forge.chunk(FrameKind::Metadata, &page.encode_page());
        let tree = TreeRef { id, level: 0, entry_count: 1, content_bytes: 0 };
        directory(b"evil", Some(tree))
    }),
    lie("31 content under the id of another chunk", |forge| {
        let id = forge.repository.keyring().chunk_id(FrameKind::Data, b"popular");
        forge.chunk_as(id, FrameKind::Data, b"garbage");
        evil_file(id, 7)
    }),
    lie("35 names spelled longer than need be", |forge| {
        // The length of an array of one in two bytes.
        let mut raw = Node::Leaf(vec![directory(b"d", None)]).encode();
        assert_eq!(raw[3], 0x81);
        raw.splice(3..4, [0x98, 0x01]);
        directory(b"evil", Some(forge.tree_of(&raw, &[directory(b"d", None)])))
    }),
    lie("35 bytes after the end", |forge| {
        let mut raw = Node::Leaf(vec![directory(b"d", None)]).encode();
        raw.push(0);
        directory(b"evil", Some(forge.tree_of(&raw, &[directory(b"d", None)])))
    }),
    lie("35 a key twice", |forge| {
        let mut raw = Node::Leaf(vec![directory(b"d", None)]).encode();
        let end = raw.len() - 2;
        raw[4] += 1;
        let last = raw[end..].to_vec();
        raw.extend(last);
        directory(b"evil", Some(forge.tree_of(&raw, &[directory(b"d", None)])))
    }),
    lie("21 four billion entries announced", |forge| {
        let raw = [&[0x83, 1, 0, 0x9a][..], &[0xff; 4]].concat();
        directory(b"evil", Some(forge.tree_of(&raw, &[directory(b"d", None)])))
    }),
    lie("36 nested a hundred thousand deep", |forge| {
        let mut raw = vec![0x83, 1, 0, 0x81, 0xa1, 0x18, 99];
        raw.extend(vec![0x81; 100_000]);
        raw.push(0);
        directory(b"evil", Some(forge.tree_of(&raw, &[directory(b"d", None)])))
    }),
    lie("37 a name longer than the node", |forge| {
        let raw = [&[0x83, 1, 0, 0x81, 0xa1, 0, 0x5b][..], &[0x7f; 8], b"name"].concat();
        directory(b"evil", Some(forge.tree_of(&raw, &[directory(b"d", None)])))
    }),
    lie("a list deeper than its level", |forge| {
        let id = forge.chunk(FrameKind::Data, HONEST);
        let len = HONEST.len() as u64;
        let page = ChunkList { level: 0, pieces: vec![Piece { id, len }] };
        let page = forge.chunk(FrameKind::Metadata, &page.encode_page());
        let mut file = evil_file(page, len);
        file.content.as_mut().unwrap().level = 4;
        file
    }),
    lie("a list beyond the limit of levels", |forge| {
        let id = forge.chunk(FrameKind::Data, HONEST);
        let mut file = evil_file(id, HONEST.len() as u64);
        file.content.as_mut().unwrap().level = 5;
        file
    }),
    lie("64 a page that is shorter than its piece says", |forge| {
        let id = forge.chunk(FrameKind::Data, HONEST);
        let page = ChunkList { level: 0, pieces: vec![Piece { id, len: HONEST.len() as u64 }] };
        let page = forge.chunk(FrameKind::Metadata, &page.encode_page());
        let mut file = evil_file(page, HONEST.len() as u64 + 1);
        file.content.as_mut().unwrap().level = 1;
        file
    }),
    lie("64 a chunk that is shorter than its piece says", |forge| {
        let id = forge.chunk(FrameKind::Data, HONEST);
        evil_file(id, HONEST.len() as u64 + 1)
    }),
    lie("64 a size that is not the sum", |forge| {
        let id = forge.chunk(FrameKind::Data, HONEST);
        let mut file = evil_file(id, HONEST.len() as u64);
        file.size = Some(1 << 20);
        file
    }),
    lie("24 a piece of 16 MiB and one byte", |forge| {
        let id = forge.chunk(FrameKind::Data, HONEST);
        evil_file(id, RAW_LEN_MAX as u64 + 1)
    }),
    lie("24 an empty piece", |forge| {
        let id = forge.chunk(FrameKind::Data, HONEST);
        evil_file(id, 0)
    }),
    lie("24 pieces that add up to more than 2^64", |forge| {
        let id = forge.chunk(FrameKind::Data, HONEST);
        let mut file = evil_file(id, 1);
        let piece = Piece { id, len: u64::MAX };
        file.content = Some(ChunkList { level: 1, pieces: vec![piece; 2] });
        file
    }),
    lie("a directory that counts less than it holds", |forge| {
        let file = forge.file(b"f", HONEST);
        let mut tree = forge.tree(&[file]);
        tree.entry_count += 1;
        directory(b"evil", Some(tree))
    }),
    lie("a directory that says to be smaller than it is", |forge| {
        let file = forge.file(b"f", HONEST);
        let mut tree = forge.tree(&[file]);
        tree.content_bytes -= 1;
        directory(b"evil", Some(tree))
    }),
    Lie {
        title: "one chunk thousands of times",
        is_harmless: true,
        make: |forge| {
            let id = forge.chunk(FrameKind::Data, HONEST);
            let len = HONEST.len() as u64;
            let pieces = vec![Piece { id, len }; PAGE_COUNT_MAX];
            let sum = len * pieces.len() as u64;
            let page =
                forge.chunk(FrameKind::Metadata, &ChunkList { level: 0, pieces }.encode_page());
            let mut file = file_of(b"evil", &[(page, sum), (page, sum)]);
            file.content.as_mut().unwrap().level = 1;
            file
        },
    },
];

/// Asserts that the honest file is there, and that the evil one is told unless it does no harm.
pub(crate) fn check_forged(world: &World, id: SessionId, is_harmless: bool) {
    for operation in OPERATIONS {
        let answer = world.run(operation, id);
        let told = answer.told();
        // The evil names may be refused together with the node that holds them, not more.
        assert!(answer.error.is_none(), "{operation:?}: {told}");
        match operation {
            Operation::Restore => {
                let honest = answer.restored.get("honest/file");
                assert_eq!(honest, Some(&Thing::File(HONEST.to_vec())), "{told}");
                assert!(is_harmless || told.contains("/evil"), "{told}");
            }
            Operation::Ls => {
                assert!(answer.paths.contains(&"/honest/file".to_owned()), "{told}");
            }
            Operation::Check => assert_eq!(told.is_empty(), is_harmless, "{told}"),
            _ => {}
        }
    }
    assert_eq!(
        look(world.scratch.path()).keys().filter(|path| path.contains("outside")).count(),
        0
    );
}

/// The root of a forged snapshot: `honest/file` beside a directory `evil` with one evil name.
pub(crate) fn publish(mut forge: Forge, evil: &[Entry]) -> SessionId {
    let file = forge.file(b"file", HONEST);
    let honest = forge.tree(&[file]);
    let evil = forge.tree(evil);
    let root = forge.tree(&[directory(b"evil", Some(evil)), directory(b"honest", Some(honest))]);
    forge.publish(Some(root))
}

#[test]
fn a_lie_about_one_file_costs_that_file() {
    for lie in LIES {
        let Some(_case) = Case::begin(lie.title) else { continue };
        let world = World::new();
        world.write("source", "of the backup");
        let mut forge = Forge::new(&world);
        let evil = (lie.make)(&mut forge);
        let id = publish(forge, &[evil]);
        check_forged(&world, id, lie.is_harmless);
        if lie.title.starts_with("26") {
            let answers = [Operation::Restore, Operation::Check]
                .map(|operation| format!("{operation:?}:\n{}", world.run(operation, id).stable()));
            insta::assert_snapshot!("a decompression bomb", answers.join("\n\n"));
        }
        part_with(&world, id);
    }
}

// ---------------------------------------------------------------------------------------------
// Packs
// ---------------------------------------------------------------------------------------------

/// What a frame may say about itself in the header of its pack that is not so.
type FrameLie = fn(&mut SealedFrame);

/// Changes what the header will say about the session that sealed a frame.
fn change_origin(frame: &mut SealedFrame, change: impl FnOnce(&mut Origin)) {
    let mut origin = frame.origin.origin.clone();
    change(&mut origin);
    let key = Key::new(*frame.origin.key.expose());
    frame.origin = Arc::new(SessionKey { key, origin });
}

const FRAME_LIES: &[(&str, FrameLie)] = &[
    ("22 longer than it is", |f| f.record.sealed_len += 1),
    ("22 shorter than it is", |f| f.record.sealed_len -= 1),
    ("22 nothing", |f| f.record.sealed_len = 0),
    ("22 four gigabytes", |f| f.record.sealed_len = u32::MAX),
    ("24 raw length zero", |f| f.record.raw_len = 0),
    ("24 raw length of 4 GiB", |f| f.record.raw_len = u32::MAX),
    ("24 raw length beyond the limit", |f| f.record.raw_len = RAW_LEN_MAX as u32 + 1),
    ("21 chunks that add up to more", |f| f.record.chunks[0].len += 1),
    ("24 an empty chunk", |f| f.record.chunks[0].len = 0),
    ("21 no chunk", |f| f.record.chunks.clear()),
    ("19 the commitment of another session", |f| change_origin(f, |o| o.commitment[0] ^= 1)),
    ("19 a wrapped key", |f| change_origin(f, |origin| origin.wrapped = vec![1; 32])),
    ("8 an epoch without a key", |f| change_origin(f, |origin| origin.epoch = 7)),
];

/// A pack whose header lies, which no segment names, so that its header is all there is.
#[test]
fn a_pack_whose_header_lies_is_set_aside() {
    for (title, lie) in FRAME_LIES {
        let Some(_case) = Case::begin(*title) else { continue };
        let world = World::new();
        world.fill();
        let id = world.backup();
        let mut forge = Forge::new(&world);
        forge.chunk(FrameKind::Data, &noise(title, 3000));
        forge.lie(lie);
        let pack = forge.store_pack();
        for operation in OPERATIONS {
            let answer = world.run(operation, id);
            assert!(answer.error.is_none(), "{operation:?}: {}", answer.told());
            let name = ObjectName::pack(pack.id);
            let is_named = answer.told().contains(name.as_str());
            assert_eq!(is_named, operation == Operation::Check, "{}", answer.told());
            if operation == Operation::Restore {
                assert_eq!(world.of_source(&answer.restored), look(&world.at("source")));
            }
        }
    }
}

/// A reader that misses chunks reads the headers of all packs that no segment names.
#[test]
fn lying_headers_do_not_hide_the_honest_ones() {
    let world = World::new();
    world.fill();
    let id = world.backup();
    let expected = look(&world.at("source"));
    for (title, lie) in FRAME_LIES {
        let mut forge = Forge::new(&world);
        forge.chunk(FrameKind::Data, &noise(title, 3000));
        forge.lie(lie);
        forge.store_pack();
    }
    let contents = world.store.contents();
    let bare = contents.into_iter().filter(|(name, _)| !name.starts_with("index/")).collect();
    let bare = World::over(&bare, &world.scratch);
    let answer = bare.run(Operation::Restore, id);
    assert!(answer.error.is_none());
    assert_eq!(bare.of_source(&answer.restored), expected, "{}", answer.told());
}

// ---------------------------------------------------------------------------------------------
// Index segments
// ---------------------------------------------------------------------------------------------

/// Changes what an honest segment says.
type SegmentLie = fn(&mut Fence, &mut Vec<SegmentEntry>);

const SEGMENT_LIES: &[(&str, SegmentLie)] = &[
    ("33 frames of another length", |fence, _| {
        fence.packs[0].frames[0].raw_len += 1;
    }),
    ("33 frames that reach beyond the pack", |fence, _| {
        let frame = fence.packs[0].frames[0];
        fence.packs[0].frames.extend(vec![frame; 3000]);
    }),
    ("33 one frame less", |fence, entries| {
        fence.packs[0].frames.pop();
        let left = fence.packs[0].frames.len() as u32;
        entries.retain(|entry| entry.frame < left);
    }),
    ("33 a pack of another length", |fence, _| fence.packs[0].len += 512),
    ("33 an offset beyond the frame", |_, entries| entries[0].offset = u32::MAX),
    ("33 a length beyond the frame", |_, entries| entries[0].len = u32::MAX),
    ("33 a shorter length", |_, entries| {
        entries[0].len -= 1;
        entries.sort();
    }),
    ("33 an empty chunk", |_, entries| entries[0].len = 0),
    ("33 the id of another chunk", |_, entries| {
        entries[0].id = Id::new([0x77; 32]);
        entries.sort();
    }),
    ("33 a frame that is not there", |_, entries| {
        entries[0].frame = 99;
        entries.sort();
    }),
    ("33 a pack that is not there", |_, entries| {
        entries[0].pack = 99;
        entries.sort();
    }),
    ("34 a pack that nobody stored", |fence, _| fence.packs[0].id = absent_pack()),
    ("30 data as metadata", |fence, _| {
        fence.packs[0].frames[0].kind = FrameKind::Metadata;
    }),
    ("29 another codec", |fence, _| {
        // Noise is stored as it is.
        assert_eq!(fence.packs[0].frames[0].codec, Codec::Stored);
        fence.packs[0].frames[0].codec = Codec::Zstd;
    }),
    ("an origin without a key", |fence, _| fence.origins[0].epoch = 7),
];

/// The honest segment and the one that lies about the same pack, in both orders of their names.
#[test]
fn a_segment_that_lies_about_a_pack_hides_nothing_in_it() {
    for (title, lie) in SEGMENT_LIES {
        for is_first in [false, true] {
            let Some(_case) = Case::begin(format!("{title} / first {is_first}")) else { continue };
            let world = World::new();
            let mut forge = Forge::new(&world);
            let content = noise("content", 4000);
            let file = forge.file(b"file", &content);
            let other = forge.file(b"other", HONEST);
            let root = forge.tree(&[file, other]);
            let pack = forge.store_pack();
            let (fence, entries) = gather(std::iter::once(again(&pack)));
            let (mut false_fence, mut false_entries) = gather(std::iter::once(pack));
            lie(&mut false_fence, &mut false_entries);
            false_entries.sort();
            let mut liar = Forge::new(&world);
            // Listed before the honest one, or after.
            while (liar.session < forge.session) != is_first {
                liar = Forge::new(&world);
            }
            let honest = forge.store_segment(fence, &entries);
            let id = forge.publish(Some(root));
            liar.store_segment(false_fence, &false_entries);
            let answer = world.run(Operation::Restore, id);
            assert!(answer.error.is_none(), "{}", answer.told());
            let file = Thing::File(content);
            assert_eq!(answer.restored.get("file"), Some(&file), "{}", answer.told());
            let other = Thing::File(HONEST.to_vec());
            assert_eq!(answer.restored.get("other"), Some(&other), "{}", answer.told());
            let checked = world.run(Operation::Check, id);
            let told = checked.told();
            // That a pack is gone which nobody needs is no damage.
            let noted = checked.notices.join("\n");
            let is_named =
                told.contains(&liar.session.to_hex()) || noted.contains(&absent_pack().to_hex());
            assert!(is_named, "the lie is not named: {told}{noted}");
            assert!(!told.contains(&honest.to_hex()), "the honest one is blamed: {told}");
        }
    }
}

/// A false entry for a chunk that is stored nowhere makes the next backup rely on nothing. A check
/// that reads the data finds it, and the backup after that stores the chunk.
#[test]
fn a_poisoned_index_is_found_by_a_check_that_reads_the_data() {
    let mut world = World::new();
    world.cache_dir = Some(world.at("cache"));
    world.write("precious", "precious bytes that somebody wants to get rid of\n");
    let mut forge = Forge::new(&world);
    let content = b"precious bytes that somebody wants to get rid of\n";
    let wanted = forge.repository.keyring().chunk_id(FrameKind::Data, content);
    forge.chunk(FrameKind::Data, &noise("garbage", content.len()));
    let pack = forge.store_pack();
    let (fence, mut entries) = gather(std::iter::once(pack));
    entries[0].id = wanted;
    forge.store_segment(fence, &entries);

    let id = world.run(Operation::Backup, SessionId::new([0; 32])).snapshots[0];
    let answer = world.run(Operation::Restore, id);
    assert!(answer.told().contains("/source/precious: bytes 0 to "), "{}", answer.told());
    let answer: Answer = world.run(Operation::Check, id);
    assert!(answer.told().contains(&forge.session.to_hex()), "{}", answer.told());
    assert!(answer.told().contains("/source/precious"), "{}", answer.told());

    // This host has learned whom not to believe, and goes on knowing it.
    for _ in 0..2 {
        let id = world.run(Operation::Backup, SessionId::new([0; 32])).snapshots[0];
        let answer = world.run(Operation::Restore, id);
        let restored = world.of_source(&answer.restored);
        assert_eq!(restored.get("precious"), Some(&Thing::File(content.to_vec())));
    }
    let answer = world.run(Operation::Restore, id);
    let restored = world.of_source(&answer.restored);
    assert_eq!(restored.get("precious"), Some(&Thing::File(content.to_vec())));
}
