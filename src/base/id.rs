//! Identifiers: 32 bytes with a kind, so that no function can take the wrong one.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// Length of every identifier in bytes.
pub const ID_LEN: usize = 32;

/// A 32-byte identifier of one kind of thing.
///
/// Ordering is bytewise, which is also the order of index segments and of the local index.
pub struct Id<K> {
    bytes: [u8; ID_LEN],
    kind: PhantomData<fn() -> K>,
}

impl<K> Id<K> {
    /// Wraps 32 bytes.
    pub const fn new(bytes: [u8; ID_LEN]) -> Self {
        Self { bytes, kind: PhantomData }
    }

    /// Wraps a slice of exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Some(Self::new(bytes.try_into().ok()?))
    }

    /// Draws an identifier from the operating system's generator.
    ///
    /// # Panics
    /// Panics when the generator fails: nothing that follows could be trusted.
    pub fn random() -> Self {
        Self::new(super::random())
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; ID_LEN] {
        &self.bytes
    }

    /// All 64 lower-case hex digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.bytes)
    }

    /// The first eight hex digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.bytes[..4])
    }

    /// Parses 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 2 * ID_LEN || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; ID_LEN];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self::new(bytes))
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}
impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}
impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}
impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// Kinds of identifiers; never constructed.
pub mod kind {
    /// A chunk of file data or of metadata: keyed BLAKE3 of its raw bytes.
    #[derive(Debug)]
    pub enum Chunk {}
    /// A pack: BLAKE3 of the whole object.
    #[derive(Debug)]
    pub enum Pack {}
    /// An index segment: BLAKE3 of the whole object.
    #[derive(Debug)]
    pub enum Segment {}
    /// One run of a writer: random.
    #[derive(Debug)]
    pub enum Session {}
    /// A repository: random.
    #[derive(Debug)]
    pub enum Repository {}
    /// A key slot: random.
    #[derive(Debug)]
    pub enum Slot {}
    /// A client that writes: random, kept in its local cache.
    #[derive(Debug)]
    pub enum Writer {}
}

/// Names a chunk.
pub type ChunkId = Id<kind::Chunk>;
/// Names a pack.
pub type PackId = Id<kind::Pack>;
/// Names an index segment.
pub type SegmentId = Id<kind::Segment>;
/// Names a session, and the snapshot it decides.
pub type SessionId = Id<kind::Session>;
/// Names a repository.
pub type RepositoryId = Id<kind::Repository>;
/// Names a key slot.
pub type SlotId = Id<kind::Slot>;
/// Names a writer.
pub type WriterId = Id<kind::Writer>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_rejects_what_is_not_canonical() {
        let id = ChunkId::new([0xab; 32]);
        assert_eq!(ChunkId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(ChunkId::from_hex(&id.to_hex().to_uppercase()), None);
        assert_eq!(ChunkId::from_hex("ab"), None);
    }
}
