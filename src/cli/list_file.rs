//! Reads files that list patterns or paths.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};

/// Longest list: millions of paths.
const LEN_MAX: u64 = 512 << 20;

/// A list, with what to call it in messages.
pub(crate) struct ListFile {
    pub(crate) shown: String,
    pub(crate) bytes: Vec<u8>,
}

impl ListFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Names it, as `what`.
    pub(crate) fn read(path: &Path, what: &str) -> Result<Self> {
        let shown = escape(path.as_os_str().as_bytes());
        let cannot = |error| Error::io(format!("could not read the {what} {shown}"), error);
        let bytes = File::open(path).and_then(read_all).map_err(cannot)?;
        Ok(Self { shown, bytes })
    }

    /// Reads a file, or standard input where the path is `-`.
    ///
    /// # Errors
    /// Names it, as `what`.
    pub(crate) fn read_or_stdin(path: &Path, what: &str) -> Result<Self> {
        if path.as_os_str() != OsStr::new("-") {
            return Self::read(path, what);
        }
        let cannot =
            |error| Error::io(format!("could not read the {what} on standard input"), error);
        let bytes = read_all(io::stdin().lock()).map_err(cannot)?;
        Ok(Self { shown: "standard input".to_owned(), bytes })
    }

    /// Its lines with their numbers, from 1, without line ends.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let lines = self.bytes.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Its lines without white space around them, without empty ones and those that start with `#`.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let lines = self.lines().map(|(number, line)| (number, trim(line)));
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(b"#"))
    }

    /// Decodes what editors on Windows write: UTF-16, or UTF-8, with a byte order mark.
    ///
    /// # Errors
    /// When it is no UTF-16, though its mark says so.
    pub(crate) fn decoded(mut self) -> Result<Self> {
        let unit: fn([u8; 2]) -> u16 = match self.bytes[..] {
            [0xef, 0xbb, 0xbf, ..] => {
                self.bytes.drain(..3);
                return Ok(self);
            }
            [0xff, 0xfe, ..] => |pair| u16::from(pair[0]) | u16::from(pair[1]) << 8,
            [0xfe, 0xff, ..] => |pair| u16::from(pair[1]) | u16::from(pair[0]) << 8,
            _ => return Ok(self),
        };
        let units = self.bytes[2..].chunks(2).map(|pair| <[u8; 2]>::try_from(pair).map(unit));
        let units: std::result::Result<Vec<u16>, _> = units.collect();
        match units.ok().and_then(|units| String::from_utf16(&units).ok()) {
            Some(text) => Ok(Self { bytes: text.into_bytes(), ..self }),
            None => {
                let message = format!("{} starts like UTF-16 and is none", self.shown);
                Err(Error::new(ErrorKind::Usage, message).hint("Save it as UTF-8."))
            }
        }
    }
}

fn read_all(from: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LEN_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LEN_MAX {
        return Err(io::Error::other(format!("it is longer than {LEN_MAX} bytes")));
    }
    Ok(bytes)
}

fn trim(line: &[u8]) -> &[u8] {
    match std::str::from_utf8(line) {
        Ok(text) => text.trim().as_bytes(),
        Err(_) => line.trim_ascii(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(bytes: &[u8]) -> Result<ListFile> {
        ListFile { shown: "list".into(), bytes: bytes.to_vec() }.decoded()
    }

    #[track_caller]
    fn check(bytes: &[u8], expect: &[(usize, &str)]) {
        let list = list(bytes).expect("it can be decoded");
        let expect: Vec<(usize, &[u8])> = expect.iter().map(|(n, t)| (*n, t.as_bytes())).collect();
        assert_eq!(list.entries().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn comments_and_white_space_are_dropped() {
        check(b"", &[]);
        check(b"a\n\n# no\n  #no\n b c \r\n\td", &[(1, "a"), (5, "b c"), (6, "d")]);
        check("\u{a0}x#y\u{2003}\n".as_bytes(), &[(1, "x#y")]);
        let raw = list(b" \xff ").expect("no mark");
        assert_eq!(raw.entries().collect::<Vec<_>>(), [(1, &b"\xff"[..])]);
        let lines = list(b" a \n\n#b\r\n").expect("no mark");
        let verbatim: Vec<&[u8]> = lines.lines().map(|(_, line)| line).collect();
        assert_eq!(verbatim, [&b" a "[..], b"", b"#b", b""]);
    }

    #[test]
    fn byte_order_marks_are_obeyed() {
        check("\u{feff}\u{e9}\n".as_bytes(), &[(1, "\u{e9}")]);
        check(b"\xff\xfea\0\n\0\xe9\0", &[(1, "a"), (2, "\u{e9}")]);
        check(b"\xfe\xff\0a\0\n\0\xe9", &[(1, "a"), (2, "\u{e9}")]);
        assert!(list(b"\xff\xfea").is_err());
        assert!(list(b"\xff\xfe\0\xd8").is_err());
    }

    #[test]
    fn what_is_too_long_is_refused() {
        assert!(read_all(io::repeat(b'x').take(LEN_MAX + 1)).is_err());
    }
}
