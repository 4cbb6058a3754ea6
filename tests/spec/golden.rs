//! A kept repository with every kind of object, which both readers must still read.
//!
//! `PARADOS_UPDATE_GOLDEN=1 cargo test --test spec golden` writes it anew: on purpose only, because
//! it stands for the repositories that people already have.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parados::backend::{self, location::Location};
use parados::base::{
    Cancel, ChunkId, Id, PackId, Problems, Progress, RepositoryId, SegmentId, SessionId,
    SystemClock, Timestamp, WriterId,
};
use parados::format::config::{ChunkLens, Config, ProbeRecord};
use parados::format::entry::{Entry, EntryKind, LinkGroup, Range, TreeRef, Xattr};
use parados::format::generation::Generation;
use parados::format::ledger::LedgerRecord;
use parados::format::list::Piece;
use parados::format::name::Parsed;
use parados::format::note::Note;
use parados::format::pack::FrameChunk;
use parados::format::slot::{KdfCost, Label, Slot, SlotKind};
use parados::format::snapshot::{
    Component, Decision, PathBytes, Root, Seen, Snapshot, State, Statistics,
};
use parados::format::tombstone::Tombstone;
use parados::format::{FORMAT_VERSION, FrameKind, GenerationStep, ObjectKind, ObjectName, Suite};
use parados::repo::Repository;
use parados::repo::list::ListBuilder;
use parados::repo::session::{Pack, gather};
use parados::repo::snapshots::Snapshots;
use parados::repo::tree::{EncodedEntry, TreeBuilder};
use parados::seal::code::{self, CodeKind};
use parados::seal::frame::{self, SealedFrame};
use parados::seal::keys::{Key, Keyring, Roots, SessionKey};
use parados::seal::pack::{PackBuilder, open_header};
use parados::seal::slot::Secret;
use parados::seal::{Sealed, object, segment, slot};
use parados::{ops, target};
use serde_json::{Map, Value, json};

/// What opens the slot of kind 1.
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
/// Length of its packs, the least that a config may ask for.
const PACK_LEN: u32 = 16 << 10;
/// Most bytes of all its files together.
const LEN_MAX: u64 = 600 << 10;
/// Raw bytes that make a frame.
const FRAME_LEN: usize = 12 << 10;
const NEVER: &str = "nothing of this can fail";

/// The key in the key file.
pub(crate) fn key_file() -> Key {
    Key::new(*blake3::hash(b"golden key file").as_bytes())
}

/// The key on paper.
pub(crate) fn recovery_code() -> Key {
    Key::new(*blake3::hash(b"golden recovery code").as_bytes())
}

fn id<K>(text: &str) -> Id<K> {
    Id::new(*blake3::hash(text.as_bytes()).as_bytes())
}

fn session_a() -> SessionId {
    id("golden session a")
}

fn session_b() -> SessionId {
    id("golden session b")
}

fn keyring() -> Keyring {
    let root = |text: &str| Key::new(*blake3::hash(text.as_bytes()).as_bytes());
    let roots = BTreeMap::from([(0, root("golden root 0")), (1, root("golden root 1"))]);
    Keyring::new(id("golden repository"), Roots::new(roots).unwrap())
}

fn time(minutes: i64) -> Timestamp {
    Timestamp::new(1_795_478_400 + 60 * minutes, 123_456_789)
}

/// Bytes that do not compress.
fn noise(text: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Numbers around zero, of which each gives the upper bytes of its IEEE 754 form.
fn weights(text: &str, width: usize, len: usize) -> Vec<u8> {
    let random = noise(text, len.div_ceil(width) * 8);
    let number = |eight: &[u8]| {
        let parts = eight.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]]));
        let sum: f32 = parts.map(|part| f32::from(part) / 65_536.0 - 0.5).sum();
        // All bits of the product mean something.
        (sum * 0.012_345_6).to_le_bytes()[4 - width..].to_vec()
    };
    let mut bytes: Vec<u8> = random.chunks_exact(8).flat_map(number).collect();
    bytes.truncate(len);
    bytes
}

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// The directory of the golden repository, written anew first when that is asked for.
pub(crate) fn repository() -> PathBuf {
    static WRITTEN: OnceLock<()> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        if std::env::var_os("PARADOS_UPDATE_GOLDEN").is_some() {
            write();
        }
    });
    place().join("repository")
}

/// What the golden repository holds: session to path to entry.
pub(crate) fn expected() -> Map<String, Value> {
    repository();
    let text = fs::read_to_string(place().join("expected.json")).unwrap();
    match serde_json::from_str(&text).unwrap() {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

// ---------------------------------------------------------------------------------------------
// Writing
// ---------------------------------------------------------------------------------------------

/// Gathers the chunks of one session into frames, the frames into packs.
struct Session<'a> {
    keyring: &'a Keyring,
    key: Arc<SessionKey>,
    known: &'a mut HashSet<ChunkId>,
    pending: BTreeMap<u8, (Vec<u8>, Vec<FrameChunk>)>,
    frames: Vec<SealedFrame>,
}

impl<'a> Session<'a> {
    fn new(
        keyring: &'a Keyring,
        known: &'a mut HashSet<ChunkId>,
        (id, suite, epoch): (SessionId, Suite, u32),
    ) -> Self {
        let key = keyring.new_session(id, suite, epoch).unwrap();
        Self { keyring, key, known, pending: BTreeMap::new(), frames: Vec::new() }
    }

    fn chunk(&mut self, kind: FrameKind, raw: &[u8]) -> ChunkId {
        let id = self.keyring.chunk_id(kind, raw);
        if !self.known.insert(id) {
            return id;
        }
        let held = self.pending.get(&(kind as u8)).map_or(0, |(bytes, _)| bytes.len());
        if held + raw.len() > FRAME_LEN {
            self.close(kind);
        }
        let (bytes, chunks) = self.pending.entry(kind as u8).or_default();
        bytes.extend_from_slice(raw);
        chunks.push(FrameChunk { id, len: raw.len() as u32 });
        id
    }

    fn close(&mut self, kind: FrameKind) {
        if let Some((raw, chunks)) = self.pending.remove(&(kind as u8)) {
            let repository = self.keyring.repository();
            self.frames.push(frame::seal(repository, &self.key, kind, 3, &raw, chunks));
        }
    }

    /// Which codecs its frames have.
    fn codecs(&self) -> BTreeSet<u8> {
        self.frames.iter().map(|frame| frame.record.codec as u8).collect()
    }

    /// The list of a stream that is cut every `len` bytes.
    fn content(&mut self, raw: &[u8], len: usize) -> Option<parados::format::list::ChunkList> {
        let mut list = ListBuilder::default();
        for part in raw.chunks(len) {
            let piece = Piece { id: self.chunk(FrameKind::Data, part), len: part.len() as u64 };
            list.push(piece, &mut |page| Ok(self.chunk(FrameKind::Metadata, &page))).expect(NEVER);
        }
        list.finish(&mut |page| Ok(self.chunk(FrameKind::Metadata, &page))).expect(NEVER)
    }

    fn tree(&mut self, mut entries: Vec<Entry>) -> Option<TreeRef> {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let mut tree = TreeBuilder::new(self.keyring);
        for entry in &entries {
            entry.validate().unwrap();
            tree.push(&EncodedEntry::new(entry), &mut |raw| {
                Ok(self.chunk(FrameKind::Metadata, &raw))
            })
            .expect(NEVER);
        }
        tree.finish(&mut |raw| Ok(self.chunk(FrameKind::Metadata, &raw))).expect(NEVER)
    }

    fn frames(mut self) -> (Arc<SessionKey>, Vec<SealedFrame>) {
        self.close(FrameKind::Data);
        self.close(FrameKind::Metadata);
        (self.key, self.frames)
    }
}

/// Packs with their bytes.
fn packs(key: &Arc<SessionKey>, frames: Vec<SealedFrame>) -> Vec<(Pack, Sealed)> {
    let mut finished = Vec::new();
    let mut builder = PackBuilder::new(Arc::clone(key), PACK_LEN);
    for frame in frames {
        if !builder.fits(&frame) {
            let full = std::mem::replace(&mut builder, PackBuilder::new(key.clone(), PACK_LEN));
            finished.push(full.finish(true));
        }
        builder.push(frame);
    }
    finished.push(builder.finish(false));
    finished
        .into_iter()
        .map(|p| (Pack { id: p.id, len: p.sealed.len(), header: p.header }, p.sealed))
        .collect()
}

/// What a snapshot should give, gathered beside its tree.
#[derive(Default)]
struct Answers {
    entries: Map<String, Value>,
    groups: BTreeMap<u64, String>,
}

impl Answers {
    /// Notes what `entry` is; `content` with its holes filled by zeros.
    fn note(&mut self, above: &str, entry: &Entry, content: Option<&[u8]>) {
        let path = format!("{above}/{}", shown(&entry.name));
        let mut value = facts(entry);
        if let Some(content) = content
            && !content.is_empty()
        {
            value.insert("content".into(), json!(blake3::hash(content).to_hex().to_string()));
        }
        if let Some(link) = entry.link {
            match self.groups.get(&link.inode) {
                Some(first) => value.insert("same_as".into(), json!(first)),
                None => self.groups.insert(link.inode, path.clone()).and(None),
            };
        }
        self.entries.insert(path, Value::Object(value));
    }
}

/// The names of both readers for paths: bytes that are not UTF-8 as `\xff`.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        part.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// What an entry says about itself.
fn facts(entry: &Entry) -> Map<String, Value> {
    let word = match entry.kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::Fifo => "fifo",
        other => panic!("{other:?} needs root"),
    };
    let mut facts = Map::new();
    let mut fact = |name: &str, value: Option<Value>| {
        value.and_then(|value| facts.insert(name.to_owned(), value));
    };
    fact("type", Some(json!(word)));
    fact("mode", Some(json!(entry.mode)));
    fact("size", entry.size.map(|size| json!(size)));
    fact("mtime", entry.mtime.map(|t| json!(t.seconds * 1_000_000_000 + i64::from(t.nanos))));
    fact("target", entry.target.as_deref().map(|target| json!(shown(target))));
    fact(
        "holes",
        entry
            .holes
            .as_ref()
            .map(|holes| holes.iter().map(|hole| json!([hole.offset, hole.len])).collect()),
    );
    fact(
        "xattrs",
        entry.xattrs.as_ref().map(|xattrs| {
            xattrs.iter().map(|x| (shown(&x.name), json!(hex::encode(&x.value)))).collect()
        }),
    );
    facts
}

fn entry(name: &[u8], kind: EntryKind, mode: u32) -> Entry {
    let mut entry = Entry::new(name, kind);
    entry.mode = mode;
    entry.user = Some(b"root".to_vec());
    entry.group = Some(b"root".to_vec());
    entry.mtime = Some(time(0));
    entry
}

fn directory(name: &[u8], mode: u32, tree: Option<TreeRef>) -> Entry {
    Entry { tree, ..entry(name, EntryKind::Directory, mode) }
}

/// A directory in the making: its path, its entries, and what they should give.
struct Folder<'a, 'b> {
    path: &'a str,
    session: &'a mut Session<'b>,
    answers: &'a mut Answers,
    entries: Vec<Entry>,
}

impl<'a, 'b> Folder<'a, 'b> {
    fn new(path: &'a str, session: &'a mut Session<'b>, answers: &'a mut Answers) -> Self {
        Self { path, session, answers, entries: Vec::new() }
    }

    fn file(&mut self, name: &[u8], raw: &[u8], chunk: usize, change: impl FnOnce(&mut Entry)) {
        let mut file = entry(name, EntryKind::File, 0o644);
        file.content = self.session.content(raw, chunk);
        file.size = Some(raw.len() as u64);
        change(&mut file);
        // The content as a reader sees it: zeros where the holes are.
        let mut whole = raw.to_vec();
        for hole in file.holes.iter().flatten() {
            let (at, len) = (hole.offset as usize, hole.len as usize);
            whole.splice(at..at, std::iter::repeat_n(0, len));
        }
        file.size = Some(whole.len() as u64);
        self.answers.note(self.path, &file, Some(&whole));
        self.entries.push(file);
    }

    fn other(&mut self, other: Entry) {
        self.answers.note(self.path, &other, None);
        self.entries.push(other);
    }
}

/// The tree of session A, of everything that an entry can be.
fn tree_a(session: &mut Session<'_>, answers: &mut Answers) -> TreeRef {
    let mut many = Folder::new("/srv/golden/many", session, answers);
    for n in 0..1500 {
        many.file(format!("name-{n:04}").as_bytes(), b"", 1, |_| {});
    }
    let entries = many.entries;
    let many = session.tree(entries).unwrap();
    assert_eq!(many.level, 1, "the directory has a branch; else change its names");

    let mut deep = Folder::new("/srv/golden/deep/er", session, answers);
    deep.file(b"file", b"at the bottom\n", 100, |_| {});
    let entries = deep.entries;
    let bottom = session.tree(entries);
    let deeper = directory(b"er", 0o755, bottom);
    answers.note("/srv/golden/deep", &deeper, None);
    let deep = session.tree(vec![deeper]);

    let mut top = Folder::new("/srv/golden", session, answers);
    top.other(directory(b"many", 0o755, Some(many)));
    top.other(directory(b"deep", 0o750, deep));
    top.other(directory(b"nothing", 0o700, None));
    top.file(b"hello.txt", b"Hello, world.\n", 4096, |_| {});
    top.file(b"empty", b"", 1, |file| file.mode = 0o600);
    top.file(b"old.txt", b"older than time\n", 4096, |file| {
        file.mtime = Some(Timestamp::new(-2, 999_999_999));
        file.mode = 0o444;
    });
    // A frame that is longer than a pack, and content that compresses.
    top.file(b"noise.bin", &noise("noise", 20_000), 20_000, |_| {});
    let poem = b"All work and no play makes a dull pack.\n".repeat(1000);
    top.file(b"poem.txt", &poem, 16_384, |_| {});
    // Numbers that are taken apart, with something behind the last whole one.
    top.file(b"weights.bf16", &weights("bf16", 2, 20_001), 20_001, |_| {});
    top.file(b"weights.fp32", &weights("fp32", 4, 20_003), 20_003, |_| {});
    let mut scaled = weights("scaled", 4, 20_000);
    scaled.iter_mut().step_by(4).for_each(|byte| *byte = 7);
    top.file(b"scaled.fp32", &scaled, 20_000, |_| {});
    // A chunk list of two pages.
    top.file(b"long.bin", &noise("long 0", 700 * 64), 64, |_| {});
    let long = top.entries.last().unwrap().content.as_ref().unwrap();
    assert!(long.level == 1 && long.pieces.len() > 1, "the list has two pages; else change it");
    top.file(b"sparse.bin", &noise("sparse", 5000), 5000, |file| {
        let range = |offset, len| Range { offset, len };
        file.holes = Some(vec![range(2000, 1 << 20), range((1 << 20) + 5000, 65_536)]);
    });
    top.file(b"hole.bin", b"", 1, |file| {
        file.holes = Some(vec![Range { offset: 0, len: 1 << 20 }]);
    });
    for name in [&b"first name"[..], b"second name"] {
        top.file(name, b"one file, two names\n", 4096, |file| {
            file.link = Some(LinkGroup { mount: 0, inode: 4711 });
        });
    }
    top.file(b"attributes", b"with attributes\n", 4096, |file| {
        let xattr = |name: &[u8], value: &[u8]| Xattr { name: name.into(), value: value.into() };
        file.mode = 0o444;
        file.xattrs =
            Some(vec![xattr(b"user.bytes", b"\0\xff\x80"), xattr(b"user.comment", b"golden")]);
    });
    top.file(b"caf\xe9", b"a name in Latin-1\n", 4096, |_| {});
    top.file(b"line\nbreak", b"a name of two lines\n", 4096, |_| {});
    let mut link = entry(b"link", EntryKind::Symlink, 0o777);
    link.target = Some(b"deep/er/file".to_vec());
    top.other(link);
    let mut dangling = entry(b"link to nowhere", EntryKind::Symlink, 0o777);
    dangling.target = Some(b"/caf\xe9".to_vec());
    top.other(dangling);
    top.other(entry(b"pipe", EntryKind::Fifo, 0o620));
    let entries = top.entries;
    ancestors(session, answers, entries)
}

/// The tree of session B: one file less, one changed, one new.
fn tree_b(session: &mut Session<'_>, answers: &mut Answers) -> TreeRef {
    let mut top = Folder::new("/srv/golden", session, answers);
    top.file(b"hello.txt", b"Hello, other world.\n", 4096, |file| file.mtime = Some(time(90)));
    top.file(b"long.bin", &noise("long 0", 700 * 64), 64, |_| {});
    top.file(b"new.bin", &noise("new", 9000), 4096, |file| file.mtime = Some(time(91)));
    top.file(b"caf\xe9", b"a name in Latin-1\n", 4096, |_| {});
    let entries = top.entries;
    ancestors(session, answers, entries)
}

/// `/srv/golden`, where `/srv` was not asked for and so has no time.
fn ancestors(session: &mut Session<'_>, answers: &mut Answers, entries: Vec<Entry>) -> TreeRef {
    let tree = session.tree(entries);
    let golden = directory(b"golden", 0o755, tree);
    answers.note("/srv", &golden, None);
    let tree = session.tree(vec![golden]);
    let mut srv = directory(b"srv", 0o755, tree);
    srv.mtime = None;
    answers.note("", &srv, None);
    session.tree(vec![srv]).unwrap()
}

/// Seals records and puts them into the directory.
struct Shelf {
    dir: PathBuf,
    keyring: Keyring,
    suite: Suite,
    epoch: u32,
}

impl Shelf {
    fn put(&self, name: &ObjectName, sealed: &Sealed) {
        let path = self.dir.join(name.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, sealed.bytes()).unwrap();
    }

    fn record(&self, parsed: Parsed, body: &[u8]) -> Sealed {
        let name = ObjectName::of(&parsed);
        let sealed = object::seal(&self.keyring, self.suite, self.epoch, &name, body);
        self.put(&name, &sealed);
        sealed
    }

    fn config(&self, number: u64, predecessor: Option<Vec<u8>>) -> Vec<u8> {
        let config = Config {
            version: FORMAT_VERSION,
            repository: self.keyring.repository(),
            suite: self.suite,
            epoch: self.epoch,
            chunker: ChunkLens { min: 64, avg: 256, max: 16 << 10 },
            pack_len: PACK_LEN,
            features: 0,
            created: time(number as i64 - 10),
            predecessor,
            probe: ProbeRecord { create_is_exclusive: true, list_is_immediate: true },
        };
        let sealed = self.record(Parsed::Config(number), &config.encode());
        blake3::hash(sealed.bytes()).as_bytes().to_vec()
    }

    fn segment(
        &self,
        name: (SessionId, u32),
        packs: impl Iterator<Item = Pack>,
        supersedes: Vec<SegmentId>,
    ) -> SegmentId {
        let (mut fence, entries) = gather(packs);
        fence.supersedes = supersedes;
        let (id, sealed, _) =
            segment::seal(&self.keyring, self.suite, self.epoch, name, fence, &entries);
        self.put(&ObjectName::index(name.0, name.1, id), &sealed);
        id
    }
}

fn writer() -> WriterId {
    id("golden writer")
}

fn snapshot(minute: i64, sequence: u64, root: TreeRef, segments: Vec<SegmentId>) -> Snapshot {
    let component = Component {
        name: "files".into(),
        kind: "files".into(),
        tier: None,
        root: Some(root),
        statistics: Statistics { content_bytes: root.content_bytes, ..Statistics::default() },
        state: State::Complete,
        paths: vec![PathBytes(b"/srv/golden".to_vec())],
    };
    Snapshot {
        components: vec![component],
        recovery_point: None,
        time: time(minute),
        finished: time(minute + 1),
        host: "golden".into(),
        user: "ann".into(),
        tags: vec!["kept".into()],
        program: "0".into(),
        writer: writer(),
        sequence,
        parent: None,
        segments,
        seen: Vec::new(),
        signature: None,
        description: None,
    }
}

fn seen(session: SessionId, sequence: u64) -> Seen {
    Seen { writer: writer(), session, sequence }
}

/// A pack again, for another segment.
fn again(pack: &Pack) -> Pack {
    Pack { id: pack.id, len: pack.len, header: pack.header.clone() }
}

fn write() {
    let dir = place();
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    let mut shelf = Shelf {
        dir: dir.join("repository"),
        keyring: keyring(),
        suite: Suite::ChaCha20Poly1305,
        epoch: 0,
    };
    let secrets = [
        Secret::Passphrase(PASSPHRASE.as_bytes().to_vec().into()),
        Secret::KeyFile(key_file()),
        Secret::RecoveryCode(recovery_code()),
    ];
    for secret in secrets {
        let label = Label { created: time(-10), host: "golden".into(), ..Label::default() };
        let (id, sealed) = slot::seal(&shelf.keyring, &secret, KdfCost::FLOOR, &label).unwrap();
        shelf.put(&ObjectName::key(id), &sealed);
    }
    let first = shelf.config(1, None);

    // Session A, with the first suite and root key.
    let (keyring_a, mut known) = (keyring(), HashSet::new());
    let (suite, epoch) = (shelf.suite, shelf.epoch);
    let mut session = Session::new(&keyring_a, &mut known, (session_a(), suite, epoch));
    let mut answers_a = Answers::default();
    let root_a = tree_a(&mut session, &mut answers_a);
    assert_eq!(session.codecs(), BTreeSet::from([0, 1, 2, 3]), "each codec is there");
    let (key, frames_a) = session.frames();
    // The frames of the first pack will be moved into a pack of session B.
    let mut packs_a = packs(&key, frames_a.clone());
    let moved_pack = packs_a.remove(0).0;
    let moved: Vec<SealedFrame> = frames_a[..moved_pack.header.frames.len()].to_vec();
    for (pack, sealed) in &packs_a {
        shelf.put(&ObjectName::pack(pack.id), sealed);
    }
    let (head, tail) = packs_a.split_at(packs_a.len() - 2);
    let early = std::iter::once(again(&moved_pack)).chain(head.iter().map(|(p, _)| again(p)));
    let segment_0 = shelf.segment((session_a(), 0), early, Vec::new());
    let segment_1 = shelf.segment((session_a(), 1), tail.iter().map(|(p, _)| again(p)), Vec::new());
    let snapshot_a = snapshot(0, 1, root_a, vec![segment_0, segment_1]);
    for (number, is_final) in [(0, false), (1, true)] {
        let root = Root { is_final, snapshot: snapshot_a.clone() };
        shelf.record(Parsed::Session(session_a(), number), &root.encode());
    }
    let decision = Decision::Snapshot(snapshot_a);
    shelf.record(Parsed::Snapshot(session_a()), &decision.encode());

    // A session that was interrupted and fenced, and one that is forgotten.
    let fenced: SessionId = id("golden session c");
    let root = Root { is_final: false, snapshot: snapshot(30, 2, root_a, Vec::new()) };
    shelf.record(Parsed::Session(fenced, 0), &root.encode());
    let abort = Decision::Abort { time: time(60), reason: "it was silent for too long".into() };
    shelf.record(Parsed::Snapshot(fenced), &abort.encode());
    let forgotten: SessionId = id("golden session d");
    let mut snapshot_d = snapshot(40, 2, root_a, Vec::new());
    snapshot_d.seen = vec![seen(session_a(), 1)];
    let decision = Decision::Snapshot(snapshot_d);
    shelf.record(Parsed::Snapshot(forgotten), &decision.encode());
    let tombstone = Tombstone {
        sessions: vec![forgotten],
        time: time(50),
        seen: vec![seen(session_a(), 1)],
        reason: "keep 2".into(),
    };
    shelf.record(Parsed::Tombstone(forgotten), &tombstone.encode());

    // From here on the other suite and the other root key.
    (shelf.suite, shelf.epoch) = (Suite::Aes256Gcm, 1);
    shelf.config(2, Some(first));
    let of_b = (session_b(), shelf.suite, shelf.epoch);
    let mut session = Session::new(&keyring_a, &mut known, of_b);
    let mut answers_b = Answers::default();
    let root_b = tree_b(&mut session, &mut answers_b);
    let (key, frames_b) = session.frames();
    let mut frames = moved;
    frames.extend(frames_b);
    let packs_b = packs(&key, frames);
    for (pack, sealed) in &packs_b {
        shelf.put(&ObjectName::pack(pack.id), sealed);
    }
    let merged = head.iter().chain(&packs_b).map(|(pack, _)| again(pack));
    let segment_b = shelf.segment((session_b(), 0), merged, vec![segment_0]);
    let mut snapshot_b = snapshot(90, 3, root_b, vec![segment_b]);
    snapshot_b.parent = Some(session_a());
    snapshot_b.seen = vec![seen(forgotten, 2)];
    let root = Root { is_final: true, snapshot: snapshot_b.clone() };
    shelf.record(Parsed::Session(session_b(), 0), &root.encode());
    shelf.record(Parsed::Snapshot(session_b()), &Decision::Snapshot(snapshot_b).encode());

    // The round of prune that moved the frames.
    for (step, packs) in [
        (GenerationStep::Candidates, vec![moved_pack.id]),
        (GenerationStep::Begin, Vec::new()),
        (GenerationStep::Doomed, vec![moved_pack.id]),
    ] {
        let generation = Generation { number: 1, time: time(95), packs };
        shelf.record(Parsed::Generation(1, step), &generation.encode());
    }
    let notes = [
        (vec!["yearly".to_owned()], Some(true), None),
        (vec!["changed".to_owned(), "yearly".to_owned()], None, Some("golden".to_owned())),
    ];
    for (number, (tags, pinned, description)) in (1..).zip(notes) {
        let note =
            Note { session: session_b(), time: time(100), tags: Some(tags), pinned, description };
        shelf.record(Parsed::Note(session_b(), number), &note.encode());
    }
    let mut verified: Vec<PackId> = packs_b.iter().map(|(pack, _)| pack.id).collect();
    verified.sort();
    let ledger =
        LedgerRecord { time: time(110), writer: writer(), verified, drill: None, damaged: None };
    let name = Parsed::Ledger("verified".into(), writer().to_hex());
    shelf.record(name, &ledger.encode());

    let mut lines = String::from("{");
    let of = [(session_a(), answers_a, "kept"), (session_b(), answers_b, "changed,yearly")];
    for (n, (session, answers, tags)) in of.into_iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        lines.push_str(&format!("{comma}\n\"{session}\": {{\"tags\": \"{tags}\", \"entries\": {{"));
        for (n, (path, entry)) in answers.entries.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            lines.push_str(&format!("{comma}\n{}: {entry}", json!(path)));
        }
        lines.push_str("\n}}");
    }
    lines.push_str("\n}\n");
    fs::write(dir.join("expected.json"), lines).unwrap();
}

// ---------------------------------------------------------------------------------------------
// Comparing
// ---------------------------------------------------------------------------------------------

/// Whether extended attributes can be set in this directory.
pub(crate) fn takes_attributes(dir: &Path) -> bool {
    xattr::set(dir, "user.probe", b"1").is_ok() && xattr::remove(dir, "user.probe").is_ok()
}

/// Checks that `found` has the entries that `session` should have, as far as `names` say.
pub(crate) fn compare(session: &str, found: &Map<String, Value>, names: &[&str]) {
    let expected = &expected()[session]["entries"];
    let expected = expected.as_object().unwrap();
    let paths = |map: &Map<String, Value>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(found), paths(expected), "{session}");
    for (path, entry) in expected {
        for name in names {
            // A directory that was not asked for has no time, and gets any.
            if *name == "mtime" && entry.get(name).is_none() {
                continue;
            }
            assert_eq!(found[path].get(name), entry.get(name), "{name} of {path} in {session}");
        }
    }
}

/// What stands in entries without their content.
pub(crate) const LISTED: [&str; 8] =
    ["type", "mode", "size", "mtime", "target", "holes", "xattrs", "same_as"];

/// Checks a restored directory.
pub(crate) fn compare_restored(session: &str, dir: &Path) {
    let mut found = Map::new();
    walk(dir, "", &mut BTreeMap::new(), &mut found);
    let mut names = vec!["type", "mode", "size", "mtime", "target", "same_as", "content"];
    if takes_attributes(dir) {
        names.push("xattrs");
    }
    compare(session, &found, &names);
}

fn walk(
    dir: &Path,
    above: &str,
    inodes: &mut BTreeMap<u64, String>,
    found: &mut Map<String, Value>,
) {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names {
        let (place, path) = (dir.join(&name), format!("{above}/{}", shown(name.as_bytes())));
        let stat = fs::symlink_metadata(&place).unwrap();
        let kind = stat.file_type();
        let mut facts = json!({
            "mode": stat.mode() & 0o7777,
            "mtime": stat.mtime() * 1_000_000_000 + stat.mtime_nsec(),
        });
        if kind.is_file() {
            let content = fs::read(&place).unwrap();
            facts["type"] = json!("file");
            facts["size"] = json!(stat.size());
            if !content.is_empty() {
                facts["content"] = json!(blake3::hash(&content).to_hex().to_string());
            }
            if path.ends_with("/hole.bin") || path.ends_with("/sparse.bin") {
                assert!(stat.blocks() * 512 < stat.size(), "{path} has holes");
            }
            match inodes.get(&stat.ino()) {
                Some(first) => facts["same_as"] = json!(first),
                None => drop(inodes.insert(stat.ino(), path.clone())),
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(&place).unwrap();
            facts["type"] = json!("symlink");
            facts["target"] = json!(shown(target.as_os_str().as_bytes()));
        } else {
            assert!(kind.is_dir() || kind.is_fifo(), "{path}");
            facts["type"] = json!(if kind.is_dir() { "directory" } else { "fifo" });
        }
        let xattrs: Map<String, Value> = xattr::list(&place)
            .unwrap()
            .filter(|name| name.as_bytes().starts_with(b"user."))
            .map(|name| {
                let value = xattr::get(&place, &name).unwrap().unwrap();
                (shown(name.as_bytes()), json!(hex::encode(value)))
            })
            .collect();
        if !xattrs.is_empty() {
            facts["xattrs"] = Value::Object(xattrs);
        }
        let Value::Object(facts) = facts else { unreachable!("it is an object") };
        found.insert(path.clone(), Value::Object(facts));
        if kind.is_dir() {
            walk(&place, &path, inodes, found);
        }
    }
}

/// Every file below `dir`, relative to it.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A copy that a test may alter.
pub(crate) fn copy(target: &Path) {
    let from = repository();
    for file in files(&from) {
        let place = target.join(&file);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(from.join(&file), place).unwrap();
    }
}

/// A directory on the disk that holds the build, where attributes can be expected.
pub(crate) fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Opens one object of the golden repository.
fn open(name: &ObjectName) -> Vec<u8> {
    let dir = repository();
    let location = Location::local(&dir).unwrap();
    let backend = backend::open(&location, &backend::Options::default()).unwrap();
    object::open(&keyring(), name, &backend.get(name).unwrap()).unwrap()
}

#[test]
fn the_golden_repository_holds_every_kind_of_object() {
    let dir = repository();
    let names: Vec<ObjectName> =
        files(&dir).iter().map(|file| ObjectName::parse(file).unwrap()).collect();
    let kinds: BTreeSet<ObjectKind> = names.iter().map(ObjectName::kind).collect();
    assert_eq!(kinds, BTreeSet::from(ObjectKind::ALL));
    let total: u64 =
        files(&place()).iter().map(|file| fs::metadata(place().join(file)).unwrap().len()).sum();
    assert!(total < LEN_MAX, "{total} bytes");

    let keyring = keyring();
    let (mut slots, mut suites, mut found) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for name in &names {
        let bytes = fs::read(dir.join(name.as_str())).unwrap();
        match name.parsed() {
            Parsed::Config(number) => {
                let config = Config::decode(&open(name)).unwrap();
                suites.insert((number, config.suite as u8, config.epoch));
            }
            Parsed::Key(_) => slots.push(Slot::decode(&bytes).unwrap().kind as u8),
            Parsed::Pack(_) => {
                let header = open_header(&keyring, &bytes).unwrap();
                for origin in &header.origins {
                    found.insert(format!("suite {}", origin.suite as u8));
                }
                if header.origins.len() == 2 {
                    found.insert("moved frames".into());
                }
                let longer = bytes.len() > PACK_LEN as usize && header.frames.len() == 1;
                assert!(bytes.len() <= PACK_LEN as usize || longer);
                found.extend(longer.then(|| "long pack".into()));
            }
            Parsed::Index(session, sequence, _) => {
                let (fence, _) = segment::open(&keyring, (session, sequence), &bytes).unwrap();
                found.extend((!fence.supersedes.is_empty()).then(|| "superseding".into()));
            }
            Parsed::Session(..) => {
                let root = Root::decode(&open(name)).unwrap();
                found.insert(format!("final {}", root.is_final));
            }
            Parsed::Snapshot(_) => {
                found.insert(match Decision::decode(&open(name)).unwrap() {
                    Decision::Snapshot(_) => "snapshot".into(),
                    Decision::Abort { .. } => "abort".into(),
                });
            }
            Parsed::Tombstone(session) => {
                Tombstone::decode(&open(name), &session).unwrap();
                assert!(dir.join(ObjectName::snapshot(session).as_str()).exists());
            }
            Parsed::Generation(number, step) => {
                Generation::decode(&open(name), number, step).unwrap();
                found.insert(format!("{step:?}"));
            }
            Parsed::Note(session, _) => drop(Note::decode(&open(name), &session).unwrap()),
            Parsed::Ledger(..) => drop(LedgerRecord::decode(&open(name)).unwrap()),
        }
    }
    slots.sort_unstable();
    let kinds = [SlotKind::Passphrase, SlotKind::KeyFile, SlotKind::RecoveryCode];
    assert_eq!(slots, kinds.map(|kind| kind as u8));
    assert_eq!(suites, BTreeSet::from([(1, 1, 0), (2, 2, 1)]));
    let all = "Begin Candidates Doomed abort final_false final_true long_pack moved_frames \
               snapshot suite_1 suite_2 superseding";
    let all: Vec<String> = all.split(' ').map(|word| word.replace('_', " ")).collect();
    assert_eq!(Vec::from_iter(found), all);
}

#[test]
fn the_library_restores_the_golden_repository() {
    let dir = temporary();
    let root = dir.path().join("repository");
    copy(&root);
    let location = Location::local(&root).unwrap();
    let backend = backend::open(&location, &backend::Options::default()).unwrap();
    let secrets = [Secret::RecoveryCode(recovery_code()), Secret::KeyFile(key_file())];
    for (secret, (session, _)) in secrets.into_iter().zip(expected()) {
        let mut secret = Some(secret);
        let opened = Repository::open(Arc::clone(&backend), &mut |_| Ok(secret.take().unwrap()));
        let opened = Arc::new(opened.unwrap());
        let (problems, progress) = (Problems::default(), Progress::default());
        let run = ops::Run {
            clock: &SystemClock,
            problems: &problems,
            progress: &progress,
            cancel: &Cancel::default(),
        };
        let listed = Snapshots::read(&opened).unwrap();
        let sessions: BTreeSet<String> = listed.all.iter().map(|c| c.id.to_hex()).collect();
        assert_eq!(sessions, expected().keys().cloned().collect());
        // Notes hold, not what the snapshots said at first.
        for committed in &listed.all {
            let tags = expected()[&committed.id.to_hex()]["tags"].clone();
            assert_eq!(committed.snapshot.tags.join(","), tags);
        }

        let options = ops::ls::Options {
            snapshot: session.as_str().into(),
            paths: Vec::new(),
            recursive: true,
            cache_dir: None,
        };
        let (mut found, mut answers) = (Map::new(), Answers::default());
        ops::ls::ls(&opened, &options, &run, &mut |path: &[u8], entry: &Entry| {
            let above = &path[..path.len() - entry.name.len() - 1];
            answers.note(&shown(above), entry, None);
            Ok(())
        })
        .unwrap();
        found.append(&mut answers.entries);
        compare(&session, &found, &LISTED);

        let target = dir.path().join(&session);
        let has_attributes = takes_attributes(dir.path());
        let options = ops::restore::Options {
            snapshot: session.as_str().into(),
            target_options: target::Options {
                owner: false,
                xattrs: has_attributes,
                ..target::Options::default()
            },
            ..ops::restore::Options::new(target.clone())
        };
        ops::restore::restore(&opened, &options, &run).unwrap();
        let problems = problems.take();
        assert!(problems.is_empty(), "{problems:?}");
        compare_restored(&session, &target);
    }
}

#[test]
fn the_golden_passphrase_opens_its_slot() {
    let dir = repository();
    let secret = Secret::Passphrase(PASSPHRASE.as_bytes().to_vec().into());
    let opened = files(&dir.join("keys")).iter().any(|file| {
        let slot = Slot::decode(&fs::read(dir.join("keys").join(file)).unwrap()).unwrap();
        slot::open(&slot, &secret).is_ok_and(|(id, _)| id == id_of_golden())
    });
    assert!(opened);
}

fn id_of_golden() -> RepositoryId {
    keyring().repository()
}

/// The text of the key file, and the recovery code as it is printed.
pub(crate) fn codes() -> (String, String) {
    let text = |kind, key| code::to_text(kind, &key).to_string();
    (text(CodeKind::KeyFile, key_file()), text(CodeKind::Recovery, recovery_code()))
}
