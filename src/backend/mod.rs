//! Where objects live: one small trait, the table of its implementations, and the two ways in.
//!
//! An object is immutable and written once, with create-if-absent. Everything that reaches a
//! backend is [`Sealed`], so that no raw byte can leave by this door. The calls are synchronous
//! and may be made from any thread; whatever is asynchronous stays inside `cloud`.

pub mod cloud;
#[cfg(test)]
pub(crate) mod conformance;
pub mod create_verified;
pub mod error;
pub mod local;
pub mod location;
pub mod memory;
pub mod probe;
pub mod verb;
pub mod with;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::base::size::MIB;
use crate::base::{Clock, SecretText, SystemClock, Timestamp};
use crate::format::name::{ObjectKind, ObjectName, Parsed};
use crate::seal::Sealed;

pub use create_verified::{Once, Verified, create_once, create_verified};
pub use error::{At, BackendError, What};
pub use location::Location;
pub use probe::Probe;
pub use verb::Verb;
pub use with::limit::Limits;

/// No object may be larger. Packs end at 128 MiB; twice that leaves room for a parity section and
/// still keeps a planted giant from being read into memory.
pub const OBJECT_LEN_MAX: u64 = 256 * MIB;

/// A place for immutable objects.
///
/// Reads see what was written (read-after-write and list-after-write), and creating is atomic:
/// of any number of writers of one name exactly one is told [`Put::Created`]. A call that failed
/// with a transient error may still take effect later.
pub trait Backend: Send + Sync {
    /// Where this is.
    fn location(&self) -> &Location;

    /// Stores an object if there is none of this name, and never overwrites one.
    ///
    /// Durable when it returns. [`Put::Exists`] may also mean that somebody is writing the name at
    /// this moment, or that our own first attempt succeeded and its answer was lost; use
    /// [`create_verified()`] to tell these apart.
    ///
    /// # Errors
    /// Names the object. After a transient error the object may or may not exist.
    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError>;

    /// Reads a whole object.
    ///
    /// # Errors
    /// [`BackendError::NotFound`] when there is none.
    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError>;

    /// Reads exactly `range`.
    ///
    /// # Errors
    /// [`BackendError::Range`] when the object ends before the range does: never a short answer.
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError>;

    /// Looks an object up without reading it.
    ///
    /// # Errors
    /// [`BackendError::NotFound`] when there is none.
    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError>;

    /// Hands every object of a kind to `each`, in no particular order, and with it what lies among
    /// them but is no object. `each` may call the backend.
    ///
    /// # Errors
    /// A listing is complete or an error; what was handed over before the error stays true.
    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError>;

    /// Deletes an object. One that is gone already is fine.
    ///
    /// # Errors
    /// After a transient error the object may disappear later.
    fn delete(&self, name: &ObjectName) -> Result<(), BackendError>;

    /// Replaces a damaged pack or index segment by the bytes its name promises; also restores a
    /// missing one. The only operation that overwrites.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`] for other kinds, [`BackendError::Damaged`] for bytes that do
    /// not hash to the name; neither changes anything.
    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError>;

    /// Finds out by trying what this place can be relied on for.
    ///
    /// # Errors
    /// Only when the place cannot be tried at all; a failed promise is a field of [`Probe`].
    fn probe(&self) -> Result<Probe, BackendError> {
        probe::run(self)
    }
}

/// What became of a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The object is new and ours.
    Created,
    /// An object of this name exists or is being written; nothing was changed.
    Exists,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: ObjectName,
    /// Its length in bytes.
    pub len: u64,
    /// When it was stored, by the clock of the place, never to be compared with our own.
    pub modified: Timestamp,
}

/// Something among the objects that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Junk {
    /// Its name below the repository; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Its length in bytes, where it has one.
    pub len: u64,
}

/// How to open a location.
#[derive(Clone)]
pub struct Options {
    /// Whether anything may be written. Without it nothing is, not even housekeeping.
    pub writable: bool,
    /// Credentials and settings by the lower-case names of their environment variables, such as
    /// `aws_access_key_id`. What the location says itself wins. Layers below `cli` read no
    /// environment.
    pub config: BTreeMap<String, SecretText>,
    /// What must not be exceeded in a second.
    pub limits: Limits,
    /// Stamps objects where the place has no clock of its own.
    pub clock: Arc<dyn Clock>,
}

impl Default for Options {
    fn default() -> Self {
        let (config, limits) = (BTreeMap::new(), Limits::default());
        Self { writable: false, config, limits, clock: Arc::new(SystemClock) }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values are credentials.
        let keys: Vec<_> = self.config.keys().collect();
        f.debug_struct("Options").field("writable", &self.writable).field("config", &keys).finish()
    }
}

/// Opens or creates what a location names.
type Open = fn(&Location, &Options) -> Result<Arc<dyn Backend>, BackendError>;

/// One kind of place.
#[derive(Debug)]
pub struct Scheme {
    /// The word before the colon.
    pub name: &'static str,
    /// How people write such a location.
    pub example: &'static str,
    open: Open,
    create: Open,
}

/// Every kind of place.
pub const BACKENDS: &[Scheme] = &[
    Scheme {
        name: "local",
        example: "/srv/backup or local:relative/path",
        open: local::open,
        create: local::create,
    },
    Scheme {
        name: "s3",
        example: "s3://bucket/prefix?region=eu-west-1",
        open: cloud::open_s3,
        create: cloud::open_s3,
    },
    Scheme {
        name: "gs",
        example: "gs://bucket/prefix",
        open: cloud::open_gcs,
        create: cloud::open_gcs,
    },
    Scheme {
        name: "az",
        example: "az://container/prefix?account=name",
        open: cloud::open_azure,
        create: cloud::open_azure,
    },
    Scheme { name: "memory", example: "memory:name", open: memory::open, create: memory::create },
];

/// Opens a location and writes nothing to it unless [`Options::writable`] says so.
///
/// # Errors
/// [`BackendError::NoRepository`] when the directory does not exist. Places on a network are not
/// asked before the first real request.
pub fn open(location: &Location, options: &Options) -> Result<Arc<dyn Backend>, BackendError> {
    let backend = with::log::Logged::around((scheme_of(location).open)(location, options)?);
    let backend = with::limit::within(backend, options.limits);
    Ok(if options.writable { backend } else { with::read_only::ReadOnly::new(backend) })
}

/// Opens a location for a new repository, making its local directory. Whether a repository is
/// there already is for the caller to look up.
///
/// # Errors
/// When the directory cannot be made, or as [`open`].
pub fn create(location: &Location, options: &Options) -> Result<Arc<dyn Backend>, BackendError> {
    let options = Options { writable: true, ..options.clone() };
    let backend = with::log::Logged::around((scheme_of(location).create)(location, &options)?);
    Ok(with::limit::within(backend, options.limits))
}

fn scheme_of(location: &Location) -> &'static Scheme {
    let name = location.scheme();
    BACKENDS.iter().find(|row| row.name == name).expect("every place has a row in BACKENDS")
}

/// Refuses a `heal` with anything but the bytes that the name promises.
fn check_heal(at: At, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
    let promised = match name.parsed() {
        Parsed::Pack(id) => *id.as_bytes(),
        Parsed::Index(_, _, id) => *id.as_bytes(),
        _ => {
            let why = "only packs and index segments may be replaced".to_owned();
            return Err(BackendError::Unsupported { at: Box::new(at), why, source: None });
        }
    };
    if blake3::hash(sealed.bytes()).as_bytes() != &promised {
        let why = "the new bytes do not hash to its name".to_owned();
        return Err(BackendError::Damaged { at: Box::new(at), why });
    }
    Ok(())
}

/// Refuses what could not be read back.
fn check_len(at: &At, len: u64) -> Result<(), BackendError> {
    if len <= OBJECT_LEN_MAX {
        return Ok(());
    }
    let why = format!("{len} bytes are more than an object may have ({OBJECT_LEN_MAX})");
    Err(BackendError::Damaged { at: Box::new(at.clone()), why })
}

/// Refuses a range that `len` does not hold.
fn check_range(at: &At, range: &Range<u64>, len: u64) -> Result<(), BackendError> {
    if range.start <= range.end && range.end <= len {
        return Ok(());
    }
    let (start, end) = (range.start, range.end);
    Err(BackendError::Range { at: Box::new(at.clone()), start, end, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_spelled_once_and_its_example_opens_under_its_name() {
        for (i, row) in BACKENDS.iter().enumerate() {
            assert!(BACKENDS[i + 1..].iter().all(|other| other.name != row.name), "{}", row.name);
            let example = row.example.split(" or ").last().expect("split yields one at least");
            let location = Location::parse(example).expect("the example is a location");
            assert_eq!(location.scheme(), row.name);
        }
    }

    #[test]
    fn a_backend_opened_for_reading_refuses_to_write() {
        let location = Location::parse("memory:opened-for-reading").expect("a location");
        let options = Options::default();
        create(&location, &options).expect("created");
        let backend = open(&location, &options).expect("opened");
        let name = ObjectName::config(1);
        let sealed = Sealed::from_store(bytes::Bytes::from_static(b"x"));
        assert!(matches!(backend.put(&name, &sealed), Err(BackendError::Access { .. })));
        assert!(matches!(backend.delete(&name), Err(BackendError::Access { .. })));
        assert!(matches!(backend.get(&name), Err(BackendError::NotFound { .. })));
    }
}
