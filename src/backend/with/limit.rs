//! A backend that takes its time: no more than so many bytes and requests in a second.
//!
//! An object is sent and received in one piece; what is limited is when the next one may start. So
//! the limits hold over the time of a few objects, not over each moment, and no request lasts
//! longer than it does without them.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::error::BackendError;
use crate::backend::location::Location;
use crate::backend::{Backend, Junk, Listed, Put};
use crate::format::name::{ObjectKind, ObjectName};
use crate::seal::Sealed;

/// Objects in one answer to a request for a listing, as S3 and GCS have it.
const PAGE_OBJECT_COUNT: u64 = 1000;

/// What must not be exceeded in a second; what is absent is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes sent.
    pub upload_bytes: Option<NonZeroU64>,
    /// Bytes received.
    pub download_bytes: Option<NonZeroU64>,
    /// Requests.
    pub requests: Option<NonZeroU64>,
}

/// Tells how much time has passed, and lets it pass. Tests hand in their own.
pub trait Pace: Send + Sync {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;
    /// Lets time pass.
    fn sleep(&self, time: Duration);
}

/// The time that passes for everybody.
struct RealPace(Instant);

impl Pace for RealPace {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }
}

/// Waits before calls, so that limits hold for all threads together.
pub struct Limited {
    inner: Arc<dyn Backend>,
    pace: Box<dyn Pace>,
    upload: Option<Lane>,
    download: Option<Lane>,
    requests: Option<Lane>,
}

/// Something of which so much may be used in a second.
struct Lane {
    per_second: NonZeroU64,
    /// When all that was used so far is paid for.
    free_at: Mutex<Duration>,
}

impl Lane {
    fn new(per_second: NonZeroU64) -> Self {
        Self { per_second, free_at: Mutex::default() }
    }

    /// Uses `amount` from the moment on at which everything before is paid for; returns that one.
    fn take(&self, now: Duration, amount: u64) -> Duration {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let start = now.max(*free_at);
        let nanos = u128::from(amount) * 1_000_000_000 / u128::from(self.per_second.get());
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        *free_at = start.saturating_add(cost);
        start
    }
}

/// `inner` within `limits`; itself where there are none.
pub fn within(inner: Arc<dyn Backend>, limits: Limits) -> Arc<dyn Backend> {
    if limits == Limits::default() {
        return inner;
    }
    Limited::new(inner, limits, Box::new(RealPace(Instant::now())))
}

impl Limited {
    /// Keeps `inner` within `limits`.
    pub fn new(inner: Arc<dyn Backend>, limits: Limits, pace: Box<dyn Pace>) -> Arc<Self> {
        let lane = |limit: Option<NonZeroU64>| limit.map(Lane::new);
        Arc::new(Self {
            inner,
            pace,
            upload: lane(limits.upload_bytes),
            download: lane(limits.download_bytes),
            requests: lane(limits.requests),
        })
    }

    /// Waits until a request may be made that moves so many bytes.
    fn wait(&self, upload: u64, download: u64) {
        let now = self.pace.now();
        let lanes = [(&self.upload, upload), (&self.download, download), (&self.requests, 1)];
        let is_used = |(lane, amount): &(&Option<Lane>, u64)| lane.is_some() && *amount > 0;
        let starts = lanes
            .into_iter()
            .filter(is_used)
            .filter_map(|(lane, amount)| lane.as_ref().map(|lane| lane.take(now, amount)));
        if let Some(wait) = starts.max().and_then(|start| start.checked_sub(now))
            && !wait.is_zero()
        {
            self.pace.sleep(wait);
        }
    }

    /// Uses what a call turned out to have used; the next one waits for it.
    fn charge(&self, lane: &Option<Lane>, amount: u64) {
        if let Some(lane) = lane {
            lane.take(self.pace.now(), amount);
        }
    }
}

impl Backend for Limited {
    fn location(&self) -> &Location {
        self.inner.location()
    }

    fn put(&self, name: &ObjectName, sealed: &Sealed) -> Result<Put, BackendError> {
        self.wait(sealed.len(), 0);
        self.inner.put(name, sealed)
    }

    fn get(&self, name: &ObjectName) -> Result<Sealed, BackendError> {
        // The length is not known yet; a single byte waits for what others received.
        self.wait(0, 1);
        let sealed = self.inner.get(name)?;
        self.charge(&self.download, sealed.len().saturating_sub(1));
        Ok(sealed)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Sealed, BackendError> {
        self.wait(0, range.end.saturating_sub(range.start));
        self.inner.get_range(name, range)
    }

    fn stat(&self, name: &ObjectName) -> Result<Listed, BackendError> {
        self.wait(0, 0);
        self.inner.stat(name)
    }

    fn list(
        &self,
        kind: ObjectKind,
        each: &mut dyn FnMut(Result<Listed, Junk>),
    ) -> Result<(), BackendError> {
        self.wait(0, 0);
        let mut count = 0;
        let result = self.inner.list(kind, &mut |listed| {
            count += 1;
            each(listed);
        });
        self.charge(&self.requests, count / PAGE_OBJECT_COUNT);
        result
    }

    fn delete(&self, name: &ObjectName) -> Result<(), BackendError> {
        self.wait(0, 0);
        self.inner.delete(name)
    }

    fn heal(&self, name: &ObjectName, sealed: &Sealed) -> Result<(), BackendError> {
        self.wait(sealed.len(), 0);
        self.inner.heal(name, sealed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;

    use super::*;
    use crate::backend::conformance::{self, Subject};
    use crate::backend::memory::Memory;
    use crate::base::SystemClock;

    /// Time that passes only where somebody sleeps.
    #[derive(Clone, Default)]
    struct Counted(Arc<AtomicU64>);

    impl Counted {
        fn millis(&self) -> u64 {
            self.0.load(Ordering::SeqCst) / 1_000_000
        }
    }

    impl Pace for Counted {
        fn now(&self) -> Duration {
            Duration::from_nanos(self.0.load(Ordering::SeqCst))
        }

        fn sleep(&self, time: Duration) {
            self.0.fetch_add(time.as_nanos() as u64, Ordering::SeqCst);
        }
    }

    fn limits(upload: u64, download: u64, requests: u64) -> Limits {
        Limits {
            upload_bytes: NonZeroU64::new(upload),
            download_bytes: NonZeroU64::new(download),
            requests: NonZeroU64::new(requests),
        }
    }

    fn limited(limits: Limits) -> (Arc<Limited>, Counted) {
        let pace = Counted::default();
        let memory = Memory::new("limited", Arc::new(SystemClock));
        (Limited::new(memory, limits, Box::new(pace.clone())), pace)
    }

    fn bytes(len: usize) -> Sealed {
        Sealed::from_store(Bytes::from(vec![7; len]))
    }

    #[test]
    fn limiting_changes_nothing_but_the_time() {
        conformance::check(&|| {
            let memory = Memory::new("limited", Arc::new(SystemClock));
            let planter = Arc::clone(&memory);
            let pace = Box::new(Counted::default());
            Subject {
                backend: Limited::new(memory, limits(1000, 1000, 10), pace),
                plant: Box::new(move |name, bytes| planter.plant(name, bytes.to_vec())),
            }
        });
    }

    #[test]
    fn bytes_and_requests_take_as_long_as_the_limit_says() {
        let (backend, pace) = limited(limits(1000, 500, 0));
        let name = ObjectName::config;
        for number in 1..=4 {
            backend.put(&name(number), &bytes(2000)).expect("stored");
        }
        // Three objects had to wait for the one before.
        assert_eq!(pace.millis(), 6000);
        // What was received does not wait for what was sent, and the other way around.
        backend.get(&name(1)).expect("read");
        assert_eq!(pace.millis(), 6000);
        backend.get_range(&name(2), 0..1000).expect("read");
        assert_eq!(pace.millis(), 10_000);
        backend.get(&name(3)).expect("read");
        assert_eq!(pace.millis(), 12_000);
        backend.stat(&name(3)).expect("no bytes");
        assert_eq!(pace.millis(), 12_000);

        let (backend, pace) = limited(limits(0, 0, 4));
        for number in 1..=9 {
            backend.put(&name(number), &bytes(1 << 20)).expect("stored");
        }
        assert_eq!(pace.millis(), 2000);
        backend.list(ObjectKind::Config, &mut |_| {}).expect("listed");
        assert_eq!(pace.millis(), 2250);
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let (backend, pace) = limited(limits(1000, 0, 0));
        pace.sleep(Duration::from_secs(3600));
        for number in 1..=3 {
            backend.put(&ObjectName::config(number), &bytes(1000)).expect("stored");
        }
        assert_eq!(pace.millis(), 3_602_000);
    }

    #[test]
    fn without_limits_nothing_stands_between() {
        let memory: Arc<dyn Backend> = Memory::new("free", Arc::new(SystemClock));
        assert!(Arc::ptr_eq(&within(Arc::clone(&memory), Limits::default()), &memory));
        assert!(!Arc::ptr_eq(&within(Arc::clone(&memory), limits(1, 0, 0)), &memory));
    }
}
