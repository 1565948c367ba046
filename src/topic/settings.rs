//! Every setting of a topic: its name in Kafka, its default, its range.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{Codec, Compression, TimestampType};
use crate::log::{CompactionConfig, Effort, KeyRule, LogConfig, RetentionPolicy, SizeLimit, WhenFull};
use crate::segment::SegmentConfig;
use crate::topic::config::{CleanupPolicy, TopicConfig};
use crate::topic::kafka_value::{format_duration, parse_bytes, parse_duration};
use crate::topic::partition::Partition;

/// One setting.
struct Setting {
    key: &'static str,
    default: &'static str,
    kind: Kind,
}

enum Kind {
    Bytes(std::ops::RangeInclusive<u64>),
    Duration {
        least_millis: u128,
    },
    /// -1 for no limit.
    DurationLimit,
    /// -1 for no limit.
    CountLimit,
    Number(std::ops::RangeInclusive<i32>),
    Word(&'static [&'static str]),
    /// From 0 to 1.
    Ratio,
}

/// A batch header and the smallest record fit into this.
const LEAST_BATCH: u64 = 128;
const I32_MAX: u64 = i32::MAX.unsigned_abs() as u64;

/// Kafka's "no limit".
const UNLIMITED: &str = "-1";

/// In Kafka's order, then ours. Defaults differ from Kafka's in `segment.bytes` (1 GiB there: a small store should be able
/// to delete), `retention.ms` (7 days there: a store in a program keeps what it was given until told otherwise) and
/// `compression.type` (`producer` there, which comes to the same).
const SETTINGS: &[Setting] = &[
    Setting {
        key: "cleanup.policy",
        default: "delete",
        kind: Kind::Word(&["delete", "compact", "compact,delete"]),
    },
    Setting {
        key: "compression.type",
        default: "uncompressed",
        kind: Kind::Word(&["uncompressed", "producer", "gzip", "snappy", "lz4", "zstd"]),
    },
    Setting { key: "compression.gzip.level", default: "-1", kind: Kind::Number(-1..=9) },
    Setting { key: "compression.lz4.level", default: "9", kind: Kind::Number(1..=17) },
    Setting { key: "compression.zstd.level", default: "3", kind: Kind::Number(-131_072..=22) },
    Setting { key: "delete.retention.ms", default: "86400000", kind: Kind::Duration { least_millis: 0 } },
    Setting { key: "index.interval.bytes", default: "4096", kind: Kind::Bytes(0..=I32_MAX) },
    Setting {
        key: "max.compaction.lag.ms",
        default: "9223372036854775807",
        kind: Kind::Duration { least_millis: 1 },
    },
    Setting { key: "max.message.bytes", default: "1048588", kind: Kind::Bytes(LEAST_BATCH..=I32_MAX) },
    Setting {
        key: "message.timestamp.type",
        default: "CreateTime",
        kind: Kind::Word(&["CreateTime", "LogAppendTime"]),
    },
    Setting {
        key: "message.timestamp.before.max.ms",
        default: "9223372036854775807",
        kind: Kind::Duration { least_millis: 0 },
    },
    Setting {
        key: "message.timestamp.after.max.ms",
        default: "3600000",
        kind: Kind::Duration { least_millis: 0 },
    },
    Setting { key: "min.cleanable.dirty.ratio", default: "0.5", kind: Kind::Ratio },
    Setting { key: "min.compaction.lag.ms", default: "0", kind: Kind::Duration { least_millis: 0 } },
    Setting { key: "retention.bytes", default: UNLIMITED, kind: Kind::CountLimit },
    Setting { key: "retention.ms", default: UNLIMITED, kind: Kind::DurationLimit },
    Setting { key: "segment.bytes", default: "134217728", kind: Kind::Bytes(LEAST_BATCH..=I32_MAX) },
    Setting { key: "segment.index.bytes", default: "10485760", kind: Kind::Bytes(48..=I32_MAX) },
    Setting { key: "segment.ms", default: "604800000", kind: Kind::Duration { least_millis: 1 } },
    Setting { key: "annals.retention.consumed", default: "false", kind: Kind::Word(&["false", "true"]) },
    Setting { key: "annals.retention.records", default: UNLIMITED, kind: Kind::CountLimit },
    Setting {
        key: "annals.size.limit.action",
        default: "error",
        kind: Kind::Word(&["error", "drop-oldest", "block"]),
    },
    Setting { key: "annals.size.limit.bytes", default: UNLIMITED, kind: Kind::CountLimit },
    Setting { key: "annals.size.limit.block.ms", default: "60000", kind: Kind::Duration { least_millis: 0 } },
];

pub(super) fn default_of(key: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|setting| setting.key == key).map(|setting| setting.default)
}

/// The values as they are stored: checked, in Kafka's units.
pub(super) fn normalized(config: &TopicConfig) -> Result<BTreeMap<String, String>> {
    let mut stored = BTreeMap::new();
    for (key, value) in config.values() {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            return Err(Error::config(key, value, "there is no such setting"));
        };
        stored.insert(key.clone(), setting.normalize(value)?);
    }
    Ok(stored)
}

impl Setting {
    fn normalize(&self, value: &str) -> Result<String> {
        let invalid = |range: String| Error::config(self.key, value, range);
        match &self.kind {
            Kind::Bytes(range) => {
                let bytes = parse_bytes(value).filter(|bytes| range.contains(bytes));
                let bytes =
                    bytes.ok_or_else(|| invalid(format!("bytes from {} to {}", range.start(), range.end())));
                bytes.map(|bytes| bytes.to_string())
            }
            Kind::Duration { least_millis } => {
                let duration = parse_duration(value).filter(|duration| duration.as_millis() >= *least_millis);
                let duration = duration.ok_or_else(|| {
                    invalid(format!("milliseconds from {least_millis} up, or with a unit: 7d"))
                });
                duration.map(format_duration)
            }
            Kind::DurationLimit | Kind::CountLimit if value == UNLIMITED => Ok(value.to_owned()),
            Kind::DurationLimit => {
                let duration = parse_duration(value);
                let range = "-1 for no limit, milliseconds, or with a unit: 7d";
                duration.map(format_duration).ok_or_else(|| invalid(range.to_owned()))
            }
            Kind::CountLimit => {
                let count = parse_bytes(value).filter(|count| i64::try_from(*count).is_ok());
                let count = count.ok_or_else(|| invalid("-1 for no limit, or a number from 0 up".to_owned()));
                count.map(|count| count.to_string())
            }
            Kind::Number(range) => {
                let number = value.parse().ok().filter(|number| range.contains(number));
                let number =
                    number.ok_or_else(|| invalid(format!("from {} to {}", range.start(), range.end())));
                number.map(|number: i32| number.to_string())
            }
            Kind::Ratio => {
                let ratio = value.parse().ok().filter(|ratio: &f64| (0.0..=1.0).contains(ratio));
                ratio.map(|ratio| ratio.to_string()).ok_or_else(|| invalid("from 0 to 1".to_owned()))
            }
            Kind::Word(words) if words.contains(&value) => Ok(value.to_owned()),
            Kind::Word(words) => Err(invalid(format!("one of {}", words.join(" | ")))),
        }
    }
}

/// The policy of a checked configuration.
pub(super) fn cleanup_policy(config: &TopicConfig) -> CleanupPolicy {
    let name = config.get("cleanup.policy");
    CleanupPolicy::ALL.into_iter().find(|policy| policy.name() == name).unwrap_or_default()
}

/// What retention is to keep of a topic with this checked configuration. `keep_from` is for the caller to set, who knows
/// what groups have read.
pub(crate) fn retention_policy(config: &TopicConfig) -> RetentionPolicy {
    if cleanup_policy(config) == CleanupPolicy::Compact {
        return RetentionPolicy::default();
    }
    let limit = |key: &str| Some(config.get(key)).filter(|value| *value != UNLIMITED);
    RetentionPolicy {
        max_age: limit("retention.ms").and_then(parse_duration),
        max_bytes: limit("retention.bytes").and_then(parse_bytes),
        max_records: limit("annals.retention.records").and_then(parse_bytes),
        keep_from: None,
    }
}

/// When and how a topic is compacted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CompactionSettings {
    delete_retention: Duration,
    min_lag: Duration,
    max_lag: Option<Duration>,
    min_dirty_ratio: f64,
}

impl CompactionSettings {
    /// What compaction of one of its partitions needs to know, now.
    pub(crate) fn config(&self, partition: &Partition, effort: Effort) -> CompactionConfig {
        CompactionConfig {
            effort,
            memory_bytes: partition.log().options().compaction_memory_bytes,
            delete_retention: self.delete_retention,
            min_lag: self.min_lag,
            max_lag: self.max_lag,
            min_dirty_ratio: self.min_dirty_ratio,
            now: partition.log().now(),
        }
    }
}

/// How a topic with this checked configuration is compacted; an error for one that is not.
pub(crate) fn compaction_settings(config: &TopicConfig) -> Result<CompactionSettings> {
    if cleanup_policy(config) == CleanupPolicy::Delete {
        return Err(Error::invalid("the topic's cleanup.policy is delete: it is not compacted"));
    }
    let max_lag = duration(config, "max.compaction.lag.ms")?;
    Ok(CompactionSettings {
        delete_retention: duration(config, "delete.retention.ms")?,
        min_lag: duration(config, "min.compaction.lag.ms")?,
        max_lag: (max_lag < Duration::MAX).then_some(max_lag),
        min_dirty_ratio: config.get("min.cleanable.dirty.ratio").parse().unwrap_or(0.5),
    })
}

fn duration(config: &TopicConfig, key: &str) -> Result<Duration> {
    parse_duration(config.get(key)).ok_or_else(|| Error::config(key, config.get(key), "milliseconds"))
}

/// True when records go as soon as every group that reads the topic has committed them.
pub(crate) fn drops_consumed(config: &TopicConfig) -> bool {
    config.get("annals.retention.consumed") == "true"
}

/// What the partitions of a topic with this checked configuration need to know.
pub(super) fn log_config(config: &TopicConfig) -> Result<LogConfig> {
    let bytes = |key: &str| parse_bytes(config.get(key)).and_then(|bytes| u32::try_from(bytes).ok());
    let bytes =
        |key: &str| bytes(key).ok_or_else(|| Error::config(key, config.get(key), "a number of bytes"));
    let key_rule = match cleanup_policy(config) {
        CleanupPolicy::Delete => KeyRule::Optional,
        CleanupPolicy::Compact | CleanupPolicy::CompactDelete => KeyRule::Required,
    };
    let timestamp_type = match config.get("message.timestamp.type") {
        "LogAppendTime" => TimestampType::LogAppendTime,
        _ => TimestampType::CreateTime,
    };
    let (min_lag, max_lag) = ("min.compaction.lag.ms", "max.compaction.lag.ms");
    if duration(config, min_lag)? > duration(config, max_lag)? {
        return Err(Error::config(
            min_lag,
            config.get(min_lag),
            format!("at most {max_lag}={}", config.get(max_lag)),
        ));
    }
    // What waits for compaction no longer than this must be sealed by then.
    let segment_age = match key_rule {
        KeyRule::Optional => duration(config, "segment.ms")?,
        KeyRule::Required => duration(config, "segment.ms")?.min(duration(config, max_lag)?),
    };
    Ok(LogConfig {
        segment: SegmentConfig {
            max_bytes: bytes("segment.bytes")?,
            index_interval_bytes: bytes("index.interval.bytes")?,
            max_index_bytes: bytes("segment.index.bytes")?,
        },
        segment_age,
        compression: compression(config)?,
        timestamp_type,
        max_message_bytes: bytes("max.message.bytes")?,
        timestamp_before_max: duration(config, "message.timestamp.before.max.ms")?,
        timestamp_after_max: duration(config, "message.timestamp.after.max.ms")?,
        key_rule,
        size_limit: size_limit(config)?,
    })
}

fn size_limit(config: &TopicConfig) -> Result<Option<SizeLimit>> {
    let (key, wait) = ("annals.size.limit.bytes", "annals.size.limit.block.ms");
    if config.get(key) == UNLIMITED {
        return Ok(None);
    }
    let max_bytes =
        parse_bytes(config.get(key)).ok_or_else(|| Error::config(key, config.get(key), "bytes"))?;
    let max_block = parse_duration(config.get(wait));
    let max_block = max_block.ok_or_else(|| Error::config(wait, config.get(wait), "milliseconds"))?;
    let when_full = match config.get("annals.size.limit.action") {
        "drop-oldest" => WhenFull::DropOldest,
        "block" => WhenFull::Block,
        _ => WhenFull::Error,
    };
    Ok(Some(SizeLimit { max_bytes, when_full, max_block }))
}

/// `producer` leaves the choice to whoever sends, who has none here: as uncompressed.
fn compression(config: &TopicConfig) -> Result<Compression> {
    let codec = Codec::from_name(config.get("compression.type")).unwrap_or(Codec::None);
    let key = match codec {
        Codec::Gzip => "compression.gzip.level",
        Codec::Lz4 => "compression.lz4.level",
        Codec::Zstd => "compression.zstd.level",
        Codec::None | Codec::Snappy => return Ok(Compression::of(codec)),
    };
    let value = config.get(key);
    let level = value.parse().map_err(|_| Error::config(key, value, "a number"))?;
    Compression::with_level(codec, level).map_err(|reason| Error::config(key, value, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_in_its_range_and_in_kafkas_units() {
        for setting in SETTINGS {
            assert_eq!(setting.normalize(setting.default).unwrap(), setting.default, "{}", setting.key);
        }
        log_config(&TopicConfig::new()).unwrap();
    }

    #[test]
    fn what_is_out_of_range_is_refused_with_the_range() {
        let refused = |key: &str, value: &str| {
            let config = TopicConfig::new().set(key, value);
            let stored = normalized(&config).map(|values| TopicConfig::from_values(1, values));
            match stored.and_then(|config| log_config(&config)) {
                Err(Error::InvalidConfig { key: found, value: given, reason }) => {
                    assert_eq!((found.as_str(), given.as_str()), (key, value));
                    assert!(!reason.is_empty());
                }
                other => panic!("{key}={value}: {other:?}"),
            }
        };
        refused("segment.bytes", "13");
        refused("segment.bytes", "2GiB");
        refused("segment.ms", "0");
        refused("segment.ms", "soon");
        refused("cleanup.policy", "shred");
        refused("compression.type", "brotli");
        refused("compression.zstd.level", "23");
        refused("retention.ms", "-2");
        refused("retention.bytes", "lots");
        refused("annals.retention.consumed", "maybe");
        refused("min.cleanable.dirty.ratio", "1.5");
        refused("retention.hours", "168");
        let lags = TopicConfig::new().set("min.compaction.lag.ms", "2d").set("max.compaction.lag.ms", "1d");
        assert!(matches!(log_config(&lags), Err(Error::InvalidConfig { .. })), "min above max");
        let gzip = TopicConfig::new().compression_type(Codec::Gzip).compression_gzip_level(0);
        assert!(matches!(log_config(&gzip), Err(Error::InvalidConfig { .. })));
    }
}
