//! Whatever a writer may say decodes to what it said.

use parados::base::{ChunkId, Id, PackId, SegmentId, SessionId, Timestamp, WriterId};
use parados::format::entry::{Device, Entry, EntryKind, LinkGroup, Range, TreeRef, Xattr, flags};
use parados::format::list::{ChunkList, INLINE_COUNT_MAX, Piece};
use parados::format::pack::{Origin, SEAL_LEN, WRAP_DERIVED};
use parados::format::segment::{
    self, BlockRecord, Fence, SegmentEntry, SegmentFrame, SegmentPack, build_filter,
};
use parados::format::snapshot::{
    Component, Decision, PathBytes, Root, Seen, Snapshot, State, Statistics,
};
use parados::format::tree::{Child, Node, assemble};
use parados::format::{Codec, FrameKind, RAW_LEN_MAX, Suite, wire};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::cbor::diagnostic;

fn id<K: 'static>() -> impl Strategy<Value = Id<K>> {
    any::<[u8; 32]>().prop_map(Id::new)
}

fn time() -> impl Strategy<Value = Timestamp> {
    (any::<i64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Timestamp::new(seconds, nanos))
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>().prop_filter("no separator", |b| *b != 0 && *b != b'/'), 1..40)
        .prop_filter("no step upward", |name| name != b"." && name != b"..")
}

fn pieces(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Piece>> {
    vec((id(), 1..=RAW_LEN_MAX as u64), count)
        .prop_map(|items| items.into_iter().map(|(id, len)| Piece { id, len }).collect())
}

fn tree_ref() -> impl Strategy<Value = TreeRef> {
    (id(), 0..=4u8, 1u64.., any::<u64>()).prop_map(|(id, level, entry_count, content_bytes)| {
        TreeRef { id, level, entry_count, content_bytes }
    })
}

/// Ranges at least one byte apart, from pairs of gap and length.
fn ranges() -> impl Strategy<Value = Vec<Range>> {
    vec((1..1u64 << 40, 1..1u64 << 40), 1..5).prop_map(|items| {
        let mut end = 0;
        items
            .into_iter()
            .map(|(gap, len)| {
                let offset = end + gap;
                end = offset + len;
                Range { offset, len }
            })
            .collect()
    })
}

fn file() -> impl Strategy<Value = Entry> {
    (
        option::of((0..=4u8, pieces(1..INLINE_COUNT_MAX + 1))),
        option::of(ranges()),
        option::of(1..=2u8),
        any::<bool>(),
    )
        .prop_map(|(content, holes, profile, lost)| {
            let mut entry = Entry::new(b"file", EntryKind::File);
            entry.content = content.map(|(level, pieces)| ChunkList { level, pieces });
            let content_len = entry.content.as_ref().map_or(0, |list| list.content_len().unwrap());
            let hole_bytes: u64 = holes.iter().flatten().map(|hole| hole.len).sum();
            let last = holes.iter().flatten().last().and_then(|hole| hole.end()).unwrap_or(0);
            entry.size = Some(content_len + hole_bytes);
            // Holes beyond what the content can fill are left out.
            if last <= content_len + hole_bytes {
                entry.holes = holes;
            } else {
                entry.size = Some(content_len);
            }
            if lost && entry.size > Some(0) {
                entry.lost = Some(vec![Range { offset: 0, len: 1 }]);
            }
            entry.profile = profile;
            entry
        })
}

fn body() -> impl Strategy<Value = Entry> {
    prop_oneof![
        file(),
        option::of(tree_ref()).prop_map(|tree| {
            let mut entry = Entry::new(b"directory", EntryKind::Directory);
            entry.tree = tree;
            entry
        }),
        vec(1..=255u8, 1..200).prop_map(|target| {
            let mut entry = Entry::new(b"link", EntryKind::Symlink);
            entry.target = Some(target);
            entry
        }),
        (any::<u32>(), any::<u32>(), any::<bool>()).prop_map(|(major, minor, is_block)| {
            let kind = if is_block { EntryKind::BlockDevice } else { EntryKind::CharDevice };
            let mut entry = Entry::new(b"device", kind);
            entry.device = Some(Device { major, minor });
            entry
        }),
        Just(Entry::new(b"pipe", EntryKind::Fifo)),
        Just(Entry::new(b"socket", EntryKind::Socket)),
    ]
}

prop_compose! {
    fn entry()(
        body in body(),
        name in name(),
        (mode, uid, gid) in (0..=0o7777u32, any::<u32>(), any::<u32>()),
        user in option::of(vec(any::<u8>(), 0..20)),
        group in option::of(vec(any::<u8>(), 0..20)),
        mtime in option::of(time()),
        xattrs in option::of(btree_map(vec(1..=255u8, 1..30), vec(any::<u8>(), 0..50), 1..5)),
        link in option::of((any::<u32>(), any::<u64>())),
        flag in option::of(1..=flags::ALL),
    ) -> Entry {
        let mut entry = Entry { name, mode, uid, gid, user, group, mtime, flags: flag, ..body };
        entry.xattrs = xattrs.map(|map| {
            map.into_iter().map(|(name, value)| Xattr { name, value }).collect()
        });
        if entry.kind != EntryKind::Directory {
            // That names were left out is said of directories only.
            entry.flags = flag.map(|flag| flag & !flags::PARTIAL).filter(|flag| *flag != 0);
            entry.link = link.map(|(mount, inode)| LinkGroup { mount, inode });
        }
        entry
    }
}

fn origin() -> impl Strategy<Value = Origin> {
    (id(), any::<bool>(), any::<u32>(), any::<[u8; 32]>()).prop_map(
        |(session, is_aes, epoch, commitment)| Origin {
            session,
            suite: if is_aes { Suite::Aes256Gcm } else { Suite::ChaCha20Poly1305 },
            epoch,
            wrap: WRAP_DERIVED,
            wrapped: Vec::new(),
            commitment,
        },
    )
}

prop_compose! {
    /// A fence over one block with the block's entries.
    fn segment()(
        origins in vec(origin(), 1..3),
        packs in vec((id::<parados::base::id::kind::Pack>(), any::<u64>(), 1..6usize), 1..4),
        raw_len in 1..=RAW_LEN_MAX as u32,
        ids in btree_set(any::<[u8; 32]>(), 1..60),
        places in vec((any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>()), 60),
        supersedes in vec(id(), 0..3),
    ) -> (Fence, Vec<SegmentEntry>) {
        let frame = |n: usize| SegmentFrame {
            sealed_len: SEAL_LEN as u32 + raw_len / (n as u32 + 1),
            raw_len,
            codec: Codec::Zstd,
            kind: if n.is_multiple_of(2) { FrameKind::Data } else { FrameKind::Metadata },
            origin: (n % origins.len()) as u32,
        };
        let packs: Vec<_> = packs
            .into_iter()
            .map(|(id, len, count)| SegmentPack { id, len, frames: (0..count).map(frame).collect() })
            .collect();
        let entries: Vec<_> = ids
            .into_iter()
            .zip(places)
            .map(|(id, (pack, frame, offset, len))| {
                let pack = pack % packs.len() as u32;
                let offset = offset % raw_len;
                SegmentEntry {
                    id: ChunkId::new(id),
                    pack,
                    frame: frame % packs[pack as usize].frames.len() as u32,
                    offset,
                    len: 1 + len % (raw_len - offset),
                }
            })
            .collect();
        let blocks = vec![BlockRecord {
            first: entries[0].id,
            sealed_len: 1000,
            count: entries.len() as u32,
        }];
        let filter = build_filter(entries.len(), entries.iter().map(|entry| &entry.id));
        (Fence { origins, packs, blocks, filter, supersedes }, entries)
    }
}

prop_compose! {
    fn component()(
        (name, kind, tier) in ("[a-z]{1,9}", "[a-z]{1,9}", option::of("[a-z]{1,9}")),
        root in option::of(tree_ref()),
        sums in any::<[u64; 7]>(),
        state in 0..3u8,
        paths in vec(vec(any::<u8>(), 0..30), 0..3),
    ) -> Component {
        let [file_count, directory_count, other_count, content_bytes, new_bytes, stored_bytes,
            problem_count] = sums;
        Component {
            name,
            kind,
            tier,
            root,
            statistics: Statistics {
                file_count,
                directory_count,
                other_count,
                content_bytes,
                new_bytes,
                stored_bytes,
                problem_count,
            },
            state: State::from_u8(state).unwrap(),
            paths: paths.into_iter().map(PathBytes).collect(),
        }
    }
}

prop_compose! {
    fn snapshot()(
        components in vec(component(), 1..4),
        recovery_point in option::of(any::<[u8; 16]>()),
        (time, finished) in (time(), time()),
        (host, user, program) in (any::<String>(), any::<String>(), any::<String>()),
        tags in btree_set(any::<String>(), 0..4),
        (writer, sequence) in (id::<parados::base::id::kind::Writer>(), any::<u64>()),
        parent in option::of(id()),
        segments in vec(id::<parados::base::id::kind::Segment>(), 0..3),
        seen in vec((id(), id(), any::<u64>()), 0..3),
        description in option::of(any::<String>()),
    ) -> Snapshot {
        let seen = seen.into_iter().map(|(writer, session, sequence): (WriterId, SessionId, u64)| {
            Seen { writer, session, sequence }
        });
        Snapshot {
            components,
            recovery_point: recovery_point.map(Vec::from),
            time,
            finished,
            host,
            user,
            tags: tags.into_iter().collect(),
            program,
            writer,
            sequence,
            parent,
            segments,
            seen: seen.collect(),
            signature: None,
            description,
        }
    }
}

/// Every encoding is canonical in the eyes of another reader.
fn canonical(bytes: &[u8]) -> Result<(), TestCaseError> {
    prop_assert!(diagnostic(bytes).is_some());
    Ok(())
}

proptest! {
    #[test]
    fn entries(entry in entry()) {
        let bytes = entry.encode();
        canonical(&bytes)?;
        prop_assert_eq!(Entry::decode(&bytes), Ok(entry));
    }

    #[test]
    fn pages_of_chunk_lists(level in 0..4u8, pieces in pieces(1..600)) {
        let list = ChunkList { level, pieces };
        let bytes = list.encode_page();
        canonical(&bytes)?;
        prop_assert_eq!(ChunkList::decode_page(&bytes), Ok(list));
    }

    #[test]
    fn leaves(entries in vec(entry(), 1..20)) {
        let mut entries = entries;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        let body: Vec<u8> = entries.iter().flat_map(Entry::encode).collect();
        let count = entries.len();
        let node = Node::Leaf(entries);
        let bytes = node.encode();
        canonical(&bytes)?;
        prop_assert_eq!(&assemble(0, count, &body), &bytes);
        prop_assert_eq!(Node::decode(&bytes, 0), Ok(node));
    }

    #[test]
    fn branches(
        level in 1..=4u8,
        names in btree_set(name(), 1..40),
        (id, entry_count, content_bytes) in (id(), 1u64.., any::<u64>()),
    ) {
        let child = |first| Child { first, id, entry_count, content_bytes };
        let children: Vec<_> = names.into_iter().map(child).collect();
        let body: Vec<u8> = children.iter().flat_map(wire::encode).collect();
        let count = children.len();
        let node = Node::Branch(level, children);
        let bytes = node.encode();
        canonical(&bytes)?;
        prop_assert_eq!(&assemble(level, count, &body), &bytes);
        prop_assert!(Node::decode(&bytes, level - 1).is_err());
        prop_assert_eq!(Node::decode(&bytes, level), Ok(node));
    }

    #[test]
    fn fences_with_their_blocks((fence, entries) in segment()) {
        let bytes = fence.encode();
        canonical(&bytes)?;
        let decoded = Fence::decode(&bytes);
        prop_assert_eq!(decoded.as_ref(), Ok(&fence));
        let block = segment::encode_block(&entries);
        canonical(&block)?;
        let decoded = segment::decode_block(&block, &fence.blocks[0], &fence);
        prop_assert_eq!(decoded.as_ref(), Ok(&entries));
        for entry in &entries {
            prop_assert!(fence.may_contain(&entry.id));
            prop_assert_eq!(fence.block_of(&entry.id), Some(0));
        }
    }

    #[test]
    fn snapshots(snapshot in snapshot(), is_final: bool, time in time(), reason: String) {
        for decision in [
            Decision::Snapshot(snapshot.clone()),
            Decision::Abort { time, reason },
        ] {
            let bytes = decision.encode();
            canonical(&bytes)?;
            prop_assert_eq!(Decision::decode(&bytes), Ok(decision));
        }
        let root = Root { is_final, snapshot };
        let bytes = root.encode();
        canonical(&bytes)?;
        prop_assert_eq!(Root::decode(&bytes), Ok(root));
    }
}

/// Kept apart so that the types above are the ones that a reader sees.
#[test]
fn ids_of_different_kinds_share_their_spelling() {
    let bytes = [7; 32];
    assert_eq!(wire::encode(&PackId::new(bytes)), wire::encode(&SegmentId::new(bytes)));
}
