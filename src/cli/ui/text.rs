//! Times and names as a person reads them.

use std::time::Duration;

use crate::format::entry::{Entry, EntryKind};

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

/// A message without characters that drive a terminal; names in it were escaped before.
pub(crate) fn printable(message: &str) -> String {
    message
        .chars()
        .map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
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
    fn durations_are_as_short_as_they_can_be() {
        assert_eq!(duration(Duration::from_millis(3900)), "0:03");
        assert_eq!(duration(Duration::from_secs(3723)), "1:02:03");
    }
}
