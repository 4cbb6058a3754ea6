//! Matches one name with one component of a pattern, by the rules of Go's `filepath.Match`.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};

use super::{NamePattern, PatternError};

/// Bytes that a compiled component may take; names have at most 255 bytes.
const COMPILED_LEN_MAX: usize = 4 << 20;
/// Stands for the byte 0 of a name that is not UTF-8: a private plane that nobody uses in names.
const RAW_BYTE: u32 = 0x10_ff00;

/// What a name must look like.
#[derive(Clone, Debug)]
pub(super) enum Component {
    /// `**`: any number of names, also none.
    AnyDepth,
    /// Exactly this.
    Literal(Box<[u8]>),
    /// One `*` between two fixed ends: most patterns that people write.
    Ends { prefix: Box<[u8]>, suffix: Box<[u8]> },
    /// Anything else, with the fixed ends it has: most names fail there at little cost.
    Other { prefix: Box<[u8]>, suffix: Box<[u8]>, regex: Regex },
}

/// A name, with what matching it needs more than once.
pub(super) struct Name<'a> {
    pub(super) bytes: &'a [u8],
    text: OnceCell<Cow<'a, str>>,
}

impl<'a> Name<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, text: OnceCell::new() }
    }

    fn text(&self) -> &str {
        self.text.get_or_init(|| text_of(self.bytes))
    }
}

impl Component {
    /// Reads one component, which has no slash.
    pub(super) fn new(pattern: &[u8]) -> Result<Self, PatternError> {
        if pattern == b"**" {
            return Ok(Self::AnyDepth);
        }
        if !NamePattern::is_wild(pattern) {
            return Ok(Self::Literal(pattern.into()));
        }
        let pieces = parse(&text_of(pattern))?;
        let mut middle = &pieces[..];
        while let [Piece::One(_), rest @ ..] = middle {
            middle = rest;
        }
        let prefix = bytes_of(&pieces[..pieces.len() - middle.len()]);
        let behind = middle.iter().rev().take_while(|piece| matches!(piece, Piece::One(_))).count();
        let (middle, end) = middle.split_at(middle.len() - behind);
        let suffix = bytes_of(end);
        Ok(match middle {
            [] => Self::Literal(prefix),
            [Piece::Star] => Self::Ends { prefix, suffix },
            _ => Self::Other { prefix, suffix, regex: compile(&pieces)? },
        })
    }

    /// Whether `name` is what this asks for.
    pub(super) fn is_match(&self, name: &Name<'_>) -> bool {
        match self {
            Self::AnyDepth => true,
            Self::Literal(literal) => **literal == *name.bytes,
            Self::Ends { prefix, suffix } => has_ends(name.bytes, prefix, suffix),
            Self::Other { prefix, suffix, regex } => {
                has_ends(name.bytes, prefix, suffix) && regex.is_match(name.text())
            }
        }
    }
}

fn has_ends(name: &[u8], prefix: &[u8], suffix: &[u8]) -> bool {
    name.len() >= prefix.len() + suffix.len() && name.starts_with(prefix) && name.ends_with(suffix)
}

/// `bytes` as text in which each byte that is no UTF-8 is one private character: to wildcards it is
/// one character, and it equals itself only.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() * 2);
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        text.extend(part.invalid().iter().filter_map(|b| char::from_u32(RAW_BYTE + u32::from(*b))));
    }
    Cow::Owned(text)
}

/// The bytes that [`text_of`] made these characters of.
fn bytes_of(pieces: &[Piece]) -> Box<[u8]> {
    let mut bytes = Vec::new();
    for piece in pieces {
        let Piece::One(character) = piece else { continue };
        match u32::from(*character).checked_sub(RAW_BYTE) {
            Some(byte @ 0x80..=0xff) => bytes.push(byte as u8),
            _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes.into_boxed_slice()
}

/// What a component is made of.
enum Piece {
    One(char),
    /// `?`
    Any,
    /// `*`, or several in a row.
    Star,
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
}

fn parse(text: &str) -> Result<Vec<Piece>, PatternError> {
    let mut pieces = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        pieces.push(match character {
            '*' if matches!(pieces.last(), Some(Piece::Star)) => continue,
            '*' => Piece::Star,
            '?' => Piece::Any,
            '\\' => Piece::One(rest.next().ok_or(PatternError::LoneBackslash)?),
            '[' => parse_class(&mut rest)?,
            other => Piece::One(other),
        });
    }
    Ok(pieces)
}

/// Reads what stands behind a `[`, up to its `]`.
fn parse_class(rest: &mut Peekable<Chars<'_>>) -> Result<Piece, PatternError> {
    let is_negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
        let low = class_character(rest)?;
        let high = match rest.next_if_eq(&'-') {
            Some(_) => class_character(rest)?,
            None => low,
        };
        ranges.push((low, high));
    }
    Ok(Piece::Class { is_negated, ranges })
}

fn class_character(rest: &mut Peekable<Chars<'_>>) -> Result<char, PatternError> {
    let character = match rest.next().ok_or(PatternError::OpenClass)? {
        ']' => return Err(PatternError::EmptyRange(']')),
        '-' => return Err(PatternError::EmptyRange('-')),
        '\\' => rest.next().ok_or(PatternError::LoneBackslash)?,
        other => other,
    };
    if u32::from(character) >= RAW_BYTE { Err(PatternError::RawClass) } else { Ok(character) }
}

fn compile(pieces: &[Piece]) -> Result<Regex, PatternError> {
    let mut text = String::from("^");
    for piece in pieces {
        match piece {
            Piece::One(character) => text.push_str(&code(*character)),
            Piece::Any => text.push('.'),
            Piece::Star => text.push_str(".*"),
            Piece::Class { is_negated, ranges } => text.push_str(&class(*is_negated, ranges)),
        }
    }
    text.push('$');
    RegexBuilder::new(&text)
        .dot_matches_new_line(true)
        .size_limit(COMPILED_LEN_MAX)
        .build()
        .map_err(|_| PatternError::TooLong)
}

fn class(is_negated: bool, ranges: &[(char, char)]) -> String {
    // A range that runs backward holds nothing.
    let ranges = ranges.iter().filter(|(low, high)| low <= high);
    let inner: String =
        ranges.map(|(low, high)| format!("{}-{}", code(*low), code(*high))).collect();
    match (is_negated, inner.is_empty()) {
        (true, true) => ".".to_owned(),
        (false, true) => "[^\\x{0}-\\x{10ffff}]".to_owned(),
        (true, false) => format!("[^{inner}]"),
        (false, false) => format!("[{inner}]"),
    }
}

/// A character by its number, so that none means anything else to the regular expression.
fn code(character: char) -> String {
    format!("\\x{{{:x}}}", u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &[u8], name: &[u8]) -> bool {
        Component::new(pattern).unwrap().is_match(&Name::new(name))
    }

    #[test]
    fn names_match_as_in_go() {
        // Each row was also put to Go 1.26, which agreed.
        let rows: &[(&str, &[&str], &[&str])] = &[
            ("abc", &["abc"], &["ab", "abcd", "ABC", ""]),
            ("*", &["", "a", ".hidden", "\n", "a\nb"], &[]),
            ("*.log", &[".log", "a.log", ".a.log"], &["log", "a.log.1", "a.LOG"]),
            ("core*", &["core", "core.12"], &["score", "cor"]),
            ("ab*ba", &["abba", "abxba"], &["aba", "ab", "xabba"]),
            ("*~", &["~", "x~"], &["~x"]),
            ("a**b", &["ab", "axxb"], &["a", "ba"]),
            ("*a*b*", &["ab", "xaxbx", "aabb"], &["ba", "a"]),
            ("?", &["a", "\u{e9}", "\u{20ac}", "\n"], &["", "ab"]),
            ("a?c", &["abc", "a\u{1f30d}c"], &["ac", "abbc"]),
            ("[abc]", &["a", "c"], &["d", "", "ab"]),
            ("[^abc]", &["d", "\u{e9}", "^"], &["a", ""]),
            ("[!a]", &["!", "a"], &["b"]),
            ("[a-c^]x", &["bx", "^x"], &["dx", "-x"]),
            ("[\\]\\-\\\\]", &["]", "-", "\\"], &["a", "["]),
            ("[[]", &["["], &["]"]),
            ("[c-a]", &[], &["a", "b", "c"]),
            ("[^c-a]", &["b", "z"], &[""]),
            ("[\u{e0}-\u{ef}]*", &["\u{e9}t\u{e9}"], &["ete"]),
            ("\\*", &["*"], &["a", "\\*"]),
            ("\\[x\\]", &["[x]"], &["x"]),
            ("{a,b}", &["{a,b}"], &["a", "b"]),
            ("a]b", &["a]b"], &["ab"]),
            ("(a+b).$^|#&", &["(a+b).$^|#&"], &["aab"]),
            ("?(a+b).$^|#&", &["x(a+b).$^|#&"], &["xaab"]),
            ("a?b*c?d", &["axbcxd", "a.bxc.d"], &["axbcd", "xaxbcxd", "axbcxdx", "abcd"]),
            ("*.[oa]", &["x.o", ".a", "x.y.o"], &["x.c", "x.oo"]),
        ];
        for (pattern, fit, others) in rows {
            for name in *fit {
                assert!(is_match(pattern.as_bytes(), name.as_bytes()), "{pattern:?} {name:?}");
            }
            for name in *others {
                assert!(!is_match(pattern.as_bytes(), name.as_bytes()), "{pattern:?} {name:?}");
            }
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_characters_of_their_own() {
        let rows: &[(&[u8], &[u8], bool)] = &[
            (b"a\xff", b"a\xff", true),
            (b"a\xff", b"a\xfe", false),
            (b"*\xff", b"x\xff", true),
            (b"*\xff*\xfe", b"x\xffx\xfe", true),
            (b"*\xff*\xfe", b"x\xfex\xfe", false),
            (b"??", b"\xff\xfe", true),
            (b"??", b"\xff", false),
            (b"[^a]", b"\xff", true),
            (b"\\\xff?", b"\xffa", true),
            ("?".as_bytes(), "\u{10ffff}".as_bytes(), true),
        ];
        for (pattern, name, expect) in rows {
            assert_eq!(is_match(pattern, name), *expect, "{pattern:?} {name:?}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        let rows: &[(&[u8], PatternError)] = &[
            (b"[", PatternError::OpenClass),
            (b"a[b", PatternError::OpenClass),
            (b"[^", PatternError::OpenClass),
            (b"[a-", PatternError::OpenClass),
            (b"[]", PatternError::EmptyRange(']')),
            (b"[]a]", PatternError::EmptyRange(']')),
            (b"[^]", PatternError::EmptyRange(']')),
            (b"[-a]", PatternError::EmptyRange('-')),
            (b"[a-]", PatternError::EmptyRange(']')),
            (b"[a--]", PatternError::EmptyRange('-')),
            (b"*[._]log[.-][0-9]", PatternError::EmptyRange(']')),
            (b"\\", PatternError::LoneBackslash),
            (b"*a\\", PatternError::LoneBackslash),
            (b"[\\", PatternError::LoneBackslash),
            (b"[\xff]", PatternError::RawClass),
            (b"[\\\xff]", PatternError::RawClass),
        ];
        for (pattern, expect) in rows {
            let error = Component::new(pattern).unwrap_err();
            assert_eq!(error, *expect, "{:?}", String::from_utf8_lossy(pattern));
        }
        let long = [&b"?".repeat(200_000)[..], b"[a]"].concat();
        assert_eq!(Component::new(&long).unwrap_err(), PatternError::TooLong);
    }
}
