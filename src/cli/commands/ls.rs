//! `parados ls`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::restore::split;
use crate::base::Result;
use crate::base::size::human;
use crate::base::text::escape;
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::snapshot_filter::SnapshotFilter;
use crate::cli::ui::{Ui, json, text};
use crate::format::entry::Entry;
use crate::ops;
use crate::repo::snapshots::Committed;

/// List what a snapshot holds
///
/// Without a path, everything; with paths, these and, if they are directories, what is directly in
/// them. Entries come in the order of the bytes of their names, a directory before what is in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot: an id, its first digits, `latest`, or `latest~1` for the one before
    #[arg(value_name = "SNAPSHOT")]
    snapshot: OsString,

    /// Only what is at or directly in this path
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,

    #[command(flatten)]
    filter: SnapshotFilter,

    /// Print mode, owner, size in bytes and time as well
    #[arg(short, long)]
    long: bool,

    /// Print sizes with units
    #[arg(long)]
    human_readable: bool,

    /// Go into the directories below the paths
    #[arg(long)]
    recursive: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let (word, path) = split(&args.snapshot)?;
    let ui = &context.ui;
    args.filter.warn_if_idle([word.as_str()], ui);
    let typed = args.paths.iter().map(|path| path.as_bytes().to_vec());
    let selector = args.filter.selector(word, &context.environment)?;
    let opened = context.open(Access::Read)?;
    let options = ops::ls::Options {
        snapshot: selector,
        paths: path.into_iter().chain(typed).collect(),
        recursive: args.recursive,
        cache_dir: opened.cache_dir.clone(),
    };
    let mut printer = Printer { ui, long: args.long, human: args.human_readable };
    let ran = context.run(Tell::InListing("ls"), |run| {
        ops::ls::ls(&opened.repository, &options, run, &mut printer)
    })?;
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

/// Prints each entry as it comes.
struct Printer<'a> {
    ui: &'a Ui,
    long: bool,
    human: bool,
}

impl ops::ls::Visit for Printer<'_> {
    fn head(&mut self, snapshot: &Committed) -> Result<()> {
        if !self.ui.json {
            return self.ui.tell(&head(snapshot));
        }
        let mut head = json::Snapshot::new(snapshot);
        (head.message_type, head.struct_type) = (Some("snapshot"), Some("snapshot"));
        self.ui.json(&head)
    }

    fn entry(&mut self, path: &[u8], entry: &Entry) -> Result<()> {
        if self.ui.json {
            self.ui.json(&json::Node::new(path, entry))
        } else if self.long {
            self.ui.out(&long(path, entry, self.human))
        } else {
            self.ui.out(&escape(path))
        }
    }
}

fn head(committed: &Committed) -> String {
    let snapshot = &committed.snapshot;
    format!(
        "snapshot {} of [{}] at {} by {}@{}:",
        committed.id.short(),
        text::joined(text::paths(snapshot), " "),
        snapshot.time.to_local(),
        escape(snapshot.user.as_bytes()),
        escape(snapshot.host.as_bytes())
    )
}

fn long(path: &[u8], entry: &Entry, is_human: bool) -> String {
    let name = |name: &Option<Vec<u8>>, id: u32| match name {
        Some(name) => escape(name),
        None => id.to_string(),
    };
    let size = match (entry.size, entry.device) {
        (Some(size), _) if is_human => human(size),
        (Some(size), _) => size.to_string(),
        (None, Some(device)) => format!("{},{}", device.major, device.minor),
        (None, None) => String::new(),
    };
    let time = entry.mtime.map_or_else(String::new, |time| time.to_local());
    let target = match &entry.target {
        Some(target) => format!(" -> {}", escape(target)),
        None => String::new(),
    };
    format!(
        "{} {} {} {size:>10} {time:19} {}{target}",
        text::permissions(entry),
        text::padded(&name(&entry.user, entry.uid), 8),
        text::padded(&name(&entry.group, entry.gid), 8),
        escape(path)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::EntryKind;

    #[test]
    fn columns_stay_in_line_whatever_owners_are_called() {
        let line = |user: &str, size| {
            let mut entry = Entry::new(b"x", EntryKind::File);
            entry.mode = 0o644;
            entry.user = Some(user.as_bytes().to_vec());
            entry.size = Some(size);
            long(b"/x", &entry, false)
        };
        let expect = "-rw-r--r-- root     0             12345                     /x";
        assert_eq!(line("root", 12_345), expect);
        let expect = "-rw-r--r-- \u{5c71}\u{7530}     0                 7                     /x";
        assert_eq!(line("\u{5c71}\u{7530}", 7), expect);
        let expect = "-rw-r--r-- a\\x1b[2J\\n 0                 7                     /x";
        assert_eq!(line("a\u{1b}[2J\n", 7), expect);
    }

    #[test]
    fn targets_and_devices_are_shown() {
        let mut entry = Entry::new(b"l", EntryKind::Symlink);
        entry.mode = 0o777;
        entry.target = Some(b"to\nthere".to_vec());
        assert!(long(b"/l", &entry, true).ends_with(" /l -> to\\nthere"));
        let mut entry = Entry::new(b"f", EntryKind::File);
        entry.size = Some(1536);
        assert!(long(b"/f", &entry, true).contains("  1.500 KiB "));
    }
}
