//! Backends around backends, one property each.

pub mod count;
pub mod dry_run;
pub mod fault;
pub mod limit;
pub mod log;
pub mod mortal;
pub mod read_only;
pub mod slow;
