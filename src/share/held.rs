//! What a record that is held says of itself, and how long it waits on which step.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{DELIVER_AT_HEADER as AT_HEADER, DELIVER_TO_HEADER as TO_HEADER};
use crate::topic::{DELAYED, OwnedRecord, Partition, RecordRef, Topics};
use crate::types::Timestamp;

/// The shortest wait. Each step waits twice as long as the one before.
pub(super) const FIRST_WAIT_MS: Timestamp = 16;

/// How long records wait on a step.
pub(super) fn wait_of(step: u32) -> Timestamp {
    FIRST_WAIT_MS.checked_shl(step).unwrap_or(Timestamp::MAX)
}

/// The highest step on which a record that has `left` to wait does not wait too long; the lowest where all are too long.
pub(super) fn step_for(left: Timestamp) -> u32 {
    (0..DELAYED.partitions).rev().find(|step| wait_of(*step) <= left).unwrap_or(0)
}

/// When a record is to be delivered, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) at: Timestamp,
    topic: u128,
    partition: u32,
    name: Arc<str>,
}

impl Held {
    pub(super) fn new(target: &Partition, at: Timestamp) -> Self {
        let name = Arc::clone(target.topic_partition().shared_topic());
        Self { at, topic: target.topic_id(), partition: target.number(), name }
    }

    /// The headers that say so.
    pub(super) fn headers(&self) -> [(&'static str, Vec<u8>); 2] {
        let mut to = self.topic.to_be_bytes().to_vec();
        to.extend_from_slice(&self.partition.to_be_bytes());
        to.extend_from_slice(self.name.as_bytes());
        [(AT_HEADER, self.at.to_be_bytes().to_vec()), (TO_HEADER, to)]
    }

    /// What a record says. One that cannot be understood is due, and goes nowhere.
    pub(super) fn of(record: &OwnedRecord) -> Self {
        let at = record.header(AT_HEADER).and_then(|value| value.try_into().ok()).map(i64::from_be_bytes);
        let to = record.header(TO_HEADER).unwrap_or_default();
        let (topic, rest) = to.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        let (partition, name) = rest.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        Self {
            at: at.unwrap_or(0),
            topic: u128::from_be_bytes(*topic),
            partition: u32::from_be_bytes(*partition),
            name: String::from_utf8_lossy(name).into(),
        }
    }

    /// Whether a record is to go to that topic.
    pub(super) fn is_for(record: &RecordRef<'_>, topic: u128) -> bool {
        record
            .header(TO_HEADER)
            .and_then(|to| to.split_first_chunk::<16>())
            .is_some_and(|(id, _)| *id == topic.to_be_bytes())
    }

    /// The record as it was sent.
    pub(super) fn strip(record: &OwnedRecord) -> OwnedRecord {
        let mut own = record.clone();
        // The last of their names are ours; a program may have sent others.
        for name in [AT_HEADER, TO_HEADER] {
            if let Some(at) = own.headers.iter().rposition(|header| header.key == name) {
                own.headers.remove(at);
            }
        }
        own
    }

    /// Where it is to go.
    pub(super) fn target(&self, topics: &Topics) -> Result<Partition> {
        let topic = topics.get(&self.name)?;
        if topic.id() != self.topic {
            return Err(Error::UnknownTopic { topic: self.name.to_string(), was_deleted: true });
        }
        topic.partition(self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_is_too_long_but_the_first_and_every_wait_ends() {
        assert_eq!([1, 15, 16, 31, 32, 63, 64].map(step_for), [0, 0, 0, 0, 1, 1, 2]);
        assert_eq!(step_for(Timestamp::MAX), DELAYED.partitions - 1);
        for left in (1..100_000).chain([1 << 40, (1 << 40) + 12_345]) {
            let (mut left, mut steps) = (left, 0);
            while left > 0 && steps < 10_000 {
                let wait = wait_of(step_for(left));
                assert!(wait <= left || wait == FIRST_WAIT_MS);
                (left, steps) = (left - wait, steps + 1);
            }
            assert!(left <= 0 && left > -FIRST_WAIT_MS, "{left} after {steps} steps");
        }
    }
}
