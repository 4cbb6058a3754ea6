//! `parados check`.

use crate::base::Result;
use crate::base::size::human;
use crate::base::text::printable;
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::ui::{Ui, json, text};
use crate::ops;
use crate::ops::check::{Finding, Report};

/// Prove that every snapshot can be restored
///
/// Reads every snapshot, directory and index segment, and looks up every chunk. With
/// `--read-data`, also reads every pack and opens every frame in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read all data as well
    #[arg(long)]
    read_data: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let opened = context.open(Access::Read)?;
    let options = ops::check::Options {
        read_data: args.read_data,
        cache_dir: opened.cache_dir.clone(),
        max_memory: context.settings.max_memory,
    };
    let ran =
        context.run(Tell::InReport, |run| ops::check::check(&opened.repository, &options, run))?;
    let ui = &context.ui;
    for notice in &ran.report.notices {
        ui.notice(notice);
    }
    for finding in &ran.report.findings {
        print_finding(ui, finding);
    }
    print(ui, &ran.report)?;
    Ok(if ran.report.findings.is_empty() { Outcome::Done } else { Outcome::Failed })
}

fn print_finding(ui: &Ui, finding: &Finding) {
    let Finding { object, message, hint, affected } = finding;
    let told = if message == object { object.clone() } else { format!("{object}: {message}") };
    if ui.json {
        ui.err(&json::line(&json::Finding {
            message_type: "error",
            message: told,
            object,
            hint,
            affected,
        }));
        return;
    }
    let mut lines = format!("damage: {}", printable(&told));
    for place in affected {
        lines.push_str(&format!("\n  lost in {}", printable(place)));
    }
    lines.push_str(&format!("\n  hint: {}", printable(hint)));
    ui.err(&lines);
}

fn print(ui: &Ui, report: &Report) -> Result<()> {
    let num_errors = report.findings.len() as u64;
    if ui.json {
        let packs = report.findings.iter().map(|finding| finding.object.as_str());
        return ui.json(&json::CheckSummary {
            message_type: "summary",
            num_errors,
            broken_packs: packs.filter_map(|object| object.strip_prefix("pack ")).collect(),
            snapshot_count: report.snapshot_count,
            pack_count: report.pack_count,
            chunk_count: report.chunk_count,
            read_bytes: report.read_bytes,
        });
    }
    ui.tell(&format!(
        "checked {}, {}, {}",
        text::count(report.snapshot_count, "snapshot"),
        text::count(report.pack_count, "pack"),
        text::count(report.chunk_count, "chunk"),
    ))?;
    if report.read_bytes > 0 {
        ui.tell(&format!("read {} of packs", human(report.read_bytes)))?;
    }
    if num_errors == 0 {
        return ui.tell("no errors were found");
    }
    ui.tell(&format!("{} found", text::count(num_errors, "damaged object")))
}
