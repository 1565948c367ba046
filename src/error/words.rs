//! Parts of messages.

use crate::types::{Condition, Offset, TopicPartition};

pub(super) fn unknown_topic(topic: &str, was_deleted: bool) -> String {
    if was_deleted {
        format!(
            "topic {topic:?} was deleted, and this handle is no longer valid: if there is a topic of that name now, get a new handle from the store; a member of a group need only poll again"
        )
    } else if topic.starts_with("__") {
        format!(
            "unknown topic {topic:?}: an internal topic exists once the store has written to it; create any other with create_topic or ensure_topic"
        )
    } else {
        format!("unknown topic {topic:?}: create it with create_topic or ensure_topic")
    }
}

/// So many messages.
pub(super) fn messages_are(count: u64) -> String {
    if count == 1 { "1 message is".to_owned() } else { format!("{count} messages are") }
}

/// What may not change.
pub(super) fn held(partition: Option<&TopicPartition>) -> String {
    partition.map_or_else(|| "the store".to_owned(), TopicPartition::to_string)
}

/// What takes nothing more.
pub(super) fn poisoned(partition: Option<&TopicPartition>) -> String {
    partition.map_or_else(|| "the list of topics".to_owned(), TopicPartition::to_string)
}

pub(super) fn found_instead(condition: &Condition, found: Option<Offset>, is_undecided: bool) -> String {
    match found {
        None => "there is none".to_owned(),
        Some(offset) if is_undecided => {
            format!(
                "whether the one at offset {offset} counts is not decided: its transaction has no end yet"
            )
        }
        Some(offset) if condition.is_on_stream() => format!("the last one is at offset {offset}"),
        // Which of them it is depends on how it was looked for.
        Some(offset) => format!("there is one at offset {offset}"),
    }
}

pub(super) fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) if pid == std::process::id() => "open in this process already: close it first".to_owned(),
        Some(pid) => format!("locked by process {pid}: close it there first"),
        None => "locked by processes that have it open read-only, or by one that is not known: close it there first"
            .to_owned(),
    }
}

pub(super) fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" in process {pid}"))
}

pub(super) fn alike(topic: &str, existing: &str) -> &'static str {
    if topic == existing {
        ""
    } else {
        ", and names that differ only in `.` and `_` are one to Kafka's metrics"
    }
}

pub(super) fn go_on_at(offset: Option<Offset>) -> String {
    offset.map(|offset| format!("; reading can go on at offset {offset}")).unwrap_or_default()
}

pub(super) fn at_offset(offset: Option<Offset>) -> String {
    offset.map(|offset| format!(" (offset {offset})")).unwrap_or_default()
}

pub(super) fn first_of(partitions: &[(TopicPartition, Offset)]) -> String {
    partitions
        .first()
        .map_or_else(|| "nothing was".to_owned(), |(place, at)| format!("offset {at} of {place} was"))
}

pub(super) fn others_of(partitions: &[(TopicPartition, Offset)]) -> String {
    match partitions.len().saturating_sub(1) {
        0 => String::new(),
        1 => ", and that of another partition".to_owned(),
        others => format!(", and those of {others} other partitions"),
    }
}
