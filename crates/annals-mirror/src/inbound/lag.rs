//! What the cluster has and the store has not.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use annals::Offset;

/// How often the cluster is asked where partitions end.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where the cluster's committed records ended at the last look, and how far they were read.
#[derive(Debug)]
pub(super) struct Lag {
    /// By number of the partition.
    ends: Vec<Offset>,
    /// Partitions that were read to that end, which may be an end mark and no record.
    at_end: BTreeSet<i32>,
    looked: Instant,
}

impl Lag {
    pub(super) fn new(ends: Vec<Offset>) -> Self {
        Self { ends, at_end: BTreeSet::new(), looked: Instant::now() }
    }

    /// Whether it is time to ask again.
    pub(super) fn is_due(&mut self) -> bool {
        let is_due = self.looked.elapsed() >= INTERVAL;
        if is_due {
            self.looked = Instant::now();
        }
        is_due
    }

    /// The end of a partition, asked again.
    pub(super) fn note_end(&mut self, partition: i32, end: Offset) {
        let known = usize::try_from(partition).ok().and_then(|number| self.ends.get_mut(number));
        if let Some(known) = known
            && *known != end
        {
            *known = end;
            // The client tells of an end once: it tells of this one when it gets there.
            self.at_end.remove(&partition);
        }
    }

    /// A record was read.
    pub(super) fn note_record(&mut self, partition: i32) {
        self.at_end.remove(&partition);
    }

    /// There was nothing more.
    pub(super) fn note_at_end(&mut self, partition: i32) {
        self.at_end.insert(partition);
    }

    /// Offsets that are not mirrored, where partitions are mirrored up to these.
    pub(super) fn of(&self, positions: impl Iterator<Item = Offset>) -> u64 {
        let lag = |(number, (position, end)): (i32, (Offset, &Offset))| {
            if self.at_end.contains(&number) { 0 } else { u64::try_from(end - position).unwrap_or(0) }
        };
        (0..).zip(positions.zip(&self.ends)).map(lag).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_has_caught_up_once_lags_again() {
        let mut lag = Lag::new(vec![10, 5]);
        assert_eq!(lag.of([0, 0].into_iter()), 15);
        lag.note_at_end(0);
        lag.note_at_end(1);
        assert_eq!(lag.of([9, 5].into_iter()), 0, "the last offset of the first is an end mark");
        lag.note_end(0, 10);
        assert_eq!(lag.of([9, 5].into_iter()), 0, "nothing has come");
        lag.note_end(0, 1_000_010);
        assert_eq!(lag.of([9, 5].into_iter()), 1_000_001);
        // An end that was told before more came.
        lag.note_at_end(0);
        lag.note_record(0);
        assert_eq!(lag.of([500_000, 5].into_iter()), 500_010);
        lag.note_at_end(0);
        assert_eq!(lag.of([1_000_009, 5].into_iter()), 0);
    }
}
