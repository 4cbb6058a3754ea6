//! `parados ls`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use super::restore::split;
use crate::base::Result;
use crate::base::size::human;
use crate::base::text::escape;
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::ui::{json, text};
use crate::format::entry::Entry;
use crate::ops;
use crate::repo::snapshots::Committed;

/// List what a snapshot holds
///
/// Without a path, everything; with a path, that entry and, if it is a directory, what is directly
/// in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot: an id, its first digits, or `latest`
    #[arg(value_name = "SNAPSHOT")]
    snapshot: OsString,

    /// Only what is at or below this path
    path: Option<OsString>,

    /// Print mode, owner, size and time as well
    #[arg(short, long)]
    long: bool,

    /// Go into the directories below the path
    #[arg(long)]
    recursive: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let (snapshot, path) = split(&args.snapshot)?;
    let path = args.path.as_ref().map(|path| path.as_bytes().to_vec()).or(path);
    let opened = context.open(Access::Read)?;
    let ui = &context.ui;
    // The head is printed before the first entry is read.
    let committed = ops::snapshots::snapshots(&opened.repository)?.resolve(&snapshot)?.clone();
    if ui.json {
        let mut head = json::Snapshot::new(&committed);
        (head.message_type, head.struct_type) = (Some("snapshot"), Some("snapshot"));
        ui.json(&head)?;
    } else {
        ui.tell(&head(&committed))?;
    }
    let options = ops::ls::Options {
        snapshot: committed.id.to_hex(),
        recursive: args.recursive || path.is_none(),
        path,
        cache_dir: opened.cache_dir.clone(),
    };
    let ran = context.run(Tell::AtOnce("ls"), |run| {
        ops::ls::ls(&opened.repository, &options, run, &mut |path, entry| {
            if ui.json {
                ui.json(&json::Node::new(path, entry))
            } else if args.long {
                ui.out(&long(path, entry))
            } else {
                ui.out(&escape(path))
            }
        })
    })?;
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

fn head(committed: &Committed) -> String {
    let snapshot = &committed.snapshot;
    let paths: Vec<String> = snapshot
        .components
        .iter()
        .flat_map(|component| &component.paths)
        .map(|path| escape(&path.0))
        .collect();
    format!(
        "snapshot {} of [{}] at {} by {}@{}:",
        committed.id.short(),
        paths.join(" "),
        snapshot.time.to_local(),
        escape(snapshot.user.as_bytes()),
        escape(snapshot.host.as_bytes())
    )
}

fn long(path: &[u8], entry: &Entry) -> String {
    let name = |name: &Option<Vec<u8>>, id: u32| match name {
        Some(name) => escape(name),
        None => id.to_string(),
    };
    let size = match (entry.size, entry.device) {
        (Some(size), _) => human(size),
        (None, Some(device)) => format!("{}, {}", device.major, device.minor),
        (None, None) => String::new(),
    };
    let time = entry.mtime.map_or_else(String::new, |time| time.to_local());
    let target = match &entry.target {
        Some(target) => format!(" -> {}", escape(target)),
        None => String::new(),
    };
    format!(
        "{} {:8} {:8} {size:>10} {time:19} {}{target}",
        text::permissions(entry),
        name(&entry.user, entry.uid),
        name(&entry.group, entry.gid),
        escape(path)
    )
}
