//! Keeps a file descriptor that our parent left open for us from the processes that we start.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::{FdFlags, fcntl_setfd};

/// Closes descriptor `number` in every process that is started from now on.
///
/// # Errors
/// When there is no such descriptor.
#[allow(unsafe_code, reason = "a descriptor that comes from a parent is a number and nothing else")]
pub(crate) fn keep_from_children(number: u32) -> io::Result<()> {
    let number = i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
    // SAFETY: a number that is not -1 may be borrowed for a call that changes a flag and neither
    // reads, writes nor closes; where nothing is open, the kernel says so.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    Ok(fcntl_setfd(descriptor, FdFlags::CLOEXEC)?)
}
