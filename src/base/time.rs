//! Points in time, from a clock that the caller hands in.

/// Nanosecond time since 1970-01-01 UTC; may lie before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds since 1970-01-01 UTC, rounded down.
    pub seconds: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    pub nanos: u32,
}

impl Timestamp {
    /// A time from seconds and nanoseconds within the second.
    pub const fn new(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos }
    }

    /// RFC 3339 text in UTC with nine digits, or the raw seconds where no calendar reaches.
    pub fn to_rfc3339(self) -> String {
        match jiff::Timestamp::new(self.seconds, self.nanos as i32) {
            Ok(time) => format!("{time:.9}"),
            Err(_) => format!("@{}.{:09}", self.seconds, self.nanos),
        }
    }

    /// `YYYY-MM-DD HH:MM:SS` in the local time zone.
    pub fn to_local(self) -> String {
        match jiff::Timestamp::new(self.seconds, self.nanos as i32) {
            Ok(time) => time
                .to_zoned_datetime(jiff::tz::TimeZone::system())
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string(),
            Err(_) => format!("@{}", self.seconds),
        }
    }

    /// Reads RFC 3339 text, or `YYYY-MM-DD HH:MM:SS` in the local time zone.
    pub fn parse(text: &str) -> Option<Self> {
        let civil = || {
            let time: jiff::civil::DateTime = text.parse().ok()?;
            Some(time.to_zoned_datetime(jiff::tz::TimeZone::system()).ok()?.timestamp())
        };
        text.parse().ok().or_else(civil).map(Self::from_jiff)
    }

    pub(super) fn from_jiff(time: jiff::Timestamp) -> Self {
        let nanos = time.as_nanosecond();
        let seconds = nanos.div_euclid(1_000_000_000) as i64;
        Self::new(seconds, nanos.rem_euclid(1_000_000_000) as u32)
    }

    /// Nanoseconds from `earlier` to this time; negative when it is later.
    pub fn nanos_since(self, earlier: Self) -> i128 {
        let nanos = |t: Self| i128::from(t.seconds) * 1_000_000_000 + i128::from(t.nanos);
        nanos(self) - nanos(earlier)
    }
}

/// Tells the time of day. Tests hand in their own.
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;
}

/// The system's real-time clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_jiff(jiff::Timestamp::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_printed() {
        for time in [Timestamp::new(1_351_807_721, 5), Timestamp::new(-5, 999_999_999)] {
            assert_eq!(Timestamp::parse(&time.to_rfc3339()), Some(time));
        }
        // Whatever the time zone is here.
        let time = Timestamp::new(1_351_807_721, 0);
        assert_eq!(Timestamp::parse(&time.to_local()), Some(time));
        assert_eq!(
            Timestamp::parse("2012-11-01 22:08:41+02:00"),
            Some(Timestamp::new(1_351_800_521, 0))
        );
        for bad in ["", "2012", "2012-13-01 00:00:00", "22:08:41", "2012-11-01 25:00:00"] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }
}
