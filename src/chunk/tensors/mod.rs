//! Files of tensors: what their headers say, and where their chunks end.
//!
//! A header may come from anybody. It decides where chunks end and nothing else: not how much is
//! read, not how much is allocated, not what a restore brings back. Whatever leaves a doubt makes
//! the file general data, which costs a little deduplication and no byte.

mod gguf;
mod safetensors;
mod split;
mod table;

pub use split::{GRID_LEN, JOINED_LEN_MAX, Tensors};
pub use table::TensorTable;

/// Longest header in bytes, what stands in front of it included.
///
/// A header is in memory as a whole while it is parsed. The reference of safetensors takes
/// 100 MB, but 100,000 tensors need no more than 13 MB, and the vocabulary of a GGUF file with
/// half a million merges 14 MB.
pub const HEADER_LEN_MAX: usize = 16 << 20;

/// Most tensors in a file; the table takes 8 bytes for each as long as the file is read.
pub const TENSOR_COUNT_MAX: usize = 1 << 17;

/// Why the first bytes of a file give no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// They are too few; this many are needed to go on, never more than [`HEADER_LEN_MAX`].
    Short(usize),
    /// It is no file of tensors, or none that is understood without a doubt.
    Unknown,
}

/// Reads the header of a file of `size` bytes that starts with `head`.
///
/// The answer does not depend on how many bytes follow the header in `head`.
///
/// # Errors
/// Says whether more bytes could help.
pub fn recognize(head: &[u8], size: u64) -> Result<TensorTable, Doubt> {
    if head.starts_with(gguf::MAGIC) {
        gguf::parse(head, size)
    } else {
        safetensors::parse(head, size)
    }
}
