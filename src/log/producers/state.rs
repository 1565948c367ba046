//! The producers of an open partition, beside its writer and its readers.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{AbortedTransaction, BatchHeader, ControlRecord, EndMarker, Ending};
use crate::locks::Ordering;
use crate::log::log::Log;
use crate::log::producers::clearing::TransactionId;
use crate::log::producers::snapshot_file;
use crate::log::producers::table::{OpenTransaction, ProducerTable};
use crate::log::segment_list::SegmentList;
use crate::log::write::writer::{Open, Writer};
use crate::segment::Segment;
use crate::types::Offset;

/// A week, in milliseconds: how long a producer is known after its last batch.
pub(crate) const FORGETS_AFTER: i64 = 7 * 24 * 60 * 60 * 1000;

/// Where the oldest transactions begin.
pub(in crate::log) struct Pending {
    /// Of those whose end is not decided.
    pub(in crate::log) undecided: Option<Offset>,
    /// Of those that the log alone does not show to be committed or aborted.
    pub(in crate::log) uncommitted: Option<Offset>,
}

impl Log {
    /// Notes a batch that was just written, of somebody with an id.
    pub(in crate::log) fn note_producer(
        &self,
        open: &Open,
        header: &BatchHeader,
        marker: Option<&EndMarker>,
    ) -> Pending {
        let now = self.clock.now();
        let mut producers = self.producers.lock();
        match marker {
            None => producers.note(header),
            Some(marker) => {
                let EndMarker { ending, coordinator_epoch, .. } = *marker;
                let record = ControlRecord::EndOfTransaction { ending, coordinator_epoch };
                if let Some(aborted) = producers.end(header, record) {
                    open.active.segment().note_aborted(aborted);
                }
            }
        }
        producers.wrote_at(header.producer_id, now);
        let start = self.start();
        Pending { undecided: producers.first_undecided(start), uncommitted: producers.uncommitted(start) }
    }

    /// The transaction that a producer ended in that epoch has its end in every partition, durably: nobody will ask for it again.
    pub(crate) fn forget_ended(&self, producer_id: i64, epoch: i16) {
        self.producers.lock().forget_ended(producer_id, epoch);
    }

    /// An error where so many producers are known that no snapshot could tell of one more.
    pub(crate) fn check_producers(&self, producer_id: i64) -> Result<()> {
        if !self.producers.lock().has_no_room_for(producer_id, snapshot_file::MOST_PRODUCERS) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "{} knows {} producers of the last week, and can know no more",
            self.topic_partition,
            snapshot_file::MOST_PRODUCERS
        )))
    }

    /// How a transaction ends is decided: readers go by that from here on, the marker follows. False when none is open.
    pub(crate) fn decide(&self, producer_id: i64, ending: Ending) -> bool {
        let mut writer = self.writer.lock();
        let mut producers = self.producers.lock();
        let was_open = producers.decide(producer_id, ending);
        let start = self.start();
        writer.first_undecided = producers.first_undecided(start);
        writer.uncommitted = producers.uncommitted(start);
        drop(producers);
        self.move_stable(&writer);
        if let Some(slot) = self.shown.get() {
            slot.move_stable(writer.uncommitted.unwrap_or(self.end()));
        }
        drop(writer);
        self.watchers.raise();
        was_open
    }

    #[inline]
    pub(in crate::log) fn move_stable(&self, writer: &Writer) {
        self.offsets.move_stable(writer.first_undecided.unwrap_or(self.end()));
    }

    /// The log starts somewhere else: what was taken out whole is in nobody's way any more, in another process neither.
    pub(in crate::log) fn note_start(&self, writer: &mut Writer) {
        writer.uncommitted = self.producers.lock().uncommitted(self.start());
        self.show_durable();
        self.watchers.raise();
    }

    /// Everything below belongs to no transaction, or to one whose end is decided.
    pub(crate) fn stable(&self) -> Offset {
        self.offsets.stable()
    }

    /// Everything below belongs to no transaction, to one that has its end in the log, or to one that is decided and was taken out whole.
    pub(crate) fn finished(&self) -> Offset {
        self.finished_by(|producers| producers.unfinished_from(self.start()))
    }

    /// Everything below is synced, and of no transaction that a power cut may take back whatever was decided, as it has no end in the log.
    pub(crate) fn kept(&self) -> Offset {
        match &self.follow {
            // As its owner shows it, or its files tell. It is shown by itself: the end of a transaction that it goes by may stand behind the bytes
            // that are shown, and only what is stable has its end among these.
            Some(follow) => follow.kept.load(Ordering::Acquire).min(self.durable()).min(self.stable()),
            None => self.durable().min(self.finished()),
        }
    }

    /// The same, but that what was taken out has its end in the log, too.
    pub(crate) fn ended(&self) -> Offset {
        self.finished_by(ProducerTable::unfinished)
    }

    fn finished_by(&self, unfinished: impl FnOnce(&ProducerTable) -> Option<Offset>) -> Offset {
        // In this order: what is begun later begins at this end or behind it.
        let end = self.end();
        if self.follow.is_some() {
            // Its owner shows no more as stable.
            return self.stable();
        }
        unfinished(&self.producers.lock()).unwrap_or(end)
    }

    /// Whether it may start there: no transaction whose records it would have a part of lacks its end. Of one that lies below it,
    /// decided, the end is written later; records that are gone need none to be read.
    pub(in crate::log) fn may_start_at(&self, offset: Offset) -> bool {
        self.producers.lock().may_start_at(self.start(), offset)
    }

    /// Keeps compaction from what stands from `offset` on.
    pub(crate) fn keep_from(&self, offset: Offset) {
        if self.kept_from.load(Ordering::Acquire) >= 0 {
            self.kept_from.store(offset, Ordering::Release);
        }
    }

    /// The same of what stands from `offset` on, whatever else is kept.
    pub(crate) fn keep_at_least_from(&self, offset: Offset) {
        self.kept_from.fetch_min(offset, Ordering::AcqRel);
    }

    /// Keeps compaction from all of it, until the log is opened again.
    pub(crate) fn keep_all(&self) {
        self.kept_from.store(-1, Ordering::Release);
    }

    /// Has transactions that are decided get their ends in the log, once everything that they rest on is durable, elsewhere too. What keeps
    /// others from theirs is no failure of this.
    pub(crate) fn write_decided(&self) -> Result<()> {
        self.check_process()?;
        if !self.producers.lock().is_any_decided() {
            return Ok(());
        }
        self.clearing.write_decided().or_else(|not_ended| not_ended.of(self.decided_below(Offset::MAX)))
    }

    /// Those without an end in the log that are decided, begin below `before`, and were not taken out whole.
    pub(in crate::log) fn decided_below(&self, before: Offset) -> impl Iterator<Item = TransactionId> {
        let (start, mut open) = (self.start(), self.open_transactions());
        open.retain(|one| one.decided.is_some() && one.first < before && one.last >= start);
        open.into_iter().map(|one| one.id())
    }

    /// Whether the transaction has records here and no end.
    pub(crate) fn lacks_end(&self, of: TransactionId) -> bool {
        self.producers.lock().open_of(of.producer_id).is_some_and(|open| open.id() == of)
    }

    /// Whether producers with an id have written here, not long ago.
    pub(crate) fn knows_producers(&self) -> bool {
        !self.producers.lock().is_empty()
    }

    /// Transactions that have no end in the log.
    pub(crate) fn open_transactions(&self) -> Vec<OpenTransaction> {
        self.producers.lock().open_transactions()
    }

    /// The transactions whose ABORT marker a segment holds.
    pub(in crate::log) fn aborted_in(
        &self,
        list: &SegmentList,
        segment: &Arc<Segment>,
    ) -> Result<Arc<Vec<AbortedTransaction>>> {
        self.catch_up_aborted(segment)?;
        if let Some(aborted) = segment.aborted()? {
            return Ok(aborted);
        }
        // The index is gone. What began in earlier segments may have ended in this one, so all are walked.
        let mut table = ProducerTable::default();
        for one in list.iter() {
            let aborted = replay(one, &mut table, 0)?;
            if Arc::ptr_eq(one, segment) {
                segment.set_aborted(aborted);
                break;
            }
        }
        Ok(segment.aborted()?.unwrap_or_default())
    }

    /// Makes all indexes of aborted transactions that are gone, in one walk.
    pub(in crate::log) fn make_aborted(&self, list: &SegmentList) -> Result<()> {
        let mut is_all_there = true;
        for one in list.iter() {
            self.catch_up_aborted(one)?;
            is_all_there &= one.aborted()?.is_some();
        }
        if is_all_there {
            return Ok(());
        }
        let mut table = ProducerTable::default();
        for one in list.iter() {
            let aborted = replay(one, &mut table, 0)?;
            if one.aborted()?.is_none() {
                one.set_aborted(aborted);
            }
        }
        Ok(())
    }

    /// Removes snapshots that nobody needs any more. They are in nobody's way if that fails.
    pub(in crate::log) fn remove_old_snapshots(&self, named: Option<Offset>) {
        // Somebody who copies the log may need one that was named before.
        if let Some(named) = named.filter(|_| !self.is_held()) {
            drop(snapshot_file::remove_old(&self.directory, named));
        }
    }
}

/// Takes in what a segment holds from `from` on; says which transactions were aborted in it.
pub(in crate::log) fn replay(
    segment: &Arc<Segment>,
    table: &mut ProducerTable,
    from: Offset,
) -> Result<Vec<AbortedTransaction>> {
    let mut aborted = Vec::new();
    let mut cursor = segment.from_start();
    while let Some(batch) = cursor.next_batch()? {
        let header = batch.header();
        if header.producer_id < 0 || header.base_offset < from {
            continue;
        }
        BatchHeader::verify_crc(batch.bytes())
            .map_err(|malformed| segment.log().damaged(batch.position(), header.base_offset, malformed))?;
        aborted.extend(table.replay(header, batch.body()));
    }
    Ok(aborted)
}
