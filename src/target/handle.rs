//! Changes the metadata of what was opened, whatever its names mean by then.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, Stat, Timestamps, Uid, XattrFlags, chmod, chownat, fchmod, fgetxattr,
    flistxattr, fremovexattr, fsetxattr, fstat, futimens, getxattr, listxattr, removexattr,
    setxattr, utimensat,
};
use rustix::io::{Errno, Result};

/// Longest list of attribute names that Linux returns, in bytes (`XATTR_LIST_MAX`).
const XATTR_LIST_LEN_MAX: usize = 65_536;
/// Lists are short; this much is tried on the stack first.
const XATTR_LIST_LEN_USUAL: usize = 1024;

/// What was opened: for reading or writing, or merely as a place (`O_PATH`).
///
/// Links, pipes, sockets and devices must not be opened, only found. The system takes most changes
/// to such a descriptor by its name under `/proc`, which leads to the thing itself and no further,
/// even where it is a symbolic link.
#[derive(Debug)]
pub(super) struct Handle<'fd> {
    fd: BorrowedFd<'fd>,
    place: Option<String>,
}

impl<'fd> Handle<'fd> {
    /// Something open for reading or writing.
    pub(super) fn open(fd: BorrowedFd<'fd>) -> Self {
        Self { fd, place: None }
    }

    /// Something found with `O_PATH`.
    pub(super) fn path(fd: BorrowedFd<'fd>) -> Self {
        Self { fd, place: Some(format!("/proc/self/fd/{}", fd.as_raw_fd())) }
    }

    pub(super) fn stat(&self) -> Result<Stat> {
        fstat(self.fd)
    }

    pub(super) fn chown(&self, uid: Option<Uid>, gid: Option<Gid>) -> Result<()> {
        chownat(self.fd, "", uid, gid, AtFlags::EMPTY_PATH)
    }

    pub(super) fn chmod(&self, mode: Mode) -> Result<()> {
        match &self.place {
            None => fchmod(self.fd, mode),
            Some(place) => chmod(place, mode),
        }
    }

    pub(super) fn set_times(&self, times: &Timestamps) -> Result<()> {
        let Some(place) = &self.place else { return futimens(self.fd, times) };
        match utimensat(self.fd, "", times, AtFlags::EMPTY_PATH) {
            // Linux before 5.8 does not know the flag here.
            Err(Errno::INVAL) => utimensat(CWD, place, times, AtFlags::empty()),
            other => other,
        }
    }

    pub(super) fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<()> {
        match &self.place {
            None => fsetxattr(self.fd, name, value, XattrFlags::empty()),
            Some(place) => setxattr(place, name, value, XattrFlags::empty()),
        }
    }

    /// Whether it has an attribute of this value.
    pub(super) fn has_xattr(&self, name: &[u8], value: &[u8]) -> bool {
        // One byte more, so that a longer value shows.
        let mut found = vec![0; value.len() + 1];
        let len = match &self.place {
            None => fgetxattr(self.fd, name, &mut found),
            Some(place) => getxattr(place, name, &mut found),
        };
        len.is_ok_and(|len| &found[..len] == value)
    }

    pub(super) fn remove_xattr(&self, name: &[u8]) -> Result<()> {
        match &self.place {
            None => fremovexattr(self.fd, name),
            Some(place) => removexattr(place, name),
        }
    }

    /// The names of its attributes.
    pub(super) fn xattr_names(&self) -> Result<Vec<Vec<u8>>> {
        let mut short = [0; XATTR_LIST_LEN_USUAL];
        let mut long = Vec::new();
        let list = match self.list_xattrs(&mut short) {
            Ok(len) => &short[..len],
            Err(Errno::RANGE) => {
                long.resize(XATTR_LIST_LEN_MAX, 0);
                let len = self.list_xattrs(&mut long)?;
                &long[..len]
            }
            Err(e) => return Err(e),
        };
        Ok(list.split(|b| *b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }

    fn list_xattrs(&self, list: &mut [u8]) -> Result<usize> {
        match &self.place {
            None => flistxattr(self.fd, list),
            Some(place) => listxattr(place, list),
        }
    }
}
