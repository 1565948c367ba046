//! State that is kept as records of an internal topic: loaded by replay, changed by appending, then applied.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, Ending, Malformed, RecordBody};
use crate::locks::Mutex;
use crate::log::{OpenTransaction, SkippedRecord, TransactionId};
use crate::topic::internal::InternalTopic;
use crate::topic::partition::Partition;
use crate::topic::topics::Topics;
use crate::types::{Durability, Offset, Record, TopicPartition};

/// State that the records of a ledger add up to; the last one of each key counts.
pub(crate) trait Replay {
    /// Takes in a record. An error says why it is not understood: then its key has no state, the record stays where it is,
    /// and it is named.
    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> std::result::Result<(), Malformed>;

    /// The record of that key, which was replayed just now, is of a transaction that is committed and has no end in the log yet.
    fn note_written_in(&mut self, _key: &[u8], _transaction: TransactionId) {}

    /// Takes in, after all others, a record of a transaction that nobody can decide in this life.
    fn replay_undecided(&mut self, _key: &[u8], _value: Option<&[u8]>) {}
}

/// One change: a record to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    /// `None` deletes what the key names.
    pub(crate) value: Option<Vec<u8>>,
}

/// The records of one internal topic, which is created by the first change.
#[derive(Debug)]
pub(crate) struct Ledger {
    topics: Arc<Topics>,
    internal: &'static InternalTopic,
    partition: Mutex<Option<Partition>>,
}

impl Ledger {
    pub(crate) fn new(topics: Arc<Topics>, internal: &'static InternalTopic) -> Self {
        Self { topics, internal, partition: Mutex::default() }
    }

    /// Replays all records into `state`, and lists those it does not understand.
    pub(crate) fn load(&self, state: &mut impl Replay) -> Result<Vec<SkippedRecord>> {
        let mut skipped = Vec::new();
        let topic = match self.topics.get(self.internal.name) {
            Ok(topic) => topic,
            Err(Error::UnknownTopic { .. }) => return Ok(skipped),
            Err(error) => return Err(error),
        };
        let partition = topic.partition(0)?;
        // What cannot be decided in this life counts for nothing in it, and what follows does.
        let mut reader = partition.read(..)?.pass_over_undecided();
        let committed = Committed::in_log(&partition);
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                if let Err(malformed) = state.replay(record.key().unwrap_or_default(), record.value()) {
                    skipped.push(SkippedRecord::new(record.offset(), malformed.to_string()));
                } else if let Some(transaction) = committed.of(record.offset()) {
                    state.note_written_in(record.key().unwrap_or_default(), transaction);
                }
            }
        }
        replay_undecided(&partition, state)?;
        *self.partition.lock() = Some(partition);
        Ok(skipped)
    }

    /// Appends `entries`, and has `apply` take in those whose batch was written. What fits into one batch is all or nothing;
    /// more is cut into several, of which the first may be written when a later one fails. Returns before they are durable:
    /// that is for [`sync`](Self::sync), which the caller does without a lock that others wait for.
    pub(crate) fn append(&self, entries: &[Entry], mut apply: impl FnMut(Range<usize>)) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let partition = self.partition()?;
        let most_bytes = partition.log().most_batch_bytes();
        let mut from = 0;
        while let Some(rest) = entries.get(from..).filter(|rest| !rest.is_empty()) {
            let count = fitting(rest, most_bytes);
            let records: Vec<_> = rest.iter().take(count).map(Entry::record).collect();
            partition.append_internal(&records, Durability::Os)?;
            apply(from..from + count);
            from += count;
        }
        Ok(())
    }

    /// Appends one record: the same, for one that is often written.
    pub(crate) fn append_one(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let record = Record::new().key(key).value(value);
        self.partition()?.append_internal(std::slice::from_ref(&record), Durability::Os).map(drop)
    }

    /// The partition of its records.
    pub(crate) fn stored_in(&self) -> TopicPartition {
        TopicPartition::new(self.internal.name, 0)
    }

    /// Returns when everything appended so far survives a power cut. Transactions are left alone: who asks holds what writing their ends
    /// may need.
    pub(crate) fn sync(&self) -> Result<()> {
        let partition = self.partition.lock().clone();
        partition.map_or(Ok(()), |partition| {
            partition
                .log()
                .flush_for_others()
                .map_err(|error| error.in_partition(partition.topic_partition()))
        })
    }

    /// The partition of its records, which is created if there is none.
    pub(crate) fn partition(&self) -> Result<Partition> {
        let mut partition = self.partition.lock();
        match &*partition {
            Some(partition) => Ok(partition.clone()),
            None => {
                let made = self.topics.ensure(self.internal.name, &self.internal.config())?.partition(0)?;
                Ok(partition.insert(made).clone())
            }
        }
    }
}

impl Entry {
    pub(crate) fn record(&self) -> Record<'_> {
        let record = Record::new().key(&self.key);
        match &self.value {
            Some(value) => record.value(value),
            None => record,
        }
    }

    fn most_bytes(&self) -> usize {
        <RecordBody<'_>>::most_len(Some(&self.key), self.value.as_deref(), &[])
    }
}

/// Transactions of an earlier life that are committed and have no end in the log, in the order of their records. What one has in a ledger stands
/// in one piece.
struct Committed(Vec<OpenTransaction>);

impl Committed {
    fn in_log(partition: &Partition) -> Self {
        let mut open = partition.log().open_transactions();
        open.retain(|one| one.decided == Some(Ending::Commit));
        open.sort_by_key(|one| one.first);
        Self(open)
    }

    /// The one that a record is of.
    fn of(&self, offset: Offset) -> Option<TransactionId> {
        let behind = self.0.partition_point(|one| one.first <= offset);
        let last = self.0.get(..behind)?.last()?;
        (offset <= last.last).then(|| last.id())
    }
}

fn replay_undecided(partition: &Partition, state: &mut impl Replay) -> Result<()> {
    let from = partition.stable();
    if from >= partition.end() {
        return Ok(());
    }
    let mut decided = partition.read_from(from)?.pass_over_undecided().into_iter();
    let mut next = decided.next().transpose()?;
    for record in partition.read_from(from)?.with_undecided() {
        let record = record?;
        if next.as_ref().is_some_and(|next| next.offset == record.offset) {
            next = decided.next().transpose()?;
        } else {
            state.replay_undecided(record.key.as_deref().unwrap_or_default(), record.value.as_deref());
        }
    }
    Ok(())
}

/// How many of the first entries go into a batch of that size; one at least, which is refused if it is too large alone.
fn fitting(entries: &[Entry], most_bytes: usize) -> usize {
    let mut bytes = BatchHeader::LEN;
    let fits = |entry: &&Entry| {
        bytes = bytes.saturating_add(entry.most_bytes());
        bytes <= most_bytes
    };
    entries.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_what_fits_and_one_at_least() {
        let entry = Entry { key: vec![0; 10], value: Some(vec![0; 90]) };
        let (one, all) = (entry.most_bytes(), vec![entry; 5]);
        assert_eq!(fitting(&all, BatchHeader::LEN + 5 * one), 5);
        assert_eq!(fitting(&all, BatchHeader::LEN + 5 * one - 1), 4);
        assert_eq!(fitting(&all, BatchHeader::LEN + one), 1);
        assert_eq!(fitting(&all, 0), 1);
    }
}
