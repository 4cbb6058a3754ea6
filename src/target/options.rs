//! Which metadata a restore applies.

use rustix::process::geteuid;

/// Which metadata a restore applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Give entries their owner and group. Without it they belong to whoever restores, and
    /// set-user-ID and set-group-ID bits of files, capabilities, `trusted.*` and `security.*`
    /// attributes are left out without a word: they would grant the rights of somebody else.
    pub owner: bool,
    /// Use the numbers of owners, not their names on this host.
    pub numeric_ids: bool,
    /// Apply extended attributes and ACLs, and remove those that a new entry inherited.
    pub xattrs: bool,
    /// Create devices, and give files set-user-ID and set-group-ID bits and capabilities, which
    /// grant rights to whoever can reach them. Without it each is a problem that is named; a bit
    /// or capability that is there already stays.
    pub special: bool,
}

impl Default for Options {
    /// Everything but what is special for root; for others what needs no privilege.
    fn default() -> Self {
        let is_root = geteuid().is_root();
        Self { owner: is_root, numeric_ids: false, xattrs: true, special: false }
    }
}
