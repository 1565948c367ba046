//! Reading chosen events from the last one on.

use std::sync::Arc;

use crate::error::Result;
use crate::log::{ContentBackwards, Isolation, Selection};
use crate::topic::{OwnedRecord, Partition, PartitionRecords, Records};
use crate::types::{Offset, TopicPartition};

/// Iterates over copies of chosen events, the last one first. An error is the last item.
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
    is_over: bool,
}

impl EventsBackwards {
    pub(super) fn new(partition: &Partition, selection: &Arc<Selection>, below: Offset) -> Result<Self> {
        let log = partition.log();
        log.check_open()?;
        log.check_key_index()?;
        log.write_for((below, below))?;
        let reader = ContentBackwards::new(log, Arc::clone(selection), (0, below), Isolation::ReadCommitted);
        Ok(Self { place: partition.topic_partition().clone(), reader, is_over: false })
    }
}

impl Iterator for EventsBackwards {
    type Item = Result<OwnedRecord>;

    fn next(&mut self) -> Option<Result<OwnedRecord>> {
        if self.is_over {
            return None;
        }
        match self.reader.fetch() {
            Ok(Some(slice)) => {
                let records = Records::new(vec![PartitionRecords::new(self.place.clone(), vec![slice])]);
                records.iter().next().map(|record| Ok(record.to_owned()))
            }
            Ok(None) => {
                self.is_over = true;
                None
            }
            Err(error) => {
                self.is_over = true;
                Some(Err(error))
            }
        }
    }
}
