//! `parados restore`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::size::human;
use crate::base::{Error, ErrorKind, Result};
use crate::cli::context::{Access, Context, Ran, Tell};
use crate::cli::exit::Outcome;
use crate::cli::restore_args::RestoreArgs;
use crate::cli::restore_selection::RestoreSelectionArgs;
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

    #[command(flatten)]
    selection: RestoreSelectionArgs,

    #[command(flatten)]
    restore: RestoreArgs,

    /// Give nothing to other owners, even as root
    #[arg(long)]
    no_owner: bool,

    /// Also make devices, and give files set-user-ID and set-group-ID bits and capabilities, which
    /// grant rights: only from a repository that nobody else could write to, and only as root
    #[arg(long)]
    special: bool,

    /// Use the numbers of owners, not their names on this host
    #[arg(long)]
    numeric_ids: bool,

    /// Apply no extended attributes and no ACLs
    #[arg(long)]
    no_xattrs: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    args.restore.verify()?;
    let (word, path) = split(&args.snapshot)?;
    args.filter.warn_if_idle([word.as_str()], &context.ui);
    let snapshot = args.filter.selector(word, &context.environment)?;
    let select = args.selection.read(&context.environment)?;
    if args.special && !rustix::process::geteuid().is_root() {
        context.ui.notice("only root can give what `--special` asks for");
    }
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
            special: args.special,
        },
        how: ops::restore::How { select, ..args.restore.how(&context.ui) },
        stays: context.own_paths(&opened.repository),
        cache_dir: opened.cache_dir.clone(),
        max_memory: context.settings.max_memory,
    };
    let ran = context.run(Tell::AtOnce("restore"), |run| {
        ops::restore::restore(&opened.repository, &options, run)
    })?;
    let ui = &context.ui;
    for notice in &ran.report.notices {
        ui.notice(notice);
    }
    print(ui, &ran, args)?;
    Ok(match ran.problem_count {
        _ if ran.report.mismatch_count > 0 => Outcome::Failed,
        0 => Outcome::Done,
        _ => Outcome::Incomplete,
    })
}

fn print(ui: &Ui, ran: &Ran<Report>, args: &Args) -> Result<()> {
    let Ran { report, progress, .. } = ran;
    let (files_skipped, bytes_skipped) =
        (progress.files_skipped.get(), progress.bytes_skipped.get());
    let (files_done, bytes_done) = (progress.files_done.get(), progress.bytes_done.get());
    let files = files_done.saturating_sub(files_skipped);
    let bytes = bytes_done.saturating_sub(bytes_skipped);
    let files_deleted = progress.files_deleted.get();
    let dry_run = args.restore.dry_run();
    if ui.json {
        return ui.json(&json::RestoreSummary {
            message_type: "summary",
            seconds_elapsed: ran.elapsed.as_secs(),
            total_files: progress.files_total.get().max(files_done),
            files_restored: files,
            files_skipped,
            files_deleted,
            total_bytes: progress.bytes_total.get(),
            bytes_restored: bytes,
            bytes_skipped,
            error_count: ran.problem_count,
            dry_run,
            snapshot_id: report.snapshot.to_hex(),
        });
    }
    let elapsed = text::duration(ran.elapsed.max(Duration::from_secs(1)));
    let [restored, skipped, removed] = if dry_run {
        ["would restore", "would skip", "would remove"]
    } else {
        ["restored", "skipped", "removed"]
    };
    ui.tell(&format!("{restored} {}, {} in {elapsed}", text::count(files, "file"), human(bytes)))?;
    if files_skipped > 0 {
        let files = text::count(files_skipped, "file");
        ui.tell(&format!("{skipped} {files}, {}: they are there", human(bytes_skipped)))?;
    } else if bytes_skipped > 0 {
        ui.tell(&format!("{} of these were there already", human(bytes_skipped)))?;
    }
    if files_deleted > 0 {
        let names = text::count(files_deleted, "name");
        ui.tell(&format!("{removed} {names} that the snapshot does not have"))?;
    }
    if ran.problem_count > 0 {
        let problems = text::count(ran.problem_count, "problem");
        ui.tell(&format!("{problems}: what was named could not be restored, or not wholly"))?;
    }
    if dry_run {
        return ui.tell("nothing was written");
    }
    let id = report.snapshot.short();
    ui.tell(&format!("snapshot {id} is in {}", text::path(&args.target)))
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
