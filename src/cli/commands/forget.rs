//! `parados forget`.

use std::collections::HashSet;

use crate::base::calendar::Calendar;
use crate::base::{Error, ErrorKind, Result};
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::group_by::group_by;
use crate::cli::keep_flags::KeepFlags;
use crate::cli::prune_flags::PruneFlags;
use crate::cli::snapshot_filter::SnapshotFilter;
use crate::cli::snapshot_table::{Row, table};
use crate::cli::ui::{Ui, json, text};
use crate::ops;
use crate::ops::forget::{Group, Report};
use crate::ops::group::GroupBy;

/// Forget snapshots: those that are named, or those that a policy does not keep
///
/// A policy looks at each host and set of paths by itself. What it does not keep is no longer
/// listed; until it is pruned, `parados unforget` brings it back. Snapshots that are dated in the
/// future stay and push no other out, and so do suspect ones.
#[derive(Debug, clap::Args)]
#[command(mut_arg("filter_hosts", |arg| arg.short(None)))]
pub(crate) struct Args {
    /// Snapshots: ids, their first digits, `latest`, or `latest~1` for the one before
    #[arg(value_name = "SNAPSHOT")]
    words: Vec<String>,

    #[command(flatten)]
    keep: KeepFlags,

    #[command(flatten)]
    filter: SnapshotFilter,

    /// Apply the policy to each group by `host`, `paths` and `tags`, separated by commas; "" for
    /// one group
    #[arg(short, long, value_name = "WHAT", value_parser = group_by, default_value = "host,paths")]
    group_by: GroupBy,

    /// Go on also when nothing is left of a group
    #[arg(long)]
    allow_all: bool,

    /// Only say what would be forgotten
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Print narrow tables, without paths
    #[arg(short, long)]
    compact: bool,

    /// Prune afterward, as `parados prune` does with the options below
    #[arg(long)]
    prune: bool,

    #[command(flatten)]
    prune_flags: PruneFlags,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let policy = args.keep.policy();
    check_usage(args, policy.is_empty())?;
    let options = ops::forget::Options {
        words: args.words.clone(),
        filter: args.filter.filter(&context.environment)?,
        policy,
        group_by: args.group_by,
        calendar: Calendar::local(),
        allow_all: args.allow_all,
        dry_run: args.dry_run,
    };
    let ui = &context.ui;
    args.filter.warn_if_idle(args.words.iter().map(String::as_str), ui);
    let access = if args.dry_run { Access::Read } else { Access::Write };
    let opened = context.open(access)?;
    let ran = context.run(Tell::InListing("forget"), |run| {
        ops::forget::forget(&opened.repository, &options, run)
    })?;
    if ui.json {
        ui.json(&ran.report.groups.iter().map(json::ForgetGroup::new).collect::<Vec<_>>())?;
    } else {
        print(ui, &ran.report, args)?;
    }
    let mut problem_count = ran.problem_count;
    if args.prune && !args.dry_run {
        let options = args.prune_flags.options(context, opened.cache_dir.clone(), false);
        let ran = context.run(Tell::AtOnce("prune"), |run| {
            ops::prune::prune(&opened.repository, &options, run)
        })?;
        super::prune::print(ui, &ran.report, false)?;
        problem_count += ran.problem_count;
    }
    Ok(if problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

/// Either snapshots or a policy.
fn check_usage(args: &Args, keeps_nothing: bool) -> Result<()> {
    let usage = |message| Error::new(ErrorKind::Usage, message);
    match (args.words.is_empty(), keeps_nothing) {
        (true, true) => Err(usage("neither a snapshot nor a policy was given")
            .hint("Try `parados forget --dry-run --keep-daily 7 --keep-weekly 5`.")),
        (false, false) => Err(usage("a policy has no say in snapshots that are named")
            .hint("Leave out the snapshots, or every `--keep-...`.")),
        _ => Ok(()),
    }
}

fn print(ui: &Ui, report: &Report, args: &Args) -> Result<()> {
    let mut gap = "";
    for group in &report.groups {
        if let Some(told) = group.key.describe() {
            ui.out(&format!("{gap}snapshots of {told}:"))?;
            gap = "\n";
        }
        print_group(ui, group, args)?;
    }
    if let Some(lost) = report.lost {
        let verb = if args.dry_run { "would no longer be missed" } else { "is no longer missed" };
        return ui.tell(&format!("snapshot {} is not there, and {verb}", lost.short()));
    }
    let count = report.forgotten().count() as u64;
    let told = match (count, args.dry_run) {
        (0, _) => "nothing to forget".to_owned(),
        (_, true) => format!("would forget {}", text::count(count, "snapshot")),
        (_, false) => format!(
            "forgot {}; `parados unforget` brings back what is not pruned yet",
            text::count(count, "snapshot")
        ),
    };
    ui.tell(&told)
}

fn print_group(ui: &Ui, group: &Group, args: &Args) -> Result<()> {
    let kept: Vec<Row<'_>> = group.kept.iter().map(|(c, reasons)| (c, &reasons[..])).collect();
    let forgotten: Vec<Row<'_>> = group.forgotten.iter().map(|c| (c, &[][..])).collect();
    for (verb, rows) in [("keep", kept), ("forget", forgotten)] {
        if rows.is_empty() {
            continue;
        }
        ui.out(&format!("{verb} {}", text::count(rows.len() as u64, "snapshot")))?;
        for line in table(&rows, &HashSet::new(), args.compact).lines(ui.columns()) {
            ui.out(&line)?;
        }
    }
    Ok(())
}
