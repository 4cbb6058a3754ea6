//! What one stat tells of one name.

use rustix::fs::{FileType, Stat, major, minor};

use super::signature::Signature;
use crate::base::Timestamp;
use crate::format::entry::{Device, EntryKind};

/// A name in a directory as its stat found it; nothing of it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// Raw bytes of the name; empty for a directory that was opened by path.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Tells whether it changed since.
    pub signature: Signature,
    /// How many names the file has.
    pub nlink: u64,
    /// File system it is on, as `st_dev`; valid until the next boot. On an overlay, files may
    /// differ from their directory in it: compare directories only.
    pub device: u64,
    /// Numbers of the device that it is, zeros for all else.
    pub rdev: Device,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
}

impl Child {
    /// What `stat` says, or `None` where it is of no kind that Linux defines.
    pub(super) fn new(name: &[u8], stat: &Stat) -> Option<Self> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharDevice,
            FileType::BlockDevice => EntryKind::BlockDevice,
            FileType::Socket => EntryKind::Socket,
            FileType::Unknown => return None,
        };
        // Drivers that answer nonsense (a negative size, 2^40 nanoseconds) do not get it stored.
        let time = |seconds, nanos: u64| Timestamp::new(seconds, nanos.min(999_999_999) as u32);
        let signature = Signature {
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: time(stat.st_mtime, stat.st_mtime_nsec),
            ctime: time(stat.st_ctime, stat.st_ctime_nsec),
            mode: stat.st_mode,
        };
        Some(Self {
            name: name.to_vec(),
            kind,
            signature,
            nlink: stat.st_nlink,
            device: stat.st_dev,
            rdev: Device { major: major(stat.st_rdev), minor: minor(stat.st_rdev) },
            uid: stat.st_uid,
            gid: stat.st_gid,
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
        })
    }

    /// Whether less space is taken than its length needs, so that holes are worth looking for.
    pub fn is_sparse(&self) -> bool {
        self.blocks.saturating_mul(512) < self.signature.size
    }
}
