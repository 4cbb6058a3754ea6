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
        let now = jiff::Timestamp::now();
        let (mut seconds, mut nanos) = (now.as_second(), now.subsec_nanosecond());
        if nanos < 0 {
            seconds -= 1;
            nanos += 1_000_000_000;
        }
        Timestamp::new(seconds, nanos as u32)
    }
}
