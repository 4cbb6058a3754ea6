//! What the last run knew of a window of a directory, as the local cache keeps it.

use crate::base::Result;
use crate::format::DecodeError;
use crate::format::entry::Entry;
use crate::format::wire::Cursor;
use crate::repo::tree::EncodedEntry;
use crate::source::{Settled, Signature};

/// One child in a row: all but directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChild {
    /// Raw bytes of its name.
    pub name: Vec<u8>,
    /// What its stat said.
    pub signature: Signature,
    /// What its times proved when it was read.
    pub settled: Settled,
    /// Size of a file, else zero.
    pub content_bytes: u64,
    /// Its encoded entry.
    pub entry: Vec<u8>,
    /// Whether it is only the first part of a file, up to the size that the entry has.
    pub is_part: bool,
}

/// Stands beside what the times of a file prove.
const PART: u8 = 0x80;

/// What an earlier run knew of a window.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// All but directories, in the order of their names.
    pub children: Vec<RowChild>,
    /// Whether it is certain that what they say is stored.
    pub is_proven: bool,
    /// Whether the row may be kept where it is still right.
    pub is_kept: bool,
    /// What a run since then has read that was interrupted, in the order of names. Nothing of it is certain.
    pub begun: Vec<RowChild>,
}

impl RowChild {
    /// The entry, to stand in this run's tree.
    pub fn to_entry(&self) -> EncodedEntry {
        EncodedEntry {
            name: self.name.clone(),
            bytes: self.entry.clone(),
            entry_count: 1,
            content_bytes: self.content_bytes,
        }
    }
}

/// Key of the row of a window: `scope` stands for host and sources, `first` for the first name,
/// empty for the first window of a directory.
pub fn key(scope: &[u8; 32], directory: &[u8], first: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(scope);
    hasher.update(&(directory.len() as u64).to_le_bytes());
    hasher.update(directory);
    hasher.update(first);
    *hasher.finalize().as_bytes()
}

/// The bytes of a row.
pub fn encode(children: &[RowChild]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(children.len() * 256);
    bytes.extend_from_slice(&(children.len() as u32).to_le_bytes());
    for child in children {
        bytes.extend_from_slice(&child.signature.encode());
        bytes.push(child.settled as u8 | if child.is_part { PART } else { 0 });
        bytes.extend_from_slice(&child.content_bytes.to_le_bytes());
        bytes.extend_from_slice(&(child.name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&child.name);
        bytes.extend_from_slice(&(child.entry.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&child.entry);
    }
    bytes
}

/// Reads a row; one that makes no sense is no row.
pub fn decode(bytes: &[u8]) -> Option<Vec<RowChild>> {
    try_decode(bytes).ok()
}

fn try_decode(bytes: &[u8]) -> Result<Vec<RowChild>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.u32()?;
    let mut children = Vec::new();
    for _ in 0..count {
        let signature = Signature::decode(&mut cursor)?;
        let proof = cursor.u8()?;
        let (settled, is_part) = (Settled::from_u8(proof & !PART), proof & PART != 0);
        let content_bytes = cursor.u64()?;
        let name_len = usize::from(cursor.u16()?);
        let name = cursor.take(name_len)?.to_vec();
        let entry_len = cursor.u32()? as usize;
        let entry = cursor.take(entry_len)?.to_vec();
        children.push(RowChild { name, signature, settled, content_bytes, entry, is_part });
    }
    cursor.finish()?;
    Ok(children)
}

/// The entry of a row with its file system renumbered for this run, where it has several names.
pub fn renumber(child: &RowChild, mount: impl FnOnce() -> u32) -> Option<EncodedEntry> {
    let mut entry = Entry::decode(&child.entry).ok()?;
    if let Some(link) = &mut entry.link {
        link.mount = mount();
    }
    Some(EncodedEntry::new(&entry))
}
