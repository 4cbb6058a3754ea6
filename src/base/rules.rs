//! The rules of the protocol, each of which a simulation can do without to see what breaks.

use super::simulated;

/// A rule of `docs/protocol.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A writer looks at the generations again once its root is stored.
    SecondLook,
    /// A chunk counts as stored only if its pack is listed.
    ListedPacks,
}

/// Whether a rule is kept. It always is, but by an actor that plays who does not know it.
pub fn keeps(rule: Rule) -> bool {
    !simulated::is_off(rule)
}
