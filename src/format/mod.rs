//! What the bytes mean: pure functions between bytes and structures, as `docs/format.md` says.
//!
//! Every decoder is total: any input gives a value or a [`DecodeError`], never a panic, and no
//! allocation larger than a small multiple of the input.

pub mod config;
pub mod entry;
pub mod envelope;
mod error;
pub mod generation;
pub mod ledger;
pub mod list;
pub mod name;
pub mod note;
pub mod pack;
pub mod segment;
pub mod slot;
pub mod snapshot;
pub mod tombstone;
pub mod tree;
pub mod wire;

pub use error::DecodeError;
pub use name::{GenerationStep, ObjectKind, ObjectName};

/// The version of the format that this program writes, and the only one it reads.
pub const FORMAT_VERSION: u16 = 1;

/// Longest raw chunk or frame, in bytes. Bounds what a reader allocates for one of them.
pub const RAW_LEN_MAX: usize = 16 << 20;

/// How frames and objects are sealed. The numbers are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Suite {
    /// ChaCha20-Poly1305, the reference; every reader has it.
    ChaCha20Poly1305 = 1,
    /// AES-256-GCM, several times faster where the processor has AES instructions.
    Aes256Gcm = 2,
}

impl Suite {
    /// The suite with this number.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for any other number.
    pub fn from_u8(number: u8) -> Result<Self, DecodeError> {
        match number {
            1 => Ok(Self::ChaCha20Poly1305),
            2 => Ok(Self::Aes256Gcm),
            _ => Err(DecodeError::Unknown),
        }
    }
}

/// How the bytes of a frame or object body are compressed. The numbers are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Codec {
    /// As they are.
    Stored = 0,
    /// One zstd frame.
    Zstd = 1,
    /// Elements of two bytes taken apart; only frames have it.
    Planes2 = 2,
    /// Elements of four bytes taken apart; only frames have it.
    Planes4 = 3,
}

impl Codec {
    /// The codec with this number.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for any other number.
    pub fn from_u8(number: u8) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::Stored),
            1 => Ok(Self::Zstd),
            2 => Ok(Self::Planes2),
            3 => Ok(Self::Planes4),
            _ => Err(DecodeError::Unknown),
        }
    }
}

/// What a frame holds; it selects the key of its chunk ids. The numbers are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// Chunks of file content.
    Data = 0,
    /// Tree nodes and pages of chunk lists.
    Metadata = 1,
}

impl FrameKind {
    /// The kind with this number.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for any other number.
    pub fn from_u8(number: u8) -> Result<Self, DecodeError> {
        match number {
            0 => Ok(Self::Data),
            1 => Ok(Self::Metadata),
            _ => Err(DecodeError::Unknown),
        }
    }
}
