//! Why bytes are not what the format says.

/// A reason to refuse bytes; the caller adds the object's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The object ends too early.
    #[error("it is truncated")]
    Truncated,
    /// Bytes follow the end.
    #[error("it has bytes after its end")]
    Trailing,
    /// The first bytes are not those of this kind of object.
    #[error("it does not start like an object of this kind")]
    Magic,
    /// A later version of the format.
    #[error("it was written in a newer format (version {0}); this program reads version 1")]
    Version(u16),
    /// A flag or number that this version does not define.
    #[error("it uses a feature this program does not know")]
    Unknown,
    /// Reserved bytes are not zero.
    #[error("its reserved bytes are not zero")]
    Reserved,
    /// Valid CBOR would be spelled otherwise, or this is no CBOR at all.
    #[error("its encoding is not canonical")]
    Encoding,
    /// A number or length exceeds its limit.
    #[error("a length in it exceeds the limit")]
    Limit,
    /// Two statements in the object contradict each other.
    #[error("its parts contradict each other")]
    Inconsistent,
    /// Authentication failed: other key, other name, or altered bytes.
    #[error("it does not authenticate")]
    Forged,
    /// Decompression failed or gave another length than promised.
    #[error("it does not decompress to the promised length")]
    Compression,
    /// The content does not have the id that names it.
    #[error("its content does not match its id")]
    Id,
    /// A name that format 1 does not have.
    #[error("its name is not one of format 1")]
    Name,
}
