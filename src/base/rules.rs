//! The rules of the protocol, each of which a simulation can do without to see what breaks.

use super::simulated;

/// A rule of `docs/protocol.md`, which says there what goes wrong without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A chunk counts as stored only if its pack is listed.
    ListedPacks,
    /// Candidates of a round that has begun are not relied on.
    BeginMarker,
    /// The root is stored before anything is looked at again.
    PendingRoot,
    /// A writer looks at the generations again once its root is stored.
    SecondLook,
    /// A writer starts over when it may have missed a round.
    Gap,
    /// Files are taken over only while the parent is not forgotten.
    ParentKept,
    /// Nothing is taken over from a parent of which packs are missing or endangered.
    ParentWhole,
    /// What exists already is read back and compared.
    ReadBack,
    /// A snapshot is forgotten by a tombstone, and never by deleting it.
    Tombstone,
    /// Tombstones are read before snapshots.
    TombstonesFirst,
    /// Session roots are read before snapshots.
    SessionsFirst,
    /// The index is read after the roots.
    RootsFirst,
    /// A snapshot that others have seen must be there, or forgotten.
    Seen,
    /// A session that is given up is fenced off.
    Fence,
    /// A round is begun only when the one before is decided.
    OneRound,
    /// A round is begun only when no pack is left of the one before the last.
    NothingLeft,
    /// Roots are read again after the round has begun.
    RootsAgain,
    /// A prune that finds a later round leaves its own to others.
    LaterRound,
    /// A record that cannot be read is read again, and stops a writer if its round has begun.
    BegunRead,
    /// Of a session without decision only what is gone for certain is passed over.
    Gone,
    /// Of several copies among the candidates one stays.
    LastCopy,
    /// A pack that no segment names goes only after its header was read.
    HeaderRead,
    /// The record that was created first is carried out, whoever wrote it.
    OneDecision,
    /// Only the last two rounds count, and who decided looks whether its round is one of them.
    TwoRounds,
    /// An interrupted root is stored once segments name all packs that it needs.
    SavedWhole,
    /// What a session without decision has saved stays like any other root of it.
    SavedKept,
}

/// All of them.
#[cfg(test)]
pub(crate) const ALL: [Rule; 26] = [
    Rule::ListedPacks,
    Rule::BeginMarker,
    Rule::PendingRoot,
    Rule::SecondLook,
    Rule::Gap,
    Rule::ParentKept,
    Rule::ParentWhole,
    Rule::ReadBack,
    Rule::Tombstone,
    Rule::TombstonesFirst,
    Rule::SessionsFirst,
    Rule::RootsFirst,
    Rule::Seen,
    Rule::Fence,
    Rule::OneRound,
    Rule::NothingLeft,
    Rule::RootsAgain,
    Rule::LaterRound,
    Rule::BegunRead,
    Rule::Gone,
    Rule::LastCopy,
    Rule::HeaderRead,
    Rule::OneDecision,
    Rule::TwoRounds,
    Rule::SavedWhole,
    Rule::SavedKept,
];

/// Whether a rule is kept. It always is, but by an actor that plays who does not know it.
pub fn keeps(rule: Rule) -> bool {
    !simulated::is_off(rule)
}
