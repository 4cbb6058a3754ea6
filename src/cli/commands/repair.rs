//! `parados repair`.

use crate::base::Result;
use crate::base::size::human;
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::ui::{Ui, json, text};
use crate::ops;
use crate::ops::repair::index::Report;

/// Mend what is damaged, as far as what is left says what it was
///
/// Without `--apply` only says what would be done. What the sources still have is mended by the next
/// backup, without any of this.
#[derive(Debug, clap::Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Describe packs anew that no index segment describes
    ///
    /// Each pack says itself what it holds. Index segments that cannot be read are removed once
    /// everything is known that they could say.
    Index {
        /// Do it
        #[arg(long)]
        apply: bool,
    },
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let Verb::Index { apply } = args.verb;
    let opened = context.open(if apply { Access::Write } else { Access::Read })?;
    let options = ops::repair::index::Options { apply, cache_dir: opened.cache_dir.clone() };
    let ran = context.run(Tell::AtOnce("repair"), |run| {
        ops::repair::index::repair(&opened.repository, &options, run)
    })?;
    print(&context.ui, &ran.report, apply)?;
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

fn print(ui: &Ui, report: &Report, is_applied: bool) -> Result<()> {
    for notice in &report.notices {
        ui.notice(notice);
    }
    if ui.json {
        return ui.json(&json::RepairedIndex::new(report, !is_applied));
    }
    let verb = |done: &'static str, would: &'static str| if is_applied { done } else { would };
    if report.described_packs > 0 {
        let packs = text::count(report.described_packs, "pack");
        let bytes = human(report.described_bytes);
        let verb = verb("described", "would describe");
        ui.tell(&format!("{verb} {packs}, {bytes}, that no index segment described"))?;
    }
    for name in &report.damaged_segments {
        ui.tell(&match report.removes_segments {
            true => format!("{} {name}, which cannot be used", verb("removed", "would remove")),
            false => format!("{name} cannot be used, and stays"),
        })?;
    }
    if !report.damaged_segments.is_empty() && !report.removes_segments {
        let packs = text::count(report.unreadable_packs, "pack");
        ui.tell(&format!("it may be all that is known of {packs} that cannot be read"))?;
    }
    if report.described_packs == 0 && report.damaged_segments.is_empty() {
        return ui.tell("nothing to repair");
    }
    if !is_applied {
        ui.tell("nothing was changed; with `--apply` it is")?;
    }
    Ok(())
}
