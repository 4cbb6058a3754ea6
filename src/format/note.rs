//! Notes: what is said about a snapshot after the fact.

use minicbor::{Decode, Encode};

use super::{DecodeError, wire};
use crate::base::{SessionId, Timestamp};

/// Longest encoded note in bytes.
pub const LEN_MAX: usize = 1 << 20;

/// Object `notes/<session>/<n>`; of several, the highest number that says something holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Note {
    /// The snapshot.
    #[n(0)]
    pub session: SessionId,
    /// When it was written.
    #[n(1)]
    pub time: Timestamp,
    /// All tags from now on, sorted; absent when unchanged.
    #[n(2)]
    pub tags: Option<Vec<String>>,
    /// Whether `forget` must keep it; absent when unchanged.
    #[n(3)]
    pub pinned: Option<bool>,
    /// Free text; absent when unchanged.
    #[n(4)]
    pub description: Option<String>,
}

impl Note {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads the note about `session`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8], session: &SessionId) -> Result<Self, DecodeError> {
        let note: Self = wire::decode(bytes, LEN_MAX)?;
        let sorted = note.tags.iter().all(|tags| tags.windows(2).all(|pair| pair[0] < pair[1]));
        if note.session != *session || !sorted {
            return Err(DecodeError::Inconsistent);
        }
        Ok(note)
    }
}
