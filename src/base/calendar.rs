//! The calendar: which hour, day, week, month or year a time lies in, or how long before another.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;

use super::time::Timestamp;

/// A part of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// An hour of the day; the one that is lived twice when summer ends is two.
    Hour,
    /// A day.
    Day,
    /// A week of ISO 8601, from Monday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

/// Which hour, day, week, month or year it is: equal for times in the same one. Its parts have no
/// further meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part(i64, i64);

/// Some years, months, days and hours, as in `1y6m7d12h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

/// Most of any unit in a span: further back than any clock was set in earnest.
const UNIT_COUNT_MAX: u32 = 9999;

/// A calendar in one time zone.
#[derive(Clone, Debug)]
pub struct Calendar(TimeZone);

impl Calendar {
    /// That of this host's time zone.
    pub fn local() -> Self {
        Self(TimeZone::system())
    }

    /// That of UTC.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The part of the calendar that `time` lies in.
    pub fn part(&self, period: Period, time: Timestamp) -> Part {
        let Some(time) = self.zoned(time) else {
            // Where no calendar reaches, every second is a time of its own.
            return Part(i64::MIN, time.seconds);
        };
        let (year, month) = (i64::from(time.year()), i64::from(time.month()));
        let day = year * 400 + i64::from(time.day_of_year());
        match period {
            Period::Hour => {
                Part(day, i64::from(time.hour()) * 200_000 + i64::from(time.offset().seconds()))
            }
            Period::Day => Part(day, 0),
            Period::Week => {
                let week = time.date().iso_week_date();
                Part(week.year().into(), week.week().into())
            }
            Period::Month => Part(year, month),
            Period::Year => Part(year, 0),
        }
    }

    /// The time that lies `span` before `time`; `None` where no calendar reaches.
    pub fn before(&self, time: Timestamp, span: Span) -> Option<Timestamp> {
        let Span { years, months, days, hours } = span;
        let [years, months, days, hours] = [years, months, days, hours].map(i64::from);
        let span = jiff::Span::new()
            .try_years(years)
            .and_then(|span| span.try_months(months))
            .and_then(|span| span.try_days(days))
            .and_then(|span| span.try_hours(hours))
            .ok()?;
        let then = self.zoned(time)?.checked_sub(span).ok()?;
        Some(Timestamp::from_jiff(then.timestamp()))
    }

    fn zoned(&self, time: Timestamp) -> Option<jiff::ZonedDateTime> {
        let time = jiff::Timestamp::new(time.seconds, i32::try_from(time.nanos).ok()?).ok()?;
        Some(time.to_zoned_datetime(self.0.clone()))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let odd = || format!("{text:?} is no span of time; write it like `1y6m7d12h`");
        let mut span = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let count: u32 = rest[..digits].parse().map_err(|_| odd())?;
            let unit = rest[digits..].chars().next().ok_or_else(odd)?;
            let place = match unit {
                'y' => &mut span.years,
                'm' => &mut span.months,
                'd' => &mut span.days,
                'h' => &mut span.hours,
                _ => return Err(odd()),
            };
            if *place != 0 || count > UNIT_COUNT_MAX {
                return Err(odd());
            }
            *place = count;
            rest = &rest[digits + unit.len_utf8()..];
        }
        if span == Self::default() { Err(odd()) } else { Ok(span) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { years, months, days, hours } = *self;
        for (count, unit) in [(years, 'y'), (months, 'm'), (days, 'd'), (hours, 'h')] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("it is a time")
    }

    #[test]
    fn times_are_in_the_same_part_as_people_say() {
        use Period::{Day, Hour, Month, Week, Year};
        let utc = Calendar::utc();
        for (one, other, same) in [
            ("2026-03-01T10:00:00Z", "2026-03-01T10:59:59Z", vec![Hour, Day, Week, Month, Year]),
            ("2026-03-01T10:59:59Z", "2026-03-01T11:00:00Z", vec![Day, Week, Month, Year]),
            // A Sunday and the Monday after it.
            ("2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z", vec![Month, Year]),
            // The last week of 2026 reaches into the next year.
            ("2026-12-31T23:00:00Z", "2027-01-01T23:00:00Z", vec![Week]),
            ("2026-01-05T00:00:00Z", "2027-01-05T00:00:00Z", vec![]),
        ] {
            for period in [Hour, Day, Week, Month, Year] {
                let is_same = utc.part(period, time(one)) == utc.part(period, time(other));
                assert_eq!(is_same, same.contains(&period), "{period:?} of {one} and {other}");
            }
        }
    }

    #[test]
    fn the_hour_that_comes_twice_is_two() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("it is a zone");
        let calendar = Calendar(zone);
        let [summer, winter] = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"].map(time);
        assert_ne!(calendar.part(Period::Hour, summer), calendar.part(Period::Hour, winter));
        assert_eq!(calendar.part(Period::Day, summer), calendar.part(Period::Day, winter));
        // Late in the evening of another day already.
        let [monday, tuesday] = ["2026-06-01T21:30:00Z", "2026-06-01T22:30:00Z"].map(time);
        assert_ne!(calendar.part(Period::Day, monday), calendar.part(Period::Day, tuesday));
    }

    #[test]
    fn spans_are_read_as_they_are_printed_and_counted_back_by_the_calendar() {
        let utc = Calendar::utc();
        for (text, before) in [
            ("1y", "2025-03-31T12:00:00Z"),
            ("1m", "2026-02-28T12:00:00Z"),
            ("31d", "2026-02-28T12:00:00Z"),
            ("13h", "2026-03-30T23:00:00Z"),
            ("1y1m1d1h", "2025-02-27T11:00:00Z"),
        ] {
            let span: Span = text.parse().expect("it is a span");
            assert_eq!(span.to_string(), text);
            assert_eq!(utc.before(time("2026-03-31T12:00:00Z"), span), Some(time(before)));
        }
        for odd in ["", "0d", "7", "d", "7x", "1d1d", "-1d", "1.5h", "99999y", "1ü", "7 d"] {
            assert!(odd.parse::<Span>().is_err(), "{odd:?}");
        }
        let long: Span = "9999y".parse().expect("it is a span");
        assert_eq!(
            utc.before(time("2026-03-31T12:00:00Z"), long),
            Some(time("-007973-03-31T12:00:00Z"))
        );
        assert_eq!(utc.before(Timestamp::new(i64::MAX, 0), long), None);
    }

    #[test]
    fn times_that_no_calendar_has_are_all_different() {
        let utc = Calendar::utc();
        let parts = [i64::MIN, i64::MAX].map(|s| utc.part(Period::Year, Timestamp::new(s, 0)));
        assert_ne!(parts[0], parts[1]);
    }
}
