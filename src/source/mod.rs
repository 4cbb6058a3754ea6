//! Reads directory trees faithfully: what is there, without following, changing or trusting it.
//!
//! The tree below is alive while it is read, so nothing here believes an earlier answer:
//!
//! ```text
//! Roots ──▶ Directory::open_top / open_passage      the way from `/` to the sources
//!               │
//!               ▼
//!           Directory::list ──▶ Listing              names only, 1.4 µs each
//!               │ stat                               one stat a name, nothing else
//!               ▼
//!           Child { kind, signature, … } ── unchanged? ──▶ done
//!               │
//!               ├─ directory ──▶ open_child ──▶ Describer::directory
//!               ├─ file ───────▶ OpenFile ──▶ Describer::file ─▶ layout ─▶ read_at ─▶ finish
//!               └─ other ──────▶ Describer::other
//! ```
//!
//! Directories are opened one from the other, so that a path may be longer than the kernel takes
//! in one piece and no component is ever a symbolic link. A fault of one entry is a [`Problem`].

pub mod child;
pub mod directory;
pub mod exclusion;
pub mod expand;
pub mod file;
mod ignore_file;
pub mod layout;
pub mod limits;
#[cfg(test)]
pub(crate) mod meddler;
pub mod metadata;
pub mod mounts;
mod open;
pub mod owners;
pub mod path;
pub mod problem;
pub mod real_pattern;
pub mod roots;
pub mod selection;
pub mod signature;
pub mod tag;
#[cfg(test)]
mod testing;
pub mod stream;
mod xattrs;

pub use child::Child;
pub use directory::{Directory, Listing, Scan};
pub use exclusion::Exclusion;
pub use expand::expand;
pub use file::{FileEnd, OpenFile};
pub use layout::Layout;
pub use metadata::Describer;
pub use mounts::Mounts;
pub use owners::Owners;
pub use path::SourcePath;
pub use problem::Problem;
pub use real_pattern::RealPatterns;
pub use roots::{Branch, Roots};
pub use selection::{Selection, Selector};
pub use signature::{Comparison, Settled, Signature};
pub use stream::{OpenStream, Stream, StreamPath};
pub use tag::Tag;
