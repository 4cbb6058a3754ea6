//! Which metadata a restore applies.

use rustix::process::geteuid;

/// Which metadata a restore applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Give entries their owner and group. Without it they belong to whoever restores, and
    /// set-user-ID and set-group-ID bits of files, capabilities, `trusted.*` and `security.*`
    /// attributes are left out: they would grant the rights of somebody else.
    pub owner: bool,
    /// Use the numbers of owners, not their names on this host.
    pub numeric_ids: bool,
    /// Apply extended attributes and ACLs, and remove those that a new entry inherited.
    pub xattrs: bool,
    /// Create block and character devices.
    pub devices: bool,
}

impl Default for Options {
    /// Everything for root; for others what needs no privilege.
    fn default() -> Self {
        let is_root = geteuid().is_root();
        Self { owner: is_root, numeric_ids: false, xattrs: true, devices: is_root }
    }
}
