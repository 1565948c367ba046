//! Lengths of time by class, counted by any thread.

// Not those of `locks`: nothing is decided by a figure, and a schedule explorer need not choose at each of them.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::figures::latency::Latency;

/// Classes for each power of two.
pub(super) const STEPS: u64 = 4;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Shorter lengths are one class.
pub(super) const LEAST_NANOS: u64 = 1024;
/// Powers of two from there on. What is longer is in the last class.
const POWERS: u64 = 32;
pub(super) const CLASSES: usize = 128;
const _: () = assert!(CLASSES as u64 == POWERS * STEPS, "a class for each step of each power");

/// Log-linear: as exact for microseconds as for minutes, in a fixed room.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: [AtomicU64; CLASSES],
    sum_nanos: AtomicU64,
    max_nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
            sum_nanos: AtomicU64::new(0),
            max_nanos: AtomicU64::new(0),
        }
    }
}

/// The class of a length.
#[inline]
fn class(nanos: u64) -> usize {
    let Some(power) = (nanos / LEAST_NANOS).checked_ilog2() else { return 0 };
    let step = (nanos >> (LEAST_NANOS.trailing_zeros() + power - STEP_BITS)) & (STEPS - 1);
    let class = u64::from(power) * STEPS + step;
    usize::try_from(class).unwrap_or(usize::MAX).min(CLASSES - 1)
}

/// The first length that is in a later class.
pub(super) fn end_of_class(class: usize) -> u64 {
    let class = class as u64;
    let (power, step) = (class / STEPS, class % STEPS);
    let quarter = LEAST_NANOS / STEPS;
    (quarter * (STEPS + step + 1)) << power
}

impl Histogram {
    #[inline]
    pub(crate) fn note(&self, length: Duration) {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(class(nanos)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.max_nanos.fetch_max(nanos, Ordering::Relaxed);
    }

    /// What was noted so far. Lengths that are noted meanwhile may be in a part of it.
    pub(crate) fn look(&self) -> Latency {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Latency {
            counts,
            sum: Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed)),
            max: Duration::from_nanos(self.max_nanos.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A class holds what lies between the end of the one before and its own, and is no wider than a quarter of that.
    #[test]
    fn classes_lie_side_by_side_and_are_narrow() {
        assert_eq!((class(0), class(LEAST_NANOS - 1), class(LEAST_NANOS)), (0, 0, 0));
        for number in 0..CLASSES - 1 {
            let end = end_of_class(number);
            assert_eq!((class(end - 1), class(end)), (number, number + 1), "class {number} ends at {end}");
            let begin = if number == 0 { LEAST_NANOS } else { end_of_class(number - 1) };
            assert!((end - begin) * STEPS <= begin, "class {number}: {begin} to {end}");
        }
        assert_eq!(class(u64::MAX), CLASSES - 1);
        assert_eq!(end_of_class(CLASSES - 1), LEAST_NANOS << POWERS);
    }

    /// Quantiles against the sorted lengths themselves.
    #[test]
    fn quantiles_are_those_of_the_lengths_or_up_to_a_quarter_more() {
        let mut random = crate::doubles::Random::new(7);
        for _ in 0..50 {
            let histogram = Histogram::default();
            let mut lengths: Vec<u64> =
                (0..1000).map(|_| 1024 + (random.below(1 << 41) >> random.below(34))).collect();
            lengths.iter().for_each(|nanos| histogram.note(Duration::from_nanos(*nanos)));
            lengths.sort_unstable();
            let seen = histogram.look();
            assert_eq!(seen.count(), 1000);
            assert_eq!(seen.sum(), Duration::from_nanos(lengths.iter().sum()));
            assert_eq!(seen.max(), Duration::from_nanos(lengths[999]));
            for (quantile, rank) in [(0.0, 0), (0.5, 499), (0.99, 989), (1.0, 999)] {
                let exact = lengths[rank];
                let told = u64::try_from(seen.quantile(quantile).unwrap().as_nanos()).unwrap();
                assert!(told >= exact && told <= exact + exact / 4 + 1, "{quantile}: {told} for {exact}");
            }
        }
        assert_eq!(Histogram::default().look().quantile(0.5), None);
        let longest = Histogram::default();
        longest.note(Duration::MAX);
        assert_eq!(longest.look().quantile(0.5), Some(Duration::from_nanos(u64::MAX)));
    }
}
