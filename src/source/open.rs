//! Opens names without following them or changing their access times.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, Result, retry_on_intr};

/// Opens `name` in `directory` for reading.
///
/// `O_NOATIME` is granted to the owner and to the superuser only; everybody else leaves an access
/// time behind, as with any other program.
pub(super) fn open(directory: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let attempt = |flags| retry_on_intr(|| openat(directory, name, flags, Mode::empty()));
    match attempt(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => attempt(flags),
        result => result,
    }
}

/// Opens a regular file whose lease is held (a Samba oplock) once the holder has given it up, which
/// the kernel enforces after `/proc/sys/fs/lease-break-time`, 45 s by default.
///
/// The first descriptor only pins the file, so that the second open, which waits, cannot meet a
/// fifo that took its name.
pub(super) fn open_leased(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let pinned = open_pinned(directory, name, OFlags::empty())?;
    let stat = rustix::fs::fstat(&pinned)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(Errno::LOOP);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let path = proc_path(pinned.as_fd());
    let attempt = |flags| retry_on_intr(|| rustix::fs::open(&path, flags, Mode::empty()));
    match attempt(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => attempt(flags),
        // The file is pinned, so what is missing is `/proc`; the file is as busy as before.
        Err(Errno::NOENT) => Err(Errno::AGAIN),
        result => result,
    }
}

/// Opens `name` only as a place to stand on: no permission to read it is needed.
pub(super) fn open_pinned(
    directory: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
) -> Result<OwnedFd> {
    let flags = flags | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    retry_on_intr(|| openat(directory, name, flags, Mode::empty()))
}

/// A path that leads to what `fd` stands for, whatever became of its names.
pub(super) fn proc_path(fd: BorrowedFd<'_>) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}
