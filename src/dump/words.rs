//! What the records say that are not a program's own: markers of transactions, and what internal topics hold.

use crate::format::{
    BatchHeader, CommitKey, ControlRecord, DELIVER_AT_HEADER, DELIVER_TO_HEADER, DecisionEnd, Delivery,
    DeliveryState, ENDS_HEADER, Ending, IdKey, IdMark, IdRing, Malformed, OffsetCommitValue, RawRecord,
    SentId, ShareKey, ShareKind, ShareSnapshot, ShareUpdate, StateBatch, TransactionState, decode_ends,
    decode_transaction_key,
};

const LATER: &str = "record with a key of a later version";

/// How the records of a batch are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A program's own.
    Plain,
    Control,
    Offsets,
    Transactions,
    Queues,
    Ids,
    Delayed,
}

impl Kind {
    pub(super) fn of(header: &BatchHeader, topic: Option<&str>) -> Self {
        match topic {
            _ if header.attributes.is_control() => Self::Control,
            Some("__consumer_offsets") => Self::Offsets,
            Some("__transaction_state") => Self::Transactions,
            Some("__share_group_state") => Self::Queues,
            Some("__message_ids") => Self::Ids,
            Some("__delayed_messages") => Self::Delayed,
            _ => Self::Plain,
        }
    }

    /// What a record says; `None` for a program's own. `body` is that of its batch, expanded.
    pub(super) fn words(self, header: &BatchHeader, body: &[u8], record: &RawRecord<'_>) -> Option<String> {
        let words = match self {
            Self::Plain => return None,
            Self::Control => control(header, body),
            Self::Offsets => committed(record),
            Self::Transactions => decision(record),
            Self::Queues => queue(record),
            Self::Ids => id(record),
            Self::Delayed => delivery(record),
        };
        Some(words.unwrap_or_else(|malformed| format!("not understood: {malformed}")))
    }
}

fn control(header: &BatchHeader, body: &[u8]) -> Result<String, Malformed> {
    let BatchHeader { producer_id, producer_epoch, .. } = header;
    Ok(match ControlRecord::decode(header, body)? {
        Some(ControlRecord::EndOfTransaction { ending, coordinator_epoch }) => {
            let ending = match ending {
                Ending::Commit => "commit",
                Ending::Abort => "abort",
            };
            format!(
                "{ending} of producer {producer_id}, epoch {producer_epoch}, coordinator epoch {coordinator_epoch}"
            )
        }
        Some(ControlRecord::Other(kind)) => format!("control record of type {kind}"),
        None => "nothing".to_owned(),
    })
}

fn committed(record: &RawRecord<'_>) -> Result<String, Malformed> {
    Ok(match CommitKey::decode(record.key.unwrap_or_default())? {
        CommitKey::OffsetCommit { group, topic, partition } => match record.value {
            None => format!("group {group} has committed nothing in {topic}-{partition}"),
            Some(value) => {
                let OffsetCommitValue { offset, leader_epoch, metadata, commit_timestamp, topic_id } =
                    OffsetCommitValue::decode(value)?;
                let mut words = format!("group {group} has read {topic}-{partition} up to {offset}");
                words += &format!(", leader epoch {leader_epoch}, at {commit_timestamp}");
                if let Some(id) = topic_id {
                    words += &format!(", topic id {id:032x}");
                }
                if !metadata.is_empty() {
                    words += &format!(", metadata {metadata}");
                }
                words
            }
        },
        CommitKey::GroupMetadata { group } => format!("members of group {group}"),
        CommitKey::Other(version) => format!("record with a key of version {version}"),
    })
}

fn decision(record: &RawRecord<'_>) -> Result<String, Malformed> {
    let Some(name) = decode_transaction_key(record.key.unwrap_or_default())? else {
        return Ok(LATER.to_owned());
    };
    let Some(value) = record.value else { return Ok(format!("name {name} is forgotten")) };
    let state = TransactionState::decode(value)?;
    let TransactionState { producer_id, producer_epoch, timeout_millis, status, .. } = state;
    let mut words = format!("name {name}, {}", status.name());
    words += &format!(", producer {producer_id}, epoch {producer_epoch}, timeout {timeout_millis} ms");
    words += &format!(", begun at {}, changed at {}", state.start, state.last_update);
    for topic in state.partitions.iter().flatten() {
        for partition in &topic.partitions {
            words += &format!(", in {}-{partition}", topic.topic);
        }
    }
    for header in record.headers.iter().filter(|header| header.key == ENDS_HEADER) {
        for DecisionEnd { topic, partition, last, is_input } in decode_ends(header.value.unwrap_or_default())?
        {
            let what = if is_input { "has read" } else { "ends in" };
            words += &format!(", {what} partition {partition} of topic {topic:032x} at {last}");
        }
    }
    Ok(words)
}

fn queue(record: &RawRecord<'_>) -> Result<String, Malformed> {
    let Some(key) = ShareKey::decode(record.key.unwrap_or_default())? else { return Ok(LATER.to_owned()) };
    let ShareKey { kind, group, topic, partition } = key;
    // Of dead letters: the group, a byte 0, and the topic that they are of.
    let owner = match group.split_once('\0') {
        Some(("", "")) => "letters of groups that were deleted".to_owned(),
        Some((group, of)) => format!("dead letters that group {group} has of {of}"),
        None => format!("queue of group {group}"),
    };
    let owner = format!("{owner}, partition {partition} of topic {topic:032x}");
    let Some(value) = record.value else { return Ok(format!("{owner}: forgotten")) };
    let (mut words, batches) = match kind {
        ShareKind::Snapshot => {
            let ShareSnapshot { epoch, start, batches, .. } = ShareSnapshot::decode(value)?;
            (format!("{owner}: snapshot {epoch}, done below {start}"), batches)
        }
        ShareKind::Update => {
            let ShareUpdate { epoch, start, batches, .. } = ShareUpdate::decode(value)?;
            let start = start.map_or_else(String::new, |start| format!(", done below {start}"));
            (format!("{owner}: change of snapshot {epoch}{start}"), batches)
        }
    };
    for StateBatch { first, last, state, count } in batches {
        let state = match state {
            DeliveryState::Available => "to be delivered",
            DeliveryState::Acquired => "handed out",
            DeliveryState::Acknowledged => "done",
            DeliveryState::Archiving => "about to be given up",
            DeliveryState::Archived => "given up",
        };
        words += &format!(", {first} to {last} {state}, delivered {count} times");
    }
    Ok(words)
}

fn id(record: &RawRecord<'_>) -> Result<String, Malformed> {
    let Some(key) = IdKey::decode(record.key.unwrap_or_default())? else { return Ok(LATER.to_owned()) };
    let about = match key {
        IdKey::Slot { topic, slot } => format!("ids sent to topic {topic:032x}, slot {slot}"),
        IdKey::Ring { topic } => format!("ids sent to topic {topic:032x}"),
        IdKey::Mark { topic, partition } => {
            format!("ids sent to topic {topic:032x}, partition {partition}")
        }
    };
    let Some(value) = record.value else { return Ok(format!("{about}: forgotten")) };
    let says = match key {
        IdKey::Slot { .. } => {
            let SentId { number, at, hash } = SentId::decode(value)?;
            format!("number {number}, sent at {at}, hash {hash:032x}")
        }
        IdKey::Ring { .. } => {
            let IdRing { window_ms, most, size } = IdRing::decode(value)?;
            format!("known for {window_ms} ms, {most} of them, in {size} slots")
        }
        IdKey::Mark { .. } => format!("written up to offset {}", IdMark::decode(value)?.offset),
    };
    Ok(format!("{about}: {says}"))
}

fn delivery(record: &RawRecord<'_>) -> Result<String, Malformed> {
    let (mut at, mut to) = (None, None);
    // The last of their names: a program may have sent others.
    for header in record.headers.iter() {
        match &*header.key {
            DELIVER_AT_HEADER => at = header.value,
            DELIVER_TO_HEADER => to = header.value,
            _ => {}
        }
    }
    let Delivery { at, topic, partition, name } =
        Delivery::decode(at.unwrap_or_default(), to.unwrap_or_default())?;
    Ok(format!("to be delivered to {name}-{partition} at {at}, topic id {topic:032x}"))
}
