//! The time of day, which tests turn by hand, and elapsed time, which nobody turns.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::{AtomicI64, Ordering};
use crate::types::Timestamp;

/// Tells the time of day to a store: the timestamps of records that carry none, the age of segments.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Unix milliseconds. It may jump in either direction.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
    }
}

/// A clock that stands still until it is set, for tests.
///
/// ```
/// use annals::io::{Clock, ManualClock};
/// let clock = ManualClock::at(1_000);
/// clock.advance(std::time::Duration::from_secs(2));
/// assert_eq!(clock.now(), 3_000);
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now`, Unix milliseconds.
    pub fn at(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now) }
    }

    /// Shows `now` from here on, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now, Ordering::SeqCst);
    }

    /// Moves on by `step`.
    pub fn advance(&self, step: Duration) {
        let millis = Timestamp::try_from(step.as_millis()).unwrap_or(Timestamp::MAX);
        self.set(self.now().saturating_add(millis));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.now.load(Ordering::SeqCst)
    }
}

/// A moment up to which somebody is ready to wait. `None` inside is "for ever": the sum left the range of the clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "this is where elapsed time is read")]
    pub(crate) fn after(wait: Duration) -> Self {
        Self(Instant::now().checked_add(wait))
    }

    #[expect(clippy::disallowed_methods, reason = "this is where elapsed time is read")]
    pub(crate) fn has_passed(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// The instant, for a wait with a limit; `None` waits for ever.
    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }

    /// True when `other` comes first.
    pub(crate) fn is_after(self, other: Self) -> bool {
        match (self.0, other.0) {
            (Some(a), Some(b)) => a > b,
            (a, b) => a.is_none() && b.is_some(),
        }
    }

    /// The earlier of two.
    pub(crate) fn min(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Some(a), Some(b)) => Self(Some(a.min(b))),
            (a, b) => Self(a.or(b)),
        }
    }
}
