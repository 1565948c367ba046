//! Filling a partition of annals by batches.

use annals::{Durability, Partition, Record};

use crate::harness::Outcome;
use crate::payload::Payloads;

/// Records in a batch.
pub(crate) const LOG_BATCH: usize = 100;

/// Appends the first `records` payloads at `Os`.
pub(crate) fn append_batches(partition: &Partition, payloads: &Payloads, records: usize) -> Outcome {
    for first in (0..records).step_by(LOG_BATCH) {
        let batch: Vec<_> = (first..records.min(first + LOG_BATCH))
            .map(|number| Record::new().value(payloads.get(number)))
            .collect();
        partition.append(&batch, Durability::Os)?;
    }
    Ok(())
}
