//! Applies a policy where a clock or a capture is in doubt: a snapshot goes only if it would go
//! whoever is right.
//!
//! A snapshot claims when it was made, and its store attests when it was stored. Who may add
//! snapshots could claim times that push others out of their hours and days; and a repository that
//! was copied was stored at another time. Neither may cost a snapshot, so the policy is asked by
//! both times. A suspect capture, as that of an empty dump, must not push out a good one either, so
//! it is asked with and without those.

use std::collections::HashMap;

use super::policy::{Dated, Policy, Reasons};
use crate::base::calendar::Calendar;
use crate::base::{SessionId, Timestamp};
use crate::format::snapshot::{Snapshot, State};
use crate::repo::snapshots::Committed;

/// Seconds between the end of a capture and the time it was stored, by two clocks that agree.
const CLOCK_APART_MAX: i64 = 600;
/// Seconds that a capture may take before its start is doubted: a claimed start could lie anywhere
/// in between.
const CAPTURE_LONG_MAX: i64 = 86_400;

/// Why each of `all` is kept, in their order, which is from the oldest to the newest; nothing means
/// that it goes. `stored` says when each was stored, by the clock of the place.
pub(super) fn keep(
    policy: &Policy,
    all: &[Committed],
    stored: &HashMap<SessionId, Timestamp>,
    calendar: &Calendar,
) -> Vec<Reasons> {
    let claimed: Vec<Timestamp> = all.iter().map(|c| c.snapshot.time).collect();
    let attested: Vec<Timestamp> = all
        .iter()
        .map(|c| match stored.get(&c.id) {
            Some(stored) if !agree(&c.snapshot, *stored) => *stored,
            _ => c.snapshot.time,
        })
        .collect();
    let every: Vec<usize> = (0..all.len()).collect();
    let is_good = |place: &usize| !is_suspect(&all[*place].snapshot);
    let good: Vec<usize> = every.iter().copied().filter(is_good).collect();

    let mut reasons = vec![Reasons::new(); all.len()];
    let mut ask = |places: &[usize], times: &[Timestamp], because: &str| {
        // It fills a place by what is claimed; a doubt protects only what would have had a place.
        let oldest_counts = because.is_empty();
        let mut places = places.to_vec();
        places.sort_by_key(|place| {
            std::cmp::Reverse((times[*place], all[*place].snapshot.time, all[*place].id))
        });
        let dated: Vec<Dated<'_>> = places
            .iter()
            .map(|place| Dated { snapshot: &all[*place].snapshot, time: times[*place] })
            .collect();
        for (place, found) in places.iter().zip(policy.reasons(&dated, oldest_counts, calendar)) {
            // What is kept already needs no further reason.
            if reasons[*place].is_empty() {
                reasons[*place] = found.into_iter().map(|reason| reason + because).collect();
            }
        }
    };
    ask(&every, &claimed, "");
    if attested != claimed {
        ask(&every, &attested, ", by the time it was stored");
    }
    if good.len() < every.len() {
        ask(&good, &claimed, ", were it not for suspect ones");
        if attested != claimed {
            ask(&good, &attested, ", by the time it was stored, were it not for suspect ones");
        }
    }
    reasons
}

/// Whether the clocks of host and store agree, as far as one can tell.
fn agree(snapshot: &Snapshot, stored: Timestamp) -> bool {
    let (begin, end) = (snapshot.time.seconds, snapshot.finished.seconds);
    let took = end.saturating_sub(begin);
    stored.seconds.abs_diff(end) <= CLOCK_APART_MAX.unsigned_abs()
        && (0..=CAPTURE_LONG_MAX).contains(&took)
}

fn is_suspect(snapshot: &Snapshot) -> bool {
    snapshot.components.iter().any(|component| component.state == State::Suspect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::calendar::Period;
    use crate::ops::forget::policy::{Count, Each};
    use crate::repo::testing::snapshot_of;

    const HOUR: i64 = 3600;
    /// An afternoon.
    const NOON: i64 = 1_750_000_000 / 86_400 * 86_400 + 12 * HOUR;

    /// A snapshot by its number, the time it claims, and how much later it was stored.
    struct Made(u8, i64, i64);

    fn kept(policy: &Policy, made: &[Made], suspect: &[u8]) -> Vec<u8> {
        let mut all: Vec<Committed> = made
            .iter()
            .map(|Made(number, time, _)| {
                let mut snapshot = snapshot_of(Timestamp::new(*time, 0), "host", "/x");
                if suspect.contains(number) {
                    snapshot.components[0].state = State::Suspect;
                }
                Committed { id: SessionId::new([*number; 32]), snapshot }
            })
            .collect();
        let stored = made.iter().map(|Made(number, time, later)| {
            (SessionId::new([*number; 32]), Timestamp::new(time + later, 0))
        });
        all.sort_by_key(|c| (c.snapshot.time, c.id));
        let reasons = keep(policy, &all, &stored.collect(), &Calendar::utc());
        let kept = all.iter().zip(reasons).filter(|(_, reasons)| !reasons.is_empty());
        let mut numbers: Vec<u8> = kept.map(|(c, _)| c.id.as_bytes()[0]).collect();
        numbers.sort_unstable();
        numbers
    }

    fn daily(count: u32) -> Policy {
        let counts = vec![(Each(Some(Period::Day)), Count::AtMost(count))];
        Policy { counts, ..Policy::default() }
    }

    fn days(count: u8) -> Vec<Made> {
        (1..=count).map(|day| Made(day, NOON + i64::from(day) * 24 * HOUR, 5)).collect()
    }

    #[test]
    fn claimed_times_push_no_honest_snapshot_out() {
        assert_eq!(kept(&daily(3), &days(5), &[]), [3, 4, 5]);
        // Made on the sixth day, each of them claims to be the last of some day before.
        let mut made = days(5);
        for day in 1..=5 {
            let end_of_day = NOON + i64::from(day) * 24 * HOUR + 11 * HOUR;
            made.push(Made(100 + day, end_of_day, i64::from(6 - day) * 24 * HOUR));
        }
        let kept = kept(&daily(4), &made, &[]);
        assert!([3, 4, 5].iter().all(|number| kept.contains(number)), "{kept:?}");
    }

    #[test]
    fn a_repository_that_was_copied_keeps_what_it_would_have_kept() {
        let copied_at = NOON + 1000 * 24 * HOUR;
        let copied: Vec<Made> = days(5)
            .into_iter()
            .map(|Made(number, time, _)| Made(number, time, copied_at - time))
            .collect();
        assert_eq!(kept(&daily(3), &copied, &[]), [3, 4, 5]);
    }

    #[test]
    fn a_suspect_capture_pushes_no_good_one_out() {
        assert_eq!(kept(&daily(2), &days(5), &[5]), [3, 4, 5]);
        assert_eq!(kept(&daily(2), &days(5), &[4, 5]), [2, 3, 4, 5]);
        // As time goes on, it goes itself.
        assert_eq!(kept(&daily(2), &days(5), &[2]), [4, 5]);
    }

    #[test]
    fn a_capture_that_took_long_counts_when_it_began() {
        let time = Timestamp::new(NOON, 0);
        let mut snapshot = snapshot_of(time, "host", "/x");
        snapshot.finished = Timestamp::new(NOON + 20 * HOUR, 0);
        let after = |seconds| Timestamp::new(NOON + seconds, 0);
        assert!(agree(&snapshot, after(20 * HOUR + 60)));
        assert!(!agree(&snapshot, after(60)) && !agree(&snapshot, after(21 * HOUR)));
        // So long that its start is anybody's guess, or backwards.
        snapshot.finished = after(25 * HOUR);
        assert!(!agree(&snapshot, after(25 * HOUR)));
        snapshot.finished = after(-1);
        assert!(!agree(&snapshot, time));
    }
}
