//! Reads one pattern, as a person wrote it.

use super::component::Component;
use super::{LEN_MAX, PatternError};

/// Most components. Nothing lies deeper than 1024 directories, and `**` counts as one.
const COMPONENT_COUNT_MAX: usize = 2048;

/// One pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// What the names of a path must look like, one after the other.
    pub(super) components: Vec<Component>,
    /// Whether the first name must be one in the root directory.
    pub(super) is_anchored: bool,
    /// Whether it takes back what patterns before it matched.
    pub(super) is_negated: bool,
}

impl Pattern {
    /// `None` for an empty pattern, which is ignored.
    pub(super) fn new(text: &[u8]) -> Result<Option<Self>, PatternError> {
        if text.len() > LEN_MAX {
            return Err(PatternError::TooLong);
        }
        if text.is_empty() {
            return Ok(None);
        }
        let (is_negated, text) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let is_anchored = text.starts_with(b"/");
        let names = clean(text, is_anchored);
        if names.len() > COMPONENT_COUNT_MAX {
            return Err(PatternError::TooLong);
        }
        let components = names.into_iter().map(Component::new).collect::<Result<_, _>>()?;
        Ok(Some(Self { components, is_anchored, is_negated }))
    }

    /// Whether the components from `next` on may stand for no name at all.
    pub(super) fn is_done_at(&self, next: usize) -> bool {
        self.components[next..].iter().all(|c| matches!(c, Component::AnyDepth))
    }
}

/// The components without `.`, `..` and empty ones, as Go's `filepath.Clean` takes them out: as
/// text. What leads to the directory it started in is `.`, which is the name of nothing.
fn clean(text: &[u8], is_anchored: bool) -> Vec<&[u8]> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in text.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if names.last().is_some_and(|last| *last != b"..") => {
                names.pop();
            }
            b".." if is_anchored => {}
            name => names.push(name),
        }
    }
    if names.is_empty() && !is_anchored {
        names.push(b".");
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_text() {
        let rows: &[(&str, &[&str])] = &[
            ("a/b", &["a", "b"]),
            ("/a//b/", &["a", "b"]),
            ("./a/./b", &["a", "b"]),
            ("/a/../b", &["b"]),
            ("/../../a", &["a"]),
            ("a/../..", &[".."]),
            ("../../a", &["..", "..", "a"]),
            ("a/..", &["."]),
            ("", &["."]),
            (".", &["."]),
            ("/", &[]),
            ("/..", &[]),
            ("a/**/../b", &["a", "b"]),
        ];
        for (text, expect) in rows {
            let names = clean(text.as_bytes(), text.starts_with('/'));
            let names: Vec<&str> =
                names.into_iter().map(|name| std::str::from_utf8(name).unwrap()).collect();
            assert_eq!(names, *expect, "{text}");
        }
    }

    #[test]
    fn a_pattern_has_a_limit() {
        let at_most = |text: &[u8]| Pattern::new(text).map(|pattern| pattern.is_some());
        assert_eq!(at_most(&b"a".repeat(LEN_MAX)), Ok(true));
        assert_eq!(at_most(&b"a".repeat(LEN_MAX + 1)), Err(PatternError::TooLong));
        assert_eq!(at_most(&b"a/".repeat(COMPONENT_COUNT_MAX)), Ok(true));
        assert_eq!(at_most(&b"a/".repeat(COMPONENT_COUNT_MAX + 1)), Err(PatternError::TooLong));
        assert_eq!(at_most(b""), Ok(false));
    }
}
