//! One queue: a group's work on one topic, as all its workers share it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::figures::Event;
use crate::locks::RwLock;
use crate::log::{AtEnd, BelowStart, FetchLimits, Reader, Signal, Visibility, Watchers};
use crate::share::gone::Wanted;
use crate::share::in_time::in_time;
use crate::share::lanes::Fresh;
use crate::share::letter::is_letter_of;
use crate::share::queues::Queues;
use crate::share::runs::length;
use crate::share::sent_back::is_sent_to;
use crate::share::settings::Settings;
use crate::share::slot::{Slot, SlotInner};
use crate::share::step_files::QueueLock;
use crate::share::suspects::Entered;
use crate::topic::{Partition, PartitionRecords, RecordRef, Records, Topic};
use crate::types::{Offset, Timestamp};

/// What one look reads at most.
pub(super) const MOST_BYTES: usize = 1 << 20;
const MOST_RECORDS: u64 = 10_000;

/// A group's work on one topic.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) queues: Arc<Queues>,
    pub(super) group: Arc<str>,
    /// In whose name its states are stored: the group's, but where it hands out dead letters.
    pub(super) owner: Arc<str>,
    pub(super) topic: Topic,
    pub(super) settings: Settings,
    /// Another for each opening of a queue.
    pub(super) number: u64,
    pub(super) places: RwLock<Arc<[Arc<Place>]>>,
    /// Whoever waits for a message to come back, or for room.
    pub(super) watchers: Watchers,
    /// It is this process's.
    pub(super) _lock: Option<QueueLock>,
}

/// One partition of it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) partition: Partition,
    pub(super) slot: Arc<Slot>,
}

pub(super) fn hash_of(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

impl Queues {
    /// Ends the delays and locks of a state that are over by now, and tells of the locks: whoever ends them first is the only one who can.
    pub(super) fn expire(
        &self,
        inner: &mut SlotInner,
        (partition, group): (&Partition, &str),
        now: Timestamp,
    ) {
        let messages = inner.state.expire(now);
        if messages > 0 {
            self.topics.figures().events.note(|| Event::LocksExpired {
                partition: partition.topic_partition().clone(),
                group: group.to_owned(),
                messages,
            });
        }
    }
}

impl Queue {
    /// All partitions, those that have come since among them.
    pub(super) fn places(&self) -> Result<Arc<[Arc<Place>]>> {
        // Where another process owns the store nobody says that the topic has grown.
        self.queues.topics.look()?;
        let path = || self.queues.topics.path().to_path_buf();
        // Whoever takes in a partition that has come writes where it begins.
        let known = in_time(|| self.places.try_read(), || self.places.read(), path)?;
        if known.len() == usize::try_from(self.topic.partition_count()).unwrap_or(usize::MAX) {
            return Ok(Arc::clone(&known));
        }
        drop(known);
        let mut known = in_time(|| self.places.try_write(), || self.places.write(), path)?;
        let mut places = known.to_vec();
        for partition in self.topic.partitions().into_iter().skip(known.len()) {
            // What was sent to it was sent since the queue is there.
            let start = partition.start();
            let slot = self.queues.slot(&self.owner, &partition, start)?;
            places.push(Arc::new(Place { partition, slot }));
        }
        *known = places.into();
        Ok(Arc::clone(&known))
    }

    /// Locks a partition's state, as it is at `now`.
    pub(super) fn enter<'a>(&'a self, place: &'a Place) -> Result<(Entered<'a>, Timestamp)> {
        self.queues.topics.check_process()?;
        self.queues.tell_groups();
        // With the state held it could not be written where it has to be: what fails here is told there.
        drop(self.queues.write_own(|name| *name == place.slot.name));
        self.enter_one_more(place)
    }

    /// The same for whoever has other states, and has seen to what is owed before the first of them.
    pub(super) fn enter_one_more<'a>(&'a self, place: &'a Place) -> Result<(Entered<'a>, Timestamp)> {
        self.queues.topics.check_process()?;
        let looked = self.queues.look_elsewhere(place).map_err(|error| self.explain(place, error));
        let mut inner = self.queues.enter_in_time(&place.slot)?;
        if let Err(gone) = place.partition.log().check_open() {
            // Nothing more is handed out of it, and no answer comes to what is out.
            inner.state.forget_doubts();
            return Err(gone);
        }
        self.queues.catch_up(place, &mut inner, looked?)?;
        if inner.prepared_for != self.number {
            self.prepare(place, &mut inner)?;
        }
        let now = self.queues.clock.now();
        // What retention has taken is nobody's to deliver.
        let gone = inner.state.skip_to(place.partition.start());
        inner.counters.lost += gone;
        self.queues.end_gone(&mut inner, (&place.partition, &self.group), (Wanted::TakenOut, now));
        if !inner.state.untold.is_empty() {
            self.tell_gone(place, &mut inner);
        }
        Ok((inner, now))
    }

    /// The first look of an opening: what was out before, and in which order.
    fn prepare(&self, place: &Place, inner: &mut SlotInner) -> Result<()> {
        (inner.reader, inner.again) = (None, None);
        inner.state.skip_to(place.partition.start());
        inner.state.forget_order();
        if self.settings.is_ordered {
            let mut records = Vec::new();
            // What is not readable now is handed out in no life before the store is opened again.
            let readable = place.partition.log().stable();
            for span in inner.state.open_spans().into_iter().map_while(|span| span.below(readable)) {
                self.each(place, &mut inner.again, (span.first, span.last), |record| {
                    if self.is_for(&record) {
                        records.push(Fresh { offset: record.offset(), key: record.key().map(hash_of) });
                    }
                })?;
            }
            inner.state.keep_order(records);
        }
        if !inner.is_searched {
            inner.state.suspect_of(self.settings.delivery_limit);
            inner.is_searched = true;
        }
        inner.prepared_for = self.number;
        Ok(())
    }

    /// Calls `look` with each record that is there of a range, all of which is readable: the others are taken for gone. The reader
    /// stays for the next range: where that is further on in the same batch, the batch is not checked once more.
    pub(super) fn each(
        &self,
        place: &Place,
        reader: &mut Option<Reader>,
        (first, last): (Offset, Offset),
        mut look: impl FnMut(RecordRef<'_>),
    ) -> Result<()> {
        let log = place.partition.log();
        let first = first.max(place.partition.start());
        let reader = reader.get_or_insert_with(|| self.reader(place, first));
        reader.seek(first);
        while reader.position() <= last {
            let left = length(reader.position(), last).min(MOST_RECORDS);
            let limits = FetchLimits {
                max_records: usize::try_from(left).unwrap_or(usize::MAX),
                max_bytes: MOST_BYTES,
            };
            let slices = reader.fetch(limits).map_err(|error| log.explain(error))?;
            if slices.is_empty() && reader.position() <= last {
                return Err(log.out_of_range(reader.position()));
            }
            let place = place.partition.topic_partition().clone();
            let records = Records::new(vec![PartitionRecords::new(place, slices)]);
            // Where records are missing it reads on behind the range.
            records.iter().take_while(|record| record.offset() <= last).for_each(&mut look);
        }
        Ok(())
    }

    pub(super) fn reader(&self, place: &Place, from: Offset) -> Reader {
        let log = Arc::clone(place.partition.log());
        let reader = Reader::new(log, from, Visibility::Written, self.settings.on_damage);
        reader.below_start(BelowStart::GoOn).at_end(AtEnd::WaitsForNobody)
    }

    /// Whether a record is this queue's to deliver: it was not sent back for another, nor is it another's letter.
    pub(super) fn is_for(&self, record: &RecordRef<'_>) -> bool {
        if let Some(topic) = &self.settings.letters_of {
            return is_letter_of(record, (topic, &self.group));
        }
        is_sent_to(record, (self.topic.id(), &self.group))
    }

    /// Wakes `signal` whenever there may be something to hand out.
    pub(super) fn watch(&self, signal: &Arc<Signal>) {
        self.watchers.add(signal);
    }

    pub(super) fn unwatch(&self, signal: &Arc<Signal>) {
        self.watchers.remove(signal);
        for place in self.places.read().iter() {
            place.partition.log().unwatch(signal);
        }
    }
}

/// The time so long after another.
pub(super) fn until(now: Timestamp, wait: Duration) -> Timestamp {
    // Rounded up: a time is never over before it is.
    let millis = wait.as_nanos().div_ceil(1_000_000);
    // The last of all is that of messages of which nobody knows what was written.
    now.saturating_add(Timestamp::try_from(millis).unwrap_or(Timestamp::MAX)).min(Timestamp::MAX - 1)
}
