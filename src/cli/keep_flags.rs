//! The options that say which snapshots a policy keeps.

use crate::base::calendar::{Period, Span};
use crate::ops::forget::policy::{Count, Each, Policy};

/// Which snapshots to keep.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct KeepFlags {
    /// Keep the newest N snapshots, or `unlimited`
    #[arg(short = 'l', long, value_name = "N", value_parser = count)]
    keep_last: Option<Count>,

    /// Keep the newest snapshot of each of the last N hours that have one
    #[arg(short = 'H', long, value_name = "N", value_parser = count)]
    keep_hourly: Option<Count>,

    /// ... of the last N days
    #[arg(short = 'd', long, value_name = "N", value_parser = count)]
    keep_daily: Option<Count>,

    /// ... of the last N weeks
    #[arg(short = 'w', long, value_name = "N", value_parser = count)]
    keep_weekly: Option<Count>,

    /// ... of the last N months
    #[arg(short = 'm', long, value_name = "N", value_parser = count)]
    keep_monthly: Option<Count>,

    /// ... of the last N years
    #[arg(short = 'y', long, value_name = "N", value_parser = count)]
    keep_yearly: Option<Count>,

    /// Keep what is no older than this before the newest snapshot, as `1y6m7d12h`
    #[arg(long, value_name = "SPAN")]
    keep_within: Option<Span>,

    /// ... of that the newest of each hour
    #[arg(long, value_name = "SPAN")]
    keep_within_hourly: Option<Span>,

    /// ... of each day
    #[arg(long, value_name = "SPAN")]
    keep_within_daily: Option<Span>,

    /// ... of each week
    #[arg(long, value_name = "SPAN")]
    keep_within_weekly: Option<Span>,

    /// ... of each month
    #[arg(long, value_name = "SPAN")]
    keep_within_monthly: Option<Span>,

    /// ... of each year
    #[arg(long, value_name = "SPAN")]
    keep_within_yearly: Option<Span>,

    /// Keep snapshots with all of these tags, or with those of another `--keep-tag`
    #[arg(long, value_name = "TAG[,TAG]...")]
    keep_tag: Vec<String>,
}

/// What a number in a policy means; restic writes -1 for `unlimited`.
fn count(text: &str) -> Result<Count, String> {
    match text {
        "unlimited" | "-1" => Ok(Count::Unlimited),
        _ => text
            .parse()
            .map(Count::AtMost)
            .map_err(|_| "it is neither a number nor `unlimited`".to_owned()),
    }
}

impl KeepFlags {
    /// The policy that is meant.
    pub(crate) fn policy(&self) -> Policy {
        use Period::{Day, Hour, Month, Week, Year};
        let counts = [
            (None, self.keep_last),
            (Some(Hour), self.keep_hourly),
            (Some(Day), self.keep_daily),
            (Some(Week), self.keep_weekly),
            (Some(Month), self.keep_monthly),
            (Some(Year), self.keep_yearly),
        ];
        let spans = [
            (None, self.keep_within),
            (Some(Hour), self.keep_within_hourly),
            (Some(Day), self.keep_within_daily),
            (Some(Week), self.keep_within_weekly),
            (Some(Month), self.keep_within_monthly),
            (Some(Year), self.keep_within_yearly),
        ];
        let list = |tags: &String| tags.split(',').map(|tag| tag.trim().to_owned()).collect();
        Policy {
            counts: counts.into_iter().filter_map(|(p, count)| Some((Each(p), count?))).collect(),
            spans: spans.into_iter().filter_map(|(p, span)| Some((Each(p), span?))).collect(),
            tags: self.keep_tag.iter().map(list).collect(),
        }
    }
}
