//! Who can read the bytes: everything between raw and sealed, and nothing that does I/O.
//!
//! `keys` holds the secrets, `aead` uses them once each; `frame`, `pack`, `segment`, `object` and
//! `slot` seal the forms of `format`. No error of this layer carries a raw byte.

use bytes::Bytes;

pub mod aead;
pub mod code;
pub mod compress;
pub mod frame;
pub mod keys;
pub mod object;
pub mod pack;
mod planes;
pub mod segment;
pub mod slot;

/// Bytes that may leave this program: sealed, or taken from a backend where they were sealed.
///
/// Only this module and `backend` can make one, so that no raw byte reaches a backend.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Bytes);

impl Sealed {
    /// Takes bytes that a backend returned. `tests/tidy.rs` keeps every other layer from it.
    pub(crate) fn from_store(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Marks bytes as sealed; only the files of this folder can call it.
    fn new(bytes: Vec<u8>) -> Self {
        Self(Bytes::from(bytes))
    }

    /// The sealed bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Their number.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}
