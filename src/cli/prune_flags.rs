//! The options that say how to prune.

use std::path::PathBuf;

use super::context::Context;
use crate::base::calendar::Span;
use crate::base::size;
use crate::ops::prune::{MaxUnused, Options};

/// Seconds of an hour, and of a day, a month and a year as a grace counts them.
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const MONTH: i64 = 30 * DAY;
const YEAR: i64 = 365 * DAY;

/// How to prune.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Prune")]
pub(crate) struct PruneFlags {
    /// Delete what was named so long ago, as `12h` or `7d`; `0` deletes at once, and is as safe
    #[arg(long, value_name = "SPAN", value_parser = grace, default_value = "24h")]
    grace: i64,

    /// Leave unused bytes in packs: a size, a share as `5%`, or `unlimited`
    #[arg(long, value_name = "LIMIT", value_parser = max_unused, default_value = "5%")]
    max_unused: MaxUnused,

    /// Move at most this much out of packs that are mostly unused
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_repack_size: Option<u64>,

    /// Prune also where objects cannot be created atomically; nobody else may write meanwhile
    #[arg(long)]
    exclusive: bool,
}

/// Seconds of a span.
fn grace(text: &str) -> Result<i64, String> {
    if text == "0" {
        return Ok(0);
    }
    let Span { years, months, days, hours } = text.parse()?;
    let parts = [(years, YEAR), (months, MONTH), (days, DAY), (hours, HOUR)];
    Ok(parts.into_iter().map(|(count, len)| i64::from(count) * len).sum())
}

fn max_unused(text: &str) -> Result<MaxUnused, String> {
    if text == "unlimited" {
        return Ok(MaxUnused::Unlimited);
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().map_err(|_| format!("{text:?} is no share"))?;
        if !(0.0..100.0).contains(&percent) {
            return Err("a share is at least 0% and less than 100%".to_owned());
        }
        return Ok(MaxUnused::Percent(percent));
    }
    size::parse(text).map(MaxUnused::Bytes)
}

impl PruneFlags {
    /// The options that are meant.
    pub(crate) fn options(
        &self,
        context: &Context,
        cache_dir: Option<PathBuf>,
        dry_run: bool,
    ) -> Options {
        Options {
            grace: self.grace,
            max_unused: self.max_unused,
            max_moved: self.max_repack_size.unwrap_or(u64::MAX),
            exclusive: self.exclusive,
            dry_run,
            scratch_dir: cache_dir.clone().unwrap_or_else(std::env::temp_dir),
            cache_dir,
            max_memory: context.settings.max_memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graces_and_limits_are_read() {
        for (text, seconds) in [("0", 0), ("24h", 86_400), ("7d", 604_800), ("1m", 2_592_000)] {
            assert_eq!(grace(text), Ok(seconds), "{text}");
        }
        assert!(grace("soon").is_err() && grace("").is_err());
        assert_eq!(max_unused("5%"), Ok(MaxUnused::Percent(5.0)));
        assert_eq!(max_unused("0"), Ok(MaxUnused::Bytes(0)));
        assert_eq!(max_unused("1G"), Ok(MaxUnused::Bytes(1 << 30)));
        assert_eq!(max_unused("unlimited"), Ok(MaxUnused::Unlimited));
        for bad in ["100%", "-1%", "x%", "NaN%", "much"] {
            assert!(max_unused(bad).is_err(), "{bad}");
        }
    }
}
