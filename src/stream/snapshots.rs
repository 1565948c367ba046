//! What a stream came to at a version, so that not all of its events have to be read again.

use crate::error::{Error, Result};
use crate::store::Store;
use crate::stream::reader::EventReader;
use crate::topic::{CleanupPolicy, OwnedRecord, Partition, Topic, TopicConfig};
use crate::types::{Durability, Offset, Record};

/// Behind the name of a topic.
const SUFFIX: &str = ".snapshots";
/// The version of the stream, eight bytes, big-endian.
const VERSION: &str = "version";
/// The id of the topic, sixteen bytes, big-endian: versions of another topic of its name are others.
const OF_TOPIC: &str = "topic";

/// Snapshots of the streams of one topic, the last of each stream. They are the records of a compacted topic of its own,
/// `<topic>.snapshots`: key by key, as the streams are.
///
/// A snapshot is a hint. It is taken only of events that survive a power cut, and counts only while the stream is at its version or
/// after it, and has one of the events that are in it: where all of those were erased, deleted or compacted away, what has the key since may
/// be another stream.
///
/// ```
/// # use annals::{Expected, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let accounts = store.create_topic("accounts", TopicConfig::new().key_index(true))?;
/// let mut version = 0;
/// for amount in ["5", "7"] {
///     version = accounts.append_to("alice", Expected::Any, &[Record::new().value(amount)])?.last_offset;
/// }
/// let snapshots = store.snapshots("accounts")?;
/// snapshots.store("alice", version, b"12")?;
/// accounts.append_to("alice", Expected::Any, &[Record::new().value("1")])?;
/// let (snapshot, rest) = snapshots.read("alice")?;
/// assert_eq!(snapshot.unwrap().state, b"12");
/// assert_eq!(rest.into_iter().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Snapshots {
    of: Topic,
    topic: Topic,
}

/// What a stream came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The version of the stream: the offset of the last event that is in it.
    pub version: Offset,
    /// What it came to, as the program has encoded it.
    pub state: Vec<u8>,
}

impl Store {
    /// The snapshots of a topic's streams. Their topic is created if there is none.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic); [`InvalidConfig`](Error::InvalidConfig) where the topic has no
    /// [`key_index`](TopicConfig::key_index); [`InvalidName`](Error::InvalidName) where its name has no room for `.snapshots`;
    /// [`TopicMismatch`](Error::TopicMismatch) where a topic of that name is something else.
    pub fn snapshots(&self, topic: &str) -> Result<Snapshots> {
        let of = self.topic(topic)?;
        of.stream("")?;
        let config = TopicConfig::new()
            .partitions(of.partition_count())
            .cleanup_policy(CleanupPolicy::Compact)
            .key_index(true);
        let topic = self.ensure_topic(&format!("{topic}{SUFFIX}"), config)?;
        Ok(Snapshots { of, topic })
    }
}

impl Snapshots {
    /// The topic whose streams they are of.
    pub fn streams(&self) -> &Topic {
        &self.of
    }

    /// The topic that holds them.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Stores what a stream came to at a version, in the place of an earlier snapshot. The events up to there are on the disk before it
    /// is written. What others have lost from memory there is left for the next flush to tell.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic) where the topic of the streams was deleted, also if there is another of its name;
    /// [`InvalidArgument`](Error::InvalidArgument) for a version after the end of the stream's partition;
    /// [`Io`](Error::Io), [`Poisoned`](Error::Poisoned), and as [`Partition::append`](crate::Partition::append).
    pub fn store(&self, key: impl AsRef<[u8]>, version: Offset, state: &[u8]) -> Result<()> {
        let key = key.as_ref();
        let events = self.events_of(key)?;
        if version < 0 || version >= events.end() {
            return Err(Error::invalid(format!(
                "{} has no event of version {version}",
                events.topic_partition()
            )));
        }
        if !events.is_safe(version) {
            events.flush_untold()?;
        }
        let (version, id) = (version.to_be_bytes(), self.of.id().to_be_bytes());
        let record = Record::new().key(key).value(state).header(VERSION, &version).header(OF_TOPIC, &id);
        self.topic.partition_of(key)?.append(&[record], Durability::Os)?;
        Ok(())
    }

    /// The last snapshot of a stream. `None` where there is none, or it is of more than the stream is now, or of nothing that the stream
    /// still has: where no event of it is left up to the snapshot's version.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic) where the topic was deleted, also if there is another of its name;
    /// [`Corrupt`](Error::Corrupt), [`Io`](Error::Io).
    pub fn load(&self, key: impl AsRef<[u8]>) -> Result<Option<Snapshot>> {
        let key = key.as_ref();
        self.events_of(key)?;
        let Some(record) = self.topic.get(key)? else { return Ok(None) };
        let stream = self.of.stream(key)?;
        let now = stream.version()?;
        let id = self.of.id().to_be_bytes();
        let Some(snapshot) = snapshot(record, &id).filter(|snapshot| Some(snapshot.version) <= now) else {
            return Ok(None);
        };
        // A stream that was emptied, and has begun again behind it, is another one.
        let goes_on = now == Some(snapshot.version)
            || stream.version_below(snapshot.version.saturating_add(1))?.is_some();
        Ok(goes_on.then_some(snapshot))
    }

    /// The last snapshot of a stream, and a reader of the events after it: of all where there is none.
    ///
    /// # Errors
    /// As [`load`](Self::load) and [`Stream::read`](crate::Stream::read).
    pub fn read(&self, key: impl AsRef<[u8]>) -> Result<(Option<Snapshot>, EventReader)> {
        let key = key.as_ref();
        let snapshot = self.load(key)?;
        let from = snapshot.as_ref().map_or(0, |snapshot| snapshot.version + 1);
        Ok((snapshot, self.of.stream(key)?.read(from..)?))
    }

    /// The stream has no snapshot any more. Compaction takes what is left of it; [`erase`](Topic::erase) of the
    /// [topic](Self::topic) takes it out of the files at once.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic) where the topic of the streams was deleted, also if there is another of its name; and as [`Partition::append`](crate::Partition::append).
    pub fn prune(&self, key: impl AsRef<[u8]>) -> Result<()> {
        let key = key.as_ref();
        self.events_of(key)?;
        self.topic.partition_of(key)?.append(&[Record::new().key(key)], Durability::Os)?;
        Ok(())
    }

    /// Where the events of a stream are. Once their topic was deleted, what is stored here is its successor's.
    fn events_of(&self, key: &[u8]) -> Result<Partition> {
        let events = self.of.partition_of(key)?;
        events.log().check_open()?;
        Ok(events)
    }
}

/// What a record tells, if it is a snapshot of that topic.
fn snapshot(record: OwnedRecord, id: &[u8]) -> Option<Snapshot> {
    if record.header(OF_TOPIC) != Some(id) {
        return None;
    }
    let version = Offset::from_be_bytes(record.header(VERSION)?.try_into().ok()?);
    Some(Snapshot { version, state: record.value? })
}
