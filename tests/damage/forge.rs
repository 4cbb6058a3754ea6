//! A writer that has the keys and bad intent.

use std::sync::Arc;

use parados::backend::Put;
use parados::base::{ChunkId, PackId, SegmentId, SessionId, Timestamp, WriterId};
use parados::format::entry::{Entry, EntryKind, TreeRef};
use parados::format::envelope::{self, HEADER_LEN, Header, INNER_LEN, TAG_LEN};
use parados::format::list::{ChunkList, Piece};
use parados::format::pack::{FrameChunk, FrameRecord, SALT_LEN};
use parados::format::segment::{self as segment_format, Fence, SegmentEntry};
use parados::format::snapshot::{Component, Decision, PathBytes, Snapshot, State, Statistics};
use parados::format::tree::Node;
use parados::format::{Codec, FrameKind, ObjectKind, ObjectName};
use parados::repo::Repository;
use parados::repo::session::{Pack, gather};
use parados::seal::frame::{self, SealedFrame};
use parados::seal::keys::SessionKey;
use parados::seal::pack::PackBuilder;
use parados::seal::{aead, segment};

use crate::world::World;

/// Numbers of the fence and of the trailer among the messages of a segment.
const FENCE_NUMBER: u64 = u64::MAX - 1;
const TRAILER_NUMBER: u64 = u64::MAX;

/// One session of that writer. What it seals is authentic; what it says need not be true.
pub(crate) struct Forge {
    pub(crate) repository: Arc<Repository>,
    pub(crate) session: SessionId,
    pub(crate) key: Arc<SessionKey>,
    frames: Vec<SealedFrame>,
    sequence: u32,
}

impl Forge {
    pub(crate) fn new(world: &World) -> Self {
        let repository = world.open().unwrap();
        let session = SessionId::random();
        let suite = repository.config().suite;
        let key = repository.keyring().new_session(session, suite, 0).unwrap();
        Self { repository, session, key, frames: Vec::new(), sequence: 0 }
    }

    // -----------------------------------------------------------------------------------------
    // Chunks and frames
    // -----------------------------------------------------------------------------------------

    /// Stores a chunk in a frame of its own.
    pub(crate) fn chunk(&mut self, kind: FrameKind, raw: &[u8]) -> ChunkId {
        let id = self.repository.keyring().chunk_id(kind, raw);
        self.chunk_as(id, kind, raw);
        id
    }

    /// Stores a chunk under an id that need not be its own.
    pub(crate) fn chunk_as(&mut self, id: ChunkId, kind: FrameKind, raw: &[u8]) {
        self.frame_of(kind, raw, vec![FrameChunk { id, len: raw.len() as u32 }]);
    }

    /// Stores a frame that says to hold these chunks.
    pub(crate) fn frame_of(&mut self, kind: FrameKind, raw: &[u8], chunks: Vec<FrameChunk>) {
        let repository = self.repository.keyring().repository();
        self.frames.push(frame::seal(repository, &self.key, kind, 1, raw, chunks));
    }

    /// Stores a frame of one chunk that says to hold `raw_len` bytes compressed in `stored`.
    pub(crate) fn compressed(&mut self, id: ChunkId, kind: FrameKind, stored: &[u8], raw_len: u32) {
        let salt = [self.frames.len() as u8; SALT_LEN];
        let origin = &self.key.origin;
        let associated = [
            self.repository.keyring().repository().as_bytes(),
            &[origin.suite as u8][..],
            &origin.epoch.to_le_bytes(),
            origin.session.as_bytes(),
            &[kind as u8, Codec::Zstd as u8],
            &raw_len.to_le_bytes(),
        ]
        .concat();
        let mut bytes = salt.to_vec();
        bytes.extend_from_slice(stored);
        let key = self.key.key.derive("parados 2026-11-23 v1 frame", &[&salt]);
        aead::seal(origin.suite, &key, 0, &associated, &mut bytes, SALT_LEN);
        let record = FrameRecord {
            sealed_len: bytes.len() as u32,
            raw_len,
            codec: Codec::Zstd,
            kind,
            origin: 0,
            chunks: vec![FrameChunk { id, len: raw_len }],
        };
        self.frames.push(SealedFrame { bytes, record, origin: Arc::clone(&self.key) });
    }

    /// Changes what the last frame says about itself.
    pub(crate) fn lie(&mut self, change: impl FnOnce(&mut SealedFrame)) {
        change(self.frames.last_mut().unwrap());
    }

    // -----------------------------------------------------------------------------------------
    // Entries and trees
    // -----------------------------------------------------------------------------------------

    /// A file of one chunk.
    pub(crate) fn file(&mut self, name: &[u8], content: &[u8]) -> Entry {
        let id = self.chunk(FrameKind::Data, content);
        file_of(name, &[(id, content.len() as u64)])
    }

    /// A node of these entries, whatever they are, with sums that are true.
    pub(crate) fn tree(&mut self, entries: &[Entry]) -> TreeRef {
        let raw = Node::Leaf(entries.to_vec()).encode();
        self.tree_of(&raw, entries)
    }

    /// A node of these bytes, with the sums of `entries`.
    pub(crate) fn tree_of(&mut self, raw: &[u8], entries: &[Entry]) -> TreeRef {
        let id = self.chunk(FrameKind::Metadata, raw);
        let below = |entry: &Entry| entry.tree.map_or(0, |tree| tree.entry_count);
        let bytes = |entry: &Entry| {
            entry.size.unwrap_or(0).saturating_add(entry.tree.map_or(0, |tree| tree.content_bytes))
        };
        TreeRef {
            id,
            level: 0,
            entry_count: entries.iter().map(|entry| 1 + below(entry)).sum(),
            content_bytes: entries.iter().map(bytes).fold(0, u64::saturating_add),
        }
    }

    // -----------------------------------------------------------------------------------------
    // Objects
    // -----------------------------------------------------------------------------------------

    /// Stores the frames so far as one pack.
    pub(crate) fn store_pack(&mut self) -> Pack {
        let mut builder = PackBuilder::new(Arc::clone(&self.key), 16 << 10);
        self.frames.drain(..).for_each(|frame| builder.push(frame));
        let pack = builder.finish(false);
        self.put(&ObjectName::pack(pack.id), &pack.sealed);
        Pack { id: pack.id, len: pack.sealed.len(), header: pack.header }
    }

    /// Stores a segment that says this.
    pub(crate) fn store_segment(&mut self, fence: Fence, entries: &[SegmentEntry]) -> SegmentId {
        let (keyring, suite) = (self.repository.keyring(), self.key.origin.suite);
        let name = (self.session, self.sequence);
        let (id, sealed, _) = segment::seal(keyring, suite, 0, name, fence, entries);
        self.put(&ObjectName::index(self.session, self.sequence, id), &sealed);
        self.sequence += 1;
        id
    }

    /// Stores frames, the segment over them and a snapshot of `root`.
    pub(crate) fn publish(mut self, root: Option<TreeRef>) -> SessionId {
        if !self.frames.is_empty() {
            let pack = self.store_pack();
            let (fence, entries) = gather(std::iter::once(pack));
            self.store_segment(fence, &entries);
        }
        self.decide(&Decision::Snapshot(snapshot(vec![component(root)])))
    }

    /// Stores a decision.
    pub(crate) fn decide(&self, decision: &Decision) -> SessionId {
        let name = ObjectName::snapshot(self.session);
        self.put(&name, &self.repository.seal(&name, &decision.encode()));
        self.session
    }

    /// Stores an authentic object with any body.
    pub(crate) fn seal(&self, name: &ObjectName, body: &[u8]) {
        self.put(name, &self.repository.seal(name, body));
    }

    /// Plants an authentic object whose body is said to be `raw_len` bytes, compressed in `stored`.
    pub(crate) fn seal_stored(
        &self,
        world: &World,
        name: &ObjectName,
        stored: &[u8],
        raw_len: usize,
    ) {
        let header = self.header(name.kind());
        let mut bytes = header.encode().to_vec();
        let overhead = HEADER_LEN + TAG_LEN;
        bytes.extend(envelope::pad(stored, raw_len, Codec::Zstd, overhead));
        self.authenticate(&header, name.as_str(), 0, &mut bytes, HEADER_LEN);
        world.store.plant(name.as_str(), bytes);
    }

    /// The part `number` of a segment, said to be `raw_len` bytes, compressed in `stored`.
    pub(crate) fn segment_body(&self, number: u64, stored: &[u8], raw_len: usize) -> Vec<u8> {
        let inner_len = INNER_LEN + stored.len();
        let mut bytes = envelope::lay_out(stored, raw_len, Codec::Zstd, inner_len);
        self.seal_part(number, &mut bytes);
        bytes
    }

    /// Plants a segment of these sealed blocks and this fence.
    pub(crate) fn store_segment_of(
        &mut self,
        world: &World,
        blocks: &[u8],
        (fence, fence_len): (&[u8], usize),
    ) -> ObjectName {
        let fence = self.segment_body(FENCE_NUMBER, fence, fence_len);
        let mut bytes = self.header(ObjectKind::Index).encode().to_vec();
        bytes.extend_from_slice(blocks);
        let fence_offset = bytes.len() as u64;
        bytes.extend_from_slice(&fence);
        let trailer = segment_format::Trailer {
            total_len: (bytes.len() + segment_format::TRAILER_LEN) as u64,
            fence_offset,
            fence_len: fence.len() as u64,
        };
        let mut trailer = trailer.encode().to_vec();
        self.seal_part(TRAILER_NUMBER, &mut trailer);
        bytes.extend(trailer);
        let id = SegmentId::new(*blake3::hash(&bytes).as_bytes());
        let name = ObjectName::index(self.session, self.sequence, id);
        world.store.plant(name.as_str(), bytes);
        self.sequence += 1;
        name
    }

    fn seal_part(&self, number: u64, bytes: &mut Vec<u8>) {
        let name = format!("index/{}-{}", self.session, self.sequence);
        self.authenticate(&self.header(ObjectKind::Index), &name, number, bytes, 0);
    }

    /// One salt for all, as nobody is to be fooled about what is repeated.
    fn header(&self, kind: ObjectKind) -> Header {
        Header { kind, suite: self.key.origin.suite, epoch: 0, salt: [9; 32] }
    }

    /// Seals `bytes` from `start` on as message `number` of the object `name`.
    fn authenticate(
        &self,
        header: &Header,
        name: &str,
        number: u64,
        bytes: &mut Vec<u8>,
        start: usize,
    ) {
        let keyring = self.repository.keyring();
        let key = keyring.object_key(header.kind, header.epoch, &header.salt).unwrap();
        let repository = keyring.repository();
        let parts = [&repository.as_bytes()[..], &header.encode(), name.as_bytes()];
        aead::seal(header.suite, &key, number, &parts.concat(), bytes, start);
    }

    fn put(&self, name: &ObjectName, sealed: &parados::seal::Sealed) {
        assert_eq!(self.repository.backend().put(name, sealed).unwrap(), Put::Created);
    }
}

/// A file of these chunks.
pub(crate) fn file_of(name: &[u8], pieces: &[(ChunkId, u64)]) -> Entry {
    let mut entry = Entry::new(name, EntryKind::File);
    let pieces: Vec<_> = pieces.iter().map(|(id, len)| Piece { id: *id, len: *len }).collect();
    entry.mode = 0o644;
    entry.size = Some(pieces.iter().map(|piece| piece.len).sum());
    entry.content = Some(ChunkList { level: 0, pieces });
    entry
}

pub(crate) fn directory(name: &[u8], tree: Option<TreeRef>) -> Entry {
    let mut entry = Entry::new(name, EntryKind::Directory);
    entry.mode = 0o755;
    entry.tree = tree;
    entry
}

pub(crate) fn link(name: &[u8], target: &[u8]) -> Entry {
    let mut entry = Entry::new(name, EntryKind::Symlink);
    entry.mode = 0o777;
    entry.target = Some(target.to_vec());
    entry
}

pub(crate) fn component(root: Option<TreeRef>) -> Component {
    Component {
        name: "files".into(),
        kind: "files".into(),
        tier: None,
        root,
        statistics: Statistics::default(),
        state: State::Complete,
        paths: vec![PathBytes(b"/forged".to_vec())],
    }
}

pub(crate) fn snapshot(components: Vec<Component>) -> Snapshot {
    let time = Timestamp::new(1_795_478_400, 0);
    Snapshot {
        components,
        recovery_point: None,
        time,
        finished: time,
        host: "host".into(),
        user: "user".into(),
        tags: Vec::new(),
        program: "forged".into(),
        writer: WriterId::new([6; 32]),
        sequence: 1,
        parent: None,
        segments: Vec::new(),
        seen: Vec::new(),
        signature: None,
        description: None,
    }
}

/// The pack again, for another segment.
pub(crate) fn again(pack: &Pack) -> Pack {
    Pack { id: pack.id, len: pack.len, header: pack.header.clone() }
}

/// An id of a pack that nobody stored.
pub(crate) fn absent_pack() -> PackId {
    PackId::new([0xaa; 32])
}
