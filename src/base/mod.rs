//! Words that every layer shares; nothing here knows what a backup is.

pub mod calendar;
pub mod cancel;
pub mod error;
pub mod id;
pub mod pattern;
pub mod problems;
pub mod progress;
pub mod random;
pub mod rules;
pub mod simulated;
pub mod secret_text;
pub mod size;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod time;

pub use cancel::Cancel;
pub use error::{Error, ErrorKind, Result};
pub use id::{ChunkId, Id, PackId, RepositoryId, SegmentId, SessionId, SlotId, WriterId};
pub use problems::Problems;
pub use progress::Progress;
pub use random::{check_random, random};
pub use secret_text::SecretText;
pub use time::{Clock, SystemClock, Timestamp};
