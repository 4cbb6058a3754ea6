//! Snapshots as a table.

use std::collections::HashSet;

use super::ui::table::Table;
use super::ui::text;
use crate::base::SessionId;
use crate::base::size::human;
use crate::format::snapshot::State;
use crate::repo::snapshots::Committed;

/// A snapshot, with why it is kept where that was asked.
pub(crate) type Row<'a> = (&'a Committed, &'a [String]);

/// A column: its head, and what stands in it.
type Column = (&'static str, fn(&Row<'_>) -> String);

const ID: Column = ("ID", |(c, _)| c.id.short());
const TIME: Column = ("Time", |(c, _)| c.snapshot.time.to_local());
const HOST: Column = ("Host", |(c, _)| text::joined([&c.snapshot.host], ""));
const TAGS: Column = ("Tags", |(c, _)| text::joined(&c.snapshot.tags, ","));
const REASONS: Column = ("Reasons", |(_, reasons)| text::joined(*reasons, "\n"));
const PATHS: Column = ("Paths", |(c, _)| text::joined(text::paths(&c.snapshot), "\n"));
const DESCRIPTION: Column = ("Description", |(c, _)| text::joined(&c.snapshot.description, ""));

/// A line for each snapshot. Those in `ahead` are dated later than now; a compact table has no
/// paths.
pub(crate) fn table(all: &[Row<'_>], ahead: &HashSet<SessionId>, compact: bool) -> Table {
    let mut columns = vec![ID, TIME, HOST, TAGS];
    if all.iter().any(|(_, reasons)| !reasons.is_empty()) {
        columns.push(REASONS);
    }
    if !compact {
        columns.push(PATHS);
        if all.iter().any(|(committed, _)| committed.snapshot.description.is_some()) {
            columns.push(DESCRIPTION);
        }
    }
    let heads: Vec<&'static str> = columns.iter().map(|(head, _)| *head).chain(["Size"]).collect();
    let flexible = ["Host", "Tags", "Reasons", "Paths", "Description"];
    let mut table = Table::new(&heads).flexible(&flexible);
    for row in all {
        let cells = columns.iter().map(|(_, cell)| cell(row));
        table.row(cells.chain([size(row.0, ahead)]).collect());
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
