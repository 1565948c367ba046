//! The producers of a partition: who may write what next.
//!
//! A producer is an id and an epoch. Within an epoch its records count from 0, one after the other, so that a batch that was
//! sent twice is known. A higher epoch shuts out whoever still writes in a lower one.

use std::collections::{BTreeMap, VecDeque};

use crate::format::{AbortedTransaction, BatchHeader, ControlRecord, EndMarker, Ending, sequence_after};
use crate::log::producers::clearing::TransactionId;
use crate::log::producers::decided::Spans;
use crate::types::{NO_TIMESTAMP, Offset, Timestamp};

/// How many batches of a producer are remembered, to know one that comes again.
const REMEMBERED: usize = 5;

/// Somebody who is about to append a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sender {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Of the batch's first record, -1 when nobody counts.
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
    pub(crate) is_transactional: bool,
}

/// Who is forgotten by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgotten {
    All,
    /// Those who have ended no transaction.
    WithoutEnds,
}

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Append,
    /// It is there already, at these offsets.
    Duplicate(Remembered),
}

/// Why a batch may not be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Somebody else writes under the id, in a higher epoch.
    Fenced { epoch: i16 },
    /// Records are missing before it, or it comes again after so many others that nobody knows where it is.
    OutOfSequence { expected: i32 },
    /// The producer has a transaction open, and the batch is not part of one.
    InTransaction,
}

/// A batch that a producer has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) first_sequence: i32,
    pub(crate) last_sequence: i32,
    pub(crate) first_offset: Offset,
    pub(crate) last_offset: Offset,
    pub(crate) timestamp: Timestamp,
}

/// A transaction without an end in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenTransaction {
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    /// Of its first record.
    pub(crate) first: Offset,
    /// Of its last record so far.
    pub(crate) last: Offset,
    /// When its last record was appended, as far as its timestamps tell.
    pub(crate) timestamp: Timestamp,
    /// How it ends, once that is decided. The marker follows.
    pub(crate) decided: Option<Ending>,
}

impl OpenTransaction {
    pub(crate) fn id(&self) -> TransactionId {
        TransactionId { producer_id: self.producer_id, producer_epoch: self.producer_epoch }
    }
}

/// What a transaction's records are for whoever reads committed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Producer {
    pub(super) epoch: i16,
    /// The last ones in its epoch, oldest first.
    pub(super) batches: VecDeque<Remembered>,
    /// Of its last batch or marker, or when that was appended, whichever is later.
    pub(super) timestamp: Timestamp,
    pub(super) coordinator_epoch: i32,
    pub(super) open: Option<Open>,
}

/// A producer's open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) first: Offset,
    pub(super) last: Offset,
    pub(super) decided: Option<Ending>,
}

/// All producers of a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProducerTable {
    pub(super) producers: BTreeMap<i64, Producer>,
    /// Open transactions, by whether their end is decided.
    pub(super) undecided: Spans,
    pub(super) decided: Spans,
    /// Those among the decided that will be aborted.
    pub(super) aborting: Spans,
}

impl ProducerTable {
    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Whether one more would be more than a snapshot can tell of.
    pub(crate) fn has_no_room_for(&self, producer_id: i64, most: usize) -> bool {
        self.producers.len() >= most && !self.producers.contains_key(&producer_id)
    }

    /// Whether the batch may be appended now.
    pub(crate) fn check(&self, sender: &Sender) -> Result<Verdict, Refusal> {
        let Some(producer) = self.producers.get(&sender.producer_id) else { return Ok(Verdict::Append) };
        if sender.producer_epoch < producer.epoch {
            return Err(Refusal::Fenced { epoch: producer.epoch });
        }
        let is_counted = sender.base_sequence >= 0;
        if sender.producer_epoch > producer.epoch {
            return if is_counted && sender.base_sequence != 0 {
                Err(Refusal::OutOfSequence { expected: 0 })
            } else {
                Ok(Verdict::Append)
            };
        }
        if is_counted {
            let last_sequence = sequence_after(sender.base_sequence, sender.record_count.saturating_sub(1));
            let same = |batch: &&Remembered| {
                batch.first_sequence == sender.base_sequence && batch.last_sequence == last_sequence
            };
            if let Some(batch) = producer.batches.iter().find(same) {
                return Ok(Verdict::Duplicate(*batch));
            }
            let expected = producer.next_sequence();
            if expected != sender.base_sequence {
                return Err(Refusal::OutOfSequence { expected });
            }
        }
        if producer.open.is_some() && !sender.is_transactional {
            return Err(Refusal::InTransaction);
        }
        Ok(Verdict::Append)
    }

    /// Takes in a batch that the log holds. Batches without a producer, and control batches, are nothing here.
    pub(crate) fn note(&mut self, header: &BatchHeader) {
        if header.producer_id < 0 || header.attributes.is_control() {
            return;
        }
        let producer = self.entry(header.producer_id, header.producer_epoch);
        // What it was known by from there on is gone, if the log has another batch there: a repair has taken it out.
        producer.batches.retain(|batch| batch.last_offset < header.base_offset);
        if producer.batches.len() >= REMEMBERED {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Remembered {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            first_offset: header.base_offset,
            last_offset: header.last_offset(),
            timestamp: header.max_timestamp,
        });
        producer.timestamp = header.max_timestamp;
        if !header.attributes.is_transactional() {
            return;
        }
        let (first, last) = (header.base_offset, header.last_offset());
        let open = producer.open.get_or_insert(Open { first, last, decided: None });
        open.last = last;
        let Open { first, decided, .. } = *open;
        let id = TransactionId { producer_id: header.producer_id, producer_epoch: producer.epoch };
        if decided.is_none() {
            self.undecided.insert((first, last), id);
        }
    }

    /// Takes in a marker that the log holds; says which transaction it has aborted, if it has.
    pub(crate) fn end(&mut self, header: &BatchHeader, marker: ControlRecord) -> Option<AbortedTransaction> {
        let ControlRecord::EndOfTransaction { ending, coordinator_epoch } = marker else { return None };
        let producer = self.entry(header.producer_id, header.producer_epoch);
        producer.timestamp = header.max_timestamp;
        producer.coordinator_epoch = coordinator_epoch;
        let open = producer.open.take()?;
        [&mut self.undecided, &mut self.decided, &mut self.aborting]
            .into_iter()
            .for_each(|pending| pending.remove(open.first));
        // Others that are open still hold readers back: they may end after this one and begin before it.
        let stable = self.unfinished().unwrap_or(header.next_offset());
        (ending == Ending::Abort).then_some(AbortedTransaction {
            producer_id: header.producer_id,
            first: open.first,
            last: header.last_offset(),
            stable,
        })
    }

    /// The same for a batch as it stands in the log, whatever it is: `body` is everything after its header.
    pub(crate) fn replay(&mut self, header: &BatchHeader, body: &[u8]) -> Option<AbortedTransaction> {
        if !header.attributes.is_control() {
            self.note(header);
            return None;
        }
        // One that cannot be read, or was emptied, ends nothing: its checksum fits, so it was written so.
        let marker = ControlRecord::decode(header, body).ok()??;
        self.end(header, marker)
    }

    /// The producer in that epoch. Where the epoch is higher than the one known, it begins to count again.
    fn entry(&mut self, id: i64, epoch: i16) -> &mut Producer {
        let producer = self.producers.entry(id).or_insert_with(|| Producer {
            epoch,
            batches: VecDeque::new(),
            timestamp: NO_TIMESTAMP,
            coordinator_epoch: -1,
            open: None,
        });
        if epoch > producer.epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
        producer
    }

    /// How the open transaction of a producer ends; its marker is not in the log yet. False when it has none open.
    pub(crate) fn decide(&mut self, producer_id: i64, ending: Ending) -> bool {
        let Some(producer) = self.producers.get_mut(&producer_id) else { return false };
        let Some(open) = producer.open.as_mut() else { return false };
        open.decided = Some(ending);
        self.undecided.remove(open.first);
        let id = TransactionId { producer_id, producer_epoch: producer.epoch };
        self.decided.insert((open.first, open.last), id);
        if ending == Ending::Abort {
            self.aborting.insert((open.first, open.last), id);
        }
        true
    }

    /// The marker that ends a decided transaction: it carries the next epoch, so that whoever wrote the transaction can add
    /// nothing to it. `None` when nothing is open, or nothing decided.
    pub(crate) fn marker(&self, producer_id: i64) -> Option<EndMarker> {
        let producer = self.producers.get(&producer_id)?;
        let ending = producer.open?.decided?;
        Some(EndMarker {
            producer_id,
            producer_epoch: producer.epoch.saturating_add(1),
            ending,
            coordinator_epoch: producer.coordinator_epoch.max(0),
        })
    }

    /// First offset of the oldest transaction without a marker: nothing from there on may be compacted.
    pub(crate) fn unfinished(&self) -> Option<Offset> {
        self.decided.first().into_iter().chain(self.undecided.first()).min()
    }

    /// Whether a transaction without a marker is decided.
    pub(crate) fn is_any_decided(&self) -> bool {
        !self.decided.is_empty()
    }

    /// Transactions without a marker that are to be committed and have records from one offset to another, or before and behind them; by
    /// their first offsets.
    pub(crate) fn committed_in(
        &self,
        from: Offset,
        to: Offset,
    ) -> impl Iterator<Item = (Offset, TransactionId)> {
        self.decided.touching(from, to).filter(|(first, _)| !self.aborting.contains(*first))
    }

    /// What is known of the transaction of a record; `None` when the transaction has its marker in the log.
    pub(crate) fn fate(&self, producer_id: i64, offset: Offset) -> Option<Fate> {
        let open = self.producers.get(&producer_id)?.open.filter(|open| open.first <= offset)?;
        Some(match open.decided {
            None => Fate::Open,
            Some(Ending::Commit) => Fate::Committed,
            Some(Ending::Abort) => Fate::Aborted,
        })
    }

    /// Every transaction without a marker.
    pub(crate) fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.producers.keys().filter_map(|id| self.open_of(*id)).collect()
    }

    /// The epoch in which a producer writes.
    pub(crate) fn epoch(&self, producer_id: i64) -> Option<i16> {
        self.producers.get(&producer_id).map(|producer| producer.epoch)
    }

    /// The open transaction of a producer.
    pub(crate) fn open_of(&self, producer_id: i64) -> Option<OpenTransaction> {
        let producer = self.producers.get(&producer_id)?;
        producer.open.map(|open| OpenTransaction {
            producer_id,
            producer_epoch: producer.epoch,
            first: open.first,
            last: open.last,
            timestamp: producer.timestamp,
            decided: open.decided,
        })
    }

    /// The sequence of the last record that a producer has written in that epoch.
    pub(crate) fn last_sequence(&self, producer_id: i64, epoch: i16) -> Option<i32> {
        let producer = self.producers.get(&producer_id).filter(|producer| producer.epoch == epoch)?;
        producer.batches.back().map(|batch| batch.last_sequence).filter(|sequence| *sequence >= 0)
    }

    /// Whether the offset is that of the last batch that a producer is known by: it stays when the log is compacted.
    pub(crate) fn is_last_of(&self, producer_id: i64, last_offset: Offset) -> bool {
        let last = self.producers.get(&producer_id).and_then(|producer| producer.batches.back());
        last.is_some_and(|batch| batch.last_offset == last_offset)
    }

    /// Takes it that a producer has written at `now`: what its records say of time may be long ago.
    pub(crate) fn wrote_at(&mut self, producer_id: i64, now: Timestamp) {
        if let Some(producer) = self.producers.get_mut(&producer_id) {
            producer.timestamp = producer.timestamp.max(now);
        }
    }

    /// The same of all whose last batch stands at `since` or after it.
    pub(crate) fn wrote_since(&mut self, since: Offset, now: Timestamp) {
        for producer in self.producers.values_mut() {
            if producer.batches.back().is_some_and(|batch| batch.last_offset >= since) {
                producer.timestamp = producer.timestamp.max(now);
            }
        }
    }

    /// Forgets a producer whose last transaction ended in that epoch, if it has written nothing since.
    pub(crate) fn forget_ended(&mut self, producer_id: i64, epoch: i16) {
        let is_over = |producer: &Producer| {
            producer.epoch == epoch && producer.open.is_none() && producer.batches.is_empty()
        };
        if self.producers.get(&producer_id).is_some_and(is_over) {
            self.producers.remove(&producer_id);
        }
    }

    /// Those who count their records and have never written a transaction.
    pub(crate) fn without_transactions(mut self) -> Self {
        self.producers.retain(|_, producer| producer.open.is_none() && producer.coordinator_epoch < 0);
        [&mut self.undecided, &mut self.decided, &mut self.aborting]
            .into_iter()
            .for_each(|pending| *pending = Spans::default());
        self
    }

    /// Forgets who has no transaction open and has written nothing since `before`.
    pub(crate) fn expire(&mut self, before: Timestamp, forgotten: Forgotten) {
        self.producers.retain(|_, producer| {
            let has_ended = producer.coordinator_epoch >= 0;
            producer.open.is_some()
                || producer.timestamp >= before
                || has_ended && forgotten == Forgotten::WithoutEnds
        });
    }
}

impl Producer {
    fn next_sequence(&self) -> i32 {
        self.batches.back().map_or(0, |batch| sequence_after(batch.last_sequence, 1))
    }
}
