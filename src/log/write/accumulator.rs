//! Batches in memory: the open one, and full ones that nobody has written yet. No I/O.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::io::Deadline;
use crate::log::write::losses::{Failures, Loss, Losses};
use crate::log::write::next_offset::NextOffset;
use crate::log::write::open_batch::{Batches, OpenBatch, Outcome, Recycled};
use crate::log::write::placement::{Placed, Placement};
use crate::log::write::rules::AppendRules;
use crate::log::write::spares::{SMALL_BYTES, Spares};
use crate::types::{Offset, TopicPartition};

/// Which batches to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::log) enum Take {
    /// All there are.
    All,
    /// Those that take no more records; the open one stays.
    Full,
}

/// All batches of a partition that are in memory. Offsets are dense: each batch begins where the one before it ends, and
/// the first where the log ends.
#[derive(Debug)]
pub(in crate::log) struct Accumulator {
    /// What is taken. Here, because every append holds this lock anyway.
    pub(in crate::log) rules: AppendRules,
    next_offset: NextOffset,
    /// Oldest first. Only the last one takes records.
    queue: Batches,
    /// A small one. Larger ones are taken from `spares`.
    spare: Option<Box<OpenBatch>>,
    spares: Arc<Spares>,
    /// What `queue` becomes when it is taken away: empty, with the room of an earlier one.
    spare_queue: Batches,
    /// Why the next append is refused, whatever it is.
    refusal: Refusal,
    /// Of what no flush has told.
    pub(super) losses: Losses,
    /// How offsets were given out again, because what had them could not be written.
    pub(super) failures: Failures,
}

/// What an append is refused for before it is looked at.
#[derive(Debug)]
enum Refusal {
    None,
    /// Records that were accepted in memory are lost, and nobody was told. The next one is told, once.
    Lost(Loss),
    /// The log takes nothing any more. What was lost by then is told by the close.
    Closed(Error),
}

impl Accumulator {
    pub(in crate::log) fn new(next_offset: NextOffset, rules: AppendRules, spares: Arc<Spares>) -> Self {
        Self {
            rules,
            next_offset,
            queue: Batches::new(),
            spare: None,
            spares,
            spare_queue: Batches::new(),
            refusal: Refusal::None,
            losses: Losses::default(),
            failures: Failures::default(),
        }
    }

    /// The next offset to be given out.
    pub(in crate::log) fn next_offset(&self) -> Offset {
        self.next_offset.get()
    }

    /// How often offsets were given out again: those that were given out before may be another's by now.
    #[inline]
    pub(in crate::log) fn failures(&self) -> u64 {
        self.failures.count()
    }

    /// Whether the record is lost to which that offset was given when there had been so many failures.
    #[inline]
    pub(in crate::log) fn is_lost(&self, offset: Offset, failures: u64) -> bool {
        self.failures.count() != failures && self.failures.reached(offset, failures)
    }

    /// The next record begins a batch: what was placed so far ends with one.
    pub(in crate::log) fn end_batch(&mut self) {
        if let Some(open) = self.queue.back_mut() {
            open.take_no_more();
        }
    }

    pub(in crate::log) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// When records are to be written that nobody waits for: the earliest time of all.
    pub(in crate::log) fn linger_ends(&self) -> Option<Deadline> {
        self.queue.iter().filter_map(|batch| batch.linger_ends()).min()
    }

    /// The loss that no flush has told yet, whatever senders were told; it tells for all of them.
    pub(in crate::log) fn take_lost(&mut self) -> Option<Error> {
        drop(self.take_untold());
        self.losses.take()
    }

    /// The loss that no sender was told of yet, nor a flush.
    fn take_untold(&mut self) -> Option<Error> {
        match std::mem::replace(&mut self.refusal, Refusal::None) {
            Refusal::Lost(lost) => Some(lost.error),
            other => {
                self.refusal = other;
                None
            }
        }
    }

    /// What the sender of records is told that were placed after so many failures and [are lost](Self::is_lost), by the next one: with
    /// the others that were lost then, where nobody was told of them yet.
    #[cold]
    pub(in crate::log) fn take_own(
        &mut self,
        (own, failures): (RangeInclusive<Offset>, u64),
        partition: &TopicPartition,
    ) -> Error {
        let by = failures + 1;
        self.losses.forget(&own, by);
        match &self.refusal {
            Refusal::Lost(lost) if lost.by == by => self.take_untold(),
            _ => None,
        }
        .unwrap_or_else(|| self.failures.of((own, by), partition))
    }

    /// Whether an append that comes now has to be told something instead.
    #[inline]
    pub(in crate::log) fn refuses(&self) -> bool {
        !matches!(self.refusal, Refusal::None)
    }

    /// What that is.
    #[cold]
    pub(in crate::log) fn take_refusal(&mut self) -> Option<Error> {
        match &self.refusal {
            Refusal::None => None,
            Refusal::Lost(_) => self.take_untold(),
            Refusal::Closed(closed) => Some(closed.clone()),
        }
    }

    /// Takes nothing any more: every append gets `closed`.
    pub(in crate::log) fn refuse(&mut self, closed: Error) {
        self.refusal = Refusal::Closed(closed);
    }

    /// Puts records into one batch: the open one if they fit, else a new one. The caller has checked every limit.
    #[inline]
    pub(in crate::log) fn place(&mut self, placement: &Placement<'_>) -> Placed {
        let fits = |open: &&mut Box<OpenBatch>| {
            !open.is_full() && open.builder.len() + placement.most_bytes <= placement.batch_bytes
        };
        let open = self.queue.back_mut().filter(fits);
        match open {
            Some(open) => {
                let placed = open.put(placement, self.next_offset.get());
                self.next_offset.set(placed.last_offset + 1);
                placed
            }
            None => self.place_in_new(placement),
        }
    }

    /// Says when the batch of the records that were placed last is to be written: they may wait so long, and less than those
    /// before them.
    pub(in crate::log) fn shorten_linger(&mut self, linger: Duration) -> Option<Deadline> {
        self.queue.back_mut().map(|batch| batch.shorten_linger(linger))
    }

    /// Where the end of the write will be told of the records that were placed last.
    pub(in crate::log) fn outcome_of_last(&mut self) -> Option<Arc<Outcome>> {
        self.queue.back_mut().map(|batch| batch.outcome())
    }

    /// Puts a batch after the others that takes no more records: a producer's, or a marker.
    pub(in crate::log) fn push_closed(&mut self, batch: Box<OpenBatch>) {
        debug_assert!(batch.is_full(), "nobody else's records join it");
        self.debug_dense(&batch);
        self.next_offset.set(batch.next_offset());
        self.queue.push_back(batch);
    }

    /// Takes back the batches from `first` on, which nobody waits for. Nothing was placed after them.
    pub(in crate::log) fn take_back(&mut self, first: Offset) {
        while self.queue.back().is_some_and(|batch| batch.base_offset() >= first) {
            self.queue.pop_back();
        }
        self.next_offset.set(first);
        debug_assert!(
            self.queue.back().is_none_or(|batch| batch.next_offset() == first),
            "a batch goes whole or not at all"
        );
    }

    /// `batch`, which is put after the others, begins where the last of them ends.
    fn debug_dense(&self, batch: &OpenBatch) {
        debug_assert_eq!(batch.base_offset(), self.next_offset(), "a batch begins at the next offset");
        debug_assert!(
            self.queue.back().is_none_or(|last| last.next_offset() == self.next_offset()),
            "the next offset is where the last batch ends"
        );
    }

    /// Makes the next new batch a panic: it would not begin where the one before it ends.
    #[cfg(test)]
    pub(in crate::log) fn skew(&mut self) {
        self.next_offset.set(self.next_offset() + 1);
    }

    #[inline(always)]
    fn place_in_new(&mut self, placement: &Placement<'_>) -> Placed {
        let displaced = !self.queue.is_empty();
        let mut batch = self.open(placement, &mut None);
        self.debug_dense(&batch);
        let placed = batch.put(placement, self.next_offset());
        self.queue.push_back(batch);
        self.next_offset.set(placed.last_offset + 1);
        Placed { opened: !placed.ready, ready: placed.ready | displaced, ..placed }
    }

    /// The same where nothing is queued, for a sender that holds the writer and writes the batch itself: it is not queued
    /// either. `spent` is a small batch that the writer has left.
    #[inline(always)]
    pub(in crate::log) fn place_alone(
        &mut self,
        placement: &Placement<'_>,
        spent: &mut Option<Box<OpenBatch>>,
    ) -> (Placed, Box<OpenBatch>) {
        debug_assert!(self.queue.is_empty(), "what was placed before is written before");
        let mut batch = self.open(placement, spent);
        let placed = batch.put(placement, self.next_offset());
        self.next_offset.set(placed.last_offset + 1);
        (placed, batch)
    }

    #[inline(always)]
    fn open(&mut self, placement: &Placement<'_>, spent: &mut Option<Box<OpenBatch>>) -> Box<OpenBatch> {
        let bytes = placement.expected_bytes();
        let spare = if bytes <= SMALL_BYTES {
            spent.take().or_else(|| self.spare.take())
        } else {
            self.spares.batch(bytes)
        };
        match spare {
            Some(mut spare) => {
                spare.reuse(placement, self.next_offset());
                spare
            }
            None => Box::new(OpenBatch::new(placement, self.next_offset())),
        }
    }

    /// Takes batches to write, oldest first.
    pub(in crate::log) fn take(&mut self, which: Take) -> Batches {
        match self.queue.back() {
            Some(last) if which == Take::Full && !last.is_full() => {
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
    pub(in crate::log) fn recycle(&mut self, spent: &mut Recycled) {
        if let Some(batch) = spent.batch.take() {
            self.spare = Some(batch);
        }
        if self.spare_queue.capacity() == 0 {
            std::mem::swap(&mut self.spare_queue, &mut spent.queue);
        }
    }

    /// The batches from `failed` on, and all that was queued after them meanwhile, will never be written: their waiters
    /// get the error, their offsets are given out again from `next_offset` on.
    pub(in crate::log) fn fail(
        &mut self,
        failed: Batches,
        next_offset: Offset,
        partition: &TopicPartition,
        error: &Error,
    ) {
        self.failures.note(next_offset, error);
        let mut lost: Option<(Offset, Offset)> = None;
        for batch in failed.into_iter().chain(self.take(Take::All)) {
            batch.tell(|| Err(error.clone()));
            if let Some((first, last)) = batch.in_memory() {
                lost = Some((lost.map_or(first, |(first, _)| first), last));
            }
        }
        self.next_offset.set(next_offset);
        if let Some((first, last)) = lost {
            let by = self.failures.count();
            let new = Loss { error: self.failures.of((first..=last, by), partition), by };
            self.losses.add(&new);
            match &self.refusal {
                Refusal::None => self.refusal = Refusal::Lost(new),
                Refusal::Closed(_) | Refusal::Lost(_) => {}
            }
        }
    }
}

#[cfg(test)]
pub(in crate::log) mod tests {
    use super::*;
    use crate::log::write::placement::{NoteTerms, Waiting};
    use crate::types::Record;

    fn accumulator(next_offset: Offset) -> Accumulator {
        let rules = AppendRules::new(&crate::log::tests::config(1 << 20));
        Accumulator::new(NextOffset::new(next_offset), rules, Arc::default())
    }

    fn place(accumulator: &mut Accumulator, values: &[&[u8]], waiting: Waiting) -> Placed {
        let records: Vec<_> = values.iter().map(|value| Record::new().value(*value)).collect();
        accumulator.place(&Placement {
            records: &records,
            most_bytes: Placement::most_bytes(&records),
            batch_bytes: 200,
            waiting,
            linger: Duration::from_secs(9),
            now: 5,
            terms: NoteTerms::No,
        })
    }

    /// Places one record; returns its offset.
    pub(in crate::log) fn place_one(accumulator: &mut Accumulator) -> Offset {
        place(accumulator, &[b"a"], Waiting::No).first_offset
    }

    #[test]
    fn offsets_are_dense_over_batches() {
        let mut accumulator = accumulator(7);
        let first = place(&mut accumulator, &[b"a", b"b"], Waiting::ForAnother);
        assert_eq!((first.first_offset, first.last_offset, first.opened), (7, 8, true));
        let second = place(&mut accumulator, &[b"c"], Waiting::ForAnother);
        assert_eq!((second.first_offset, second.opened, second.ready), (9, false, false));
        let third = place(&mut accumulator, &[&[0; 100]], Waiting::ForAnother);
        assert_eq!((third.first_offset, third.opened, third.ready), (10, true, true));
        let taken = accumulator.take(Take::All);
        assert_eq!(taken.iter().map(|batch| batch.builder.base_offset()).collect::<Vec<_>>(), [7, 10]);
        assert!(accumulator.is_empty());
    }

    #[test]
    fn a_batch_with_room_stays_open_when_the_full_ones_are_written() {
        let mut accumulator = accumulator(0);
        place(&mut accumulator, &[&[0; 120]], Waiting::No);
        assert!(place(&mut accumulator, &[&[0; 80]], Waiting::No).ready, "the first had no room");
        assert_eq!(accumulator.take(Take::Full).len(), 1);
        assert!(!place(&mut accumulator, b"a".chunks(1).collect::<Vec<_>>().as_slice(), Waiting::No).opened);
        assert!(place(&mut accumulator, &[&[0; 300]], Waiting::No).ready, "full by itself");
        assert_eq!(accumulator.take(Take::Full).len(), 2);
        assert!(accumulator.is_empty());
    }

    #[test]
    fn a_failure_reaches_every_waiter_and_what_was_queued_behind() {
        let mut accumulator = accumulator(0);
        place(&mut accumulator, &[b"a"], Waiting::ForAnother);
        let waited = accumulator.outcome_of_last().unwrap();
        let failed = accumulator.take(Take::All);
        place(&mut accumulator, &[b"b"], Waiting::ForAnother);
        let queued = accumulator.outcome_of_last().unwrap();
        place(&mut accumulator, &[b"b"], Waiting::No);
        place(&mut accumulator, &[b"c"], Waiting::No);
        accumulator.fail(failed, 0, &("orders", 0).into(), &Error::invalid("disk"));
        assert!(waited.get().unwrap().is_err());
        assert!(queued.get().unwrap().is_err());
        match accumulator.take_lost() {
            Some(Error::Lost { first: 2, last: 3, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert!(accumulator.take_lost().is_none(), "told once");
        assert_eq!(place(&mut accumulator, &[b"d"], Waiting::ForAnother).first_offset, 0);
    }
}
