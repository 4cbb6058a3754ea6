//! How bytes move in parallel, from a source to the repository and back.
//!
//! ```text
//! source ─▶ read ─▶ split ─▶ dedup ─▶ frame ─▶ seal ─▶ pack ─▶ put ─▶ index segment ─▶ snapshot
//!           files    CDC,    id known?  small    zstd +   equal-  any
//!           dumps    tensors (RocksDB)  chunks   AEAD     sized   backend
//!           stdin    (rayon)            share    (rayon)  packs   (object_store)
//! ```
//!
//! `backup` is that diagram as code. Threads of their own scan directories, read files, fill packs
//! and put them; rayon splits, hashes, compresses and seals. Every queue is bounded, and what is in
//! flight is bounded in bytes by `memory`. No stage decides anything that changes an id.

pub mod assemble;
pub mod backup;
mod blocks;
pub mod budget;
pub mod compare;
mod content;
mod count;
pub mod dedup;
pub mod entries;
pub mod expected;
pub mod failure;
pub mod fetch;
pub mod file_place;
pub mod flow;
pub mod flush;
pub mod how;
mod large;
pub mod layout;
pub mod links;
pub mod memory;
pub mod merge;
pub mod pack;
pub mod parent_tree;
pub mod place;
pub mod proof;
pub mod put;
pub mod read;
pub mod read_back;
mod recognize;
pub mod restore;
pub mod rows;
pub mod scan;
pub mod seal;
pub mod segments;
mod stream;
mod workers;

pub use backup::{Backup, BackupResult, Saving, Sources, backup};
pub use memory::{MemoryPlan, RestorePlan};
pub use segments::SEGMENT_CHUNK_COUNT;
