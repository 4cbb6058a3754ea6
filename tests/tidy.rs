//! Holds the tree to its own papers by searching text.
//!
//! Every check is a pure function from files to faults; `mod selftest` plants one violation of each
//! and sees it found. No parser and no dependency, so that it also runs alone, before anything else
//! is compiled (`docs/testing.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const ARCHITECTURE: &str = "docs/architecture.md";
const GLOSSARY: &str = "docs/glossary.md";
const FORMAT: &str = "docs/format.md";
const MANUAL: &str = "docs/cli.md";
const TESTING: &str = "docs/testing.md";

/// Everything that may stand at the top beside hidden files.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "benches",
    "fuzz",
    "tests",
    "docs",
    "README.md",
    "LICENSE",
];

/// Non-test lines of a file, and lines of a function, above which the size report names them.
const FILE_LINES: usize = 350;
const FUNCTION_LINES: usize = 70;

/// Longest tracked file in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Identifiers of others that contain a word of ours.
const FOREIGN: &[&str] = &["CARGO_MANIFEST_DIR"];

/// Commands that are no operation on a repository.
const NO_OPERATION: &[&str] = &["generate", "unlock", "version"];

/// Files whose decode functions are shared by objects and are none themselves.
const NO_OBJECT: &[&str] = &["src/format/mod.rs", "src/format/wire.rs", "src/seal/aead.rs"];

/// How the functions are called that read what somebody else wrote, by folder.
const DECODERS: &[(&str, &[&str])] =
    &[("src/format/", &["fn decode", "fn parse("]), ("src/seal/", &["fn open", "fn from_text("])];

/// Folders that read neither what is stored in a backend nor what the local cache keeps: the bytes of
/// objects have the table in `docs/format.md`.
const NO_CACHE: &[&str] = &["src/format/", "src/seal/", "src/chunk/", "src/ops/prune/storm.rs"];

/// What gives away that a file reads bytes which this program wrote.
const READS_BYTES: &[&str] = &["fn decode(", "fn decode_", "fn decode<", "Cursor::new("];

/// Where tests say that they could not run, past the test runner.
const SKIPPERS: &[&str] = &[
    "src/base/testing.rs",
    "tests/cli/world.rs",
    "tests/damage/world.rs",
    "tests/spec/python.rs",
    "tests/tidy.rs",
];

/// A word of code that only some places may use, outside of unit tests.
struct Confined {
    word: &'static str,
    homes: &'static [&'static str],
    why: &'static str,
}

const CONFINED: &[Confined] = &[
    Confined {
        word: "from_store",
        // The store of the simulation is a backend, beside those who try it.
        homes: &["src/backend/", "src/seal/", "src/ops/simulation/"],
        why: "only a backend may claim that bytes were sealed before; get them from a Backend",
    },
    Confined {
        word: "from_le_bytes",
        // `chunk` and `seal` turn the output of a keyed hash into numbers, and `chunk` reads headers
        // of other programs' files; they read nothing that is stored.
        homes: &["src/format/wire.rs", "src/chunk/", "src/seal/"],
        why: "stored numbers are read where every length is checked; use format::wire",
    },
    Confined {
        word: "from_be_bytes",
        // Keys of the local index sort by number; ids fall into buckets by their first bytes.
        homes: &["src/index/numbers.rs", "src/index/buckets.rs"],
        why: "stored numbers are read where every length is checked; use format::wire",
    },
    Confined {
        word: "from_ne_bytes",
        homes: &[],
        why: "the byte order of this machine is no format; use format::wire",
    },
    Confined {
        word: "to_ne_bytes",
        homes: &[],
        why: "the byte order of this machine is no format; use format::wire",
    },
    Confined {
        word: "tokio",
        homes: &["src/backend/"],
        why: "the asynchronous world ends at the Backend trait; everything above it is threads",
    },
    Confined {
        word: "object_store",
        homes: &["src/backend/"],
        why: "a backend is reached through the Backend trait",
    },
    Confined {
        word: "rocksdb",
        homes: &["src/index/"],
        why: "the local index is reached through the Index trait, so that it can be left out",
    },
];

// ---------------------------------------------------------------------------------------------
// What a check sees, what it says
// ---------------------------------------------------------------------------------------------

/// A tracked file.
struct File {
    /// Relative to the top, with slashes.
    path: String,
    /// Empty for a binary file.
    text: String,
    /// The text of a Rust file with comments and the contents of strings blanked, lines kept.
    code: String,
    len: u64,
}

impl File {
    fn new(path: impl Into<String>, bytes: &[u8]) -> Self {
        let path = path.into();
        let binary = bytes.iter().take(8000).any(|b| *b == 0);
        let text = if binary { String::new() } else { String::from_utf8_lossy(bytes).into_owned() };
        let code = if path.ends_with(".rs") { code_of(&text) } else { String::new() };
        Self { path, text, code, len: bytes.len() as u64 }
    }

    fn is_rust_in(&self, folders: &[&str]) -> bool {
        self.path.ends_with(".rs") && folders.iter().any(|f| self.path.starts_with(f))
    }

    /// Whether people of this project wrote it as text: no golden file, no license, no lock file.
    fn is_ours(&self) -> bool {
        let hidden_script = self.path.starts_with(".ci/") || self.path.starts_with(".cargo/");
        let typed = [".rs", ".md", ".toml", ".py", ".sh"].iter().any(|e| self.path.ends_with(e));
        (hidden_script || typed) && !self.path.starts_with("docs/licenses/")
    }

    /// The code in front of the unit tests.
    fn live_code(&self) -> &str {
        &self.code[..test_start(&self.code)]
    }
}

/// One violation: where, of which rule, and what to do.
#[derive(Debug)]
struct Fault {
    path: String,
    line: usize,
    rule: &'static str,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.what)
    }
}

fn fault(path: &str, line: usize, rule: &'static str, what: impl Into<String>) -> Fault {
    Fault { path: path.to_owned(), line, rule, what: what.into() }
}

fn find<'a>(files: &'a [File], path: &str) -> Option<&'a File> {
    files.iter().find(|f| f.path == path)
}

fn text_of<'a>(files: &'a [File], path: &str) -> &'a str {
    find(files, path).map_or("", |f| f.text.as_str())
}

/// Numbered lines, from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, line)| (i + 1, line))
}

// ---------------------------------------------------------------------------------------------
// Reading Rust, Markdown and TOML as far as the checks need
// ---------------------------------------------------------------------------------------------

/// Blanks comments and the contents of string and character literals.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let len = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_len(&bytes[at..]),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_len(&bytes[at..]),
            b'"' => string_len(&bytes[at..]),
            b'r' if at == 0 || !is_word(bytes[at - 1]) || raw_prefix(bytes, at) => {
                raw_string_len(&bytes[at..])
            }
            b'\'' => char_len(&bytes[at..]),
            _ => 0,
        };
        if len == 0 {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let end = (at + len).min(bytes.len());
        out.extend(bytes[at..end].iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }));
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether the `r` at `at` follows the `b` or `c` of `br"` or `cr"`.
fn raw_prefix(bytes: &[u8], at: usize) -> bool {
    matches!(bytes[at - 1], b'b' | b'c') && (at < 2 || !is_word(bytes[at - 2]))
}

fn line_len(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len())
}

fn block_comment_len(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn string_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Zero when this is no raw string.
fn raw_string_len(bytes: &[u8]) -> usize {
    let hashes = bytes[1..].iter().take_while(|b| **b == b'#').count();
    if bytes.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let mut end = vec![b'"'];
    end.resize(1 + hashes, b'#');
    let body = 2 + hashes;
    match bytes[body..].windows(end.len()).position(|w| w == end) {
        Some(at) => body + at + end.len(),
        None => bytes.len(),
    }
}

/// Zero when this is a lifetime.
fn char_len(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&b'\\') {
        return bytes.iter().skip(3).position(|b| *b == b'\'').map_or(0, |at| at + 4);
    }
    // At most four bytes of UTF-8 stand between the quotes.
    let close = bytes.iter().skip(1).take(5).position(|b| *b == b'\'');
    match close {
        Some(at @ 1..) if at == 1 || bytes[1] >= 0x80 => at + 2,
        _ => 0,
    }
}

/// Where the unit tests at the end of a file begin.
fn test_start(code: &str) -> usize {
    let mut at = 0;
    let mut attribute = None;
    for line in code.split_inclusive('\n') {
        if let Some(start) = attribute
            && line.starts_with("mod ")
            && line.trim_end().ends_with('{')
        {
            return start;
        }
        if line.starts_with("#[cfg(test)]") {
            attribute = Some(at);
        } else if !line.starts_with("#[") {
            attribute = None;
        }
        at += line.len();
    }
    code.len()
}

/// Positions of `word` in `text` as a whole word.
fn words_at<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].bytes().next_back();
        let after = text[at + word.len()..].bytes().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].bytes().filter(|b| *b == b'\n').count() + 1
}

/// The identifier that `text` starts with.
fn identifier(text: &str) -> &str {
    let end = text.bytes().position(|b| !is_word(b)).unwrap_or(text.len());
    &text[..end]
}

/// A table in Markdown.
struct Table {
    head: Vec<String>,
    rows: Vec<(usize, Vec<String>)>,
}

impl Table {
    fn column(&self, name: &str) -> Option<usize> {
        self.head.iter().position(|h| h == name)
    }
}

fn tables(text: &str) -> Vec<Table> {
    let mut found: Vec<Table> = Vec::new();
    let mut inside = false;
    for (number, line) in lines(text) {
        let Some(row) = line.trim().strip_prefix('|') else {
            inside = false;
            continue;
        };
        let row = row.strip_suffix('|').unwrap_or(row);
        let cells: Vec<String> = row.split('|').map(|c| c.trim().to_owned()).collect();
        match found.last_mut() {
            Some(table) if inside => {
                if !cells.iter().all(|c| c.trim_matches(':').chars().all(|c| c == '-')) {
                    table.rows.push((number, cells));
                }
            }
            _ => found.push(Table { head: cells, rows: Vec::new() }),
        }
        inside = true;
    }
    found
}

/// The first table with all these columns; each row as its line and the cells of those columns.
fn table(text: &str, columns: &[&str]) -> Option<Vec<(usize, Vec<String>)>> {
    tables(text).into_iter().find_map(|table| {
        let places: Option<Vec<usize>> = columns.iter().map(|c| table.column(c)).collect();
        let places = places?;
        let pick = |cells: &Vec<String>| {
            places.iter().map(|p| cells.get(*p).cloned().unwrap_or_default()).collect()
        };
        Some(table.rows.iter().map(|(line, cells)| (*line, pick(cells))).collect())
    })
}

/// What stands between backticks.
fn ticked(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Headings of one level, lower-case, spaces as hyphens, without a leading number.
fn headings(text: &str, level: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut found = Vec::new();
    for (number, line) in lines(text) {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        let Some(title) = line.strip_prefix(level).and_then(|t| t.strip_prefix(' ')) else {
            continue;
        };
        if !fenced {
            let title = title.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').trim();
            found.push((number, title.replace('`', "").to_lowercase().replace(' ', "-")));
        }
    }
    found
}

/// The line, key and value of `key = value`.
type Setting = (usize, String, String);

/// Sections of a TOML file in order: header and settings.
fn toml(text: &str) -> Vec<(String, Vec<Setting>)> {
    let mut sections = vec![(String::new(), Vec::new())];
    for (number, line) in lines(text) {
        let line = line.trim();
        if line.starts_with('[') && line.ends_with(']') && !line.contains('=') {
            let name = line.trim_matches(|c| c == '[' || c == ']');
            sections.push((name.to_owned(), Vec::new()));
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with('#')
            && let Some((_, entries)) = sections.last_mut()
        {
            let clean = |s: &str| s.trim().trim_matches('"').to_owned();
            entries.push((number, clean(key), clean(value)));
        }
    }
    sections
}

// ---------------------------------------------------------------------------------------------
// 1. Layers
// ---------------------------------------------------------------------------------------------

fn layer_table(files: &[File]) -> BTreeMap<String, u32> {
    let rows = table(text_of(files, ARCHITECTURE), &["layer", "module"]).unwrap_or_default();
    let mut layers = BTreeMap::new();
    for (_, cells) in rows {
        if let Ok(layer) = cells[0].parse() {
            layers.extend(ticked(&cells[1]).into_iter().map(|module| (module, layer)));
        }
    }
    layers
}

fn check_layers(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "layers";
    let layers = layer_table(files);
    if layers.is_empty() {
        return vec![fault(ARCHITECTURE, 1, RULE, "needs the table `| layer | module | ...`")];
    }
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| f.is_rust_in(&["src/"])) {
        let inner = &file.path["src/".len()..];
        if inner == "lib.rs" || inner == "main.rs" {
            continue;
        }
        let module = inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs");
        let Some(own) = layers.get(module) else {
            let what = format!("`{module}` has no layer; add it to the table in {ARCHITECTURE}");
            faults.push(fault(&file.path, 1, RULE, what));
            continue;
        };
        let mut say = |at: usize, what: String| {
            faults.push(fault(&file.path, line_of(&file.code, at), RULE, what));
        };
        for at in words_at(&file.code, "crate") {
            let Some(rest) = file.code[at..].strip_prefix("crate::") else { continue };
            let used = identifier(rest);
            if rest.starts_with('{') {
                say(at, "write one `use crate::module::...;` a module, no group".to_owned());
            } else if used != module {
                match layers.get(used) {
                    None => say(at, format!("`{used}` has no layer; name the module it is in")),
                    Some(layer) if layer >= own => say(
                        at,
                        format!(
                            "`{module}` (layer {own}) may not use `{used}` (layer {layer}); only \
                             strictly lower layers: move the code, or hand the value in from above"
                        ),
                    ),
                    Some(_) => {}
                }
            }
        }
        for (at, _) in file.code.match_indices("super::super") {
            say(at, format!("write `crate::{module}::...` instead of `super::super`"));
        }
        if inner == format!("{module}/mod.rs") {
            let code = file.live_code();
            for at in words_at(code, "super").filter(|at| code[*at..].starts_with("super::")) {
                let what = "`super` is the whole crate here; write `crate::module::...`";
                say(at, what.to_owned());
            }
        }
    }
    faults
}

// ---------------------------------------------------------------------------------------------
// 2. Words
// ---------------------------------------------------------------------------------------------

/// A word, or several in a row, that the glossary replaces by `term`.
struct Forbidden {
    words: Vec<String>,
    term: String,
    allowed: Vec<String>,
}

fn forbidden(glossary: &str) -> Vec<Forbidden> {
    let mut found = Vec::new();
    for table in tables(glossary) {
        let Some(not) = table.column("not") else { continue };
        let allowed = table.column("allowed in");
        for (_, cells) in &table.rows {
            let cell = |column: usize| cells.get(column).map_or("", String::as_str);
            for phrase in ticked(cell(not)) {
                found.push(Forbidden {
                    words: phrase.split(' ').map(str::to_lowercase).collect(),
                    term: cell(0).replace('`', ""),
                    allowed: allowed.map_or_else(Vec::new, |column| ticked(cell(column))),
                });
            }
        }
    }
    found
}

/// The lower-case pieces of all words and identifiers in a line.
fn pieces(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    for part in line.split_whitespace().filter(|p| !p.contains("://")) {
        let runs = part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for run in runs.filter(|run| !FOREIGN.contains(run)) {
            for name in run.split('_').filter(|name| !name.is_empty()) {
                split_camel(name, &mut out);
            }
        }
    }
    out
}

fn split_camel(name: &str, out: &mut Vec<String>) {
    let bytes = name.as_bytes();
    let mut start = 0;
    for at in 1..bytes.len() {
        let upper = bytes[at].is_ascii_uppercase();
        let after_lower = !bytes[at - 1].is_ascii_uppercase();
        let before_lower = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        // A plural acronym, as in `IDs`, is one piece.
        let plural = &bytes[at + 1..] == b"s";
        if upper && (after_lower || (before_lower && !plural)) {
            out.push(name[start..at].to_lowercase());
            start = at;
        }
    }
    out.push(name[start..].to_lowercase());
}

fn is_form_of(piece: &str, word: &str) -> bool {
    match piece.strip_prefix(word) {
        Some(end) => matches!(end, "" | "s" | "es"),
        None => word.strip_suffix('y').is_some_and(|stem| piece == format!("{stem}ies")),
    }
}

fn check_words(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "glossary";
    let list = forbidden(text_of(files, GLOSSARY));
    if list.is_empty() {
        return vec![fault(GLOSSARY, 1, RULE, "needs a table with a column `not`")];
    }
    let mut faults = Vec::new();
    for file in files {
        let covered = ["src/", "benches/", "docs/", "README.md"];
        if !covered.iter().any(|c| file.path.starts_with(c)) || !file.is_ours() {
            continue;
        }
        if file.path == GLOSSARY {
            continue;
        }
        let here: Vec<&Forbidden> = list
            .iter()
            .filter(|f| !f.allowed.iter().any(|prefix| file.path.starts_with(prefix.as_str())))
            .collect();
        for (number, line) in lines(&file.text) {
            // A quotation keeps the words of whoever said it.
            if file.path.ends_with(".md") && line.starts_with('>') {
                continue;
            }
            let pieces = pieces(line);
            for word in &here {
                let hit = pieces.windows(word.words.len()).any(|window| {
                    window.iter().zip(&word.words).all(|(piece, word)| is_form_of(piece, word))
                });
                if hit {
                    let not = word.words.join(" ");
                    let what = format!("say `{}`, not `{not}` ({GLOSSARY})", word.term);
                    faults.push(fault(&file.path, number, RULE, what));
                }
            }
        }
    }
    faults
}

// ---------------------------------------------------------------------------------------------
// 3. Headers
// ---------------------------------------------------------------------------------------------

/// The first sentence of the comment at the top of a file.
fn first_sentence(text: &str) -> Option<String> {
    let head: Vec<&str> = text
        .lines()
        .map_while(|line| line.strip_prefix("//! "))
        .take_while(|line| !line.trim().is_empty())
        .collect();
    let paragraph = head.join(" ");
    match paragraph.find(". ") {
        Some(end) => Some(paragraph[..=end].to_owned()),
        None => Some(paragraph).filter(|p| !p.is_empty()),
    }
}

fn check_headers(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "header";
    let mut faults = Vec::new();
    for file in files {
        if !file.is_rust_in(&["src/", "tests/", "benches/", "fuzz/fuzz_targets/"]) {
            continue;
        }
        let Some(sentence) = first_sentence(&file.text) else {
            let what = "start with `//! ` and the one thing this file is responsible for";
            faults.push(fault(&file.path, 1, RULE, what));
            continue;
        };
        let front_page = file.path.ends_with("/mod.rs") || file.path == "src/lib.rs";
        if !sentence.ends_with('.') {
            faults.push(fault(&file.path, 1, RULE, "end the first sentence with a full stop"));
        }
        if !front_page && sentence.contains(", and ") {
            let what = "the first sentence has an \"and\": name the one thing this file is \
                        responsible for, or split the file";
            faults.push(fault(&file.path, 1, RULE, what));
        }
    }
    faults
}

// ---------------------------------------------------------------------------------------------
// 4. Dead files
// ---------------------------------------------------------------------------------------------

/// The files that cargo compiles by themselves: targets, and what it discovers where it may.
fn roots(files: &[File]) -> BTreeSet<String> {
    let mut roots: BTreeSet<String> = ["src/lib.rs", "src/main.rs"].map(str::to_owned).into();
    for prefix in ["", "fuzz/"] {
        let sections = toml(text_of(files, &format!("{prefix}Cargo.toml")));
        for (kind, folder, switch) in [
            ("test", "tests", "autotests"),
            ("bench", "benches", "autobenches"),
            ("bin", "src/bin", "autobins"),
        ] {
            let folder = format!("{prefix}{folder}/");
            let off =
                |s: &(String, Vec<Setting>)| s.1.iter().any(|e| e.1 == switch && e.2 == "false");
            if !sections.iter().any(off) {
                let inner = |f: &&File| f.path.strip_prefix(&folder).is_some_and(is_discovered);
                roots.extend(files.iter().filter(inner).map(|f| f.path.clone()));
            }
            for (_, entries) in sections.iter().filter(|(header, _)| header == kind) {
                let value = |key: &str| entries.iter().find(|e| e.1 == key).map(|e| e.2.as_str());
                if let Some(path) = value("path") {
                    roots.insert(format!("{prefix}{path}"));
                } else if let Some(name) = value("name") {
                    roots.insert(format!("{folder}{name}.rs"));
                    roots.insert(format!("{folder}{name}/main.rs"));
                }
            }
        }
    }
    roots
}

/// Whether cargo takes a file of `tests` for a target unasked: `x.rs` or `x/main.rs`.
fn is_discovered(inner: &str) -> bool {
    match inner.split_once('/') {
        Some((_, rest)) => rest == "main.rs",
        None => inner.ends_with(".rs"),
    }
}

/// The files that the `mod name;` lines of `file` may mean.
fn children(file: &File, is_root: bool) -> Vec<String> {
    let (beside, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let folder = if is_root || name == "mod.rs" {
        beside.to_owned()
    } else {
        format!("{beside}/{}", name.trim_end_matches(".rs"))
    };
    let mut found = Vec::new();
    let mut given: Option<String> = None;
    for (code, text) in file.code.lines().zip(file.text.lines()) {
        let code = code.trim();
        if code.starts_with("#[path") {
            given = text.split('"').nth(1).map(str::to_owned);
            continue;
        }
        let declared = code.strip_suffix(';').and_then(|c| c.rsplit_once("mod ").map(|m| m.1));
        if let Some(name) = declared.filter(|name| name.bytes().all(is_word)) {
            match given.take() {
                Some(path) => found.push(join(beside, &path)),
                None => {
                    found.push(format!("{folder}/{name}.rs"));
                    found.push(format!("{folder}/{name}/mod.rs"));
                }
            }
        }
    }
    found
}

/// A path from a folder, which may lead upward.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in path.split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.join("/")
}

fn check_reach(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "dead file";
    let roots = roots(files);
    let mut queue: Vec<String> = roots.iter().cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = queue.pop() {
        if let Some(file) = find(files, &path)
            && reached.insert(path.clone())
        {
            queue.extend(children(file, roots.contains(&path)));
        }
    }
    files
        .iter()
        .filter(|f| f.is_rust_in(&["src/", "tests/", "benches/", "fuzz/fuzz_targets/"]))
        .filter(|f| !reached.contains(&f.path))
        .map(|f| {
            let what = "nothing compiles it: add `mod name;` where it belongs, or a target in \
                        Cargo.toml, or delete it";
            fault(&f.path, 1, RULE, what)
        })
        .collect()
}

// ---------------------------------------------------------------------------------------------
// 5. Sizes, told and not enforced
// ---------------------------------------------------------------------------------------------

fn large(files: &[File]) -> Vec<Fault> {
    let mut notes = Vec::new();
    for file in files.iter().filter(|f| f.is_rust_in(&["src/"])) {
        let code = file.live_code();
        let count = code.lines().count();
        if count > FILE_LINES {
            let what = format!("{count} lines without tests; has it two reasons to change?");
            notes.push(fault(&file.path, 1, "large file", what));
        }
        for at in words_at(code, "fn") {
            let name = identifier(code[at + 2..].trim_start());
            // The type `fn(A) -> B` has no name.
            if name.is_empty() {
                continue;
            }
            let count = function_lines(&code[at..]);
            if count > FUNCTION_LINES {
                let line = line_of(code, at);
                let what = format!("`{name}` has {count} lines; does it do one thing?");
                notes.push(fault(&file.path, line, "large function", what));
            }
        }
    }
    notes
}

/// Lines from `fn` to the closing brace; one for a declaration without a body.
fn function_lines(code: &str) -> usize {
    let (mut round, mut curly) = (0i32, 0i32);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round -= 1,
            b'{' => curly += 1,
            b'}' => curly -= 1,
            _ => {}
        }
        let declared = byte == b';' && round == 0 && curly == 0;
        if declared || (byte == b'}' && curly <= 0) {
            return line_of(code, at);
        }
    }
    1
}

// ---------------------------------------------------------------------------------------------
// 6. Every decoder is specified, shown by vectors and fuzzed
// ---------------------------------------------------------------------------------------------

/// A fenced block with the info string `vector <section> <case>`.
struct Vector {
    line: usize,
    section: String,
    case: String,
    error: Option<String>,
}

fn vectors(text: &str, faults: &mut Vec<Fault>) -> Vec<Vector> {
    const RULE: &str = "vector";
    let mut found: Vec<Vector> = Vec::new();
    let mut inside = false;
    for (number, line) in lines(text) {
        if line.starts_with("```") && inside {
            inside = false;
        } else if let Some(info) = line.strip_prefix("```vector") {
            inside = true;
            let words: Vec<&str> = info.split_whitespace().collect();
            if words.len() != 2 {
                let what = "its info string is `vector <section> <case>`";
                faults.push(fault(FORMAT, number, RULE, what));
            }
            let word = |n: usize| words.get(n).map_or_else(String::new, |w| (*w).to_owned());
            found.push(Vector { line: number, section: word(0), case: word(1), error: None });
        } else if inside && !line.starts_with(' ') {
            match (line.split_once(':'), found.last_mut()) {
                (Some(("error", variant)), Some(vector)) => {
                    vector.error = Some(variant.trim().to_owned());
                }
                (Some(_), _) => {}
                (None, _) => {
                    let what = "a line is `key: value`; a value goes on in indented lines";
                    faults.push(fault(FORMAT, number, RULE, what));
                }
            }
        }
    }
    found
}

/// The variants of `DecodeError`.
fn decode_errors(files: &[File]) -> BTreeSet<String> {
    let code = find(files, "src/format/error.rs").map_or("", |f| f.code.as_str());
    let body = code.split_once("enum DecodeError").map_or("", |(_, rest)| rest);
    let body = body.split_once("\n}").map_or(body, |(body, _)| body);
    body.lines()
        .map(|line| identifier(line.trim()))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(str::to_owned)
        .collect()
}

fn check_vectors(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "vector";
    let text = text_of(files, FORMAT);
    let mut faults = Vec::new();
    let errors = decode_errors(files);
    let sections: BTreeSet<String> =
        headings(text, "##").into_iter().chain(headings(text, "###")).map(|(_, h)| h).collect();
    let mut seen = BTreeSet::new();
    for vector in vectors(text, &mut faults) {
        if !sections.contains(&vector.section) {
            let what = format!("there is no section `{}` in {FORMAT}", vector.section);
            faults.push(fault(FORMAT, vector.line, RULE, what));
        }
        if let Some(error) = vector.error.filter(|e| !errors.contains(e)) {
            let what = format!("`{error}` is no variant of DecodeError (src/format/error.rs)");
            faults.push(fault(FORMAT, vector.line, RULE, what));
        }
        if !seen.insert((vector.section.clone(), vector.case.clone())) {
            let what = format!("the case `{} {}` exists twice", vector.section, vector.case);
            faults.push(fault(FORMAT, vector.line, RULE, what));
        }
    }
    faults
}

fn decodes(file: &File) -> bool {
    let code = file.live_code();
    let called = DECODERS.iter().filter(|(folder, _)| file.path.starts_with(folder));
    called.flat_map(|(_, words)| *words).flat_map(|word| code.match_indices(word)).any(|(at, _)| {
        let line = &code[code[..at].rfind('\n').map_or(0, |n| n + 1)..at];
        line.trim_start().starts_with("pub")
    })
}

fn check_format(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "format";
    let text = text_of(files, FORMAT);
    let rows = table(text, &["section", "source", "fuzz target"]).unwrap_or_default();
    let clean = |cell: &str| cell.replace('`', "");
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| f.is_rust_in(&["src/format/", "src/seal/"])) {
        let listed = rows.iter().any(|(_, cells)| clean(&cells[1]) == file.path);
        let exempt = NO_OBJECT.contains(&file.path.as_str());
        if !listed && !exempt && decodes(file) {
            let what = format!(
                "it decodes, and no row of `| section | source | fuzz target |` in {FORMAT} has it"
            );
            faults.push(fault(&file.path, 1, RULE, what));
        }
    }
    let sections = headings(text, "##");
    let vectors = vectors(text, &mut Vec::new());
    let (mut valid_total, mut invalid_total) = (0, 0);
    for (line, cells) in &rows {
        let [section, source, target] = [0, 1, 2].map(|column| clean(&cells[column]));
        let mut say = |what: String| faults.push(fault(FORMAT, *line, RULE, what));
        if find(files, &source).is_none() {
            say(format!("`{source}` does not exist"));
        }
        if !sections.iter().any(|(_, heading)| *heading == section) {
            say(format!("there is no section `## {section}`"));
        }
        let path = format!("fuzz/fuzz_targets/{target}.rs");
        if find(files, &path).is_none() {
            say(format!("`{source}` needs a fuzz target {path}"));
        }
        let (valid, invalid): (Vec<&Vector>, Vec<&Vector>) =
            vectors.iter().filter(|v| v.section == section).partition(|v| v.error.is_none());
        if valid.is_empty() {
            say(format!("it needs a valid vector: a fenced block `vector {section} <case>`"));
        }
        if invalid.is_empty() {
            say(format!("it needs an invalid vector `vector {section} <case>` with `error: ...`"));
        }
        valid_total += valid.len();
        invalid_total += invalid.len();
    }
    if invalid_total < valid_total {
        let what = format!(
            "{valid_total} valid vectors and only {invalid_total} invalid ones; a reader is \
             proven by what it refuses"
        );
        faults.push(fault(FORMAT, 1, RULE, what));
    }
    faults
}

fn check_cache(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "cache";
    let rows = table(text_of(files, TESTING), &["source", "fuzz target"]).unwrap_or_default();
    let clean = |cell: &str| cell.replace('`', "");
    let reads = |file: &File| READS_BYTES.iter().any(|word| file.live_code().contains(word));
    let mut faults = Vec::new();
    let ours = |f: &&File| f.is_rust_in(&["src/"]) && !f.is_rust_in(NO_CACHE);
    for file in files.iter().filter(ours).filter(|file| reads(file)) {
        if !rows.iter().any(|(_, cells)| clean(&cells[0]) == file.path) {
            let what =
                format!("it decodes, and no row of `| source | fuzz target |` in {TESTING} has it");
            faults.push(fault(&file.path, 1, RULE, what));
        }
    }
    for (line, cells) in &rows {
        let [source, target] = [0, 1].map(|column| clean(&cells[column]));
        if !find(files, &source).is_some_and(reads) {
            faults.push(fault(TESTING, *line, RULE, format!("`{source}` decodes nothing")));
        }
        let path = format!("fuzz/fuzz_targets/{target}.rs");
        if find(files, &path).is_none() {
            let what = format!("`{source}` needs a fuzz target {path}");
            faults.push(fault(TESTING, *line, RULE, what));
        }
    }
    faults
}

// ---------------------------------------------------------------------------------------------
// 7. Every command has an operation and a manual section
// ---------------------------------------------------------------------------------------------

fn check_commands(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "command";
    let mut faults = Vec::new();
    let manual = headings(text_of(files, MANUAL), "##");
    let mut verbs = BTreeSet::new();
    for file in files.iter().filter(|f| f.is_rust_in(&["src/cli/commands/"])) {
        let inner = &file.path["src/cli/commands/".len()..];
        let verb = match inner.split_once('/') {
            Some((verb, "mod.rs")) => verb,
            None if inner != "mod.rs" => inner.trim_end_matches(".rs"),
            _ => continue,
        };
        let typed = verb.replace('_', "-");
        let operation = [format!("src/ops/{verb}.rs"), format!("src/ops/{verb}/mod.rs")];
        if !NO_OPERATION.contains(&verb) && !operation.iter().any(|p| find(files, p).is_some()) {
            let what = format!("it needs the operation {}", operation[0]);
            faults.push(fault(&file.path, 1, RULE, what));
        }
        if !manual.iter().any(|(_, heading)| *heading == format!("parados-{typed}")) {
            let what = format!("it needs the section `## parados {typed}` in {MANUAL}");
            faults.push(fault(&file.path, 1, RULE, what));
        }
        verbs.insert(typed);
    }
    for (line, heading) in manual {
        if let Some(verb) = heading.strip_prefix("parados-").filter(|verb| !verbs.contains(*verb)) {
            let what = format!("there is no command `{verb}` in src/cli/commands");
            faults.push(fault(MANUAL, line, RULE, what));
        }
    }
    faults
}

// ---------------------------------------------------------------------------------------------
// 8. Words of code that stay where they belong; plain text
// ---------------------------------------------------------------------------------------------

fn check_confined(files: &[File]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in files.iter().filter(|f| f.is_rust_in(&["src/"])) {
        let code = file.live_code();
        for rule in CONFINED.iter().filter(|r| !r.homes.iter().any(|h| file.path.starts_with(h))) {
            for at in words_at(code, rule.word) {
                let what = format!("`{}` may not be used here: {}", rule.word, rule.why);
                faults.push(fault(&file.path, line_of(code, at), "confined", what));
            }
        }
    }
    faults
}

/// A test that could not run must be seen, and the test runner keeps what `eprintln!` prints.
fn check_skips(files: &[File]) -> Vec<Fault> {
    let says = format!("\"{}", "SKIPPED");
    let others = files.iter().filter(|f| f.is_rust_in(&["src/", "tests/"]));
    let others = others.filter(|f| !SKIPPERS.contains(&f.path.as_str()));
    others
        .filter_map(|file| {
            let at = file.text.find(&says)?;
            let what = "say it with base::testing::skip or world::skip, which nobody keeps";
            Some(fault(&file.path, line_of(&file.text, at), "skip", what))
        })
        .collect()
}

fn check_unsafe(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "unsafe";
    let rows = table(text_of(files, ARCHITECTURE), &["unsafe in", "why it is sound"]);
    let Some(rows) = rows else {
        let what = "needs the table `| unsafe in | why it is sound |`";
        return vec![fault(ARCHITECTURE, 1, RULE, what)];
    };
    let mut faults = Vec::new();
    let listed: BTreeMap<String, usize> =
        rows.into_iter().map(|(line, cells)| (cells[0].replace('`', ""), line)).collect();
    for file in files.iter().filter(|f| f.is_rust_in(&["src/", "tests/", "benches/", "fuzz/"])) {
        if let Some(at) = words_at(&file.code, "unsafe").next()
            && !listed.contains_key(&file.path)
        {
            let what = format!("do without, or say in the table of {ARCHITECTURE} why it is sound");
            faults.push(fault(&file.path, line_of(&file.code, at), RULE, what));
        }
    }
    for (path, line) in listed {
        let used = find(files, &path).is_some_and(|f| words_at(&f.code, "unsafe").next().is_some());
        if !used {
            let what = format!("`{path}` has no unsafe code; take the row out");
            faults.push(fault(ARCHITECTURE, line, RULE, what));
        }
    }
    faults
}

fn check_text(files: &[File]) -> Vec<Fault> {
    // Spelled in pieces, so that this file passes its own check.
    let unfinished = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let machine = [concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    let mut faults = Vec::new();
    for file in files {
        if file.len > FILE_LEN_MAX {
            let what = format!("{} bytes; make such data in the test that wants it", file.len);
            faults.push(fault(&file.path, 1, "size", what));
        }
        for (number, line) in lines(&file.text) {
            let mut say = |rule, what: &str| faults.push(fault(&file.path, number, rule, what));
            if machine.iter().any(|path| is_absolute(line, path)) {
                say("path", "a path of one machine; use a relative one, or a variable");
            }
            if !file.is_ours() {
                continue;
            }
            if line.ends_with([' ', '\t', '\r']) {
                say("whitespace", "take the white space at the end of the line out");
            }
            for word in unfinished {
                if words_at(line, word).any(|at| !has_issue(&line[at + word.len()..])) {
                    say("unfinished", "name the issue, as in `(#12)` right after the word");
                }
            }
        }
    }
    faults
}

fn is_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_.~-/})*".contains(c))
    })
}

fn has_issue(rest: &str) -> bool {
    let number = rest.strip_prefix("(#").and_then(|r| r.split_once(')')).map(|(n, _)| n);
    number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

// ---------------------------------------------------------------------------------------------
// 9. Papers that repeat something
// ---------------------------------------------------------------------------------------------

fn check_dependencies(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "dependency";
    let mut used = BTreeMap::new();
    for (header, entries) in toml(text_of(files, "Cargo.toml")) {
        if header.ends_with("dependencies") {
            for (line, key, _) in entries {
                used.insert(key.split('.').next().unwrap_or(&key).to_owned(), line);
            }
        } else if let Some((_, name)) = header.split_once("dependencies.") {
            used.insert(name.to_owned(), 1);
        }
    }
    let rows = table(text_of(files, ARCHITECTURE), &["crate", "reason"]).unwrap_or_default();
    let mut listed = BTreeMap::new();
    let mut faults = Vec::new();
    for (line, cells) in rows {
        let name = cells[0].replace('`', "");
        if cells[1].is_empty() {
            faults.push(fault(ARCHITECTURE, line, RULE, format!("`{name}` has no reason")));
        }
        if !used.contains_key(&name) {
            let what = format!("`{name}` is not in Cargo.toml; take the row out");
            faults.push(fault(ARCHITECTURE, line, RULE, what));
        }
        if listed.insert(name.clone(), line).is_some() {
            faults.push(fault(ARCHITECTURE, line, RULE, format!("`{name}` is there twice")));
        }
    }
    for (name, line) in used {
        if !listed.contains_key(&name) {
            let what = format!("give `{name}` one line of reason in the table of {ARCHITECTURE}");
            faults.push(fault("Cargo.toml", line, RULE, what));
        }
    }
    faults
}

fn check_top_level(files: &[File]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files {
        let top = file.path.split('/').next().unwrap_or(&file.path);
        if !top.starts_with('.') && !TOP_LEVEL.contains(&top) && seen.insert(top) {
            let what = format!("the top level is exactly {}", TOP_LEVEL.join(" "));
            faults.push(fault(&file.path, 1, "top level", what));
        }
    }
    faults
}

/// The README shows the test command that CI runs, letter by letter.
fn check_readme(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "readme";
    let run = text_of(files, ".ci/run");
    let command = run.lines().find_map(|l| l.strip_prefix("readme_test='")?.strip_suffix('\''));
    let Some(command) = command else {
        return vec![fault(".ci/run", 1, RULE, "needs a line `readme_test='...'`")];
    };
    let shown = text_of(files, "README.md").lines().any(|line| {
        let line = line.trim();
        line.strip_prefix("$ ").unwrap_or(line) == command
    });
    if shown {
        return Vec::new();
    }
    vec![fault("README.md", 1, RULE, format!("needs the line `{command}`, which .ci/run runs"))]
}

/// The diagram of the pipeline: the code block that begins with its first arrow.
fn diagram(text: &str) -> Option<(usize, Vec<&str>)> {
    let mut numbered = lines(text).map(|(number, line)| {
        let bare = line.strip_prefix("//!").map(|l| l.strip_prefix(' ').unwrap_or(l));
        (number, bare.unwrap_or(line).trim_end())
    });
    let (number, first) = numbered.find(|(_, line)| line.starts_with("source ─▶ "))?;
    let rest = numbered.map(|(_, line)| line).take_while(|line| !line.starts_with("```"));
    Some((number, std::iter::once(first).chain(rest).collect()))
}

fn check_diagram(files: &[File]) -> Vec<Fault> {
    const RULE: &str = "diagram";
    let Some((_, true_one)) = diagram(text_of(files, ARCHITECTURE)) else {
        return vec![fault(ARCHITECTURE, 1, RULE, "needs the diagram `source ─▶ ...`")];
    };
    let mut faults = Vec::new();
    for (path, required) in [("src/pipeline/mod.rs", true), ("README.md", false)] {
        let Some(file) = find(files, path) else { continue };
        match diagram(&file.text) {
            Some((line, copy)) if copy != true_one => {
                let what = format!("it differs from the one in {ARCHITECTURE}");
                faults.push(fault(path, line, RULE, what));
            }
            None if required => {
                let what = format!("it needs the diagram of {ARCHITECTURE} above its functions");
                faults.push(fault(path, 1, RULE, what));
            }
            _ => {}
        }
    }
    faults
}

// ---------------------------------------------------------------------------------------------
// The tree itself
// ---------------------------------------------------------------------------------------------

/// Patterns of `.gitignore`: `/path`, `name` or `*.ending`.
fn is_ignored(path: &str, patterns: &[&str]) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    patterns.iter().any(|pattern| match pattern.strip_prefix('/') {
        Some(anchored) => path == anchored.trim_end_matches('/'),
        None => match pattern.strip_prefix('*') {
            Some(ending) => name.ends_with(ending),
            None => name == pattern.trim_end_matches('/'),
        },
    })
}

fn load(top: &Path) -> Vec<File> {
    let ignore = std::fs::read_to_string(top.join(".gitignore")).unwrap_or_default();
    let patterns: Vec<&str> =
        ignore.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let listing = std::fs::read_dir(top.join(&folder)).expect("the tree can be listed");
        for entry in listing {
            let entry = entry.expect("the tree can be listed");
            let inner = folder.join(entry.file_name());
            let Some(path) = inner.to_str().map(str::to_owned) else { continue };
            let kind = entry.file_type().expect("an entry has a type");
            if path == ".git" || is_ignored(&path, &patterns) {
                continue;
            }
            if kind.is_dir() {
                folders.push(inner);
            } else if kind.is_file() {
                // A file that vanished is somebody's temporary one.
                if let Ok(bytes) = std::fs::read(entry.path()) {
                    files.push(File::new(path, &bytes));
                }
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn tree() -> &'static [File] {
    static TREE: OnceLock<Vec<File>> = OnceLock::new();
    TREE.get_or_init(|| {
        let top = std::env::var("CARGO_MANIFEST_DIR").ok();
        let top = top.or_else(|| option_env!("CARGO_MANIFEST_DIR").map(str::to_owned));
        load(Path::new(&top.unwrap_or_else(|| ".".to_owned())))
    })
}

/// Faults of a failed check, printed one a line.
struct Faults(Vec<Fault>);

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

type Verdict = Result<(), Faults>;

fn expect_none(faults: Vec<Fault>) -> Verdict {
    if faults.is_empty() { Ok(()) } else { Err(Faults(faults)) }
}

#[test]
fn a_module_uses_strictly_lower_layers() -> Verdict {
    expect_none(check_layers(tree()))
}

#[test]
fn one_thing_has_one_word() -> Verdict {
    expect_none(check_words(tree()))
}

#[test]
fn a_file_says_what_it_is_responsible_for() -> Verdict {
    expect_none(check_headers(tree()))
}

#[test]
fn every_file_is_compiled() -> Verdict {
    expect_none(check_reach(tree()))
}

#[test]
fn what_is_large_is_named() {
    // Straight to the stream, because the test runner keeps what a passing test prints.
    let mut out = std::io::stderr();
    for note in large(tree()) {
        writeln!(out, "note: {note}").expect("standard error can be written");
    }
}

#[test]
fn every_decoder_is_specified_and_fuzzed() -> Verdict {
    expect_none(check_format(tree()))
}

#[test]
fn every_decoder_of_the_cache_is_fuzzed() -> Verdict {
    expect_none(check_cache(tree()))
}

#[test]
fn vectors_are_well_formed() -> Verdict {
    expect_none(check_vectors(tree()))
}

#[test]
fn every_command_has_an_operation_and_a_section() -> Verdict {
    expect_none(check_commands(tree()))
}

#[test]
fn dangerous_words_stay_where_they_belong() -> Verdict {
    expect_none(check_confined(tree()))
}

#[test]
fn a_test_that_could_not_run_is_seen() -> Verdict {
    expect_none(check_skips(tree()))
}

#[test]
fn unsafe_code_is_justified() -> Verdict {
    expect_none(check_unsafe(tree()))
}

#[test]
fn text_is_plain() -> Verdict {
    expect_none(check_text(tree()))
}

#[test]
fn every_dependency_has_a_reason() -> Verdict {
    expect_none(check_dependencies(tree()))
}

#[test]
fn the_top_level_is_small() -> Verdict {
    expect_none(check_top_level(tree()))
}

#[test]
fn the_readme_shows_what_ci_runs() -> Verdict {
    expect_none(check_readme(tree()))
}

#[test]
fn the_diagram_is_the_same_everywhere() -> Verdict {
    expect_none(check_diagram(tree()))
}

/// Each check finds a planted violation, and finds nothing in the same tree without it.
mod selftest {
    use super::*;

    const LAYERS: &str = "| layer | module |\n| --- | --- |\n| 0 | `base` |\n| 1 | `format` `chunk` |\n| 2 | `seal` |\n";

    fn files(pairs: &[(&str, &str)]) -> Vec<File> {
        pairs.iter().map(|(path, text)| File::new(*path, text.as_bytes())).collect()
    }

    /// The faults of `check` as `path:line: rule: what`.
    #[track_caller]
    fn check(check: fn(&[File]) -> Vec<Fault>, pairs: &[(&str, &str)], expect: &[&str]) {
        let found: Vec<String> = check(&files(pairs)).iter().map(Fault::to_string).collect();
        let fits = found.len() == expect.len()
            && expect.iter().all(|e| found.iter().any(|f| f.contains(e)));
        assert!(fits, "expected {expect:#?}, found {found:#?}");
    }

    #[test]
    fn comments_and_strings_are_blanked() {
        let text = "a('x', '\\'', \"s\\\"t\", r#\"u\"v\"#, b'y') // z\n/* 1 /* 2 */ 3 */ fn f<'a>(r: &'a str)";
        let code = code_of(text);
        assert_eq!(code.len(), text.len());
        let kept: String = code.split_whitespace().collect();
        assert_eq!(kept, "a(,,,,b)fnf<'a>(r:&'astr)");
    }

    #[test]
    fn layers() {
        let planted = |text| [(ARCHITECTURE, LAYERS), ("src/format/mod.rs", text)];
        let run = |text, expect: &[&str]| check(check_layers, &planted(text), expect);
        run("use crate::base::Id; use crate::format::x;", &[]);
        run("// crate::seal\nlet s = \"crate::seal\";", &[]);
        run("\nuse crate::seal::Sealed;", &["src/format/mod.rs:2: layers: `format` (layer 1)"]);
        run("fn f() { crate::chunk::cut() }", &["`chunk` (layer 1)"]);
        run("use crate::{base, seal};", &["no group"]);
        run("use crate::Thing;", &["`Thing` has no layer"]);
        run("use super::super::x;", &["super::super", "`super` is the whole crate", "`super` is"]);
        run("use super::seal;", &["`super` is the whole crate"]);
        run("pub(super) fn f() {}", &[]);
        run("#[cfg(test)]\nmod tests {\n    use super::*;\n}\n", &[]);
        check(check_layers, &[(ARCHITECTURE, LAYERS), ("src/odd.rs", "")], &["`odd` has no layer"]);
        check(check_layers, &[(ARCHITECTURE, "")], &["needs the table"]);
    }

    #[test]
    fn words() {
        let glossary = "| term | not | allowed in |\n|---|---|---|\n\
                        | chunk | `blob`, segment | `src/backend/` |\n\
                        | snapshot | `restore point`, `entropy` | |\n";
        let planted = |path, text| [(GLOSSARY, glossary), (path, text)];
        let run = |path, text, expect: &[&str]| check(check_words, &planted(path, text), expect);
        run("src/x.rs", "let blobby = segment; // https://example.org/blob/x", &[]);
        run("src/x.rs", "\nstruct DataBlob;", &["src/x.rs:2: glossary: say `chunk`, not `blob`"]);
        run("src/x.rs", "let data_blobs = 1;", &["`blob`"]);
        run("src/x.rs", "const BLOB_LEN: u8 = 1;", &["`blob`"]);
        run("docs/x.md", "Many entropies of a Restore-Point.", &["`entropy`", "`restore point`"]);
        run("docs/x.md", "> They call it a blob.", &[]);
        run("src/backend/cloud.rs", "struct Blob;", &[]);
        run("tests/x.rs", "struct Blob;", &[]);
        check(check_words, &[], &["needs a table"]);
    }

    #[test]
    fn headers() {
        let run = |path, text, expect: &[&str]| check(check_headers, &[(path, text)], expect);
        run("src/x.rs", "//! Cuts.\n//!\n//! Sand and gravel.\n", &[]);
        run("src/x.rs", "//! Cuts. Sand and gravel.\n", &[]);
        run("src/x.rs", "//! Cuts sand and gravel.\n", &[]);
        run("src/x.rs", "//! Cuts sand,\n//! and sells gravel.\n", &["has an \"and\""]);
        run("src/x/mod.rs", "//! Cuts sand and gravel.\n", &[]);
        run("src/x.rs", "//! Cuts\n", &["full stop"]);
        run("tests/x.rs", "use std::fs;\n//! Cuts.\n", &["start with `//! `"]);
        run("fuzz/fuzz_targets/x.rs", "#![no_main]\n", &["start with `//! `"]);
    }

    #[test]
    fn reach() {
        let cargo = "[package]\nautotests = false\nautobenches = false\n[[test]]\nname = \"cli\"\npath = \"tests/cli/main.rs\"\n[[test]]\nname = \"tidy\"\n";
        let fuzz = "[[bin]]\nname = \"pack\"\npath = \"fuzz_targets/pack.rs\"\n";
        let clean = [
            ("Cargo.toml", cargo),
            ("fuzz/Cargo.toml", fuzz),
            ("fuzz/fuzz_targets/pack.rs", ""),
            ("src/lib.rs", "pub mod base;\n#[path = \"odd name.rs\"]\nmod odd;"),
            ("src/base/mod.rs", "pub(crate) mod id;"),
            ("src/base/id.rs", "mod tests;"),
            ("src/base/id/tests.rs", "#[path = \"../../../tests/support/s.rs\"]\nmod s;"),
            ("tests/support/s.rs", ""),
            ("src/odd name.rs", ""),
            ("tests/cli/main.rs", "mod init;"),
            ("tests/cli/init.rs", ""),
            ("tests/tidy.rs", "// mod dead;\n"),
        ];
        check(check_reach, &clean, &[]);
        for dead in ["src/base/dead.rs", "tests/dead.rs", "tests/cli/dead.rs", "benches/dead.rs"] {
            let mut planted = clean.to_vec();
            planted.push((dead, ""));
            check(check_reach, &planted, &[dead]);
        }
        // Without the switches cargo discovers them, though not the modules beside `main.rs`.
        let tree = [("Cargo.toml", ""), ("tests/x.rs", ""), ("tests/cli/dead.rs", "")];
        check(check_reach, &tree, &["tests/cli/dead.rs"]);
    }

    #[test]
    fn sizes() {
        let long = format!("fn f(a: [u8; 2]) {{\n{}}}\n", "    x();\n".repeat(70));
        check(large, &[("src/x.rs", &long)], &["`f` has 72 lines"]);
        check(large, &[("src/x.rs", &"x();\n".repeat(351))], &["351 lines"]);
        let tested = format!("fn f();\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        check(large, &[("src/x.rs", &tested)], &[]);
    }

    const FORMAT_TEXT: &str = "| section | source | fuzz target |\n|---|---|---|\n\
        | index-segment | `src/format/index.rs` | `index` |\n\
        ## 4. Index segment\n\
        ```vector index-segment empty\nbytes: 00\n  01\n```\n\
        ```vector index-segment cut\nbytes: 00\nerror: Truncated\n```\n";
    const ERRORS: &str = "pub enum DecodeError {\n    /// A.\n    #[error(\"a\")]\n    Truncated,\n    Version(u16),\n}\nenum Other {\n    No,\n}";

    fn format_tree(text: &'static str) -> Vec<(&'static str, &'static str)> {
        vec![
            (FORMAT, text),
            ("src/format/error.rs", ERRORS),
            ("src/format/index.rs", "impl X {\n    pub fn decode(bytes: &[u8]) {}\n}"),
            ("fuzz/fuzz_targets/index.rs", ""),
        ]
    }

    #[test]
    fn format() {
        check(check_format, &format_tree(FORMAT_TEXT), &[]);
        let mut planted = format_tree(FORMAT_TEXT);
        planted.push(("src/format/pack.rs", "pub(crate) fn decode_header() {}"));
        planted.push(("src/format/name.rs", "    pub fn parse(text: &str) {}"));
        planted.push(("src/seal/object.rs", "pub fn open(bytes: &[u8]) {}"));
        planted.push(("src/seal/aead.rs", "pub fn open(bytes: &[u8]) {}"));
        let expect = [
            "src/format/pack.rs:1: format: it decodes",
            "src/format/name.rs:1: format: it decodes",
            "src/seal/object.rs:1: format: it decodes",
        ];
        check(check_format, &planted, &expect);
        let mut planted = format_tree(FORMAT_TEXT);
        planted.retain(|(path, _)| !path.starts_with("fuzz") && *path != "src/format/index.rs");
        check(check_format, &planted, &["does not exist", "needs a fuzz target"]);
        let bare = "| section | source | fuzz target |\n|---|---|---|\n\
                    | index-segment | `src/format/index.rs` | `index` |\n";
        let expect = ["no section", "a valid vector", "an invalid vector"];
        check(check_format, &format_tree(bare), &expect);
        let text = format!("{FORMAT_TEXT}```vector index-segment more\nbytes: 02\n```\n");
        let text: &'static str = Box::leak(text.into_boxed_str());
        check(check_format, &format_tree(text), &["2 valid vectors and only 1 invalid"]);
    }

    #[test]
    fn cache() {
        let paper =
            "| source | fuzz target |\n|---|---|\n| `src/index/place.rs` | `cache_place` |\n";
        let clean = [
            (TESTING, paper),
            ("src/index/place.rs", "    fn decode(bytes: &[u8]) {}\n"),
            ("src/index/memory.rs", "// fn decode(\nfn decoded() {}\n"),
            ("src/format/pack.rs", "pub fn decode() { Cursor::new(x) }"),
            ("fuzz/fuzz_targets/cache_place.rs", ""),
        ];
        check(check_cache, &clean, &[]);
        for text in ["fn decode_all(x) {}", "fn x() { Cursor::new(&bytes).u64() }"] {
            let mut planted = clean.to_vec();
            planted.push(("src/ops/writer.rs", text));
            check(check_cache, &planted, &["src/ops/writer.rs:1: cache: it decodes"]);
        }
        let expect = ["`src/index/place.rs` decodes nothing", "needs a fuzz target"];
        check(check_cache, &[(TESTING, paper)], &expect);
    }

    #[test]
    fn vectors() {
        check(check_vectors, &format_tree(FORMAT_TEXT), &[]);
        let run = |block: &str, expect: &[&str]| {
            let text = format!("{FORMAT_TEXT}```vector {block}\n```\n");
            check(check_vectors, &format_tree(Box::leak(text.into_boxed_str())), expect);
        };
        run("pack x", &["no section `pack`"]);
        run("index-segment x\nerror: No", &["`No` is no variant"]);
        run("index-segment x\nerror: Version", &[]);
        run("index-segment cut", &["exists twice"]);
        run("index-segment", &["its info string"]);
        run("index-segment x\nno colon", &["`key: value`"]);
    }

    #[test]
    fn commands() {
        let clean = [
            ("src/cli/commands/mod.rs", ""),
            ("src/cli/commands/backup.rs", ""),
            ("src/cli/commands/key/mod.rs", ""),
            ("src/cli/commands/key/add.rs", ""),
            ("src/cli/commands/version.rs", ""),
            ("src/ops/backup.rs", ""),
            ("src/ops/key.rs", ""),
            (MANUAL, "## Exit codes\n## `parados backup`\n## parados key\n## parados version\n"),
        ];
        check(check_commands, &clean, &[]);
        let mut planted = clean.to_vec();
        planted.push(("src/cli/commands/dead_end.rs", ""));
        let expect = ["the operation src/ops/dead_end.rs", "section `## parados dead-end`"];
        check(check_commands, &planted, &expect);
        check(
            check_commands,
            &[(MANUAL, "## parados ls\n")],
            &["docs/cli.md:1: command: there is"],
        );
    }

    #[test]
    fn confined() {
        for rule in CONFINED {
            let text = format!("fn f() {{\n    {}(x);\n}}\n", rule.word);
            let expect = format!("src/ops/x.rs:2: confined: `{}`", rule.word);
            check(check_confined, &[("src/ops/x.rs", &text)], &[&expect]);
            if let Some(home) = rule.homes.first() {
                let path = format!("{home}x.rs");
                let path = if home.ends_with(".rs") { home } else { path.as_str() };
                check(check_confined, &[(path, &text)], &[]);
            }
            let tested = format!("#[cfg(test)]\nmod tests {{\n{text}}}\n");
            check(check_confined, &[("src/ops/x.rs", &tested)], &[]);
        }
    }

    #[test]
    fn skips() {
        let text = format!("\n\neprintln!(\"{}: no server\");\n", "SKIPPED");
        let expect = ["src/x/tests.rs:3: skip: say it with"];
        check(check_skips, &[("src/x/tests.rs", &text)], &expect);
        check(check_skips, &[(SKIPPERS[0], &text), ("docs/x.md", &text)], &[]);
    }

    #[test]
    fn unsafe_table() {
        let paper = "| unsafe in | why it is sound |\n|---|---|\n| `src/a.rs` | because |\n";
        let run = |a, b, expect: &[&str]| {
            check(check_unsafe, &[(ARCHITECTURE, paper), ("src/a.rs", a), ("src/b.rs", b)], expect);
        };
        run("unsafe { x() }", "#![deny(unsafe_code)] // unsafe", &[]);
        run("unsafe { x() }", "\nunsafe { x() }", &["src/b.rs:2: unsafe: do without"]);
        run("x()", "", &["docs/architecture.md:3: unsafe: `src/a.rs` has no unsafe"]);
        check(check_unsafe, &[], &["needs the table"]);
    }

    #[test]
    fn text() {
        let run = |path, text: &str, expect: &[&str]| check(check_text, &[(path, text)], expect);
        run("src/x.rs", "x\n", &[]);
        run("src/x.rs", "y\nx \n", &["src/x.rs:2: whitespace"]);
        run("tests/golden.snap", "x \n", &[]);
        for word in [concat!("TO", "DO"), concat!("FIX", "ME")] {
            run("src/x.rs", &format!("// {word}: x\n"), &["unfinished"]);
            run("src/x.rs", &format!("// {word}(me): x\n"), &["unfinished"]);
            run("src/x.rs", &format!("// {word}(#12): x\n"), &[]);
        }
        let path = concat!("/wo", "rk/");
        run("tests/golden.snap", &format!("at {path}x\n"), &["path: a path of one machine"]);
        run("docs/x.md", &format!("~{path}x and a{path}x\n"), &[]);
        run("tests/x.bin", &"\0".repeat(1 + (1 << 20)), &["size: 1048577 bytes"]);
    }

    #[test]
    fn dependencies() {
        let cargo = "[dependencies]\nhex = \"1\"\n[dev-dependencies]\ninsta = { version = \"1\" }\n[profile.dev]\nopt-level = 3\n";
        let paper = "| crate | reason |\n|---|---|\n| `hex` | ids |\n| `insta` | texts |\n";
        let run = |cargo, paper, expect: &[&str]| {
            check(check_dependencies, &[("Cargo.toml", cargo), (ARCHITECTURE, paper)], expect);
        };
        run(cargo, paper, &[]);
        run(cargo, "| crate | reason |\n|---|---|\n| `hex` | ids |\n", &["give `insta` one line"]);
        run("[dependencies]\nhex = \"1\"\n", paper, &["`insta` is not in Cargo.toml"]);
        run("[dependencies.hex]\n[dependencies]\ninsta = \"1\"\n", paper, &[]);
        let empty = "| crate | reason |\n|---|---|\n| `hex` | |\n| `insta` | texts |\n";
        run(cargo, empty, &["`hex` has no reason"]);
    }

    #[test]
    fn top_level() {
        check(check_top_level, &[("src/x.rs", ""), (".ci/run", ""), ("README.md", "")], &[]);
        check(check_top_level, &[("NOTES.txt", "")], &["NOTES.txt:1: top level"]);
    }

    #[test]
    fn readme() {
        let run = |ci, readme, expect: &[&str]| {
            check(check_readme, &[(".ci/run", ci), ("README.md", readme)], expect);
        };
        run("readme_test='a && b'\n", "```\n$ a && b\n```\n", &[]);
        run("readme_test='a && b'\n", "a && b --c\n", &["README.md:1: readme: needs the line"]);
        run("", "a && b", &[".ci/run:1: readme"]);
    }

    #[test]
    fn diagrams() {
        let paper = "```text\nsource ─▶ read\n          files\n```\nsource ─▶ other\n";
        let same =
            "//! Moves.\n//!\n//! ```text\n//! source ─▶ read\n//!           files\n//! ```\n";
        let other = "//! source ─▶ read\n//!           bytes\n//! ```\n";
        let run = |code, readme, expect: &[&str]| {
            let tree =
                [(ARCHITECTURE, paper), ("src/pipeline/mod.rs", code), ("README.md", readme)];
            check(check_diagram, &tree, expect);
        };
        run(same, "", &[]);
        run(other, "", &["src/pipeline/mod.rs:1: diagram: it differs"]);
        run("//! Moves.\n", "", &["needs the diagram"]);
        run(same, "source ─▶ read -> write\n", &["README.md:1: diagram: it differs"]);
        check(check_diagram, &[], &["docs/architecture.md:1: diagram"]);
    }

    #[test]
    fn ignored_files_are_left_out() {
        let patterns = ["/target", "*.profraw", "cache/"];
        assert!(is_ignored("target", &patterns));
        assert!(is_ignored("a/b.profraw", &patterns));
        assert!(is_ignored("a/cache", &patterns));
        assert!(!is_ignored("src/target", &patterns));
    }
}
