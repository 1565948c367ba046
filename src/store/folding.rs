//! Taking over what other processes have done before the next round of maintenance.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::io::Deadline;
use crate::live::Owner;
use crate::locks::Mutex;
use crate::store::caretaker::Caretaker;

/// However fast others commit, it is done no more often.
const BETWEEN_FOLDS: Duration = Duration::from_secs(1);
/// What has failed is tried again at the earliest after so long, and in each round.
const AFTER_A_FAILURE: Duration = Duration::from_secs(60);

/// When commits may be taken over before a round.
#[derive(Debug)]
pub(super) struct Folds {
    not_before: Mutex<Deadline>,
}

impl Folds {
    pub(super) fn new() -> Self {
        Self { not_before: Mutex::new(Deadline::after(Duration::ZERO)) }
    }

    pub(super) fn note(&self, folded: &Result<()>) {
        let wait = if folded.is_ok() { BETWEEN_FOLDS } else { AFTER_A_FAILURE };
        *self.not_before.lock() = Deadline::after(wait);
    }
}

/// Has what another process has done taken over once it wishes for that: one that has a queue since, or whose commits have made the spool large.
pub(super) fn heed(care: &Arc<Caretaker>, owner: &Owner) {
    let care = Arc::downgrade(care);
    owner.on_wish(move || care.upgrade().into_iter().for_each(|care| care.fold_soon()));
}

impl Caretaker {
    /// It is called under the lock of a partition's writer: others do the work.
    fn fold_soon(&self) {
        self.queues.fold_soon();
        self.topics.agenda().fold_at(*self.folds.not_before.lock());
    }

    /// Not on the thread that writes lingers and syncs: it reads all of the spool, may wait for the process that commits, drops what was consumed, and
    /// calls the program when it fails.
    pub(super) fn fold_early(&self) -> Result<()> {
        let not_before = *self.folds.not_before.lock();
        if !not_before.has_passed() {
            // It was wished for in the middle of the one before.
            self.topics.agenda().fold_at(not_before);
            return Ok(());
        }
        // A few wait for the round.
        if self.groups.has_many_spooled() { self.fold_groups() } else { Ok(()) }
    }
}
