//! Parados: a content-addressed, deduplicating, encrypted backup engine.

pub mod base;
pub mod chunk;
pub mod format;
pub mod seal;
