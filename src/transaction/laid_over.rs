//! What commits of offsets are laid over that is not durable yet.
//!
//! The later position of a group says of all below it that it is done, of what an earlier transaction has done, too. Where a power cut takes that
//! one back the later one must not stay: nobody would do that work again. So it rests on what the earlier one rests on, at `Os` as well, and
//! its decision names that.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::locks::Mutex;
use crate::log::TransactionId;
use crate::topic::Partition;
use crate::transaction::coordinator::Transactions;
use crate::transaction::finish::Ended;
use crate::transaction::round::Round;
use crate::types::Offset;

/// By transaction: what it rests on, the decision apart, which stands before any later one. For a moment alone, perhaps under the locks of
/// participants.
#[derive(Debug, Default)]
pub(super) struct LaidOver(Mutex<BTreeMap<TransactionId, Round>>);

impl LaidOver {
    /// Those that an earlier life has committed, and not ended.
    pub(super) fn found<'e>(ended: impl Iterator<Item = &'e Ended>) -> Self {
        let found = Self::default();
        ended.for_each(|one| found.note(one));
        found
    }

    /// A transaction is decided, before anybody sees it. One that follows from nothing has done no work of a group.
    pub(super) fn note(&self, ended: &Ended) {
        if ended.is_commit_with_inputs() {
            let mut rests_on = Round::default();
            ended.add_own(&mut rests_on);
            self.0.lock().insert(ended.producer.transaction(), rests_on);
        }
    }

    /// Adds what of these is not durable.
    pub(super) fn add(&self, transactions: impl Iterator<Item = TransactionId>, round: &mut Round) {
        let known = self.0.lock();
        if !known.is_empty() {
            transactions.filter_map(|one| known.get(&one)).for_each(|one| round.add_unsynced(one));
        }
    }

    /// The same as inputs, those apart of which `is_own` says that something of the later one stands behind them.
    pub(super) fn inputs(
        &self,
        transactions: impl Iterator<Item = TransactionId>,
        is_own: impl Fn(&Partition, Offset) -> bool,
    ) -> Vec<(Partition, Offset)> {
        let mut round = Round::default();
        self.add(transactions, &mut round);
        round.iter().filter(|(partition, last)| !is_own(partition, *last)).cloned().collect()
    }

    /// An error where something that one of these rests on cannot become durable before the store is opened again.
    fn check_sound(&self, transactions: impl Iterator<Item = TransactionId>) -> Result<()> {
        let mut round = Round::default();
        self.add(transactions, &mut round);
        round.check_sound()
    }

    pub(super) fn forget_durable(&self) {
        self.0.lock().retain(|_, rests_on| !rests_on.is_durable());
    }
}

impl Transactions {
    /// An error where one of these follows from what cannot become durable before the store is opened again: whatever rests on it is refused till then.
    pub(crate) fn check_kept(&self, transactions: impl Iterator<Item = TransactionId>) -> Result<()> {
        self.laid_over.check_sound(transactions)
    }
}
