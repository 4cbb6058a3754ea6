//! Encrypted, deduplicated backups that can prove they come back.
//!
#![doc = include_str!("../docs/tour.md")]
//!
//! ## The modules, in the order of their layers

// Each uses only those above it; docs/architecture.md has the table that a test enforces.
pub mod base;
pub mod format;
pub mod chunk;
pub mod seal;
pub mod backend;
pub mod index;
pub mod repo;
pub mod source;
pub mod target;
pub mod pipeline;
pub mod ops;
pub mod cli;
