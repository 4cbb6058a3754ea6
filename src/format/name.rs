//! Names of objects in a repository, the only place that knows how they are spelled.

use std::fmt;

use super::DecodeError;
use crate::base::{Id, PackId, SegmentId, SessionId, SlotId};

/// What an object is; the numbers are part of the format and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ObjectKind {
    /// Repository configuration.
    Config = 1,
    /// Key slot.
    Key = 2,
    /// Pack.
    Pack = 3,
    /// Index segment.
    Index = 4,
    /// Pending snapshot of a session.
    Session = 5,
    /// Decision of a session: snapshot or abort.
    Snapshot = 6,
    /// Mark of a forgotten snapshot.
    Tombstone = 7,
    /// Record of one round of prune.
    Generation = 8,
    /// Words about a snapshot, after the fact.
    Note = 9,
    /// Append-only record, ignored by prune.
    Ledger = 10,
}

impl ObjectKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::Config,
        Self::Key,
        Self::Pack,
        Self::Index,
        Self::Session,
        Self::Snapshot,
        Self::Tombstone,
        Self::Generation,
        Self::Note,
        Self::Ledger,
    ];

    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// The prefix of the names of this kind, with its slash.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Config => "config/",
            Self::Key => "keys/",
            Self::Pack => "packs/",
            Self::Index => "index/",
            Self::Session => "sessions/",
            Self::Snapshot => "snapshots/",
            Self::Tombstone => "tombs/",
            Self::Generation => "gc/",
            Self::Note => "notes/",
            Self::Ledger => "ledger/",
        }
    }

    /// What a person calls it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "key slot",
            Self::Pack => "pack",
            Self::Index => "index segment",
            Self::Session => "session root",
            Self::Snapshot => "snapshot",
            Self::Tombstone => "tombstone",
            Self::Generation => "generation",
            Self::Note => "note",
            Self::Ledger => "ledger record",
        }
    }
}

/// The step of a generation that an object records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GenerationStep {
    /// `c`: packs that might be deleted.
    Candidates,
    /// `b`: the candidates are being decided.
    Begin,
    /// `d`: the packs that will be deleted.
    Doomed,
}

/// The name of an object, known to be well formed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

/// What a name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// `config/<n>`.
    Config(u64),
    /// `keys/<id>`.
    Key(SlotId),
    /// `packs/<aa>/<id>`.
    Pack(PackId),
    /// `index/<session>-<seq>-<id>`.
    Index(SessionId, u32, SegmentId),
    /// `sessions/<session>/<n>`.
    Session(SessionId, u32),
    /// `snapshots/<session>`.
    Snapshot(SessionId),
    /// `tombs/<session>`.
    Tombstone(SessionId),
    /// `gc/<n>/<step>`.
    Generation(u64, GenerationStep),
    /// `notes/<session>/<n>`.
    Note(SessionId, u32),
    /// `ledger/<kind>/<id>`.
    Ledger(String, String),
}

impl ObjectName {
    /// Reads a name, refusing any spelling but the canonical one.
    ///
    /// # Errors
    /// [`DecodeError::Name`] when this is no name of format 1.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let name = Self(text.to_owned());
        match name.try_parsed() {
            Some(parsed) if Self::of(&parsed).0 == text => Ok(name),
            _ => Err(DecodeError::Name),
        }
    }

    /// The name that says `parsed`.
    pub fn of(parsed: &Parsed) -> Self {
        Self(match parsed {
            Parsed::Config(n) => format!("config/{n}"),
            Parsed::Key(id) => format!("keys/{id}"),
            Parsed::Pack(id) => {
                let hex = id.to_hex();
                format!("packs/{}/{hex}", &hex[..2])
            }
            Parsed::Index(session, seq, id) => format!("index/{session}-{seq}-{id}"),
            Parsed::Session(session, n) => format!("sessions/{session}/{n}"),
            Parsed::Snapshot(session) => format!("snapshots/{session}"),
            Parsed::Tombstone(session) => format!("tombs/{session}"),
            Parsed::Generation(n, step) => format!(
                "gc/{n}/{}",
                match step {
                    GenerationStep::Candidates => 'c',
                    GenerationStep::Begin => 'b',
                    GenerationStep::Doomed => 'd',
                }
            ),
            Parsed::Note(session, n) => format!("notes/{session}/{n}"),
            Parsed::Ledger(kind, id) => format!("ledger/{kind}/{id}"),
        })
    }

    /// `config/<n>`.
    pub fn config(n: u64) -> Self {
        Self::of(&Parsed::Config(n))
    }
    /// `keys/<id>`.
    pub fn key(id: SlotId) -> Self {
        Self::of(&Parsed::Key(id))
    }
    /// `packs/<aa>/<id>`.
    pub fn pack(id: PackId) -> Self {
        Self::of(&Parsed::Pack(id))
    }
    /// `index/<session>-<seq>-<id>`.
    pub fn index(session: SessionId, seq: u32, id: SegmentId) -> Self {
        Self::of(&Parsed::Index(session, seq, id))
    }
    /// `sessions/<session>/<n>`.
    pub fn session(session: SessionId, n: u32) -> Self {
        Self::of(&Parsed::Session(session, n))
    }
    /// `snapshots/<session>`.
    pub fn snapshot(session: SessionId) -> Self {
        Self::of(&Parsed::Snapshot(session))
    }
    /// `tombs/<session>`.
    pub fn tombstone(session: SessionId) -> Self {
        Self::of(&Parsed::Tombstone(session))
    }
    /// `gc/<n>/<step>`.
    pub fn generation(n: u64, step: GenerationStep) -> Self {
        Self::of(&Parsed::Generation(n, step))
    }

    /// `ledger/<kind>/<id>`, of small letters and digits both.
    pub fn ledger(kind: &str, id: &str) -> Self {
        Self::of(&Parsed::Ledger(kind.to_owned(), id.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the name says.
    pub fn parsed(&self) -> Parsed {
        self.try_parsed().expect("a name is parsed before it is made")
    }

    /// The kind of the object.
    pub fn kind(&self) -> ObjectKind {
        match self.parsed() {
            Parsed::Config(..) => ObjectKind::Config,
            Parsed::Key(..) => ObjectKind::Key,
            Parsed::Pack(..) => ObjectKind::Pack,
            Parsed::Index(..) => ObjectKind::Index,
            Parsed::Session(..) => ObjectKind::Session,
            Parsed::Snapshot(..) => ObjectKind::Snapshot,
            Parsed::Tombstone(..) => ObjectKind::Tombstone,
            Parsed::Generation(..) => ObjectKind::Generation,
            Parsed::Note(..) => ObjectKind::Note,
            Parsed::Ledger(..) => ObjectKind::Ledger,
        }
    }

    fn try_parsed(&self) -> Option<Parsed> {
        let (prefix, rest) = self.0.split_once('/')?;
        Some(match prefix {
            "config" => Parsed::Config(rest.parse().ok()?),
            "keys" => Parsed::Key(Id::from_hex(rest)?),
            "packs" => Parsed::Pack(Id::from_hex(rest.split_once('/')?.1)?),
            "index" => {
                let mut parts = rest.splitn(3, '-');
                Parsed::Index(
                    Id::from_hex(parts.next()?)?,
                    parts.next()?.parse().ok()?,
                    Id::from_hex(parts.next()?)?,
                )
            }
            "sessions" => {
                let (session, n) = rest.split_once('/')?;
                Parsed::Session(Id::from_hex(session)?, n.parse().ok()?)
            }
            "snapshots" => Parsed::Snapshot(Id::from_hex(rest)?),
            "tombs" => Parsed::Tombstone(Id::from_hex(rest)?),
            "gc" => {
                let (n, step) = rest.split_once('/')?;
                let step = match step {
                    "c" => GenerationStep::Candidates,
                    "b" => GenerationStep::Begin,
                    "d" => GenerationStep::Doomed,
                    _ => return None,
                };
                Parsed::Generation(n.parse().ok()?, step)
            }
            "notes" => {
                let (session, n) = rest.split_once('/')?;
                Parsed::Note(Id::from_hex(session)?, n.parse().ok()?)
            }
            "ledger" => {
                let (kind, id) = rest.split_once('/')?;
                let plain = |s: &str| {
                    !s.is_empty()
                        && s.len() <= 128
                        && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                };
                if !plain(kind) || !plain(id) {
                    return None;
                }
                Parsed::Ledger(kind.to_owned(), id.to_owned())
            }
            _ => return None,
        })
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_a_name() {
        let id = "ab".repeat(32);
        let good = [
            "config/1".to_owned(),
            format!("keys/{id}"),
            format!("packs/ab/{id}"),
            format!("index/{id}-0-{id}"),
            format!("sessions/{id}/3"),
            format!("snapshots/{id}"),
            format!("tombs/{id}"),
            "gc/12/d".to_owned(),
            format!("notes/{id}/0"),
            "ledger/verified/0".to_owned(),
        ];
        for text in &good {
            assert_eq!(ObjectName::parse(text).map(|n| n.to_string()).as_ref(), Ok(text));
        }
        let bad = [
            "config/01".to_owned(),
            "config/+1".to_owned(),
            format!("packs/ac/{id}"),
            format!("packs/{id}"),
            format!("keys/{}", id.to_uppercase()),
            format!("snapshots/{id}/x"),
            "gc/1/e".to_owned(),
            "ledger/../x".to_owned(),
            "other/1".to_owned(),
            String::new(),
        ];
        for text in &bad {
            assert_eq!(ObjectName::parse(text), Err(DecodeError::Name), "{text}");
        }
    }
}
