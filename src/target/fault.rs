//! What an error of the operating system means for an entry.

use rustix::io::Errno;

use crate::base::{Error, ErrorKind};

/// An error that says `could not {doing} {path}`.
pub(super) fn fault(doing: &str, path: &str, errno: impl Into<std::io::Error>) -> Error {
    let cause = errno.into();
    let message = format!("could not {doing} {path}");
    // The file is too large for this file system, which may have plenty of space for the others.
    if cause.raw_os_error() == Some(Errno::FBIG.raw_os_error()) {
        return Error::new(ErrorKind::Unsupported, message).because(cause);
    }
    Error::io(message, cause)
}

/// An error that says that something else lies at `path` than what was put there.
pub(super) fn replaced(path: &str) -> Error {
    Error::new(ErrorKind::Busy, format!("could not restore {path}: somebody else changes it"))
        .hint("Restore to a directory that nobody else writes to.")
}

/// An error that says that something of `path` grants rights, for which nobody asked.
pub(super) fn left_out(what: &str, path: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("left out {what} {path}")).hint(
        "Restore again as root with `--special`, and `--overwrite always`, to have it: content \
             is not fetched twice.",
    )
}

/// An error that says that a directory with content is in the way.
pub(super) fn in_the_way(path: &str) -> Error {
    Error::new(
        ErrorKind::Exists,
        format!("could not restore {path}: a directory that is not empty has this name"),
    )
    .hint("Move the directory away, or restore to an empty directory.")
}
