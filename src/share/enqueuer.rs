//! Sending to a queue: each id once, and no more than can wait.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::Deadline;
use crate::locks::{Mutex, MutexGuard};
use crate::log::{Signal, WhenFull};
use crate::share::backlog::Backlogs;
use crate::share::beat::Beat;
use crate::share::gone::Wanted;
use crate::share::holds::Holds;
use crate::share::id_log::SharedRing;
use crate::share::ids::{ID_HEADER, Ids, Window, encode};
use crate::share::queues::{Queues, check_group};
use crate::share::runs::length;
use crate::topic::{Partition, RecordMetadata, Topic, refuse_write};
use crate::types::{Durability, Offset, Record, Timestamp};

/// How long a sender waits for room.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What senders to one topic share.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Held while a record is checked and appended, so that no two pass for one.
    pub(super) state: Mutex<GateState>,
    pub(super) beat: Beat,
}

#[derive(Debug, Default)]
pub(super) struct GateState {
    ids: Option<(Ids, SharedRing)>,
    backlogs: Backlogs,
}

/// What a group may have unfinished.
#[derive(Debug, Clone)]
struct Limit {
    group: Arc<str>,
    most: u64,
    when_full: WhenFull,
}

/// Builds an [`Enqueuer`].
///
/// ```
/// # use annals::{Store, TopicConfig, WhenFull};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let orders = store
///     .enqueuer_builder("orders")
///     .unique_within(Duration::from_secs(3600), 100_000)
///     .limit("shipping", 10_000, WhenFull::Block)
///     .build()?;
/// # drop(orders);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct EnqueuerBuilder {
    queues: Arc<Queues>,
    holds: Arc<Holds>,
    topic: String,
    window: Option<Window>,
    limits: Vec<Limit>,
    durability: Durability,
}

impl EnqueuerBuilder {
    pub(crate) fn new(queues: Arc<Queues>, holds: Arc<Holds>, topic: &str) -> Self {
        let topic = topic.to_owned();
        Self { queues, holds, topic, window: None, limits: Vec::new(), durability: Durability::default() }
    }

    /// Makes [`send_once`](Enqueuer::send_once) and [`deliver_once_at`](Enqueuer::deliver_once_at) refuse an id that was sent within this
    /// time, if it is among the last `most_ids`. Each id takes about 140 bytes of memory, and 140 to 280 on the disk. It is known after a
    /// restart too, also when its record is gone: done and deleted, or too old. Two ids with the same hash of 128 bits are one.
    /// [`build`](Self::build) reads the stored ids, and the records of the window that were sent since the last of these. If the topic has no
    /// stored ids, or has them for a shorter window, it reads all records of the window, but not those for later.
    pub fn unique_within(mut self, time: Duration, most_ids: usize) -> Self {
        self.window = Some(Window { time, most: most_ids });
        self
    }

    /// Limits how many messages of the queue of `group` may be unfinished: those that wait, are out, or are delayed. Only enqueuers keep to
    /// the limit. Records of a transaction that is under way count as soon as they are written, together with its end, until it is decided.
    /// [`WhenFull::Block`] waits for up to a minute; [`WhenFull::DropOldest`] is refused. If the queue belongs to another process, a waiting
    /// sender sees what is done there every 20 ms.
    pub fn limit(mut self, group: &str, messages: u64, when_full: WhenFull) -> Self {
        self.limits.push(Limit { group: group.into(), most: messages, when_full });
        self
    }

    /// Sets what a record survives when its call returns; [`Durability::Memory`] is taken as [`Durability::Os`]. Default: [`Durability::Os`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Builds the enqueuer.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), [`InvalidName`](Error::InvalidName) for a limit of a group that can have no queue,
    /// [`InvalidArgument`](Error::InvalidArgument) for a topic of the store's own, for [`WhenFull::DropOldest`] and for a window of no time or no ids,
    /// [`Io`](Error::Io), [`Corrupt`](Error::Corrupt) for what it has to read.
    pub fn build(self) -> Result<Enqueuer> {
        let Self { queues, holds, topic, window, limits, durability } = self;
        queues.topics.check_open()?;
        let topic = queues.topics.get(&topic)?;
        refuse_write(topic.is_internal(), topic.name())?;
        limits.iter().try_for_each(|limit| check_group(&limit.group, topic.name()))?;
        if limits.iter().any(|limit| limit.when_full == WhenFull::DropOldest) {
            return Err(Error::invalid("a queue drops no message to make room for another"));
        }
        if window.is_some_and(|window| window.time.is_zero() || window.most == 0) {
            return Err(Error::invalid("a window of no time, or of no ids, remembers none"));
        }
        let gate = queues.gate(topic.id());
        if let Some(window) = window {
            let mut state = gate.state.lock();
            let known = state.ids.as_ref().map(|(ids, _)| ids.window);
            let wanted = known.map_or(window, |known| known.or(window));
            if known != Some(wanted) {
                let (ring, found) = queues.ids.open(&topic, (wanted, queues.clock.now()))?;
                state.ids = Some((Ids::of(wanted, found), ring));
            }
        }
        Ok(Enqueuer { queues, holds, topic, gate, window, limits, durability })
    }
}

/// Sends messages to a topic: each id once within a window, and no more than a queue may have unfinished. Usable from
/// many threads at once. Records sent around it, by a producer, are neither checked nor remembered.
///
/// ```
/// # use annals::{Error, Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let orders = store.enqueuer_builder("orders").unique_within(Duration::from_secs(3600), 100_000).build()?;
/// orders.send_once("order 17", Record::new().key("alice").value("2 apples"))?;
/// let again = orders.send_once("order 17", Record::new().key("alice").value("2 apples"));
/// assert!(matches!(again, Err(Error::DuplicateMessage { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Enqueuer {
    pub(super) queues: Arc<Queues>,
    pub(super) holds: Arc<Holds>,
    pub(super) topic: Topic,
    pub(super) gate: Arc<Gate>,
    window: Option<Window>,
    limits: Vec<Limit>,
    pub(super) durability: Durability,
}

impl Enqueuer {
    /// Sends a record; if the record names a topic, that is ignored.
    ///
    /// # Errors
    /// [`QueueFull`](Error::QueueFull); otherwise as for [`Producer::send`](crate::Producer::send).
    pub fn send(&self, record: Record<'_>) -> Result<RecordMetadata> {
        self.queues.topics.check_process()?;
        let record = record.topic(self.topic.name());
        let partition = self.place_of(&record)?;
        let state = self.wait_for_room(None)?;
        let placed = partition.append(std::slice::from_ref(&record), Durability::Os)?;
        drop(state);
        self.make_durable(&partition, placed.last_offset)?;
        Ok(RecordMetadata::new(partition.number(), placed.first_offset, placed.timestamp))
    }

    /// Sends a record, if none with that id was sent within the window. The id is stored in a header, `annals.message.id`, and is known
    /// after a restart too, whether or not the record is still there. The id is checked before room is: a known id is refused at once, even
    /// if the queue is full, and as soon as someone else has sent it while this call waits. After an error that says that nothing was
    /// appended, the id may be sent again.
    ///
    /// # Errors
    /// [`DuplicateMessage`](Error::DuplicateMessage). [`InvalidArgument`](Error::InvalidArgument) without
    /// [`unique_within`](EnqueuerBuilder::unique_within), and for a record with a timestamp of its own, by which the window could not be found
    /// again. Otherwise as for [`send`](Self::send).
    pub fn send_once<I: AsRef<[u8]> + ?Sized>(&self, id: &I, record: Record<'_>) -> Result<RecordMetadata> {
        self.check_once(&record)?;
        let record = record.topic(self.topic.name());
        let partition = self.place_of(&record)?;
        let id = id.as_ref();
        let mut state = self.wait_for_room(Some(id))?;
        let now = self.queues.clock.now();
        let (ids, ring) = self.unique(&mut state, id, now)?;
        let header = encode(id, now);
        let record = record.header(ID_HEADER, &header).timestamp(now);
        let arriving = Arriving(&partition);
        let placed = partition.append_needed(&record, Durability::Os)?;
        let hash = ids.add(id, now);
        self.queues.ids.note(ring, (&partition, placed.first_offset), (now, hash));
        drop(arriving);
        drop(state);
        self.make_durable(&partition, placed.last_offset)?;
        Ok(RecordMetadata::new(partition.number(), placed.first_offset, placed.timestamp))
    }

    pub(super) fn check_once(&self, record: &Record<'_>) -> Result<()> {
        self.queues.topics.check_process()?;
        if record.timestamp_millis().is_some() {
            return Err(Error::invalid("a record with an id has the timestamp of its sending"));
        }
        if self.window.is_none() {
            return Err(Error::invalid("ids are known within a window: unique_within sets one"));
        }
        Ok(())
    }

    /// Where a record goes.
    pub(super) fn place_of(&self, record: &Record<'_>) -> Result<Partition> {
        let partition = self.queues.producer.place_of(record)?;
        if partition.topic_id() != self.topic.id() {
            return Err(Error::UnknownTopic { topic: self.topic.name().to_owned(), was_deleted: true });
        }
        Ok(partition)
    }

    /// What is known of ids, where that one was not sent within the window.
    pub(super) fn unique<'a>(
        &self,
        state: &'a mut GateState,
        id: &[u8],
        now: Timestamp,
    ) -> Result<(&'a mut Ids, &'a SharedRing)> {
        let (Some(window), Some((ids, ring))) = (self.window, state.ids.as_mut()) else {
            return Err(Error::invalid("ids are known within a window: unique_within sets one"));
        };
        if let Some(sent) = ids.find(id, window, now) {
            let (topic, id) = (self.topic.name().to_owned(), String::from_utf8_lossy(id).into_owned());
            return Err(Error::DuplicateMessage { topic, id, sent });
        }
        Ok((ids, ring))
    }

    /// An error from here is of that record's own partition, and of nothing else that a flush would see to.
    fn make_durable(&self, partition: &Partition, last: Offset) -> Result<()> {
        if self.durability == Durability::Disk { partition.make_durable(last) } else { Ok(()) }
    }

    /// The gate, once there is room for one more message in every queue. Where there is none, an id that is known is refused at once: nobody
    /// makes room for it.
    fn wait_for_room(&self, id: Option<&[u8]>) -> Result<MutexGuard<'_, GateState>> {
        let (mut waiting, mut has_folded): (Option<Waiting<'_>>, _) = (None, false);
        loop {
            // Read before looking: room made after this look ends the sleep below.
            let seen = waiting.as_ref().map(|waiting| waiting.signal.raised());
            let mut state = self.gate.state.lock();
            self.queues.topics.check_open()?;
            if self.limits.is_empty() {
                return Ok(state);
            }
            let partitions = self.topic.partitions();
            partitions.iter().try_for_each(|partition| partition.log().check_open())?;
            let full = self.limits.iter().find_map(|limit| {
                let unfinished = self.queues.unfinished(&partitions, limit, &mut state.backlogs);
                (unfinished >= limit.most).then_some((limit, unfinished))
            });
            let Some((limit, unfinished)) = full else { return Ok(state) };
            if let Some(id) = id {
                self.unique(&mut state, id, self.queues.clock.now()).map(drop)?;
            }
            drop(state);
            if !std::mem::replace(&mut has_folded, true) {
                // They may be done, in another process.
                drop(self.queues.fold());
                continue;
            }
            let is_over = waiting.as_ref().is_some_and(|waiting| waiting.deadline.has_passed());
            if limit.when_full == WhenFull::Fail || is_over {
                let (topic, group) = (self.topic.name().to_owned(), limit.group.to_string());
                return Err(Error::QueueFull { topic, group, unfinished, limit: limit.most });
            }
            match (&waiting, seen) {
                (Some(waiting), Some(seen)) => {
                    let look = self.look_for_room(&limit.group);
                    _ = waiting.signal.wait(seen, waiting.deadline.min(look));
                }
                // Looked at once more: there may have been room before anybody would have said so.
                _ => waiting = Some(Waiting::new(self)),
            }
        }
    }
}

/// A record with an id is appended, and its id is not noted: nobody takes it out before that.
struct Arriving<'a>(&'a Partition);

impl Drop for Arriving<'_> {
    fn drop(&mut self) {
        self.0.log().has_arrived();
    }
}

/// A sender that waits for room: answers make it, retention, and whoever deletes records or the topic.
struct Waiting<'a> {
    enqueuer: &'a Enqueuer,
    partitions: Vec<Partition>,
    signal: Arc<Signal>,
    deadline: Deadline,
}

impl<'a> Waiting<'a> {
    fn new(enqueuer: &'a Enqueuer) -> Self {
        let (signal, partitions) = (Arc::new(Signal::default()), enqueuer.topic.partitions());
        enqueuer.queues.room.add(&signal);
        enqueuer.queues.topics.watch_close(&signal);
        partitions.iter().for_each(|partition| partition.log().watch(&signal));
        Self { enqueuer, partitions, signal, deadline: Deadline::after(LONGEST_WAIT) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Self { enqueuer, partitions, signal, .. } = self;
        enqueuer.queues.room.remove(signal);
        enqueuer.queues.topics.unwatch_close(signal);
        partitions.iter().for_each(|partition| partition.log().unwatch(signal));
    }
}

impl Queues {
    /// What the senders to a topic share.
    pub(super) fn gate(&self, topic: u128) -> Arc<Gate> {
        let mut gates = self.gates.lock();
        gates.retain(|_, gate| gate.strong_count() > 0);
        if let Some(gate) = gates.get(&topic).and_then(std::sync::Weak::upgrade) {
            return gate;
        }
        let gate = Arc::new(Gate::default());
        gates.insert(topic, Arc::downgrade(&gate));
        gate
    }

    /// How many messages of a queue are not done. One that nobody has opened yet has all of the topic to do. Where it is at its
    /// limit by the number of offsets, those are counted that are messages, and are there still.
    fn unfinished(&self, partitions: &[Partition], limit: &Limit, backlogs: &mut Backlogs) -> u64 {
        let of = |partition: &Partition, wanted: Wanted| {
            let next = partition.next_offset();
            match self.find(&limit.group, partition) {
                Some(slot) => {
                    let mut inner = slot.enter(&self.suspects);
                    if wanted == Wanted::Everything {
                        let now = self.clock.now();
                        self.end_gone(&mut inner, (partition, &limit.group), (wanted, now));
                    }
                    // What is done and was deleted since is none of what lies from the start on.
                    let gone = inner.state.skip_to(partition.start());
                    inner.counters.lost += gone;
                    let start = inner.state.start();
                    let count = length(start, next - 1).saturating_sub(inner.state.figures().done);
                    (count, inner.state.end().max(start))
                }
                None => (length(partition.start(), next - 1), partition.start()),
            }
        };
        let offsets: u64 = partitions.iter().map(|one| of(one, Wanted::TakenOut).0).sum();
        if offsets < limit.most {
            return offsets;
        }
        let counts: Vec<_> = partitions.iter().map(|one| of(one, Wanted::Everything)).collect();
        let exact = |(partition, (count, end)): (&Partition, &(u64, Offset))| {
            count.saturating_sub(backlogs.gaps(partition, (&limit.group, *end)))
        };
        partitions.iter().zip(&counts).map(exact).sum()
    }
}
