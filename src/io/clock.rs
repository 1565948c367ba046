//! The time of day, which tests turn by hand, and elapsed time, which nobody turns.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::cycles::cycles;
use crate::locks::{AtomicI64, Ordering};
use crate::types::Timestamp;

/// Gives the time of day to a store: the timestamps of records that have none, the age of segments.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns Unix milliseconds. The time may jump in either direction. What waits for a time of it (a lock, a delay, a schedule) continues
    /// within a second of a jump forward.
    ///
    /// It is called while locks of the store are held: it must not call the store, or that call, and this one, may wait for ever.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Timestamp {
        let Some(cycles) = cycles() else { return read_system_time().0 };
        let known = READING.get();
        // The counter of another processor may be behind; the difference is then as good as infinite.
        if cycles.wrapping_sub(known.from) < known.valid_cycles {
            return known.now;
        }
        read_again(cycles)
    }
}

/// A time of day, and how long it is known to be right.
#[derive(Clone, Copy)]
struct Reading {
    now: Timestamp,
    /// The cycle counter before `now` was read.
    from: u64,
    /// How many cycles later the next millisecond may have begun.
    valid_cycles: u64,
}

thread_local! {
    /// What this thread read last. Within one millisecond there is nothing new to read.
    static READING: Cell<Reading> = const { Cell::new(Reading { now: 0, from: 0, valid_cycles: 0 }) };
}

#[cold]
fn read_again(cycles: u64) -> Timestamp {
    let (now, rest) = read_system_time();
    // At one cycle a nanosecond or more, so many cycles end before the millisecond does. Most processors count faster
    // and read again some times a millisecond.
    READING.set(Reading { now, from: cycles, valid_cycles: u64::from(rest) });
    now
}

/// The time of day, and the nanoseconds until the next millisecond.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
fn read_system_time() -> (Timestamp, u32) {
    const MILLI: u32 = 1_000_000;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = Timestamp::try_from(since.as_secs()).unwrap_or(Timestamp::MAX);
    let now = seconds.saturating_mul(1000).saturating_add(Timestamp::from(since.subsec_millis()));
    (now, MILLI - since.subsec_nanos() % MILLI)
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
    /// Returns a clock that shows `now`, Unix milliseconds.
    pub fn at(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now) }
    }

    /// Sets the clock to `now`, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now, Ordering::SeqCst);
    }

    /// Moves the clock on by `step`.
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

/// Lets a moment pass, for whoever waits for another process that tells nobody.
pub(crate) fn pause(wait: Duration) {
    std::thread::sleep(wait);
}

/// Who waits for a time of the store's clock looks at that clock so often: it may leap, and tells nobody.
const LONGEST_NAP: Duration = Duration::from_secs(1);

/// A moment up to which somebody is ready to wait. `None` inside is "for ever": the sum left the range of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    #[expect(clippy::disallowed_methods, reason = "this is where elapsed time is read")]
    pub(crate) fn after(wait: Duration) -> Self {
        Self(Instant::now().checked_add(wait))
    }

    /// When to look again at a clock that shows `now`, for whoever waits until it shows `at`: when that much time has passed, but within a second.
    pub(crate) fn by_clock(at: Timestamp, now: Timestamp) -> Self {
        Self::nap(Duration::from_millis(u64::try_from(at.saturating_sub(now)).unwrap_or(0)))
    }

    /// The same where it is known how long that is.
    pub(crate) fn nap(wait: Duration) -> Self {
        Self::after(wait.min(LONGEST_NAP))
    }

    #[expect(clippy::disallowed_methods, reason = "this is where elapsed time is read")]
    pub(crate) fn has_passed(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// Whether it has come.
    #[expect(clippy::disallowed_methods, reason = "this is where elapsed time is read")]
    pub(crate) fn is_over(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }

    /// How long it is until then.
    #[expect(clippy::disallowed_methods, reason = "this is where elapsed time is read")]
    pub(crate) fn left(self) -> Duration {
        self.0.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
    }

    /// The instant, for a wait with a limit; `None` waits for ever.
    pub(crate) fn instant(self) -> Option<Instant> {
        self.0
    }
}

/// Tells how long something takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this is where elapsed time is read")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The earlier one is the lesser.
impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (self.0, other.0) {
            (Some(a), Some(b)) => a.cmp(&b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        }
    }
}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_clock_is_never_behind_a_reading_taken_before() {
        let mut last = 0;
        for _ in 0..1_000_000 {
            let before = read_system_time().0;
            let now = SystemClock.now();
            let after = read_system_time().0;
            assert!((before..=after).contains(&now), "{now} is not between {before} and {after}");
            assert!(now >= last);
            last = now;
        }
    }
}
