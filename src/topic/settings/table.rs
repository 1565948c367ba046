//! Every setting of a topic as text: its name in Kafka, its default, its range.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, OffsetIndexEntry, RecordIter, TimeIndexEntry};
use crate::topic::config::TopicConfig;
use crate::topic::settings::kafka_value::{format_duration, parse_bytes, parse_duration};
use crate::topic::settings::suggestion::suggestion;

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
    /// One or more of them, each once, in any order.
    Words(&'static [&'static str]),
    /// From 0 to 1.
    Ratio,
}

/// A batch header and the smallest record fit into this.
const LEAST_BATCH: u64 = 128;
/// Room for four entries of either index.
const LEAST_INDEX: u64 = 4 * TimeIndexEntry::LEN as u64;

const _: () = assert!(LEAST_BATCH >= (BatchHeader::LEN + RecordIter::SHORTEST) as u64, "room for a record");
const _: () = assert!(TimeIndexEntry::LEN >= OffsetIndexEntry::LEN, "its entries are the larger ones");
const I32_MAX: u64 = i32::MAX.unsigned_abs() as u64;

/// Whether records are found by key, type and tags.
pub(in crate::topic) const KEY_INDEX: &str = "annals.key.index";

/// Kafka's "no limit".
pub(super) const UNLIMITED: &str = "-1";

/// In Kafka's order, then ours. Defaults differ from Kafka's in `segment.bytes` (1 GiB there: a small store should be able
/// to delete), `retention.ms` (7 days there: a store in a program keeps what it was given unless set otherwise) and
/// `compression.type` (`producer` there, which comes to the same).
const SETTINGS: &[Setting] = &[
    Setting { key: "cleanup.policy", default: "delete", kind: Kind::Words(&["compact", "delete"]) },
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
    Setting { key: "segment.index.bytes", default: "10485760", kind: Kind::Bytes(LEAST_INDEX..=I32_MAX) },
    Setting { key: "segment.ms", default: "604800000", kind: Kind::Duration { least_millis: 1 } },
    Setting { key: KEY_INDEX, default: "false", kind: Kind::Word(&["false", "true"]) },
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

pub(in crate::topic) fn default_of(key: &str) -> Option<&'static str> {
    SETTINGS.iter().find(|setting| setting.key == key).map(|setting| setting.default)
}

/// The name of a setting, if there is one of that name.
pub(super) fn known(key: &str) -> Result<&'static str> {
    let setting = SETTINGS.iter().find(|setting| setting.key == key);
    setting.map(|setting| setting.key).ok_or_else(|| Error::config(key, "", no_such_setting(key)))
}

/// The values as they are stored: checked, in Kafka's units.
pub(super) fn normalized(config: &TopicConfig) -> Result<BTreeMap<String, String>> {
    let mut stored = BTreeMap::new();
    for (key, value) in config.values() {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key == key) else {
            return Err(Error::config(key, value, no_such_setting(key)));
        };
        stored.insert(key.clone(), setting.normalize(value)?);
    }
    Ok(stored)
}

fn no_such_setting(key: &str) -> String {
    let names: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
    match suggestion(key, &names) {
        Some(others) => format!("there is no such setting; did you mean {others}?"),
        None => "there is no such setting".to_owned(),
    }
}

impl Setting {
    fn normalize(&self, value: &str) -> Result<String> {
        let invalid = |range: String| Error::config(self.key, value, range);
        match &self.kind {
            Kind::Bytes(range) => {
                let bytes = parse_bytes(value).filter(|bytes| range.contains(bytes));
                let bytes = bytes.ok_or_else(|| {
                    invalid(format!(
                        "bytes from {} to {}; or with a unit: 64KiB, 1MiB",
                        range.start(),
                        range.end()
                    ))
                });
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
                let count = count.ok_or_else(|| {
                    invalid(format!(
                        "-1 for no limit, or a number from 0 to {}, or with a unit up to TiB: 10GiB",
                        i64::MAX
                    ))
                });
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
            Kind::Words(words) => {
                let given: Vec<_> = value.split(',').map(str::trim).collect();
                let in_order: Vec<_> = words.iter().copied().filter(|word| given.contains(word)).collect();
                // Each of those that were given is known, and was given once.
                if in_order.len() == given.len() {
                    return Ok(in_order.join(","));
                }
                Err(invalid(format!("a list, in any order, of {}", words.join(" | "))))
            }
            Kind::Word(words) => Err(invalid(format!("one of {}", words.join(" | ")))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_in_its_range_and_in_kafkas_units() {
        for setting in SETTINGS {
            assert_eq!(setting.normalize(setting.default).unwrap(), setting.default, "{}", setting.key);
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_answered_with_those_that_are_like_it() {
        assert!(no_such_setting("retention").ends_with("did you mean retention.bytes or retention.ms?"));
        assert!(no_such_setting("segment_bytes").ends_with("did you mean segment.bytes?"));
        assert!(no_such_setting("clenup.policy").ends_with("did you mean cleanup.policy?"));
        assert_eq!(no_such_setting("replication.factor"), "there is no such setting");
        assert_eq!(no_such_setting(""), "there is no such setting");
    }
}
