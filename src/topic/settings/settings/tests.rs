//! What is refused, what is kept, and what the typed values are.

use super::*;

fn given(config: &TopicConfig) -> Result<Settings> {
    Settings::given(1, config)
}

#[test]
fn the_defaults_are_allowed() {
    let settings = given(&TopicConfig::new()).unwrap();
    assert_eq!(settings.cleanup_policy(), CleanupPolicy::Delete);
    assert_eq!(settings.retention(), RetentionPolicy::default());
    assert!(settings.compaction().is_none() && !settings.drops_consumed());
    assert!(settings.values().is_empty(), "what was not given is not stored");
}

#[test]
fn what_is_out_of_range_is_refused_with_the_range() {
    let refused = |key: &str, value: &str| match given(&TopicConfig::new().set(key, value)) {
        Err(Error::InvalidConfig { key: found, value: given, reason }) => {
            assert_eq!((found.as_str(), given.as_str()), (key, value));
            assert!(!reason.is_empty());
        }
        other => panic!("{key}={value}: {other:?}"),
    };
    refused("segment.bytes", "13");
    refused("segment.bytes", "2GiB");
    refused("segment.ms", "0");
    refused("segment.ms", "soon");
    refused("cleanup.policy", "shred");
    refused("cleanup.policy", "compact,shred");
    refused("cleanup.policy", "compact,compact");
    refused("cleanup.policy", "compact,");
    refused("cleanup.policy", "");
    refused("compression.type", "brotli");
    refused("compression.zstd.level", "23");
    refused("retention.ms", "-2");
    refused("retention.bytes", "lots");
    refused("annals.retention.consumed", "maybe");
    refused("min.cleanable.dirty.ratio", "1.5");
    refused("retention.hours", "168");
    let lags = TopicConfig::new().set("min.compaction.lag.ms", "2d").set("max.compaction.lag.ms", "1d");
    assert!(matches!(given(&lags), Err(Error::InvalidConfig { .. })), "min above max");
    let gzip = TopicConfig::new().compression_type(Codec::Gzip).compression_gzip_level(0);
    assert!(matches!(given(&gzip), Err(Error::InvalidConfig { .. })));
}

#[test]
fn a_setting_that_another_version_stored_is_kept_and_stops_no_change() {
    let config = BTreeMap::from([("of.the.future".to_owned(), "yes".to_owned())]);
    let settings = Settings::stored(&CatalogTopic { id: 1, partitions: 3, config }).unwrap();
    let altered = settings.altered(&TopicConfig::new().set("retention.ms", "7d")).unwrap();
    assert_eq!(altered.text().get("of.the.future"), "yes");
    assert_eq!(altered.retention().max_age, Some(Duration::from_secs(7 * 24 * 60 * 60)));
    assert_eq!(altered.text().partition_count(), Some(3));
    assert!(settings.altered(&TopicConfig::new().set("of.another.future", "yes")).is_err());
}

#[test]
fn a_compacted_topic_keeps_everything_that_no_other_rule_takes() {
    let limits = TopicConfig::new().retention(Duration::from_secs(1)).retention_bytes(5).retention_records(7);
    let compacted = given(&limits.clone().cleanup_policy(CleanupPolicy::Compact)).unwrap();
    assert_eq!(compacted.retention(), RetentionPolicy::default());
    let both = given(&limits.cleanup_policy(CleanupPolicy::CompactDelete)).unwrap();
    assert_eq!((both.retention().max_bytes, both.retention().max_records), (Some(5), Some(7)));
    assert!(compacted.compaction().is_some() && both.compaction().is_some());
}

#[test]
fn the_cleanup_policy_is_a_list_in_any_order() {
    for (value, policy) in [
        ("delete,compact", CleanupPolicy::CompactDelete),
        ("compact, delete", CleanupPolicy::CompactDelete),
        ("compact,delete", CleanupPolicy::CompactDelete),
        (" compact", CleanupPolicy::Compact),
        ("delete", CleanupPolicy::Delete),
    ] {
        let settings = given(&TopicConfig::new().set("cleanup.policy", value)).unwrap();
        assert_eq!(settings.cleanup_policy(), policy, "{value:?}");
        assert_eq!(settings.text().get("cleanup.policy"), policy.name());
    }
}

#[test]
fn a_quiet_topic_that_is_kept_for_ever_gets_no_segment_for_each_record() {
    let age =
        |config: TopicConfig| given(&config.segment_age(Duration::from_secs(60))).unwrap().log().segment_age;
    assert_eq!(age(TopicConfig::new()), Duration::MAX);
    assert_eq!(age(TopicConfig::new().retention_bytes(1 << 20)), Duration::MAX);
    assert_eq!(age(TopicConfig::new().retention(Duration::from_secs(3600))), Duration::from_secs(60));
    assert_eq!(age(TopicConfig::new().set("annals.retention.consumed", "true")), Duration::from_secs(60));
    assert_eq!(age(TopicConfig::new().set("cleanup.policy", "compact")), Duration::from_secs(60));
}
