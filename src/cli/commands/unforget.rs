//! `parados unforget`.

use std::collections::HashSet;

use crate::base::Result;
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::snapshot_table::{Row, table};
use crate::cli::ui::{Ui, json, text};
use crate::ops;
use crate::ops::unforget::Report;

/// Bring forgotten snapshots back
///
/// Without a snapshot, list the forgotten ones that are still there. A snapshot comes back under a
/// new id, and only if nothing that it needs was pruned.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Forgotten snapshots: ids, or their first digits
    #[arg(value_name = "SNAPSHOT")]
    words: Vec<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let access = if args.words.is_empty() { Access::Read } else { Access::Write };
    let opened = context.open(access)?;
    let options = ops::unforget::Options {
        words: args.words.clone(),
        cache_dir: opened.cache_dir.clone(),
        scratch_dir: opened.cache_dir.clone().unwrap_or_else(std::env::temp_dir),
        max_memory: context.settings.max_memory,
    };
    let ui = &context.ui;
    let ran = context.run(Tell::InListing("unforget"), |run| {
        ops::unforget::unforget(&opened.repository, &options, run)
    })?;
    for notice in &ran.report.notices {
        ui.notice(notice);
    }
    if args.words.is_empty() {
        list(ui, &ran.report)?;
    } else {
        tell(ui, &ran.report)?;
    }
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

fn list(ui: &Ui, report: &Report) -> Result<()> {
    if ui.json {
        let all = report.forgotten.iter().map(json::Snapshot::new);
        return ui.json(&all.collect::<Vec<_>>());
    }
    if report.forgotten.is_empty() {
        return ui.tell("no forgotten snapshot is left");
    }
    let rows: Vec<Row<'_>> = report.forgotten.iter().map(|c| (c, &[][..])).collect();
    for line in table(&rows, &HashSet::new(), false).lines(ui.columns()) {
        ui.out(&line)?;
    }
    ui.tell(&text::count(rows.len() as u64, "forgotten snapshot"))
}

fn tell(ui: &Ui, report: &Report) -> Result<()> {
    for (old, new) in &report.back {
        if ui.json {
            ui.json(&json::Unforgotten {
                message_type: "unforgotten",
                snapshot_id: new.id.to_hex(),
                original: old.id.to_hex(),
            })?;
        } else {
            ui.out(&format!("snapshot {} is back as {}", old.id.short(), new.id.short()))?;
        }
    }
    Ok(())
}
