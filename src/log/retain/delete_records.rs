//! Deleting the beginning of a log on demand.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::log::log::Log;
use crate::log::patience::Patience;
use crate::log::producers::clearing::TransactionId;
use crate::log::signal::Signal;
use crate::log::write::accumulator::Take;
use crate::log::write::writer::Writer;
use crate::types::Offset;

/// How long a deletion waits for ends of transactions that another thread is writing.
const ENDS_WAIT: Duration = Duration::from_secs(1);

/// What [`Partition::delete_records`](crate::Partition::delete_records) removed.
///
/// ```
/// # use annals::{Durability, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let partition = store.create_topic("clicks", TopicConfig::new())?.partition(0)?;
/// partition.append(&[Record::new().value("a"), Record::new().value("b")], Durability::Os)?;
/// let deleted = partition.delete_records(1)?;
/// assert_eq!((deleted.start, partition.start(), partition.end()), (1, 1, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteReport {
    /// The first offset that may be read now.
    pub start: Offset,
    /// Whole segments that were removed.
    pub segments: usize,
    /// Bytes by which the partition became smaller.
    pub bytes: u64,
    /// Whether everything that was deleted is off the disk. False if a file could not be removed, or if the one in which the partition
    /// now starts could not be rewritten, as on a full disk: nobody can read what is left, and maintenance tries again until it is gone
    /// and reports its failures.
    pub is_freed: bool,
}

impl DeleteReport {
    /// What has gone before that, too.
    fn and(self, next: Self) -> Self {
        let is_freed = self.is_freed && next.is_freed;
        Self { segments: self.segments + next.segments, bytes: self.bytes + next.bytes, is_freed, ..next }
    }
}

impl Log {
    /// Deletes everything below `before`; an offset at or below the start deletes nothing. Nothing below `before` can be
    /// read again, whatever crashes, and its bytes are gone: whole segments are removed, and the one in which the log now
    /// starts is rewritten without the batches that lie wholly below. The batch that holds `before` stays whole.
    ///
    /// What a layer above needs of these records is waited for, under no lock.
    ///
    /// After an error nothing is deleted, unless the log is poisoned, or a disk is full: then whole segments below `before` may have gone, to make
    /// room for the rest of it. What could not be taken off the disk is owed.
    pub(crate) fn delete_records(self: &Arc<Self>, before: Offset) -> Result<DeleteReport> {
        let mut full = None;
        let outcome = self.delete_making_room(before, &mut full);
        outcome.map_err(|error| match full {
            // Whoever reads of a full disk knows that segments may have gone, whatever came after it.
            Some(first) if self.poison.get().is_none() => first,
            _ => error,
        })
    }

    /// The same; `full` is the first error for want of room after which segments have gone.
    fn delete_making_room(
        self: &Arc<Self>,
        before: Offset,
        full: &mut Option<Error>,
    ) -> Result<DeleteReport> {
        let mut gone = DeleteReport { start: self.start(), segments: 0, bytes: 0, is_freed: true };
        loop {
            match self.delete_unneeded(before) {
                Ok(Some(report)) => return Ok(gone.and(report)),
                Ok(None) => self.before_removal_below(before)?,
                Err(error) if error.is_disk_full() && self.poison.get().is_none() => {
                    let made = self.make_room_below(before)?;
                    if made.segments == 0 {
                        return Err(error);
                    }
                    gone = gone.and(made);
                    full.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What is sealed and lies whole below `before` goes, as far as nobody needs it and no transaction reaches beyond: what else it takes to
    /// delete the rest has no room.
    fn make_room_below(self: &Arc<Self>, before: Offset) -> Result<DeleteReport> {
        let mut writer = self.writer.lock();
        let free = before.min(self.needed_from()).min(self.finished());
        let (segments, start) = self.sealed_below(&writer, free)?;
        let bytes = self.bytes();
        if segments > 0 {
            self.take_out(&mut writer, segments, start)?;
            self.note_start(&mut writer);
        }
        drop(writer);
        let is_freed = self.remove_obsolete_or_owe();
        let bytes = bytes.saturating_sub(self.bytes());
        self.note_reclaimed(bytes);
        Ok(DeleteReport { start: self.start(), segments, bytes, is_freed })
    }

    /// How many sealed segments lie whole below an offset, and where the last of them ends.
    fn sealed_below(&self, writer: &Writer, before: Offset) -> Result<(usize, Offset)> {
        let state = writer.phase.state().ok_or_else(|| self.closed())?;
        let ends = state.sealed.iter().map(|segment| segment.next_offset);
        let below: Vec<_> = ends.take_while(|end| *end <= before).collect();
        Ok((below.len(), below.last().copied().unwrap_or(state.log_start)))
    }

    /// The same; `None` where a layer above needs a record of these. Nothing is deleted then.
    fn delete_unneeded(self: &Arc<Self>, before: Offset) -> Result<Option<DeleteReport>> {
        self.check_poison()?;
        self.check_not_held()?;
        let unended = self.end_below(before)?;
        let mut writer = self.writer.lock();
        self.write_with(&mut writer, Take::All);
        if before > self.end() {
            return Err(self.out_of_range(before));
        }
        if before <= self.start() {
            let (start, is_freed) = (self.start(), true);
            return Ok(Some(DeleteReport { start, segments: 0, bytes: 0, is_freed }));
        }
        // Whoever asked for all below may have asked before some of it was sent.
        if self.needed_from() < before {
            return Ok(None);
        }
        let finished = self.finished();
        if before > finished
            && !(self.may_start_at(before) && self.decided_below(before).all(|one| unended.contains(&one)))
        {
            return Err(Error::invalid(format!(
                "a transaction has records in {} from offset {finished} on, and no end yet",
                self.topic_partition
            )));
        }
        let bytes = self.bytes();
        // What is sealed is on the disk, and goes also where nobody has appended yet.
        if before > self.sealed_below(&writer, Offset::MAX)?.1 {
            let open = self.opened(&mut writer)?;
            // The active segment cannot be cut at its beginning: it is sealed, and then is one like any other.
            if open.active.base() < before && open.active.bytes() > 0 {
                self.roll_to_take_out(open)?;
            }
        }
        let (segments, _) = self.sealed_below(&writer, before)?;
        self.take_out(&mut writer, segments, before)?;
        self.note_start(&mut writer);
        drop(writer);
        // From here on it holds, whatever becomes of the files.
        let is_freed = self.free_deleted().is_ok();
        let bytes = bytes.saturating_sub(self.bytes());
        self.note_reclaimed(bytes);
        Ok(Some(DeleteReport { start: self.start(), segments, bytes, is_freed }))
    }

    /// The same, but that those need no end which the deletion takes out whole: where theirs cannot be written, as on a full disk, they have to
    /// survive a power cut, or somebody might make them once more, and have their ends later. Says which.
    fn end_below(self: &Arc<Self>, before: Offset) -> Result<BTreeSet<TransactionId>> {
        let written = self.write_ends_below(before);
        if before <= self.start() {
            return Ok(BTreeSet::new());
        }
        if before <= self.finished() || !self.may_start_at(before) {
            return written.map(|()| BTreeSet::new());
        }
        let unended: BTreeSet<_> = self.decided_below(before).collect();
        self.settle_through(before - 1)?;
        Ok(unended)
    }

    /// Transactions that are decided get their ends into the log first, if they are all that is in the way.
    fn write_ends_below(self: &Arc<Self>, before: Offset) -> Result<()> {
        self.write_accepted()?;
        let is_due = || before > self.finished() && before <= self.stable();
        if !is_due() {
            return Ok(());
        }
        let signal = Arc::new(Signal::default());
        self.watch(&signal);
        let mut patience = Patience::new(ENDS_WAIT);
        let outcome = loop {
            let raised = signal.raised();
            // What keeps others from their ends is in nobody's way here.
            let written = self.clearing.write_decided();
            let written = written.or_else(|not_ended| not_ended.of(self.decided_below(before)));
            // Another thread may be about to write them: then nothing was left to write here.
            if written.is_err() || !is_due() || !patience.waits(&signal, raised) {
                break written;
            }
        };
        self.unwatch(&signal);
        outcome
    }
}
