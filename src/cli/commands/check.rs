//! `parados check`.

use crate::base::Result;
use crate::base::size::{self, human};
use crate::base::text::printable;
use crate::cli::context::{Access, Context, Tell};
use crate::cli::exit::Outcome;
use crate::cli::ui::{Ui, json, text};
use crate::ops;
use crate::ops::check::{Class, Depth, Finding, Oldest, Report, Subset};

/// Findings that a person is shown.
const SHOWN_COUNT: usize = 10;

/// Prove that every snapshot can be restored
///
/// Reads every snapshot, directory and index segment, and looks up every chunk. With
/// `--read-data`, also reads every pack and opens every frame in it. Packs that were found good are
/// recorded in the repository, so that checks of parts come to all of them in turn.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only compare the packs that are listed with the index; look closer where something is missing
    #[arg(long, conflicts_with_all = ["read_data", "read_data_subset"])]
    quick: bool,

    /// Read all data as well
    #[arg(long)]
    read_data: bool,

    /// Read a part of the data as well: `5%` or `10G` of what was not read for longest, or group `n/t`
    /// of t groups
    #[arg(long, value_name = "PART", value_parser = subset, conflicts_with = "read_data")]
    read_data_subset: Option<Subset>,
}

fn subset(text: &str) -> std::result::Result<Subset, String> {
    if let Some((number, count)) = text.split_once('/') {
        let group = number.trim().parse().ok().zip(count.trim().parse().ok());
        return match group {
            Some((number, count)) if (1..=count).contains(&number) => {
                Ok(Subset::Group { number, count })
            }
            _ => Err(format!("{text:?} is no group; write `1/7` for the first of seven")),
        };
    }
    if let Some(percent) = text.strip_suffix('%') {
        let share = percent.trim().parse().ok().filter(|share| *share > 0.0 && *share <= 100.0);
        return share
            .map(Subset::Percent)
            .ok_or_else(|| "a share is above 0% and at most 100%".to_owned());
    }
    match size::parse(text)? {
        0 => Err("a part is not empty".to_owned()),
        bytes => Ok(Subset::Bytes(bytes)),
    }
}

impl Args {
    fn depth(&self) -> Depth {
        match self.read_data_subset {
            Some(subset) => Depth::Data(subset),
            None if self.read_data => Depth::Data(Subset::All),
            None if self.quick => Depth::Quick,
            None => Depth::Metadata,
        }
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let depth = args.depth();
    // What was read is recorded.
    let access = if matches!(depth, Depth::Data(_)) { Access::Write } else { Access::Read };
    let opened = context.open(access)?;
    let options = ops::check::Options {
        depth,
        cache_dir: opened.cache_dir.clone(),
        max_memory: context.settings.max_memory,
    };
    let ran =
        context.run(Tell::InReport, |run| ops::check::check(&opened.repository, &options, run))?;
    let ui = &context.ui;
    for notice in &ran.report.notices {
        ui.notice(notice);
    }
    // A program wants all of them, a person those that cost most.
    let shown = if ui.json { usize::MAX } else { SHOWN_COUNT };
    for finding in ran.report.findings.iter().take(shown) {
        print_finding(ui, finding);
    }
    if let Some(rest) = ran.report.findings.len().checked_sub(shown).filter(|rest| *rest > 0) {
        ui.err(&format!("and {rest} more: with `--json` all are named"));
    }
    print(ui, depth, &ran.report)?;
    Ok(if ran.report.findings.is_empty() { Outcome::Done } else { Outcome::Failed })
}

fn print_finding(ui: &Ui, finding: &Finding) {
    let Finding { object, message, class, hint, affected } = finding;
    let told = if message == object { object.clone() } else { format!("{object}: {message}") };
    if ui.json {
        ui.err(&json::line(&json::Finding {
            message_type: "error",
            message: told,
            object,
            class: class.map(Class::word),
            hint,
            affected,
        }));
        return;
    }
    let mut lines = format!("damage: {}", printable(&told));
    if let Some(class) = class {
        lines.push_str(match class {
            Class::AtRest => "\n  damaged where it is stored",
            Class::Memory => "\n  damaged before it was stored: test the memory of who made it",
        });
    }
    for place in affected {
        lines.push_str(&format!("\n  lost in {}", printable(place)));
    }
    lines.push_str(&format!("\n  hint: {}", printable(hint)));
    ui.err(&lines);
}

fn print(ui: &Ui, depth: Depth, report: &Report) -> Result<()> {
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
            read_pack_count: report.read_pack_count,
            read_bytes: report.read_bytes,
            misread_count: report.misread_count,
            unverified_count: report.verified.never_count,
            oldest_pack: report.verified.oldest.map(|oldest| oldest.pack.to_hex()),
            oldest_verified: report.verified.oldest.map(|oldest| oldest.since.to_rfc3339()),
        });
    }
    let packs = text::count(report.pack_count, "pack");
    ui.tell(&match depth {
        // It looked no closer.
        Depth::Quick if report.chunk_count == 0 => format!("compared {packs} with the index"),
        _ => format!(
            "checked {}, {packs}, {}",
            text::count(report.snapshot_count, "snapshot"),
            text::count(report.chunk_count, "chunk"),
        ),
    })?;
    if report.read_pack_count > 0 {
        let packs = text::count(report.read_pack_count, "pack");
        ui.tell(&format!("read {packs}, {}", human(report.read_bytes)))?;
    }
    if let Some(Oldest { since, .. }) = report.verified.oldest {
        let since = since.to_local();
        ui.tell(&match report.verified.never_count {
            0 => format!("every pack has been read back, the longest ago at {since}"),
            never => format!(
                "never read back: {never} of {}; the oldest was stored at {since}",
                text::count(report.verified.pack_count, "pack")
            ),
        })?;
    }
    if num_errors == 0 {
        return ui.tell("no errors were found");
    }
    ui.tell(&format!("{} found", text::count(num_errors, "damaged object")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_a_group_a_share_or_a_size() {
        assert_eq!(subset("1/7"), Ok(Subset::Group { number: 1, count: 7 }));
        assert_eq!(subset("7/7"), Ok(Subset::Group { number: 7, count: 7 }));
        assert_eq!(subset("2.5%"), Ok(Subset::Percent(2.5)));
        assert_eq!(subset("100%"), Ok(Subset::Percent(100.0)));
        assert_eq!(subset("10G"), Ok(Subset::Bytes(10 << 30)));
        for text in ["0/7", "8/7", "1/", "/7", "x/y", "0%", "101%", "-1%", "NaN%", "0", "", "x"] {
            assert!(subset(text).is_err(), "{text}");
        }
    }
}
