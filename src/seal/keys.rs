//! Secret keys, each derived from a root key, none ever shown.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::base::{ChunkId, RepositoryId, SessionId, random};
use crate::format::pack::{Origin, WRAP_DERIVED};
use crate::format::{DecodeError, FrameKind, ObjectKind, Suite};

/// Contexts of `blake3::derive_key`; each is used for one purpose and never reused.
mod context {
    pub const CHUNK_ID: &str = "parados 2026-11-23 v1 chunk id";
    pub const TREE_ID: &str = "parados 2026-11-23 v1 tree id";
    pub const CHUNKER: &str = "parados 2026-11-23 v1 chunker";
    pub const NAME_HASH: &str = "parados 2026-11-23 v1 name hash";
    pub const OBJECT: &str = "parados 2026-11-23 v1 object";
    pub const OBJECT_KEY: &str = "parados 2026-11-23 v1 object key";
    pub const SESSION: &str = "parados 2026-11-23 v1 session";
    pub const COMMITMENT: &str = "parados 2026-11-23 v1 session commitment";
    pub const LABEL: &str = "parados 2026-11-23 v1 slot label";
}

/// A secret of 32 bytes, wiped when dropped and never printed.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Key(Box<[u8; 32]>);

impl Key {
    /// Takes 32 secret bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        let mut bytes = bytes;
        let key = Self(Box::new(bytes));
        bytes.zeroize();
        key
    }

    /// Draws a key from the operating system's generator.
    pub fn random() -> Self {
        Self::new(random())
    }

    /// The secret bytes.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key for `context` from this key and `parts`, which have fixed lengths.
    pub fn derive(&self, context: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.0[..]);
        for part in parts {
            hasher.update(part);
        }
        let key = Self::new(*hasher.finalize().as_bytes());
        hasher.zeroize();
        key
    }

    fn duplicate(&self) -> Self {
        Self(Box::new(*self.0))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// Root keys of a repository, by epoch.
pub struct Roots(BTreeMap<u32, Key>);

impl Roots {
    /// Most epochs that a key slot has room for.
    pub const COUNT_MAX: usize = 12;

    /// A new random root key for epoch 0.
    pub fn random() -> Self {
        Self(BTreeMap::from([(0, Key::random())]))
    }

    /// Takes root keys, among which epoch 0 must be.
    ///
    /// # Errors
    /// [`DecodeError::Inconsistent`].
    pub fn new(roots: BTreeMap<u32, Key>) -> Result<Self, DecodeError> {
        if !roots.contains_key(&0) || roots.len() > Self::COUNT_MAX {
            return Err(DecodeError::Inconsistent);
        }
        Ok(Self(roots))
    }

    /// The root keys in the order of their epochs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u32, &Key)> {
        self.0.iter().map(|(epoch, key)| (*epoch, key))
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({} epochs)", self.0.len())
    }
}

/// The key of one session with all that a reader needs to derive it again.
#[derive(Debug)]
pub struct SessionKey {
    /// Secret from which frame, header and trailer keys are derived.
    pub key: Key,
    /// What packs and segments say about the session.
    pub origin: Origin,
}

/// Every key of an opened repository.
pub struct Keyring {
    repository: RepositoryId,
    roots: Roots,
    chunk_id: Key,
    tree_id: Key,
    chunker: Key,
    name_hash: Key,
    sessions: Mutex<HashMap<SessionId, Arc<SessionKey>>>,
}

impl Keyring {
    /// Derives the keys of `repository`.
    pub fn new(repository: RepositoryId, roots: Roots) -> Self {
        // Ids and boundaries outlive a rotation, so they hang on the first root for ever.
        let first = &roots.0[&0];
        let derive = |context| first.derive(context, &[repository.as_bytes()]);
        Self {
            chunk_id: derive(context::CHUNK_ID),
            tree_id: derive(context::TREE_ID),
            chunker: derive(context::CHUNKER),
            name_hash: derive(context::NAME_HASH),
            sessions: Mutex::new(HashMap::new()),
            repository,
            roots,
        }
    }

    /// The repository these keys belong to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The root keys, for a new slot.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Secret from which the chunker's table is made.
    pub fn chunker(&self) -> &Key {
        &self.chunker
    }

    /// The id of a raw chunk of this kind.
    pub fn chunk_id(&self, kind: FrameKind, raw: &[u8]) -> ChunkId {
        let key = match kind {
            FrameKind::Data => &self.chunk_id,
            FrameKind::Metadata => &self.tree_id,
        };
        ChunkId::new(*blake3::keyed_hash(key.expose(), raw).as_bytes())
    }

    /// The hash of a name that decides where tree nodes end: the first eight bytes, little-endian.
    pub fn name_hash(&self, name: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(self.name_hash.expose(), name);
        let head = hash.as_bytes().first_chunk::<8>().expect("a hash has 32 bytes");
        u64::from_le_bytes(*head)
    }

    /// The key of one sealed object.
    ///
    /// # Errors
    /// [`DecodeError::Forged`] for an epoch that no root key belongs to.
    pub fn object_key(
        &self,
        kind: ObjectKind,
        epoch: u32,
        salt: &[u8; 32],
    ) -> Result<Key, DecodeError> {
        Ok(self.kind_key(kind, epoch)?.derive(context::OBJECT_KEY, &[salt]))
    }

    /// The key of a slot's label.
    pub fn label_key(&self, salt: &[u8; 32]) -> Key {
        self.roots.0[&0].derive(context::LABEL, &[self.repository.as_bytes(), salt])
    }

    /// The key of a new session.
    ///
    /// # Errors
    /// [`DecodeError::Forged`] for an epoch that no root key belongs to.
    pub fn new_session(
        &self,
        session: SessionId,
        suite: Suite,
        epoch: u32,
    ) -> Result<Arc<SessionKey>, DecodeError> {
        let key = self
            .kind_key(ObjectKind::Pack, epoch)?
            .derive(context::SESSION, &[session.as_bytes(), &[suite as u8]]);
        let commitment = *key.derive(context::COMMITMENT, &[]).expose();
        let origin =
            Origin { session, suite, epoch, wrap: WRAP_DERIVED, wrapped: Vec::new(), commitment };
        Ok(Arc::new(SessionKey { key, origin }))
    }

    /// The key of the session that sealed something.
    ///
    /// # Errors
    /// [`DecodeError::Forged`] when the commitment is not that of the key.
    pub fn session(&self, origin: &Origin) -> Result<Arc<SessionKey>, DecodeError> {
        let mut sessions = self.sessions.lock().expect("no thread panics while it holds the lock");
        if let Some(session) = sessions.get(&origin.session)
            && session.origin == *origin
        {
            return Ok(Arc::clone(session));
        }
        origin.validate()?;
        let session = self.new_session(origin.session, origin.suite, origin.epoch)?;
        // BLAKE3's own comparison takes constant time.
        if blake3::Hash::from(session.origin.commitment) != blake3::Hash::from(origin.commitment) {
            return Err(DecodeError::Forged);
        }
        sessions.insert(origin.session, Arc::clone(&session));
        Ok(session)
    }

    fn kind_key(&self, kind: ObjectKind, epoch: u32) -> Result<Key, DecodeError> {
        let root = self.roots.0.get(&epoch).ok_or(DecodeError::Forged)?;
        Ok(root.derive(
            context::OBJECT,
            &[self.repository.as_bytes(), &epoch.to_le_bytes(), &[kind as u8]],
        ))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring of {}", self.repository.short())
    }
}

/// The bundle inside a slot: repository id, number of roots, then epoch and key of each.
pub(super) fn encode_bundle(repository: RepositoryId, roots: &Roots) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(512));
    bytes.extend_from_slice(repository.as_bytes());
    bytes.extend_from_slice(&(roots.0.len() as u32).to_le_bytes());
    for (epoch, key) in roots.iter() {
        bytes.extend_from_slice(&epoch.to_le_bytes());
        bytes.extend_from_slice(key.expose());
    }
    bytes
}

/// Reads a bundle.
pub(super) fn decode_bundle(bytes: &[u8]) -> Result<(RepositoryId, Roots), DecodeError> {
    let mut cursor = crate::format::wire::Cursor::new(bytes);
    let repository = RepositoryId::new(cursor.array()?);
    let count = cursor.u32()?;
    let mut roots = BTreeMap::new();
    for _ in 0..count {
        let epoch = cursor.u32()?;
        if roots.last_key_value().is_some_and(|(last, _)| *last >= epoch) {
            return Err(DecodeError::Inconsistent);
        }
        roots.insert(epoch, Key::new(cursor.array()?));
    }
    cursor.finish()?;
    Ok((repository, Roots::new(roots)?))
}

impl Clone for Roots {
    fn clone(&self) -> Self {
        Self(self.0.iter().map(|(epoch, key)| (*epoch, key.duplicate())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_reach_debug() {
        let key = Key::new([0x5a; 32]);
        let keyring =
            Keyring::new(RepositoryId::new([1; 32]), Roots(BTreeMap::from([(0, key.duplicate())])));
        let text = format!("{key:?} {keyring:?} {:?}", keyring.roots());
        assert!(!text.contains("5a") && !text.contains("90"), "{text}");
    }

    #[test]
    fn data_and_metadata_ids_differ() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        assert_ne!(
            keyring.chunk_id(FrameKind::Data, b"x"),
            keyring.chunk_id(FrameKind::Metadata, b"x")
        );
    }

    #[test]
    fn a_session_with_an_altered_commitment_is_refused() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        let session = SessionId::random();
        let key = keyring.new_session(session, Suite::Aes256Gcm, 0).expect("epoch 0 exists");
        assert!(keyring.session(&key.origin).is_ok());
        let mut origin = key.origin.clone();
        origin.commitment[31] ^= 1;
        assert_eq!(keyring.session(&origin).err(), Some(DecodeError::Forged));
        origin = key.origin.clone();
        origin.epoch = 7;
        assert_eq!(keyring.session(&origin).err(), Some(DecodeError::Forged));
    }
}
