//! Committed offsets as records in Kafka's schemas: what is written of them, and what records add up to.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{CommitKey, Malformed, OffsetCommitValue};
use crate::group::committed::{Commit, Committed, CommittedOffset};
use crate::log::TransactionId;
use crate::topic::{Entry, Replay};
use crate::types::TopicPartition;

/// One change to what is committed.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) group: Arc<str>,
    pub(super) place: TopicPartition,
    /// `None` takes it back.
    pub(super) commit: Option<Commit>,
}

impl Change {
    /// The record that says so.
    pub(super) fn entry(&self) -> Result<Entry> {
        self.encode().map_err(|malformed| Error::invalid(format!("a commit cannot be encoded: {malformed}")))
    }

    fn encode(&self) -> Result<Entry, Malformed> {
        let partition = i32::try_from(self.place.partition()).unwrap_or(i32::MAX);
        let key = CommitKey::OffsetCommit { group: &self.group, topic: self.place.topic(), partition };
        let mut entry = Entry { key: Vec::new(), value: None };
        key.encode(&mut entry.key)?;
        if let Some(commit) = &self.commit {
            let value = OffsetCommitValue {
                offset: commit.at.offset,
                leader_epoch: -1,
                metadata: commit.at.metadata.clone(),
                commit_timestamp: commit.at.timestamp,
                topic_id: Some(commit.topic_id),
            };
            value.encode(entry.value.insert(Vec::new()))?;
        }
        Ok(entry)
    }
}

impl Replay for Committed {
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Malformed> {
        // Other kinds of records are for brokers.
        let CommitKey::OffsetCommit { group, topic, partition } = CommitKey::decode(key)? else {
            return Ok(());
        };
        let Ok(partition) = u32::try_from(partition) else { return Ok(()) };
        let place = TopicPartition::new(topic, partition);
        // Whatever the record says, it has taken the place of the one before it.
        let before = self.of(group, &place).cloned();
        self.set(group, &place, None);
        let Some(value) = value else { return Ok(()) };
        let value = OffsetCommitValue::decode(value)?;
        if value.offset < 0 {
            return Err(Malformed::invalid(2, format!("offset {} is negative", value.offset)));
        }
        let at = CommittedOffset {
            offset: value.offset,
            metadata: value.metadata,
            timestamp: value.commit_timestamp,
        };
        let commit = Commit {
            topic_id: value.topic_id.unwrap_or_default(),
            names_id: value.topic_id.is_some(),
            at,
            written_in: None,
            moved_in: None,
        };
        self.set(group, &place, Some(commit.over(before.as_ref())));
        Ok(())
    }

    fn note_written_in(&mut self, key: &[u8], transaction: TransactionId) {
        let Ok(CommitKey::OffsetCommit { group, topic, partition }) = CommitKey::decode(key) else { return };
        let Ok(partition) = u32::try_from(partition) else { return };
        let place = TopicPartition::new(topic, partition);
        if let Some(commit) = self.of(group, &place).cloned() {
            self.set(
                group,
                &place,
                Some(Commit { written_in: Some(transaction), moved_in: Some(transaction), ..commit }),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(commit: Option<Commit>) -> Change {
        Change { group: "g".into(), place: TopicPartition::new("t", 3), commit }
    }

    fn commit(offset: i64) -> Commit {
        let at = CommittedOffset { offset, metadata: "m".into(), timestamp: 7 };
        Commit { topic_id: 11, names_id: true, at, written_in: None, moved_in: None }
    }

    #[test]
    fn what_is_written_is_replayed_and_what_is_not_understood_counts_for_nothing() {
        let mut committed = Committed::default();
        let place = TopicPartition::new("t", 3);
        let mut replay = |entry: &Entry| committed.replay(&entry.key, entry.value.as_deref());
        let written = change(Some(commit(5))).entry().unwrap();
        assert_eq!(replay(&written), Ok(()));
        // A later version supersedes it, whatever it says.
        let mut later = written.clone();
        later.value.as_mut().unwrap()[1] = 9;
        assert!(matches!(replay(&later), Err(Malformed::Unsupported { .. })));
        assert_eq!(committed.of("g", &place), None);
        let mut replay = |entry: &Entry| committed.replay(&entry.key, entry.value.as_deref());
        assert_eq!(replay(&written), Ok(()));
        let negative = change(Some(commit(-1))).entry().unwrap();
        assert!(replay(&negative).is_err());
        assert!(replay(&Entry { key: vec![0], value: None }).is_err());
        assert_eq!(committed.of("g", &place), None);
        assert_eq!(committed.replay(&written.key, written.value.as_deref()), Ok(()));
        assert_eq!(committed.of("g", &place), Some(&commit(5)));
        let gone = change(None).entry().unwrap();
        assert_eq!(committed.replay(&gone.key, None), Ok(()));
        assert_eq!(committed.groups().count(), 0);
    }

    /// Another writer of the topic may have put any number there. The lag is what lies between it and the end.
    #[test]
    fn a_negative_offset_of_another_writer_is_no_commit_and_overflows_no_lag() {
        for offset in [i64::MIN, -2, -1] {
            let mut committed = Committed::default();
            let entry = change(Some(commit(offset))).entry().unwrap();
            assert!(matches!(
                committed.replay(&entry.key, entry.value.as_deref()),
                Err(Malformed::Invalid { .. })
            ));
            assert_eq!(committed.groups().count(), 0);
        }
    }
}
