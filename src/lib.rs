//! Parados: a content-addressed, deduplicating, encrypted backup engine.

pub mod backend;
pub mod base;
pub mod chunk;
pub mod cli;
pub mod format;
pub mod index;
pub mod ops;
pub mod pipeline;
pub mod repo;
pub mod seal;
pub mod source;
pub mod target;
