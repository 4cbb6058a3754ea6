//! The configuration of a repository.

use minicbor::{Decode, Encode};

use super::{DecodeError, FORMAT_VERSION, Suite, wire};
use crate::base::{RepositoryId, Timestamp};

/// Longest encoded configuration in bytes.
pub const LEN_MAX: usize = 64 << 10;
/// Smallest pack length; small ones serve tests.
pub const PACK_LEN_MIN: u32 = 16 << 10;
/// Largest pack length: one request writes a pack, and its writer holds it in memory.
pub const PACK_LEN_MAX: u32 = 128 << 20;

/// Lengths of the content-defined chunker in bytes; `chunk::Params` validates them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ChunkLens {
    /// Shortest chunk.
    #[n(0)]
    pub min: u32,
    /// Expected chunk.
    #[n(1)]
    pub avg: u32,
    /// Longest chunk.
    #[n(2)]
    pub max: u32,
}

/// What `init` found out about the backend.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ProbeRecord {
    /// Whether the backend refuses to create an object twice.
    #[n(0)]
    pub create_is_exclusive: bool,
    /// Whether a new object is listed at once.
    #[n(1)]
    pub list_is_immediate: bool,
}

/// Object `config/<n>`: what all clients of a repository agree on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Config {
    /// Format version, 1.
    #[n(0)]
    pub version: u16,
    /// The repository.
    #[n(1)]
    pub repository: RepositoryId,
    /// How new objects and frames are sealed.
    #[n(2)]
    pub suite: Suite,
    /// Which root key seals new ones.
    #[n(3)]
    pub epoch: u32,
    /// Lengths of the content-defined chunker.
    #[n(4)]
    pub chunker: ChunkLens,
    /// Length of a full pack in bytes.
    #[n(5)]
    pub pack_len: u32,
    /// Required features, a bit each; version 1 defines none.
    #[n(6)]
    pub features: u64,
    /// When this configuration was written.
    #[n(7)]
    pub created: Timestamp,
    /// BLAKE3 of the object `config/<n-1>`, absent in `config/1`.
    #[n(8)]
    #[cbor(with = "minicbor::bytes")]
    pub predecessor: Option<Vec<u8>>,
    /// What `init` found out about the backend.
    #[n(9)]
    pub probe: ProbeRecord,
}

impl Config {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads and validates a configuration.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let config: Self = wire::decode(bytes, LEN_MAX)?;
        if config.version != FORMAT_VERSION {
            return Err(DecodeError::Version(config.version));
        }
        if config.features != 0 {
            return Err(DecodeError::Unknown);
        }
        if !(PACK_LEN_MIN..=PACK_LEN_MAX).contains(&config.pack_len) {
            return Err(DecodeError::Limit);
        }
        if config.predecessor.as_ref().is_some_and(|hash| hash.len() != 32) {
            return Err(DecodeError::Inconsistent);
        }
        Ok(config)
    }
}
