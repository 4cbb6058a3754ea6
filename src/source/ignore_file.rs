//! Files like `.gitignore` that say of their directory what in it is not to be read.

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::directory::Directory;
use super::file::OpenFile;
use crate::base::text::escape;

/// Longest ignore file; thousands of patterns are far below it.
const LEN_MAX: u64 = 1 << 20;
/// Longest line; nobody writes longer patterns, and compiling one takes a multiple of its length.
const LINE_LEN_MAX: usize = 4 << 10;

/// The patterns of one file, with git's rules.
#[derive(Debug)]
pub(super) struct IgnoreFile {
    patterns: Gitignore,
    /// Bytes of the path of its directory with the slash behind it.
    prefix_len: usize,
}

impl IgnoreFile {
    /// Reads the file `name` of `directory`, with what of it could not be understood.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub(super) fn read(directory: &Directory, name: &[u8]) -> Result<(Self, Vec<String>), String> {
        let path = directory.path().bytes_of(name);
        let shown = escape(&path);
        let bytes = read_all(directory, name)?;
        // What lies below is told by its path below the directory, so that the root has no part.
        let mut builder = GitignoreBuilder::new(".");
        let mut faults = Vec::new();
        for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let added = match std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
                Err(_) => Err("it is not UTF-8".to_owned()),
                Ok(text) if text.len() > LINE_LEN_MAX => Err("it is too long".to_owned()),
                Ok(text) => {
                    let text = if number == 0 { text.trim_start_matches('\u{feff}') } else { text };
                    builder.add_line(None, text).map(drop).map_err(|error| error.to_string())
                }
            };
            if let Err(why) = added {
                faults.push(format!("line {} of {shown} excludes nothing: {why}", number + 1));
            }
        }
        let patterns = builder.build().map_err(|error| format!("{shown}: {error}"))?;
        let prefix_len = path.len() - name.len();
        Ok((Self { patterns, prefix_len }, faults))
    }

    /// Whether the entry at `path` is to be read, where this file says anything about it. The path
    /// lies below its directory.
    pub(super) fn excludes(&self, path: &[u8], is_directory: bool) -> Option<bool> {
        use std::os::unix::ffi::OsStrExt;
        let below = std::ffi::OsStr::from_bytes(&path[self.prefix_len..]);
        match self.patterns.matched(below, is_directory) {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        }
    }
}

fn read_all(directory: &Directory, name: &[u8]) -> Result<Vec<u8>, String> {
    let shown = escape(&directory.path().bytes_of(name));
    let refuse = |why: String| format!("{shown} excludes nothing: {why}");
    let child = match directory.stat_child(name) {
        Ok(Some(child)) => child,
        Ok(None) => return Err(refuse("it is gone".into())),
        Err(problem) => return Err(refuse(problem.message)),
    };
    let file = OpenFile::open(directory, &child).map_err(|problem| refuse(problem.message))?;
    let size = file.child().signature.size;
    if size > LEN_MAX {
        return Err(refuse(format!("it is longer than {LEN_MAX} bytes")));
    }
    let mut bytes = vec![0; size as usize];
    let mut len = 0;
    while len < bytes.len() {
        match file.read_at(&mut bytes[len..], len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) => return Err(refuse(error.to_string())),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_what_they_mean_to_git() {
        let scratch = tempfile::tempdir().unwrap();
        let text =
            "\u{feff}# comment\n\n*.o\n!keep.o\n/top\nbuild/\nsub/*.tmp\n**/deep/x\r\n\\#odd\n";
        std::fs::write(scratch.path().join(".ignore"), text).unwrap();
        let directory = Directory::open_root(scratch.path()).unwrap();
        let (file, faults) = IgnoreFile::read(&directory, b".ignore").unwrap();
        assert_eq!(faults, [""; 0]);
        let rows = [
            ("a.o", false, Some(true)),
            ("a/b/c.o", false, Some(true)),
            ("keep.o", false, Some(false)),
            ("a/keep.o", false, Some(false)),
            ("top", false, Some(true)),
            ("a/top", false, None),
            ("build", true, Some(true)),
            ("build", false, None),
            ("a/build", true, Some(true)),
            ("sub/x.tmp", false, Some(true)),
            ("a/sub/x.tmp", false, None),
            ("deep/x", false, Some(true)),
            ("a/deep/x", true, Some(true)),
            ("#odd", false, Some(true)),
            ("# comment", false, None),
        ];
        for (name, is_directory, expect) in rows {
            let path = directory.path().bytes_of(name.as_bytes());
            assert_eq!(file.excludes(&path, is_directory), expect, "{name}");
        }
        let path = directory.path().bytes_of(b"\xff.o");
        assert_eq!(file.excludes(&path, false), Some(true), "a name that is not UTF-8");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_the_rest_counts() {
        let scratch = tempfile::tempdir().unwrap();
        let write = |bytes: &[u8]| std::fs::write(scratch.path().join("i"), bytes).unwrap();
        let directory = Directory::open_root(scratch.path()).unwrap();
        let read = || IgnoreFile::read(&directory, b"i");
        write(b"good\n{z\n\xff\nfine\n");
        let (file, faults) = read().unwrap();
        let lines: Vec<&str> = faults.iter().map(|f| f.split(' ').nth(1).unwrap()).collect();
        assert_eq!(lines, ["2", "3"], "{faults:?}");
        let path = directory.path().bytes_of(b"fine");
        assert_eq!(file.excludes(&path, false), Some(true));
        write(&vec![b'\n'; LEN_MAX as usize + 1]);
        assert!(read().unwrap_err().contains("is longer than"));
        std::fs::remove_file(scratch.path().join("i")).unwrap();
        assert!(read().unwrap_err().contains("it is gone"));
        std::os::unix::fs::symlink("nowhere", scratch.path().join("i")).unwrap();
        assert!(read().unwrap_err().contains("no longer a regular file"));
    }
}
