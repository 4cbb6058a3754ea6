//! Directories of any size: cutting one into nodes, walking one in order.

use super::list::PutMetadata;
use super::reader::{Reader, damaged_chunk};
use crate::base::{ChunkId, Error, ErrorKind, Result};
use crate::format::entry::{Entry, TreeRef};
use crate::format::list::LEVEL_MAX;
use crate::format::tree::{Child, Node, assemble, ends_node};
use crate::format::{DecodeError, FrameKind, wire};
use crate::seal::keys::Keyring;

/// Deepest directory that is walked. A source ends at 1,024.
pub const DEPTH_MAX: usize = 2048;
/// Most entries of one walk through all directories: no ext4 has more files than 2^32.
///
/// A few nodes can stand for any number of entries, each directory holding the next one twice. As
/// each node is held to the sums that its parent promised, the top of a tree tells the true number.
pub const WALK_COUNT_MAX: u64 = 1 << 32;

/// Refuses a tree of more entries than one walk goes through.
///
/// # Errors
/// [`ErrorKind::Unsupported`]; the caller adds the way out.
pub fn check_count(tree: Option<&TreeRef>) -> Result<()> {
    match tree {
        Some(tree) if tree.entry_count > WALK_COUNT_MAX => Err(Error::new(
            ErrorKind::Unsupported,
            format!("there are {} entries, more than {WALK_COUNT_MAX}", tree.entry_count),
        )),
        _ => Ok(()),
    }
}

/// An entry that is encoded already, with what its directory adds up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEntry {
    /// Raw bytes of the name.
    pub name: Vec<u8>,
    /// Canonical bytes of the entry.
    pub bytes: Vec<u8>,
    /// One, and all entries below a directory.
    pub entry_count: u64,
    /// Size of a file, or of all files below a directory.
    pub content_bytes: u64,
}

impl EncodedEntry {
    /// Encodes `entry`.
    pub fn new(entry: &Entry) -> Self {
        let (below, content_bytes) = match &entry.tree {
            Some(tree) => (tree.entry_count, tree.content_bytes),
            None => (0, entry.size.unwrap_or(0)),
        };
        Self {
            name: entry.name.clone(),
            bytes: entry.encode(),
            entry_count: 1 + below,
            content_bytes,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Level {
    first: Vec<u8>,
    body: Vec<u8>,
    count: usize,
    entry_count: u64,
    content_bytes: u64,
}

/// Gathers the entries of one directory in the order of their names, storing full nodes.
#[derive(Clone, Debug)]
pub struct TreeBuilder<'a> {
    keyring: &'a Keyring,
    levels: Vec<Level>,
}

impl<'a> TreeBuilder<'a> {
    /// An empty directory.
    pub fn new(keyring: &'a Keyring) -> Self {
        Self { keyring, levels: Vec::new() }
    }

    /// Adds the entry with the next name.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn push(&mut self, entry: &EncodedEntry, put: &mut PutMetadata<'_>) -> Result<()> {
        self.push_at(0, &entry.name, &entry.bytes, entry.entry_count, entry.content_bytes, put)
    }

    /// The reference to the top node; absent for an empty directory.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn finish(mut self, put: &mut PutMetadata<'_>) -> Result<Option<TreeRef>> {
        let mut level = 0;
        while level < self.levels.len() {
            let node = std::mem::take(&mut self.levels[level]);
            let is_top = level + 1 == self.levels.len();
            if is_top && (level == 0 || node.count > 1) && node.count > 0 {
                let id = put(assemble(level as u8, node.count, &node.body))?;
                return Ok(Some(TreeRef {
                    id,
                    level: level as u8,
                    entry_count: node.entry_count,
                    content_bytes: node.content_bytes,
                }));
            }
            if is_top && node.count == 1 {
                // The only child of a branch is the directory itself.
                let child: Child = wire::decode(&node.body, usize::MAX)
                    .expect("the child was encoded by this builder");
                return Ok(Some(TreeRef {
                    id: child.id,
                    level: level as u8 - 1,
                    entry_count: child.entry_count,
                    content_bytes: child.content_bytes,
                }));
            }
            if node.count > 0 {
                self.close_node(level, node, put)?;
            }
            level += 1;
        }
        Ok(None)
    }

    fn push_at(
        &mut self,
        level: usize,
        name: &[u8],
        bytes: &[u8],
        entry_count: u64,
        content_bytes: u64,
        put: &mut PutMetadata<'_>,
    ) -> Result<()> {
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Level::default);
        }
        let node = &mut self.levels[level];
        if node.count == 0 {
            node.first = name.to_vec();
        }
        node.body.extend_from_slice(bytes);
        node.count += 1;
        node.entry_count += entry_count;
        node.content_bytes = node.content_bytes.saturating_add(content_bytes);
        if ends_node(level as u8, self.keyring.name_hash(name), node.count, node.body.len()) {
            let node = std::mem::take(node);
            self.close_node(level, node, put)?;
        }
        Ok(())
    }

    fn close_node(&mut self, level: usize, node: Level, put: &mut PutMetadata<'_>) -> Result<()> {
        assert!(level < usize::from(LEVEL_MAX), "no directory has that many names");
        let child = Child {
            id: put(assemble(level as u8, node.count, &node.body))?,
            first: node.first,
            entry_count: node.entry_count,
            content_bytes: node.content_bytes,
        };
        let (entry_count, content_bytes) = (child.entry_count, child.content_bytes);
        let bytes = wire::encode(&child);
        self.push_at(level + 1, &child.first, &bytes, entry_count, content_bytes, put)
    }
}

/// Walks the entries of one directory in the order of their names.
pub struct Walk<'a> {
    reader: &'a Reader<'a>,
    stack: Vec<Pending>,
    leaf: std::vec::IntoIter<Entry>,
    /// Last name of the leaf before, which the next one must not go back behind.
    last: Vec<u8>,
    /// Names before this one are passed over.
    start: Vec<u8>,
}

/// A node that is still to be read.
struct Pending {
    id: ChunkId,
    level: u8,
    /// First name that the parent promised.
    first: Option<Vec<u8>>,
    /// Entries and bytes that the parent promised.
    sums: (u64, u64),
}

impl<'a> Walk<'a> {
    /// Starts at the top node of a directory.
    pub fn new(reader: &'a Reader<'a>, tree: Option<&TreeRef>) -> Self {
        Self::starting_at(reader, tree, b"")
    }

    /// As [`Walk::new`], from the name `start` on, or from the next one where that is not there.
    /// Nodes that end before it are not read.
    pub fn starting_at(reader: &'a Reader<'a>, tree: Option<&TreeRef>, start: &[u8]) -> Self {
        let top = tree.map(|t| Pending {
            id: t.id,
            level: t.level,
            first: None,
            sums: (t.entry_count, t.content_bytes),
        });
        let stack = top.into_iter().collect();
        let (leaf, last) = (Vec::new().into_iter(), Vec::new());
        Self { reader, stack, leaf, last, start: start.to_vec() }
    }

    fn read_node(&mut self, pending: Pending) -> Result<()> {
        let Pending { id, level, first, sums } = pending;
        let raw = self.reader.chunk(FrameKind::Metadata, &id)?;
        let node = Node::decode(&raw, level).map_err(|error| damaged_chunk(&id, error))?;
        let found = match &node {
            Node::Leaf(entries) => entries.first().map(|e| &e.name),
            Node::Branch(_, children) => children.first().map(|c| &c.first),
        };
        let is_promised = first.is_none() || found == first.as_ref();
        let is_ascending = found.is_some_and(|name| *name > self.last);
        if !is_promised || !is_ascending || sums_of(&node) != Some(sums) {
            return Err(damaged_chunk(&id, DecodeError::Inconsistent));
        }
        match node {
            Node::Leaf(entries) => {
                if let Some(last) = entries.last() {
                    self.last.clone_from(&last.name);
                }
                self.leaf = entries.into_iter();
                let passed = self.leaf.as_slice().partition_point(|e| e.name < self.start);
                self.leaf.by_ref().take(passed).for_each(drop);
            }
            Node::Branch(_, children) => {
                // The last node that does not start behind it may hold it.
                let passed = children.partition_point(|child| child.first <= self.start);
                let wanted = children.into_iter().skip(passed.saturating_sub(1));
                self.stack.extend(wanted.collect::<Vec<_>>().into_iter().rev().map(|child| {
                    Pending {
                        id: child.id,
                        level: level - 1,
                        first: Some(child.first),
                        sums: (child.entry_count, child.content_bytes),
                    }
                }));
            }
        }
        Ok(())
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry>;

    /// The next entry, or an error for a node that cannot be read; the walk goes on behind it.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Some(Ok(entry));
            }
            let pending = self.stack.pop()?;
            if let Err(error) = self.read_node(pending) {
                return Some(Err(error));
            }
        }
    }
}

/// Entries and bytes below a node, as [`TreeBuilder`] adds them up; `None` past 2^64 entries.
pub fn sums_of(node: &Node) -> Option<(u64, u64)> {
    let add = |(entries, bytes): (u64, u64), (more, content): (u64, u64)| {
        Some((entries.checked_add(more)?, bytes.saturating_add(content)))
    };
    match node {
        Node::Leaf(entries) => entries.iter().try_fold((0, 0), |sums, entry| {
            let (below, bytes) = match &entry.tree {
                Some(tree) => (tree.entry_count, tree.content_bytes),
                None => (0, entry.size.unwrap_or(0)),
            };
            add(add(sums, (1, bytes))?, (below, 0))
        }),
        Node::Branch(_, children) => {
            children.iter().try_fold((0, 0), |sums, c| add(sums, (c.entry_count, c.content_bytes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::RepositoryId;
    use crate::format::entry::EntryKind;
    use crate::seal::keys::Roots;
    use std::collections::HashMap;

    type Nodes = HashMap<ChunkId, Vec<u8>>;

    fn build(keyring: &Keyring, names: &[String]) -> (Option<TreeRef>, Nodes) {
        let mut stored = HashMap::new();
        let mut put = |raw: Vec<u8>| {
            let id = keyring.chunk_id(FrameKind::Metadata, &raw);
            stored.insert(id, raw);
            Ok(id)
        };
        let mut builder = TreeBuilder::new(keyring);
        for name in names {
            let mut entry = Entry::new(name.as_bytes(), EntryKind::Fifo);
            entry.mode = 0o644;
            builder.push(&EncodedEntry::new(&entry), &mut put).expect("storing works");
        }
        let tree = builder.finish(&mut put).expect("storing works");
        (tree, stored)
    }

    fn flatten(id: &ChunkId, level: u8, stored: &Nodes, out: &mut Vec<String>) {
        match Node::decode(&stored[id], level).expect("it decodes") {
            Node::Leaf(entries) => out.extend(
                entries.into_iter().map(|e| String::from_utf8(e.name).expect("names are ASCII")),
            ),
            Node::Branch(_, children) => {
                for child in children {
                    flatten(&child.id, level - 1, stored, out);
                }
            }
        }
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("file-{n:07}")).collect()
    }

    #[test]
    fn directories_of_every_size_come_back() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        for count in [0, 1, 255, 256, 257, 5000, 100_000] {
            let names = names(count);
            let (tree, stored) = build(&keyring, &names);
            let mut found = Vec::new();
            if let Some(tree) = tree {
                assert_eq!(tree.entry_count, count as u64);
                flatten(&tree.id, tree.level, &stored, &mut found);
            }
            assert_eq!(found, names);
        }
    }

    #[test]
    fn one_new_name_rewrites_one_node_a_level() {
        let keyring = Keyring::new(RepositoryId::new([1; 32]), Roots::random());
        let mut names = names(100_000);
        let (_, before) = build(&keyring, &names);
        names.insert(50_000, "file-0049999a".into());
        let (tree, after) = build(&keyring, &names);
        let new = after.keys().filter(|id| !before.contains_key(id)).count();
        let levels = usize::from(tree.expect("it is not empty").level) + 1;
        assert!(new <= 2 * levels, "{new} nodes are new at {levels} levels");
    }
}
