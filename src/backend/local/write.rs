//! Writing, replacing and deleting object files so that a crash at any instruction, or a power
//! cut, leaves either nothing or the whole object.
//!
//! An object is written to a temporary name, synced, and then linked to its own name, which fails
//! if that exists; then the directory is synced. An error of `fsync` is never asked again on the
//! same descriptor, because the kernel reports lost pages once and then forgets them: the bytes
//! are written anew to another file.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::backend::Put;
use crate::base::random;
use crate::format::name::{ObjectKind, ObjectName};

/// Where objects are written before they get their names.
const TEMP_DIR: &str = "tmp";

/// Age in seconds at which a temporary file is taken for a crashed writer's. One that is swept
/// under a writer suspended for longer costs it a second attempt, nothing else.
const TEMP_AGE_MAX: i64 = 24 * 60 * 60;

/// Rounds of writing and linking, for directories and temporary files that go away in between.
const ATTEMPTS_MAX: usize = 16;

/// Why an object was not created.
pub(super) enum CreateError {
    /// The file system refused.
    Io(io::Error),
    /// It has no way to create a name only if it is free.
    NoExclusive(io::Error),
}

impl From<io::Error> for CreateError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for CreateError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// How this process writes into one repository.
pub(super) struct Writer {
    /// Permissions of objects: never writable, readable by those who may read the root.
    file_mode: Mode,
    /// Permissions of directories: those of the root.
    dir_mode: Mode,
    /// Distinguishes our temporary files from those of other processes and hosts.
    temp_prefix: String,
    temp_serial: AtomicU64,
    /// Lasting directories that are known to survive a power cut.
    settled: Mutex<HashSet<String>>,
}

impl Writer {
    /// Takes the permissions of the root as the model, so that a group that shares a repository
    /// keeps sharing it.
    pub(super) fn new(root: &Stat) -> Self {
        let shared = Mode::from_raw_mode(root.st_mode) & (Mode::RWXG | Mode::RWXO);
        Self {
            file_mode: Mode::RUSR | (shared & (Mode::RGRP | Mode::ROTH)),
            dir_mode: Mode::RWXU | shared | (Mode::from_raw_mode(root.st_mode) & Mode::SGID),
            temp_prefix: hex::encode(random::<8>()),
            temp_serial: AtomicU64::new(0),
            settled: Mutex::default(),
        }
    }

    /// Makes every directory that lasts, once and for all.
    pub(super) fn create_layout(&self, root: &OwnedFd) -> io::Result<()> {
        self.settle(root, TEMP_DIR)?;
        for kind in ObjectKind::ALL {
            self.settle(root, kind.prefix().trim_end_matches('/'))?;
        }
        // One sync for all 256: the first writer of each checks again for itself.
        for byte in 0..=u8::MAX {
            self.make_dir(root, &format!("packs/{byte:02x}"))?;
        }
        sync_dir(root, "packs")
    }

    /// Creates an object unless it exists. Durable in both cases, because a caller acts on an
    /// object that exists as on one of its own.
    pub(super) fn create(
        &self,
        root: &OwnedFd,
        name: &ObjectName,
        bytes: &[u8],
    ) -> Result<Put, CreateError> {
        let dir = dir_of(name);
        let mut last = io::Error::from(Errno::NOENT);
        for _ in 0..ATTEMPTS_MAX {
            let temp = self.write_temp(root, bytes)?;
            self.settle(root, dir)?;
            match publish(root, temp, name) {
                Ok(put) => {
                    sync_dir(root, dir)?;
                    return Ok(put);
                }
                // A prune removed the empty directory, or a sweeper our temporary file.
                Err(CreateError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    self.lock_settled().clear();
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.into())
    }

    /// Puts new bytes under a name in one step.
    pub(super) fn replace(
        &self,
        root: &OwnedFd,
        name: &ObjectName,
        bytes: &[u8],
    ) -> io::Result<()> {
        let temp = self.write_temp(root, bytes)?;
        self.settle(root, dir_of(name))?;
        rustix::fs::renameat(root, &temp.name, root, name.as_str())?;
        temp.keep();
        sync_dir(root, dir_of(name))
    }

    /// Deletes an object if it is there. Not synced: every deletion is safe to happen twice, and
    /// the record that decided it is durable.
    pub(super) fn delete(&self, root: &OwnedFd, name: &ObjectName) -> io::Result<()> {
        match rustix::fs::unlinkat(root, name.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
        let dir = dir_of(name);
        if !lasts(dir) {
            // Fails while it is not empty, which is all the check that is needed: a writer whose
            // directory goes away makes it again.
            let _ = rustix::fs::unlinkat(root, dir, AtFlags::REMOVEDIR);
        }
        Ok(())
    }

    /// Removes temporary files of writers that are gone. Best effort: a store that cannot be
    /// written fails at the first put, with a better error.
    pub(super) fn sweep(&self, root: &OwnedFd) {
        drop(self.try_sweep(root));
    }

    fn try_sweep(&self, root: &OwnedFd) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let dir = rustix::fs::openat(root, TEMP_DIR, flags, Mode::empty())?;
        let mut old = Vec::new();
        let mut now = None;
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_owned();
            let ours = name.to_str().is_ok_and(is_temp_name);
            let Ok(stat) = rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if !ours || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                continue;
            }
            // The time of the file system, not of this host: they may differ by any amount.
            let now = match now {
                Some(now) => now,
                None => *now.insert(self.write_temp(root, b"")?.modified(root)?),
            };
            // A leftover that got its name before the crash keeps the time of its object, and is
            // another link to it; removing the link leaves the object alone.
            if now.saturating_sub(stat.st_mtime) > TEMP_AGE_MAX {
                old.push(name);
            }
        }
        for name in old {
            rustix::fs::unlinkat(&dir, &name, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Writes a temporary file and syncs it, twice at most.
    fn write_temp<'a>(&self, root: &'a OwnedFd, bytes: &[u8]) -> io::Result<Temp<'a>> {
        self.settle(root, TEMP_DIR)?;
        match self.try_write_temp(root, bytes) {
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.lock_settled().clear();
                self.settle(root, TEMP_DIR)?;
            }
            result => return result,
        }
        self.try_write_temp(root, bytes)
    }

    fn try_write_temp<'a>(&self, root: &'a OwnedFd, bytes: &[u8]) -> io::Result<Temp<'a>> {
        let serial = self.temp_serial.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMP_DIR}/{}-{serial}", self.temp_prefix);
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(root, &name, flags, self.file_mode)?;
        let temp = Temp { root, name, keep: false };
        if self.file_mode != Mode::RUSR {
            // The umask may have taken what the root grants. Some network file systems know no
            // permissions; then theirs apply anyway.
            let _ = rustix::fs::fchmod(&fd, self.file_mode);
        }
        let mut file = File::from(fd);
        file.write_all(bytes)?;
        rustix::fs::fsync(&file)?;
        Ok(temp)
    }

    /// Makes a directory with its parents, and makes sure that a power cut does not take it.
    fn settle(&self, root: &OwnedFd, dir: &str) -> io::Result<()> {
        for (end, _) in dir.match_indices('/').chain([(dir.len(), "")]) {
            let path = &dir[..end];
            if self.lock_settled().contains(path) {
                continue;
            }
            self.make_dir(root, path)?;
            // Also when it exists: whoever made it may not have come this far.
            sync_dir(root, path.rsplit_once('/').map_or(".", |(parent, _)| parent))?;
            if lasts(path) {
                self.lock_settled().insert(path.to_owned());
            }
        }
        Ok(())
    }

    fn make_dir(&self, root: &OwnedFd, path: &str) -> io::Result<()> {
        match rustix::fs::mkdirat(root, path, self.dir_mode) {
            Ok(()) => {
                if self.dir_mode != Mode::RWXU {
                    // As for files: undo the umask where that is possible.
                    let _ = rustix::fs::chmodat(root, path, self.dir_mode, AtFlags::empty());
                }
                Ok(())
            }
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn lock_settled(&self) -> MutexGuard<'_, HashSet<String>> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A synced temporary file, removed when dropped.
struct Temp<'a> {
    root: &'a OwnedFd,
    name: String,
    keep: bool,
}

impl Temp<'_> {
    /// Leaves the name alone, because it is gone.
    fn keep(mut self) {
        self.keep = true;
    }

    fn modified(&self, root: &OwnedFd) -> io::Result<i64> {
        Ok(rustix::fs::statat(root, &self.name, AtFlags::SYMLINK_NOFOLLOW)?.st_mtime)
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if !self.keep {
            // What stays behind is swept after a day.
            let _ = rustix::fs::unlinkat(self.root, &self.name, AtFlags::empty());
        }
    }
}

/// Gives a temporary file its name, if that is free.
fn publish(root: &OwnedFd, temp: Temp<'_>, name: &ObjectName) -> Result<Put, CreateError> {
    match rustix::fs::linkat(root, &temp.name, root, name.as_str(), AtFlags::empty()) {
        Ok(()) => return Ok(Put::Created),
        Err(Errno::EXIST) => return Ok(Put::Exists),
        // File systems without hard links say so in many ways; FAT says EPERM.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK | Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    publish_by_rename(root, temp, name)
}

/// As [`publish`], where there are no hard links.
fn publish_by_rename(
    root: &OwnedFd,
    temp: Temp<'_>,
    name: &ObjectName,
) -> Result<Put, CreateError> {
    let renamed =
        rustix::fs::renameat_with(root, &temp.name, root, name.as_str(), RenameFlags::NOREPLACE);
    match renamed {
        Ok(()) => {
            temp.keep();
            Ok(Put::Created)
        }
        Err(Errno::EXIST) => Ok(Put::Exists),
        Err(error @ (Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP)) => {
            Err(CreateError::NoExclusive(error.into()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the root and its parents.
pub(super) fn create_root(path: &Path) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => return Ok(()),
        Ok(_) => return Err(Errno::NOTDIR.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let parent = path.parent().ok_or_else(|| io::Error::from(Errno::NOENT))?;
    create_root(parent)?;
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, flags, Mode::empty())?;
    sync_dir(&parent, ".")
}

/// Makes the names in a directory durable.
fn sync_dir(root: &OwnedFd, dir: &str) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(root, dir, flags, Mode::empty()) {
        Ok(fd) => fd,
        // Gone together with whatever was in it.
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match rustix::fs::fsync(&fd) {
        // Some file systems in user space and over a network have no notion of it.
        Ok(()) | Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn dir_of(name: &ObjectName) -> &str {
    name.as_str().rsplit_once('/').expect("every name has a prefix").0
}

/// Whether a directory stays when it is empty: those at the top, and the 256 of packs.
fn lasts(dir: &str) -> bool {
    !dir.contains('/') || dir.starts_with(ObjectKind::Pack.prefix())
}

fn is_temp_name(name: &str) -> bool {
    name.split_once('-').is_some_and(|(prefix, serial)| {
        prefix.len() == 16
            && prefix.bytes().all(|b| b.is_ascii_hexdigit())
            && !serial.is_empty()
            && serial.bytes().all(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_hard_links_a_rename_creates_and_does_not_replace() {
        let dir = tempfile::TempDir::new().expect("a temporary directory");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let root = rustix::fs::open(dir.path(), flags, Mode::empty()).expect("opened");
        let writer = Writer::new(&rustix::fs::fstat(&root).expect("looked up"));
        writer.create_layout(&root).expect("made");
        let name = ObjectName::config(1);
        for (bytes, expect) in [(b"first", Put::Created), (b"other", Put::Exists)] {
            let temp = writer.write_temp(&root, bytes).expect("written");
            let put = publish_by_rename(&root, temp, &name).ok();
            assert_eq!(put, Some(expect));
            assert_eq!(std::fs::read(dir.path().join("config/1")).expect("read"), b"first");
        }
        assert_eq!(std::fs::read_dir(dir.path().join("tmp")).expect("read").count(), 0);
    }
}
