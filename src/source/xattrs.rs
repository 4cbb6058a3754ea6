//! Reads extended attributes, POSIX ACLs among them.

use std::os::fd::BorrowedFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{fgetxattr, flistxattr, getxattr, lgetxattr, listxattr, llistxattr};
use rustix::io::{Errno, Result};

use crate::format::entry::Xattr;

/// Longest list of names, and longest value, that Linux hands out (`XATTR_SIZE_MAX`).
const LEN_MAX: usize = 64 << 10;
/// What is tried first: the kernel clears as many bytes as are asked for, and hardly any value
/// needs more.
const LEN_SHORT: usize = 512;
/// Bytes that the encoding adds to name and value.
const OVERHEAD_LEN: usize = 9;

/// Whose attributes to read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner<'a> {
    /// Something that is open for reading.
    Open(BorrowedFd<'a>),
    /// Something that is pinned, by its path in `/proc`.
    Pinned(&'a [u8]),
    /// A name that is not followed.
    Name(&'a [u8]),
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Attributes sorted by name.
    pub xattrs: Vec<Xattr>,
    /// Names of attributes that found no room.
    pub surplus: Vec<Vec<u8>>,
    /// First error that hides attributes.
    pub error: Option<Errno>,
}

/// Reads attributes in the order of their names as long as they take less than `bytes_max`
/// encoded.
///
/// What the caller may not see, or what vanishes meanwhile, is no error: a file system shows
/// `trusted.*` to the superuser only, and `security.*` as it likes.
pub(super) fn read(owner: Owner<'_>, bytes_max: usize) -> Found {
    let mut found = Found::default();
    let list = match grow(|buffer| owner.list(buffer)) {
        Ok(list) => list,
        Err(errno) => {
            found.error = (!is_ordinary(errno)).then_some(errno);
            return found;
        }
    };
    let mut names: Vec<&[u8]> = list.split(|b| *b == 0).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    let mut bytes = 0;
    for name in names {
        match grow(|buffer| owner.value(name, buffer)) {
            Ok(value) if bytes + name.len() + value.len() + OVERHEAD_LEN <= bytes_max => {
                bytes += name.len() + value.len() + OVERHEAD_LEN;
                found.xattrs.push(Xattr { name: name.to_vec(), value });
            }
            Ok(_) => found.surplus.push(name.to_vec()),
            Err(errno) if is_ordinary(errno) => {}
            Err(errno) => found.error = found.error.or(Some(errno)),
        }
    }
    found
}

fn is_ordinary(errno: Errno) -> bool {
    matches!(errno, Errno::PERM | Errno::ACCESS | Errno::NODATA | Errno::NOTSUP)
}

/// Calls with a short buffer, then with the longest there can be.
fn grow(call: impl Fn(&mut Vec<u8>) -> Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(LEN_SHORT);
    match call(&mut buffer) {
        Err(Errno::RANGE) => {
            let mut long = Vec::with_capacity(LEN_MAX);
            call(&mut long)?;
            long.shrink_to_fit();
            Ok(long)
        }
        Err(errno) => Err(errno),
        Ok(_) => Ok(buffer),
    }
}

impl Owner<'_> {
    fn list(self, buffer: &mut Vec<u8>) -> Result<usize> {
        let buffer = spare_capacity(buffer);
        match self {
            Self::Open(fd) => flistxattr(fd, buffer),
            Self::Pinned(path) => listxattr(path, buffer),
            Self::Name(path) => llistxattr(path, buffer),
        }
    }

    fn value(self, name: &[u8], buffer: &mut Vec<u8>) -> Result<usize> {
        let buffer = spare_capacity(buffer);
        match self {
            Self::Open(fd) => fgetxattr(fd, name, buffer),
            Self::Pinned(path) => getxattr(path, name, buffer),
            Self::Name(path) => lgetxattr(path, name, buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{XattrFlags, fsetxattr};

    use super::*;
    use crate::source::testing::skip;

    #[test]
    fn what_finds_no_room_is_named() {
        let file = tempfile::tempfile().unwrap();
        for (name, len) in [("user.b", 900), ("user.c", 5), ("user.a", 0)] {
            let set = fsetxattr(&file, name, &vec![b'x'; len], XattrFlags::empty());
            if set == Err(Errno::NOTSUP) {
                return skip("no user attributes on the file system of the tests");
            }
            set.unwrap();
        }
        let names = |found: &Found| -> Vec<String> {
            found.xattrs.iter().map(|x| String::from_utf8(x.name.clone()).unwrap()).collect()
        };
        let own = |mut found: Found| {
            found.xattrs.retain(|x| x.name.starts_with(b"user."));
            found
        };
        let all = own(read(Owner::Open(file.as_fd()), 1 << 20));
        assert_eq!(names(&all), ["user.a", "user.b", "user.c"]);
        assert_eq!(all.xattrs[1].value, vec![b'x'; 900]);
        assert_eq!((all.surplus.len(), all.error), (0, None));
        let some = own(read(Owner::Open(file.as_fd()), 800));
        assert_eq!(names(&some), ["user.a", "user.c"]);
        assert_eq!(some.surplus, [b"user.b"]);
    }
}
