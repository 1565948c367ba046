//! The figures of a store, which all of its partitions add to.

// Not those of `locks`: nothing is decided by a figure, and a schedule explorer need not choose at each of them.
use std::sync::atomic::{AtomicU64, Ordering};

use crate::figures::event::EventQueue;
use crate::figures::histogram::Histogram;
use crate::figures::latency::Latency;

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a partition has appended since it was opened. Its writer alone counts it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Appended {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) batches: u64,
}

/// What all partitions of a store share. None of it is touched for a record that is sent or read, but by features that are off
/// unless asked for: each partition counts its appends where it has a lock anyway.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) syncs: Counter,
    pub(crate) rolls: Counter,
    pub(crate) write_failures: Counter,
    pub(crate) poisonings: Counter,
    pub(crate) removed_segments: Counter,
    pub(crate) removed_records: Counter,
    pub(crate) removed_bytes: Counter,
    pub(crate) compacted_records: Counter,
    pub(crate) compacted_bytes: Counter,
    /// How often files of segments, or of deleted topics, were taken off the disk.
    pub(crate) removals: Counter,
    pub(crate) rebalances: Counter,
    pub(crate) skipped_offsets: Counter,
    /// Of partitions that were deleted.
    pub(crate) gone: [Counter; 3],
    /// The most that was told of the same three.
    told: [AtomicU64; 3],
    pub(crate) sync: Histogram,
    pub(crate) compaction: Histogram,
    pub(crate) room: Histogram,
    #[cfg(feature = "metrics")]
    pub(crate) appends: [Histogram; 3],
    #[cfg(feature = "metrics")]
    pub(crate) write: Histogram,
    #[cfg(feature = "metrics")]
    pub(crate) poll: Histogram,
    pub(crate) events: EventQueue,
}

/// Counts that only rise while the store is open. What each one counts is in
/// [docs/figures.md](https://docs.rs/crate/annals/latest/source/docs/figures.md).
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// store.producer().send(Record::to("orders").value("2 apples"))?;
/// let counters = store.stats()?.counters;
/// assert_eq!((counters.appended_records, counters.appended_batches), (1, 1));
/// store.delete_topic("orders")?;
/// assert!(store.stats()?.counters.appended_bytes >= counters.appended_bytes); // nothing is taken from them
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Records that were appended, including those of the store's own topics.
    pub appended_records: u64,
    /// Bytes of their batches, as stored.
    pub appended_bytes: u64,
    /// Their batches.
    pub appended_batches: u64,
    /// Syncs of active segments.
    pub syncs: u64,
    /// Segments that were sealed and followed by another.
    pub rolls: u64,
    /// Writes that failed and were undone. Writes that came too late do not count: after the topic was deleted, for example.
    pub write_failures: u64,
    /// Failures after which a partition accepts nothing more.
    pub poisonings: u64,
    /// Appends that waited for room in a partition with a limit.
    pub waits_for_room: u64,
    /// Segments that retention and limits removed.
    pub removed_segments: u64,
    /// Their records.
    pub removed_records: u64,
    /// Their bytes.
    pub removed_bytes: u64,
    /// Compactions that had something to do.
    pub compactions: u64,
    /// Records that compactions removed.
    pub compacted_records: u64,
    /// Bytes that compactions freed.
    pub compacted_bytes: u64,
    /// How often the partitions of a group were assigned.
    pub rebalances: u64,
    /// Offsets that readers skipped because of damage.
    pub skipped_offsets: u64,
    /// Events that were not reported, because they came too fast.
    pub lost_events: u64,
}

/// How long operations took while the store was open. Latencies that need the feature `metrics` are empty without it.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let store = annals::Store::open(dir.path())?;
/// let latencies = store.stats()?.latencies;
/// assert_eq!((latencies.sync.count(), latencies.compaction.count()), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Latencies {
    /// Syncs of active segments.
    pub sync: Latency,
    /// Compactions of a partition that had something to do.
    pub compaction: Latency,
    /// Waits for room in a partition with a limit.
    pub room: Latency,
    /// Appends at [`Memory`](crate::Durability::Memory), about one in sixteen. Needs `metrics`.
    pub append_memory: Latency,
    /// Appends at [`Os`](crate::Durability::Os), about one in sixteen. Needs `metrics`.
    pub append_os: Latency,
    /// Appends at [`Disk`](crate::Durability::Disk). Needs `metrics`.
    pub append_disk: Latency,
    /// Writes of a batch, about one in sixteen. Needs `metrics`.
    pub write: Latency,
    /// Polls that returned records, without the time they slept. Needs `metrics`.
    pub poll: Latency,
}

impl Figures {
    /// The partition is deleted: what it counted stays counted.
    pub(crate) fn add_gone(&self, appended: Appended) {
        let Appended { records, bytes, batches } = appended;
        self.gone.iter().zip([records, bytes, batches]).for_each(|(gone, more)| gone.add(more));
    }

    /// With what the partitions that are there have appended.
    pub(crate) fn counters(&self, there: impl IntoIterator<Item = Appended>) -> Counters {
        let mut appended = self.gone.each_ref().map(Counter::get);
        for Appended { records, bytes, batches } in there {
            appended.iter_mut().zip([records, bytes, batches]).for_each(|(all, more)| *all += more);
        }
        // One that is deleted just now may be neither among those that are there nor among those that are gone.
        let told = appended.iter().zip(&self.told);
        let mut most = told.map(|(all, told)| told.fetch_max(*all, Ordering::Relaxed).max(*all));
        let [appended_records, appended_bytes, appended_batches] =
            std::array::from_fn(|_| most.next().unwrap_or(0));
        Counters {
            appended_records,
            appended_bytes,
            appended_batches,
            syncs: self.syncs.get(),
            rolls: self.rolls.get(),
            write_failures: self.write_failures.get(),
            poisonings: self.poisonings.get(),
            waits_for_room: self.room.look().count(),
            removed_segments: self.removed_segments.get(),
            removed_records: self.removed_records.get(),
            removed_bytes: self.removed_bytes.get(),
            compactions: self.compaction.look().count(),
            compacted_records: self.compacted_records.get(),
            compacted_bytes: self.compacted_bytes.get(),
            rebalances: self.rebalances.get(),
            skipped_offsets: self.skipped_offsets.get(),
            lost_events: self.events.lost(),
        }
    }

    pub(crate) fn latencies(&self) -> Latencies {
        let latencies = Latencies {
            sync: self.sync.look(),
            compaction: self.compaction.look(),
            room: self.room.look(),
            ..Latencies::default()
        };
        #[cfg(feature = "metrics")]
        let latencies = {
            let [append_memory, append_os, append_disk] = self.appends.each_ref().map(Histogram::look);
            let (write, poll) = (self.write.look(), self.poll.look());
            Latencies { append_memory, append_os, append_disk, write, poll, ..latencies }
        };
        latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A deletion takes a partition out of the list first, and adds what it has counted then.
    #[test]
    fn a_partition_between_the_list_and_those_that_are_gone_takes_nothing_from_the_counters() {
        let figures = Figures::default();
        let (one, other) =
            (Appended { records: 5, bytes: 500, batches: 2 }, Appended { records: 1, bytes: 90, batches: 1 });
        let told = |there: &[Appended]| {
            let counters = figures.counters(there.iter().copied());
            (counters.appended_records, counters.appended_bytes, counters.appended_batches)
        };
        assert_eq!(told(&[one, other]), (6, 590, 3));
        assert_eq!(told(&[other]), (6, 590, 3));
        figures.add_gone(one);
        assert_eq!(told(&[other]), (6, 590, 3));
        assert_eq!(told(&[other, other]), (7, 680, 4));
    }
}
