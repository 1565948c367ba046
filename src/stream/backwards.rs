//! Reading chosen events from the last one on.

use std::sync::Arc;

use crate::error::Result;
use crate::log::{ContentBackwards, Isolation, Selection};
use crate::topic::{OwnedRecord, Partition, PartitionRecords, Records};
use crate::types::{Offset, TopicPartition};

/// Iterates over copies of selected events, the last one first. An error is the last item.
///
/// ```
/// # use annals::{Expected, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
/// orders.append_to("order-17", Expected::Any, &[Record::new().value("placed"), Record::new().value("paid")])?;
/// let offsets: Vec<_> = orders.stream("order-17")?.backwards()?.map(|event| event.unwrap().offset).collect();
/// assert_eq!(offsets, [1, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventsBackwards {
    place: TopicPartition,
    reader: ContentBackwards,
    /// Of the batch that was looked at last; the next one is last.
    fetched: Vec<OwnedRecord>,
    is_over: bool,
}

impl EventsBackwards {
    pub(super) fn new(
        partition: &Partition,
        selection: &Arc<Selection>,
        (from, below): (Offset, Offset),
    ) -> Result<Self> {
        let log = partition.log();
        log.check_open()?;
        log.check_key_index()?;
        log.write_for((below, below))?;
        let reader =
            ContentBackwards::new(log, Arc::clone(selection), (from, below), Isolation::ReadCommitted);
        Ok(Self { place: partition.topic_partition().clone(), reader, fetched: Vec::new(), is_over: false })
    }
}

impl EventsBackwards {
    /// What it hands out next lies below.
    pub(super) fn until(&self) -> Offset {
        self.reader.until()
    }

    fn take(&mut self) -> Result<Option<OwnedRecord>> {
        if let Some(next) = self.fetched.pop() {
            if self.reader.is_as_fetched()? {
                return Ok(Some(next));
            }
            // What was deleted or erased meanwhile is not handed out.
            self.fetched.clear();
            self.reader.seek_below(next.offset + 1);
        }
        let slices = self.reader.fetch()?;
        let records = Records::new(vec![PartitionRecords::new(self.place.clone(), slices)]);
        self.fetched.extend(records.iter().map(|record| record.to_owned()));
        self.fetched.reverse();
        Ok(self.fetched.pop())
    }
}

impl Iterator for EventsBackwards {
    type Item = Result<OwnedRecord>;

    fn next(&mut self) -> Option<Result<OwnedRecord>> {
        if self.is_over {
            return None;
        }
        let next = self.take().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}
