//! What every fuzz target does with its bytes; the ordinary tests replay the corpora over it.
//!
//! A `format_*` target decodes: what is taken must encode to the same bytes again. A `seal_*`
//! target plays a writer that has the keys and bad intent: it seals the bytes and opens them. A
//! `cache_*` target plays a disk that gives back something else than the local cache wrote.
//! Where a decoder needs more than the bytes of an object, that stands in front of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parados::base::{ChunkId, RepositoryId, SessionId, SlotId};
use parados::chunk::{
    Chunker, Doubt, GRID_LEN, GearTable, HEADER_LEN_MAX, Params, Tensors, cut_kernel,
    cut_reference, recognize,
};
use parados::format::config::Config;
use parados::format::entry::Entry;
use parados::format::envelope;
use parados::format::generation::Generation;
use parados::format::ledger::LedgerRecord;
use parados::format::list::ChunkList;
use parados::format::note::Note;
use parados::format::pack::{self, FrameChunk, Origin, PREFIX_LEN, Prefix};
use parados::format::segment::{self, Fence};
use parados::format::slot::{BUNDLE_LEN, LABEL_LEN, Label, Slot, SlotKind};
use parados::format::snapshot::{Decision, Root};
use parados::format::tombstone::Tombstone;
use parados::format::tree::Node;
use parados::format::wire::Cursor;
use parados::format::{
    Codec, DecodeError, FrameKind, GenerationStep, ObjectKind, ObjectName, Suite,
};
use parados::index::remembered::{self, KnownConfig, LastEpoch, LastWritten};
use parados::index::{PackHead, PackRecord, Place, Progress, Stamp, numbers};
use parados::pipeline::rows;
use parados::seal::code::{self, CodeKind};
use parados::seal::frame::{self, FrameShape};
use parados::seal::keys::{Key, Keyring, Roots, SessionKey};
use parados::seal::slot::Secret;
use parados::seal::{aead, compress, object, slot};
use parados::source::Signature;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target with its name.
pub const ALL: &[(&str, Target)] = &[
    ("cache_number", cache_number),
    ("cache_place", cache_place),
    ("cache_progress", cache_progress),
    ("cache_record", cache_record),
    ("cache_remembered", cache_remembered),
    ("cache_row", cache_row),
    ("cache_stamp", cache_stamp),
    ("chunk_cut", chunk_cut),
    ("chunk_gguf", chunk_gguf),
    ("chunk_safetensors", chunk_safetensors),
    ("format_config", format_config),
    ("format_entry", format_entry),
    ("format_envelope", format_envelope),
    ("format_generation", format_generation),
    ("format_ledger", format_ledger),
    ("format_list", format_list),
    ("format_name", format_name),
    ("format_note", format_note),
    ("format_pack", format_pack),
    ("format_segment", format_segment),
    ("format_slot", format_slot),
    ("format_snapshot", format_snapshot),
    ("format_tombstone", format_tombstone),
    ("format_tree", format_tree),
    ("seal_code", seal_code),
    ("seal_frame", seal_frame),
    ("seal_object", seal_object),
    ("seal_pack", seal_pack),
    ("seal_segment", seal_segment),
    ("seal_slot", seal_slot),
];

/// Takes a step that the input is too short for as the end of the run.
macro_rules! or_return {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(_) => return,
        }
    };
}

/// Fixed keys, repository 01...
pub fn keyring() -> Keyring {
    let root = BTreeMap::from([(0, Key::new([7; 32]))]);
    Keyring::new(RepositoryId::new([1; 32]), Roots::new(root).expect("epoch 0 is there"))
}

fn suite(byte: u8) -> Suite {
    if byte & 1 == 0 { Suite::ChaCha20Poly1305 } else { Suite::Aes256Gcm }
}

/// Encodes what was decoded and compares.
fn same(encoded: &[u8], data: &[u8]) {
    assert_eq!(encoded, data, "what is taken has one spelling");
}

// ---------------------------------------------------------------------------------------------
// Records
// ---------------------------------------------------------------------------------------------

/// A config.
pub fn format_config(data: &[u8]) {
    same(&or_return!(Config::decode(data)).encode(), data);
}

/// An entry.
pub fn format_entry(data: &[u8]) {
    let entry = or_return!(Entry::decode(data));
    same(&entry.encode(), data);
    let name = entry.name.as_slice();
    assert!(name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0));
}

/// Which part (0 header, else inner layout), then its bytes.
pub fn format_envelope(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    if *part == 0 {
        same(&or_return!(envelope::Header::decode(data)).encode(), data.get(..48).expect("48"));
    } else {
        let (codec, raw_len, stored) = or_return!(envelope::unpad(data));
        same(&envelope::lay_out(stored, raw_len, codec, data.len()), data);
    }
}

/// Step, number, then a generation.
pub fn format_generation(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let step = match or_return!(cursor.u8()) {
        0 => GenerationStep::Candidates,
        1 => GenerationStep::Begin,
        _ => GenerationStep::Doomed,
    };
    let number = or_return!(cursor.u64());
    let data = cursor.rest();
    same(&or_return!(Generation::decode(data, number, step)).encode(), data);
}

/// A ledger record.
pub fn format_ledger(data: &[u8]) {
    same(&or_return!(LedgerRecord::decode(data)).encode(), data);
}

/// A page of a chunk list.
pub fn format_list(data: &[u8]) {
    let list = or_return!(ChunkList::decode_page(data));
    same(&list.encode_page(), data);
    assert!(list.content_len().is_some());
}

/// A name.
pub fn format_name(data: &[u8]) {
    let name = or_return!(ObjectName::parse(or_return!(std::str::from_utf8(data))));
    assert!(name.as_str().is_ascii());
    assert_eq!(ObjectName::of(&name.parsed()), name);
}

/// Session, then a note.
pub fn format_note(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let session = SessionId::new(or_return!(cursor.array()));
    let data = cursor.rest();
    same(&or_return!(Note::decode(data, &session)).encode(), data);
}

/// Which part, a length, then a prefix, trailer or header.
pub fn format_pack(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let part = or_return!(cursor.u8());
    let len = or_return!(cursor.u64());
    let data = cursor.rest();
    match part {
        0 => same(&or_return!(Prefix::decode(data)).encode(), &data[..PREFIX_LEN]),
        1 => same(&or_return!(pack::Trailer::decode(data, len)).encode(), data),
        _ => same(&or_return!(pack::Header::decode(data, len)).encode(), data),
    }
}

/// Which part, a length, then a fence, a trailer, or a fence of that length with a block.
pub fn format_segment(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let part = or_return!(cursor.u8());
    let len = or_return!(cursor.u64());
    let data = cursor.rest();
    match part {
        0 => {
            let fence = or_return!(Fence::decode(data));
            same(&fence.encode(), data);
            for block in &fence.blocks {
                assert!(fence.block_of(&block.first).is_some());
            }
            // Whatever the filter says, it says it.
            let _ = fence.may_contain(&ChunkId::new([0x5a; 32]));
        }
        1 => same(&or_return!(segment::Trailer::decode(data, len)).encode(), data),
        _ => {
            let Some((fence, block)) = data.split_at_checked(len as usize) else { return };
            let fence = or_return!(Fence::decode(fence));
            let Some(record) = fence.blocks.first() else { return };
            let entries = or_return!(segment::decode_block(block, record, &fence));
            same(&segment::encode_block(&entries), block);
        }
    }
}

/// Which part (0 whole, else label), then its bytes.
pub fn format_slot(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    if *part == 0 {
        same(&or_return!(Slot::decode(data)).encode(), data);
    } else {
        // Encoding cuts texts to 64 bytes, decoding does not.
        let label = or_return!(Label::decode(data));
        if [&label.host, &label.user, &label.text].iter().all(|text| text.len() <= 64) {
            same(&label.encode(), data);
        }
    }
}

/// Which of the two (0 decision, else root), then its bytes.
pub fn format_snapshot(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    if *part == 0 {
        same(&or_return!(Decision::decode(data)).encode(), data);
    } else {
        same(&or_return!(Root::decode(data)).encode(), data);
    }
}

/// Session, then a tombstone.
pub fn format_tombstone(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let session = SessionId::new(or_return!(cursor.array()));
    let data = cursor.rest();
    same(&or_return!(Tombstone::decode(data, &session)).encode(), data);
}

/// Level, then a tree node.
pub fn format_tree(data: &[u8]) {
    let Some((level, data)) = data.split_first() else { return };
    same(&or_return!(Node::decode(data, *level)).encode(), data);
}

// ---------------------------------------------------------------------------------------------
// The local cache
// ---------------------------------------------------------------------------------------------

/// Which of the two (0 key, else value), then its bytes.
pub fn cache_number(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    if *part == 0 {
        let Some(no) = numbers::decode_head_key(data) else { return };
        same(&numbers::head_key(no), data);
    } else {
        same(&numbers::encode(&or_return!(numbers::decode(data))), data);
    }
}

/// Places of a chunk; an incomplete last one is left out.
pub fn cache_place(data: &[u8]) {
    let places: Vec<u8> = Place::decode_all(data).flat_map(Place::encode).collect();
    same(&places, &data[..data.len() / 16 * 16]);
}

/// Which of the two (0 both numbers, else the count), then its bytes.
pub fn cache_progress(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    if *part == 0 {
        same(&or_return!(Progress::decode(data)).encode(), data);
    } else {
        same(&or_return!(Progress::decode_count(data)).to_le_bytes(), data);
    }
}

/// Which of the two (0 head, else record), then its bytes.
pub fn cache_record(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    if *part == 0 {
        return same(&or_return!(PackHead::decode(data)).encode(), data);
    }
    let record = or_return!(PackRecord::decode(data));
    let mut end = PREFIX_LEN as u64;
    for frame in &record.frames {
        assert_eq!(frame.offset, end);
        end += u64::from(frame.sealed_len);
        assert!(record.origins.get(frame.origin as usize).is_some());
    }
    assert!(record.frames.is_empty() || end <= record.len);
}

/// Which record, then its bytes.
pub fn cache_remembered(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    match part {
        0 => same(&or_return!(KnownConfig::decode(data)).encode(), data),
        1 => {
            let last = or_return!(LastWritten::decode(data));
            same(&last.encode(), data);
            assert!(last.sequence + 1 > last.sequence);
        }
        2 => {
            // A set has one order, and each once.
            let last = or_return!(LastEpoch::decode(data));
            assert_eq!(LastEpoch::decode(&last.encode()).as_ref(), Ok(&last));
        }
        _ => {
            let ids: Vec<ChunkId> = remembered::decode_ids(data).collect();
            same(&remembered::encode_ids(&ids), &data[..data.len() / 32 * 32]);
        }
    }
}

/// Which of the two (0 signature, else row), then its bytes.
pub fn cache_row(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    if *part == 0 {
        let mut cursor = Cursor::new(data);
        let signature = or_return!(Signature::decode(&mut cursor));
        return same(&signature.encode(), &data[..data.len() - cursor.rest().len()]);
    }
    let Some(children) = rows::decode(data) else { return };
    // What was proved has three values, of which any other is the first.
    assert_eq!(rows::decode(&rows::encode(&children)).as_ref(), Some(&children));
    for child in &children {
        if let Some(entry) = rows::renumber(child, || 7) {
            let entry = Entry::decode(&entry.bytes).expect("what was encoded is decoded");
            assert!(entry.link.is_none_or(|link| link.mount == 7));
        }
    }
}

/// Key, then a stamp; and the stamp of the same bytes as a row.
pub fn cache_stamp(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let key = or_return!(cursor.array());
    let data = cursor.rest();
    if let Some(stamp) = Stamp::decode(&key, data) {
        same(&stamp.encode(&key), data);
    }
    let honest = Stamp::new(&key, data, data.len() as u64);
    assert_eq!(Stamp::decode(&key, &honest.encode(&key)), Some(honest));
}

// ---------------------------------------------------------------------------------------------
// Sealed by a writer with bad intent
// ---------------------------------------------------------------------------------------------

/// A recovery code or the text of a key file.
pub fn seal_code(data: &[u8]) {
    let text = or_return!(std::str::from_utf8(data));
    for kind in [CodeKind::Recovery, CodeKind::KeyFile] {
        if let Some(key) = code::from_text(kind, text) {
            let again = code::from_text(kind, &code::to_text(kind, &key)).expect("it is right");
            assert_eq!(again.expose(), key.expose());
        }
    }
}

/// Suite, codec, kind, raw length, then the stored bytes of a frame.
pub fn seal_frame(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let keyring = keyring();
    let suite = suite(or_return!(cursor.u8()));
    let codec = or_return!(Codec::from_u8(or_return!(cursor.u8()) & 3));
    let kind = or_return!(FrameKind::from_u8(or_return!(cursor.u8()) & 1));
    let raw_len = or_return!(cursor.u32());
    let stored = cursor.rest();
    let session = session(&keyring, suite);
    let shape = FrameShape { origin: &session.origin, kind, codec, raw_len };
    let salt = [5; 24];
    let associated = [
        keyring.repository().as_bytes(),
        &[suite as u8, 0, 0, 0, 0][..],
        session.origin.session.as_bytes(),
        &[kind as u8, codec as u8],
        &raw_len.to_le_bytes(),
    ]
    .concat();
    let sealed = seal_salted(&session, "frame", salt, &associated, stored);
    match frame::open(&keyring, &shape, &sealed) {
        Ok(raw) => assert_eq!(raw.len(), raw_len as usize),
        Err(error) => assert_ne!(error, DecodeError::Forged, "it was sealed just now"),
    }

    let chunk = FrameChunk { id: keyring.chunk_id(kind, stored), len: stored.len() as u32 };
    let honest = frame::seal(keyring.repository(), &session, kind, 1, stored, vec![chunk]);
    let shape = FrameShape { codec: honest.record.codec, raw_len: honest.record.raw_len, ..shape };
    let raw = frame::open(&keyring, &shape, &honest.bytes).expect("it opens");
    assert_eq!(raw, stored);
    frame::verify(&keyring, kind, &chunk.id, &raw).expect("it is the chunk");
}

/// Suite, then the inner layout of an object, and the same bytes as an honest body.
pub fn seal_object(data: &[u8]) {
    let Some((first, inner)) = data.split_first() else { return };
    let keyring = keyring();
    let suite = suite(*first);
    let name = ObjectName::config(1);
    let header = envelope::Header { kind: name.kind(), suite, epoch: 0, salt: [5; 32] };
    let key = keyring.object_key(header.kind, 0, &header.salt).expect("epoch 0 exists");
    let associated =
        [keyring.repository().as_bytes(), &header.encode()[..], name.as_str().as_bytes()].concat();
    let mut bytes = inner.to_vec();
    aead::seal(suite, &key, 0, &associated, &mut bytes, 0);
    let opened = aead::open(suite, &key, 0, &associated, &bytes).expect("it was sealed just now");
    assert_eq!(opened, inner);
    if let Ok((codec, raw_len, stored)) = envelope::unpad(&opened)
        && let Ok(body) = compress::decompress(codec, stored.to_vec(), raw_len)
    {
        assert_eq!(body.len(), raw_len);
    }

    let sealed = object::seal(&keyring, suite, 0, &name, inner);
    assert_eq!(object::open(&keyring, &name, &sealed).as_deref(), Ok(inner));
}

/// Mode, length of the frames, perhaps a trailer, then a raw header.
///
/// Bit 0 of the mode is the suite; with bit 1 the trailer is taken from the bytes.
pub fn seal_pack(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let mode = or_return!(cursor.u8());
    let frames_len = usize::from(or_return!(cursor.u16()));
    let lie = if mode & 2 == 0 { None } else { Some(or_return!(cursor.array::<24>())) };
    let header = cursor.rest();
    let keyring = keyring();
    let session = session(&keyring, suite(mode));

    let mut bytes = Prefix(session.origin.clone()).encode().to_vec();
    let prefix = bytes.clone();
    bytes.resize(PREFIX_LEN + frames_len, 0x5a);
    let frames_end = bytes.len() as u64;
    let header = seal_salted(&session, "pack header", [6; 24], &prefix, header);
    bytes.extend_from_slice(&header);
    let trailer = pack::Trailer {
        pack_len: (bytes.len() + pack::TRAILER_LEN) as u64,
        frames_end,
        header_len: header.len() as u64,
    };
    let trailer = lie.unwrap_or_else(|| trailer.encode());
    bytes.extend(seal_salted(&session, "pack trailer", [7; 24], &prefix, &trailer));

    let header = or_return!(parados::seal::pack::open_header(&keyring, &bytes));
    let mut end = PREFIX_LEN;
    for record in &header.frames {
        let start = end;
        end += record.sealed_len as usize;
        let shape = FrameShape {
            origin: &header.origins[record.origin as usize],
            kind: record.kind,
            codec: record.codec,
            raw_len: record.raw_len,
        };
        // Filler, which no key sealed.
        assert!(frame::open(&keyring, &shape, &bytes[start..end]).is_err());
    }
    assert!(end <= bytes.len());
}

/// Mode, length of the first block, perhaps a trailer, then the inner layouts of block and fence.
///
/// Bit 0 of the mode is the suite; with bit 1 the trailer is taken from the bytes; with bit 2 the
/// two layouts are made honestly around raw bytes.
pub fn seal_segment(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let mode = or_return!(cursor.u8());
    let block_len = usize::from(or_return!(cursor.u16()));
    let lie = if mode & 2 == 0 { None } else { Some(or_return!(cursor.array::<24>())) };
    let block = or_return!(cursor.take(block_len));
    let fence = cursor.rest();
    let keyring = keyring();
    let suite = suite(mode);
    let inner = |raw: &[u8]| match mode & 4 {
        0 => raw.to_vec(),
        _ => envelope::lay_out(raw, raw.len(), Codec::Stored, envelope::INNER_LEN + raw.len()),
    };

    let session = SessionId::new([2; 32]);
    let header = envelope::Header { kind: ObjectKind::Index, suite, epoch: 0, salt: [5; 32] };
    let key = keyring.object_key(header.kind, 0, &header.salt).expect("epoch 0 exists");
    let mut bytes = header.encode().to_vec();
    let name = format!("index/{session}-3");
    let associated = [keyring.repository().as_bytes(), &bytes[..], name.as_bytes()].concat();
    if block_len > 0 {
        bytes.extend(inner(block));
        aead::seal(suite, &key, 0, &associated, &mut bytes, envelope::HEADER_LEN);
    }
    let fence_offset = bytes.len();
    bytes.extend(inner(fence));
    aead::seal(suite, &key, u64::MAX - 1, &associated, &mut bytes, fence_offset);
    let trailer_offset = bytes.len();
    let trailer = segment::Trailer {
        total_len: (trailer_offset + segment::TRAILER_LEN) as u64,
        fence_offset: fence_offset as u64,
        fence_len: (trailer_offset - fence_offset) as u64,
    };
    bytes.extend_from_slice(&lie.unwrap_or_else(|| trailer.encode()));
    aead::seal(suite, &key, u64::MAX, &associated, &mut bytes, trailer_offset);

    let opened = parados::seal::segment::open(&keyring, (session, 3), &bytes);
    let (fence, entries) = or_return!(opened);
    assert_eq!(entries.len(), fence.entry_count());
    assert!(entries.is_sorted());
    for entry in &entries {
        let frame = &fence.packs[entry.pack as usize].frames[entry.frame as usize];
        assert!(u64::from(entry.offset) + u64::from(entry.len) <= u64::from(frame.raw_len));
    }
}

/// Which part (0 bundle, else label), then its raw bytes.
pub fn seal_slot(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    let keyring = keyring();
    if *part == 0 {
        // A writer that knows the secret can put anything where the bundle is.
        let mut raw = data.to_vec();
        raw.resize(BUNDLE_LEN, 0);
        let forged = slot_around(&keyring, &raw);
        same(&Slot::decode(&forged.encode()).expect("it decodes").encode(), &forged.encode());
        let secret = Secret::KeyFile(Key::new([3; 32]));
        let (repository, roots) = or_return!(slot::open(&forged, &secret));
        assert_eq!(repository, keyring.repository());
        assert!((1..=Roots::COUNT_MAX).contains(&roots.iter().len()));
    } else {
        let mut raw = data.to_vec();
        raw.resize(LABEL_LEN, 0);
        let mut slot = slot_around(&keyring, &[0; BUNDLE_LEN]);
        let key = keyring.label_key(&slot.label_salt);
        let associated = [&slot.encode_clear()[..], &slot.bundle[..]].concat();
        aead::seal(Suite::ChaCha20Poly1305, &key, 0, &associated, &mut raw, 0);
        slot.label = raw.try_into().expect("a label and a tag");
        if let Ok(label) = slot::label(&keyring, &slot) {
            assert!(label.host.len() + label.user.len() + label.text.len() <= LABEL_LEN);
        }
    }
}

/// A slot for the secret 03... around raw bytes in place of a bundle.
fn slot_around(keyring: &Keyring, raw: &[u8]) -> Slot {
    let mut slot = Slot {
        repository: keyring.repository(),
        id: SlotId::new([4; 32]),
        kind: SlotKind::KeyFile,
        cost: None,
        salt: [5; 32],
        commitment: [0; 32],
        bundle: [0; BUNDLE_LEN + 16],
        label_salt: [6; 32],
        label: [0; 272],
    };
    let mut stretched = [0; 64];
    let mut hasher = blake3::Hasher::new_derive_key("parados 2026-11-23 v1 slot secret");
    hasher.update(&[slot.kind as u8]).update(&[3; 32]).update(&slot.salt);
    hasher.finalize_xof().fill(&mut stretched);
    slot.commitment.copy_from_slice(&stretched[32..]);
    let key = Key::new(stretched[..32].try_into().expect("32 bytes"));
    let mut sealed = raw.to_vec();
    aead::seal(Suite::ChaCha20Poly1305, &key, 0, &slot.encode_clear(), &mut sealed, 0);
    slot.bundle = sealed.try_into().expect("a bundle and a tag");
    slot
}

fn session(keyring: &Keyring, suite: Suite) -> std::sync::Arc<SessionKey> {
    keyring.new_session(SessionId::new([2; 32]), suite, 0).expect("epoch 0 exists")
}

/// Salt, ciphertext, tag, under a key of the session.
fn seal_salted(
    session: &SessionKey,
    purpose: &str,
    salt: [u8; 24],
    associated: &[u8],
    raw: &[u8],
) -> Vec<u8> {
    let Origin { suite, .. } = session.origin;
    let key = session.key.derive(&format!("parados 2026-11-23 v1 {purpose}"), &[&salt]);
    let mut bytes = salt.to_vec();
    bytes.extend_from_slice(raw);
    aead::seal(suite, &key, 0, associated, &mut bytes, salt.len());
    bytes
}

// ---------------------------------------------------------------------------------------------
// Chunks
// ---------------------------------------------------------------------------------------------

/// Logarithms of min, avg and max, a byte of the key, repetitions, then the stream.
pub fn chunk_cut(data: &[u8]) {
    let [min, avg, max, key, times, stream @ ..] = data else { return };
    let length = |log: &u8| 1u32 << (log % 25);
    let params = or_return!(Params::new(length(min), length(avg), length(max)));
    let table = GearTable::new(&[*key; 32]);
    let times = usize::from(*times).clamp(1, (1 << 17) / stream.len().max(1) + 1);
    let stream = stream.repeat(times);
    let mut rest = stream.as_slice();
    while !rest.is_empty() {
        let len = cut_kernel(rest, &params, &table);
        assert_eq!(len, cut_reference(rest, &params, &table));
        assert!(len > 0 && len <= params.max() as usize);
        rest = &rest[len..];
    }
}

/// Length of the file, then what follows the magic.
pub fn chunk_gguf(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let size = or_return!(cursor.u64());
    tensors(&[b"GGUF", cursor.rest()].concat(), size);
}

/// Mode, a length, then the start of a file of that length (mode 0), or else the JSON of a header
/// that is followed by so many bytes.
pub fn chunk_safetensors(data: &[u8]) {
    let mut cursor = Cursor::new(data);
    let mode = or_return!(cursor.u8());
    let len = or_return!(cursor.u64());
    let rest = cursor.rest();
    if mode == 0 {
        tensors(rest, len);
    } else {
        let head = [&(rest.len() as u64).to_le_bytes()[..], rest].concat();
        tensors(&head, (head.len() as u64).saturating_add(len));
    }
}

/// Recognizes a file by its start and splits what follows the header.
fn tensors(head: &[u8], size: u64) {
    static DATA: [u8; GRID_LEN as usize] = [0; GRID_LEN as usize];
    let table = match recognize(head, size) {
        Ok(table) => table,
        Err(Doubt::Unknown) => return,
        Err(Doubt::Short(needed)) => {
            assert!(needed > head.len() && needed <= HEADER_LEN_MAX);
            return;
        }
    };
    assert_eq!(recognize(&[head, &[0x5a; 9]].concat(), size).as_ref(), Ok(&table));
    let starts = table.starts();
    assert!(starts[0] > 0 && starts.is_sorted() && starts[starts.len() - 1] < size);
    let mut offset = starts[0];
    let chunker = Chunker::new(Params::GENERAL, Arc::new(GearTable::new(&[7; 32])));
    let splitter = Tensors::new(chunker, table);
    for _ in 0..256 {
        let at_hand = GRID_LEN.min(size - offset) as usize;
        let Some(len) = splitter.next_cut(offset, &DATA[..at_hand], true) else { break };
        assert!(len > 0 && len <= at_hand);
        offset += len as u64;
    }
    assert!(offset <= size);
}
