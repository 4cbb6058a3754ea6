//! `parados restore`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::size::human;
use crate::base::{Error, ErrorKind, Result};
use crate::cli::context::{Access, Context, Ran, Tell};
use crate::cli::exit::Outcome;
use crate::cli::snapshot_filter::SnapshotFilter;
use crate::cli::ui::{Ui, json, text};
use crate::ops;
use crate::ops::restore::Report;
use crate::target;

/// Bring a snapshot, or a part of it, back to a directory
///
/// `SNAPSHOT:PATH` restores that file, or what is in that directory, directly into the target. A
/// file that cannot be restored is named, and the rest is restored: the exit code is 3 then.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot: an id, its first digits, `latest` or `latest~1`; with `:PATH`, only that part
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    snapshot: OsString,

    #[command(flatten)]
    filter: SnapshotFilter,

    /// Directory to restore to; it is made if there is none
    #[arg(short, long, value_name = "DIR")]
    target: PathBuf,

    /// Give nothing to other owners, even as root
    #[arg(long)]
    no_owner: bool,

    /// Use the numbers of owners, not their names on this host
    #[arg(long)]
    numeric_ids: bool,

    /// Apply no extended attributes and no ACLs
    #[arg(long)]
    no_xattrs: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let (word, path) = split(&args.snapshot)?;
    args.filter.warn_if_idle([word.as_str()], &context.ui);
    let snapshot = args.filter.selector(word, &context.environment)?;
    let opened = context.open(Access::Read)?;
    let defaults = target::Options::default();
    let options = ops::restore::Options {
        snapshot,
        path,
        target: args.target.clone(),
        target_options: target::Options {
            owner: defaults.owner && !args.no_owner,
            numeric_ids: args.numeric_ids,
            xattrs: defaults.xattrs && !args.no_xattrs,
            devices: defaults.devices,
        },
        max_memory: context.settings.max_memory,
        cache_dir: opened.cache_dir.clone(),
    };
    let ran = context.run(Tell::AtOnce("restore"), |run| {
        ops::restore::restore(&opened.repository, &options, run)
    })?;
    let ui = &context.ui;
    for notice in &ran.report.notices {
        ui.notice(notice);
    }
    print(ui, &ran, &args.target)?;
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

fn print(ui: &Ui, ran: &Ran<Report>, target: &std::path::Path) -> Result<()> {
    let Ran { report, progress, .. } = ran;
    let (files, bytes) = (progress.files_done.get(), progress.bytes_done.get());
    if ui.json {
        return ui.json(&json::RestoreSummary {
            message_type: "summary",
            seconds_elapsed: ran.elapsed.as_secs(),
            total_files: progress.files_total.get().max(files),
            files_restored: files,
            total_bytes: progress.bytes_total.get(),
            bytes_restored: bytes,
            error_count: ran.problem_count,
            snapshot_id: report.snapshot.to_hex(),
        });
    }
    let files = text::count(files, "file");
    let elapsed = text::duration(ran.elapsed.max(Duration::from_secs(1)));
    let id = report.snapshot.short();
    ui.tell(&format!("restored {files}, {} in {elapsed}", human(bytes)))?;
    if ran.problem_count > 0 {
        let problems = text::count(ran.problem_count, "problem");
        ui.tell(&format!("{problems}: what was named could not be restored, or not wholly"))?;
    }
    ui.tell(&format!("snapshot {id} is in {}", text::path(target)))
}

/// The snapshot of `SNAPSHOT[:PATH]`, and the path.
///
/// # Errors
/// When the snapshot is no text.
pub(super) fn split(typed: &OsStr) -> Result<(String, Option<Vec<u8>>)> {
    let bytes = typed.as_bytes();
    let (word, path) = match bytes.iter().position(|byte| *byte == b':') {
        Some(at) => (&bytes[..at], Some(bytes[at + 1..].to_vec())),
        None => (bytes, None),
    };
    match std::str::from_utf8(word) {
        Ok(word) => Ok((word.to_owned(), path.filter(|path| !path.is_empty()))),
        Err(_) => Err(Error::new(ErrorKind::Usage, "an id of a snapshot has only hex digits")),
    }
}
