//! Outcomes of sends and look-ups.

use std::ops::RangeInclusive;

use crate::types::{Offset, Timestamp};

/// Where one record was appended in its topic.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let at = store.producer().send(Record::to("orders").value("2 apples"))?;
/// assert_eq!((at.partition, at.offset), (0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordMetadata {
    /// The partition.
    pub partition: u32,
    /// The record's offset there.
    pub offset: Offset,
    /// The record's timestamp, Unix milliseconds.
    pub timestamp: Timestamp,
}

/// Where a batch was appended in its topic. Its records have consecutive offsets.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let batch = [Record::to("orders").value("2 apples"), Record::to("orders").value("1 pear")];
/// let at = store.producer().send_batch(&batch)?;
/// assert_eq!(at.offsets(), 0..=1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchMetadata {
    /// The partition.
    pub partition: u32,
    /// The offset of the first record.
    pub first_offset: Offset,
    /// The offset of the last record.
    pub last_offset: Offset,
    /// The timestamp of the last record, Unix milliseconds.
    pub timestamp: Timestamp,
}

impl RecordMetadata {
    pub(crate) fn new(partition: u32, offset: Offset, timestamp: Timestamp) -> Self {
        Self { partition, offset, timestamp }
    }
}

impl BatchMetadata {
    pub(crate) fn new(
        partition: u32,
        (first_offset, last_offset): (Offset, Offset),
        timestamp: Timestamp,
    ) -> Self {
        Self { partition, first_offset, last_offset, timestamp }
    }
}

impl BatchMetadata {
    /// Returns the offsets of the records, in their order.
    pub fn offsets(&self) -> RangeInclusive<Offset> {
        self.first_offset..=self.last_offset
    }
}
