//! Times and names as a person reads them.

use std::path::Path;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::base::text::escape;
use crate::format::entry::{Entry, EntryKind};
use crate::format::snapshot::Snapshot;

/// `0:03`, `12:34` or `1:02:03`.
pub(crate) fn duration(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A path without characters that drive a terminal.
pub(crate) fn path(path: &Path) -> String {
    escape(path.as_os_str().as_encoded_bytes())
}

/// Texts of somebody else in a row.
pub(crate) fn joined<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>, glue: &str) -> String {
    parts.into_iter().map(|part| escape(part.as_ref())).collect::<Vec<_>>().join(glue)
}

/// The paths that a snapshot was asked for.
pub(crate) fn paths(snapshot: &Snapshot) -> impl Iterator<Item = &[u8]> {
    snapshot.components.iter().flat_map(|component| &component.paths).map(|path| &path.0[..])
}

/// Columns that a text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text`, followed by what it lacks to `columns`.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The start of `text` that takes at most `columns`, but at least one character.
pub(crate) fn head(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    for (place, character) in text.char_indices() {
        taken += character.width().unwrap_or(0);
        if taken > columns && place > 0 {
            return &text[..place];
        }
    }
    text
}

/// The end of `text` that takes at most `columns`.
pub(crate) fn tail(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    for (place, character) in text.char_indices().rev() {
        taken += character.width().unwrap_or(0);
        if taken > columns {
            return &text[place + character.len_utf8()..];
        }
    }
    text
}

/// `drwxr-xr-x`, as `ls -l` prints it.
pub(crate) fn permissions(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::CharDevice => 'c',
        EntryKind::BlockDevice => 'b',
        EntryKind::Socket => 's',
    };
    let mut text = String::from(kind);
    for (shift, special, set, unset) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = entry.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_look_as_in_ls() {
        let show = |kind, mode| {
            let mut entry = Entry::new(b"x", kind);
            entry.mode = mode;
            permissions(&entry)
        };
        assert_eq!(show(EntryKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(show(EntryKind::File, 0o4755), "-rwsr-xr-x");
        assert_eq!(show(EntryKind::File, 0o2640), "-rw-r-S---");
        assert_eq!(show(EntryKind::Symlink, 0o777), "lrwxrwxrwx");
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let wide = "\u{4f60}\u{597d}ab";
        assert_eq!((width(wide), width("e\u{301}")), (6, 1));
        assert_eq!(padded(wide, 8), format!("{wide}  "));
        assert_eq!((head(wide, 3), tail(wide, 3)), ("\u{4f60}", "ab"));
        assert_eq!((head(wide, 1), tail(wide, 6)), ("\u{4f60}", wide));
    }

    #[test]
    fn durations_are_as_short_as_they_can_be() {
        assert_eq!(duration(Duration::from_millis(3900)), "0:03");
        assert_eq!(duration(Duration::from_secs(3723)), "1:02:03");
    }
}
