//! What a layer above needs of records before they may go.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::{Deadline, pause};
use crate::locks::{MutexGuard, Ordering};
use crate::log::log::Log;
use crate::types::Offset;

/// How long a call that takes records out waits for whoever has sent one of them and not yet said what is needed of it.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(1);

impl Log {
    /// Has what the layers above know of records that may go, and that is to outlive them, need them no more. Called under no lock.
    pub(crate) fn before_removal(self: &Arc<Self>) -> Result<()> {
        self.check_process()?;
        self.clearing.before_removal(&self.topic_partition)
    }

    /// Has the layers above see that records may have gone. Called under no lock.
    pub(crate) fn after_removal(&self) {
        self.clearing.after_removal(&self.topic_partition);
    }

    /// Keeps retention, compaction and appends that make room from what stands from `offset` on, and from what is kept already, until
    /// [`need_only_from`](Self::need_only_from).
    pub(crate) fn need_from(&self, offset: Offset) {
        self.needed_from.fetch_min(offset, Ordering::AcqRel);
    }

    /// What stands below `offset` is not needed any more.
    pub(crate) fn need_only_from(&self, offset: Offset) {
        self.needed_from.store(offset, Ordering::Release);
    }

    /// Whoever appends a record that is needed holds the accumulator: it is kept before anybody sees it, until [`has_arrived`](Self::has_arrived).
    pub(in crate::log) fn arrives_at(&self, offset: Offset) {
        self.arriving_from.store(offset, Ordering::Release);
    }

    /// Of the last record that was appended as needed it is said what is needed, or it was not appended.
    pub(crate) fn has_arrived(&self) {
        self.arriving_from.store(Offset::MAX, Ordering::Release);
    }

    /// Everything below may go, as far as the layers above are concerned; the largest offset there is where they need nothing. Asked for after
    /// the look at what is to go.
    pub(in crate::log) fn needed_from(&self) -> Offset {
        // In this order: a record is needed before it has arrived.
        let arriving = self.arriving_from.load(Ordering::Acquire);
        arriving.min(self.needed_from.load(Ordering::Acquire))
    }

    /// The same as [`before_removal`](Self::before_removal) for all that stands below `below`, also where it was appended meanwhile: returns
    /// when nothing there is needed.
    pub(crate) fn before_removal_below(self: &Arc<Self>, below: Offset) -> Result<()> {
        let deadline = Deadline::after(LONGEST_WAIT);
        loop {
            self.check_open()?;
            self.before_removal()?;
            if self.needed_from() >= below {
                return Ok(());
            }
            if deadline.has_passed() {
                let busy = std::io::Error::from(std::io::ErrorKind::WouldBlock);
                return Err(Error::io(
                    self.directory.path(),
                    "take records out, for others need them, in",
                    busy,
                ));
            }
            pause(MOMENT);
        }
    }

    /// The same for all that is sealed: keeps others from rewriting, and says where the active segment begins then. Both are of one
    /// moment: a compaction in between may join what was sealed before with what was sealed meanwhile.
    pub(in crate::log) fn begin_removal_of_sealed(self: &Arc<Self>) -> Result<(MutexGuard<'_, ()>, Offset)> {
        loop {
            self.before_removal_below(self.active_base())?;
            let rewriting = self.rewriting.lock();
            let below = self.active_base();
            if self.needed_from() >= below {
                return Ok((rewriting, below));
            }
        }
    }
}
