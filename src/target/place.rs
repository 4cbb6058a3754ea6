//! Makes a thing that must not be opened: a link, pipe, socket or device.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{Dev, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::claim::{Claim, Finished};
use super::fault::replaced;
use super::handle::Handle;
use super::{TargetDir, metadata};
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::Entry;

/// What must be found under the name after it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) kind: FileType,
    /// Number of a device, else 0.
    pub(super) device: Dev,
}

/// Makes a thing with `make`, and gives it the metadata of `entry`.
pub(super) fn place(
    dir: &Arc<TargetDir>,
    name: &[u8],
    entry: &Entry,
    expected: Expected,
    make: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<(), Errno>,
) -> Result<Finished> {
    let ((fd, stat), claim) = Claim::new(dir, name, |dir, name| {
        make(dir, name)?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(dir, name, flags, Mode::empty())?;
        let stat = fstat(&fd)?;
        Ok(((fd, stat), stat))
    })?;
    // Between the two calls somebody may have put a link to something precious under the name,
    // whose owner and mode would change. What was just made has one name.
    if FileType::from_raw_mode(stat.st_mode) != expected.kind || stat.st_nlink != 1 {
        return Err(replaced(&claim.path()));
    }
    // The system keeps 12 bits of the major and 20 of the minor number, and drops the others.
    if stat.st_rdev != expected.device {
        let message =
            format!("could not create {}: its device numbers are too large", claim.path());
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let handle = Handle::path(fd.as_fd());
    let problems = metadata::apply(dir.shared(), &handle, entry, &|| claim.path());
    Ok(Finished { created: claim.commit()?, problems })
}
