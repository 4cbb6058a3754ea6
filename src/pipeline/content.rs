//! Reads the bytes of an open file, which others may change meanwhile.

use std::io;
use std::ops::Range;

use crate::base::size::human;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind};
use crate::source::{Layout, OpenFile};

/// Content of a small file, its runs of data one after the other.
pub(super) struct Content {
    pub layout: Layout,
    pub raw: Vec<u8>,
    /// Offset in the file and place in `raw` of every run of data.
    pub runs: Vec<(u64, Range<usize>)>,
    pub short: Option<Short>,
}

/// Why the content of a file ended before its length did.
pub(super) enum Short {
    /// No more came.
    End,
    /// More could not be read.
    Error(io::Error),
}

/// Reads a whole file into memory.
pub(super) fn read_content(open: &OpenFile) -> Content {
    let mut layout = open.layout();
    let mut raw = Vec::with_capacity(layout.data_bytes() as usize);
    let mut runs = Vec::new();
    let mut short = None;
    for range in layout.clone().data_ranges() {
        let start = raw.len();
        raw.resize(start + range.len as usize, 0);
        let read;
        (read, short) = fill(open, &mut raw[start..], range.offset);
        raw.truncate(start + read);
        if read > 0 {
            runs.push((range.offset, start..start + read));
        }
        if short.is_some() {
            layout.truncate(range.offset + read as u64);
            break;
        }
    }
    Content { layout, raw, runs, short }
}

/// Reads until `buffer` is full or the file ends; says how much, and why it ended early.
pub(super) fn fill(open: &OpenFile, buffer: &mut [u8], offset: u64) -> (usize, Option<Short>) {
    let mut read = 0;
    while read < buffer.len() {
        match open.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => return (read, Some(Short::End)),
            Ok(len) => read += len,
            Err(error) => return (read, Some(Short::Error(error))),
        }
    }
    (read, None)
}

/// What is wrong with a file that was read.
pub(super) struct Fault {
    pub has_changed: bool,
    pub problem: Error,
}

/// Tells whether the stat of a file that was read says all about its content.
///
/// # Errors
/// Says what is wrong: the most certain of all reasons, so that one file has one problem.
pub(super) fn judge(open: &OpenFile, layout: &Layout, short: Option<Short>) -> Result<bool, Fault> {
    let (len_max, is_made_up) = (open.len_max(), open.is_made_up());
    let has_size = open.child().signature.size > 0;
    let has_changed = open.finish().changed;
    if short.is_none() && !has_changed && !is_made_up {
        return Ok(true);
    }
    let path = escape(&open.path_bytes());
    let not_all = format!("could not read all of {path}");
    let problem = match short {
        Some(Short::Error(error)) => Error::io(not_all, error),
        _ if has_changed => {
            Error::new(ErrorKind::Busy, format!("{path} changed while it was read"))
                .hint("Back up from a file system snapshot, or stop its writer meanwhile.")
        }
        Some(Short::End) if !is_made_up => {
            let message = format!("{not_all}: it ends after {} of {len_max} bytes", layout.size);
            Error::new(ErrorKind::Access, message)
        }
        None if is_made_up && !has_size => {
            let message = format!("{not_all}: it has no end within {}", human(len_max));
            Error::new(ErrorKind::Unsupported, message)
        }
        _ => return Ok(!is_made_up),
    };
    Err(Fault { has_changed, problem })
}
