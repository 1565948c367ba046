//! Aborting one transaction, and no other, for those who look after them.

use std::sync::Arc;

use crate::transaction::coordinator::Transactions;
use crate::transaction::ids::ProducerId;
use crate::transaction::names::Named;

/// The result of [`Store::abort_transaction`](crate::Store::abort_transaction).
///
/// ```
/// fn is_to_be_asked_again(found: annals::AbortOutcome) -> bool {
///     found == annals::AbortOutcome::Busy
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbortOutcome {
    /// Nothing of it takes effect. Readers skip it from now on; its calls return [`TransactionAborted`](crate::Error::TransactionAborted),
    /// and the consumer whose offsets it had is free.
    Aborted,
    /// Nothing has changed: it was committed or aborted before, or nothing was ever written of it.
    Over,
    /// Nothing has changed: a call of it is under way, a commit or a send, which may wait for room or for a disk. Call again; a transaction
    /// whose commit was called in time cannot be ended by anyone else.
    Busy,
    /// Nothing has changed: its commit has returned [`Undecided`](crate::Error::Undecided), or it depends on a topic that cannot be opened.
    /// It is decided when the store is opened again.
    Undecided,
}

impl Transactions {
    /// Aborts that transaction, if it is open.
    pub(crate) fn abort_open(self: &Arc<Self>, id: i64, epoch: i16) -> AbortOutcome {
        let producer = ProducerId { id, epoch };
        let is_its = |named: &&Arc<Named>| named.begun().is_some_and(|begun| begun.producer == producer);
        let named = self.names.lock().values().find(is_its).cloned();
        if let Some(named) = named {
            // Whoever holds it may wait for room, or for a disk.
            let Some(mut state) = named.state.try_lock() else { return AbortOutcome::Busy };
            let aborted = state.abort(producer, &named.name);
            let commits = state.open.as_ref().is_some_and(|open| open.producer == producer);
            drop(state);
            if let Some(open) = aborted {
                self.give_up(&named, open);
                return AbortOutcome::Aborted;
            }
            if commits {
                return AbortOutcome::Busy;
            }
        }
        if self.is_undecided(producer) { AbortOutcome::Undecided } else { AbortOutcome::Over }
    }
}
