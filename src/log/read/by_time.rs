//! Finding records by time.

use std::sync::Arc;

use crate::error::Result;
use crate::log::log::Log;
use crate::log::read::{FetchLimits, Isolation, OnDamage, Reader, Visibility};
use crate::log::segment_list::SegmentList;
use crate::segment::Segment;
use crate::types::{Offset, Timestamp};

/// The offset and timestamp of a record that was looked up by time.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let topic = store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").timestamp(7_000))?;
/// let found = topic.partition(0)?.offset_for_time(5_000)?.unwrap();
/// assert_eq!((found.offset, found.timestamp), (0, 7_000));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffsetAndTimestamp {
    /// The record's offset.
    pub offset: Offset,
    /// Its timestamp, Unix milliseconds.
    pub timestamp: Timestamp,
}

impl Log {
    /// The earliest offset whose record has a timestamp of `timestamp` or later; not the closest timestamp.
    pub(crate) fn offset_for_time(
        self: &Arc<Self>,
        timestamp: Timestamp,
    ) -> Result<Option<OffsetAndTimestamp>> {
        let end = self.end();
        let found = self.look_through(|list| self.search_all(list, timestamp))?;
        if found.is_some() {
            // All that is in memory lies behind it.
            return Ok(found);
        }
        self.write_accepted()?;
        if self.end() == end { Ok(None) } else { self.look_through(|list| self.search_all(list, timestamp)) }
    }

    fn search_all(
        self: &Arc<Self>,
        list: &SegmentList,
        timestamp: Timestamp,
    ) -> Result<Option<OffsetAndTimestamp>> {
        for segment in list.iter().filter(|segment| segment.max_timestamp() >= timestamp) {
            if let Some(found) = self.search(segment, timestamp)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn search(
        self: &Arc<Self>,
        segment: &Arc<Segment>,
        timestamp: Timestamp,
    ) -> Result<Option<OffsetAndTimestamp>> {
        let mut cursor = segment.seek_time(timestamp)?;
        while let Some(header) = cursor.peek()? {
            // A damaged time must not hide a record.
            cursor.check_next(&header)?;
            cursor.step_over(&header);
            if header.max_timestamp < timestamp || header.last_offset() < self.start() {
                continue;
            }
            let from = header.base_offset.max(self.start());
            let reader = Reader::new(Arc::clone(self), from, Visibility::Written, OnDamage::Fail);
            // Whoever reads committed records passes over the others from there.
            let mut reader = reader.isolation(Isolation::ReadUncommitted);
            let records = reader.fetch(FetchLimits { max_records: usize::MAX, max_bytes: 1 })?;
            let found =
                records.iter().flat_map(|slice| slice.iter()).find(|record| record.timestamp >= timestamp);
            if let Some(found) = found {
                return Ok(Some(OffsetAndTimestamp { offset: found.offset, timestamp: found.timestamp }));
            }
        }
        Ok(None)
    }
}
