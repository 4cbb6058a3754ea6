//! The vectors of the format document, as text.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// One fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) section: String,
    pub(crate) name: String,
    lines: BTreeMap<String, String>,
    /// Keys that the block has itself, in contrast to those it takes from another.
    own: BTreeSet<String>,
    asked: RefCell<BTreeSet<String>>,
}

impl Case {
    /// A case made by hand.
    pub(crate) fn new(section: &str, name: &str, lines: &[(&str, String)]) -> Self {
        let lines: BTreeMap<_, _> =
            lines.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Self {
            section: section.to_owned(),
            name: name.to_owned(),
            own: lines.keys().cloned().collect(),
            lines,
            asked: RefCell::default(),
        }
    }

    /// The same case with another value.
    pub(crate) fn with(&self, key: &str, value: String) -> Self {
        let mut other = self.clone();
        other.lines.insert(key.to_owned(), value);
        other
    }

    /// The value of a key that may be missing.
    pub(crate) fn maybe(&self, key: &str) -> Option<&str> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.lines.get(key).map(String::as_str)
    }

    /// The value of a key.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.maybe(key).unwrap_or_else(|| panic!("{self}: there is no `{key}`"))
    }

    /// The value of a key as bytes.
    pub(crate) fn bytes(&self, key: &str) -> Vec<u8> {
        unhex(self.text(key)).unwrap_or_else(|| panic!("{self}: `{key}` is not hexadecimal"))
    }

    /// The value of a key as an array.
    pub(crate) fn array<const N: usize>(&self, key: &str) -> [u8; N] {
        self.bytes(key).try_into().unwrap_or_else(|_| panic!("{self}: `{key}` has {N} bytes"))
    }

    /// The value of a key as a number.
    pub(crate) fn number(&self, key: &str) -> u64 {
        let text = self.text(key);
        text.parse().unwrap_or_else(|_| panic!("{self}: `{key}` is no number: {text}"))
    }

    /// The reason to refuse it.
    pub(crate) fn error(&self) -> Option<&str> {
        self.maybe("error")
    }

    /// Lines that nothing asked for: results to compare.
    pub(crate) fn unasked(&self) -> impl Iterator<Item = (&str, &str, bool)> {
        let asked = self.asked.borrow().clone();
        self.lines
            .iter()
            .filter(move |(key, _)| !asked.contains(*key))
            .map(|(key, value)| (key.as_str(), value.as_str(), self.own.contains(key)))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "vector {} {}", self.section, self.name)
    }
}

/// Reads all blocks of a document, with what they take from each other put in.
pub(crate) fn cases(document: &str) -> Vec<Case> {
    let mut found: Vec<Case> = Vec::new();
    let mut inside = false;
    let mut last = String::new();
    for line in document.lines() {
        if inside && line.starts_with("```") {
            inside = false;
        } else if let Some(info) = line.strip_prefix("```vector ") {
            inside = true;
            let words: Vec<_> = info.split_whitespace().collect();
            let [section, name] = words[..] else { panic!("not understood: {line}") };
            assert!(
                !found.iter().any(|c| c.section == section && c.name == name),
                "{section} {name} exists twice"
            );
            found.push(Case::new(section, name, &[]));
        } else if inside {
            let case = found.last_mut().expect("a block has begun");
            if let Some(more) = line.strip_prefix("  ") {
                let value = case.lines.get_mut(&last).expect("a key precedes");
                if !value.is_empty() {
                    value.push(' ');
                }
                value.push_str(more.trim());
            } else {
                let (key, value) = line
                    .split_once(':')
                    .unwrap_or_else(|| panic!("{case}: not understood: {line}"));
                let value = value.trim().to_owned();
                assert!(
                    case.lines.insert(key.to_owned(), value).is_none(),
                    "{case}: `{key}` stands twice"
                );
                case.own.insert(key.to_owned());
                last = key.to_owned();
            }
        }
    }
    assert!(!inside, "the last block has no end");
    for index in 0..found.len() {
        let derived = derive(&found[index], &found);
        found[index] = derived;
    }
    found
}

/// Puts in what a case takes from another one, changed as it says.
pub(crate) fn derive(case: &Case, all: &[Case]) -> Case {
    let Some(from) = case.lines.get("from") else { return case.clone() };
    let base = all
        .iter()
        .find(|c| c.section == case.section && c.name == *from)
        .unwrap_or_else(|| panic!("{case}: there is no case `{from}`"));
    assert!(!base.lines.contains_key("from"), "{case}: `{from}` is itself derived");
    assert!(base.error().is_none(), "{case}: `{from}` is invalid");
    let mut derived = case.clone();
    for (key, value) in &base.lines {
        derived.lines.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let mut bytes = derived.lines.get("bytes").map(|text| unhex(text).expect("bytes are hex"));
    for edit in ["set", "cut", "append"] {
        let Some(value) = case.lines.get(edit) else { continue };
        let bytes = bytes.as_mut().unwrap_or_else(|| panic!("{case}: nothing to {edit}"));
        let number = |text: &str| text.parse::<usize>().expect("an offset or a length");
        match edit {
            "set" => {
                let (offset, hex) = value.split_once(' ').expect("an offset, then bytes");
                let patch = unhex(hex).expect("bytes are hex");
                let range = number(offset)..number(offset) + patch.len();
                assert_ne!(bytes[range.clone()], patch[..], "{case}: this changes nothing");
                bytes[range].copy_from_slice(&patch);
            }
            "cut" => {
                assert!(number(value) < bytes.len(), "{case}: this changes nothing");
                bytes.truncate(number(value));
            }
            _ => bytes.extend(unhex(value).expect("bytes are hex")),
        }
    }
    if let Some(bytes) = bytes {
        derived.lines.insert("bytes".to_owned(), hex::encode(bytes));
    }
    for key in ["from", "set", "cut", "append"] {
        derived.lines.remove(key);
    }
    derived
}

/// Rows of the table of decoders: section, source, fuzz target.
pub(crate) fn decoders(document: &str) -> Vec<[String; 3]> {
    document
        .lines()
        .skip_while(|line| *line != "| section | source | fuzz target |")
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<_> =
                line.trim_matches('|').split('|').map(|c| c.trim().replace('`', "")).collect();
            cells.try_into().expect("three cells")
        })
        .collect()
}

/// Hexadecimal digits with any white space.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: String = text.split_whitespace().collect();
    hex::decode(digits).ok()
}
