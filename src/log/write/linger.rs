//! How long records stay in memory that nobody waits for: until the earliest deadline of any of them.

use std::sync::Arc;

use crate::error::Result;
use crate::io::Deadline;
use crate::log::log::Log;
use crate::upkeep::{Chore, Reason};

impl Log {
    /// Records in memory are to be written at `deadline`. Says how many partitions have such records when this one was not
    /// known for it, or not for so early a time.
    pub(in crate::log) fn linger_until(self: &Arc<Self>, deadline: Deadline) -> Option<usize> {
        let mut standing = self.linger.lock();
        match *standing {
            Some(ticket) if ticket.deadline() <= deadline => return None,
            Some(later) => self.agenda.remove_lingering(later),
            None => {}
        }
        let (ticket, lingering) = self.agenda.add_lingering(self, deadline);
        *standing = Some(ticket);
        Some(lingering)
    }

    /// The agenda has called. What was written meanwhile may have left records that came later, and have their time still.
    fn end_linger(self: &Arc<Self>, reason: Reason) {
        *self.linger.lock() = None;
        let Some(deadline) = self.accumulator.lock().linger_ends() else { return };
        if reason == Reason::Due && !deadline.has_passed() {
            self.linger_until(deadline);
        } else {
            self.write_queued();
        }
    }
}

impl Chore for Log {
    fn run(self: Arc<Self>, reason: Reason) -> Result<()> {
        match reason {
            Reason::Due | Reason::Room => {
                self.end_linger(reason);
                Ok(())
            }
            Reason::Sync => self.sync_in_background(),
            Reason::Awaited => self.flush_for_others(),
        }
    }
}
