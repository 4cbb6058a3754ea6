//! Words that every layer shares; nothing here knows what a backup is.

pub mod cancel;
pub mod error;
pub mod id;
pub mod size;
pub mod time;

pub use cancel::Cancel;
pub use error::{Error, ErrorKind, Result};
pub use id::{ChunkId, Id, PackId, RepositoryId, SegmentId, SessionId, SlotId, WriterId};
pub use time::{Clock, SystemClock, Timestamp};
