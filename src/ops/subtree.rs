//! Finds one path in a snapshot.

use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};
use crate::format::entry::{Entry, EntryKind, TreeRef};
use crate::repo::reader::Reader;
use crate::repo::tree::Walk;

/// The entry at `path` below `root`; `None` stands for the root itself.
///
/// # Errors
/// [`ErrorKind::NotFound`] with the part that does not exist.
pub fn find(reader: &Reader<'_>, root: Option<TreeRef>, path: &[u8]) -> Result<Option<Entry>> {
    let mut tree = root;
    let mut found: Option<Entry> = None;
    let mut reached: Vec<u8> = Vec::new();
    for name in path.split(|b| *b == b'/').filter(|name| !name.is_empty() && *name != b".") {
        reached.push(b'/');
        reached.extend_from_slice(name);
        let is_leaf = found.as_ref().is_some_and(|entry| entry.kind != EntryKind::Directory);
        let mut damage = None;
        let entry = (!is_leaf)
            .then(|| {
                Walk::new(reader, tree.as_ref())
                    .filter_map(|entry| entry.map_err(|error| damage = Some(error)).ok())
                    .find(|entry| entry.name == name)
            })
            .flatten();
        match (entry, damage) {
            (Some(entry), _) => {
                tree = entry.tree;
                found = Some(entry);
            }
            (None, Some(error)) => return Err(error),
            (None, None) => {
                return Err(Error::new(
                    ErrorKind::NotFound,
                    format!("there is no {} in the snapshot", escape(&reached)),
                )
                .hint("See what is there with `parados ls SNAPSHOT`."));
            }
        }
    }
    Ok(found)
}
