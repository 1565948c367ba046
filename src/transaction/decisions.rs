//! The topic `__transaction_state`: what was decided about transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    CLIENT_VERSION, DecisionEnd, ENDS_HEADER, Ending, Malformed, TopicPartitions, TransactionState,
    TransactionStatus, decode_ends, decode_transaction_key, encode_ends, encode_transaction_key,
};
use crate::log::Isolation;
use crate::topic::{Ledger, Partition, RecordRef, TRANSACTIONS, Topics};
use crate::transaction::ids::ProducerId;
use crate::transaction::named_producer::Registered;
use crate::types::{Durability, Offset, Record, Timestamp};

/// In front of the name of a producer. No transaction has a name that begins so: its decisions would stand in the place of the producer's id.
pub(super) const PRODUCER: &str = "annals.producer.";

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
    /// Where it is.
    pub(super) offset: Offset,
    /// It bears the epoch of the transaction's records, and not the next one: brokers of earlier versions decide so.
    pub(super) has_same_epoch: bool,
}

/// The last decision about each transaction, by the producer in the epoch of its end.
pub(super) type Decisions = BTreeMap<ProducerId, Decided>;

/// Writes and reads the topic, which comes to be with the first decision.
#[derive(Debug)]
pub(super) struct DecisionLog {
    topics: Arc<Topics>,
    ledger: Ledger,
}

impl DecisionLog {
    pub(super) fn new(topics: Arc<Topics>) -> Self {
        let ledger = Ledger::new(Arc::clone(&topics), &TRANSACTIONS);
        Self { topics, ledger }
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
            client_version: CLIENT_VERSION,
        };
        encode_transaction_key(decision.name, &mut key)
            .and_then(|()| state.encode(&mut value))
            .map_err(|malformed| Error::invalid(format!("a decision cannot be encoded: {malformed}")))?;
        let ends = encode_ends(decision.ends);
        let record = Record::new().key(&key).value(&value).header(ENDS_HEADER, &ends);
        Ok(self.partition()?.append_internal(&[record], durability)?.first_offset)
    }

    /// Takes back, durably, a decision that misses something: an abort of the same transaction.
    pub(super) fn take_back(&self, name: &str, producer: ProducerId, now: Timestamp) -> Result<()> {
        let decision = Decision {
            name,
            producer,
            ending: Ending::Abort,
            ends: &[],
            partitions: Vec::new(),
            timeout_millis: 0,
            began: -1,
            now,
        };
        self.append(&decision, Durability::Disk).map(drop)
    }

    /// Notes, durably, which id a named producer has.
    pub(super) fn register(&self, name: &str, registered: Registered) -> Result<()> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let state = TransactionState {
            producer_id: registered.producer_id,
            producer_epoch: 0,
            timeout_millis: 0,
            status: TransactionStatus::Empty,
            partitions: None,
            last_update: registered.at,
            start: -1,
            client_version: CLIENT_VERSION,
        };
        encode_transaction_key(&format!("{PRODUCER}{name}"), &mut key)
            .and_then(|()| state.encode(&mut value))
            .map_err(|malformed| Error::invalid(format!("a producer cannot be encoded: {malformed}")))?;
        let record = Record::new().key(&key).value(&value);
        self.partition()?.append_internal(&[record], Durability::Disk).map(drop)
    }

    /// All named producers.
    pub(super) fn load_producers(&self) -> Result<BTreeMap<String, Registered>> {
        let mut producers = BTreeMap::new();
        // Those whose name an earlier version has let a transaction have: a compaction would keep the decision alone.
        let mut covered = BTreeSet::new();
        self.each(|record| {
            let name = decode_transaction_key(record.key().unwrap_or_default()).ok().flatten();
            let name = name.and_then(|name| name.strip_prefix(PRODUCER));
            let state = record.value().and_then(|value| TransactionState::decode(value).ok());
            let (Some(name), Some(state)) = (name, state) else { return };
            if state.status == TransactionStatus::Empty {
                let registered = Registered { producer_id: state.producer_id, at: state.last_update };
                producers.insert(name.to_owned(), registered);
                covered.remove(name);
            } else {
                covered.insert(name.to_owned());
            }
        })?;
        for name in covered {
            if let Some(registered) = producers.get(&name) {
                self.register(&name, *registered)?;
            }
        }
        Ok(producers)
    }

    /// Where the commit of a transaction is, if it is there, from that offset on.
    pub(super) fn find(&self, producer: ProducerId, from: Offset) -> Result<Option<Offset>> {
        // What is in memory is written: what is not found then never comes to be there.
        drop(self.partition()?.log().stage()?);
        let (mut found, of) = (None, ProducerId { epoch: producer.epoch.saturating_add(1), ..producer });
        self.each_from(from, |record| {
            let is_it = |one: &(ProducerId, Option<Decided>)| {
                one.0 == of && one.1.as_ref().is_some_and(|decided| decided.ending == Ending::Commit)
            };
            if decode(record).ok().flatten().as_ref().is_some_and(is_it) {
                found = Some(record.offset());
            }
        })?;
        Ok(found)
    }

    fn each(&self, look: impl FnMut(RecordRef<'_>)) -> Result<()> {
        self.each_from(0, look)
    }

    fn each_from(&self, from: Offset, mut look: impl FnMut(RecordRef<'_>)) -> Result<()> {
        let Some(partition) = self.existing()? else { return Ok(()) };
        let mut reader = partition.read(from..)?.isolation(Isolation::ReadUncommitted);
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                return Ok(());
            }
            records.iter().for_each(&mut look);
        }
    }

    /// The partition that holds all of them.
    pub(super) fn partition(&self) -> Result<Partition> {
        self.ledger.partition()
    }

    /// The same, if there is one.
    fn existing(&self) -> Result<Option<Partition>> {
        match self.topics.get(TRANSACTIONS.name) {
            Ok(topic) => topic.partition(0).map(Some),
            Err(Error::UnknownTopic { .. }) => Ok(None),
            // Without it nobody knows what was decided.
            Err(error) => Err(error),
        }
    }

    /// Where the topic ends.
    pub(super) fn end(&self) -> Offset {
        self.existing().ok().flatten().map_or(0, |partition| partition.end())
    }

    /// Whether nobody knows what the topic holds.
    pub(super) fn is_poisoned(&self) -> bool {
        self.existing().is_ok_and(|found| found.is_some_and(|one| one.log().poisoned_by().is_some()))
    }

    /// Keeps compaction from decisions that may be needed: those from this offset on.
    pub(super) fn keep_from(&self, offset: Option<Offset>) {
        if let Ok(Some(partition)) = self.existing() {
            partition.log().keep_from(offset.unwrap_or(Offset::MAX));
        }
    }

    /// The same, and from this offset on too.
    pub(super) fn keep_at_least_from(&self, offset: Offset) {
        if let Ok(Some(partition)) = self.existing() {
            partition.log().keep_at_least_from(offset);
        }
    }

    /// Keeps compaction from all of them, in this life.
    pub(super) fn keep_all(&self) {
        if let Ok(Some(partition)) = self.existing() {
            partition.log().keep_all();
        }
    }

    /// How many segments they take.
    pub(super) fn segments(&self) -> usize {
        self.existing().ok().flatten().map_or(0, |partition| partition.log().segment_bases().len())
    }

    /// Everything that was decided and not forgotten since.
    pub(super) fn load(&self) -> Result<Decisions> {
        let mut found = Decisions::new();
        self.each(|record| match decode(record) {
            Ok(Some((producer, Some(decided)))) => _ = found.insert(producer, decided),
            // It goes on: what was decided in that epoch was another transaction.
            Ok(Some((producer, None))) => _ = found.remove(&producer),
            // What is not understood decides nothing.
            Ok(None) | Err(_) => {}
        })?;
        Ok(found)
    }
}

/// The decision that a record is, if it is one.
fn decode(record: RecordRef<'_>) -> std::result::Result<Option<(ProducerId, Option<Decided>)>, Malformed> {
    let name = decode_transaction_key(record.key().unwrap_or_default())?;
    let (Some(name), Some(value)) = (name, record.value()) else { return Ok(None) };
    let state = TransactionState::decode(value)?;
    let producer = ProducerId { id: state.producer_id, epoch: state.producer_epoch };
    let ending = match state.status {
        TransactionStatus::PrepareCommit | TransactionStatus::CompleteCommit => Ending::Commit,
        TransactionStatus::PrepareAbort | TransactionStatus::CompleteAbort => Ending::Abort,
        _ => return Ok(Some((producer, None))),
    };
    let ends = record.headers().find(|header| header.key == ENDS_HEADER).and_then(|header| header.value);
    let ends = ends.map_or(Ok(Vec::new()), decode_ends)?;
    let has_same_epoch = state.client_version < CLIENT_VERSION;
    Ok(Some((
        producer,
        Some(Decided { name: name.to_owned(), ending, ends, offset: record.offset(), has_same_epoch }),
    )))
}
