//! Which snapshots a policy keeps, each with its reason.
//!
//! The rules are restic's: each period keeps its newest snapshot, for so many periods that have
//! one, or within a span before the newest snapshot.

use std::fmt;

use crate::base::Timestamp;
use crate::base::calendar::{Calendar, Part, Period, Span};
use crate::format::snapshot::Snapshot;
use crate::repo::select::Filter;

/// How often a rule keeps a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many times.
    AtMost(u32),
    /// Always.
    Unlimited,
}

/// What one rule keeps a snapshot of; without a period of every snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Each(pub Option<Period>);

/// What to keep. Everything that no rule keeps is forgotten.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The newest of so many.
    pub counts: Vec<(Each, Count)>,
    /// The newest of each that is no older than the newest snapshot by more than this.
    pub spans: Vec<(Each, Span)>,
    /// All that have every tag of one of these lists; an empty tag means none.
    pub tags: Vec<Vec<String>>,
}

/// A snapshot, and when it was made.
#[derive(Clone, Copy)]
pub(super) struct Dated<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) time: Timestamp,
}

/// Why a snapshot is kept; nothing means that it is not.
pub(super) type Reasons = Vec<String>;

/// A rule at work.
struct Rule {
    each: Each,
    left: Count,
    /// Only what is newer.
    after: Option<Timestamp>,
    /// The part of the calendar that has its snapshot already.
    last: Option<Part>,
    reason: String,
}

impl Policy {
    /// Whether it would keep nothing, whatever there is.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
            && self.spans.is_empty()
            && self.counts.iter().all(|(_, count)| *count == Count::AtMost(0))
    }

    /// Why each of `all` is kept, in their order, which is from the newest to the oldest. A place
    /// that is left over goes to the oldest of them, if `oldest_counts`.
    pub(super) fn reasons(
        &self,
        all: &[Dated<'_>],
        oldest_counts: bool,
        calendar: &Calendar,
    ) -> Vec<Reasons> {
        let mut rules = self.rules(all, calendar);
        let last_place = all.len().saturating_sub(1);
        all.iter()
            .enumerate()
            .map(|(place, dated)| {
                let mut reasons = self.tag_reasons(dated.snapshot);
                let is_oldest = oldest_counts && place == last_place;
                reasons.extend(
                    rules.iter_mut().filter_map(|rule| rule.ask(dated.time, is_oldest, calendar)),
                );
                reasons
            })
            .collect()
    }

    fn rules(&self, all: &[Dated<'_>], calendar: &Calendar) -> Vec<Rule> {
        let counts = self.counts.iter().map(|(each, count)| {
            let reason = match each.0 {
                None => "last snapshot".to_owned(),
                Some(_) => format!("{each} snapshot"),
            };
            Rule { each: *each, left: *count, after: None, last: None, reason }
        });
        let newest = all.first().map(|dated| dated.time);
        let spans = self.spans.iter().map(|(each, span)| {
            let reason = match each.0 {
                None => format!("within {span}"),
                Some(_) => format!("{each} within {span}"),
            };
            // Where no calendar reaches nothing is too old.
            let after = newest.and_then(|newest| calendar.before(newest, *span));
            Rule { each: *each, left: Count::Unlimited, after, last: None, reason }
        });
        counts.chain(spans).collect()
    }

    fn tag_reasons(&self, snapshot: &Snapshot) -> Reasons {
        let has = |tags: &&Vec<String>| {
            Filter { tags: vec![(*tags).clone()], ..Filter::default() }.accepts(snapshot)
        };
        let told = |tags: &Vec<String>| match tags.join(", ") {
            none if none.is_empty() => "has no tags".to_owned(),
            tags => format!("has tags {tags}"),
        };
        self.tags.iter().filter(has).map(told).collect()
    }
}

impl Rule {
    /// Why a snapshot that was made at `time` is kept; the oldest also when its part of the calendar
    /// has one already, since it is the last that could be kept of it.
    fn ask(&mut self, time: Timestamp, is_oldest: bool, calendar: &Calendar) -> Option<String> {
        let is_new = match self.each.0 {
            None => true,
            Some(period) => self.last != Some(calendar.part(period, time)),
        };
        let is_in_reach = self.left != Count::AtMost(0) && self.after.is_none_or(|t| time > t);
        if !is_in_reach || !(is_new || is_oldest) {
            return None;
        }
        self.last = self.each.0.map(|period| calendar.part(period, time));
        if let Count::AtMost(left) = &mut self.left {
            *left -= 1;
        }
        Some(if is_new { self.reason.clone() } else { format!("oldest {}", self.reason) })
    }
}

impl fmt::Display for Each {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "last",
            Some(Period::Hour) => "hourly",
            Some(Period::Day) => "daily",
            Some(Period::Week) => "weekly",
            Some(Period::Month) => "monthly",
            Some(Period::Year) => "yearly",
        })
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(count) => count.fmt(f),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

/// As it would be typed.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts.iter().map(|(each, count)| format!("keep-{each} {count}"));
        let spans = self.spans.iter().map(|(each, span)| match each.0 {
            None => format!("keep-within {span}"),
            Some(_) => format!("keep-within-{each} {span}"),
        });
        let tags = self.tags.iter().map(|tags| format!("keep-tag {}", tags.join(",")));
        let all: Vec<String> = counts.chain(spans).chain(tags).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::testing::snapshot_of;

    const HOUR: Each = Each(Some(Period::Hour));
    const DAY: Each = Each(Some(Period::Day));
    const WEEK: Each = Each(Some(Period::Week));
    const MONTH: Each = Each(Some(Period::Month));
    const YEAR: Each = Each(Some(Period::Year));
    const EVERY: Each = Each(None);

    /// The places of what is kept, of snapshots made at `times`, which are from the newest on.
    fn kept(policy: &Policy, times: &[&str]) -> Vec<usize> {
        let reasons = reasons(policy, times);
        (0..times.len()).filter(|place| !reasons[*place].is_empty()).collect()
    }

    fn reasons(policy: &Policy, times: &[&str]) -> Vec<Reasons> {
        let snapshot = snapshot_of(Timestamp::new(0, 0), "host", "/x");
        let dated = times.iter().map(|time| {
            let time = Timestamp::parse(&format!("{time}:00Z")).expect("it is a time");
            Dated { snapshot: &snapshot, time }
        });
        policy.reasons(&dated.collect::<Vec<_>>(), true, &Calendar::utc())
    }

    fn counting(each: Each, count: u32) -> Policy {
        Policy { counts: vec![(each, Count::AtMost(count))], ..Policy::default() }
    }

    fn within(each: Each, span: &str) -> Policy {
        let span = span.parse().expect("it is a span");
        Policy { spans: vec![(each, span)], ..Policy::default() }
    }

    const TIMES: &[&str] = &[
        "2026-01-09T12:45",
        "2026-01-09T12:15",
        "2026-01-09T11:15",
        "2026-01-08T23:15",
        "2026-01-08T01:15",
        "2026-01-04T10:00",
        "2025-12-31T10:00",
        "2025-12-01T10:00",
        "2025-11-30T10:00",
        "2023-05-01T10:00",
        "2023-04-01T10:00",
    ];

    #[test]
    fn each_period_keeps_its_newest() {
        for (each, count, expect) in [
            (EVERY, 1, vec![0]),
            (EVERY, 3, vec![0, 1, 2]),
            (HOUR, 3, vec![0, 2, 3]),
            (DAY, 3, vec![0, 3, 5]),
            // Monday the 5th begins a week; the 31st and the 4th are of one week.
            (WEEK, 3, vec![0, 5, 7]),
            (MONTH, 3, vec![0, 6, 8]),
            // Time is left for one more year than there is; the oldest takes its place.
            (YEAR, 3, vec![0, 6, 9]),
            (YEAR, 4, vec![0, 6, 9, 10]),
            (DAY, 0, vec![]),
        ] {
            assert_eq!(kept(&counting(each, count), TIMES), expect, "{each} {count}");
        }
        let unlimited = Policy { counts: vec![(MONTH, Count::Unlimited)], ..Policy::default() };
        assert_eq!(kept(&unlimited, TIMES), [0, 6, 8, 9, 10]);
        assert_eq!(reasons(&counting(YEAR, 4), TIMES)[10], ["oldest yearly snapshot"]);
    }

    #[test]
    fn spans_count_from_the_newest_snapshot() {
        for (each, span, expect) in [
            (EVERY, "1h", vec![0, 1]),
            (EVERY, "1d12h", vec![0, 1, 2, 3, 4]),
            (DAY, "9d", vec![0, 3, 5]),
            (DAY, "10d", vec![0, 3, 5, 6]),
            (YEAR, "1y", vec![0, 6]),
            (YEAR, "9y", vec![0, 6, 9, 10]),
        ] {
            assert_eq!(kept(&within(each, span), TIMES), expect, "{each} {span}");
        }
        assert_eq!(reasons(&within(EVERY, "1h"), TIMES)[1], ["within 1h"]);
        assert_eq!(reasons(&within(HOUR, "1d"), TIMES)[2], ["hourly within 1d"]);
    }

    #[test]
    fn rules_add_up_and_each_gives_its_reason() {
        let policy = Policy {
            counts: vec![(EVERY, Count::AtMost(1)), (DAY, Count::AtMost(2))],
            spans: vec![(EVERY, "1h".parse().expect("it is a span"))],
            tags: Vec::new(),
        };
        assert_eq!(kept(&policy, TIMES), [0, 1, 3]);
        assert_eq!(reasons(&policy, TIMES)[0], ["last snapshot", "daily snapshot", "within 1h"]);
        assert_eq!(policy.to_string(), "keep-last 1, keep-daily 2, keep-within 1h");
        assert!(!policy.is_empty());
        assert!(counting(DAY, 0).is_empty() && Policy::default().is_empty());
    }

    #[test]
    fn tags_keep_what_has_all_of_one_list() {
        let mut snapshots = [["a", "b"].as_slice(), &["a"], &[]].map(|tags| {
            let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            Snapshot { tags, ..snapshot_of(Timestamp::new(0, 0), "host", "/x") }
        });
        snapshots.reverse();
        let dated: Vec<_> = snapshots
            .iter()
            .map(|snapshot| Dated { snapshot, time: Timestamp::new(0, 0) })
            .collect();
        let list = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
        let policy = Policy { tags: vec![list(&["a", "b"]), list(&[""])], ..Policy::default() };
        let reasons = policy.reasons(&dated, true, &Calendar::utc());
        assert_eq!(reasons, [vec!["has no tags"], vec![], vec!["has tags a, b"]]);
    }
}
