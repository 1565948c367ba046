//! Who writes a transaction.

use crate::format::{EndMarker, Ending, ProducerStamp};
use crate::io::random_id;
use crate::log::TransactionId;

/// The greatest epoch in which a transaction may begin: its end has one more.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// A producer id in one of its epochs: names one transaction, in every partition.
///
/// Ids are random, of 62 bits, the first one of a name; those that it needs beside that follow it. Nobody has to note which were given out, and those of a cluster, which are counted from 0, are
/// others: files may go there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProducerId {
    pub(super) id: i64,
    pub(super) epoch: i16,
}

impl ProducerId {
    /// One that nobody else has.
    pub(super) fn fresh() -> Self {
        Self { id: i64::try_from(random_id() >> 66).unwrap_or(i64::MAX), epoch: 0 }
    }

    /// A new one of the same name: ids of two names do not come near each other.
    pub(super) fn beside(self) -> Option<Self> {
        self.id.checked_add(1).map(|id| Self { id, epoch: 0 })
    }

    /// The one for the next transaction, once this one has its end in every partition; `None` when its epochs are used up.
    pub(super) fn next(self) -> Option<Self> {
        (self.epoch < LAST_EPOCH - 1).then(|| Self { epoch: self.epoch + 1, ..self })
    }

    /// Its transaction, as others know it.
    pub(super) fn transaction(self) -> TransactionId {
        TransactionId { producer_id: self.id, producer_epoch: self.epoch }
    }

    /// What its batches bear whose first record is number `base_sequence` of the partition.
    pub(super) fn stamp(self, base_sequence: i32) -> ProducerStamp {
        ProducerStamp {
            producer_id: self.id,
            producer_epoch: self.epoch,
            base_sequence,
            is_transactional: true,
        }
    }

    /// The end of its transaction: in the next epoch, so that nothing can be added to it.
    pub(super) fn marker(self, ending: Ending) -> EndMarker {
        EndMarker {
            producer_id: self.id,
            producer_epoch: self.epoch.saturating_add(1),
            ending,
            coordinator_epoch: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_positive_and_differ_and_epochs_come_to_an_end() {
        let (one, other) = (ProducerId::fresh(), ProducerId::fresh());
        assert!(one.id >= 0 && one.id != other.id);
        assert_eq!(one.next(), Some(ProducerId { epoch: 1, ..one }));
        let last = ProducerId { epoch: LAST_EPOCH - 1, ..one };
        assert_eq!(last.next(), None);
        assert_eq!(last.marker(Ending::Commit).producer_epoch, LAST_EPOCH);
    }
}
