//! `parados backup`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use crate::base::size::human;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};
use crate::cli::context::{Context, Ran, Tell};
use crate::cli::exit::Outcome;
use crate::cli::identity;
use crate::cli::selection::SelectionArgs;
use crate::cli::source_lists::SourceLists;
use crate::cli::ui::{Ui, json, text};
use crate::format::snapshot::State;
use crate::ops;
use crate::ops::backup::Report;
use crate::source::Selection;
use crate::source::selection::Listener;

/// Files that are read at a time when nothing is said: enough to keep a disk busy while two cores
/// seal.
const READ_CONCURRENCY: usize = 4;

/// Make a snapshot of files and directories
///
/// Reads what changed since the last snapshot of the same paths on this host, and stores what the
/// repository does not have. Without a repository one is made in your home directory. A file that
/// cannot be read is named and left out: the exit code is 3 then.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files and directories
    #[arg(value_name = "PATH")]
    #[arg(required_unless_present_any = ["files_from", "files_from_verbatim", "files_from_raw"])]
    sources: Vec<PathBuf>,

    #[command(flatten)]
    lists: SourceLists,

    #[command(flatten)]
    selection: SelectionArgs,

    /// Mark the snapshot; may be given several times
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    tag: Vec<String>,

    /// Record this host name instead of that of the system [env: PARADOS_HOST]
    #[arg(short = 'H', long, value_name = "NAME")]
    host: Option<String>,

    /// Describe the snapshot
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,

    /// Read every file, also those that look unchanged
    #[arg(short, long)]
    force: bool,

    /// Files to read at a time [default: 4] [env: PARADOS_READ_CONCURRENCY]
    #[arg(long, value_name = "N")]
    read_concurrency: Option<usize>,

    /// How hard to compress [default: auto] [env: PARADOS_COMPRESSION]
    #[arg(long, value_enum, value_name = "MODE")]
    compression: Option<Compression>,
}

/// How hard to compress; there is no `off`, what does not shrink is stored as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Compression {
    #[default]
    Auto,
    Fastest,
    Better,
    Max,
}

impl Compression {
    /// Levels of zstd. 3 is what zstd itself prefers: 1 saves little time beside reading and
    /// sealing, 7 is about half as fast for a few percent, 19 is for what is written once.
    fn level(self) -> i32 {
        match self {
            Self::Fastest => 1,
            Self::Auto => 3,
            Self::Better => 7,
            Self::Max => 19,
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let compression = compression(context, args)?;
    let read_concurrency = read_concurrency(context, args)?;
    let host = identity::host_of(args.host.as_ref(), &context.environment)?;
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let selection = selection(context, args)?;
    let sources = sources(context, args, &cwd)?;
    let (opened, made) = context.open_or_make()?;
    let ui = &context.ui;
    if let Some(made) = made {
        ui.embedded_made(&made)?;
    }
    let options = ops::backup::Options {
        sources,
        cwd,
        host,
        user: identity::user(),
        tags: args.tag.iter().filter(|tag| !tag.is_empty()).cloned().collect(),
        force: args.force,
        is_watched: ui.shows_progress(),
        max_memory: context.settings.max_memory,
        level: compression.level(),
        read_concurrency,
        exclude: context.own_paths(&opened.repository),
        selection,
        cache_dir: opened.cache_dir.clone(),
        description: args.description.clone(),
        program: identity::program(),
    };
    let ran = context.run(Tell::AtOnce("archival"), |run| {
        ops::backup::backup(&opened.repository, &options, run)
    })?;
    for notice in &ran.report.notices {
        ui.notice(notice);
    }
    for path in &ran.report.excluded {
        ui.notice(&format!("left out {}: it belongs to this repository", escape(path)));
    }
    if ui.json {
        print_json(ui, &ran)?
    } else {
        print_text(ui, &ran)?
    }
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

/// What was typed with what lists name.
fn sources(context: &Context, args: &Args, cwd: &Path) -> Result<Vec<PathBuf>> {
    if args.lists.use_stdin() && context.settings.asks_on_stdin() {
        let message = "standard input holds a list of files, so that nothing can be typed there";
        return Err(Error::new(ErrorKind::Usage, message)
            .hint("Say what opens the repository: `--password-file FILE` or `--key-file FILE`."));
    }
    let mut sources = args.sources.clone();
    sources.extend(args.lists.read(cwd, &context.ui)?);
    Ok(sources)
}

/// What to leave out; with `--verbose`, each is named.
fn selection(context: &Context, args: &Args) -> Result<Selection> {
    let mut selection = args.selection.read(&context.environment)?;
    if context.ui.verbose {
        let ui = Arc::clone(&context.ui);
        selection.listener = Some(Listener(Arc::new(move |path, why| {
            // A reader that has gone is told at the end.
            let _told = if ui.json {
                ui.json(&json::ExcludedItem::new(path, why))
            } else {
                ui.tell(&format!("excluded {}: {why}", escape(path)))
            };
        })));
    }
    Ok(selection)
}

fn compression(context: &Context, args: &Args) -> Result<Compression> {
    if let Some(compression) = args.compression {
        return Ok(compression);
    }
    let Some(word) = context.environment.text("PARADOS_COMPRESSION")? else {
        return Ok(Compression::default());
    };
    Compression::from_str(&word, true).map_err(|_| {
        Error::new(ErrorKind::Usage, format!("PARADOS_COMPRESSION cannot be {word:?}"))
            .hint("It is `auto`, `fastest`, `better` or `max`.")
    })
}

fn read_concurrency(context: &Context, args: &Args) -> Result<usize> {
    let count = match args.read_concurrency {
        Some(count) => Some(count),
        None => match context.environment.text("PARADOS_READ_CONCURRENCY")? {
            None => None,
            Some(text) => Some(text.trim().parse().map_err(|_| {
                Error::new(ErrorKind::Usage, "PARADOS_READ_CONCURRENCY is not a number")
            })?),
        },
    };
    match count {
        Some(0) => Err(Error::new(ErrorKind::Usage, "at least one file is read at a time")),
        count => Ok(count.unwrap_or(READ_CONCURRENCY)),
    }
}

fn print_json(ui: &Ui, ran: &Ran<Report>) -> Result<()> {
    let Ran { report, progress, .. } = ran;
    let snapshot = &report.snapshot.snapshot;
    ui.json(&json::BackupSummary {
        message_type: "summary",
        files_new: progress.files_new.get(),
        files_changed: progress.files_changed.get(),
        files_unmodified: progress.files_unmodified.get(),
        data_blobs: progress.new_data_chunks.get(),
        tree_blobs: progress.new_metadata_chunks.get(),
        data_added: progress.new_data_bytes.get() + progress.new_metadata_bytes.get(),
        data_added_packed: progress.stored_bytes.get(),
        packs_added: progress.stored_packs.get(),
        total_files_processed: progress.files_done.get(),
        total_dirs_processed: progress.directories_done.get(),
        total_bytes_processed: progress.bytes_done.get(),
        backup_start: snapshot.time.to_rfc3339(),
        backup_end: snapshot.finished.to_rfc3339(),
        total_duration: ran.elapsed.as_secs_f64(),
        error_count: ran.problem_count,
        parent: report.parent.map(|id| id.to_hex()),
        snapshot_id: report.snapshot.id.to_hex(),
    })
}

fn print_text(ui: &Ui, ran: &Ran<Report>) -> Result<()> {
    let Ran { report, progress, .. } = ran;
    if ui.verbose {
        ui.tell(&match report.parent {
            Some(parent) => format!("parent snapshot {}", parent.short()),
            None => "no parent snapshot: every file was read".to_owned(),
        })?;
    }
    ui.tell(&format!(
        "Files: {} new, {} changed, {} unmodified",
        progress.files_new.get(),
        progress.files_changed.get(),
        progress.files_unmodified.get()
    ))?;
    let added = progress.new_data_bytes.get() + progress.new_metadata_bytes.get();
    let stored = progress.stored_bytes.get();
    ui.tell(&format!("Added to the repository: {} ({} stored)", human(added), human(stored)))?;
    if ui.verbose {
        let chunks = progress.new_data_chunks.get() + progress.new_metadata_chunks.get();
        let packs = text::count(progress.stored_packs.get(), "pack");
        ui.tell(&format!("New: {} in {packs}", text::count(chunks, "chunk")))?;
    }
    let files = text::count(progress.files_done.get(), "file");
    let bytes = human(progress.bytes_done.get());
    // A run of no time at all looks like a mistake.
    let elapsed = text::duration(ran.elapsed.max(Duration::from_secs(1)));
    ui.tell(&format!("processed {files}, {bytes} in {elapsed}"))?;
    if ran.problem_count > 0 {
        let problems = text::count(ran.problem_count, "problem");
        let is_whole =
            report.snapshot.snapshot.components.iter().all(|c| c.state == State::Complete);
        ui.tell(&match is_whole {
            true => format!("{problems} of the repository; the snapshot is whole"),
            false => format!("{problems}: the snapshot lacks what could not be read"),
        })?;
    }
    ui.tell(&format!("snapshot {} saved", report.snapshot.id.short()))
}
