//! Backends around backends, one property each.

pub mod count;
pub mod fault;
pub mod read_only;
