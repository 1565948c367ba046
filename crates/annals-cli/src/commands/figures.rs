//! Topics, partitions, groups and transactions as objects and rows.

use annals::stats::{GroupLag, GroupStats, PartitionStats};
use annals::{CommittedOffset, StoreReader, TopicPartition, TopicView};

use crate::failure::{Failure, Outcome};
use crate::show::{List, Object, Table};
use crate::times::show_time;

/// The topics that a store keeps for itself. Users may have others that begin like these.
const INTERNAL: [&str; 5] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
    "__delayed_messages",
    "__message_ids",
];

pub(super) fn is_internal(topic: &str) -> bool {
    INTERNAL.contains(&topic)
}

/// Groups read what users send: one that reads `__consumer_offsets` reads its own commits, without an end.
pub(super) fn refuse_internal(topic: &str) -> Outcome {
    if is_internal(topic) {
        return Err(Failure::Usage(format!("{topic} is the store's own: no group reads it")));
    }
    Ok(())
}

/// What is written there is what a store knows of itself.
pub(super) fn refuse_writes(topic: &str) -> Outcome {
    if is_internal(topic) {
        return Err(Failure::Usage(format!("{topic} is the store's own: nobody else writes to it")));
    }
    Ok(())
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

/// What a group has committed for partitions that cannot be opened: its lag there, and so all of it, is unknown.
pub(super) fn unseen(group: &GroupStats, store: &StoreReader) -> Vec<(TopicPartition, CommittedOffset)> {
    let mut committed = store.committed(&group.group);
    group.partitions.iter().for_each(|seen| drop(committed.remove(&seen.topic_partition)));
    committed.into_iter().collect()
}

pub(super) fn group_object(group: &GroupStats, store: &StoreReader) -> Object {
    let lag = unseen(group, store).is_empty().then(|| group.lag());
    Object::new("group")
        .text("group", &group.group)
        .list("members", List::of_texts(&group.members))
        .maybe_number("lag", lag)
}

/// Of a partition that cannot be opened.
pub(super) fn unseen_object(group: &str, place: &TopicPartition, committed: &CommittedOffset) -> Object {
    Object::new("group_partition")
        .text("group", group)
        .text("topic", place.topic())
        .number("partition", place.partition())
        .number("committed", committed.offset)
        .maybe_number("end", None::<u64>)
        .maybe_number("lag", None::<u64>)
        .maybe_text("member", None)
        .text("metadata", &committed.metadata)
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

#[cfg(test)]
mod tests {
    use super::*;
    use annals::{Error, Store, TopicConfig};

    #[test]
    fn internal_topics_are_those_that_the_library_keeps_for_itself() {
        let source = include_str!("../../../../src/topic/internal.rs");
        let named: Vec<_> = source
            .split("InternalTopic { name: \"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(named, INTERNAL);
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for name in INTERNAL {
            let refused = store.create_topic(name, TopicConfig::new());
            assert!(matches!(refused, Err(Error::InvalidName { .. })), "{name}");
        }
        assert!(store.create_topic("__mine", TopicConfig::new()).is_ok() && !is_internal("__mine"));
    }
}
