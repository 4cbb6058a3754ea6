//! `parados prune`.

use crate::base::Result;
use crate::base::size::human;
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::prune_flags::PruneFlags;
use crate::cli::ui::{Ui, json, text};
use crate::ops;
use crate::ops::prune::Report;

/// Delete what no snapshot needs
///
/// Backups, restores and other prunes may run at the same time. What nobody needs is named first,
/// and deleted by a prune that runs when the grace has passed: until then `parados unforget` works.
/// Run it every day, and each run deletes what the one before has named.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: PruneFlags,

    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let access = if args.dry_run { Access::Read } else { Access::Write };
    let opened = context.open(access)?;
    let options = args.flags.options(context, opened.cache_dir.clone(), args.dry_run);
    let ran = context
        .run(Tell::AtOnce("prune"), |run| ops::prune::prune(&opened.repository, &options, run))?;
    print(&context.ui, &ran.report, args.dry_run)?;
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

/// Says what was done.
pub(crate) fn print(ui: &Ui, report: &Report, is_dry: bool) -> Result<()> {
    for notice in &report.notices {
        ui.notice(notice);
    }
    if ui.json {
        return ui.json(&json::Pruned::new(report, is_dry));
    }
    let packs = |count, bytes| format!("{}, {}", text::count(count, "pack"), human(bytes));
    if report.deleted_packs > 0 {
        ui.tell(&format!("deleted {}", packs(report.deleted_packs, report.deleted_bytes)))?;
    }
    if report.deleted_snapshots > 0 {
        let count = text::count(report.deleted_snapshots, "forgotten snapshot");
        ui.tell(&format!("{count} cannot be brought back any more"))?;
    }
    if report.moved_bytes > 0 {
        let verb = if is_dry { "would move" } else { "moved" };
        ui.tell(&format!("{verb} {} into other packs", human(report.moved_bytes)))?;
    }
    if let Some(until) = report.waiting_until {
        let until = until.to_local();
        ui.tell(&if report.waiting_packs > 0 {
            let named = packs(report.waiting_packs, report.waiting_bytes);
            format!("named {named}; a prune after {until} deletes them")
        } else {
            format!("what was forgotten can be brought back until a prune after {until}")
        })?;
    } else if is_dry {
        let named = packs(report.waiting_packs, report.waiting_bytes);
        ui.tell(&format!("would name {named}"))?;
    } else if report.deleted_packs + report.deleted_snapshots == 0 {
        ui.tell("nothing to prune")?;
    }
    if report.kept_packs > 0 {
        let kept = packs(report.kept_packs, report.kept_bytes);
        ui.tell(&format!("kept {kept}, of which {} are unused", human(report.unused_bytes)))?;
    }
    Ok(())
}
