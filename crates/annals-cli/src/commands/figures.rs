//! Topics, partitions, groups and transactions as objects and rows.

use annals::TopicView;
use annals::stats::{GroupLag, GroupStats, PartitionStats};

use crate::show::{List, Object, Table};
use crate::times::show_time;

/// Topics that a store keeps for itself have Kafka's names for them.
pub(super) fn is_internal(topic: &str) -> bool {
    topic.starts_with("__")
}

pub(super) fn topic_object(topic: &TopicView) -> Object {
    let config = topic.config();
    let configs = config.values().iter().fold(Object::inner(), |all, (key, value)| all.text(key, value));
    Object::new("topic")
        .text("topic", topic.name())
        .text("id", &format!("{:032x}", topic.id()))
        .number("partitions", topic.partition_count())
        .truth("internal", is_internal(topic.name()))
        .text("cleanup_policy", config.get("cleanup.policy"))
        .raw("configs", configs)
}

pub(super) fn partition_object(stats: &PartitionStats) -> Object {
    Object::new("partition")
        .text("topic", stats.topic_partition.topic())
        .number("partition", stats.topic_partition.partition())
        .number("start", stats.start)
        .number("durable", stats.durable)
        .number("stable", stats.stable)
        .number("end", stats.end)
        .number("records", stats.records)
        .number("bytes", stats.bytes)
        .number("segments", stats.segments)
        .maybe_number("oldest_timestamp", stats.oldest_timestamp)
        .maybe_number("newest_timestamp", stats.newest_timestamp)
        .maybe_number("dirty_ratio", stats.dirty_ratio)
        .number("reclaimed_bytes", stats.reclaimed_bytes)
        .maybe_text("poisoned_by", stats.poisoned_by.as_ref().map(ToString::to_string).as_deref())
}

/// A table of partitions.
pub(super) fn partition_table() -> Table {
    Table::new(&[
        "TOPIC",
        ">PARTITION",
        ">START",
        ">STABLE",
        ">END",
        ">RECORDS",
        ">BYTES",
        ">SEGMENTS",
        "OLDEST",
        "NEWEST",
    ])
}

pub(super) fn partition_row(stats: &PartitionStats) -> [String; 10] {
    [
        stats.topic_partition.topic().to_owned(),
        stats.topic_partition.partition().to_string(),
        stats.start.to_string(),
        stats.stable.to_string(),
        stats.end.to_string(),
        stats.records.to_string(),
        stats.bytes.to_string(),
        stats.segments.to_string(),
        show_time(stats.oldest_timestamp),
        show_time(stats.newest_timestamp),
    ]
}

pub(super) fn group_object(group: &GroupStats) -> Object {
    Object::new("group")
        .text("group", &group.group)
        .list("members", List::of_texts(&group.members))
        .number("lag", group.lag())
}

pub(super) fn group_partition_object(group: &str, lag: &GroupLag, metadata: &str) -> Object {
    Object::new("group_partition")
        .text("group", group)
        .text("topic", lag.topic_partition.topic())
        .number("partition", lag.topic_partition.partition())
        .maybe_number("committed", lag.committed)
        .number("end", lag.end)
        .number("lag", lag.lag)
        .maybe_text("member", lag.member.as_deref())
        .text("metadata", metadata)
}
