//! Where an entry was found, for messages.

use std::fmt;
use std::sync::Arc;

use crate::base::text::escape;

/// Most directories below one another. A restore goes no deeper either, so that what is backed up
/// can come back; it also bounds the directories that a descent holds open.
pub const DEPTH_MAX: usize = 1024;

/// A path that shares its beginning with its siblings; cloning costs one counter.
#[derive(Clone)]
pub struct SourcePath(Arc<Part>);

struct Part {
    /// Dropping recurses through it, at most [`DEPTH_MAX`] deep.
    parent: Option<SourcePath>,
    name: Box<[u8]>,
    depth: usize,
}

impl SourcePath {
    /// A path without a parent, as it was given: `/`, or any other.
    pub fn new(path: &[u8]) -> Self {
        Self(Arc::new(Part { parent: None, name: path.into(), depth: 0 }))
    }

    /// The path of `name` in this directory.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let depth = self.0.depth + 1;
        Self(Arc::new(Part { parent: Some(self.clone()), name: name.into(), depth }))
    }

    /// Its last component, or the whole path where it has no parent.
    pub fn name(&self) -> &[u8] {
        &self.0.name
    }

    /// Number of components after the first.
    pub fn depth(&self) -> usize {
        self.0.depth
    }

    /// The raw bytes, with a slash between components.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut parts = Vec::with_capacity(self.0.depth + 1);
        let mut part = self;
        parts.push(part.name());
        while let Some(parent) = &part.0.parent {
            part = parent;
            parts.push(part.name());
        }
        let mut bytes = Vec::with_capacity(parts.iter().map(|p| p.len() + 1).sum());
        for name in parts.into_iter().rev() {
            if !bytes.is_empty() && bytes.last() != Some(&b'/') {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(name);
        }
        bytes
    }

    /// The raw bytes of the path of `name` in this directory.
    pub fn bytes_of(&self, name: &[u8]) -> Vec<u8> {
        let mut bytes = self.to_bytes();
        if !name.is_empty() {
            if bytes.last() != Some(&b'/') {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(name);
        }
        bytes
    }
}

impl fmt::Display for SourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escape(&self.to_bytes()))
    }
}

impl fmt::Debug for SourcePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_joined_with_one_slash() {
        let root = SourcePath::new(b"/");
        assert_eq!(root.to_bytes(), b"/");
        assert_eq!(root.bytes_of(b""), b"/");
        assert_eq!(root.join(b"a").join(b"b").to_bytes(), b"/a/b");
        assert_eq!(root.join(b"a").bytes_of(b"b"), b"/a/b");
        assert_eq!(SourcePath::new(b"/srv/x").join(b"y").to_bytes(), b"/srv/x/y");
        assert_eq!(root.join(b"a").join(b"b").depth(), 2);
    }

    #[test]
    fn names_cannot_reach_the_terminal_raw() {
        let path = SourcePath::new(b"/").join("a\n\x1b[31m\u{202e}é".as_bytes());
        assert_eq!(path.to_string(), "/a\\n\\x1b[31m\\u{202e}é");
    }
}
