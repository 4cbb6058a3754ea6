//! The one error a person sees: what kind, what was being done to which object - with the way out.

use std::fmt;

/// What a caller can act on. `cli::exit` maps each kind to an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself makes no sense.
    Usage,
    /// A file, directory or object may not be read or written.
    Access,
    /// There is no repository at the location.
    NoRepository,
    /// A named thing does not exist.
    NotFound,
    /// A thing that must be new exists already.
    Exists,
    /// No key slot opens with the given secret.
    WrongKey,
    /// The backend cannot be reached.
    Offline,
    /// Stored bytes are not what was written.
    Damaged,
    /// Written by a newer program, or needs what this system lacks.
    Unsupported,
    /// No space is left.
    Full,
    /// Somebody else holds what is needed.
    Busy,
    /// A stored time and the clock of this host contradict each other.
    Clock,
    /// A person asked to stop.
    Cancelled,
    /// Our mistake.
    Bug,
}

/// An error with its kind, a sentence fragment that names the object, a hint and a cause.
#[derive(Debug)]
pub struct Error {
    /// What a caller can act on.
    pub kind: ErrorKind,
    /// Lower-case fragment that names the object, without a full stop.
    pub message: String,
    /// A sentence with the way out, commands in backticks.
    pub hint: Option<String>,
    /// What went wrong below.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// The object of the repository that it is about, where it is about one: `pack packs/...`.
    pub object: Option<String>,
}

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None, object: None }
    }

    /// Whether it says that what was asked for is not there, or not what it was. Anything else may pass.
    pub fn is_loss(&self) -> bool {
        matches!(self.kind, ErrorKind::Damaged | ErrorKind::NotFound)
    }

    /// Adds the way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says which object of the repository it is about.
    #[must_use]
    pub fn about(mut self, object: impl Into<String>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Wraps an operating system error, with the kind its code implies.
    pub fn io(message: impl Into<String>, error: std::io::Error) -> Self {
        let error_kind = kind_of_io(&error);
        let result = Self::new(error_kind, message).because(error);
        match error_kind {
            ErrorKind::Full => result.hint("Free some space, or choose another disk."),
            _ => result,
        }
    }
}

/// The kind that an operating system error implies.
pub fn kind_of_io(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => ErrorKind::Access,
        Io::AlreadyExists => ErrorKind::Exists,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => ErrorKind::Full,
        Io::ConnectionRefused
        | Io::ConnectionReset
        | Io::NotConnected
        | Io::TimedOut
        | Io::NetworkUnreachable
        | Io::HostUnreachable => ErrorKind::Offline,
        _ => ErrorKind::Access,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            // Our own errors print their chain themselves.
            if error.is::<Self>() {
                break;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_printed_once() {
        let inner = Error::io("could not read pack 12", std::io::Error::other("EIO"));
        let outer = Error::new(ErrorKind::Damaged, "could not restore /a").because(inner);
        assert_eq!(outer.to_string(), "could not restore /a: could not read pack 12: EIO");
    }
}
