//! What the parent says of files, from its own tree: for a run of which the local cache knows
//! nothing. Its entries tell whether a file differs, once that was read; they have no ctime and no
//! inode, so they never prove that it need not be read.

use std::collections::HashMap;
use std::sync::Mutex;

use super::rows::RowChild;
use crate::base::Timestamp;
use crate::format::entry::{Entry, EntryKind, TreeRef};
use crate::repo::reader::Reader;
use crate::repo::tree::{EncodedEntry, Walk};
use crate::source::{Settled, Signature};

/// Directories that are remembered until a scan comes to them; further ones are found from the top.
const PASSED_COUNT_MAX: usize = 65_536;

/// The tree of a component of the parent.
pub struct ParentTree<'a> {
    reader: Reader<'a>,
    root: Option<TreeRef>,
    /// Trees of directories in those that were looked at, by their paths.
    passed: Mutex<HashMap<Vec<u8>, TreeRef>>,
}

impl<'a> ParentTree<'a> {
    /// That of `root`.
    pub fn new(reader: Reader<'a>, root: Option<TreeRef>) -> Self {
        Self { reader, root, passed: Mutex::default() }
    }

    /// All but directories of what the parent has in `directory`, an absolute path, from the name
    /// `first` to `last`, or to the end. What cannot be read counts as new: damage in the past must
    /// not stop a backup.
    pub(super) fn window(
        &self,
        directory: &[u8],
        first: &[u8],
        last: Option<&[u8]>,
    ) -> Vec<RowChild> {
        let Some(tree) = self.tree_of(directory) else { return Vec::new() };
        let mut children = Vec::new();
        let entries = Walk::starting_at(&self.reader, Some(&tree), first);
        for entry in entries.filter_map(Result::ok) {
            if last.is_some_and(|last| entry.name[..] > *last) {
                break;
            }
            match entry.tree {
                Some(tree) => self.pass(directory, &entry.name, tree),
                None if entry.kind == EntryKind::Directory => {}
                None => children.push(row_child(&entry)),
            }
        }
        children
    }

    fn pass(&self, directory: &[u8], name: &[u8], tree: TreeRef) {
        let mut passed = self.passed.lock().expect("no thread panics while it holds it");
        if passed.len() < PASSED_COUNT_MAX {
            passed.insert(below(directory, name), tree);
        }
    }

    fn tree_of(&self, directory: &[u8]) -> Option<TreeRef> {
        let names = || directory.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let mut passed = self.passed.lock().expect("no thread panics while it holds it");
        // Only the first window of a directory removes it, and the next one starts from the top.
        if let Some(tree) = passed.remove(directory) {
            return Some(tree);
        }
        drop(passed);
        let mut tree = self.root?;
        for name in names() {
            let mut entries = Walk::starting_at(&self.reader, Some(&tree), name);
            tree = entries.next()?.ok().filter(|entry| entry.name == name)?.tree?;
        }
        Some(tree)
    }
}

fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if directory.ends_with(b"/") { b"" } else { b"/" };
    [directory, slash, name].concat()
}

/// An entry as a row has it, with a signature that proves nothing.
fn row_child(entry: &Entry) -> RowChild {
    let EncodedEntry { bytes, content_bytes, .. } = EncodedEntry::new(entry);
    let never = Timestamp::default();
    RowChild {
        name: entry.name.clone(),
        signature: Signature { inode: 0, size: 0, mtime: never, ctime: never, mode: 0 },
        settled: Settled::Nothing,
        content_bytes,
        entry: bytes,
        is_part: false,
    }
}
