//! What a stream came to at a version, so that not all of its events have to be read again.

use crate::error::{Error, Result};
use crate::log::EraseReport;
use crate::store::Store;
use crate::stream::reader::EventReader;
use crate::stream::stream::Stream;
use crate::topic::{CleanupPolicy, OwnedRecord, Partition, Topic, TopicConfig};
use crate::types::{Durability, Offset, Record};

/// Behind the name of a topic.
const SUFFIX: &str = ".snapshots";
/// The version of the stream, eight bytes, big-endian.
const VERSION: &str = "version";
/// The id of the topic, sixteen bytes, big-endian: versions of another topic of its name are others.
const OF_TOPIC: &str = "topic";

/// Snapshots of the streams of one topic: the last snapshot of each stream. They are the records of a compacted topic of their own,
/// `<topic>.snapshots`, by key, like the streams.
///
/// A snapshot is a hint. It is taken only of events that survive a power cut, and counts only while the stream has the event of its
/// version: if that event was erased or compacted away, what has the key since may be another stream, and there is no snapshot.
///
/// Where events are deleted from the front, by [`delete_records`](Partition::delete_records) or by retention, the last event in each snapshot
/// has to stay: without it nobody can say what state the stream had, and [`load`](Self::load) returns
/// [`SnapshotCutOff`](Error::SnapshotCutOff).
///
/// To erase a key, first keep the program's commands away from it, then erase it in the topic, then [here](Self::erase). A command that has
/// read the events before may append with `Expected::Any`, and the erased stream begins again; `store` refuses the snapshot that it makes of
/// them.
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

/// A version of a stream that has its event.
struct Looked<'a> {
    key: &'a [u8],
    version: Offset,
    events: Partition,
    stream: Stream,
    /// How often the events had been rewritten before the look.
    rewrites: u64,
}

/// The state of a stream at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// The version of the stream: the offset of the last event in it.
    pub version: Offset,
    /// The state, as the program has encoded it.
    pub state: Vec<u8>,
}

impl Store {
    /// Returns the snapshots of a topic's streams. Their topic is created if there is none.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic); [`InvalidConfig`](Error::InvalidConfig) if the topic has no
    /// [`key_index`](TopicConfig::key_index); [`InvalidName`](Error::InvalidName) if its name has no room for `.snapshots`;
    /// [`TopicMismatch`](Error::TopicMismatch) if a topic of that name is something else.
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
    /// Returns the topic whose streams these snapshots are of.
    pub fn streams(&self) -> &Topic {
        &self.of
    }

    /// Returns the topic that holds the snapshots.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Stores the state of a stream at a version, replacing an earlier snapshot. The events up to that version are on the disk before it
    /// is written. If records of others were lost from memory there, that is left for the next flush to report.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic) if the topic of the streams was deleted, also if there is another of its name;
    /// [`InvalidArgument`](Error::InvalidArgument) if the stream has no committed event of that version, also if it was erased meanwhile:
    /// then no byte of the state stays in the files of the snapshots;
    /// [`Io`](Error::Io), [`Poisoned`](Error::Poisoned), and as for [`Partition::append`].
    pub fn store(&self, key: impl AsRef<[u8]>, version: Offset, state: &[u8]) -> Result<()> {
        let looked = self.look_at(key.as_ref(), version)?;
        self.write_down(&looked, state)
    }

    /// Sees to it that the stream has an event of that version, on the disk.
    fn look_at<'a>(&self, key: &'a [u8], version: Offset) -> Result<Looked<'a>> {
        let events = self.events_of(key)?;
        let stream = self.of.stream(key)?;
        let rewrites = events.log().rewrites();
        if version < 0 || !stream.has_committed(version)? {
            return Err(without_event(&stream, version));
        }
        if !events.is_safe(version) {
            events.flush_untold()?;
        }
        Ok(Looked { key, version, events, stream, rewrites })
    }

    fn write_down(&self, looked: &Looked<'_>, state: &[u8]) -> Result<()> {
        let Looked { key, version, events, stream, rewrites } = looked;
        let (bytes, id) = (version.to_be_bytes(), self.of.id().to_be_bytes());
        let record = Record::new().key(key).value(state).header(VERSION, &bytes).header(OF_TOPIC, &id);
        self.topic.partition_of(key)?.append(&[record], Durability::Os)?;
        // Erased between the look and the append, perhaps with the snapshots that were there: this one would be left of it. Where it was
        // deleted from the front, what is stored is what tells of that.
        let has_changed = events.log().rewrites() != *rewrites && *version >= events.start();
        if has_changed && !stream.has_committed(*version)? {
            self.topic.erase(key)?;
            return Err(without_event(stream, *version));
        }
        Ok(())
    }

    /// Returns the last snapshot of a stream. `None` if there is none, or if the stream has no event of its version, as after a power cut
    /// that took it, or after an erasure.
    ///
    /// # Errors
    /// [`SnapshotCutOff`](Error::SnapshotCutOff) if the events in it were deleted from the front of the partition, including the last one: those
    /// that are left do not say what state the stream has. It lasts until the snapshot is [pruned](Self::prune), or another is stored.
    /// [`UnknownTopic`](Error::UnknownTopic) if the topic was deleted, also if there is another of its name;
    /// [`Corrupt`](Error::Corrupt), [`Io`](Error::Io).
    pub fn load(&self, key: impl AsRef<[u8]>) -> Result<Option<Snapshot>> {
        let key = key.as_ref();
        let events = self.events_of(key)?;
        let stream = self.of.stream(key)?;
        let id = self.of.id().to_be_bytes();
        let mut seen = None;
        loop {
            let Some(record) = self.topic.get(key)? else { return Ok(None) };
            let at = record.offset;
            let Some(snapshot) = snapshot(record, &id) else { return Ok(None) };
            if stream.has(snapshot.version)? {
                return Ok(Some(snapshot));
            }
            let start = events.start();
            if snapshot.version >= start {
                return Ok(None);
            }
            // Another may have been stored since it was read, and what is in that deleted.
            if seen.replace(at) == Some(at) {
                return Err(Error::SnapshotCutOff {
                    partition: events.topic_partition().clone(),
                    key: key.escape_ascii().to_string(),
                    version: snapshot.version,
                    start,
                });
            }
        }
    }

    /// Returns the last snapshot of a stream, and a reader of the events after it: of all events if there is none. A `for` loop over the
    /// reader reads all of them; one [`fetch`](EventReader::fetch) does not. The reader reports events that are deleted before it reaches
    /// them as [`OffsetOutOfRange`](Error::OffsetOutOfRange), whatever their keys are: someone else has stored a snapshot, or a newer one, if
    /// they keep to the rule. Read again.
    ///
    /// # Errors
    /// As for [`load`](Self::load) and [`Stream::read`](crate::Stream::read).
    pub fn read(&self, key: impl AsRef<[u8]>) -> Result<(Option<Snapshot>, EventReader)> {
        let key = key.as_ref();
        let stream = self.of.stream(key)?;
        // Before the look: what is deleted after it may be in a snapshot that is stored after it.
        let start = stream.partition().start();
        let snapshot = self.load(key)?;
        let from = snapshot.as_ref().map_or(start, |snapshot| snapshot.version + 1);
        Ok((snapshot, stream.read(from..)?.fails_below_start()))
    }

    /// Removes the snapshot of a stream. Compaction removes what is left of it; [`erase`](Self::erase) removes it from the files at once.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic) if the topic of the streams was deleted, also if there is another of its name; and as for
    /// [`Partition::append`](crate::Partition::append).
    pub fn prune(&self, key: impl AsRef<[u8]>) -> Result<()> {
        let key = key.as_ref();
        self.events_of(key)?;
        self.topic.partition_of(key)?.append(&[Record::new().key(key)], Durability::Os)?;
        Ok(())
    }

    /// Removes every snapshot of a stream from the files, as [`Topic::erase`] removes its events. Erase the events first, and before that
    /// keep whoever may append to the stream away from it.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic) if the topic of the streams was deleted, also if there is another of its name; and as for
    /// [`Topic::erase`].
    pub fn erase(&self, key: impl AsRef<[u8]>) -> Result<Vec<EraseReport>> {
        let key = key.as_ref();
        self.events_of(key)?;
        self.topic.erase(key)
    }

    /// Where the events of a stream are. Once their topic was deleted, what is stored here is its successor's.
    fn events_of(&self, key: &[u8]) -> Result<Partition> {
        let events = self.of.partition_of(key)?;
        events.log().check_open()?;
        Ok(events)
    }
}

fn without_event(stream: &Stream, version: Offset) -> Error {
    Error::invalid(format!(
        "stream {:?} has no committed event of version {version} in {} for a snapshot: it was erased or deleted, or belongs to another stream",
        stream.key().escape_ascii().to_string(),
        stream.partition().topic_partition()
    ))
}

/// What a record tells, if it is a snapshot of that topic.
fn snapshot(record: OwnedRecord, id: &[u8]) -> Option<Snapshot> {
    if record.header(OF_TOPIC) != Some(id) {
        return None;
    }
    let version = Offset::from_be_bytes(record.header(VERSION)?.try_into().ok()?);
    Some(Snapshot { version, state: record.value? })
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;
    use crate::types::Expected;

    #[test]
    fn a_snapshot_that_is_stored_beside_an_erasure_leaves_no_byte() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
        let topic = store.create_topic("events", TopicConfig::new().key_index(true)).unwrap();
        let snapshots = store.snapshots("events").unwrap();
        let append = |key: &str| {
            topic.append_to(key, Expected::Any, &[Record::new().value("of hers")]).unwrap().last_offset
        };
        let (alice, bob) = (append("alice"), append("bob"));
        let [of_alice, of_bob] = [(&b"alice"[..], alice), (&b"bob"[..], bob)]
            .map(|(key, version)| snapshots.look_at(key, version).unwrap());
        topic.erase("alice").unwrap();
        snapshots.erase("alice").unwrap();
        let refused = snapshots.write_down(&of_alice, b"what was hers");
        assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
        snapshots.write_down(&of_bob, b"his").unwrap();
        let kept: Vec<_> = snapshots.topic().partition(0).unwrap().read(..).unwrap().into_iter().collect();
        let kept: Vec<_> = kept.into_iter().map(|record| record.unwrap().value).collect();
        assert_eq!(kept, [Some(b"his".to_vec())]);
        // Deleted from the front it is there to tell of that.
        let of_bob = snapshots.look_at(b"bob", bob).unwrap();
        topic.partition(0).unwrap().delete_records(bob + 1).unwrap();
        snapshots.write_down(&of_bob, b"his").unwrap();
        assert!(matches!(snapshots.load("bob"), Err(Error::SnapshotCutOff { .. })));
    }
}
