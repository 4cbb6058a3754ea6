//! Where streams split: pure functions from bytes to chunk lengths, as `docs/format.md` says.
//!
//! - [`Params`]: least, average and greatest length, and the masks that follow from them.
//! - [`GearTable`]: the secret table that the rolling hash reads, made from the chunker key.
//! - [`cut_reference`]: where one chunk ends, by the crate that defines the algorithm.
//! - [`cut_kernel`]: the same answer, faster; tests and fuzzing hold the two together.
//! - [`Chunker`]: content-defined chunks of a stream, whatever the sizes of its reads.
//! - [`Pages`]: chunks of one length on a grid of file offsets, for database files.
//! - [`Tensors`]: chunks that start where tensors do, for the files that [`recognize`] knows.
//! - [`Profile`]: the permanent number of each way to split, recorded per file.
//! - [`Splitter`]: any of these ways behind one call.
//!
//! Nothing that restores needs this layer: a chunk list says where the chunks of a file lie.

mod chunker;
mod cut;
mod gear;
mod kernel;
mod pages;
mod params;
mod profile;
mod splitter;
mod tensors;
#[cfg(test)]
mod testdata;

pub use chunker::Chunker;
pub use cut::cut_reference;
pub use gear::{GEAR_LEN, GearTable, KEY_LEN};
pub use kernel::cut_kernel;
pub use pages::{Pages, PagesError};
pub use params::{Params, ParamsError};
pub use profile::Profile;
pub use splitter::Splitter;
pub use tensors::{
    Doubt, GRID_LEN, HEADER_LEN_MAX, JOINED_LEN_MAX, TENSOR_COUNT_MAX, TensorTable, Tensors,
    recognize,
};
