//! What a commit answers.

use crate::types::{Offset, Timestamp, TopicPartition};

/// What a transaction has put where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// In the order of the partitions. Several of one partition if it was written to before the commit.
    pub batches: Vec<CommittedBatch>,
}

/// Records of a transaction in one partition, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommittedBatch {
    /// Where they are.
    pub topic_partition: TopicPartition,
    /// Offset of the first record.
    pub first_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// Timestamp of the last record, Unix milliseconds.
    pub timestamp: Timestamp,
}
