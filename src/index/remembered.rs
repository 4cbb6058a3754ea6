//! The bytes of what a host remembers of a repository beside its index.
//!
//! Records are kept by [`super::Cache::meta_put`]. Each is a hint that may be lost; one that makes no
//! sense is none.

use std::collections::BTreeSet;

use crate::base::id::ID_LEN;
use crate::base::{Id, SegmentId, SessionId, WriterId};
use crate::format::DecodeError;
use crate::format::wire::Cursor;

/// Which config a repository had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownConfig {
    /// Number of the config.
    pub number: u64,
    /// BLAKE3 of the whole object.
    pub hash: [u8; 32],
}

impl KnownConfig {
    /// Number, little-endian, then hash.
    pub fn encode(&self) -> Vec<u8> {
        [&self.number.to_le_bytes()[..], &self.hash].concat()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// For any other length.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let config = Self { number: cursor.u64()?, hash: cursor.array()? };
        cursor.finish()?;
        Ok(config)
    }
}

/// The last snapshot that a host made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastWritten {
    /// What the host calls itself as a writer.
    pub writer: WriterId,
    /// Number of the snapshot among those of the writer.
    pub sequence: u64,
    /// The snapshot.
    pub snapshot: SessionId,
}

impl LastWritten {
    /// Writer, sequence (little-endian), snapshot.
    pub fn encode(&self) -> Vec<u8> {
        let sequence = self.sequence.to_le_bytes();
        [&self.writer.as_bytes()[..], &sequence, self.snapshot.as_bytes()].concat()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// For any other length, and for a number that has no next one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let last = Self {
            writer: WriterId::new(cursor.array()?),
            sequence: cursor.u64()?,
            snapshot: SessionId::new(cursor.array()?),
        };
        cursor.finish()?;
        if last.sequence == u64::MAX { Err(DecodeError::Limit) } else { Ok(last) }
    }
}

/// Which rows belong to the last snapshot of some sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEpoch {
    /// Under which the rows were put.
    pub epoch: u64,
    /// The snapshot.
    pub snapshot: SessionId,
    /// Segments that were listed then.
    pub segments: BTreeSet<SegmentId>,
}

impl LastEpoch {
    /// Epoch (little-endian), snapshot, segments.
    pub fn encode(&self) -> Vec<u8> {
        let head = [&self.epoch.to_le_bytes()[..], self.snapshot.as_bytes()].concat();
        [head, encode_ids(&self.segments)].concat()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// For a length that is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let (epoch, snapshot) = (cursor.u64()?, SessionId::new(cursor.array()?));
        let rest = cursor.rest();
        if !rest.len().is_multiple_of(ID_LEN) {
            return Err(DecodeError::Truncated);
        }
        Ok(Self { epoch, snapshot, segments: decode_ids(rest).collect() })
    }

    /// The epoch of a session. Never used twice, whatever became of the cache in between.
    pub fn of_session(id: SessionId) -> u64 {
        Cursor::new(id.as_bytes()).u64().expect("an id has 32 bytes")
    }
}

/// Ids one behind the other.
pub fn encode_ids<'a, K: 'a>(ids: impl IntoIterator<Item = &'a Id<K>>) -> Vec<u8> {
    ids.into_iter().flat_map(|id| *id.as_bytes()).collect()
}

/// Reads what [`encode_ids`] wrote; a last one that is not whole is left out.
pub fn decode_ids<'a, K: 'a>(bytes: &'a [u8]) -> impl Iterator<Item = Id<K>> + 'a {
    bytes.chunks_exact(ID_LEN).filter_map(Id::from_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_round_trip_and_have_one_length() {
        let id = SessionId::new([3; 32]);
        let config = KnownConfig { number: 7, hash: [1; 32] };
        let last = LastWritten { writer: WriterId::new([2; 32]), sequence: 9, snapshot: id };
        let segments = [4, 5].map(|byte| SegmentId::new([byte; 32])).into();
        let epoch = LastEpoch { epoch: LastEpoch::of_session(id), snapshot: id, segments };
        assert_eq!(KnownConfig::decode(&config.encode()), Ok(config));
        assert_eq!(LastWritten::decode(&last.encode()), Ok(last));
        assert_eq!(LastEpoch::decode(&epoch.encode()), Ok(epoch.clone()));
        for longer in [0, 1] {
            let odd = |mut bytes: Vec<u8>| {
                bytes.resize(bytes.len() - 1 + 2 * longer, 0);
                bytes
            };
            assert!(KnownConfig::decode(&odd(config.encode())).is_err());
            assert!(LastWritten::decode(&odd(last.encode())).is_err());
            assert!(LastEpoch::decode(&odd(epoch.encode())).is_err());
        }
        let ids = encode_ids(&epoch.segments);
        assert_eq!(decode_ids(&ids[..63]).collect::<Vec<SegmentId>>(), [SegmentId::new([4; 32])]);
    }

    #[test]
    fn a_writer_that_has_no_next_number_is_another_one() {
        let (writer, snapshot) = (WriterId::random(), SessionId::random());
        let last = |sequence| LastWritten { writer, sequence, snapshot };
        assert!(LastWritten::decode(&last(u64::MAX - 1).encode()).is_ok());
        assert_eq!(LastWritten::decode(&last(u64::MAX).encode()), Err(DecodeError::Limit));
    }
}
