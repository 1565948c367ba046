//! What the records say that are not a program's own: markers of transactions, committed offsets, decisions.

use crate::format::{
    BatchHeader, CommitKey, ControlRecord, DecisionEnd, ENDS_HEADER, Ending, Malformed, OffsetCommitValue,
    RawRecord, TransactionState, decode_ends, decode_transaction_key,
};

/// How the records of a batch are to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A program's own.
    Plain,
    Control,
    Offsets,
    Transactions,
}

impl Kind {
    pub(super) fn of(header: &BatchHeader, topic: Option<&str>) -> Self {
        match topic {
            _ if header.attributes.is_control() => Self::Control,
            Some("__consumer_offsets") => Self::Offsets,
            Some("__transaction_state") => Self::Transactions,
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
        return Ok("record with a key of a later version".to_owned());
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
