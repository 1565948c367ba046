//! How long a message waits for its next attempt.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::types::Offset;

/// How long a message that was not done waits before it is delivered again. The wait is kept in memory: after a crash or a
/// restart the message is due at once.
///
/// ```
/// use annals::queue::RetryPolicy;
/// use std::time::Duration;
/// let policy = RetryPolicy::exponential(Duration::from_secs(1), Duration::from_secs(60));
/// let waits: Vec<_> = (1..=8).map(|deliveries| policy.delay(deliveries, 0).as_secs()).collect();
/// assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryPolicy {
    first: Duration,
    most: Duration,
    is_doubled: bool,
    /// In hundredths.
    jitter: u32,
    seed: u64,
}

impl RetryPolicy {
    /// Returns a policy without a wait.
    pub fn immediate() -> Self {
        Self::default()
    }

    /// Returns a policy with the same wait each time.
    pub fn fixed(delay: Duration) -> Self {
        Self { first: delay, most: delay, ..Self::default() }
    }

    /// Returns a policy that waits `first` after the first delivery, twice as long after each further one, at most `most`.
    pub fn exponential(first: Duration, most: Duration) -> Self {
        Self { first, most, is_doubled: true, ..Self::default() }
    }

    /// Shortens each wait by up to `percent` hundredths, differently for each message and attempt, and in the same way for the same
    /// `seed`. More than 100 counts as 100. Messages that failed together then do not come back together.
    pub fn jitter(mut self, percent: u32, seed: u64) -> Self {
        (self.jitter, self.seed) = (percent.min(100), seed);
        self
    }

    /// Returns the wait of the message at `offset` after so many deliveries.
    pub fn delay(&self, deliveries: u16, offset: Offset) -> Duration {
        // No wait is doubled more often than this before it is the longest there is.
        let doublings = if self.is_doubled { deliveries.saturating_sub(1).min(128) } else { 0 };
        let full = (0..doublings).fold(self.first, |wait, _| wait.saturating_mul(2)).min(self.most);
        if self.jitter == 0 {
            return full;
        }
        let mut hasher = DefaultHasher::new();
        (self.seed, offset, deliveries).hash(&mut hasher);
        let thousandths = u32::try_from(hasher.finish() % 1001).unwrap_or(0);
        // In two steps, so that nothing overflows.
        full.saturating_sub((full / 100_000).saturating_mul(self.jitter.saturating_mul(thousandths)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_jitter_only_shortens_them() {
        let fixed = RetryPolicy::fixed(Duration::from_secs(5));
        assert_eq!([1, 2, 900].map(|times| fixed.delay(times, 3).as_secs()), [5; 3]);
        assert_eq!(RetryPolicy::immediate().delay(4, 0), Duration::ZERO);
        let policy = RetryPolicy::exponential(Duration::from_secs(1), Duration::MAX);
        assert_eq!(policy.delay(u16::MAX, 0), Duration::MAX);
        let jittered = RetryPolicy::fixed(Duration::from_secs(100)).jitter(50, 7);
        let waits: Vec<_> = (0..200).map(|offset| jittered.delay(1, offset)).collect();
        assert!(waits.iter().all(|wait| (50..=100).contains(&wait.as_secs())), "{waits:?}");
        assert!(waits.iter().any(|wait| wait.as_secs() < 60) && waits.iter().any(|wait| wait.as_secs() > 90));
        assert_eq!(waits, (0..200).map(|offset| jittered.delay(1, offset)).collect::<Vec<_>>());
    }
}
