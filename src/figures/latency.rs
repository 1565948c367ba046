//! What a histogram held at one moment.

use std::time::Duration;

use crate::figures::histogram::{CLASSES, end_of_class};

/// How long an operation took, each time since the store was opened: a histogram at one moment.
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("payments", TopicConfig::new())?;
/// let payments = store.producer_builder().durability(Durability::Disk).build()?;
/// payments.send(Record::to("payments").value("5"))?;
/// let sync = store.stats()?.latencies.sync;
/// println!("{} syncs, half of them within {:?}", sync.count(), sync.quantile(0.5));
/// assert!(sync.count() >= 1 && sync.quantile(0.5) <= sync.quantile(0.99));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Latency {
    pub(super) counts: Vec<u64>,
    pub(super) sum: Duration,
    pub(super) max: Duration,
}

impl Latency {
    /// Returns the number of measurements.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all measurements.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Returns the longest one.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// Returns a duration that this share of the measurements, from 0 to 1, did not exceed: at most a quarter above the least such duration from a
    /// microsecond on. `None` when nothing was measured.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a cast from a float saturates, and a rank need not be exact beyond 2^52"
        )]
        let rank = ((part.clamp(0.0, 1.0) * count as f64).ceil() as u64).clamp(1, count);
        let mut before = 0;
        // What is in the last class may be of any length.
        let longest = Duration::from_nanos(end_of_class(CLASSES - 1));
        for (upper, here) in self.buckets() {
            before += here;
            if before >= rank && upper < longest {
                return Some(upper.min(self.max));
            }
        }
        Some(self.max)
    }

    /// Returns the classes that are not empty, by duration: the upper end of each, and the number in it. A measurement is below the end of
    /// its class; those in the last class may be longer.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let with_class = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        with_class.map(|(class, count)| (Duration::from_nanos(end_of_class(class)), *count))
    }
}
