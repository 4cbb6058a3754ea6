//! Generations: the records by which any number of prunes agree what to delete.

use minicbor::{Decode, Encode};

use super::{DecodeError, GenerationStep, wire};
use crate::base::{PackId, Timestamp};

/// Longest encoded record in bytes: a million packs.
pub const LEN_MAX: usize = 64 << 20;

/// Object `gc/<n>/c`, `gc/<n>/b` or `gc/<n>/d`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Generation {
    /// Number of the round, from 1.
    #[n(0)]
    pub number: u64,
    /// When it was written.
    #[n(1)]
    pub time: Timestamp,
    /// Candidates in `c`, doomed packs in `d`, none in `b`; sorted.
    #[n(2)]
    pub packs: Vec<PackId>,
}

impl Generation {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads the record named `gc/<number>/<step>`.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8], number: u64, step: GenerationStep) -> Result<Self, DecodeError> {
        let generation: Self = wire::decode(bytes, LEN_MAX)?;
        let sorted = generation.packs.windows(2).all(|pair| pair[0] < pair[1]);
        let misplaced = step == GenerationStep::Begin && !generation.packs.is_empty();
        if generation.number != number || !sorted || misplaced {
            return Err(DecodeError::Inconsistent);
        }
        Ok(generation)
    }
}
