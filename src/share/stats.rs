//! Figures of queues.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::share::gone::Wanted;
use crate::share::letter_count::LetterCount;
use crate::share::queues::{Queues, named};
use crate::share::runs::length;
use crate::share::slot::Slot;
use crate::topic::{Partition, unless_deleted};
use crate::types::{Offset, Timestamp};

/// A queue at one moment. If another process has the queue, the figures are as far as its work was taken over: what is out or delayed there
/// counts as waiting, and what is delivered and answered there is in none of the counts.
///
/// Offsets without a record count as messages until a worker has reached them, but not among dead letters: those
/// are each read once for these figures.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # for _ in 0..3 { store.producer().send(Record::to("orders").value("2 apples"))?; }
/// let mut worker = store.queue("orders", "shipping")?;
/// let message = worker.take(1, Duration::ZERO)?.into_iter().next().unwrap();
/// let stats = store.stats()?;
/// assert_eq!((stats.queues[0].waiting, stats.queues[0].locked), (2, 1));
/// # message.ack()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QueueStats {
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
    /// The topic whose dead letters these are, for the queue of [`DeadLetters`](crate::DeadLetters) on a topic of letters. The queue is there
    /// from the first letter on, and `waiting` says how many letters nobody has sent back or discarded.
    pub letters_of: Option<String>,
    /// Messages that some worker may take, now or when an older one of their key is done.
    pub waiting: u64,
    /// Messages that workers have taken and not answered.
    pub locked: u64,
    /// Messages whose delay is not over.
    pub delayed: u64,
    /// How long ago the oldest message that is not done was sent, by its timestamp; `None` if all are done.
    pub oldest_age: Option<Duration>,
    /// Messages delivered since the store was opened.
    pub delivered: u64,
    /// Messages done since the store was opened.
    pub acknowledged: u64,
    /// Messages done within the last minute, by the store's clock; approximate while the pace changes.
    pub acknowledged_last_minute: u64,
    /// Messages given back since the store was opened, to be delivered again.
    pub released: u64,
    /// Messages given up since the store was opened.
    pub dead: u64,
    /// Messages removed by retention since the store was opened, and not done.
    pub lost: u64,
}

impl Queues {
    /// Figures of all queues whose topics are there, by topic and group.
    pub(crate) fn stats(&self) -> Result<Vec<QueueStats>> {
        let mut all: BTreeMap<(String, String), QueueStats> = BTreeMap::new();
        for topic in self.topics.all() {
            let partitions = topic.partitions();
            let of = |partition| self.of_partition(partition).into_iter().map(move |one| (partition, one));
            for (partition, (name, slot)) in partitions.iter().flat_map(of) {
                let new = || Slot::new(name, partition.start(), self.clock.now()).map(Arc::new);
                let slot = slot.map_or_else(new, Ok)?;
                let (group, letters_of) = named(&slot.name.owner);
                let name = (topic.name().to_owned(), slot.name.owner.to_string());
                let stats = all.entry(name).or_insert_with(|| QueueStats {
                    topic: topic.name().to_owned(),
                    group: group.to_owned(),
                    letters_of: letters_of.map(str::to_owned),
                    ..QueueStats::default()
                });
                if let Some(added) = unless_deleted(self.add(stats, &slot, partition)) {
                    added?;
                }
            }
        }
        Ok(all.into_values().collect())
    }

    fn add(&self, stats: &mut QueueStats, slot: &Slot, partition: &Partition) -> Result<()> {
        let now = self.clock.now();
        // An end of a transaction stands beside each letter, and letters of others may.
        let mut counts = stats.letters_of.as_ref().map(|_| self.letter_counts.lock());
        let count = counts.as_mut().zip(stats.letters_of.as_deref()).map(|(counts, topic)| {
            let count = counts.entry(slot.name.clone()).or_insert_with(|| LetterCount::new(partition));
            count.read_on(partition, (topic, &stats.group));
            count
        });
        let (end, unfinished, first) = {
            let mut inner = slot.enter(&self.suspects);
            partition.log().check_open()?;
            let gone = inner.state.skip_to(partition.start());
            inner.counters.lost += gone;
            self.end_gone(&mut inner, (partition, &stats.group), (Wanted::TakenOut, now));
            let (figures, counters) = (inner.state.figures(), inner.counters);
            let end = partition.end();
            let (mut unfinished, mut first) =
                (length(inner.state.start(), end - 1).saturating_sub(figures.done), inner.state.start());
            if let Some(count) = count {
                let open = count.open(end, (first, &inner.state.done()));
                (unfinished, first) = (open.count, open.first.unwrap_or(end));
            }
            stats.locked += figures.acquired;
            stats.delayed += figures.delayed;
            stats.waiting += unfinished.saturating_sub(figures.acquired + figures.delayed);
            stats.delivered += counters.delivered;
            stats.acknowledged += counters.acknowledged;
            stats.acknowledged_last_minute += counters.pace.in_last_minute(now);
            stats.released += counters.released;
            stats.dead += counters.buried;
            stats.lost += counters.lost;
            (end, unfinished, first)
        };
        if unfinished == 0 || first >= end {
            return Ok(());
        }
        stats.oldest_age = stats.oldest_age.max(age_of(partition, first, now)?);
        Ok(())
    }
}

/// How long ago a message was sent, by its timestamp; `None` for one that was deleted since it was looked up.
pub(super) fn age_of(partition: &Partition, offset: Offset, now: Timestamp) -> Result<Option<Duration>> {
    let sent = match partition.get(offset) {
        Err(Error::OffsetOutOfRange { .. }) => None,
        got => got?.map(|record| record.timestamp),
    };
    // By a clock that was set back since it was sent just now.
    let age = |sent| Duration::from_millis(u64::try_from(now.saturating_sub(sent)).unwrap_or(0));
    Ok(sent.map(age))
}
