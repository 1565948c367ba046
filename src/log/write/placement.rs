//! Records on their way into a batch.

use std::time::Duration;

use crate::format::{BatchHeader, NewRecord, RecordBody, TermHash};
use crate::types::{Offset, Record, Timestamp};

/// What a sender does once its records are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Waiting {
    /// It does not wait for the write.
    No,
    /// It waits until somebody has written them.
    ForAnother,
    /// It holds the writer and writes them itself.
    WritesItself,
}

/// Records to put into one batch, and what bounds that batch.
#[derive(Debug, Clone, Copy)]
pub(in crate::log) struct Placement<'a> {
    pub(in crate::log) records: &'a [Record<'a>],
    /// From [`most_bytes`](Self::most_bytes).
    pub(in crate::log) most_bytes: usize,
    /// Bytes at which a batch is full.
    pub(in crate::log) batch_bytes: usize,
    pub(in crate::log) waiting: Waiting,
    /// How long they may wait for others, if their sender does not wait.
    pub(in crate::log) linger: Duration,
    /// The timestamp of those records that have none.
    pub(in crate::log) now: Timestamp,
    pub(in crate::log) terms: NoteTerms,
}

/// Whether what records are found by is put down while they are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum NoteTerms {
    No,
    Yes,
    /// All of them have the key of this term.
    OfOneKey(TermHash),
}

/// What is encoded of a record.
#[inline]
pub(in crate::log) fn new_record<'a>(record: &'a Record<'a>, now: Timestamp) -> NewRecord<'a> {
    NewRecord {
        timestamp: record.timestamp_millis().unwrap_or(now),
        key: record.key_bytes(),
        value: record.value_bytes(),
        headers: record.headers(),
    }
}

impl Placement<'_> {
    /// How large a batch opened for these records will become: others join those whose sender does not wait.
    pub(in crate::log) fn expected_bytes(&self) -> usize {
        match self.waiting {
            Waiting::No => self.batch_bytes.max(BatchHeader::LEN + self.most_bytes),
            Waiting::ForAnother | Waiting::WritesItself => BatchHeader::LEN + self.most_bytes,
        }
    }

    /// More bytes than `records` take in any batch, and not many more.
    #[inline]
    pub(in crate::log) fn most_bytes(records: &[Record<'_>]) -> usize {
        let most = |record: &Record<'_>| {
            RecordBody::most_len(record.key_bytes(), record.value_bytes(), record.headers())
        };
        records.iter().map(most).sum()
    }

    /// Length in bytes of a batch of `records` alone.
    pub(in crate::log) fn alone_bytes(records: &[Record<'_>], now: Timestamp) -> usize {
        let timestamp = |record: &Record<'_>| record.timestamp_millis().unwrap_or(now);
        let base = records.first().map_or(0, timestamp);
        let len = |(delta, record): (i32, &Record<'_>)| {
            RecordBody {
                timestamp_delta: timestamp(record).wrapping_sub(base),
                offset_delta: delta,
                key: record.key_bytes(),
                value: record.value_bytes(),
                headers: record.headers(),
            }
            .encoded_len()
        };
        BatchHeader::LEN + (0..).zip(records).map(len).sum::<usize>()
    }
}

/// Where records were put.
#[derive(Debug, Clone, Copy)]
pub(in crate::log) struct Placed {
    pub(in crate::log) first_offset: Offset,
    pub(in crate::log) last_offset: Offset,
    /// When the batch was opened.
    pub(in crate::log) opened_at: Timestamp,
    /// The batch takes more records, and these may wait for less time than those before.
    pub(in crate::log) shortens_linger: bool,
    /// The batch was opened for these records, and has room for more.
    pub(in crate::log) opened: bool,
    /// A batch is ready to be written: this one has reached its size, or one before it had no room for these records.
    pub(in crate::log) ready: bool,
}
