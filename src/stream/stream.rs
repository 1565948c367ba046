//! The events of one key.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use crate::error::Result;
use crate::log::{ContentBackwards, Isolation, Selection, StreamKey};
use crate::stream::backwards::EventsBackwards;
use crate::stream::reader::{EventReader, bounds};
use crate::topic::{BatchMetadata, OwnedRecord, Partition, Topic};
use crate::types::{Durability, Expected, Offset, Record};

/// The events of one key in a topic with a [`key_index`](crate::TopicConfig::key_index). There are as many streams as there are keys. An
/// empty stream costs nothing; a stream begins with its first event.
///
/// A stream is in the partition to which Kafka's hash maps its key: that is where producers send it. What was sent to another
/// partition by number, or by a [`Partitioner`](crate::Partitioner) of your own, is not part of it.
///
/// If partitions were added to the topic while it had no key index, a stream may be in another one: then every call returns
/// [`InvalidArgument`](crate::Error::InvalidArgument), and [`Topic::stream`] gives the stream that is meant now.
///
/// The *version* of a stream is the offset of its last event. It rises with every event and says where that event is; it is not
/// the number of events. Compaction, retention and erasure change no version, as long as there is an event at all.
///
/// Readers see committed events.
///
/// ```
/// # use annals::{Durability, Expected, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
/// let order = orders.stream("order-17")?;
/// order.append(Expected::NoStream, &[Record::new().value("placed"), Record::new().value("paid")], Durability::Os)?;
/// orders.append_to("order-18", Expected::Any, &[Record::new().value("placed")])?;
/// let events = order.read(..)?.into_iter().collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(events.len(), 2);
/// assert_eq!(order.version()?, Some(1));
/// assert_eq!(order.last()?.unwrap().value.as_deref(), Some(&b"paid"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Stream {
    partition: Partition,
    /// Partitions of the topic when it was found to be in that one.
    partitions: u32,
    selection: Arc<Selection>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key().escape_ascii().to_string();
        f.debug_struct("Stream").field("in", self.partition.topic_partition()).field("key", &key).finish()
    }
}

impl Topic {
    /// Returns the stream of a key.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::Error::InvalidConfig) if the topic has no [`key_index`](crate::TopicConfig::key_index).
    pub fn stream(&self, key: impl AsRef<[u8]>) -> Result<Stream> {
        let key = key.as_ref();
        let partition = self.partition_of(key)?;
        partition.log().check_open()?;
        partition.log().check_key_index()?;
        let partitions = partition.log().partitions();
        Ok(Stream { partition, partitions, selection: Arc::new(Selection::key(key)) })
    }

    /// Returns the last record of a key; `None` if there is none. In a compacted topic a record without a value is a tombstone: the key was
    /// deleted.
    ///
    /// It covers what is committed below [`Partition::stable`](crate::Partition::stable). While another transaction has written to the
    /// partition and is not decided, records after it are not seen, even those that this thread has sent there, or committed: the record
    /// before them, or `None`, is returned. If you act on the result, make it a condition, with [`append_to`](Self::append_to) and
    /// [`Expected::Version`], which fails in that case; a reader with [`Isolation::ReadUncommitted`](crate::Isolation::ReadUncommitted) sees
    /// everything, including what may be aborted.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::Error::InvalidConfig) if the topic has no [`key_index`](crate::TopicConfig::key_index);
    /// [`Corrupt`](crate::Error::Corrupt), [`Io`](crate::Error::Io).
    ///
    /// ```
    /// # use annals::{CleanupPolicy, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).key_index(true);
    /// let prices = store.create_topic("prices", config)?;
    /// for price in ["2", "3"] {
    ///     store.producer().send(Record::to("prices").key("apple").value(price))?;
    /// }
    /// assert_eq!(prices.get("apple")?.unwrap().value.as_deref(), Some(&b"3"[..]));
    /// assert_eq!(prices.get("pear")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<OwnedRecord>> {
        self.stream(key)?.last()
    }

    /// Appends events to the stream of a key, all or nothing, if the stream is as expected. The events get the key, which replaces the topic,
    /// partition and key that they name. They are handed to the operating system when this returns; with [`Stream::append`] you choose the
    /// durability.
    ///
    /// # Errors
    /// As for [`Stream::append`].
    pub fn append_to(
        &self,
        key: impl AsRef<[u8]>,
        expected: Expected,
        events: &[Record<'_>],
    ) -> Result<BatchMetadata> {
        self.append_to_key(key.as_ref(), expected, events)
    }

    fn append_to_key(&self, key: &[u8], expected: Expected, events: &[Record<'_>]) -> Result<BatchMetadata> {
        self.with_partition_of(key, |partition| {
            append_to(partition, (StreamKey::new(key), expected), events, Durability::Os)
        })
    }
}

impl Stream {
    /// Returns its key.
    pub fn key(&self) -> &[u8] {
        self.selection.as_key()
    }

    /// Returns the partition that its events are in.
    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// Reads the events whose offsets lie in a range, forwards: `..` for all, `version + 1..` for those after a version. A `for` loop over
    /// the reader reads all of them; its [`fetch`](EventReader::fetch) returns some at a time. Deleted events are skipped. If the range is
    /// open, events that come later are read too. Events in memory may come [later](EventReader::fetch), even your own, while another thread
    /// is writing to the partition.
    ///
    /// # Errors
    /// [`OffsetOutOfRange`](crate::Error::OffsetOutOfRange) when it begins above the partition's end.
    pub fn read(&self, range: impl RangeBounds<Offset>) -> Result<EventReader> {
        self.check_place()?;
        EventReader::new(&self.partition, &self.selection, bounds(&range))
    }

    /// Returns copies of all events whose offsets lie in a range, in their order, as far as they are there. Deleted events are skipped.
    ///
    /// The memory it takes is that of all the copies, and 64 KiB or one batch more. [`read`](Self::read) holds only some at a time: for
    /// streams that grow without end, [snapshots](crate::Snapshots) keep the range short.
    ///
    /// # Errors
    /// As for [`read`](Self::read) and [`EventReader::fetch`].
    ///
    /// ```
    /// # use annals::{Expected, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
    /// orders.append_to("order-17", Expected::Any, &[Record::new().value("placed"), Record::new().value("paid")])?;
    /// let order = orders.stream("order-17")?;
    /// assert_eq!((order.events(..)?.len(), order.events(1..)?.len()), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn events(&self, range: impl RangeBounds<Offset>) -> Result<Vec<OwnedRecord>> {
        self.read(range)?.into_iter().collect()
    }

    /// An error where the stream is in another partition by now: some may have been added while the topic had no key index.
    fn check_place(&self) -> Result<()> {
        if self.partition.log().partitions() == self.partitions {
            return Ok(());
        }
        self.partition.check_has_key(self.key())
    }

    /// Reads its events backwards, from the last one on.
    ///
    /// # Errors
    /// [`StoreClosed`](crate::Error::StoreClosed), [`UnknownTopic`](crate::Error::UnknownTopic).
    pub fn backwards(&self) -> Result<EventsBackwards> {
        self.backwards_below(Offset::MAX)
    }

    /// Reads its events below an offset, backwards.
    ///
    /// # Errors
    /// As for [`backwards`](Self::backwards).
    pub fn backwards_below(&self, offset: Offset) -> Result<EventsBackwards> {
        self.check_place()?;
        EventsBackwards::new(&self.partition, &self.selection, (0, offset))
    }

    /// Returns its last event; `None` if it has none. The event is committed, and below [`Partition::stable`](crate::Partition::stable), as
    /// with [`Topic::get`].
    ///
    /// # Errors
    /// [`Corrupt`](crate::Error::Corrupt), [`Io`](crate::Error::Io).
    pub fn last(&self) -> Result<Option<OwnedRecord>> {
        self.newest(|from| {
            self.check_place()?;
            let mut events = EventsBackwards::new(&self.partition, &self.selection, (from, Offset::MAX))?;
            let until = events.until();
            Ok((until, events.next().transpose()?))
        })
    }

    /// Returns the offset of its last event; `None` if it has none. The event is committed, and below
    /// [`Partition::stable`](crate::Partition::stable), as with [`Topic::get`]: after another's undecided transaction it may be lower than
    /// what this thread has committed. [`Expected::Version`] of it fails then, and nothing is overwritten.
    ///
    /// # Errors
    /// As for [`last`](Self::last).
    pub fn version(&self) -> Result<Option<Offset>> {
        self.newest(|from| {
            let mut last = self.look_back((from, Offset::MAX), Isolation::ReadCommitted)?;
            let until = last.until();
            Ok((
                until,
                last.fetch()?.first().and_then(|slice| slice.iter().next()).map(|record| record.offset),
            ))
        })
    }

    /// What `find` finds last from an offset on and below another, which it says. Where something is taken out meanwhile, as by a compaction
    /// for the sake of what came since, it is asked for that, too.
    fn newest<T>(&self, find: impl Fn(Offset) -> Result<(Offset, Option<T>)>) -> Result<Option<T>> {
        let log = self.partition.log();
        let (mut from, mut found) = (0, None);
        loop {
            let rewrites = log.rewrites();
            let (until, newer) = find(from)?;
            found = newer.or(found);
            if log.rewrites() == rewrites {
                return Ok(found);
            }
            from = until;
        }
    }

    /// Whether it has an event of that offset, which those who read can be handed.
    pub(super) fn has(&self, offset: Offset) -> Result<bool> {
        let mut event = self.look_back((offset, offset.saturating_add(1)), Isolation::ReadCommitted)?;
        Ok(!event.fetch()?.is_empty())
    }

    /// The same of one that is committed, though those who read may have to wait for what stands before it.
    pub(super) fn has_committed(&self, offset: Offset) -> Result<bool> {
        let log = self.partition.log();
        let mut event = self.look_back((offset, offset.saturating_add(1)), Isolation::ReadUncommitted)?;
        let found = event.find().map_err(|error| log.explain(error))?;
        Ok(found.is_some_and(|found| !found.is_undecided))
    }

    fn look_back(&self, range: (Offset, Offset), isolation: Isolation) -> Result<ContentBackwards> {
        self.check_place()?;
        let log = self.partition.log();
        log.check_open()?;
        log.write_for((range.1, range.1))?;
        Ok(ContentBackwards::new(log, Arc::clone(&self.selection), range, isolation))
    }

    /// Appends events, all or nothing, if the stream is as expected. They get its key, which replaces the topic, partition and key that they
    /// name. They are written before this returns, at [`Durability::Memory`] too.
    ///
    /// # Errors
    /// [`Conflict`](crate::Error::Conflict), with the version that was found, when the stream is not as expected;
    /// otherwise as for [`Partition::append`].
    pub fn append(
        &self,
        expected: Expected,
        events: &[Record<'_>],
        durability: Durability,
    ) -> Result<BatchMetadata> {
        self.check_place()?;
        append_to(&self.partition, (self.selection.as_stream(), expected), events, durability)
    }
}

/// Appends events with the stream's key.
#[inline(always)]
fn append_to(
    partition: &Partition,
    (stream, expected): (StreamKey<'_>, Expected),
    events: &[Record<'_>],
    durability: Durability,
) -> Result<BatchMetadata> {
    if let [event] = events {
        return partition.append_expected((stream, expected), &[event.keyed(stream.key)], durability);
    }
    let keyed: Vec<_> = events.iter().map(|event| event.keyed(stream.key)).collect();
    partition.append_expected((stream, expected), &keyed, durability)
}
