//! One name in a tree with everything that a restore needs to make it again.

use minicbor::{Decode, Encode};

use super::list::{ChunkList, INLINE_COUNT_MAX};
use super::{DecodeError, wire};
use crate::base::{ChunkId, Timestamp};

/// Longest name in bytes, as on every file system that Linux mounts.
pub const NAME_LEN_MAX: usize = 255;
/// Longest link target in bytes.
pub const TARGET_LEN_MAX: usize = 4095;
/// Longest encoded entry in bytes.
pub const ENTRY_LEN_MAX: usize = 4 << 20;
/// Most holes that one entry records; the source stores further ones as zeros.
pub const HOLE_COUNT_MAX: usize = 65_536;
/// Largest file in bytes: what a signed 64-bit offset reaches.
pub const SIZE_MAX: u64 = i64::MAX as u64;

/// What an entry is. The numbers are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// Regular file.
    File = 0,
    /// Directory.
    Directory = 1,
    /// Symbolic link.
    Symlink = 2,
    /// Named pipe.
    Fifo = 3,
    /// Character device.
    CharDevice = 4,
    /// Block device.
    BlockDevice = 5,
    /// Socket.
    Socket = 6,
}

impl EntryKind {
    /// The kind with this number.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for any other number.
    pub fn from_u8(number: u8) -> Result<Self, DecodeError> {
        Ok(match number {
            0 => Self::File,
            1 => Self::Directory,
            2 => Self::Symlink,
            3 => Self::Fifo,
            4 => Self::CharDevice,
            5 => Self::BlockDevice,
            6 => Self::Socket,
            _ => return Err(DecodeError::Unknown),
        })
    }

    /// The word that restic uses for it in JSON.
    pub fn noun(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "dir",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::CharDevice => "chardev",
            Self::BlockDevice => "dev",
            Self::Socket => "socket",
        }
    }
}

wire::number!(EntryKind);

/// An extended attribute; POSIX ACLs are those named `system.posix_acl_*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Xattr {
    /// Name with its namespace.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub name: Vec<u8>,
    /// Value.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

/// Tells which names of a snapshot are the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct LinkGroup {
    /// Number of the file system within the snapshot, in the order they were met.
    #[n(0)]
    pub mount: u32,
    /// Inode number there.
    #[n(1)]
    pub inode: u64,
}

/// Device numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Device {
    /// Major number.
    #[n(0)]
    pub major: u32,
    /// Minor number.
    #[n(1)]
    pub minor: u32,
}

/// A run of bytes within a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Range {
    /// First byte.
    #[n(0)]
    pub offset: u64,
    /// Number of bytes, never zero.
    #[n(1)]
    pub len: u64,
}

impl Range {
    /// The byte after the last, or `None` past 2^64.
    pub fn end(self) -> Option<u64> {
        self.offset.checked_add(self.len)
    }
}

/// Points to the top node of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
#[cbor(array)]
pub struct TreeRef {
    /// The node.
    #[n(0)]
    pub id: ChunkId,
    /// 0 when the node holds entries, k when it holds nodes of level k-1.
    #[n(1)]
    pub level: u8,
    /// Entries below, in this and all deeper directories.
    #[n(2)]
    pub entry_count: u64,
    /// Sizes of all files below, added up.
    #[n(3)]
    pub content_bytes: u64,
}

impl TreeRef {
    /// Refuses levels beyond the limit, and nodes of nothing.
    ///
    /// # Errors
    /// [`DecodeError::Limit`] or [`DecodeError::Inconsistent`].
    pub fn validate(&self) -> Result<(), DecodeError> {
        if self.level > super::list::LEVEL_MAX {
            return Err(DecodeError::Limit);
        }
        if self.entry_count == 0 { Err(DecodeError::Inconsistent) } else { Ok(()) }
    }
}

/// Bits of [`Entry::flags`].
pub mod flags {
    /// The file changed while it was read; what is stored is what was read.
    pub const INCONSISTENT: u32 = 1;
    /// Something of it could not be read: attributes, or the names in a directory.
    pub const INCOMPLETE: u32 = 2;
    /// Names in the directory were left out on request, so that nobody may conclude from their
    /// absence that they were not there.
    pub const PARTIAL: u32 = 4;
    /// All flags that version 1 defines.
    pub const ALL: u32 = INCONSISTENT | INCOMPLETE | PARTIAL;
}

/// One name in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// Raw bytes of the name.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub name: Vec<u8>,
    /// What it is.
    #[n(1)]
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits.
    #[n(2)]
    pub mode: u32,
    /// Owner.
    #[n(3)]
    pub uid: u32,
    /// Group.
    #[n(4)]
    pub gid: u32,
    /// Name of the owner.
    #[n(5)]
    #[cbor(with = "minicbor::bytes")]
    pub user: Option<Vec<u8>>,
    /// Name of the group.
    #[n(6)]
    #[cbor(with = "minicbor::bytes")]
    pub group: Option<Vec<u8>>,
    /// Time of the last change of content; absent on the ancestors of a backed-up path.
    #[n(7)]
    pub mtime: Option<Timestamp>,
    /// Extended attributes, sorted by name.
    #[n(8)]
    pub xattrs: Option<Vec<Xattr>>,
    /// Set where the file has several names.
    #[n(9)]
    pub link: Option<LinkGroup>,
    /// Numbers of a device.
    #[n(10)]
    pub device: Option<Device>,
    /// Target of a symbolic link.
    #[n(11)]
    #[cbor(with = "minicbor::bytes")]
    pub target: Option<Vec<u8>>,
    /// Length of a regular file, holes included.
    #[n(12)]
    pub size: Option<u64>,
    /// Holes of a regular file in ascending order, at least one byte apart.
    #[n(13)]
    pub holes: Option<Vec<Range>>,
    /// Content of a regular file between its holes; absent when there is none.
    #[n(14)]
    pub content: Option<ChunkList>,
    /// Content of a directory; absent when it is empty.
    #[n(15)]
    pub tree: Option<TreeRef>,
    /// See [`flags`]; absent when none is set.
    #[n(16)]
    pub flags: Option<u32>,
    /// How the content was split: absent for content-defined, 1 for pages, 2 for tensors.
    #[n(17)]
    pub profile: Option<u8>,
    /// Ranges that a repair found lost; they read as zeros.
    #[n(18)]
    pub lost: Option<Vec<Range>>,
}

impl Entry {
    /// An entry of `kind` with nothing but a name.
    pub fn new(name: &[u8], kind: EntryKind) -> Self {
        Self {
            name: name.to_vec(),
            kind,
            mode: 0,
            uid: 0,
            gid: 0,
            user: None,
            group: None,
            mtime: None,
            xattrs: None,
            link: None,
            device: None,
            target: None,
            size: (kind == EntryKind::File).then_some(0),
            holes: None,
            content: None,
            tree: None,
            flags: None,
            profile: None,
            lost: None,
        }
    }

    /// Sets a flag.
    pub fn set_flag(&mut self, flag: u32) {
        self.flags = Some(self.flags.unwrap_or(0) | flag);
    }

    /// The canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads and validates an entry.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let entry: Self = wire::decode(bytes, ENTRY_LEN_MAX)?;
        entry.validate()?;
        Ok(entry)
    }

    /// Refuses names that could leave a directory, fields of another kind, and sums that disagree.
    ///
    /// # Errors
    /// [`DecodeError::Name`] for the name, else [`DecodeError::Limit`] or
    /// [`DecodeError::Inconsistent`].
    pub fn validate(&self) -> Result<(), DecodeError> {
        validate_name(&self.name)?;
        let is_device = matches!(self.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        let only = |present: bool, allowed: bool| {
            if present && !allowed { Err(DecodeError::Inconsistent) } else { Ok(()) }
        };
        let is_file = self.kind == EntryKind::File;
        only(self.holes.is_some(), is_file)?;
        only(self.content.is_some(), is_file)?;
        only(self.lost.is_some(), is_file)?;
        only(self.profile.is_some(), is_file)?;
        only(self.tree.is_some(), self.kind == EntryKind::Directory)?;
        only(self.link.is_some(), self.kind != EntryKind::Directory)?;
        let required = self.size.is_some() == is_file
            && self.target.is_some() == (self.kind == EntryKind::Symlink)
            && self.device.is_some() == is_device;
        if !required || self.mode & !0o7777 != 0 {
            return Err(DecodeError::Inconsistent);
        }
        if self.flags.is_some_and(|f| f == 0 || f & !flags::ALL != 0) {
            return Err(DecodeError::Unknown);
        }
        let is_partial = self.flags.is_some_and(|f| f & flags::PARTIAL != 0);
        only(is_partial, self.kind == EntryKind::Directory)?;
        if self.profile.is_some_and(|p| p == 0 || p > 2) {
            return Err(DecodeError::Unknown);
        }
        if let Some(target) = &self.target
            && (target.is_empty() || target.len() > TARGET_LEN_MAX || target.contains(&0))
        {
            return Err(DecodeError::Limit);
        }
        if let Some(tree) = &self.tree {
            tree.validate()?;
        }
        self.validate_xattrs()?;
        self.validate_content()
    }

    fn validate_xattrs(&self) -> Result<(), DecodeError> {
        let Some(xattrs) = &self.xattrs else { return Ok(()) };
        let sorted = xattrs.windows(2).all(|pair| pair[0].name < pair[1].name);
        let sound = xattrs.iter().all(|x| !x.name.is_empty() && !x.name.contains(&0));
        if xattrs.is_empty() || !sorted || !sound {
            return Err(DecodeError::Inconsistent);
        }
        Ok(())
    }

    fn validate_content(&self) -> Result<(), DecodeError> {
        let Some(size) = self.size else { return Ok(()) };
        if size > SIZE_MAX {
            return Err(DecodeError::Limit);
        }
        let hole_bytes = validate_ranges(self.holes.as_deref(), size)?;
        validate_ranges(self.lost.as_deref(), size)?;
        let content_len = match &self.content {
            Some(list) => {
                list.validate(INLINE_COUNT_MAX)?;
                if list.pieces.is_empty() {
                    return Err(DecodeError::Inconsistent);
                }
                list.content_len().ok_or(DecodeError::Limit)?
            }
            None => 0,
        };
        if content_len.checked_add(hole_bytes) != Some(size) {
            return Err(DecodeError::Inconsistent);
        }
        Ok(())
    }
}

/// Refuses names that are empty, too long, or more than one component of a path.
///
/// # Errors
/// [`DecodeError::Name`].
pub fn validate_name(name: &[u8]) -> Result<(), DecodeError> {
    let sound = !name.is_empty()
        && name.len() <= NAME_LEN_MAX
        && name != b"."
        && name != b".."
        && !name.iter().any(|b| *b == 0 || *b == b'/');
    if sound { Ok(()) } else { Err(DecodeError::Name) }
}

/// Adds up ranges that must be ascending, apart, not empty and within `size`.
fn validate_ranges(ranges: Option<&[Range]>, size: u64) -> Result<u64, DecodeError> {
    let Some(ranges) = ranges else { return Ok(0) };
    if ranges.is_empty() {
        return Err(DecodeError::Inconsistent);
    }
    if ranges.len() > HOLE_COUNT_MAX {
        return Err(DecodeError::Limit);
    }
    let mut sum = 0;
    let mut previous_end = None;
    for range in ranges {
        let end = range.end().ok_or(DecodeError::Limit)?;
        let apart = previous_end.is_none_or(|previous| range.offset > previous);
        if range.len == 0 || end > size || !apart {
            return Err(DecodeError::Inconsistent);
        }
        previous_end = Some(end);
        sum += range.len;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_a_directory_are_refused() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/etc", b"a\0b", &[b'x'; 256]] {
            let entry = Entry::new(name, EntryKind::Fifo);
            assert_eq!(Entry::decode(&entry.encode()), Err(DecodeError::Name), "{name:?}");
        }
        let odd = Entry::new(b"\xff\n", EntryKind::Fifo);
        assert_eq!(Entry::decode(&odd.encode()), Ok(odd));
    }

    #[test]
    fn the_size_is_the_sum_of_chunks_and_holes() {
        let mut entry = Entry::new(b"f", EntryKind::File);
        let piece = crate::format::list::Piece { id: ChunkId::new([1; 32]), len: 10 };
        entry.content = Some(ChunkList { level: 0, pieces: vec![piece] });
        entry.holes = Some(vec![Range { offset: 0, len: 5 }]);
        entry.size = Some(15);
        assert_eq!(Entry::decode(&entry.encode()).as_ref(), Ok(&entry));
        entry.size = Some(16);
        assert_eq!(Entry::decode(&entry.encode()), Err(DecodeError::Inconsistent));
    }
}
