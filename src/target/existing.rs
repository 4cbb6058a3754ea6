//! What has a name in the target already, looked at and read without being followed.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, OFlags, SeekFrom, Stat, fstat, makedev, seek, statat};
use rustix::io::Errno;

use super::claim::{Created, Finished};
use super::directory::Identity;
use super::fault::{fault, replaced};
use super::handle::Handle;
use super::{TargetDir, metadata};
use crate::base::{Result, Timestamp};
use crate::format::entry::{Device, Entry, EntryKind};

/// Bytes that are read at a time to find out whether they are zeros.
const ZERO_READ_LEN: usize = 64 << 10;

/// What has a name.
#[derive(Clone, Copy, Debug)]
pub struct Found(Stat);

impl Found {
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.kind() == FileType::RegularFile
    }

    /// Whether it has no other name, here or anywhere else.
    pub fn has_one_name(&self) -> bool {
        self.0.st_nlink == 1
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        u64::try_from(self.0.st_size).unwrap_or(0)
    }

    /// When its content changed last.
    pub fn mtime(&self) -> Timestamp {
        Timestamp::new(self.0.st_mtime, u32::try_from(self.0.st_mtime_nsec).unwrap_or(0))
    }

    /// Whether it is the device of `entry`.
    pub fn is_device_of(&self, entry: &Entry) -> bool {
        let kind = match entry.kind {
            EntryKind::CharDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            _ => return false,
        };
        let is_same = |device: Device| makedev(device.major, device.minor) == self.0.st_rdev;
        self.kind() == kind && entry.device.is_some_and(is_same)
    }

    /// Which thing it is.
    pub fn identity(&self) -> Identity {
        Identity::from(&self.0)
    }

    fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.0.st_mode)
    }
}

impl TargetDir {
    /// What has the name `name`; nothing in a directory that this run made.
    ///
    /// # Errors
    /// When the system does not tell, or when `name` is not one component.
    pub fn look(&self, name: &[u8]) -> Result<Option<Found>> {
        if self.is_new() { Ok(None) } else { self.look_again(name) }
    }

    /// What has the name `name` now, also if this run made it.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub fn look_again(&self, name: &[u8]) -> Result<Option<Found>> {
        self.check_name(name)?;
        match statat(self.open()?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Found(stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(fault("read the metadata of", &self.path_of(name), e)),
        }
    }

    /// Opens the regular file `name` for reading. Whatever lies there by now is never followed,
    /// waited for, or made the terminal of this process.
    ///
    /// # Errors
    /// When it is no regular file any more, or may not be read.
    pub fn open_file(self: &Arc<Self>, name: &[u8]) -> Result<FileReader> {
        self.check_name(name)?;
        let failed = |e| fault("read", &self.path_of(name), e);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.open_component(self.open()?.as_fd(), name, flags).map_err(failed)?;
        let found = Found(fstat(&fd).map_err(failed)?);
        if !found.is_file() {
            return Err(replaced(&self.path_of(name)));
        }
        Ok(FileReader { file: fd.into(), found, dir: Arc::clone(self), name: name.into() })
    }
}

/// A regular file that was there before, open for reading.
#[derive(Debug)]
pub struct FileReader {
    file: File,
    found: Found,
    dir: Arc<TargetDir>,
    name: Box<[u8]>,
}

impl FileReader {
    /// What it was when it was opened.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Fills `bytes` with what lies at `offset`; `false` when that cannot be read.
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> bool {
        self.file.read_exact_at(bytes, offset).is_ok()
    }

    /// Whether all bytes of `range` are zeros.
    pub fn is_zero(&self, range: Range<u64>) -> bool {
        is_zero(&self.file, range)
    }

    /// Whether nobody wrote to it since it was opened, as far as the system tells. A name more or
    /// less, as when this restore replaces another name of the file, also moves the time of its
    /// status, and writes nothing.
    pub fn is_as_before(&self) -> bool {
        let before = &self.found.0;
        fstat(&self.file).is_ok_and(|now| {
            let written = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
            let changed = |stat: &Stat| (stat.st_ctime, stat.st_ctime_nsec);
            written(&now) == written(before)
                && (changed(&now) == changed(before) || now.st_nlink != before.st_nlink)
        })
    }

    /// Applies the metadata of `entry` to the file as it is.
    pub fn keep(&self, entry: &Entry) -> Finished {
        let shared = self.dir.shared();
        let handle = Handle::open(self.file.as_fd());
        let path = || self.dir.path_of(&self.name);
        let problems = metadata::apply(shared, &handle, entry, &path);
        let (dir, name) = (Arc::clone(&self.dir), self.name.clone());
        let created = Created { dir, name, identity: self.found.identity() };
        Finished { created, problems }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// Whether all bytes of `range` are zeros. Holes are not read.
fn is_zero(file: &File, range: Range<u64>) -> bool {
    let mut at = range.start;
    let mut bytes = vec![0; ZERO_READ_LEN];
    while at < range.end {
        match seek(file, SeekFrom::Data(at)) {
            Ok(data) if data >= range.end => return true,
            Ok(data) => at = at.max(data),
            // Nothing but a hole up to the end, or a file system that does not know.
            Err(Errno::NXIO) => return range.end <= file.metadata().map_or(0, |m| m.len()),
            Err(_) => {}
        }
        let len = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(ZERO_READ_LEN);
        if file.read_exact_at(&mut bytes[..len], at).is_err() || !all_zero(&bytes[..len]) {
            return false;
        }
        at += len as u64;
    }
    true
}

/// Whether all bytes are zeros.
pub fn all_zero(bytes: &[u8]) -> bool {
    // Pieces without a branch inside become vector instructions.
    bytes.chunks(64).all(|piece| piece.iter().fold(0, |sum, byte| sum | byte) == 0)
}
