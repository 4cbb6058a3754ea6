//! Where a restore writes: makes a tree below one directory, faithfully.
//!
//! - [`Target`]: the directory below which everything appears.
//! - [`Options`]: which metadata to apply.
//! - [`TargetDir`]: one directory, reached by name only below its parent.
//! - [`TargetDir::look`], [`Found`], [`FileReader`]: what is there already.
//! - [`create_file`], [`FileWriter`]: a regular file, written from several threads.
//! - [`create_symlink`], [`create_hard_link`]: names for other names.
//! - [`create_special`]: pipes, sockets and devices.
//! - [`Finished`], [`Created`]: what came of one entry.
//!
//! **Nothing appears outside.** Every call names one validated component relative to an open
//! directory, no symbolic link is ever followed, a thing is created exclusively or not at all, and
//! metadata goes to what was opened, not to what a name means by then. This holds while somebody
//! else changes the target.
//!
//! **Order.** Directories from the top, then files, then symbolic links, special files and hard
//! links, then [`TargetDir::finish`] from the deepest directory up, then [`Target::finish`]:
//! writing into a directory changes its time, and a read-only directory takes no names.
//!
//! **What was there.** A file, link or special file gives way to the new thing in one step
//! (`rename`) when the new one is whole, unless it is [opened in place](open_file_in_place); a directory stays and is shared, or gives way only when it
//! is empty. What is there is read only after `fstat` has said that the open descriptor is a regular
//! file: a link is not followed and a pipe is not waited for. A file that is kept as it is gets
//! metadata only if it has no other name, which could lie anywhere. Names that the snapshot does not
//! have are left alone, unless [`TargetDir::remove`] is called for them.
//!
//! **Errors.** `Err` means that the entry was not made. Metadata that could not be applied comes
//! back as a list of errors; the entry is there. [`crate::base::ErrorKind::Full`] concerns the
//! whole run, every other kind this entry.

mod claim;
mod descriptors;
mod directory;
mod existing;
mod fault;
mod file;
mod handle;
mod link;
mod metadata;
mod options;
mod owners;
mod place;
mod private;
mod remove;
mod root;
mod special;
#[cfg(test)]
mod testing;

pub use claim::{Created, Finished};
pub use directory::{Identity, TargetDir};
pub use existing::{FileReader, Found, all_zero};
pub use file::{FileWriter, create_file, create_file_beside, open_file_in_place};
pub use link::{create_hard_link, create_symlink};
pub use options::Options;
pub use remove::Removal;
pub use root::Target;
pub use special::{check_special, create_special};
