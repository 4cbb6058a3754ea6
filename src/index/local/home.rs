//! The directory of the local index: its name, its lock, what is set aside and what is swept.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::OpenError;
use crate::base::{Error, Id, Result};

/// Schema of the families, then the major version of RocksDB: another of either is another
/// directory, so that an old program and a new one never open each other's files.
const NAME: &str = "v1-rocksdb11";
/// File systems that do not keep the promises RocksDB needs (locks, renames of open files), with
/// the numbers `statfs` gives them: NFS, SMB 1, SMB 2, CIFS.
const NETWORK_TYPES: [u32; 4] = [0x6969, 0x517B, 0xFE53_4D42, 0xFF53_4D42];
/// Times that the lock is tried, and the time between.
const LOCK_ROUND_COUNT: u32 = 5;
const LOCK_ROUND: Duration = Duration::from_millis(20);
/// Start of the names of directories that readers own.
const READER_PREFIX: &str = "reader-";

/// Where everything of one local index is.
#[derive(Clone, Debug)]
pub(in crate::index) struct Home {
    dir: PathBuf,
}

/// The right to write, until dropped. The kernel takes it from a process that dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// A directory that RocksDB wants for a reader, removed when dropped.
#[derive(Debug)]
pub(super) struct ReaderDir {
    path: PathBuf,
    /// Locked while the reader lives, so that the next sweep removes what a killed one left.
    _file: File,
}

impl Home {
    /// The home below a cache directory of one repository.
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The versioned directory.
    fn root(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// The database itself.
    pub(super) fn database(&self) -> PathBuf {
        self.root().join("db")
    }

    /// A file to fill before it is ingested; on the same file system, so that it is moved.
    pub(super) fn staged(&self) -> PathBuf {
        self.root().join("staged.sst")
    }

    fn poisoned(&self) -> PathBuf {
        self.root().join("poisoned")
    }

    /// Creates what is missing, for the owner's eyes only: rows hold file names.
    pub(super) fn create(&self) -> Result<()> {
        let root = self.root();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .map_err(|error| self.error("create", error))?;
        if let Ok(system) = rustix::fs::statfs(&root)
            && NETWORK_TYPES.contains(&(system.f_type as u32))
        {
            return Err(self.error("use", io::Error::other("it is on a network file system")));
        }
        Ok(())
    }

    /// Takes the lock.
    ///
    /// It is a lock of its own, beside the one of RocksDB: only its holder may set the directory
    /// aside, and RocksDB lets go of its own whenever an open fails.
    pub(super) fn lock(&self) -> Result<Lock, OpenError> {
        let path = self.dir.join(format!("{NAME}.lock"));
        let unusable = |error| OpenError::Unusable(self.error("lock", error));
        // More rounds are needed if the file is deleted between opening and locking it, or while a
        // process that was just started still holds what it inherited.
        for round in 0..LOCK_ROUND_COUNT {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path)
                .map_err(unusable)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) if round + 1 < LOCK_ROUND_COUNT => {
                    std::thread::sleep(LOCK_ROUND);
                    continue;
                }
                Err(Errno::WOULDBLOCK) => return Err(OpenError::Locked),
                Err(error) => return Err(unusable(error.into())),
            }
            let held = file.metadata().map_err(unusable)?;
            match fs::metadata(&path) {
                Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => {
                    return Ok(Lock { _file: file });
                }
                _ => {}
            }
        }
        Err(OpenError::Locked)
    }

    /// Whether an earlier run found the index damaged.
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned().exists()
    }

    /// Makes the next open build the index anew. May fail silently: then that one finds out itself.
    pub(super) fn poison(&self) {
        drop(File::create(self.poisoned()));
    }

    /// Renames the directory to `….bad`, in place of an older one, then creates it again.
    ///
    /// One bad directory is kept, since it may explain what happened.
    pub(super) fn set_aside(&self) -> Result<()> {
        let bad = self.dir.join(format!("{NAME}.bad"));
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        gone(fs::remove_dir_all(&bad)).map_err(|error| self.error("clear away", error))?;
        gone(fs::rename(self.root(), bad)).map_err(|error| self.error("set aside", error))?;
        self.create()
    }

    /// Removes what killed processes left. Only for the holder of the lock.
    pub(super) fn sweep(&self) {
        drop(fs::remove_file(self.staged()));
        for entry in fs::read_dir(self.root()).into_iter().flatten().flatten() {
            let is_reader = entry.file_name().to_string_lossy().starts_with(READER_PREFIX);
            if is_reader
                && let Ok(file) = File::open(entry.path())
                && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }

    /// A directory for one reader.
    pub(super) fn reader_dir(&self) -> Result<ReaderDir> {
        let name: Id<()> = Id::random();
        let path = self.root().join(format!("{READER_PREFIX}{}", name.short()));
        let fail = |error| self.error("prepare reading", error);
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(fail)?;
        let file = File::open(&path).map_err(fail)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| fail(error.into()))?;
        Ok(ReaderDir { path, _file: file })
    }

    fn error(&self, doing: &str, error: io::Error) -> Error {
        Error::io(format!("could not {doing} the local index at {}", self.root().display()), error)
    }
}

impl ReaderDir {
    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ReaderDir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}
