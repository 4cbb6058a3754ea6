//! Which paths a list of patterns matches, with restic's rules.
//!
//! Patterns are compared with the absolute path of an entry, name by name:
//!
//! - A name is matched as Go's `filepath.Match` does: `*`, `?`, `[a-z]`, `[^a-z]`, `\` before a
//!   character that is meant as it is. `**` stands for any number of names, also none.
//! - A pattern that starts with `/` starts at the root; any other may start at every depth.
//! - What lies below a match is matched as well.
//! - A pattern that starts with `!` takes back what those before it matched: of all patterns that
//!   match, the last one decides.
//!
//! Nothing is matched twice on the way down a tree: a [`Level`] is what is known at a directory.
//!
//! ```
//! use parados::base::pattern::{Case, Patterns};
//!
//! let mut patterns = Patterns::new(Case::Sensitive);
//! for pattern in ["*.o", "/home/me/*", "!/home/me/work"] {
//!     patterns.add(pattern.as_bytes())?;
//! }
//! assert!(patterns.is_match_path(b"/home/me/music/a.ogg"));
//! assert!(!patterns.is_match_path(b"/home/me/work/main.c"));
//!
//! // The same, on the way down.
//! let mut level = patterns.top();
//! for name in ["home", "me"] {
//!     level = patterns.enter(&level, name.as_bytes());
//! }
//! assert!(patterns.is_match(&level, b"music"));
//! assert!(!patterns.is_match(&level, b"work"));
//! assert!(patterns.may_match_below(&level));
//! # Ok::<(), parados::base::pattern::PatternError>(())
//! ```

mod component;
mod parse;

use std::borrow::Cow;
use std::collections::HashMap;

use component::{Component, Name};
use parse::Pattern;

/// Longest pattern in bytes: that of the longest path a person could mean.
pub const LEN_MAX: usize = 64 << 10;
/// Most patterns in a list.
pub const COUNT_MAX: usize = 1 << 20;

/// Why a pattern cannot be used. Completes "could not use the pattern ...:".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A class has no end.
    #[error("a `[` has no `]`")]
    OpenClass,
    /// A class has nothing before this character.
    #[error("a `{0}` inside of `[...]` needs a backslash before it")]
    EmptyRange(char),
    /// Nothing follows a backslash.
    #[error("nothing follows the last backslash")]
    LoneBackslash,
    /// A class has bytes that are no text.
    #[error("what is inside of `[...]` is not UTF-8")]
    RawClass,
    /// It is longer than any path, or takes too much memory.
    #[error("it is too long")]
    TooLong,
    /// There are too many.
    #[error("there are more than {COUNT_MAX} patterns")]
    TooMany,
}

/// Whether upper and lower case differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// They do.
    #[default]
    Sensitive,
    /// They do not: patterns and names are compared in lower case.
    Insensitive,
}

/// A list of patterns, in the order they were given.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    case: Case,
    all: Vec<Pattern>,
    /// Patterns of one literal name at any depth; of equal ones, the last.
    literals: HashMap<Box<[u8]>, usize>,
    /// Patterns of one name that ends in a dot with what follows it, at any depth, such as `*.o`.
    extensions: HashMap<Box<[u8]>, usize>,
    /// Further patterns of one name at any depth.
    singles: Vec<usize>,
    /// Where patterns of several names may start at any depth.
    floating: Vec<State>,
    /// What is known at the root.
    top: Level,
}

/// A pattern of one name, without any meaning of `/`, `!` or `**`.
#[derive(Clone, Debug)]
pub struct NamePattern(Component);

impl NamePattern {
    /// Reads it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(text: &[u8]) -> Result<Self, PatternError> {
        if text.len() > LEN_MAX {
            Err(PatternError::TooLong)
        } else {
            Component::new(text).map(Self)
        }
    }

    /// Whether it matches `name`.
    pub fn is_match(&self, name: &[u8]) -> bool {
        self.0.is_match(&Name::new(name))
    }

    /// Whether `text` is more than the name it spells.
    pub fn is_wild(text: &[u8]) -> bool {
        text.iter().any(|byte| b"*?[\\".contains(byte))
    }
}

/// What is known at a directory: the patterns that match it already, and those of which it matches
/// the beginning.
#[derive(Clone, Debug, Default)]
pub struct Level {
    /// The last pattern that matches this directory or one above.
    matched: Option<usize>,
    open: Vec<State>,
}

/// A pattern of which `next` components have been found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    pattern: usize,
    next: usize,
}

impl Patterns {
    /// An empty list.
    pub fn new(case: Case) -> Self {
        Self { case, ..Self::default() }
    }

    /// Adds a pattern; an empty one is ignored.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn add(&mut self, text: &[u8]) -> Result<(), PatternError> {
        if self.all.len() >= COUNT_MAX {
            return Err(PatternError::TooMany);
        }
        let Some(pattern) = Pattern::new(&self.fold(text))? else { return Ok(()) };
        let index = self.all.len();
        self.all.push(pattern);
        let pattern = &self.all[index];
        match &pattern.components[..] {
            [Component::Literal(name)] if !pattern.is_anchored => {
                self.literals.insert(name.clone(), index);
            }
            [Component::Ends { prefix, suffix }]
                if !pattern.is_anchored
                    && prefix.is_empty()
                    && !suffix.is_empty()
                    && extension(suffix) == suffix.len() =>
            {
                self.extensions.insert(suffix.clone(), index);
            }
            [one] if !pattern.is_anchored && !matches!(one, Component::AnyDepth) => {
                self.singles.push(index);
            }
            _ => self.start(index),
        }
        Ok(())
    }

    /// Notes where a pattern may begin.
    fn start(&mut self, index: usize) {
        let mut level = std::mem::take(&mut self.top);
        let before = level.open.len();
        self.found(&mut level, State { pattern: index, next: 0 });
        if !self.all[index].is_anchored {
            self.floating.extend(level.open.drain(before..));
        }
        self.top = level;
    }

    /// Whether no pattern was added.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What is known at the root directory.
    pub fn top(&self) -> Level {
        self.top.clone()
    }

    /// What is known at the directory `name` of a directory.
    #[must_use]
    pub fn enter(&self, level: &Level, name: &[u8]) -> Level {
        let name = self.fold(name);
        let name = Name::new(&name);
        let mut below = Level { matched: self.single(level.matched, &name), open: Vec::new() };
        for state in level.open.iter().chain(&self.floating) {
            match &self.all[state.pattern].components[state.next] {
                Component::AnyDepth => self.found(&mut below, *state),
                component if component.is_match(&name) => {
                    self.found(&mut below, State { next: state.next + 1, ..*state });
                }
                _ => {}
            }
        }
        // `a/**/b` finds its `**` again at each `a`.
        below.open.sort_unstable();
        below.open.dedup();
        below
    }

    /// Notes a state with those that follow from it, since `**` may stand for nothing.
    fn found(&self, level: &mut Level, state: State) {
        let pattern = &self.all[state.pattern];
        if pattern.is_done_at(state.next) {
            level.matched = level.matched.max(Some(state.pattern));
            return;
        }
        level.open.push(state);
        if matches!(pattern.components[state.next], Component::AnyDepth) {
            self.found(level, State { next: state.next + 1, ..state });
        }
    }

    /// Whether the entry `name` of a directory is matched.
    pub fn is_match(&self, level: &Level, name: &[u8]) -> bool {
        let name = self.fold(name);
        let name = Name::new(&name);
        let mut last = self.single(level.matched, &name);
        for state in level.open.iter().chain(&self.floating) {
            let pattern = &self.all[state.pattern];
            if Some(state.pattern) > last
                && pattern.is_done_at(state.next + 1)
                && pattern.components[state.next].is_match(&name)
            {
                last = Some(state.pattern);
            }
        }
        self.decides(last)
    }

    /// Whether the directory is matched, and with it all that lies below and is not taken back.
    pub fn is_match_at(&self, level: &Level) -> bool {
        self.decides(level.matched)
    }

    /// Whether something below the directory may be matched.
    pub fn may_match_below(&self, level: &Level) -> bool {
        let starts = self.literals.values().chain(self.extensions.values()).chain(&self.singles);
        let open = level.open.iter().chain(&self.floating).map(|state| state.pattern);
        self.decides(level.matched)
            || open.chain(starts.copied()).any(|index| !self.all[index].is_negated)
    }

    /// Whether an absolute path is matched.
    pub fn is_match_path(&self, path: &[u8]) -> bool {
        let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        self.is_match_at(&names.fold(self.top(), |level, name| self.enter(&level, name)))
    }

    /// The last of the patterns of one name at any depth that matches, if it comes after `last`.
    fn single(&self, mut last: Option<usize>, name: &Name<'_>) -> Option<usize> {
        if let Some(index) = self.literals.get(name.bytes) {
            last = last.max(Some(*index));
        }
        if !self.extensions.is_empty() {
            let start = name.bytes.len() - extension(name.bytes);
            last = last.max(self.extensions.get(&name.bytes[start..]).copied());
        }
        let later = self.singles.iter().rev().take_while(|index| Some(**index) > last);
        let found = later.copied().find(|index| self.all[*index].components[0].is_match(name));
        last.max(found)
    }

    fn decides(&self, last: Option<usize>) -> bool {
        last.is_some_and(|index| !self.all[index].is_negated)
    }

    fn fold<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        match self.case {
            Case::Sensitive => Cow::Borrowed(text),
            Case::Insensitive => lower_case(text),
        }
    }
}

/// Bytes of a name from its last dot on; none where it has no dot.
fn extension(name: &[u8]) -> usize {
    name.iter().rposition(|byte| *byte == b'.').map_or(0, |dot| name.len() - dot)
}

/// Lower case, character by character: no character changes for what its neighbors are.
fn lower_case(text: &[u8]) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        let is_lower = !text.iter().any(u8::is_ascii_uppercase);
        return if is_lower { Cow::Borrowed(text) } else { Cow::Owned(text.to_ascii_lowercase()) };
    }
    let mut lower = Vec::with_capacity(text.len());
    for part in text.utf8_chunks() {
        for character in part.valid().chars().flat_map(char::to_lowercase) {
            lower.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        lower.extend_from_slice(part.invalid());
    }
    Cow::Owned(lower)
}

#[cfg(test)]
mod tests;
