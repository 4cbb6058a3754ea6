//! `parados snapshots`.

use crate::base::Result;
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::group_by::group_by;
use crate::cli::snapshot_filter::SnapshotFilter;
use crate::cli::snapshot_table::{Row, table};
use crate::cli::ui::{Ui, json, text};
use crate::ops;
use crate::ops::group::GroupBy;
use crate::ops::snapshots::Report;
use crate::repo::snapshots::Committed;

/// List the snapshots, oldest first
///
/// Without a snapshot, all that the options accept; with some, these.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshots: ids, their first digits, `latest`, or `latest~1` for the one before
    #[arg(value_name = "SNAPSHOT")]
    words: Vec<String>,

    #[command(flatten)]
    filter: SnapshotFilter,

    /// Only the newest so many for each host and set of paths
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    latest: Option<u32>,

    /// Group by `host`, `paths` and `tags`, separated by commas
    #[arg(short, long, value_name = "WHAT", value_parser = group_by)]
    group_by: Option<GroupBy>,

    /// Print narrow tables, without paths
    #[arg(short, long)]
    compact: bool,

    /// What backups have stored so far that run still or were interrupted; `restore` and `ls` take it by its
    /// id, until a prune two weeks later
    #[arg(long)]
    interrupted: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let options = ops::snapshots::Options {
        words: args.words.clone(),
        filter: args.filter.filter(&context.environment)?,
        newest: args.latest.map(|count| count as usize),
        group_by: args.group_by.unwrap_or_default(),
        interrupted: args.interrupted,
    };
    let ui = &context.ui;
    args.filter.warn_if_idle(args.words.iter().map(String::as_str), ui);
    let opened = context.open(Access::Read)?;
    let ran = context.run(Tell::InListing("snapshots"), |run| {
        ops::snapshots::snapshots(&opened.repository, &options, run)
    })?;
    if ui.json {
        print_json(ui, &ran.report, options.group_by)?;
    } else {
        print_text(ui, &ran.report, ran.problem_count, args)?;
    }
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

fn print_json(ui: &Ui, report: &Report, group_by: GroupBy) -> Result<()> {
    let list = |all: &[Committed]| all.iter().map(json::Snapshot::new).collect::<Vec<_>>();
    if group_by == GroupBy::default() {
        let all = report.groups.iter().flat_map(|(_, all)| list(all));
        return ui.json(&all.collect::<Vec<_>>());
    }
    let groups = report.groups.iter().map(|(key, all)| json::SnapshotGroup {
        group_key: json::GroupKey::new(key),
        snapshots: list(all),
    });
    ui.json(&groups.collect::<Vec<_>>())
}

fn print_text(ui: &Ui, report: &Report, problem_count: u64, args: &Args) -> Result<()> {
    if report.groups.is_empty() {
        return ui.tell(match (report.has_others, problem_count) {
            (false, 0) if args.interrupted => "no backup was interrupted",
            (true, _) => "no snapshot is like this; without options `parados snapshots` lists all",
            (false, 0) => "no snapshots yet; make one with `parados backup PATH`",
            (false, _) => "no snapshot can be read",
        });
    }
    for (number, (key, all)) in report.groups.iter().enumerate() {
        if let Some(told) = key.describe() {
            let gap = if number > 0 { "\n" } else { "" };
            ui.out(&format!("{gap}snapshots of {told}:"))?;
        }
        let rows: Vec<Row<'_>> = all.iter().map(|committed| (committed, &[][..])).collect();
        for line in table(&rows, &report.ahead, args.compact).lines(ui.columns()) {
            ui.out(&line)?;
        }
        let what = if args.interrupted { "interrupted backup" } else { "snapshot" };
        ui.tell(&text::count(all.len() as u64, what))?;
    }
    Ok(())
}
