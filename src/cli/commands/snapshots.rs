//! `parados snapshots`.

use std::collections::HashSet;

use crate::base::size::human;
use crate::base::{Result, SessionId};
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::snapshot_filter::SnapshotFilter;
use crate::cli::ui::table::Table;
use crate::cli::ui::{Ui, json, text};
use crate::format::snapshot::State;
use crate::ops;
use crate::ops::snapshots::{GroupBy, GroupKey, Report};
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
}

/// What `--group-by` means.
fn group_by(text: &str) -> Result<GroupBy, String> {
    let mut group_by = GroupBy::default();
    for word in text.split(',') {
        match word.trim() {
            "host" | "hosts" => group_by.host = true,
            "path" | "paths" => group_by.paths = true,
            "tag" | "tags" => group_by.tags = true,
            "" => {}
            other => return Err(format!("{other:?} is not `host`, `paths` or `tags`")),
        }
    }
    Ok(group_by)
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let options = ops::snapshots::Options {
        words: args.words.clone(),
        filter: args.filter.filter(&context.environment)?,
        newest: args.latest.map(|count| count as usize),
        group_by: args.group_by.unwrap_or_default(),
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
        print_text(ui, &ran.report, ran.problem_count, args.compact)?;
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

fn print_text(ui: &Ui, report: &Report, problem_count: u64, compact: bool) -> Result<()> {
    if report.groups.is_empty() {
        return ui.tell(match (report.has_others, problem_count) {
            (true, _) => "no snapshot is like this; without options `parados snapshots` lists all",
            (false, 0) => "no snapshots yet; make one with `parados backup PATH`",
            (false, _) => "no snapshot can be read",
        });
    }
    for (number, (key, all)) in report.groups.iter().enumerate() {
        if *key != GroupKey::default() {
            let gap = if number > 0 { "\n" } else { "" };
            ui.out(&format!("{gap}snapshots of {}:", told(key)))?;
        }
        for line in table(all, &report.ahead, compact).lines(ui.columns()) {
            ui.out(&line)?;
        }
        ui.tell(&text::count(all.len() as u64, "snapshot"))?;
    }
    Ok(())
}

/// What a group has in common.
fn told(key: &GroupKey) -> String {
    let host = key.host.as_ref().map(|host| format!("host [{}]", text::joined([host], "")));
    let paths = key.paths.as_ref().map(|paths| format!("paths [{}]", text::joined(paths, ", ")));
    let tags = key.tags.as_ref().map(|tags| format!("tags [{}]", text::joined(tags, ", ")));
    [host, paths, tags].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A column: its head, and what stands in it.
type Column = (&'static str, fn(&Committed) -> String);

const ID: Column = ("ID", |c| c.id.short());
const TIME: Column = ("Time", |c| c.snapshot.time.to_local());
const HOST: Column = ("Host", |c| text::joined([&c.snapshot.host], ""));
const TAGS: Column = ("Tags", |c| text::joined(&c.snapshot.tags, ","));
const PATHS: Column = ("Paths", |c| text::joined(text::paths(&c.snapshot), "\n"));
const DESCRIPTION: Column = ("Description", |c| text::joined(&c.snapshot.description, ""));

fn table(all: &[Committed], ahead: &HashSet<SessionId>, compact: bool) -> Table {
    let mut columns = vec![ID, TIME, HOST, TAGS];
    if !compact {
        columns.push(PATHS);
        if all.iter().any(|committed| committed.snapshot.description.is_some()) {
            columns.push(DESCRIPTION);
        }
    }
    let heads: Vec<&'static str> = columns.iter().map(|(head, _)| *head).chain(["Size"]).collect();
    let mut table = Table::new(&heads).flexible(&["Host", "Tags", "Paths", "Description"]);
    for committed in all {
        let cells = columns.iter().map(|(_, cell)| cell(committed));
        table.row(cells.chain([size(committed, ahead)]).collect());
    }
    table
}

/// The size, and what is odd about the snapshot.
fn size(committed: &Committed, ahead: &HashSet<SessionId>) -> String {
    let components = &committed.snapshot.components;
    let bytes = components.iter().map(|c| c.statistics.content_bytes).fold(0, u64::saturating_add);
    let mut size = human(bytes);
    if components.iter().any(|component| component.state != State::Complete) {
        size.push_str(" (partial)");
    }
    if ahead.contains(&committed.id) {
        size.push_str(" (dated in the future)");
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_as_restic_names_them() {
        let all = GroupBy { host: true, paths: true, tags: true };
        assert_eq!(group_by("host,paths,tags"), Ok(all));
        assert_eq!(group_by("tags, path,hosts"), Ok(all));
        assert_eq!(group_by(""), Ok(GroupBy::default()));
        let refused = group_by("host,user").expect_err("there is no such word");
        assert_eq!(refused, "\"user\" is not `host`, `paths` or `tags`");
    }
}
