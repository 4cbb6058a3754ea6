//! Objects as files of a local directory, durable when a call returns.
//!
//! ```text
//! <root>/config/ keys/ packs/<aa>/ index/ …   objects, named as everywhere
//! <root>/tmp/                                 what is being written; ignored, swept after a day
//! <root>/reserve                              2 MiB for records of forget and prune on a full disk
//! ```
//!
//! Everything is reached from one descriptor of the root, so that a disk that is unmounted or a
//! directory that is renamed under a running backup cannot split the repository in two.

mod read;
mod reserve;
mod write;

use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::error::{At, BackendError};
use super::location::{Location, Place};
use super::verb::Verb;
use super::{Backend, Junk, Listed, Options, Put};
use super::{check_heal, check_len, check_range};
use crate::base::Timestamp;
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// Deepest directory that holds objects: `packs/<aa>/`.
const DEPTH_MAX: usize = 2;

/// A directory with objects.
pub struct Local {
    location: Location,
    root: OwnedFd,
    /// Whether pages of this file system may be mapped; see [`read`].
    mappable: bool,
    writer: write::Writer,
    reserve: reserve::Reserve,
}

/// Opens the directory; it must exist.
pub(super) fn open(
    location: &Location,
    options: &Options,
) -> Result<Arc<dyn Backend>, BackendError> {
    Ok(Local::open(location, options)?)
}

/// Makes the directory and everything in it that lasts.
pub(super) fn create(
    location: &Location,
    options: &Options,
) -> Result<Arc<dyn Backend>, BackendError> {
    let at = || At::place(location, Verb::Create);
    write::create_root(path_of(location)).map_err(|e| BackendError::io(at(), e))?;
    let local = Local::open(location, options)?;
    local.writer.create_layout(&local.root).map_err(|e| BackendError::io(at(), e))?;
    local.reserve.fill(&local.root).map_err(|e| BackendError::io(at(), e))?;
    Ok(local)
}

fn path_of(location: &Location) -> &Path {
    match location.place() {
        Place::Local(path) => path,
        _ => unreachable!("the table of backends opens only local locations here"),
    }
}

impl Local {
    /// Opens the directory, and sweeps what crashed writers left where it may be written.
    ///
    /// # Errors
    /// [`BackendError::NoRepository`] when there is no such directory.
    pub fn open(location: &Location, options: &Options) -> Result<Arc<Self>, BackendError> {
        let at = || At::place(location, Verb::Open);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path_of(location), flags, Mode::empty())
            .map_err(|e| BackendError::io(at(), e.into()))?;
        let stat = rustix::fs::fstat(&root).map_err(|e| BackendError::io(at(), e.into()))?;
        let writer = write::Writer::new(&stat);
        let mappable = read::is_mappable(&root);
        let reserve = reserve::Reserve::new(&root);
        if options.writable {
            writer.sweep(&root);
        }
        Ok(Arc::new(Self { location: location.clone(), root, mappable, writer, reserve }))
    }

    fn at(&self, verb: Verb, name: &ObjectName) -> At {
        At::object(&self.location, verb, name)
    }

    fn put_once(&self, at: &At, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        self.writer.create(&self.root, name, sealed.bytes()).map_err(|error| match error {
            write::CreateError::Io(e) => BackendError::io(at.clone(), e),
            write::CreateError::NoExclusive(e) => BackendError::Unsupported {
                at: Box::new(at.clone()),
                why: "this file system knows neither hard links nor a rename that refuses to \
                      replace, so that two writers could overwrite each other"
                    .to_owned(),
                source: Some(e.into()),
            },
        })
    }

    /// Hands over what is in one directory. `name` is its path below the root.
    fn list_dir(
        &self,
        name: &str,
        depth: usize,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = match rustix::fs::openat(&self.root, name, flags, Mode::empty()) {
            Ok(dir) => dir,
            // No object of the kind was ever written, or the last one has just gone.
            Err(Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let bytes = entry.file_name().to_bytes();
            if matches!(bytes, b"." | b"..") {
                continue;
            }
            let stat = match rustix::fs::statat(&dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)
            {
                Ok(stat) => stat,
                // Deleted since the directory was read.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            let path = format!("{name}/{}", OsStr::from_bytes(bytes).to_string_lossy());
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if depth < DEPTH_MAX => {
                    self.list_dir_of(&path, bytes, depth + 1, each)?;
                }
                FileType::RegularFile => each(listed(path, bytes, &stat)),
                _ => each(Err(Junk { name: path, len: 0 })),
            }
        }
        Ok(())
    }

    /// As [`Local::list_dir`], for a directory that somebody else may have named.
    fn list_dir_of(
        &self,
        path: &str,
        bytes: &[u8],
        depth: usize,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> io::Result<()> {
        if std::str::from_utf8(bytes).is_err() {
            // No directory of ours, and its replaced name would open nothing.
            each(Err(Junk { name: path.to_owned(), len: 0 }));
            return Ok(());
        }
        self.list_dir(path, depth, each)
    }
}

impl Backend for Local {
    fn location(&self) -> &Location {
        &self.location
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        let at = self.at(Verb::Put, name);
        check_len(&at, sealed.len())?;
        let frees_space = matches!(name.kind(), ObjectKind::Tombstone | ObjectKind::Generation);
        let put = match self.put_once(&at, name, sealed) {
            // Without this a full disk could not even be told what to forget.
            Err(BackendError::Full { .. }) if frees_space && self.reserve.release(&self.root) => {
                self.put_once(&at, name, sealed)?
            }
            result => result?,
        };
        if !frees_space {
            self.reserve.refill(&self.root);
        }
        Ok(put)
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        let at = self.at(Verb::Get, name);
        let object = read::Object::open(&self.root, at.clone(), name)?;
        check_len(&at, object.len)?;
        let len = object.len;
        object.read(0..len, self.mappable && name.kind() == ObjectKind::Pack)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        let at = self.at(Verb::GetRange, name);
        let object = read::Object::open(&self.root, at.clone(), name)?;
        check_range(&at, &range, object.len)?;
        check_len(&at, range.end - range.start)?;
        object.read(range, self.mappable && name.kind() == ObjectKind::Pack)
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        let at = self.at(Verb::Stat, name);
        let object = read::Object::open(&self.root, at, name)?;
        Ok(Listed { name: name.clone(), len: object.len, modified: object.modified })
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        let dir = kind.prefix().trim_end_matches('/');
        self.list_dir(dir, 1, each)
            .map_err(|e| BackendError::io(At::kind(&self.location, Verb::List, kind), e))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        self.writer
            .delete(&self.root, name)
            .map_err(|e| BackendError::io(self.at(Verb::Delete, name), e))
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        let at = self.at(Verb::Heal, name);
        check_heal(at.clone(), name, sealed)?;
        self.writer.replace(&self.root, name, sealed.bytes()).map_err(|e| BackendError::io(at, e))
    }
}

fn listed(path: String, file_name: &[u8], stat: &Stat) -> Result<Listed, Junk> {
    let len = stat.st_size as u64;
    match ObjectName::parse(&path) {
        // A name with replaced bytes never parses, but that is the parser's business, not ours.
        Ok(name) if std::str::from_utf8(file_name).is_ok() => {
            Ok(Listed { name, len, modified: modified(stat) })
        }
        _ => Err(Junk { name: path, len }),
    }
}

fn modified(stat: &Stat) -> Timestamp {
    Timestamp::new(stat.st_mtime, stat.st_mtime_nsec as u32)
}

#[cfg(test)]
mod tests;
