//! `parados repair`.

use crate::base::size::human;
use crate::base::text::printable;
use crate::base::{Error, ErrorKind, PackId, Result};
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::snapshot_filter::SnapshotFilter;
use crate::cli::ui::{Ui, json, text};
use crate::ops::repair::packs::Found;
use crate::ops::repair::snapshots::Torn;
use crate::ops::repair::{index, packs, snapshots};

/// What is said at the end of a dry run.
const UNCHANGED: &str = "nothing was changed; with `--apply` it is";

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
    /// Save what is left of damaged packs
    ///
    /// What can still be read of a damaged pack, and lies nowhere else, is stored once more. No backup
    /// relies on such a pack any more, and `parados prune` deletes it once nothing that is needed lies
    /// in it alone.
    Packs {
        /// Packs, as `parados check` names them; without any those that a check found damaged
        #[arg(value_name = "PACK", value_parser = pack_id)]
        packs: Vec<PackId>,

        /// Do it
        #[arg(long)]
        apply: bool,
    },
    /// Make snapshots anew of which something is lost, without it
    ///
    /// Lost parts of files become zeros, and the new snapshot says where and has the tag `repaired`. Back
    /// up the sources first: what they still have is stored anew then, and not lost.
    Snapshots {
        /// Snapshots: ids, their first digits, `latest`, or `latest~1` for the one before; all without
        /// any
        #[arg(value_name = "SNAPSHOT")]
        words: Vec<String>,

        #[command(flatten)]
        filter: SnapshotFilter,

        /// Forget the old snapshots
        #[arg(long)]
        forget: bool,

        /// Do it
        #[arg(long)]
        apply: bool,
    },
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    match &args.verb {
        Verb::Index { apply } => run_index(context, *apply),
        Verb::Packs { packs, apply } => run_packs(context, packs, *apply),
        Verb::Snapshots { words, filter, forget, apply } => {
            run_snapshots(context, words, filter, *forget, *apply)
        }
    }
}

/// The id of a pack, alone or at the end of its name.
fn pack_id(typed: &str) -> std::result::Result<PackId, String> {
    let id = typed.rsplit('/').next().unwrap_or_default();
    PackId::from_hex(id).ok_or_else(|| "a pack has 64 hexadecimal digits".to_owned())
}

fn access(apply: bool) -> Access {
    if apply { Access::Write } else { Access::Read }
}

fn run_index(context: &Context, apply: bool) -> Result<Outcome> {
    let opened = context.open(access(apply))?;
    let options = index::Options { apply, cache_dir: opened.cache_dir.clone() };
    let ran = context
        .run(Tell::AtOnce("repair"), |run| index::repair(&opened.repository, &options, run))?;
    print_index(&context.ui, &ran.report, apply)?;
    Ok(if ran.problem_count > 0 { Outcome::Incomplete } else { Outcome::Done })
}

fn print_index(ui: &Ui, report: &index::Report, is_applied: bool) -> Result<()> {
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
        ui.tell(UNCHANGED)?;
    }
    Ok(())
}

fn run_packs(context: &Context, wanted: &[PackId], apply: bool) -> Result<Outcome> {
    let opened = context.open(access(apply))?;
    let cache_dir = opened.cache_dir.clone();
    let options = packs::Options { packs: wanted.to_vec(), apply, cache_dir };
    let ran = context
        .run(Tell::AtOnce("repair"), |run| packs::repair(&opened.repository, &options, run))?;
    print_packs(&context.ui, &ran.report, apply)?;
    let has_lost = ran.report.packs.iter().any(|found| found.lost_count > 0 || found.is_unknown);
    Ok(if ran.problem_count > 0 || has_lost { Outcome::Incomplete } else { Outcome::Done })
}

fn print_packs(ui: &Ui, report: &packs::Report, is_applied: bool) -> Result<()> {
    for notice in &report.notices {
        ui.notice(notice);
    }
    if ui.json {
        let mut found = report.packs.iter();
        return found.try_for_each(|found| ui.json(&json::RepairedPack::new(found, !is_applied)));
    }
    for found in &report.packs {
        ui.out(&format!("pack {}: {}", found.id, told(found, is_applied)))?;
    }
    let damaged = || report.packs.iter().filter(|found| found.is_damaged);
    if damaged().count() == 0 {
        let told = match report.packs.is_empty() {
            true => "no damaged pack is known; `parados check --read-data` finds them",
            false => "nothing to repair",
        };
        return ui.tell(told);
    }
    if !is_applied {
        return ui.tell(UNCHANGED);
    }
    let count = |is_spare: bool| {
        let is_kept = |found: &&Found| found.lost_count > 0 || found.is_unknown;
        text::count(damaged().filter(|found| is_kept(found) != is_spare).count() as u64, "pack")
    };
    ui.tell(&format!("{} can go, which `parados prune` does", count(true)))?;
    if damaged().any(|found| found.lost_count > 0 || found.is_unknown) {
        ui.tell(&format!(
            "{} stay: back up the sources again, which stores anew what they still have; `parados \
             repair snapshots` takes the rest out of snapshots",
            count(false)
        ))?;
    }
    Ok(())
}

/// What is said of a pack.
fn told(found: &Found, is_applied: bool) -> String {
    if !found.is_damaged {
        return "is as it should be".to_owned();
    }
    if found.is_unknown {
        return "nothing says what it holds".to_owned();
    }
    let stored = if is_applied { "stored once more" } else { "to be stored once more" };
    let parts = [
        (found.elsewhere_count, "elsewhere as well"),
        (found.stored_count, stored),
        (found.lost_count, "lost"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> =
        parts.map(|(count, what)| format!("{} {what}", text::count(*count, "chunk"))).collect();
    parts.join(", ")
}

fn run_snapshots(
    context: &Context,
    words: &[String],
    filter: &SnapshotFilter,
    forget: bool,
    apply: bool,
) -> Result<Outcome> {
    if forget && !apply {
        let message = "`--forget` has no say without `--apply`";
        return Err(Error::new(ErrorKind::Usage, message));
    }
    filter.warn_if_idle(words.iter().map(String::as_str), &context.ui);
    let filter = filter.filter(&context.environment)?;
    let opened = context.open(access(apply))?;
    let options = snapshots::Options {
        words: words.to_vec(),
        filter,
        apply,
        forget,
        cache_dir: opened.cache_dir.clone(),
        scratch_dir: opened.cache_dir.clone().unwrap_or_else(std::env::temp_dir),
        max_memory: context.settings.max_memory,
    };
    let ran = context
        .run(Tell::AtOnce("repair"), |run| snapshots::repair(&opened.repository, &options, run))?;
    print_snapshots(&context.ui, &ran.report, &options)?;
    let has_lost = !ran.report.torn.is_empty();
    Ok(if ran.problem_count > 0 || has_lost { Outcome::Incomplete } else { Outcome::Done })
}

fn print_snapshots(
    ui: &Ui,
    report: &snapshots::Report,
    options: &snapshots::Options,
) -> Result<()> {
    for notice in &report.notices {
        ui.notice(notice);
    }
    let dry_run = !options.apply;
    for torn in &report.torn {
        if ui.json {
            ui.json(&json::RepairedSnapshot::new(torn, dry_run))?;
            continue;
        }
        ui.out(&format!("snapshot {}: {}", torn.old.id.short(), lost(torn)))?;
        for path in &torn.named {
            ui.out(&format!("  lost in {}", printable(path)))?;
        }
        match &torn.new {
            Some(new) if torn.is_forgotten => {
                ui.out(&format!("  made anew as {}, and forgotten", new.id.short()))?;
            }
            Some(new) => ui.out(&format!("  made anew as {}", new.id.short()))?,
            None if torn.is_empty => ui.out("  its top directory cannot be read")?,
            None => {}
        }
    }
    if ui.json {
        return Ok(());
    }
    let looked = text::count(report.snapshot_count, "snapshot");
    if report.torn.is_empty() {
        return ui.tell(&format!("nothing to repair: looked at {looked}"));
    }
    ui.tell(&format!("something is lost of {} of {looked}", report.torn.len()))?;
    if dry_run { ui.tell(UNCHANGED) } else { Ok(()) }
}

/// What a snapshot has lost.
fn lost(torn: &Torn) -> String {
    let mut parts = Vec::new();
    if torn.lost_file_count > 0 {
        parts.push(format!("parts of {}", text::count(torn.lost_file_count, "file")));
    }
    if torn.lost_directory_count > 0 {
        let entries = match torn.lost_entry_count {
            1 => "1 entry".to_owned(),
            count => format!("{count} entries"),
        };
        let directories = match torn.lost_directory_count {
            1 => "1 directory".to_owned(),
            count => format!("{count} directories"),
        };
        parts.push(format!("{entries} of {directories}"));
    }
    format!("lost {}, {}", parts.join(", "), human(torn.lost_bytes))
}
