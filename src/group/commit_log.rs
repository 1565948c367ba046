//! The topic `__consumer_offsets`: committed offsets as records in Kafka's schemas.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{CommitKey, Malformed, OffsetCommitValue};
use crate::group::committed::{Committed, CommittedOffset};
use crate::locks::Mutex;
use crate::topic::{CleanupPolicy, OFFSETS_TOPIC, Partition, TopicConfig, Topics};
use crate::types::{Durability, Record, TopicPartition};

/// One change to what is committed.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) group: Arc<str>,
    pub(super) place: TopicPartition,
    /// `None` takes it back.
    pub(super) offset: Option<CommittedOffset>,
}

/// Writes changes to the topic, which comes to be with the first of them.
#[derive(Debug)]
pub(super) struct CommitLog {
    topics: Arc<Topics>,
    partition: Mutex<Option<Partition>>,
}

impl CommitLog {
    pub(super) fn new(topics: Arc<Topics>) -> Self {
        Self { topics, partition: Mutex::default() }
    }

    /// What all records of the topic add up to; the last one of each key counts.
    pub(super) fn load(&self) -> Result<Committed> {
        let mut committed = Committed::default();
        let Ok(topic) = self.topics.get(OFFSETS_TOPIC) else { return Ok(committed) };
        let partition = topic.partition(0)?;
        let mut reader = partition.read(..)?;
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                apply(&mut committed, record.key(), record.value()).map_err(|malformed| Error::Corrupt {
                    path: partition.directory(),
                    position: 0,
                    offset: Some(record.offset()),
                    reason: format!("not an offset commit: {malformed}"),
                })?;
            }
        }
        *self.partition.lock() = Some(partition);
        Ok(committed)
    }

    /// Appends `changes` as one batch, all or nothing.
    pub(super) fn append(&self, changes: &[Change], durability: Durability) -> Result<()> {
        let encoded = changes.iter().map(Encoded::of).collect::<Result<Vec<_>>>()?;
        let records: Vec<_> = encoded.iter().map(Encoded::record).collect();
        self.partition()?.append_for_store(&records, durability).map(drop)
    }

    /// Where all of them go, and the topic's id.
    pub(super) fn place(&self) -> Result<(u128, Partition)> {
        let partition = self.partition()?;
        Ok((self.topics.get(OFFSETS_TOPIC)?.id(), partition))
    }

    fn partition(&self) -> Result<Partition> {
        let mut partition = self.partition.lock();
        match &*partition {
            Some(partition) => Ok(partition.clone()),
            None => {
                let config = TopicConfig::new().partitions(1).cleanup_policy(CleanupPolicy::Compact);
                let made = self.topics.ensure(OFFSETS_TOPIC, &config)?.partition(0)?;
                Ok(partition.insert(made).clone())
            }
        }
    }
}

/// The bytes of one commit record.
#[derive(Debug)]
pub(super) struct Encoded {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

impl Encoded {
    pub(super) fn of(change: &Change) -> Result<Self> {
        encode(change).map_err(|malformed| Error::invalid(format!("a commit cannot be encoded: {malformed}")))
    }

    pub(super) fn record(&self) -> Record<'_> {
        let record = Record::new().key(&self.key);
        match &self.value {
            Some(value) => record.value(value),
            None => record,
        }
    }
}

fn encode(change: &Change) -> Result<Encoded, Malformed> {
    let partition = i32::try_from(change.place.partition()).unwrap_or(i32::MAX);
    let key = CommitKey::OffsetCommit { group: &change.group, topic: change.place.topic(), partition };
    let mut encoded = Encoded { key: Vec::new(), value: None };
    key.encode(&mut encoded.key)?;
    if let Some(committed) = &change.offset {
        let value = OffsetCommitValue {
            offset: committed.offset,
            leader_epoch: -1,
            metadata: committed.metadata.clone(),
            commit_timestamp: committed.timestamp,
        };
        value.encode(encoded.value.insert(Vec::new()))?;
    }
    Ok(encoded)
}

fn apply(committed: &mut Committed, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Malformed> {
    let key = CommitKey::decode(key.unwrap_or_default())?;
    // Other kinds of records are for brokers.
    let CommitKey::OffsetCommit { group, topic, partition } = key else { return Ok(()) };
    let Ok(partition) = u32::try_from(partition) else { return Ok(()) };
    let value = value.map(OffsetCommitValue::decode).transpose()?;
    let offset = value.map(|value| CommittedOffset {
        offset: value.offset,
        metadata: value.metadata,
        timestamp: value.commit_timestamp,
    });
    committed.set(group, TopicPartition::new(topic, partition), offset);
    Ok(())
}
