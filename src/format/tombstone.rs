//! Tombstones: the permanent mark of a forgotten snapshot.

use minicbor::{Decode, Encode};

use super::snapshot::Seen;
use super::{DecodeError, wire};
use crate::base::{SessionId, Timestamp};

/// Longest encoded tombstone in bytes: a roll-up of a million.
pub const LEN_MAX: usize = 64 << 20;

/// Object `tombs/<session>`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tombstone {
    /// Forgotten sessions, sorted; the one that names the object is among them.
    #[n(0)]
    pub sessions: Vec<SessionId>,
    /// When they were forgotten.
    #[n(1)]
    pub time: Timestamp,
    /// What the snapshots had seen.
    #[n(2)]
    pub seen: Vec<Seen>,
    /// Why, as the policy said.
    #[n(3)]
    pub reason: String,
}

impl Tombstone {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads the tombstone named after `session`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8], session: &SessionId) -> Result<Self, DecodeError> {
        let tombstone: Self = wire::decode(bytes, LEN_MAX)?;
        let sorted = tombstone.sessions.windows(2).all(|pair| pair[0] < pair[1]);
        if !sorted || tombstone.sessions.binary_search(session).is_err() {
            return Err(DecodeError::Inconsistent);
        }
        Ok(tombstone)
    }
}
