//! Queues as a process sees them that only reads their store.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::{Clock, Directory};
use crate::locks::Mutex;
use crate::share::letter_count::{LetterCount, OpenMessages};
use crate::share::queue_steps::Steps;
use crate::share::queues::{is_of_left_letters, named};
use crate::share::runs::length;
use crate::share::sent_back::is_sent_to;
use crate::share::share_partition::SharePartition;
use crate::share::state_log::{AllFound, Found, SlotName};
use crate::share::stats::age_of;
use crate::share::step_bytes;
use crate::topic::{LeftOut, Partition, SHARE_STATE, Topics, unless_deleted};
use crate::types::{Offset, Timestamp};

/// So few offsets are looked at one by one: an end of a transaction is no message, and a queue that is done has none.
const MOST_LOOKED_AT: u64 = 1000;

/// What a [`StoreReader`](crate::StoreReader) sees of a queue: what is written of it. Which worker has a message, for how much longer, and when a
/// delay ends is known only in the memory of the process that works on the queue, and so are its counts since it opened the store
/// ([`QueueStats`](crate::stats::QueueStats)). If a partition has more than 1,000 offsets from the first unfinished message on,
/// those without a record and those sent back for another group count as messages, until a worker has passed them and has got one that
/// follows, or has passed them in a process other than the owner; but they do not count among dead letters.
///
/// ```
/// # use annals::{Record, Store, StoreReader, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path())?; // in one process
/// # store.create_topic("orders", TopicConfig::new())?;
/// # for _ in 0..3 { store.producer().send(Record::to("orders").value("2 apples"))?; }
/// let mut worker = store.queue("orders", "shipping")?;
/// let message = worker.take(1, Duration::ZERO)?.into_iter().next().unwrap();
///
/// let shop = StoreReader::attach(dir.path())?; // in another one
/// let shipping = &shop.stats()?.queues[0];
/// assert_eq!((shipping.unfinished, shipping.handed_out), (3, 1));
/// message.ack()?;
/// assert_eq!(shop.stats()?.queues[0].unfinished, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReaderQueueStats {
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
    /// The topic whose dead letters these are, as in [`QueueStats`](crate::stats::QueueStats::letters_of).
    pub letters_of: Option<String>,
    /// Messages that are not done: they wait, are with a worker, or have a delay. For a queue of dead letters, those that nobody has sent back or
    /// discarded.
    pub unfinished: u64,
    /// How many of these were delivered before, and so are with a worker, have a delay, or wait for their next attempt.
    pub handed_out: u64,
    /// How long ago the oldest message that is not done was sent, by its timestamp and the clock of this process; `None` if all are done.
    pub oldest_age: Option<Duration>,
}

/// The queues of a store that is only read.
#[derive(Debug)]
pub(crate) struct SeenQueues {
    topics: Arc<Topics>,
    clock: Arc<dyn Clock>,
    /// Where other processes than the owner write what their queues do.
    root: Directory,
    seen: Mutex<Seen>,
}

/// What was read of their states.
#[derive(Debug, Default)]
struct Seen {
    /// The topic's id, and how often something was taken out of it.
    of: Option<(u128, u64)>,
    next: Offset,
    states: AllFound,
    letters: BTreeMap<SlotName, LetterCount>,
}

impl SeenQueues {
    pub(crate) fn new(topics: Arc<Topics>, clock: Arc<dyn Clock>, root: Directory) -> Self {
        Self { topics, clock, root, seen: Mutex::default() }
    }

    /// Figures of all queues whose topics are there, by topic and group, but for topics that cannot be looked at. Reads what was written of
    /// states, and of letters, since the last look.
    pub(crate) fn stats(&self, left_out: &LeftOut) -> Result<Vec<ReaderQueueStats>> {
        let mut seen = self.seen.lock();
        seen.states.drop_new();
        // First: what is taken out of there meanwhile was put into the topic before.
        let steps = self.steps()?;
        match self.topics.get(SHARE_STATE.name) {
            Ok(topic) => seen.read_on(&topic.partition(0)?)?,
            Err(Error::UnknownTopic { .. }) => *seen = Seen::default(),
            Err(error) => return Err(error),
        }
        let Seen { states, letters, .. } = &mut *seen;
        for (name, of) in &steps.0 {
            states.0.entry(name.clone()).or_insert_with(|| Found::new(of.beginning()));
        }
        letters.retain(|name, _| states.0.contains_key(name));
        let mut all: BTreeMap<(String, String), ReaderQueueStats> = BTreeMap::new();
        for topic in self.topics.all().iter().filter(|topic| !left_out.contains_key(topic.name())) {
            for partition in topic.partitions() {
                states.add_new(topic.id(), (partition.number(), partition.start()));
                let of = states.of_partition(topic.id(), partition.number());
                for (name, state) in of.filter(|(name, _)| !is_of_left_letters(&name.owner)) {
                    let (group, letters_of) = named(&name.owner);
                    let queue = (topic.name().to_owned(), name.owner.to_string());
                    let stats = all.entry(queue).or_insert_with(|| ReaderQueueStats {
                        topic: topic.name().to_owned(),
                        group: group.to_owned(),
                        letters_of: letters_of.map(str::to_owned),
                        ..ReaderQueueStats::default()
                    });
                    let mut over = steps.0.get(name).map(|of| of.over(state));
                    let of = (name, over.as_mut().unwrap_or(state), &mut *letters);
                    let added = add(stats, of, (&partition, self.clock.now()));
                    unless_deleted(added).unwrap_or(Ok(()))?;
                }
            }
        }
        Ok(all.into_values().collect())
    }

    /// What is not folded.
    fn steps(&self) -> Result<Steps> {
        let mut steps = Steps::default();
        for name in step_bytes::list(&self.root)? {
            let found = match step_bytes::read(&self.root, &name) {
                Err(failed @ Error::Io { .. }) => return Err(failed),
                // What is wrong with one is no matter of the others. Calls about its queue return it.
                found => found.ok().flatten(),
            };
            found.into_iter().for_each(|found| steps.0.extend(found.steps.0));
        }
        Ok(steps)
    }
}

impl Seen {
    /// Takes in what has come since. Where something was deleted it begins anew: a newer snapshot of each state lies behind that.
    fn read_on(&mut self, partition: &Partition) -> Result<()> {
        partition.log().look()?;
        let of = Some((partition.topic_id(), partition.log().rewrites()));
        if self.of != of {
            *self = Self { of, letters: std::mem::take(&mut self.letters), ..Self::default() };
        }
        self.next = self.states.read_on(partition, self.next)?;
        Ok(())
    }
}

/// Adds what one partition has of a queue.
fn add(
    stats: &mut ReaderQueueStats,
    (name, state, letters): (&SlotName, &mut SharePartition, &mut BTreeMap<SlotName, LetterCount>),
    (partition, now): (&Partition, Timestamp),
) -> Result<()> {
    // After the state: what that has come to is there.
    partition.log().look()?;
    let end = partition.end();
    // A power cut may have kept more of the state than of the partition; the owner cuts it as well.
    state.cut_to(end);
    state.skip_to(partition.start());
    let (start, done) = (state.start(), state.done());
    let (unfinished, first) = match stats.letters_of.as_deref() {
        None if length(start, end - 1) <= MOST_LOOKED_AT => {
            let open = messages(partition, (start..end, &done), &stats.group)?;
            (open.count, open.first.unwrap_or(end))
        }
        None => (length(start, end - 1).saturating_sub(within(&done, end)), start),
        Some(topic) => {
            let count = letters.entry(name.clone()).or_insert_with(|| LetterCount::new(partition));
            count.read_on(partition, (topic, &stats.group));
            let open = count.open(end, (start, &done));
            (open.count, open.first.unwrap_or(end))
        }
    };
    let tried = state.open_spans().into_iter().filter(|span| span.count > 0);
    stats.unfinished += unfinished;
    stats.handed_out += tried.filter_map(|span| span.below(end)).map(|span| span.len()).sum::<u64>();
    if unfinished == 0 || first >= end {
        return Ok(());
    }
    stats.oldest_age = stats.oldest_age.max(age_of(partition, first, now)?);
    Ok(())
}

/// How many messages of a group there are in a range that are not done.
fn messages(
    partition: &Partition,
    (range, done): (Range<Offset>, &[RangeInclusive<Offset>]),
    group: &str,
) -> Result<OpenMessages> {
    let mut open = OpenMessages { count: 0, first: None };
    let mut reader = partition.walk(range)?;
    loop {
        let records = reader.fetch()?;
        if records.is_empty() {
            return Ok(open);
        }
        let is_done = |offset: Offset| done.iter().any(|range| range.contains(&offset));
        let of = (partition.topic_id(), group);
        for record in records.iter().filter(|one| is_sent_to(one, of) && !is_done(one.offset())) {
            open.count += 1;
            open.first = open.first.or(Some(record.offset()));
        }
    }
}

/// How many offsets of some ranges lie below an end.
fn within(ranges: &[RangeInclusive<Offset>], end: Offset) -> u64 {
    ranges.iter().map(|range| length(*range.start(), (*range.end()).min(end - 1))).sum()
}
