//! `parados snapshots`.

use crate::base::Result;
use crate::base::size::human;
use crate::base::text::escape;
use crate::cli::context::{Access, Context};
use crate::cli::exit::Outcome;
use crate::cli::ui::table::Table;
use crate::cli::ui::{json, text};
use crate::format::snapshot::State;
use crate::ops;
use crate::repo::snapshots::Committed;

/// List the snapshots, oldest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _args: &Args) -> Result<Outcome> {
    let opened = context.open(Access::Read)?;
    let found = ops::snapshots::snapshots(&opened.repository)?;
    let ui = &context.ui;
    for problem in &found.problems {
        ui.problem(problem, "snapshots");
    }
    if ui.json {
        ui.json(&found.all.iter().map(json::Snapshot::new).collect::<Vec<_>>())?;
    } else if found.all.is_empty() {
        ui.tell(if found.problems.is_empty() {
            "no snapshots yet; make one with `parados backup PATH`"
        } else {
            "no snapshot can be read"
        })?;
    } else {
        let mut table = Table::new(&["ID", "Time", "Host", "Tags", "Paths", "Size"]);
        found.all.iter().for_each(|committed| table.row(row(committed)));
        for line in table.lines() {
            ui.out(&line)?;
        }
        ui.tell(&text::count(found.all.len() as u64, "snapshot"))?;
    }
    Ok(if found.problems.is_empty() { Outcome::Done } else { Outcome::Incomplete })
}

fn row(committed: &Committed) -> Vec<String> {
    let snapshot = &committed.snapshot;
    let shown = |bytes: &[u8]| escape(bytes);
    let components = &snapshot.components;
    let bytes: u64 = components.iter().map(|c| c.statistics.content_bytes).sum();
    let mark =
        if components.iter().all(|c| c.state == State::Complete) { "" } else { " (partial)" };
    vec![
        committed.id.short(),
        snapshot.time.to_local(),
        shown(snapshot.host.as_bytes()),
        snapshot.tags.iter().map(|tag| shown(tag.as_bytes())).collect::<Vec<_>>().join(","),
        components
            .iter()
            .flat_map(|component| &component.paths)
            .map(|path| shown(&path.0))
            .collect::<Vec<_>>()
            .join("\n"),
        format!("{}{mark}", human(bytes)),
    ]
}
