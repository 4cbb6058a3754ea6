//! `parados recover`.

use crate::base::Result;
use crate::base::size::human;
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::identity;
use crate::cli::ui::{Ui, json, text};
use crate::ops;
use crate::ops::recover::Report;

/// Make a snapshot of directories that no snapshot names
///
/// They are left when a snapshot is lost or a backup was stopped, until a prune deletes them. Without
/// `--apply` only says what was found. Run it while no backup is running: the directories of that
/// count as well.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Do it
    #[arg(long)]
    apply: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let apply = args.apply;
    let opened = context.open(if apply { Access::Write } else { Access::Read })?;
    let options = ops::recover::Options {
        apply,
        host: identity::host_of(None, &context.environment)?,
        user: identity::user(),
        program: identity::program(),
        cache_dir: opened.cache_dir.clone(),
        scratch_dir: opened.cache_dir.clone().unwrap_or_else(std::env::temp_dir),
        max_memory: context.settings.max_memory,
    };
    let ran = context.run(Tell::AtOnce("recover"), |run| {
        ops::recover::recover(&opened.repository, &options, run)
    })?;
    print(&context.ui, &ran.report, apply)?;
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

fn print(ui: &Ui, report: &Report, is_applied: bool) -> Result<()> {
    for notice in &report.notices {
        ui.notice(notice);
    }
    if ui.json {
        return ui.json(&json::Recovered::new(report, !is_applied));
    }
    for tree in &report.trees {
        let entries = match tree.entry_count {
            1 => "1 entry".to_owned(),
            count => format!("{count} entries"),
        };
        let size = human(tree.content_bytes);
        ui.out(&format!("{}  {entries}, {size}", &tree.id.to_hex()[..16]))?;
    }
    let count = text::count(report.trees.len() as u64, "tree");
    match &report.made {
        _ if report.trees.is_empty() => ui.tell("nothing to recover: snapshots name every tree"),
        Some(made) => ui.tell(&format!(
            "{count} recovered as snapshot {}; `parados ls {}` shows what is in it",
            made.id.short(),
            made.id.short()
        )),
        None => ui.tell(&format!("{count} found; nothing was changed; with `--apply` it is")),
    }
}
