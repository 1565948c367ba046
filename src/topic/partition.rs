//! One partition of a topic: the level below producers and consumers.

use std::fmt;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::partition_for_key;
use crate::log::{
    Append, Appended, AtEnd, BelowStart, Log, OffsetAndTimestamp, OnDamage, Reader, RecordSlice, StreamKey,
    Undecided, Visibility,
};
use crate::topic::internal::{InternalTopic, refuse_write};
use crate::topic::metadata::BatchMetadata;
use crate::topic::partition_reader::{FETCH, PartitionReader};
use crate::topic::record_ref::{OwnedRecord, RecordRef};
use crate::types::{Condition, Durability, Expected, Offset, On, Record, Timestamp, TopicPartition};

/// A producer's defaults, for appends at `Durability::Memory` without a producer.
const MEMORY_BATCH_BYTES: usize = 64 << 10;
const MEMORY_LINGER: Duration = Duration::from_millis(5);
const MEMORY_OPEN_BATCHES: usize = (32 << 20) / MEMORY_BATCH_BYTES;

/// A partition: a totally ordered log. Cheap to clone, and usable from many threads at once.
///
/// `start <= durable <= end` at all times.
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let account = store.create_topic("account-7", TopicConfig::new())?.partition(0)?;
/// account.append(&[Record::new().value("opened"), Record::new().value("paid in 5")], Durability::Disk)?;
/// assert_eq!((account.start(), account.durable(), account.end()), (0, 2, 2));
/// for record in account.read(1..)? {
///     assert_eq!(record?.value.as_deref(), Some(&b"paid in 5"[..]));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Partition {
    place: TopicPartition,
    /// The topic's id: a topic that was deleted and created again is another one.
    topic_id: u128,
    is_internal: bool,
    log: Arc<Log>,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Partition");
        shown.field("topic", &self.topic()).field("number", &self.number());
        shown.field("start", &self.start()).field("end", &self.end()).finish_non_exhaustive()
    }
}

impl Partition {
    pub(super) fn new(place: TopicPartition, topic_id: u128, log: Arc<Log>) -> Self {
        let is_internal = InternalTopic::find(place.topic()).is_some();
        Self { place, topic_id, is_internal, log }
    }

    /// The id of its topic.
    pub(crate) fn topic_id(&self) -> u128 {
        self.topic_id
    }

    /// Whether both are the same partition of the same topic, and not of two topics that had the name one after the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.topic_id == other.topic_id && self.number() == other.number()
    }

    /// True once its topic was deleted. A closed store deletes nothing.
    pub(crate) fn is_deleted(&self) -> bool {
        matches!(self.log.check_open(), Err(Error::UnknownTopic { .. }))
    }

    /// True also where nobody knows whether the deletion took place: the topic is there for nobody in this life, and may be there in the next.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.log.check_open(), Err(Error::UnknownTopic { .. } | Error::Poisoned { .. }))
    }

    /// Where its files are.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn directory(&self) -> std::path::PathBuf {
        self.log.path().to_path_buf()
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Returns the topic's name.
    pub fn topic(&self) -> &str {
        self.place.topic()
    }

    /// Returns the partition's number, from 0.
    pub fn number(&self) -> u32 {
        self.place.partition()
    }

    /// Returns the topic and the partition's number.
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.place
    }

    /// Returns the first offset that may be read.
    pub fn start(&self) -> Offset {
        self.log.start()
    }

    /// Returns the offset below which everything survives a power cut; a transaction's record if the rest does, which [`flush`](Self::flush) ensures.
    pub fn durable(&self) -> Offset {
        self.log.durable()
    }

    /// Whether what stands there survives a power cut, with the rest of its transaction.
    pub(crate) fn is_safe(&self, offset: Offset) -> bool {
        offset < self.log.kept().min(self.log.ended())
    }

    /// Returns the next offset to be assigned among records handed to the operating system. Records that are only in memory are at or
    /// above it: [`next_offset`](Self::next_offset) counts them.
    pub fn end(&self) -> Offset {
        self.log.end()
    }

    /// Returns the next offset to be assigned, counting records that are only in memory: what [`append_if`](Self::append_if) compares with.
    /// It equals [`end`](Self::end) if nobody sends at [`Durability::Memory`], and may move back to it when what is in memory
    /// cannot be written.
    pub fn next_offset(&self) -> Offset {
        self.log.next_offset()
    }

    /// Returns the offset below which everything belongs to no transaction, or to a decided one: how far committed records are read. Without
    /// transactions it is the end.
    pub fn stable(&self) -> Offset {
        self.log.stable()
    }

    /// Returns the bytes of all batches in its segments.
    pub fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Appends `records` as one batch, all or nothing, with consecutive offsets. The topic, partition and key of the records
    /// do not choose the partition here.
    ///
    /// # Errors
    /// [`RecordTooLarge`](Error::RecordTooLarge), [`KeyRequired`](Error::KeyRequired),
    /// [`InvalidTimestamp`](Error::InvalidTimestamp), [`Io`](Error::Io), [`Lost`](Error::Lost),
    /// [`Poisoned`](Error::Poisoned). After any of them but a failed sync, nothing was appended.
    pub fn append(&self, records: &[Record<'_>], durability: Durability) -> Result<BatchMetadata> {
        self.refuse_internal()?;
        self.append_with(records, durability, None)
    }

    /// The same for the store, which alone writes its own topics.
    pub(crate) fn append_internal(
        &self,
        records: &[Record<'_>],
        durability: Durability,
    ) -> Result<BatchMetadata> {
        self.append_with(records, durability, None)
    }

    /// The same of a record that a layer above needs: until it has said so, nothing takes it out.
    pub(crate) fn append_needed(&self, record: &Record<'_>, durability: Durability) -> Result<BatchMetadata> {
        let how = Append { is_needed: true, ..how(durability, None) };
        self.told(self.log.append(std::slice::from_ref(record), &how))
    }

    /// What came of an append, as callers are told.
    #[inline(always)]
    fn told(&self, appended: Result<Appended>) -> Result<BatchMetadata> {
        let appended = appended.map_err(|error| error.in_partition(self.topic_partition()))?;
        let offsets = (appended.first_offset, appended.last_offset);
        Ok(BatchMetadata::new(self.number(), offsets, appended.timestamp))
    }

    /// What the store keeps for itself is nobody's to write or delete but the store's.
    pub(super) fn refuse_internal(&self) -> Result<()> {
        refuse_write(self.is_internal(), self.topic())
    }

    /// True for one that the store keeps for itself.
    pub(crate) fn is_internal(&self) -> bool {
        self.is_internal
    }

    /// Appends `records` like [`append`](Self::append), if there was no other append since the caller saw the log end at
    /// `expected_end`, that is, if it equals [`next_offset`](Self::next_offset). While records linger at
    /// [`Durability::Memory`], [`end`](Self::end) stays below it until they are written or read. A caller that decides by what the
    /// log holds should read to its end, which writes them, and expect the position of the reader.
    ///
    /// # Errors
    /// [`UnexpectedEnd`](Error::UnexpectedEnd) when there was one, with the next offset in `found`; otherwise as for `append`.
    pub fn append_if(
        &self,
        expected_end: Offset,
        records: &[Record<'_>],
        durability: Durability,
    ) -> Result<BatchMetadata> {
        self.refuse_internal()?;
        self.append_with(records, durability, Some(expected_end))
    }

    /// Appends `records` like [`append`](Self::append), if every one of these conditions holds at the append. They are written before
    /// this returns, at [`Durability::Memory`] too.
    ///
    /// What others have sent into memory is written first, so it counts. Where a condition depends on an event of a transaction that
    /// is not decided, the call waits for its end, for up to a second.
    ///
    /// # Errors
    /// [`Conflict`](Error::Conflict) with what was found; [`InvalidConfig`](Error::InvalidConfig) where the topic has no
    /// [`key_index`](crate::TopicConfig::key_index); [`InvalidArgument`](Error::InvalidArgument) for a condition on a stream of another
    /// partition; otherwise as for `append`.
    pub fn append_when(
        &self,
        conditions: &[Condition],
        records: &[Record<'_>],
        durability: Durability,
    ) -> Result<BatchMetadata> {
        self.refuse_internal()?;
        conditions.iter().try_for_each(|condition| self.check_has_stream(condition))?;
        self.told(self.log.append_when(conditions, records, &how(written(durability), None)))
    }

    /// An error for a condition on a stream where there are none, and on one of another partition: it would be judged by others' events.
    pub(crate) fn check_has_stream(&self, condition: &Condition) -> Result<()> {
        self.log.check_process()?;
        let On::Stream { key, .. } = &condition.on else { return Ok(()) };
        self.log.check_key_index()?;
        self.check_has_key(key)
    }

    /// An error where the stream of a key is in another partition.
    pub(crate) fn check_has_key(&self, key: &[u8]) -> Result<()> {
        let config = self.log.config();
        let number = partition_for_key(key, config.partitions);
        if !config.key_index || number == self.number() {
            return Ok(());
        }
        let (key, place) = (key.escape_ascii().to_string(), self.topic_partition());
        let why = format!("the stream {key:?} is in partition {number} of its topic, not in {place}");
        Err(Error::invalid(why))
    }

    /// The same for one stream of it.
    #[inline(always)]
    pub(crate) fn append_expected(
        &self,
        (stream, expected): (StreamKey<'_>, Expected),
        records: &[Record<'_>],
        durability: Durability,
    ) -> Result<BatchMetadata> {
        self.refuse_internal()?;
        self.told(self.log.append_expected((stream, expected), records, &how(written(durability), None)))
    }

    fn append_with(
        &self,
        records: &[Record<'_>],
        durability: Durability,
        expected_end: Option<Offset>,
    ) -> Result<BatchMetadata> {
        self.told(self.log.append(records, &how(durability, expected_end)))
    }

    /// Returns a reader that begins at `offset`.
    ///
    /// # Errors
    /// [`OffsetOutOfRange`](Error::OffsetOutOfRange) when it is below `start` or above `end`.
    pub fn read_from(&self, offset: Offset) -> Result<PartitionReader> {
        self.read(offset..)
    }

    /// Returns a reader of a range of offsets: `..` for all, `10..20`, `..=5`. Records sent while it reads are read too, if the range is
    /// open. If records are deleted while it reads, a range without a beginning continues at the first one that is left; a range that
    /// names its first offset ends with [`OffsetOutOfRange`](Error::OffsetOutOfRange), as does a
    /// [`seek`](PartitionReader::seek) to a deleted offset.
    ///
    /// # Errors
    /// [`OffsetOutOfRange`](Error::OffsetOutOfRange) when the range begins below `start` or above `end`.
    pub fn read(&self, range: impl RangeBounds<Offset>) -> Result<PartitionReader> {
        self.log.check_open()?;
        let first = match range.start_bound() {
            Bound::Included(offset) => *offset,
            Bound::Excluded(offset) => offset.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let until = match range.end_bound() {
            Bound::Included(offset) => offset.saturating_add(1),
            Bound::Excluded(offset) => *offset,
            Bound::Unbounded => Offset::MAX,
        };
        self.log.write_for((first, until))?;
        // Read once: it may move on at any moment, and a range without a beginning begins wherever it is.
        let (start, end) = (self.start(), self.end());
        let is_from_start = range.start_bound() == Bound::Unbounded;
        let from = if is_from_start { start } else { first };
        if from < start || from > end {
            let partition = self.place.clone();
            return Err(Error::OffsetOutOfRange { partition, requested: from, start, end });
        }
        let reader = Reader::new(Arc::clone(&self.log), from, Visibility::Written, OnDamage::Fail)
            .at_end(AtEnd::WaitsForNobody);
        // Whoever reads from the start, wherever that is, may find that it has moved.
        let below_start = if is_from_start { BelowStart::GoOn } else { BelowStart::Fail };
        Ok(PartitionReader::new(self.place.clone(), reader.until(until).below_start(below_start)))
    }

    /// Walks over what is there of a range, whatever is taken out meanwhile.
    pub(crate) fn walk(&self, range: Range<Offset>) -> Result<PartitionReader> {
        self.log.check_open()?;
        let reader = Reader::new(Arc::clone(&self.log), range.start, Visibility::Written, OnDamage::Fail)
            .until(range.end);
        Ok(PartitionReader::new(self.place.clone(), reader.below_start(BelowStart::GoOn)))
    }

    /// Passes what is written of a range to `look`, until it returns false: all but what was aborted. For who holds the partition: it
    /// takes none of its locks that an append takes.
    pub(crate) fn each_held(
        &self,
        range: Range<Offset>,
        mut look: impl FnMut(RecordRef<'_>) -> bool,
    ) -> Result<()> {
        let reader = Reader::new(Arc::clone(&self.log), range.start, Visibility::Written, OnDamage::Fail);
        // What is deleted meanwhile is not there.
        let reader = reader.undecided(Undecided::IsRead).below_start(BelowStart::GoOn);
        let mut reader = reader.until(range.end);
        loop {
            let slices = reader.fetch_held(FETCH)?;
            let mut records = slices.iter().flat_map(RecordSlice::iter);
            if slices.is_empty() || !records.all(|raw| look(RecordRef::new(&self.place, raw))) {
                return Ok(());
            }
        }
    }

    /// Returns a copy of the record at `offset`; `None` if no record has that offset any more because it was compacted away or erased.
    /// As for readers of committed records, there is none of an aborted transaction, and none, your own included, from
    /// [`stable`](Self::stable) on.
    ///
    /// Finds the batch through the sparse index and checks its CRC each time, so the cost grows with the size of the batches.
    /// If you mostly read single records, send them one by one with a [`batch_size`](crate::ProducerBuilder::batch_size) of 2 to
    /// 4 KiB, and set [`index_interval_bytes`](crate::TopicConfig::index_interval_bytes) to half of that, so that each batch
    /// has an index entry. For consecutive records [`read_from`](Self::read_from) is cheaper.
    ///
    /// # Errors
    /// [`OffsetOutOfRange`](Error::OffsetOutOfRange) when it is below `start`, or at or above `end`;
    /// [`Corrupt`](Error::Corrupt), [`Io`](Error::Io).
    ///
    /// ```
    /// # use annals::{Durability, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # let orders = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
    /// let appended = orders.append(&[Record::new().value("2 apples"), Record::new().value("1 pear")], Durability::Os)?;
    /// let record = orders.get(appended.last_offset)?.expect("it was just appended");
    /// assert_eq!(record.value.as_deref(), Some(&b"1 pear"[..]));
    /// assert!(orders.get(appended.last_offset + 1).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, offset: Offset) -> Result<Option<OwnedRecord>> {
        self.log.get(offset, |record| RecordRef::new(&self.place, record).to_owned())
    }

    /// Returns the earliest offset whose record has a timestamp of `timestamp` (Unix milliseconds) or later, `None` when there is
    /// none. This is not the closest timestamp: where times run backwards, an earlier offset with a later time wins.
    /// Records of transactions count whether they are committed or not; a reader of committed records continues from there. So it may be
    /// an undecided record, at or after [`stable`](Self::stable).
    ///
    /// # Errors
    /// [`Io`](Error::Io), [`Corrupt`](Error::Corrupt).
    pub fn offset_for_time(&self, timestamp: Timestamp) -> Result<Option<OffsetAndTimestamp>> {
        self.log.offset_for_time(timestamp).map_err(|error| self.log.explain(error))
    }
}

/// The same, but not to be left in memory.
fn written(durability: Durability) -> Durability {
    if durability == Durability::Memory { Durability::Os } else { durability }
}

fn how(durability: Durability, expected_end: Option<Offset>) -> Append {
    // A batch of its own: what is appended together is stored and compressed together. In memory it may wait for more.
    let batch_bytes = if durability == Durability::Memory { MEMORY_BATCH_BYTES } else { 1 };
    Append {
        durability,
        batch_bytes,
        linger: MEMORY_LINGER,
        expected_end,
        most_open_batches: MEMORY_OPEN_BATCHES,
        is_needed: false,
    }
}
