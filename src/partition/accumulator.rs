//! Batches in memory: the open one, and full ones that nobody has written yet. No I/O.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BatchBuilder, BatchHeader, NewRecord, RecordBody};
use crate::partition::rules::AppendRules;
use crate::sync::OnceLock;
use crate::types::{Offset, Record, Timestamp};

/// How the write of a batch ended, for those who wait for it.
#[derive(Debug, Default)]
pub(super) struct Outcome(OnceLock<Result<()>>);

impl Outcome {
    /// `None` while the batch is not written.
    pub(super) fn get(&self) -> Option<Result<()>> {
        self.0.get().cloned()
    }

    /// The first outcome stands.
    pub(super) fn set(&self, outcome: Result<()>) {
        // An outcome that is there already is the one its waiters have seen.
        drop(self.0.set(outcome));
    }
}

/// A batch that takes records, or waits to be written.
#[derive(Debug)]
pub(super) struct OpenBatch {
    pub(super) builder: BatchBuilder,
    /// The time of all its records when the log stamps them itself.
    pub(super) opened_at: Timestamp,
    /// There once somebody waits for the batch.
    outcome: Option<Arc<Outcome>>,
    /// First and last offset whose sender did not wait.
    in_memory: Option<(Offset, Offset)>,
    /// It has reached its size.
    full: bool,
}

impl OpenBatch {
    /// Tells those who wait for the batch.
    pub(super) fn tell(&self, outcome: impl FnOnce() -> Result<()>) {
        if let Some(waiting) = &self.outcome {
            waiting.set(outcome());
        }
    }

    /// Takes the records in, the first one at `first_offset`; returns the offset of the last.
    #[inline]
    fn take(&mut self, placement: &Placement<'_>, first_offset: Offset) -> Offset {
        for record in placement.records {
            self.builder.append(&new_record(record, placement.now));
        }
        let last_offset = self.builder.next_offset() - 1;
        if placement.sender == Sender::GoesOn {
            let first = self.in_memory.map_or(first_offset, |(first, _)| first);
            self.in_memory = Some((first, last_offset));
        }
        self.full = self.builder.len() >= placement.batch_bytes;
        last_offset
    }
}

/// Where records were put.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) first_offset: Offset,
    pub(super) last_offset: Offset,
    /// When the batch was opened.
    pub(super) opened_at: Timestamp,
    /// Where the end of the batch's write will be told, for a sender who waits for it.
    pub(super) outcome: Option<Arc<Outcome>>,
    /// The batch was opened for these records, and has room for more.
    pub(super) opened: bool,
    /// A batch is ready to be written: this one has reached its size, or one before it had no room for these records.
    pub(super) ready: bool,
}

/// What a sender does once its records are placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    /// It does not wait for the write.
    GoesOn,
    /// It waits until somebody has written them.
    Waits,
    /// It holds the writer and writes them itself.
    Writes,
}

/// Records to put into one batch, and what bounds that batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placement<'a> {
    pub(super) records: &'a [Record<'a>],
    /// From [`most_bytes`](Self::most_bytes).
    pub(super) most_bytes: usize,
    /// Bytes at which a batch is full.
    pub(super) batch_bytes: usize,
    pub(super) sender: Sender,
    /// The timestamp of those records that have none.
    pub(super) now: Timestamp,
}

/// What is encoded of a record.
#[inline]
fn new_record<'a>(record: &'a Record<'a>, now: Timestamp) -> NewRecord<'a> {
    NewRecord {
        timestamp: record.timestamp_millis().unwrap_or(now),
        key: record.key_bytes(),
        value: record.value_bytes(),
        headers: record.headers(),
    }
}

impl Placement<'_> {
    /// How large a batch opened for these records will become: others join those whose sender does not wait.
    fn expected_bytes(&self) -> usize {
        match self.sender {
            Sender::GoesOn => self.batch_bytes.max(BatchHeader::LEN + self.most_bytes),
            Sender::Waits | Sender::Writes => BatchHeader::LEN + self.most_bytes,
        }
    }

    /// More bytes than `records` take in any batch, and not many more.
    #[inline]
    pub(super) fn most_bytes(records: &[Record<'_>]) -> usize {
        let most = |record: &Record<'_>| {
            RecordBody::most_len(record.key_bytes(), record.value_bytes(), record.headers())
        };
        records.iter().map(most).sum()
    }

    /// Length in bytes of a batch of `records` alone.
    pub(super) fn alone_bytes(records: &[Record<'_>], now: Timestamp) -> usize {
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

/// Batches, oldest first.
pub(super) type Batches = VecDeque<Box<OpenBatch>>;

/// What batches that were written leave for later ones: their buffers.
#[derive(Debug, Default)]
pub(super) struct Spent {
    pub(super) batch: Option<Box<OpenBatch>>,
    pub(super) queue: Batches,
}

/// Which batches to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// All there are.
    All,
    /// Those that take no more records; the open one stays.
    Full,
}

/// All batches of a partition that are in memory. Offsets are dense: each batch begins where the one before it ends, and
/// the first where the log ends.
#[derive(Debug)]
pub(super) struct Accumulator {
    /// What is taken. Here, because every append holds this lock anyway.
    pub(super) rules: AppendRules,
    next_offset: Offset,
    /// Oldest first. Only the last one takes records.
    queue: Batches,
    spare: Option<Box<OpenBatch>>,
    /// What `queue` becomes when it is taken away: empty, with the room of an earlier one.
    spare_queue: Batches,
    /// What its sender was not told: records accepted in memory and lost.
    lost: Option<Error>,
}

impl Accumulator {
    pub(super) fn new(next_offset: Offset, rules: AppendRules) -> Self {
        Self {
            rules,
            next_offset,
            queue: Batches::new(),
            spare: None,
            spare_queue: Batches::new(),
            lost: None,
        }
    }

    /// The next offset to be given out.
    pub(super) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The loss that nobody was told of yet; it is told once.
    pub(super) fn take_lost(&mut self) -> Option<Error> {
        self.lost.take()
    }

    /// Puts records into one batch: the open one if they fit, else a new one. The caller has checked every limit.
    #[inline]
    pub(super) fn place(&mut self, placement: &Placement<'_>) -> Placed {
        let fits =
            |open: &&mut Box<OpenBatch>| open.builder.len() + placement.most_bytes <= placement.batch_bytes;
        let open = self.queue.back_mut().filter(fits);
        match open {
            Some(open) => {
                let placed = Self::put(open, placement, self.next_offset);
                self.next_offset = placed.last_offset + 1;
                placed
            }
            None => self.place_in_new(placement),
        }
    }

    fn place_in_new(&mut self, placement: &Placement<'_>) -> Placed {
        let displaced = !self.queue.is_empty();
        let mut batch = self.open(placement);
        let placed = Self::put(&mut batch, placement, self.next_offset);
        self.queue.push_back(batch);
        self.next_offset = placed.last_offset + 1;
        Placed { opened: !placed.ready, ready: placed.ready | displaced, ..placed }
    }

    #[inline]
    fn put(batch: &mut OpenBatch, placement: &Placement<'_>, first_offset: Offset) -> Placed {
        let last_offset = batch.take(placement, first_offset);
        let outcome = match placement.sender {
            Sender::GoesOn | Sender::Writes => None,
            Sender::Waits => Some(Arc::clone(batch.outcome.get_or_insert_default())),
        };
        let (opened_at, ready) = (batch.opened_at, batch.full);
        Placed { first_offset, last_offset, opened_at, outcome, opened: false, ready }
    }

    fn open(&mut self, placement: &Placement<'_>) -> Box<OpenBatch> {
        match self.spare.take() {
            Some(mut spare) => {
                spare.builder.reset(self.next_offset);
                let OpenBatch { builder: _, opened_at, outcome, in_memory, full } = &mut *spare;
                (*opened_at, *outcome, *in_memory, *full) = (placement.now, None, None, false);
                spare
            }
            None => Box::new(OpenBatch {
                builder: BatchBuilder::new(self.next_offset, placement.expected_bytes()),
                opened_at: placement.now,
                outcome: None,
                in_memory: None,
                full: false,
            }),
        }
    }

    /// Takes batches to write, oldest first.
    pub(super) fn take(&mut self, which: Which) -> Batches {
        match self.queue.back() {
            Some(last) if which == Which::Full && !last.full => {
                let open = self.queue.pop_back();
                let taken = self.take_queue();
                self.queue.extend(open);
                taken
            }
            _ => self.take_queue(),
        }
    }

    fn take_queue(&mut self) -> Batches {
        std::mem::replace(&mut self.queue, std::mem::take(&mut self.spare_queue))
    }

    /// Takes back what the batches taken before have left.
    pub(super) fn recycle(&mut self, spent: &mut Spent) {
        if let Some(batch) = spent.batch.take() {
            self.spare = Some(batch);
            spent.queue.clear();
            self.spare_queue = std::mem::take(&mut spent.queue);
        }
    }

    /// The batches from `failed` on, and all that was queued behind them meanwhile, will never be written: their waiters
    /// get the error, their offsets are given out again from `next_offset` on.
    pub(super) fn fail(&mut self, failed: Batches, next_offset: Offset, label: &str, error: &Error) {
        let queued = self.take(Which::All);
        let mut lost: Option<(Offset, Offset)> = None;
        for batch in failed.into_iter().chain(queued) {
            batch.tell(|| Err(error.clone()));
            if let Some((first, last)) = batch.in_memory {
                lost = Some((lost.map_or(first, |(first, _)| first), last));
            }
        }
        self.next_offset = next_offset;
        if let Some((first, last)) = lost {
            let (partition, cause) = (label.to_owned(), Arc::new(error.clone()));
            self.lost.get_or_insert(Error::Lost { partition, first, last, cause });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accumulator(next_offset: Offset) -> Accumulator {
        Accumulator::new(next_offset, AppendRules::new(&crate::partition::tests::config(1 << 20)))
    }

    fn place(accumulator: &mut Accumulator, values: &[&[u8]], sender: Sender) -> Placed {
        let records: Vec<_> = values.iter().map(|value| Record::new().value(*value)).collect();
        let most_bytes = Placement::most_bytes(&records);
        accumulator.place(&Placement { records: &records, most_bytes, batch_bytes: 200, sender, now: 5 })
    }

    #[test]
    fn offsets_are_dense_over_batches() {
        let mut accumulator = accumulator(7);
        let first = place(&mut accumulator, &[b"a", b"b"], Sender::Waits);
        assert_eq!((first.first_offset, first.last_offset, first.opened), (7, 8, true));
        let second = place(&mut accumulator, &[b"c"], Sender::Waits);
        assert_eq!((second.first_offset, second.opened, second.ready), (9, false, false));
        let third = place(&mut accumulator, &[&[0; 100]], Sender::Waits);
        assert_eq!((third.first_offset, third.opened, third.ready), (10, true, true));
        let taken = accumulator.take(Which::All);
        assert_eq!(taken.iter().map(|batch| batch.builder.base_offset()).collect::<Vec<_>>(), [7, 10]);
        assert!(accumulator.is_empty());
    }

    #[test]
    fn a_batch_with_room_stays_open_when_the_full_ones_are_written() {
        let mut accumulator = accumulator(0);
        place(&mut accumulator, &[&[0; 120]], Sender::GoesOn);
        assert!(place(&mut accumulator, &[&[0; 80]], Sender::GoesOn).ready, "the first had no room");
        assert_eq!(accumulator.take(Which::Full).len(), 1);
        assert!(
            !place(&mut accumulator, b"a".chunks(1).collect::<Vec<_>>().as_slice(), Sender::GoesOn).opened
        );
        assert!(place(&mut accumulator, &[&[0; 300]], Sender::GoesOn).ready, "full by itself");
        assert_eq!(accumulator.take(Which::Full).len(), 2);
        assert!(accumulator.is_empty());
    }

    #[test]
    fn a_failure_reaches_every_waiter_and_what_was_queued_behind() {
        let mut accumulator = accumulator(0);
        let waited = place(&mut accumulator, &[b"a"], Sender::Waits);
        let failed = accumulator.take(Which::All);
        let queued = place(&mut accumulator, &[b"b"], Sender::Waits);
        place(&mut accumulator, &[b"b"], Sender::GoesOn);
        place(&mut accumulator, &[b"c"], Sender::GoesOn);
        accumulator.fail(failed, 0, "orders-0", &Error::invalid("disk"));
        assert!(waited.outcome.unwrap().get().unwrap().is_err());
        assert!(queued.outcome.unwrap().get().unwrap().is_err());
        match accumulator.take_lost() {
            Some(Error::Lost { first: 2, last: 3, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert!(accumulator.take_lost().is_none(), "told once");
        assert_eq!(place(&mut accumulator, &[b"d"], Sender::Waits).first_offset, 0);
    }
}
