//! Says how much room a restore needs, before hours are spent on one that cannot fit.

use std::collections::HashSet;

use crate::base::{Cancel, ErrorKind, Result};
use crate::format::entry::{Entry, TreeRef};
use crate::format::list::ChunkList;
use crate::pipeline::merge::ComponentNo;
use crate::repo::reader::Reader;
use crate::repo::tree::Walk;

/// Files with several names that are remembered, so that memory is bounded; further ones count as
/// nothing.
const REMEMBERED_COUNT_MAX: usize = 1 << 17;

/// Bytes that `trees` take at least: a hole takes none, and a file with several names takes its bytes
/// once. Stops counting past `enough`, so that the answer for a snapshot that does not fit comes
/// soon. What cannot be read counts as nothing.
///
/// # Errors
/// When a person asked to stop, or the backend does not answer.
pub(super) fn bytes_at_least(
    reader: &Reader<'_>,
    trees: &[(ComponentNo, TreeRef)],
    enough: u64,
    cancel: &Cancel,
) -> Result<u64> {
    let mut bytes: u64 = 0;
    for (_, tree) in trees {
        let mut groups = HashSet::new();
        let mut levels = vec![Walk::new(reader, Some(tree))];
        while let Some(walk) = levels.last_mut() {
            cancel.check()?;
            let Some(next) = walk.next() else {
                levels.pop();
                continue;
            };
            let entry = match next {
                Ok(entry) => entry,
                Err(error) if error.kind == ErrorKind::Offline => return Err(error),
                Err(_) => continue,
            };
            let mut is_first = |group| groups.len() < REMEMBERED_COUNT_MAX && groups.insert(group);
            if entry.link.is_none_or(&mut is_first) {
                bytes = bytes.saturating_add(content_len(&entry));
            }
            if bytes > enough {
                return Ok(bytes);
            }
            levels.extend(entry.tree.map(|tree| Walk::new(reader, Some(&tree))));
        }
    }
    Ok(bytes)
}

fn content_len(entry: &Entry) -> u64 {
    entry.content.as_ref().and_then(ChunkList::content_len).unwrap_or(0)
}
