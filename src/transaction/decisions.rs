//! The topic `__transaction_state`: what was decided about transactions.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    DecisionEnd, ENDS_HEADER, Ending, TopicPartitions, TransactionState, TransactionStatus, decode_ends,
    decode_transaction_key, encode_ends, encode_transaction_key,
};
use crate::locks::Mutex;
use crate::log::Isolation;
use crate::topic::{CleanupPolicy, Partition, RecordRef, TRANSACTIONS_TOPIC, TopicConfig, Topics};
use crate::transaction::ids::ProducerId;
use crate::types::{Durability, Offset, Record, Timestamp};

/// A decision to write.
#[derive(Debug)]
pub(super) struct Decision<'a> {
    pub(super) name: &'a str,
    pub(super) producer: ProducerId,
    pub(super) ending: Ending,
    /// Where its records end, and the inputs that its offsets are of.
    pub(super) ends: &'a [DecisionEnd],
    /// The partitions that get its end.
    pub(super) partitions: Vec<TopicPartitions>,
    pub(super) timeout_millis: i32,
    pub(super) began: Timestamp,
    pub(super) now: Timestamp,
}

/// A decision as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) name: String,
    pub(super) ending: Ending,
    pub(super) ends: Vec<DecisionEnd>,
}

/// The last decision about each transaction, by the producer in the epoch of its end.
pub(super) type Found = BTreeMap<ProducerId, Decided>;

/// Writes and reads the topic, which comes to be with the first decision.
#[derive(Debug)]
pub(super) struct DecisionLog {
    topics: Arc<Topics>,
    partition: Mutex<Option<Partition>>,
}

impl DecisionLog {
    pub(super) fn new(topics: Arc<Topics>) -> Self {
        Self { topics, partition: Mutex::default() }
    }

    /// Appends a decision; says where it is.
    pub(super) fn append(&self, decision: &Decision<'_>, durability: Durability) -> Result<Offset> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let state = TransactionState {
            producer_id: decision.producer.id,
            producer_epoch: decision.producer.epoch.saturating_add(1),
            timeout_millis: decision.timeout_millis,
            status: match decision.ending {
                Ending::Commit => TransactionStatus::PrepareCommit,
                Ending::Abort => TransactionStatus::PrepareAbort,
            },
            partitions: Some(decision.partitions.clone()),
            last_update: decision.now,
            start: decision.began,
        };
        encode_transaction_key(decision.name, &mut key)
            .and_then(|()| state.encode(&mut value))
            .map_err(|malformed| Error::invalid(format!("a decision cannot be encoded: {malformed}")))?;
        let ends = encode_ends(decision.ends);
        let record = Record::new().key(&key).value(&value).header(ENDS_HEADER, &ends);
        Ok(self.partition()?.append_for_store(&[record], durability)?.first_offset)
    }

    /// The partition that holds all of them.
    pub(super) fn partition(&self) -> Result<Partition> {
        let mut partition = self.partition.lock();
        match &*partition {
            Some(partition) => Ok(partition.clone()),
            None => {
                let config = TopicConfig::new().partitions(1).cleanup_policy(CleanupPolicy::Compact);
                let made = self.topics.ensure(TRANSACTIONS_TOPIC, &config)?.partition(0)?;
                Ok(partition.insert(made).clone())
            }
        }
    }

    /// Whether nobody knows what the topic holds.
    pub(super) fn is_poisoned(&self) -> bool {
        self.partition.lock().as_ref().is_some_and(|partition| partition.log().poisoned_by().is_some())
    }

    /// The topic's id.
    pub(super) fn topic_id(&self) -> Result<u128> {
        self.topics.get(TRANSACTIONS_TOPIC).map(|topic| topic.id())
    }

    /// Keeps compaction from decisions that may be needed: those from this offset on.
    pub(super) fn keep_from(&self, offset: Option<Offset>) {
        if let Some(partition) = &*self.partition.lock() {
            partition.log().keep_from(offset.unwrap_or(Offset::MAX));
        }
    }

    /// After a crash markers may be lost that had been written, and their decisions are needed once more: none is compacted
    /// away in this life.
    pub(super) fn keep_all_if_unclean(&self) {
        if let Ok(topic) = self.topics.get(TRANSACTIONS_TOPIC)
            && self.topics.recovery().iter().any(|partition| !partition.clean)
        {
            topic.partitions().iter().for_each(|partition| partition.log().keep_all());
        }
    }

    /// Everything that was decided and not forgotten since.
    pub(super) fn load(&self) -> Result<Found> {
        let mut found = Found::new();
        let Ok(topic) = self.topics.get(TRANSACTIONS_TOPIC) else { return Ok(found) };
        for partition in topic.partitions() {
            let mut reader = partition.read(..)?.isolation(Isolation::ReadUncommitted);
            loop {
                let records = reader.fetch()?;
                if records.is_empty() {
                    break;
                }
                for record in &records {
                    if let Some((producer, decided)) = decode(record, &partition)? {
                        found.insert(producer, decided);
                    }
                }
            }
        }
        Ok(found)
    }
}

/// The decision that a record is, if it is one.
fn decode(record: RecordRef<'_>, partition: &Partition) -> Result<Option<(ProducerId, Decided)>> {
    let damaged = |malformed| Error::Corrupt {
        path: partition.directory(),
        position: 0,
        offset: Some(record.offset()),
        reason: format!("not a transaction's state: {malformed}"),
    };
    let name = decode_transaction_key(record.key().unwrap_or_default()).map_err(damaged)?;
    let (Some(name), Some(value)) = (name, record.value()) else { return Ok(None) };
    let state = TransactionState::decode(value).map_err(damaged)?;
    let ending = match state.status {
        TransactionStatus::PrepareCommit | TransactionStatus::CompleteCommit => Ending::Commit,
        TransactionStatus::PrepareAbort | TransactionStatus::CompleteAbort => Ending::Abort,
        _ => return Ok(None),
    };
    let ends = record.headers().find(|header| header.key == ENDS_HEADER).and_then(|header| header.value);
    let ends = ends.map_or(Ok(Vec::new()), decode_ends).map_err(damaged)?;
    let producer = ProducerId { id: state.producer_id, epoch: state.producer_epoch };
    Ok(Some((producer, Decided { name: name.to_owned(), ending, ends })))
}
