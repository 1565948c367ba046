//! What a commit answers.

use crate::types::{Offset, Timestamp, TopicPartition};

/// What a transaction has written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The batches in the order of the partitions. A partition has several if it was written to before the commit.
    pub batches: Vec<CommittedBatch>,
}

/// Consecutive records of a transaction in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedBatch {
    /// The partition they are in.
    pub topic_partition: TopicPartition,
    /// The offset of the first record.
    pub first_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The timestamp of the last record, Unix milliseconds.
    pub timestamp: Timestamp,
}
