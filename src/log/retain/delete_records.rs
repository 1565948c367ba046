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
use crate::types::Offset;

/// How long a deletion waits for ends of transactions that another thread is writing.
const ENDS_WAIT: Duration = Duration::from_secs(1);

/// What [`Partition::delete_records`](crate::Partition::delete_records) took out.
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
    /// First offset that may be read now.
    pub start: Offset,
    /// Whole segments removed.
    pub segments: usize,
    /// Bytes that the partition has less.
    pub bytes: u64,
    /// Whether all that was deleted is off the disk. False where a file could not be removed, or the one in which the partition now
    /// starts not be rewritten, as on a full disk: nobody reads any of it, and maintenance tries again until it is gone, and reports
    /// its failures.
    pub is_freed: bool,
}

impl Log {
    /// Deletes everything below `before`; an offset at or below the start deletes nothing. Nothing below `before` can be
    /// read again, whatever crashes, and its bytes are gone: whole segments are removed, and the one in which the log now
    /// starts is rewritten without the batches that lie wholly below. The batch that holds `before` stays whole.
    ///
    /// What a layer above needs of these records is waited for, under no lock.
    ///
    /// After an error nothing is deleted, unless the log is poisoned. What could not be taken off the disk is owed.
    pub(crate) fn delete_records(self: &Arc<Self>, before: Offset) -> Result<DeleteReport> {
        loop {
            if let Some(report) = self.delete_unneeded(before)? {
                return Ok(report);
            }
            self.before_removal_below(before)?;
        }
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
        let open = self.opened(&mut writer)?;
        // The active segment cannot be cut at its beginning: it is sealed, and then is one like any other.
        if open.active.base() < before && open.active.bytes() > 0 {
            self.roll_to_take_out(open)?;
        }
        let sealed = &open.state.state().sealed;
        let segments = sealed.iter().take_while(|segment| segment.next_offset <= before).count();
        self.take_out(open, segments, before)?;
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
