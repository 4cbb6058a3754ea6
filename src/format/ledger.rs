//! Ledger records: what was verified or rehearsed - with its time.

use minicbor::{Decode, Encode};

use super::{DecodeError, wire};
use crate::base::{PackId, Timestamp, WriterId};

/// Longest encoded record in bytes.
pub const LEN_MAX: usize = 64 << 20;

/// Object `ledger/<kind>/<id>`; nothing of it is needed to restore.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct LedgerRecord {
    /// When it was written.
    #[n(0)]
    pub time: Timestamp,
    /// Who wrote it.
    #[n(1)]
    pub writer: WriterId,
    /// Packs whose every frame was read and found good; sorted.
    #[n(2)]
    pub verified: Vec<PackId>,
    /// Result of a drill as JSON text.
    #[n(3)]
    pub drill: Option<String>,
    /// Packs that were read and are not what was stored; sorted.
    #[n(4)]
    pub damaged: Option<Vec<PackId>>,
}

impl LedgerRecord {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads and validates a record.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let record: Self = wire::decode(bytes, LEN_MAX)?;
        let is_sorted = |packs: &[PackId]| packs.windows(2).all(|pair| pair[0] < pair[1]);
        let is_sound =
            record.damaged.as_ref().is_none_or(|packs| !packs.is_empty() && is_sorted(packs));
        if !is_sorted(&record.verified) || !is_sound {
            return Err(DecodeError::Inconsistent);
        }
        Ok(record)
    }
}
