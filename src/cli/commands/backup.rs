//! `parados backup`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::size::human;
use crate::base::text::escape;
use crate::base::{Error, ErrorKind, Result};
use crate::cli::backup_flags::BackupFlags;
use crate::cli::context::{Access, Context, Ran, Tell};
use crate::cli::exit::Outcome;
use crate::cli::identity;
use crate::cli::selection::SelectionArgs;
use crate::cli::source_lists::SourceLists;
use crate::cli::stream_flags::StreamFlags;
use crate::cli::ui::{Ui, json, text};
use crate::format::snapshot::{Snapshot, State};
use crate::ops;
use crate::ops::backup::{Made, Report};
use crate::source::Selection;
use crate::source::selection::Listener;

/// Make a snapshot of files and directories
///
/// Reads what changed since the last snapshot of the same paths on this host, and stores what the
/// repository does not have. Without a repository one is made in your home directory. A file that
/// cannot be read is named and left out: the exit code is 3 then.
///
/// With `--stdin`, or with `--stdin-from-command -- COMMAND ARGUMENT...`, one stream is stored as
/// a file. The command runs without a shell and sees no secret of ours; unless it ends with status
/// 0, no snapshot is made and the exit code is 1. A stream that is empty, or shorter than half of
/// the last one, is stored and marked as suspect: the exit code is 3 then.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files and directories
    #[arg(value_name = "PATH")]
    #[arg(required_unless_present_any = [
        "files_from", "files_from_verbatim", "files_from_raw", "stdin", "stdin_from_command"
    ])]
    sources: Vec<PathBuf>,

    #[command(flatten)]
    lists: SourceLists,

    #[command(flatten)]
    stream: StreamFlags,

    #[command(flatten)]
    selection: SelectionArgs,

    #[command(flatten)]
    flags: BackupFlags,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let Args { flags, stream, .. } = args;
    let environment = &context.environment;
    let (level, read_concurrency) =
        (flags.level(environment)?, flags.read_concurrency(environment)?);
    let pack_len = flags.pack_len(environment)?;
    let (host, time) = (flags.host(environment)?, flags.time()?);
    let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let source = stream.stream(&args.sources, environment)?;
    context.stdin_is_data.set(stream.stdin);
    let selection = selection(context, args)?;
    let sources = sources(context, args, &cwd)?;
    let (opened, made) = match flags.dry_run {
        true => (context.open(Access::Read)?, None),
        false => context.open_or_make()?,
    };
    let ui = &context.ui;
    if let Some(made) = made {
        ui.embedded_made(&made)?;
    }
    let options = ops::backup::Options {
        sources,
        cwd,
        stream: source,
        allow_suspect: stream.allow_suspect,
        time,
        host,
        user: identity::user(),
        tags: flags.tags(),
        parent: flags.parent.clone(),
        force: flags.force,
        is_watched: ui.shows_progress(),
        comparison: flags.comparison(),
        dry_run: flags.dry_run,
        skip_if_unchanged: flags.skip_if_unchanged,
        max_memory: context.settings.max_memory,
        level,
        checks_frames: !flags.no_extra_verify,
        pack_len,
        read_concurrency,
        save_interval: flags.save_interval,
        exclude: context.own_paths(&opened.repository),
        selection,
        cache_dir: opened.cache_dir.clone(),
        description: flags.description.clone(),
        program: identity::program(),
    };
    let ran = context.run(Tell::AtOnce("archival"), |run| {
        ops::backup::backup(&opened.repository, &options, run)
    });
    let ran = ran.map_err(|error| match error.kind {
        ErrorKind::Cancelled if !options.dry_run && options.stream.is_none() => error.hint(
            "Run it again: it goes on from what is stored. `parados snapshots --interrupted` lists that.",
        ),
        _ => error,
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

fn print_json(ui: &Ui, ran: &Ran<Report>) -> Result<()> {
    let Ran { report, progress, .. } = ran;
    let snapshot = &report.snapshot;
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
        blobs_healed: Some(progress.healed_chunks.get()).filter(|count| *count > 0),
        files_resumed: Some(progress.files_resumed.get()).filter(|count| *count > 0),
        bytes_resumed: Some(progress.bytes_resumed.get()).filter(|count| *count > 0),
        total_files_processed: progress.files_done.get(),
        total_dirs_processed: progress.directories_done.get(),
        total_bytes_processed: progress.bytes_done.get(),
        backup_start: snapshot.time.to_rfc3339(),
        backup_end: snapshot.finished.to_rfc3339(),
        total_duration: ran.elapsed.as_secs_f64(),
        error_count: ran.problem_count,
        parent: report.parent.map(|id| id.to_hex()),
        snapshot_id: match report.made {
            Made::Snapshot(id) => Some(id.to_hex()),
            Made::Unchanged | Made::Nothing => None,
        },
        dry_run: (report.made == Made::Nothing).then_some(true),
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
    let resumed = progress.files_resumed.get();
    if resumed > 0 {
        let files = text::count(resumed, "file");
        let bytes = human(progress.bytes_resumed.get());
        ui.tell(&format!(
            "Not read again: {bytes} of {files} that an interrupted backup had stored"
        ))?;
    }
    let added = progress.new_data_bytes.get() + progress.new_metadata_bytes.get();
    let stored = progress.stored_bytes.get();
    let verb = if report.made == Made::Nothing { "Would add" } else { "Added" };
    ui.tell(&format!("{verb} to the repository: {} ({} stored)", human(added), human(stored)))?;
    let healed = progress.healed_chunks.get();
    if healed > 0 {
        let verb = if report.made == Made::Nothing { "Would heal" } else { "Healed" };
        let chunks = text::count(healed, "chunk");
        ui.tell(&format!("{verb}: {chunks} that were in packs which are damaged or gone"))?;
    }
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
        ui.tell(&format!("{problems}{}", verdict(&report.snapshot)))?;
    }
    ui.tell(&match (report.made, report.parent) {
        (Made::Snapshot(id), _) => format!("snapshot {} saved", id.short()),
        (Made::Unchanged, Some(parent)) => {
            format!("nothing changed since snapshot {}: no new one was made", parent.short())
        }
        (Made::Unchanged | Made::Nothing, _) => "nothing was written".to_owned(),
    })
}

/// What problems mean for a snapshot.
fn verdict(snapshot: &Snapshot) -> &'static str {
    match snapshot.components.iter().map(|c| c.state).max_by_key(|state| *state as u8) {
        None | Some(State::Complete) => " of the repository; the snapshot is whole",
        Some(State::Incomplete) => ": the snapshot lacks what could not be read",
        Some(State::Suspect) => ": the snapshot may not hold what it should",
    }
}
