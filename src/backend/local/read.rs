//! Reading object files, by copy or by mapping.
//!
//! Only large parts of packs are mapped, and only on local file systems: a pack never changes,
//! whereas a read error or a truncation under a mapping kills the process with SIGBUS. The pages
//! are therefore populated first, which reports an I/O error as an error, and then the copying
//! path reads the same range and names it. What remains is a pack that a stranger truncates, or a
//! sector that fails, after its pages were populated, evicted again under memory pressure, and
//! before they are used.

use std::fs::File;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::modified;
use crate::backend::error::{At, BackendError};
use crate::base::Timestamp;
use crate::base::size::MIB;
use crate::format::name::ObjectName;
use crate::seal::Sealed;

/// Shorter ranges are copied: a mapping costs two system calls and page faults.
const MAP_LEN_MIN: u64 = MIB;

/// File systems over a network or in user space, whose pages may fail at any time: NFS, SMB 1,
/// SMB 2 and later, FUSE, 9P, AFS, Ceph, Lustre. Numbers of `statfs(2)`.
const UNMAPPABLE: &[u32] = &[
    0x6969,
    0xff53_4d42,
    0xfe53_4d42,
    0x6573_5546,
    0x0102_1997,
    0x5346_414f,
    0x00c3_6400,
    0x0bd0_0bd0,
];

/// Whether pages of the file system at `root` may be mapped.
pub(super) fn is_mappable(root: &OwnedFd) -> bool {
    rustix::fs::fstatfs(root).is_ok_and(|stat| !UNMAPPABLE.contains(&(stat.f_type as u32)))
}

/// An open object file.
pub(super) struct Object {
    file: File,
    at: At,
    /// Its length when it was opened.
    pub(super) len: u64,
    /// When it was last written.
    pub(super) modified: Timestamp,
}

impl Object {
    /// Opens an object, which is a regular file and nothing else: a symbolic link could lead out
    /// of the repository, and a planted pipe would block for ever.
    pub(super) fn open(root: &OwnedFd, at: At, name: &ObjectName) -> Result<Self, BackendError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let no_file = |at: At, why: &str| BackendError::Damaged {
            at: Box::new(at),
            why: format!("{why} instead of a file"),
        };
        let fd = match rustix::fs::openat(root, name.as_str(), flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(BackendError::NotFound { at: Box::new(at) });
            }
            Err(Errno::LOOP) => return Err(no_file(at, "a symbolic link")),
            Err(Errno::NXIO) => return Err(no_file(at, "a socket")),
            Err(error) => return Err(BackendError::io(at, error.into())),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|e| BackendError::io(at.clone(), e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(no_file(at, "something else"));
        }
        Ok(Self { file: File::from(fd), at, len: stat.st_size as u64, modified: modified(&stat) })
    }

    /// Reads a range that lies within [`Object::len`].
    pub(super) fn read(self, range: Range<u64>, may_map: bool) -> Result<Sealed, BackendError> {
        let len = range.end - range.start;
        if may_map
            && len >= MAP_LEN_MIN
            && let Some(mapped) = map(&self.file, &range)
        {
            return Ok(Sealed::from_store(Bytes::from_owner(mapped)));
        }
        let mut buffer = vec![0; len as usize];
        match self.file.read_exact_at(&mut buffer, range.start) {
            Ok(()) => Ok(Sealed::from_store(Bytes::from(buffer))),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                let why = "it shrank while it was read".to_owned();
                Err(BackendError::Damaged { at: Box::new(self.at), why })
            }
            Err(error) => Err(BackendError::io(self.at, error)),
        }
    }
}

/// Maps a range whose pages are all there, or gives up.
fn map(file: &File, range: &Range<u64>) -> Option<Mmap> {
    // Checked right before, because pages beyond the end are the ones that kill.
    let len = rustix::fs::fstat(file.as_fd()).ok()?.st_size as u64;
    if range.end > len {
        return None;
    }
    let mapped = map_unchecked(file, range)?;
    // Fails where any page cannot be read, and on kernels before 5.14, which do not know it.
    mapped.advise(Advice::PopulateRead).ok()?;
    Some(mapped)
}

#[allow(unsafe_code, reason = "a mapping is how a whole pack is read without copying it")]
fn map_unchecked(file: &File, range: &Range<u64>) -> Option<Mmap> {
    let len = (range.end - range.start) as usize;
    // SAFETY: Packs are never written to after they got their name: this program creates them
    // under a temporary name and replaces them only by rename, which leaves the mapped file alone.
    // Bytes that a stranger changes are caught like any other damage, because everything above
    // authenticates what it reads; a stranger who truncates is described at the top of this file.
    unsafe { MmapOptions::new().offset(range.start).len(len).map(file) }.ok()
}
