//! What can go wrong at a backend, always with the object and the location it happened to.

use std::fmt;

use super::location::Location;
use super::verb::Verb;
use crate::base::{Error, ErrorKind};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// What went wrong below.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What an operation was about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// One object.
    Object(ObjectName),
    /// All objects of a kind.
    Kind(ObjectKind),
    /// The place itself.
    Place,
}

/// Where an error happened: the operation, the object and the location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// What was asked for.
    pub verb: Verb,
    /// Of which object.
    pub what: What,
    /// Where; without credentials.
    pub location: String,
}

impl At {
    /// An operation on one object.
    pub fn object(location: &Location, verb: Verb, name: &ObjectName) -> Self {
        Self { verb, what: What::Object(name.clone()), location: location.to_string() }
    }

    /// An operation on all objects of a kind.
    pub fn kind(location: &Location, verb: Verb, kind: ObjectKind) -> Self {
        Self { verb, what: What::Kind(kind), location: location.to_string() }
    }

    /// An operation on the place itself.
    pub fn place(location: &Location, verb: Verb) -> Self {
        Self { verb, what: What::Place, location: location.to_string() }
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, what, location } = self;
        match what {
            What::Object(name) => {
                write!(f, "could not {verb} {} {name} at {location}", name.kind().noun())
            }
            What::Kind(kind) => write!(f, "could not {verb} {} at {location}", kind.prefix()),
            What::Place => write!(f, "could not {verb} {location}"),
        }
    }
}

/// What went wrong at a backend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// There is no such object.
    #[error("{at}: it does not exist")]
    NotFound {
        /// Where it happened.
        at: Box<At>,
    },
    /// The directory, bucket or container does not exist.
    #[error("{at}: {why}")]
    NoRepository {
        /// Where it happened.
        at: Box<At>,
        /// What is missing.
        why: String,
        /// What was said below.
        source: Option<Cause>,
    },
    /// The place refuses us.
    #[error("{at}: permission denied")]
    Access {
        /// Where it happened.
        at: Box<At>,
        /// What was said below.
        source: Option<Cause>,
    },
    /// The place cannot be reached at the moment; whether the operation took effect is unknown.
    #[error("{at}: it cannot be reached")]
    Offline {
        /// Where it happened.
        at: Box<At>,
        /// What was said below.
        source: Option<Cause>,
    },
    /// No space is left.
    #[error("{at}: no space is left")]
    Full {
        /// Where it happened.
        at: Box<At>,
        /// What was said below.
        source: Option<Cause>,
    },
    /// What is stored is not what was written.
    #[error("{at}: {why}")]
    Damaged {
        /// Where it happened.
        at: Box<At>,
        /// What is wrong.
        why: String,
    },
    /// The object ends before the range that was asked for.
    #[error("{at}: bytes {start} to {end} of an object of {len}")]
    Range {
        /// Where it happened.
        at: Box<At>,
        /// First byte asked for.
        start: u64,
        /// First byte not asked for.
        end: u64,
        /// The length of the object.
        len: u64,
    },
    /// The place lacks what we need.
    #[error("{at}: {why}")]
    Unsupported {
        /// Where it happened.
        at: Box<At>,
        /// What it lacks.
        why: String,
        /// What was said below.
        source: Option<Cause>,
    },
    /// The name is taken by other bytes.
    #[error("{at}: it exists with other content")]
    Conflict {
        /// Where it happened.
        at: Box<At>,
        /// What is stored under the name.
        stored: Sealed,
    },
    /// A location or a setting makes no sense.
    #[error("{why}")]
    Usage {
        /// What is wrong with it; never a credential.
        why: String,
        /// The way out.
        hint: Option<String>,
    },
    /// Anything else, such as an I/O error of a disk.
    #[error("{at}: the storage failed")]
    Other {
        /// Where it happened.
        at: Box<At>,
        /// What was said below.
        source: Option<Cause>,
    },
}

impl BackendError {
    /// Whether the same operation may succeed later, and may have taken effect this time.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Offline { .. })
    }

    /// Whether the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Where it happened, unless it is about a location that makes no sense.
    pub fn at(&self) -> Option<&At> {
        match self {
            Self::NotFound { at }
            | Self::NoRepository { at, .. }
            | Self::Access { at, .. }
            | Self::Offline { at, .. }
            | Self::Full { at, .. }
            | Self::Damaged { at, .. }
            | Self::Range { at, .. }
            | Self::Unsupported { at, .. }
            | Self::Conflict { at, .. }
            | Self::Other { at, .. } => Some(at),
            Self::Usage { .. } => None,
        }
    }

    /// The object it is about.
    pub fn object(&self) -> Option<&ObjectName> {
        match self.at().map(|at| &at.what) {
            Some(What::Object(name)) => Some(name),
            _ => None,
        }
    }

    /// What a caller can act on.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::NoRepository { .. } => ErrorKind::NoRepository,
            Self::Access { .. } | Self::Other { .. } => ErrorKind::Access,
            Self::Offline { .. } => ErrorKind::Offline,
            Self::Full { .. } => ErrorKind::Full,
            Self::Damaged { .. } | Self::Range { .. } => ErrorKind::Damaged,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Conflict { .. } => ErrorKind::Exists,
            Self::Usage { .. } => ErrorKind::Usage,
        }
    }

    /// The way out, where there is one.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoRepository { .. } => {
                "Check the location, or make a repository there with `parados init`.".to_owned()
            }
            Self::Access { .. } => {
                "Check the credentials and the permissions of this location.".to_owned()
            }
            Self::Offline { .. } => {
                "Run the command again when the location can be reached; what was stored so far \
                 is used."
                    .to_owned()
            }
            Self::Full { .. } => {
                "Free some space and run the command again; what was stored so far is used."
                    .to_owned()
            }
            Self::Damaged { .. } | Self::Range { .. } => {
                "Run `parados check` to see what else is damaged.".to_owned()
            }
            Self::NotFound { .. } => "Run `parados check` to see what depends on it.".to_owned(),
            Self::Usage { hint, .. } => return hint.clone(),
            Self::Unsupported { .. } | Self::Conflict { .. } | Self::Other { .. } => return None,
        })
    }

    /// Wraps an operating system error.
    pub(crate) fn io(at: At, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let is_object = matches!(at.what, What::Object(_));
        let at = Box::new(at);
        match error.kind() {
            Io::NotFound if is_object => Self::NotFound { at },
            Io::NotFound | Io::NotADirectory => Self::NoRepository {
                at,
                why: "there is no such directory".to_owned(),
                source: Some(error.into()),
            },
            Io::PermissionDenied | Io::ReadOnlyFilesystem => {
                Self::Access { at, source: Some(error.into()) }
            }
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
                Self::Full { at, source: Some(error.into()) }
            }
            Io::TimedOut | Io::HostUnreachable | Io::NetworkUnreachable | Io::NotConnected => {
                Self::Offline { at, source: Some(error.into()) }
            }
            // What a disk cannot read is as lost as what it reads wrongly, and healed the same way.
            _ if is_object
                && matches!(at.verb, Verb::Get | Verb::GetRange)
                && error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) =>
            {
                Self::Damaged { at, why: "the disk cannot read it".to_owned() }
            }
            _ => Self::Other { at, source: Some(error.into()) },
        }
    }

    /// Takes the cause out.
    fn into_cause(self) -> Option<Cause> {
        match self {
            Self::NoRepository { source, .. }
            | Self::Access { source, .. }
            | Self::Offline { source, .. }
            | Self::Full { source, .. }
            | Self::Unsupported { source, .. }
            | Self::Other { source, .. } => source,
            Self::NotFound { .. }
            | Self::Damaged { .. }
            | Self::Range { .. }
            | Self::Conflict { .. }
            | Self::Usage { .. } => None,
        }
    }
}

impl From<BackendError> for Error {
    fn from(error: BackendError) -> Self {
        let (kind, message, hint) = (error.kind(), error.to_string(), error.hint());
        let object = error.object().map(|name| format!("{} {name}", name.kind().noun()));
        Self { kind, message, hint, source: error.into_cause(), object }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_operation_the_object_and_the_location() {
        let location = Location::parse("/srv/backup").expect("a path is a location");
        let at = At::object(&location, Verb::Get, &ObjectName::config(3));
        let error = BackendError::io(at, std::io::Error::from_raw_os_error(28));
        assert_eq!(error.object(), Some(&ObjectName::config(3)));
        let error = Error::from(error);
        assert_eq!(error.kind, ErrorKind::Full);
        assert!(error.hint.is_some());
        let text = error.to_string();
        let expect = "could not read config config/3 at /srv/backup: no space is left: ";
        assert!(text.starts_with(expect), "{text}");
    }

    #[test]
    fn what_a_disk_cannot_read_is_damaged_and_what_it_cannot_write_is_not() {
        let kind = |verb, errno| {
            let location = Location::parse("/srv/backup").expect("a path is a location");
            let at = At::object(&location, verb, &ObjectName::config(3));
            BackendError::io(at, std::io::Error::from_raw_os_error(errno)).kind()
        };
        let (eio, eacces) = (5, 13);
        for verb in [Verb::Get, Verb::GetRange] {
            assert_eq!(kind(verb, eio), ErrorKind::Damaged);
            assert_eq!(kind(verb, eacces), ErrorKind::Access);
        }
        for verb in [Verb::Put, Verb::Delete, Verb::List] {
            assert_eq!(kind(verb, eio), ErrorKind::Access);
        }
    }
}
