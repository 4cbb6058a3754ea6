//! What the code says about the bytes of a vector.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use parados::base::{
    ChunkId, PackId, RepositoryId, SegmentId, SessionId, SlotId, Timestamp, WriterId,
};
use parados::chunk::{
    Chunker, GearTable, Pages, Params, Splitter, Tensors, cut_kernel, cut_reference, recognize,
};
use parados::format::config::Config;
use parados::format::entry::{Entry, Range, TreeRef};
use parados::format::envelope;
use parados::format::generation::Generation;
use parados::format::ledger::LedgerRecord;
use parados::format::list::ChunkList;
use parados::format::name::Parsed;
use parados::format::note::Note;
use parados::format::pack::{self, Origin};
use parados::format::segment::{self, Fence, SegmentEntry};
use parados::format::slot::{BUNDLE_LEN, Label, Slot, SlotKind, fixed};
use parados::format::snapshot::{Decision, Root, Seen, Snapshot};
use parados::format::tombstone::Tombstone;
use parados::format::tree::Node;
use parados::format::wire;
use parados::format::{
    Codec, DecodeError, FrameKind, GenerationStep, ObjectKind, ObjectName, Suite,
};
use parados::seal::code::{self, CodeKind};
use parados::seal::frame::FrameShape;
use parados::seal::keys::{Key, Keyring, Roots};
use parados::seal::slot::Secret;
use parados::seal::{aead, compress, frame, object, slot};

use crate::cbor::diagnostic;
use crate::document::Case;

/// Names and values that a case may state, in the order in which a person wants them.
pub(crate) type Facts = Vec<(&'static str, String)>;

/// Repository id of all sealed vectors.
pub(crate) const REPOSITORY: RepositoryId = RepositoryId::new([1; 32]);

/// The keys of all sealed vectors: root 0 is 00, 01, ... 1f; root 1 is 80, 81, ... 9f.
pub(crate) fn keyring() -> Keyring {
    Keyring::new(REPOSITORY, roots())
}

fn roots() -> Roots {
    let root = |first: u8| Key::new(std::array::from_fn(|i| first + i as u8));
    Roots::new(BTreeMap::from([(0, root(0)), (1, root(0x80))])).unwrap()
}

/// Runs the code over a case.
pub(crate) fn run(case: &Case) -> Result<Facts, DecodeError> {
    let kind = case.maybe("type").unwrap_or("");
    match (case.section.as_str(), kind) {
        ("keys", "roots") => Ok(key_roots(case)),
        ("keys", "session") => key_session(case),
        ("slot", "slot") => whole_slot(case),
        ("slot", "bundle") => slot_bundle(case),
        ("slot", "label") => slot_label(case),
        ("code", "") => key_code(case),
        ("envelope", "padme") => Ok(envelope_padme(case)),
        ("envelope", "header") => envelope_header(case),
        ("envelope", "inner") => envelope_inner(case),
        ("envelope", "object") => envelope_object(case),
        ("config", "") => config(case),
        ("planes", "") => planes(case),
        ("frame", "") => sealed_frame(case),
        ("pack", "prefix") => pack_prefix(case),
        ("pack", "trailer") => pack_trailer(case),
        ("pack", "header") => pack_header(case),
        ("pack", "whole") => whole_pack(case),
        ("segment", "fence") => segment_fence(case),
        ("segment", "block") => segment_block(case),
        ("segment", "trailer") => segment_trailer(case),
        ("segment", "whole") => whole_segment(case),
        ("chunk-ids", "") => chunk_id(case),
        ("chunker", "gear") => Ok(gear(case)),
        ("chunker", "cut") => Ok(cuts(case)),
        ("chunker", "pages") => Ok(pages(case)),
        ("chunker", "tensors") => Ok(tensors(case)),
        ("list", "") => list(case),
        ("entry", "") => entry(case),
        ("tree", "node") => node(case),
        ("tree", "name-hash") => Ok(name_hash(case)),
        ("snapshot", "decision") => decision(case),
        ("snapshot", "root") => root(case),
        ("tombstone", "") => tombstone(case),
        ("generation", "") => generation(case),
        ("note", "") => note(case),
        ("ledger", "") => ledger(case),
        ("name", "") => name(case),
        (section, kind) => panic!("{case}: no way to check type `{kind}` of section `{section}`"),
    }
}

// ---------------------------------------------------------------------------------------------
// Keys, as the document derives them beside the code
// ---------------------------------------------------------------------------------------------

/// `derive` of the document.
pub(crate) fn derive(purpose: &str, material: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(&format!("parados 2026-11-23 v1 {purpose}"));
    for part in material {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Root key of an epoch.
fn root_key(epoch: u32) -> [u8; 32] {
    let roots = roots();
    *roots.iter().find(|(e, _)| *e == epoch).expect("the epoch exists").1.expose()
}

fn kind_key(epoch: u32, kind: u8) -> [u8; 32] {
    let repository = REPOSITORY;
    derive("object", &[&root_key(epoch), repository.as_bytes(), &epoch.to_le_bytes(), &[kind]])
}

/// The object key of the document.
pub(crate) fn object_key(epoch: u32, kind: u8, salt: &[u8]) -> [u8; 32] {
    derive("object key", &[&kind_key(epoch, kind), salt])
}

/// The session key of the document.
pub(crate) fn session_key(epoch: u32, suite: u8, session: &[u8]) -> [u8; 32] {
    derive("session", &[&kind_key(epoch, 3), session, &[suite]])
}

fn key_roots(case: &Case) -> Facts {
    assert_eq!(case.array::<32>("repository"), *REPOSITORY.as_bytes());
    assert_eq!(case.array::<32>("root-0"), root_key(0));
    assert_eq!(case.array::<32>("root-1"), root_key(1));
    let salt: [u8; 32] = case.array("salt");
    let (keyring, repository) = (keyring(), REPOSITORY);
    let first = |purpose| derive(purpose, &[&root_key(0), repository.as_bytes()]);
    assert_eq!(*keyring.chunker().expose(), first("chunker"));
    for kind in ObjectKind::ALL {
        for epoch in [0, 1] {
            let key = keyring.object_key(kind, epoch, &salt).unwrap();
            assert_eq!(*key.expose(), object_key(epoch, kind as u8, &salt));
        }
    }
    let label = derive("slot label", &[&root_key(0), repository.as_bytes(), &salt]);
    assert_eq!(*keyring.label_key(&salt).expose(), label);
    vec![
        ("chunk-id-key", hex::encode(first("chunk id"))),
        ("tree-id-key", hex::encode(first("tree id"))),
        ("chunker-key", hex::encode(first("chunker"))),
        ("name-hash-key", hex::encode(first("name hash"))),
        ("kind-key-of-epoch-0-kind-1", hex::encode(kind_key(0, 1))),
        ("object-key-of-epoch-0-kind-1", hex::encode(object_key(0, 1, &salt))),
        ("object-key-of-epoch-1-kind-6", hex::encode(object_key(1, 6, &salt))),
        ("label-key", hex::encode(label)),
    ]
}

fn key_session(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let origin: Origin = wire::decode(&bytes, 1024)?;
    origin.validate()?;
    let session = keyring().session(&origin)?;
    let key = session_key(origin.epoch, origin.suite as u8, origin.session.as_bytes());
    assert_eq!(*session.key.expose(), key, "{case}");
    assert_eq!(origin.commitment, derive("session commitment", &[&key]), "{case}");
    let salt: [u8; 24] = case.array("salt");
    let mut facts = diag(case, &bytes);
    facts.extend([
        ("session", origin.session.to_hex()),
        ("suite", (origin.suite as u8).to_string()),
        ("epoch", origin.epoch.to_string()),
        ("session-key", hex::encode(key)),
        ("commitment", hex::encode(origin.commitment)),
        ("frame-key", hex::encode(derive("frame", &[&key, &salt]))),
        ("pack-header-key", hex::encode(derive("pack header", &[&key, &salt]))),
        ("pack-trailer-key", hex::encode(derive("pack trailer", &[&key, &salt]))),
    ]);
    Ok(facts)
}

fn secret(case: &Case) -> Secret {
    if let Some(passphrase) = case.maybe("passphrase") {
        return Secret::Passphrase(passphrase.as_bytes().to_vec().into());
    }
    let key = Key::new(case.array("secret"));
    match case.text("secret-kind") {
        "2" => Secret::KeyFile(key),
        "3" => Secret::RecoveryCode(key),
        other => panic!("{case}: no kind {other}"),
    }
}

fn whole_slot(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let slot = Slot::decode(&bytes)?;
    assert_eq!(slot.encode(), bytes, "{case}");
    let (repository, roots) = slot::open(&slot, &secret(case))?;
    let label = slot::label(&Keyring::new(repository, roots.clone()), &slot)?;
    let mut facts = vec![
        ("kind", (slot.kind as u8).to_string()),
        ("repository", slot.repository.to_hex()),
        ("slot-id", slot.id.to_hex()),
    ];
    if let Some(cost) = slot.cost {
        facts.push(("cost", format!("{} {} {}", cost.memory_kib, cost.passes, cost.lanes)));
    }
    facts.extend([
        ("salt", hex::encode(slot.salt)),
        ("commitment", hex::encode(slot.commitment)),
        ("label-salt", hex::encode(slot.label_salt)),
    ]);
    let mut roots = roots.iter();
    facts.push(("root-0", hex::encode(roots.next().unwrap().1.expose())));
    facts.push(("root-1", hex::encode(roots.next().unwrap().1.expose())));
    facts.push(("label", diagnostic(&wire::encode(&label)).unwrap()));
    Ok(facts)
}

/// Key and commitment of a slot that a random key opens.
pub(crate) fn slot_secret(kind: u8, secret: &[u8; 32], salt: &[u8; 32]) -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut hasher = blake3::Hasher::new_derive_key("parados 2026-11-23 v1 slot secret");
    hasher.update(&[kind]).update(secret).update(salt).finalize_xof().fill(&mut bytes);
    bytes
}

/// A slot around any 512 bytes in place of a bundle.
pub(crate) fn slot_around(raw: &[u8]) -> (Slot, Secret) {
    let secret = [0x33; 32];
    let stretched = slot_secret(2, &secret, &[0x44; 32]);
    let mut slot = Slot {
        repository: REPOSITORY,
        id: SlotId::new([0x55; 32]),
        kind: SlotKind::KeyFile,
        cost: None,
        salt: [0x44; 32],
        commitment: stretched[32..].try_into().unwrap(),
        bundle: [0; BUNDLE_LEN + 16],
        label_salt: [0x66; 32],
        label: [0; 272],
    };
    let key = Key::new(stretched[..32].try_into().unwrap());
    let mut sealed = raw.to_vec();
    aead::seal(Suite::ChaCha20Poly1305, &key, 0, &slot.encode_clear(), &mut sealed, 0);
    slot.bundle = sealed.try_into().unwrap();
    (slot, Secret::KeyFile(Key::new(secret)))
}

fn slot_bundle(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let (slot, secret) = slot_around(&bytes);
    let (repository, roots) = slot::open(&slot, &secret)?;
    let mut body = repository.as_bytes().to_vec();
    body.extend((roots.iter().len() as u32).to_le_bytes());
    for (epoch, key) in roots.iter() {
        body.extend(epoch.to_le_bytes());
        body.extend(key.expose());
    }
    assert_eq!(fixed::<BUNDLE_LEN>(&body)[..], bytes, "{case}");
    let epochs: Vec<_> = roots.iter().map(|(epoch, _)| epoch.to_string()).collect();
    Ok(vec![("repository", repository.to_hex()), ("epochs", epochs.join(" "))])
}

fn slot_label(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let label = Label::decode(&bytes)?;
    assert_eq!(label.encode()[..], bytes, "{case}");
    Ok(vec![
        ("label", diagnostic(&wire::encode(&label)).unwrap()),
        ("created", label.created.to_rfc3339()),
        ("host", label.host),
        ("user", label.user),
        ("free-text", label.text),
    ])
}

fn key_code(case: &Case) -> Result<Facts, DecodeError> {
    let kind = match case.text("kind") {
        "recovery" => CodeKind::Recovery,
        "key-file" => CodeKind::KeyFile,
        other => panic!("{case}: no kind {other}"),
    };
    let typed = case.maybe("typed");
    let key = code::from_text(kind, typed.unwrap_or_else(|| case.text("text")))
        .ok_or(DecodeError::Encoding)?;
    if typed.is_none() {
        assert_eq!(*code::to_text(kind, &key), case.text("text"), "{case}");
    }
    Ok(vec![("key", hex::encode(key.expose()))])
}

// ---------------------------------------------------------------------------------------------
// Sealed objects
// ---------------------------------------------------------------------------------------------

fn envelope_padme(case: &Case) -> Facts {
    let padded: Vec<_> = case
        .text("lengths")
        .split_whitespace()
        .map(|len| parados::base::size::padme(len.parse().unwrap()).to_string())
        .collect();
    vec![("padded", padded.join(" "))]
}

fn envelope_header(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let header = envelope::Header::decode(&bytes)?;
    assert_eq!(header.encode()[..], bytes, "{case}");
    Ok(vec![
        ("kind", (header.kind as u8).to_string()),
        ("suite", (header.suite as u8).to_string()),
        ("epoch", header.epoch.to_string()),
        ("salt", hex::encode(header.salt)),
    ])
}

fn envelope_inner(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let (codec, raw_len, stored) = envelope::unpad(&bytes)?;
    assert_eq!(envelope::lay_out(stored, raw_len, codec, bytes.len()), bytes, "{case}");
    let body = compress::decompress(codec, stored.to_vec(), raw_len)?;
    Ok(vec![
        ("stored-length", stored.len().to_string()),
        ("raw-length", raw_len.to_string()),
        ("codec", (codec as u8).to_string()),
        ("body", hex::encode(body)),
    ])
}

/// Opens a sealed object by the words of the document.
///
/// Its steps are those of `seal::object::open`, which takes only bytes from a backend.
pub(crate) fn open_object(name: &ObjectName, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let header = envelope::Header::decode(bytes)?;
    if header.kind != name.kind() {
        return Err(DecodeError::Magic);
    }
    let key = keyring().object_key(header.kind, header.epoch, &header.salt)?;
    let associated = object_associated(&bytes[..48], name.as_str());
    let inner = aead::open(header.suite, &key, 0, &associated, &bytes[48..])?;
    let (codec, raw_len, stored) = envelope::unpad(&inner)?;
    compress::decompress(codec, stored.to_vec(), raw_len)
}

/// Associated data of a sealed object.
pub(crate) fn object_associated(header: &[u8], name: &str) -> Vec<u8> {
    [REPOSITORY.as_bytes(), header, name.as_bytes()].concat()
}

fn envelope_object(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let name = ObjectName::parse(case.text("name"))?;
    let body = open_object(&name, &bytes)?;
    let header = envelope::Header::decode(&bytes)?;
    // What the code seals opens by the words of the document too.
    let sealed = object::seal(&keyring(), header.suite, header.epoch, &name, &body);
    assert_eq!(open_object(&name, sealed.bytes()).as_ref(), Ok(&body), "{case}");
    assert_eq!(object::open(&keyring(), &name, &sealed).as_ref(), Ok(&body), "{case}");
    Ok(vec![
        ("key", hex::encode(object_key(header.epoch, header.kind as u8, &header.salt))),
        ("associated", hex::encode(object_associated(&bytes[..48], name.as_str()))),
        ("body", hex::encode(body)),
    ])
}

fn origin_of(case: &Case) -> Origin {
    wire::decode(&case.bytes("origin"), 1024).unwrap()
}

fn planes(case: &Case) -> Result<Facts, DecodeError> {
    let codec = Codec::from_u8(case.number("codec") as u8)?;
    let raw_len = case.number("raw-length") as usize;
    Ok(vec![("raw", hex::encode(compress::decompress(codec, case.bytes("bytes"), raw_len)?))])
}

fn sealed_frame(case: &Case) -> Result<Facts, DecodeError> {
    let origin = origin_of(case);
    let shape = FrameShape {
        origin: &origin,
        kind: FrameKind::from_u8(case.number("kind") as u8)?,
        codec: Codec::from_u8(case.number("codec") as u8)?,
        raw_len: case.number("raw-length") as u32,
    };
    let bytes = case.bytes("bytes");
    let keyring = keyring();
    let raw = frame::open(&keyring, &shape, &bytes)?;
    if case.maybe("id").is_some() {
        frame::verify(&keyring, shape.kind, &ChunkId::new(case.array("id")), &raw)?;
    }
    let key = session_key(origin.epoch, origin.suite as u8, origin.session.as_bytes());
    let key = derive("frame", &[&key, &bytes[..24]]);
    let associated = frame_associated(&shape);
    let opened = aead::open(origin.suite, &Key::new(key), 0, &associated, &bytes[24..]);
    assert!(opened.is_ok(), "{case}");
    Ok(vec![
        ("key", hex::encode(key)),
        ("associated", hex::encode(associated)),
        ("raw", hex::encode(raw)),
    ])
}

/// Associated data of a frame.
pub(crate) fn frame_associated(shape: &FrameShape<'_>) -> Vec<u8> {
    [
        REPOSITORY.as_bytes(),
        &[shape.origin.suite as u8][..],
        &shape.origin.epoch.to_le_bytes(),
        shape.origin.session.as_bytes(),
        &[shape.kind as u8, shape.codec as u8],
        &shape.raw_len.to_le_bytes(),
    ]
    .concat()
}

// ---------------------------------------------------------------------------------------------
// Packs, segments
// ---------------------------------------------------------------------------------------------

fn pack_prefix(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let prefix = pack::Prefix::decode(&bytes)?;
    assert_eq!(prefix.encode()[..], bytes, "{case}");
    let origin = prefix.0;
    Ok(vec![
        ("suite", (origin.suite as u8).to_string()),
        ("wrap", origin.wrap.to_string()),
        ("epoch", origin.epoch.to_string()),
        ("session", origin.session.to_hex()),
        ("commitment", hex::encode(origin.commitment)),
    ])
}

fn pack_trailer(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let trailer = pack::Trailer::decode(&bytes, case.number("pack-length"))?;
    assert_eq!(trailer.encode()[..], bytes, "{case}");
    Ok(vec![
        ("frames-end", trailer.frames_end.to_string()),
        ("header-length", trailer.header_len.to_string()),
    ])
}

fn pack_header(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let header = pack::Header::decode(&bytes, case.number("frames-end"))?;
    assert_eq!(header.encode(), bytes, "{case}");
    let mut facts = diag(case, &bytes);
    facts.push(("origins", hexes(header.origins.iter().map(|o| o.session.to_hex()))));
    facts.push((
        "frames",
        hexes(header.frames.iter().map(|f| {
            format!(
                "{}/{}/{}/{}/{}",
                f.sealed_len, f.raw_len, f.codec as u8, f.kind as u8, f.origin
            )
        })),
    ));
    facts.push((
        "chunks",
        hexes(header.frames.iter().flat_map(|f| &f.chunks).map(|c| format!("{}/{}", c.id, c.len))),
    ));
    Ok(facts)
}

fn whole_pack(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let keyring = keyring();
    let header = parados::seal::pack::open_header(&keyring, &bytes)?;
    let (mut start, mut raws) = (pack::PREFIX_LEN, Vec::new());
    for record in &header.frames {
        let end = start + record.sealed_len as usize;
        let shape = FrameShape {
            origin: &header.origins[record.origin as usize],
            kind: record.kind,
            codec: record.codec,
            raw_len: record.raw_len,
        };
        let raw = frame::open(&keyring, &shape, &bytes[start..end])?;
        let mut offset = 0;
        for chunk in &record.chunks {
            let end = offset + chunk.len as usize;
            frame::verify(&keyring, record.kind, &chunk.id, &raw[offset..end])?;
            offset = end;
        }
        raws.push(hex::encode(raw));
        start = end;
    }
    let pack::Prefix(origin) = pack::Prefix::decode(&bytes)?;
    let key = session_key(origin.epoch, origin.suite as u8, origin.session.as_bytes());
    let part = |purpose, sealed: &[u8]| {
        let key = Key::new(derive(purpose, &[&key, &sealed[..24]]));
        aead::open(origin.suite, &key, 0, &bytes[..128], &sealed[24..]).unwrap()
    };
    let trailer = part("pack trailer", &bytes[bytes.len() - 64..]);
    let header_len = u64::from_le_bytes(trailer[16..24].try_into().unwrap()) as usize;
    let sealed_header = &bytes[bytes.len() - 64 - header_len..bytes.len() - 64];
    assert_eq!(part("pack header", sealed_header), header.encode(), "{case}");
    Ok(vec![
        ("id", blake3::hash(&bytes).to_hex().to_string()),
        ("trailer", hex::encode(trailer)),
        ("header", diagnostic(&header.encode()).unwrap()),
        ("raws", raws.join(" ")),
    ])
}

fn fence_facts(fence: &Fence) -> Facts {
    vec![
        ("entries", fence.entry_count().to_string()),
        ("packs", hexes(fence.packs.iter().map(|p| format!("{}/{}", p.id, p.len)))),
        (
            "frames",
            hexes(fence.packs.iter().flat_map(|p| &p.frames).map(|f| {
                format!(
                    "{}/{}/{}/{}/{}",
                    f.sealed_len, f.raw_len, f.codec as u8, f.kind as u8, f.origin
                )
            })),
        ),
        (
            "blocks",
            hexes(fence.blocks.iter().map(|b| format!("{}/{}/{}", b.first, b.sealed_len, b.count))),
        ),
        ("supersedes", hexes(fence.supersedes.iter().map(SegmentId::to_hex))),
    ]
}

fn entry_facts(entries: &[SegmentEntry]) -> String {
    hexes(entries.iter().map(|e| format!("{}/{}/{}/{}/{}", e.id, e.pack, e.frame, e.offset, e.len)))
}

fn segment_fence(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let fence = Fence::decode(&bytes)?;
    assert_eq!(fence.encode(), bytes, "{case}");
    let mut facts = diag(case, &bytes);
    facts.extend(fence_facts(&fence));
    Ok(facts)
}

fn segment_block(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let fence = Fence::decode(&case.bytes("fence")).unwrap();
    let entries = segment::decode_block(&bytes, &fence.blocks[0], &fence)?;
    assert_eq!(segment::encode_block(&entries), bytes, "{case}");
    assert!(entries.iter().all(|entry| fence.may_contain(&entry.id)), "{case}");
    let filter = segment::build_filter(entries.len(), entries.iter().map(|e| &e.id));
    assert_eq!(filter, fence.filter, "{case}");
    let mut facts = diag(case, &bytes);
    facts.push(("entries", entry_facts(&entries)));
    Ok(facts)
}

fn segment_trailer(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let trailer = segment::Trailer::decode(&bytes, case.number("total-length"))?;
    assert_eq!(trailer.encode()[..], bytes, "{case}");
    Ok(vec![
        ("fence-offset", trailer.fence_offset.to_string()),
        ("fence-length", trailer.fence_len.to_string()),
    ])
}

fn whole_segment(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let session = SessionId::new(case.array("session"));
    let sequence = case.number("sequence") as u32;
    let (fence, entries) = parados::seal::segment::open(&keyring(), (session, sequence), &bytes)?;
    let header = envelope::Header::decode(&bytes)?;
    let key = object_key(header.epoch, 4, &header.salt);
    let name = format!("index/{session}-{sequence}");
    let associated = object_associated(&bytes[..48], &name);
    let block_end = 48 + fence.blocks[0].sealed_len as usize;
    let open = |number, sealed| {
        aead::open(header.suite, &Key::new(key), number, &associated, sealed).unwrap()
    };
    let trailer = open(u64::MAX, &bytes[bytes.len() - 40..]);
    Ok(vec![
        ("id", blake3::hash(&bytes).to_hex().to_string()),
        ("key", hex::encode(key)),
        ("associated", hex::encode(&associated)),
        ("trailer", hex::encode(trailer)),
        ("fence", diagnostic(&fence.encode()).unwrap()),
        ("block-0-inner", hex::encode(open(0, &bytes[48..block_end]))),
        ("entries", entry_facts(&entries)),
    ])
}

// ---------------------------------------------------------------------------------------------
// Chunks
// ---------------------------------------------------------------------------------------------

fn chunk_id(case: &Case) -> Result<Facts, DecodeError> {
    let kind = FrameKind::from_u8(case.number("kind") as u8)?;
    let raw = case.bytes("raw");
    frame::verify(&keyring(), kind, &ChunkId::new(case.array("id")), &raw)?;
    let purpose = if kind == FrameKind::Data { "chunk id" } else { "tree id" };
    let key = derive(purpose, &[&root_key(0), REPOSITORY.as_bytes()]);
    assert_eq!(blake3::keyed_hash(&key, &raw).as_bytes()[..], case.bytes("id"), "{case}");
    Ok(vec![("key", hex::encode(key))])
}

/// The gear table by the words of the document.
fn gear_table(key: &[u8; 32]) -> Vec<u64> {
    let mut bytes = [0; 2048];
    blake3::Hasher::new_keyed(key).update(b"parados gear table 1").finalize_xof().fill(&mut bytes);
    bytes.as_chunks().0.iter().map(|entry| u64::from_le_bytes(*entry)).collect()
}

fn gear(case: &Case) -> Facts {
    let table = gear_table(&case.array("key"));
    let bytes: Vec<_> = table.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    vec![
        ("entry-0", table[0].to_string()),
        ("entry-1", table[1].to_string()),
        ("entry-255", table[255].to_string()),
        ("digest", blake3::hash(&bytes).to_hex().to_string()),
    ]
}

/// The end of the first chunk by the words of the document.
fn cut_in_words(data: &[u8], params: &Params, table: &[u64]) -> usize {
    let bits = params.avg().trailing_zeros();
    let ones = |least: u32| (least..=62).fold(0u64, |mask, bit| mask | 1 << bit);
    let end = data.len().min(params.max() as usize);
    if end <= params.min() as usize {
        return end;
    }
    let mut hash = 0u64;
    for p in params.min() as usize..end / 2 * 2 {
        hash = hash.wrapping_mul(2).wrapping_add(table[usize::from(data[p])]);
        let mask = ones(if p < params.avg() as usize { 62 - bits } else { 64 - bits });
        if hash & mask == 0 {
            return p;
        }
    }
    end
}

fn cuts(case: &Case) -> Facts {
    let key = case.array("key");
    let size = |key| case.number(key) as u32;
    let params = Params::new(size("min"), size("avg"), size("max")).unwrap();
    let mut data = vec![0; size("stream-length") as usize];
    let mut stream = blake3::Hasher::new();
    stream.update(case.text("stream").as_bytes()).finalize_xof().fill(&mut data);
    let (table, words) = (GearTable::new(&key), gear_table(&key));
    let (mut rest, mut lens) = (&data[..], Vec::new());
    while !rest.is_empty() {
        let len = cut_reference(rest, &params, &table);
        assert_eq!(len, cut_kernel(rest, &params, &table), "{case}");
        assert_eq!(len, cut_in_words(rest, &params, &words), "{case}");
        lens.push(len as u32);
        rest = &rest[len..];
    }
    let bytes: Vec<_> = lens.iter().flat_map(|len| len.to_le_bytes()).collect();
    vec![
        ("first", hexes(lens[..8].iter().map(u32::to_string))),
        ("count", lens.len().to_string()),
        ("digest", blake3::hash(&bytes).to_hex().to_string()),
    ]
}

fn pages(case: &Case) -> Facts {
    let (mut offset, mut left) = (case.number("offset"), case.number("length") as usize);
    let mut lens = Vec::new();
    while let Some(len) = Pages::DATABASE.next_cut(offset, left, true) {
        lens.push(len.to_string());
        offset += len as u64;
        left -= len;
    }
    vec![("lengths", lens.join(" "))]
}

/// The lengths of a file of which only the start matters.
fn tensors(case: &Case) -> Facts {
    let (mut file, size) = (case.bytes("bytes"), case.number("file-length"));
    let Ok(table) = recognize(&file, size) else { return vec![("lengths", "general".into())] };
    let chunker = Chunker::new(Params::GENERAL, Arc::new(GearTable::new(&[0; 32])));
    let splitter = Splitter::Tensors(Tensors::new(chunker, table));
    file.resize(size as usize, 0);
    let lens: Vec<_> = splitter.split(0, &file).map(|range| range.len().to_string()).collect();
    vec![("lengths", lens.join(" "))]
}

fn piece_facts(list: &ChunkList) -> Facts {
    vec![
        ("level", list.level.to_string()),
        ("pieces", hexes(list.pieces.iter().map(|p| format!("{}/{}", p.id, p.len)))),
        ("content-length", list.content_len().unwrap().to_string()),
    ]
}

fn list(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let list = ChunkList::decode_page(&bytes)?;
    assert_eq!(list.encode_page(), bytes, "{case}");
    let mut facts = diag(case, &bytes);
    facts.extend(piece_facts(&list));
    Ok(facts)
}

// ---------------------------------------------------------------------------------------------
// Records
// ---------------------------------------------------------------------------------------------

/// The notation of canonical bytes that the code took: nothing else is canonical.
fn diag(case: &Case, bytes: &[u8]) -> Facts {
    let text = diagnostic(bytes).unwrap_or_else(|| panic!("{case}: taken, but not canonical"));
    vec![("diag", text)]
}

fn hexes(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" ")
}

fn ids<K>(ids: &[parados::base::Id<K>]) -> String {
    hexes(ids.iter().map(parados::base::Id::to_hex))
}

fn time(time: Timestamp) -> String {
    time.to_rfc3339()
}

/// Collects facts, leaving out those that are absent.
struct Facing(Facts);

impl Facing {
    fn add(&mut self, name: &'static str, value: impl ToString) -> &mut Self {
        self.0.push((name, value.to_string()));
        self
    }

    fn maybe<T>(&mut self, name: &'static str, value: Option<T>, say: impl Fn(T) -> String) {
        if let Some(value) = value {
            self.0.push((name, say(value)));
        }
    }
}

fn config(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let config = Config::decode(&bytes)?;
    assert_eq!(config.encode(), bytes, "{case}");
    let lens = config.chunker;
    let mut facing = Facing(diag(case, &bytes));
    facing
        .add("version", config.version)
        .add("repository", config.repository)
        .add("suite", config.suite as u8)
        .add("epoch", config.epoch)
        .add("chunker", format!("{} {} {}", lens.min, lens.avg, lens.max))
        .add("pack-length", config.pack_len)
        .add("features", config.features)
        .add("created", time(config.created))
        .maybe("predecessor", config.predecessor.as_ref(), hex::encode);
    facing
        .add("create-is-exclusive", config.probe.create_is_exclusive)
        .add("list-is-immediate", config.probe.list_is_immediate);
    Ok(facing.0)
}

fn ranges(ranges: &[Range]) -> String {
    hexes(ranges.iter().map(|r| format!("{}+{}", r.offset, r.len)))
}

fn tree_ref(tree: TreeRef) -> String {
    format!("{}/{}/{}/{}", tree.id, tree.level, tree.entry_count, tree.content_bytes)
}

fn entry(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let entry = Entry::decode(&bytes)?;
    assert_eq!(entry.encode(), bytes, "{case}");
    let mut facing = Facing(diag(case, &bytes));
    facing
        .add("name", entry.name.escape_ascii())
        .add("kind", entry.kind as u8)
        .add("mode", format!("{:o}", entry.mode))
        .add("uid", entry.uid)
        .add("gid", entry.gid)
        .maybe("user", entry.user.as_ref(), |b| b.escape_ascii().to_string());
    facing.maybe("group", entry.group.as_ref(), |b| b.escape_ascii().to_string());
    facing.maybe("mtime", entry.mtime, time);
    facing.maybe("xattrs", entry.xattrs.as_ref(), |xattrs| {
        hexes(
            xattrs.iter().map(|x| format!("{}={}", x.name.escape_ascii(), x.value.escape_ascii())),
        )
    });
    facing.maybe("link", entry.link, |l| format!("{} {}", l.mount, l.inode));
    facing.maybe("device", entry.device, |d| format!("{} {}", d.major, d.minor));
    facing.maybe("target", entry.target.as_ref(), |b| b.escape_ascii().to_string());
    facing.maybe("size", entry.size, |size| size.to_string());
    facing.maybe("holes", entry.holes.as_deref(), ranges);
    if let Some(list) = &entry.content {
        facing.0.extend(piece_facts(list));
    }
    facing.maybe("tree", entry.tree, tree_ref);
    facing.maybe("flags", entry.flags, |flags| flags.to_string());
    facing.maybe("profile", entry.profile, |profile| profile.to_string());
    facing.maybe("lost", entry.lost.as_deref(), ranges);
    Ok(facing.0)
}

fn node(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let node = Node::decode(&bytes, case.number("level") as u8)?;
    assert_eq!(node.encode(), bytes, "{case}");
    let mut facing = Facing(diag(case, &bytes));
    match node {
        Node::Leaf(entries) => {
            facing.add("names", hexes(entries.iter().map(|e| e.name.escape_ascii().to_string())));
        }
        Node::Branch(_, children) => {
            facing.add(
                "children",
                hexes(children.iter().map(|c| {
                    let first = c.first.escape_ascii();
                    format!("{first}/{}/{}/{}", c.id, c.entry_count, c.content_bytes)
                })),
            );
        }
    }
    Ok(facing.0)
}

fn name_hash(case: &Case) -> Facts {
    let name = case.text("name").as_bytes();
    let key = derive("name hash", &[&root_key(0), REPOSITORY.as_bytes()]);
    let head = *blake3::keyed_hash(&key, name).as_bytes().first_chunk().unwrap();
    let hash = u64::from_le_bytes(head);
    assert_eq!(keyring().name_hash(name), hash, "{case}");
    vec![("key", hex::encode(key)), ("hash", hash.to_string())]
}

fn seen(seen: &[Seen]) -> String {
    hexes(seen.iter().map(|s| format!("{}/{}/{}", s.writer, s.session, s.sequence)))
}

fn snapshot(facing: &mut Facing, snapshot: &Snapshot) {
    for component in &snapshot.components {
        let s = component.statistics;
        facing.add("component", format!("{} {}", component.name, component.kind)).maybe(
            "tier",
            component.tier.as_ref(),
            String::clone,
        );
        facing.maybe("tree", component.root, tree_ref);
        facing
            .add(
                "statistics",
                format!(
                    "{} {} {} {} {} {} {}",
                    s.file_count,
                    s.directory_count,
                    s.other_count,
                    s.content_bytes,
                    s.new_bytes,
                    s.stored_bytes,
                    s.problem_count
                ),
            )
            .add("state", component.state as u8)
            .add("paths", hexes(component.paths.iter().map(|p| p.0.escape_ascii().to_string())));
    }
    facing.maybe("recovery-point", snapshot.recovery_point.as_ref(), hex::encode);
    facing
        .add("time", time(snapshot.time))
        .add("finished", time(snapshot.finished))
        .add("host", &snapshot.host)
        .add("user", &snapshot.user)
        .add("tags", snapshot.tags.join(" "))
        .add("program", &snapshot.program)
        .add("writer", snapshot.writer)
        .add("sequence", snapshot.sequence)
        .maybe("parent", snapshot.parent, |id| id.to_hex());
    facing.add("segments", ids(&snapshot.segments)).add("seen", seen(&snapshot.seen));
    facing.maybe("description", snapshot.description.as_ref(), String::clone);
}

fn decision(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let decision = Decision::decode(&bytes)?;
    assert_eq!(decision.encode(), bytes, "{case}");
    let mut facing = Facing(diag(case, &bytes));
    match &decision {
        Decision::Snapshot(taken) => snapshot(&mut facing, taken),
        Decision::Abort { time: at, reason } => {
            facing.add("time", time(*at)).add("reason", reason);
        }
    }
    Ok(facing.0)
}

fn root(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let root = Root::decode(&bytes)?;
    assert_eq!(root.encode(), bytes, "{case}");
    let mut facing = Facing(diag(case, &bytes));
    facing.add("final", root.is_final);
    snapshot(&mut facing, &root.snapshot);
    Ok(facing.0)
}

fn tombstone(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let tombstone = Tombstone::decode(&bytes, &SessionId::new(case.array("session")))?;
    assert_eq!(tombstone.encode(), bytes, "{case}");
    let mut facing = Facing(diag(case, &bytes));
    facing
        .add("sessions", ids(&tombstone.sessions))
        .add("time", time(tombstone.time))
        .add("seen", seen(&tombstone.seen))
        .add("reason", tombstone.reason);
    Ok(facing.0)
}

fn generation(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let step = match case.text("step") {
        "c" => GenerationStep::Candidates,
        "b" => GenerationStep::Begin,
        "d" => GenerationStep::Doomed,
        other => panic!("{case}: no step {other}"),
    };
    let generation = Generation::decode(&bytes, case.number("number"), step)?;
    assert_eq!(generation.encode(), bytes, "{case}");
    let mut facing = Facing(diag(case, &bytes));
    facing.add("time", time(generation.time)).add("packs", ids::<_>(&generation.packs));
    Ok(facing.0)
}

fn note(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let note = Note::decode(&bytes, &SessionId::new(case.array("session")))?;
    assert_eq!(note.encode(), bytes, "{case}");
    let mut facing = Facing(diag(case, &bytes));
    facing.add("time", time(note.time)).maybe("tags", note.tags, |tags| tags.join(" "));
    facing.maybe("pinned", note.pinned, |pinned| pinned.to_string());
    facing.maybe("description", note.description, |text| text);
    Ok(facing.0)
}

fn ledger(case: &Case) -> Result<Facts, DecodeError> {
    let bytes = case.bytes("bytes");
    let record = LedgerRecord::decode(&bytes)?;
    assert_eq!(record.encode(), bytes, "{case}");
    let (writer, verified): (WriterId, Vec<PackId>) = (record.writer, record.verified);
    let mut facing = Facing(diag(case, &bytes));
    facing.add("time", time(record.time)).add("writer", writer).add("verified", ids(&verified));
    facing.maybe("drill", record.drill, |json| json);
    facing.maybe("damaged", record.damaged, |damaged: Vec<PackId>| ids(&damaged));
    Ok(facing.0)
}

fn name(case: &Case) -> Result<Facts, DecodeError> {
    let name = ObjectName::parse(case.text("text"))?;
    assert_eq!(name.as_str(), case.text("text"));
    assert_eq!(ObjectName::of(&name.parsed()), name);
    assert!(name.as_str().starts_with(name.kind().prefix()));
    let mut facing = Facing(Vec::new());
    facing.add("kind", name.kind() as u8);
    match name.parsed() {
        Parsed::Config(n) => facing.add("n", n),
        Parsed::Key(id) => facing.add("id", id),
        Parsed::Pack(id) => facing.add("id", id),
        Parsed::Index(session, seq, id) => {
            facing.add("session", session).add("sequence", seq).add("id", id)
        }
        Parsed::Session(session, n) | Parsed::Note(session, n) => {
            facing.add("session", session).add("n", n)
        }
        Parsed::Snapshot(session) | Parsed::Tombstone(session) => facing.add("session", session),
        Parsed::Generation(n, step) => {
            facing.add("n", n).add("step", format!("{step:?}").to_lowercase())
        }
        Parsed::Ledger(kind, id) => facing.add("ledger", kind).add("id", id),
    };
    Ok(facing.0)
}

/// The name of an error, without what it carries.
pub(crate) fn variant(error: &impl Debug) -> String {
    let text = format!("{error:?}");
    text.split('(').next().unwrap_or_default().to_owned()
}
