//! Which records belong to a transaction that was aborted.

use crate::format::AbortedTransaction;
use crate::types::Offset;

/// The aborted transactions with records in a range of offsets. Of one producer they never overlap, so producer and offset
/// name at most one: no order of reading is needed to find it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AbortedRange {
    /// By producer, then by first offset.
    sorted: Vec<AbortedTransaction>,
}

impl AbortedRange {
    /// Gathers those with records in `from..until` from the indexes of the segments in their order, the first being the one
    /// that holds `from`. A marker stands in the segment it was written to, which may be any after that of the records.
    pub(crate) fn gather<E>(
        from: Offset,
        until: Offset,
        mut indexes: impl Iterator<Item = Result<impl AsRef<Vec<AbortedTransaction>>, E>>,
    ) -> Result<Self, E> {
        let mut sorted = Vec::new();
        let mut is_complete = false;
        while !is_complete && let Some(index) = indexes.next() {
            for entry in index?.as_ref() {
                if entry.last >= from && entry.first < until {
                    sorted.push(*entry);
                }
                // From here on every marker is of a transaction that begins behind the range.
                is_complete |= entry.stable >= until;
            }
        }
        sorted.sort_unstable_by_key(|entry| (entry.producer_id, entry.first));
        Ok(Self { sorted })
    }

    /// Whether the record of `offset` that this producer wrote in a transaction is not to be read.
    pub(crate) fn holds(&self, producer_id: i64, offset: Offset) -> bool {
        let after =
            self.sorted.partition_point(|entry| (entry.producer_id, entry.first) <= (producer_id, offset));
        let entry = after.checked_sub(1).and_then(|at| self.sorted.get(at));
        entry.is_some_and(|entry| entry.holds(producer_id, offset))
    }
}
