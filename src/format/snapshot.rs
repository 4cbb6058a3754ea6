//! Snapshots, with the two objects that hold them: session roots and decisions.

use minicbor::decode::Decoder;
use minicbor::encode::{Encoder, Write};
use minicbor::{Decode, Encode};

use super::entry::TreeRef;
use super::list::expect_array;
use super::{DecodeError, wire};
use crate::base::{SegmentId, SessionId, Timestamp, WriterId};

/// Longest encoded snapshot in bytes.
pub const LEN_MAX: usize = 16 << 20;
/// Longest text in a snapshot in bytes.
pub const TEXT_LEN_MAX: usize = 4096;

/// What became of a component. The numbers are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Everything was read.
    Complete = 0,
    /// Something could not be read; problems were reported.
    Incomplete = 1,
    /// Everything was read, but it is not what was expected: empty, or far smaller than before.
    Suspect = 2,
}

impl State {
    /// The state with this number.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for any other number.
    pub fn from_u8(number: u8) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::Complete),
            1 => Ok(Self::Incomplete),
            2 => Ok(Self::Suspect),
            _ => Err(DecodeError::Unknown),
        }
    }
}

wire::number!(State);

/// Sums over a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Statistics {
    /// Regular files.
    #[n(0)]
    pub file_count: u64,
    /// Directories.
    #[n(1)]
    pub directory_count: u64,
    /// Other entries.
    #[n(2)]
    pub other_count: u64,
    /// Sizes of all files.
    #[n(3)]
    pub content_bytes: u64,
    /// Raw bytes of chunks that were new.
    #[n(4)]
    pub new_bytes: u64,
    /// Sealed bytes that were stored for them.
    #[n(5)]
    pub stored_bytes: u64,
    /// Problems that were reported.
    #[n(6)]
    pub problem_count: u64,
}

/// One named part of a system that is protected.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Component {
    /// Its name; `files` for paths given on the command line.
    #[n(0)]
    pub name: String,
    /// Its kind; `files` for directory trees.
    #[n(1)]
    pub kind: String,
    /// Its tier, if it has one.
    #[n(2)]
    pub tier: Option<String>,
    /// Its tree; absent when it is empty.
    #[n(3)]
    pub root: Option<TreeRef>,
    /// Sums.
    #[n(4)]
    pub statistics: Statistics,
    /// What became of it.
    #[n(5)]
    pub state: State,
    /// Absolute paths that were asked for, as raw bytes.
    #[n(6)]
    pub paths: Vec<PathBytes>,
}

/// A path as raw bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct PathBytes(
    #[cbor(with = "minicbor::bytes")]
    #[n(0)]
    pub Vec<u8>,
);

/// The last snapshot of a writer that another one saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Seen {
    /// The writer.
    #[n(0)]
    pub writer: WriterId,
    /// Its session.
    #[n(1)]
    pub session: SessionId,
    /// Its sequence number.
    #[n(2)]
    pub sequence: u64,
}

/// Immutable record of one run of one or more components.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Snapshot {
    /// What was captured.
    #[n(0)]
    pub components: Vec<Component>,
    /// Ties snapshots of several hosts to one moment.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub recovery_point: Option<Vec<u8>>,
    /// Start of the capture, by the clock of the host.
    #[n(2)]
    pub time: Timestamp,
    /// End of the capture.
    #[n(3)]
    pub finished: Timestamp,
    /// Host name.
    #[n(4)]
    pub host: String,
    /// User name.
    #[n(5)]
    pub user: String,
    /// Tags, sorted.
    #[n(6)]
    pub tags: Vec<String>,
    /// Version of the program.
    #[n(7)]
    pub program: String,
    /// The client that wrote it.
    #[n(8)]
    pub writer: WriterId,
    /// Number of this snapshot among those of the writer, from 1.
    #[n(9)]
    pub sequence: u64,
    /// Snapshot that unchanged files were taken from.
    #[n(10)]
    pub parent: Option<SessionId>,
    /// Index segments of this session: a hint where to look first.
    #[n(11)]
    pub segments: Vec<SegmentId>,
    /// Last snapshot of every writer that this one saw.
    #[n(12)]
    pub seen: Vec<Seen>,
    /// Reserved for a signature; version 1 refuses one.
    #[n(13)]
    #[cbor(with = "minicbor::bytes")]
    pub signature: Option<Vec<u8>>,
    /// Free text.
    #[n(14)]
    pub description: Option<String>,
}

impl Snapshot {
    /// Refuses what version 1 does not define or bound.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn validate(&self) -> Result<(), DecodeError> {
        if self.signature.is_some() {
            return Err(DecodeError::Unknown);
        }
        let texts = [&self.host, &self.user, &self.program];
        let long = texts.into_iter().chain(&self.tags).any(|t| t.len() > TEXT_LEN_MAX);
        let unsorted = self.tags.windows(2).any(|pair| pair[0] >= pair[1]);
        let odd_point = self.recovery_point.as_ref().is_some_and(|p| p.len() != 16);
        if long || self.description.as_ref().is_some_and(|t| t.len() > TEXT_LEN_MAX) {
            return Err(DecodeError::Limit);
        }
        for root in self.components.iter().filter_map(|component| component.root.as_ref()) {
            root.validate()?;
        }
        if unsorted || odd_point || self.components.is_empty() {
            return Err(DecodeError::Inconsistent);
        }
        Ok(())
    }
}

/// Object `snapshots/<session>`: what became of a session, decided by who creates it first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time exists, and it is soon taken apart")]
pub enum Decision {
    /// The session ended with this snapshot.
    Snapshot(Snapshot),
    /// The session was fenced and will never have a snapshot.
    Abort {
        /// When that was decided.
        time: Timestamp,
        /// Why.
        reason: String,
    },
}

impl Decision {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads and validates a decision.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let decision: Self = wire::decode(bytes, LEN_MAX)?;
        if let Self::Snapshot(snapshot) = &decision {
            snapshot.validate()?;
        }
        Ok(decision)
    }
}

impl<C> Encode<C> for Decision {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self {
            Self::Snapshot(snapshot) => snapshot.encode(e.array(2)?.u8(0)?, ctx),
            Self::Abort { time, reason } => {
                time.encode(e.array(3)?.u8(1)?, ctx)?;
                e.str(reason)?.ok()
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for Decision {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        let len = d.array()?;
        match (d.u8()?, len) {
            (0, Some(2)) => Ok(Self::Snapshot(Snapshot::decode(d, ctx)?)),
            (1, Some(3)) => {
                Ok(Self::Abort { time: Timestamp::decode(d, ctx)?, reason: d.str()?.to_owned() })
            }
            _ => Err(minicbor::decode::Error::message("an unknown decision")),
        }
    }
}

/// Object `sessions/<session>/<n>`: a snapshot that is not decided yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Whether the capture is complete; an interrupted root names only what is in stored packs.
    pub is_final: bool,
    /// What a decision would say.
    pub snapshot: Snapshot,
}

impl Root {
    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads and validates a root.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let root: Self = wire::decode(bytes, LEN_MAX)?;
        root.snapshot.validate()?;
        Ok(root)
    }
}

impl<C> Encode<C> for Root {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        self.snapshot.encode(e.array(2)?.bool(self.is_final)?, ctx)
    }
}

impl<'b, C> Decode<'b, C> for Root {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        expect_array(d, 2)?;
        Ok(Self { is_final: d.bool()?, snapshot: Snapshot::decode(d, ctx)? })
    }
}
