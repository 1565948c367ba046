//! Taking over what other processes have done before the next round of maintenance.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::error::Result;
use crate::io::Deadline;
use crate::locks::{AtomicBool, Mutex, Ordering};
use crate::store::caretaker::Caretaker;
use crate::upkeep::{Chore, Reason};

/// However fast others commit, it is done no more often.
const BETWEEN_FOLDS: Duration = Duration::from_secs(1);
/// What has failed is tried again at the earliest after so long, and in each round.
const AFTER_A_FAILURE: Duration = Duration::from_secs(60);

/// It is put down when another process wishes for it: one that has a queue since, or whose commits have made the spool large.
#[derive(Debug)]
pub(super) struct FoldLater {
    care: Weak<Caretaker>,
    is_set: AtomicBool,
    not_before: Mutex<Deadline>,
}

impl FoldLater {
    pub(super) fn new(care: &Arc<Caretaker>) -> Arc<Self> {
        let not_before = Mutex::new(Deadline::after(Duration::ZERO));
        Arc::new(Self { care: Arc::downgrade(care), is_set: AtomicBool::new(false), not_before })
    }

    /// It may be called under the lock of a partition's writer.
    pub(super) fn soon(self: &Arc<Self>) {
        let Some(care) = self.care.upgrade() else { return };
        care.queues.fold_soon();
        if !self.is_set.swap(true, Ordering::AcqRel) {
            care.topics.agenda().add_timer(self, *self.not_before.lock());
        }
    }
}

impl Chore for FoldLater {
    fn run(self: Arc<Self>, _reason: Reason) -> Result<()> {
        self.is_set.store(false, Ordering::Release);
        let Some(care) = self.care.upgrade().filter(|care| care.groups.has_many_spooled()) else {
            return Ok(());
        };
        let folded = care.fold_groups();
        let wait = if folded.is_ok() { BETWEEN_FOLDS } else { AFTER_A_FAILURE };
        *self.not_before.lock() = Deadline::after(wait);
        folded
    }
}
