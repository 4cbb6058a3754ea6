//! Options that name files which list what to back up.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::list_file::ListFile;
use super::ui::Ui;
use crate::base::pattern::NamePattern;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};
use crate::source::expand;

/// What a list is called in messages.
const WHAT: &str = "list of files";

#[derive(Debug, Default, clap::Args)]
pub(crate) struct SourceLists {
    /// Also back up the paths in this file, one a line, with wildcards; `-` is standard input
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,

    /// Also back up the paths in this file, one a line, as they are
    #[arg(long, value_name = "FILE")]
    files_from_verbatim: Vec<PathBuf>,

    /// Also back up the paths in this file, as they are, each ended by a zero byte
    #[arg(long, value_name = "FILE")]
    files_from_raw: Vec<PathBuf>,
}

impl SourceLists {
    /// Whether one of them is standard input.
    pub(crate) fn use_stdin(&self) -> bool {
        self.all().any(|path| path.as_os_str() == OsStr::new("-"))
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.files_from.iter().chain(&self.files_from_verbatim).chain(&self.files_from_raw)
    }

    /// All paths that the lists name. Wildcards start at `cwd`.
    ///
    /// # Errors
    /// Names the list that cannot be read or used.
    pub(crate) fn read(&self, cwd: &Path, ui: &Ui) -> Result<Vec<PathBuf>> {
        let stdin_count = self.all().filter(|path| path.as_os_str() == OsStr::new("-")).count();
        if stdin_count > 1 {
            return Err(Error::new(ErrorKind::Usage, "standard input can be read only once"));
        }
        let mut paths = Vec::new();
        for path in &self.files_from {
            let list = ListFile::read_or_stdin(path, WHAT)?.decoded()?;
            for (number, line) in list.entries() {
                let place = || format!("in line {number} of {}", list.shown);
                paths.extend(wild(line, &place, cwd, ui)?);
            }
        }
        for path in &self.files_from_verbatim {
            let list = ListFile::read_or_stdin(path, WHAT)?.decoded()?;
            let lines = list.lines().map(|(_, line)| line).filter(|line| !line.is_empty());
            paths.extend(lines.map(path_of));
        }
        for path in &self.files_from_raw {
            let list = ListFile::read_or_stdin(path, WHAT)?;
            paths.extend(raw(&list)?);
        }
        Ok(paths)
    }
}

/// What a line with wildcards stands for. A path without any is taken as it is, so that one that
/// does not exist is missed.
fn wild(line: &[u8], place: &dyn Fn() -> String, cwd: &Path, ui: &Ui) -> Result<Vec<PathBuf>> {
    if !NamePattern::is_wild(line) {
        return Ok(vec![path_of(line)]);
    }
    let shown = escape(line);
    let found = expand(line, cwd).map_err(|why| {
        let message = format!("could not use the pattern {shown} {}: {why}", place());
        Error::new(ErrorKind::Usage, message)
            .hint("For names as they are, use `--files-from-verbatim FILE`.")
    })?;
    if found.is_empty() {
        ui.warn(&format!("nothing matches the pattern {shown} {}", place()));
    }
    Ok(found)
}

fn raw(list: &ListFile) -> Result<Vec<PathBuf>> {
    let refuse = |why: &str| {
        let message = format!("could not use the {WHAT} {}: {why}", list.shown);
        Err(Error::new(ErrorKind::Usage, message)
            .hint("Each path ends with a zero byte, as from `find ... -print0`."))
    };
    let Some((last, bytes)) = list.bytes.split_last() else { return Ok(Vec::new()) };
    if *last != 0 {
        // It may have been cut off in the middle of a path.
        return refuse("no zero byte ends the last path");
    }
    let mut paths = Vec::new();
    for path in bytes.split(|byte| *byte == 0) {
        if path.is_empty() {
            return refuse("it has an empty path");
        }
        paths.push(path_of(path));
    }
    Ok(paths)
}

fn path_of(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_list_that_was_cut_off_is_refused() {
        let read = |bytes: &[u8]| {
            let list = ListFile { shown: "list".into(), bytes: bytes.to_vec() };
            raw(&list).map_err(|error| error.message)
        };
        assert!(read(b"").expect("no path").is_empty());
        let odd = read(b"a\n b\0#c\0\xff\0").expect("three paths");
        assert_eq!(odd, [path_of(b"a\n b"), path_of(b"#c"), path_of(b"\xff")]);
        for bytes in [&b"a\0bc"[..], b"ab", b"\0", b"a\0\0", b"\0a\0"] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
    }
}
