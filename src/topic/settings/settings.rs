//! A topic's configuration, parsed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{CatalogTopic, Codec, Compression, TimestampType};
use crate::log::{KeyRule, LogConfig, RetentionPolicy, SizeLimit, WhenFull};
use crate::segment::SegmentConfig;
use crate::topic::config::{CleanupPolicy, TopicConfig};
use crate::topic::settings::compaction_settings::CompactionSettings;
use crate::topic::settings::kafka_value::{parse_bytes, parse_duration};
use crate::topic::settings::table::{KEY_INDEX, UNLIMITED, default_of, known, normalized};

/// What a topic's configuration comes to. It is made once when the topic is created, altered or opened; whoever needs a
/// setting afterwards finds the value here. The text is what the catalog stores.
#[derive(Debug)]
pub(crate) struct Settings {
    text: TopicConfig,
    /// Partitions were added, so records of a key may be in several.
    is_grown: bool,
    cleanup_policy: CleanupPolicy,
    /// What its partitions need to know.
    log: Arc<LogConfig>,
    retention: RetentionPolicy,
    compaction: Option<CompactionSettings>,
    drops_consumed: bool,
}

/// What the catalog stores of a topic to which partitions were added. It is no setting: nobody gives it, and nobody is shown it.
const GROWN: &str = "annals.partitions.grown";

impl Settings {
    /// Those that a program gives: every name must be known, every value in its range.
    pub(in crate::topic) fn given(partitions: u32, config: &TopicConfig) -> Result<Self> {
        Self::parse(TopicConfig::from_values(partitions, normalized(config)?), false)
    }

    /// Those that the catalog has stored. What another version stored under a name that is not known here is kept.
    pub(in crate::topic) fn stored(entry: &CatalogTopic) -> Result<Self> {
        let mut values = entry.config.clone();
        let is_grown = values.remove(GROWN).is_some();
        Self::parse(TopicConfig::from_values(entry.partitions, values), is_grown)
    }

    /// These with `changes` put over them. The number of partitions stays.
    pub(in crate::topic) fn altered(&self, changes: &TopicConfig) -> Result<Self> {
        let mut values = self.text.values().clone();
        for key in changes.unset_keys() {
            // One that another version stored may be taken away, too.
            if values.remove(key).is_none() {
                known(key)?;
            }
        }
        values.extend(normalized(changes)?);
        let altered = Self::parse(TopicConfig::from_values(self.partitions(), values), self.is_grown)?;
        // Whoever switches the index on has seen that there is no record that could be in the wrong place.
        let is_indexed_now = altered.log.key_index && !self.log.key_index;
        Ok(Self { is_grown: self.is_grown && !is_indexed_now, ..altered })
    }

    /// The first setting that `expected` gives, or takes back to its default, and that is another one here; with what was
    /// expected.
    pub(in crate::topic) fn first_difference(
        &self,
        expected: &TopicConfig,
    ) -> Result<Option<(&'static str, String)>> {
        let given = normalized(expected)?;
        let defaults = expected.unset_keys().map(|key| (key, default_of(key).unwrap_or_default()));
        let given = given.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        for (key, value) in given.chain(defaults) {
            let name = known(key)?;
            if self.text.get(name) != value {
                return Ok(Some((name, value.to_owned())));
            }
        }
        Ok(None)
    }

    /// These for another number of partitions.
    pub(in crate::topic) fn grown(&self, partitions: u32) -> Result<Self> {
        Self::parse(TopicConfig::from_values(partitions, self.text.values().clone()), true)
    }

    fn parse(text: TopicConfig, is_grown: bool) -> Result<Self> {
        let cleanup_policy = cleanup_policy(&text)?;
        Ok(Self {
            cleanup_policy,
            log: Arc::new(log_config(&text, cleanup_policy)?),
            retention: retention_policy(&text, cleanup_policy)?,
            compaction: compaction_settings(&text, cleanup_policy)?,
            drops_consumed: text.get("annals.retention.consumed") == "true",
            is_grown,
            text,
        })
    }

    /// As stored, in Kafka's names and units, the number of partitions included.
    pub(in crate::topic) fn text(&self) -> &TopicConfig {
        &self.text
    }

    /// How many partitions the topic has.
    pub(in crate::topic) fn partitions(&self) -> u32 {
        self.text.partition_count().unwrap_or(1)
    }

    /// What the catalog stores.
    pub(in crate::topic) fn values(&self) -> BTreeMap<String, String> {
        let mut values = self.text.values().clone();
        if self.is_grown {
            values.insert(GROWN.to_owned(), "true".to_owned());
        }
        values
    }

    /// True when partitions were added to it, so that records of one key may be in several.
    pub(in crate::topic) fn is_grown(&self) -> bool {
        self.is_grown
    }

    /// What becomes of old records.
    pub(crate) fn cleanup_policy(&self) -> CleanupPolicy {
        self.cleanup_policy
    }

    /// What the topic's partitions need to know.
    pub(in crate::topic) fn log(&self) -> &Arc<LogConfig> {
        &self.log
    }

    /// The most bytes of a batch that is sent.
    pub(crate) fn max_message_bytes(&self) -> u32 {
        self.log.max_message_bytes
    }

    /// What retention is to keep. `keep_from` is for the caller to set, who knows what groups have read.
    pub(crate) fn retention(&self) -> RetentionPolicy {
        self.retention
    }

    /// How the topic is compacted; `None` when it is not.
    pub(crate) fn compaction(&self) -> Option<&CompactionSettings> {
        self.compaction.as_ref()
    }

    /// True when records go as soon as every group that reads the topic has committed them.
    pub(crate) fn drops_consumed(&self) -> bool {
        self.drops_consumed
    }
}

fn cleanup_policy(text: &TopicConfig) -> Result<CleanupPolicy> {
    let name = text.get("cleanup.policy");
    let policy = CleanupPolicy::ALL.into_iter().find(|policy| policy.name() == name);
    policy.ok_or_else(|| Error::config("cleanup.policy", name, "no policy that is known here"))
}

fn retention_policy(text: &TopicConfig, policy: CleanupPolicy) -> Result<RetentionPolicy> {
    if policy == CleanupPolicy::Compact {
        return Ok(RetentionPolicy::default());
    }
    let max_age =
        if text.get("retention.ms") == UNLIMITED { None } else { Some(duration(text, "retention.ms")?) };
    Ok(RetentionPolicy {
        max_age,
        max_bytes: limit(text, "retention.bytes")?,
        max_records: limit(text, "annals.retention.records")?,
        ..RetentionPolicy::default()
    })
}

fn compaction_settings(text: &TopicConfig, policy: CleanupPolicy) -> Result<Option<CompactionSettings>> {
    let (min_lag, max_lag) =
        (duration(text, "min.compaction.lag.ms")?, duration(text, "max.compaction.lag.ms")?);
    if min_lag > max_lag {
        let most = format!("at most max.compaction.lag.ms={}", text.get("max.compaction.lag.ms"));
        return Err(Error::config("min.compaction.lag.ms", text.get("min.compaction.lag.ms"), most));
    }
    let (key, ratio) = ("min.cleanable.dirty.ratio", text.get("min.cleanable.dirty.ratio"));
    let settings = CompactionSettings {
        delete_retention: duration(text, "delete.retention.ms")?,
        min_lag,
        max_lag: (max_lag < Duration::MAX).then_some(max_lag),
        min_dirty_ratio: ratio.parse().map_err(|_| Error::config(key, ratio, "from 0 to 1"))?,
    };
    Ok((policy != CleanupPolicy::Delete).then_some(settings))
}

fn log_config(text: &TopicConfig, policy: CleanupPolicy) -> Result<LogConfig> {
    let key_rule = match policy {
        CleanupPolicy::Delete => KeyRule::Optional,
        CleanupPolicy::Compact | CleanupPolicy::CompactDelete => KeyRule::Required,
    };
    let timestamp_type = match text.get("message.timestamp.type") {
        "LogAppendTime" => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    };
    let age = duration(text, "segment.ms")?;
    // Where nothing waits for the end of a segment, age ends none: a quiet topic would get one for each record.
    let is_awaited = text.get("retention.ms") != UNLIMITED || text.get("annals.retention.consumed") == "true";
    let segment_age = match key_rule {
        // What waits for compaction no longer than this must be sealed by then.
        KeyRule::Required => age.min(duration(text, "max.compaction.lag.ms")?),
        KeyRule::Optional if is_awaited => age,
        KeyRule::Optional => Duration::MAX,
    };
    Ok(LogConfig {
        segment: SegmentConfig {
            max_bytes: bytes(text, "segment.bytes")?,
            index_interval_bytes: bytes(text, "index.interval.bytes")?,
            max_index_bytes: bytes(text, "segment.index.bytes")?,
        },
        segment_age,
        compression: compression(text)?,
        timestamp_type,
        max_message_bytes: bytes(text, "max.message.bytes")?,
        timestamp_before_max: duration(text, "message.timestamp.before.max.ms")?,
        timestamp_after_max: duration(text, "message.timestamp.after.max.ms")?,
        key_rule,
        key_index: text.get(KEY_INDEX) == "true",
        partitions: text.partition_count().unwrap_or(1),
        size_limit: size_limit(text)?,
    })
}

fn size_limit(text: &TopicConfig) -> Result<Option<SizeLimit>> {
    let max_block = duration(text, "annals.size.limit.block.ms")?;
    let when_full = match text.get("annals.size.limit.action") {
        "drop-oldest" => WhenFull::DropOldest,
        "block" => WhenFull::Block,
        _ => WhenFull::Fail,
    };
    let max_bytes = limit(text, "annals.size.limit.bytes")?;
    Ok(max_bytes.map(|max_bytes| SizeLimit { max_bytes, when_full, max_block }))
}

/// `producer` leaves the choice to whoever sends, who has none here: as uncompressed.
fn compression(text: &TopicConfig) -> Result<Compression> {
    let codec = Codec::from_name(text.get("compression.type")).unwrap_or(Codec::None);
    let key = match codec {
        Codec::Gzip => "compression.gzip.level",
        Codec::Lz4 => "compression.lz4.level",
        Codec::Zstd => "compression.zstd.level",
        Codec::None | Codec::Snappy => return Ok(Compression::of(codec)),
    };
    let value = text.get(key);
    let level = value.parse().map_err(|_| Error::config(key, value, "a number"))?;
    Compression::with_level(codec, level).map_err(|reason| Error::config(key, value, reason))
}

fn duration(text: &TopicConfig, key: &str) -> Result<Duration> {
    parse_duration(text.get(key)).ok_or_else(|| Error::config(key, text.get(key), "milliseconds"))
}

fn bytes(text: &TopicConfig, key: &str) -> Result<u32> {
    let bytes = parse_bytes(text.get(key)).and_then(|bytes| u32::try_from(bytes).ok());
    bytes.ok_or_else(|| Error::config(key, text.get(key), "a number of bytes"))
}

fn limit(text: &TopicConfig, key: &str) -> Result<Option<u64>> {
    match text.get(key) {
        UNLIMITED => Ok(None),
        value => parse_bytes(value).map(Some).ok_or_else(|| Error::config(key, value, "a number")),
    }
}

#[cfg(test)]
mod tests;
