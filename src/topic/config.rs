//! A topic's configuration: Kafka's keys and values, set in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::format::{Codec, TimestampType};
use crate::log::WhenFull;
use crate::topic::settings::{KEY_INDEX, format_duration};

/// What happens to old records.
///
/// ```
/// use annals::{CleanupPolicy, TopicConfig};
/// let prices = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
/// assert_eq!(prices.get("cleanup.policy"), "compact");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CleanupPolicy {
    /// They are deleted when retention says so.
    #[default]
    Delete,
    /// The last record of each key stays. Every record needs a key.
    Compact,
    /// Both.
    CompactDelete,
}

impl CleanupPolicy {
    pub(in crate::topic) const ALL: [Self; 3] = [Self::Delete, Self::Compact, Self::CompactDelete];

    pub(in crate::topic) fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CompactDelete => "compact,delete",
        }
    }
}

impl fmt::Display for CleanupPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The settings of a topic. Setters carry Kafka's names without the unit; what is not set has the default that
/// [`get`](Self::get) shows. Values are checked when the topic is created or changed.
///
/// ```
/// use annals::{Codec, TopicConfig};
/// use std::time::Duration;
/// let config = TopicConfig::new()
///     .partitions(3)
///     .compression_type(Codec::Zstd)
///     .segment_bytes(16 << 20)
///     .set("message.timestamp.after.max.ms", "2h");
/// assert_eq!(config.get("segment.bytes"), "16777216");
/// assert_eq!(config.get("index.interval.bytes"), "4096");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use = "a configuration does nothing until it is given to a topic"]
pub struct TopicConfig {
    partitions: Option<u32>,
    values: BTreeMap<String, String>,
    /// Those to be taken back to their defaults.
    unset: BTreeSet<String>,
}

impl TopicConfig {
    /// Returns a configuration with Kafka's defaults where they make sense in one process, and one partition.
    pub fn new() -> Self {
        Self::default()
    }

    pub(in crate::topic) fn from_values(partitions: u32, values: BTreeMap<String, String>) -> Self {
        Self { partitions: Some(partitions), values, unset: BTreeSet::new() }
    }

    /// Sets the number of partitions. More can be added later, never fewer; then equal keys go to other partitions than before.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Sets any setting by Kafka's name and value. Durations may also have units (`7d`), and so may sizes (`16MiB`). An unknown name or
    /// a value outside its range is refused when the topic is created.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        self.unset.remove(&key);
        self.values.insert(key, value.into());
        self
    }

    /// Resets a setting to its default, by Kafka's name: for a topic when this configuration is passed to
    /// [`Store::alter_topic`](crate::Store::alter_topic), and in this configuration.
    ///
    /// ```
    /// # use annals::{Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.create_topic("orders", TopicConfig::new().set("retention.ms", "7d"))?;
    /// let orders = store.alter_topic("orders", TopicConfig::new().unset("retention.ms"))?;
    /// assert_eq!(orders.config().get("retention.ms"), "-1");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unset(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        self.values.remove(&key);
        self.unset.insert(key);
        self
    }

    pub(in crate::topic) fn unset_keys(&self) -> impl Iterator<Item = &str> {
        self.unset.iter().map(String::as_str)
    }

    /// `cleanup.policy`: what happens to old records. As text, a list in any order: `delete,compact` is `compact,delete`.
    pub fn cleanup_policy(self, policy: CleanupPolicy) -> Self {
        self.set("cleanup.policy", policy.name())
    }

    /// `compression.type`: the codec of every batch. A batch that does not shrink is stored as it is. Records sent one by one
    /// at [`Os`](crate::Durability::Os) or [`Disk`](crate::Durability::Disk) are a batch each, and small ones do not shrink: send
    /// them together ([`send_batch`](crate::Producer::send_batch)), or at [`Memory`](crate::Durability::Memory), which collects
    /// them.
    pub fn compression_type(self, codec: Codec) -> Self {
        let name = if codec == Codec::None { "uncompressed" } else { codec.name() };
        self.set("compression.type", name)
    }

    /// `compression.gzip.level`: 1 to 9, or -1 for the codec's default.
    pub fn compression_gzip_level(self, level: i32) -> Self {
        self.set("compression.gzip.level", level.to_string())
    }

    /// `compression.lz4.level`: 1 to 17. Stored for Kafka; the encoder here has one speed.
    pub fn compression_lz4_level(self, level: i32) -> Self {
        self.set("compression.lz4.level", level.to_string())
    }

    /// `compression.zstd.level`: -131072 to 22.
    pub fn compression_zstd_level(self, level: i32) -> Self {
        self.set("compression.zstd.level", level.to_string())
    }

    /// `max.message.bytes`: the largest batch, before compression, including its 61-byte header.
    pub fn max_message_bytes(self, bytes: u32) -> Self {
        self.set("max.message.bytes", bytes.to_string())
    }

    /// `message.timestamp.type`: whether records keep the timestamp they are sent with, or get the time of the append.
    pub fn message_timestamp_type(self, kind: TimestampType) -> Self {
        let name = match kind {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        };
        self.set("message.timestamp.type", name)
    }

    /// `message.timestamp.before.max.ms`: how far before now a record's timestamp may lie.
    pub fn message_timestamp_before_max(self, limit: Duration) -> Self {
        self.set("message.timestamp.before.max.ms", format_duration(limit))
    }

    /// `message.timestamp.after.max.ms`: how far after now a record's timestamp may lie.
    pub fn message_timestamp_after_max(self, limit: Duration) -> Self {
        self.set("message.timestamp.after.max.ms", format_duration(limit))
    }

    /// `delete.retention.ms`: how long a tombstone stays after the first compaction that met it, so that readers who are no
    /// further behind see it. Default: one day. That compaction stores until when: a different time set later applies to tombstones
    /// that no compaction has met yet.
    pub fn delete_retention(self, time: Duration) -> Self {
        self.set("delete.retention.ms", format_duration(time))
    }

    /// `min.compaction.lag.ms`: how long a record is safe from compaction. Default: not at all.
    pub fn min_compaction_lag(self, lag: Duration) -> Self {
        self.set("min.compaction.lag.ms", format_duration(lag))
    }

    /// `max.compaction.lag.ms`: how long a record may wait for compaction, whatever the ratio says. Default: for ever.
    pub fn max_compaction_lag(self, lag: Duration) -> Self {
        self.set("max.compaction.lag.ms", format_duration(lag))
    }

    /// `min.cleanable.dirty.ratio`: the share of a partition that is new since its last compaction, from 0 to 1, above
    /// which it is compacted automatically. Default: 0.5.
    pub fn min_cleanable_dirty_ratio(self, ratio: f64) -> Self {
        self.set("min.cleanable.dirty.ratio", ratio.to_string())
    }

    /// `retention.ms`: how long records are kept, by the time of the records. Segments are removed whole, when all of their records
    /// are older. Default: for ever.
    ///
    /// In a topic with [streams](Self::key_index) this removes the oldest events of each stream: a stream that loses the last event in its
    /// [snapshot](crate::Snapshots) is [`SnapshotCutOff`](crate::Error::SnapshotCutOff).
    pub fn retention(self, age: Duration) -> Self {
        self.set("retention.ms", format_duration(age))
    }

    /// `retention.bytes`: the size of a partition above which its oldest segments are removed. The partition ends at or above the limit, by
    /// less than a segment. Default: no limit.
    ///
    /// In a topic with [streams](Self::key_index) this removes the oldest events of each stream: a stream that loses the last event in its
    /// [snapshot](crate::Snapshots) is [`SnapshotCutOff`](crate::Error::SnapshotCutOff).
    pub fn retention_bytes(self, bytes: u64) -> Self {
        self.set("retention.bytes", bytes.to_string())
    }

    /// `annals.retention.records`: the number of records of a partition above which its oldest segments are removed. The partition ends at or
    /// above the limit, by less than a segment. Default: no limit.
    ///
    /// In a topic with [streams](Self::key_index) this removes the oldest events of each stream: a stream that loses the last event in its
    /// [snapshot](crate::Snapshots) is [`SnapshotCutOff`](crate::Error::SnapshotCutOff).
    pub fn retention_records(self, records: u64) -> Self {
        self.set("annals.retention.records", records.to_string())
    }

    /// `annals.retention.consumed`: whole segments are removed when every group has committed all of them: groups that have committed
    /// for the partition, and groups with a member that reads it. Queues count like groups. Without either nothing is removed. A full segment
    /// is removed by the commit that reads its last record, a segment that is not full in a [round of
    /// maintenance](crate::StoreBuilder::retention_check_interval), or by a commit where it is a large part of a
    /// [`size_limit`](Self::size_limit). A group that comes later finds only what is left.
    ///
    /// In a topic with [streams](Self::key_index) this removes the oldest events of each stream: a stream that loses the last event in its
    /// [snapshot](crate::Snapshots) is [`SnapshotCutOff`](crate::Error::SnapshotCutOff).
    pub fn retention_until_consumed(self) -> Self {
        self.set("annals.retention.consumed", "true")
    }

    /// `annals.size.limit.bytes` and `annals.size.limit.action`: a size that no partition exceeds, and what happens to
    /// an append that would exceed it. What is still in memory, and the ends of transactions, come on top. Choose several times
    /// `segment.bytes`: space is freed in whole segments. Default: no limit. [`DropOldest`](WhenFull::DropOldest) removes events from streams
    /// as [`retention_bytes`](Self::retention_bytes) does.
    pub fn size_limit(self, bytes: u64, when_full: WhenFull) -> Self {
        let action = match when_full {
            WhenFull::Fail => "error",
            WhenFull::DropOldest => "drop-oldest",
            WhenFull::Block => "block",
        };
        self.set("annals.size.limit.bytes", bytes.to_string()).set("annals.size.limit.action", action)
    }

    /// `annals.size.limit.block.ms`: how long an append waits for room at most. Default: one minute.
    pub fn size_limit_max_block(self, limit: Duration) -> Self {
        self.set("annals.size.limit.block.ms", format_duration(limit))
    }

    /// `annals.key.index`: whether records can be found by their keys, types and tags: [`Topic::stream`](crate::Topic::stream),
    /// [`Topic::get`](crate::Topic::get), [`Partition::select`](crate::Partition::select). A record costs 14 bytes on the disk for its key,
    /// and as much for its type and each of its tags. It cannot be switched on for a topic with records to which
    /// [partitions were added](crate::Store::add_partitions). Default: off.
    pub fn key_index(self, is_kept: bool) -> Self {
        self.set(KEY_INDEX, is_kept.to_string())
    }

    /// `segment.bytes`: the size at which a segment is sealed and the next one is started.
    pub fn segment_bytes(self, bytes: u32) -> Self {
        self.set("segment.bytes", bytes.to_string())
    }

    /// `segment.ms`: the age at which a segment is sealed, by the next append or, if nobody appends, by maintenance. The age
    /// counts from the first append, by the store's clock. A segment that has reached an eighth of
    /// [`segment_bytes`](Self::segment_bytes) is also sealed when its records lie further apart than that; Kafka looks only at the
    /// time of the records, and makes a segment of every `segment.ms` of an imported history. Where nothing is removed
    /// because of its age, by retention, consumption or compaction, segments end by their size alone.
    pub fn segment_age(self, age: Duration) -> Self {
        self.set("segment.ms", format_duration(age))
    }

    /// `segment.index.bytes`: the largest size of each index of a segment.
    pub fn segment_index_bytes(self, bytes: u32) -> Self {
        self.set("segment.index.bytes", bytes.to_string())
    }

    /// `index.interval.bytes`: log bytes between two index entries. A smaller interval makes look-ups faster and indexes larger.
    pub fn index_interval_bytes(self, bytes: u32) -> Self {
        self.set("index.interval.bytes", bytes.to_string())
    }

    /// Returns the value of a setting, or its default; empty when there is no such setting.
    pub fn get(&self, key: &str) -> &str {
        match self.values.get(key) {
            Some(value) => value,
            None => super::settings::default_of(key).unwrap_or_default(),
        }
    }

    /// Returns the number of partitions, if it is set.
    pub fn partition_count(&self) -> Option<u32> {
        self.partitions
    }

    /// Returns the settings that were given, with Kafka's keys and values.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }
}
