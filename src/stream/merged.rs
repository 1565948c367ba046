//! The events of all partitions of a topic in one row.

use std::iter::Peekable;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::Selection;
use crate::stream::reader::{EventReader, OwnedEvents};
use crate::topic::{OwnedRecord, Topic};
use crate::types::{Offset, Query};

/// Iterates over copies of the events of all partitions of a topic, by their time: of the next events of each partition, the one with the
/// lowest timestamp comes first; if timestamps are equal, the one of the lower partition. An error is the last item.
///
/// Events of one partition keep their order, whatever their times are. Between two partitions only the times say what came
/// first: if that has to be certain, one partition orders everything in it.
///
/// ```
/// # use annals::{Durability, Query, Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let orders = store.create_topic("orders", TopicConfig::new().partitions(2))?;
/// for (partition, time) in [(0, 1_000), (1, 2_000), (0, 3_000)] {
///     orders.partition(partition)?.append(&[Record::new().timestamp(time)], Durability::Os)?;
/// }
/// let times: Vec<_> = orders.select(&Query::all())?.map(|event| event.unwrap().timestamp).collect();
/// assert_eq!(times, [1_000, 2_000, 3_000]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MergedEvents {
    partitions: Vec<Peekable<OwnedEvents>>,
    is_over: bool,
}

impl Topic {
    /// Reads the events of all partitions that match a query, ordered by time, as far as they are there now.
    ///
    /// # Errors
    /// As for [`Partition::select`](crate::Partition::select).
    pub fn select(&self, query: &Query) -> Result<MergedEvents> {
        self.check_process()?;
        let selection = Arc::new(Selection::query(query));
        let readers = self.partitions().into_iter().map(|partition| {
            if !matches!(*selection, Selection::All) {
                partition.log().check_key_index()?;
            }
            partition.log().write_accepted()?;
            // Where each ends is fixed before the first is read: the walk comes to an end.
            let until: Offset = partition.stable();
            EventReader::new(&partition, &selection, (0, until)).map(|reader| reader.into_iter().peekable())
        });
        Ok(MergedEvents { partitions: readers.collect::<Result<_>>()?, is_over: false })
    }
}

impl Iterator for MergedEvents {
    type Item = Result<OwnedRecord>;

    fn next(&mut self) -> Option<Result<OwnedRecord>> {
        if self.is_over {
            return None;
        }
        let mut failure: Option<Error> = None;
        let mut least: Option<(i64, &mut Peekable<OwnedEvents>)> = None;
        for events in &mut self.partitions {
            let timestamp = match events.peek() {
                None => continue,
                Some(Ok(event)) => event.timestamp,
                Some(Err(error)) => {
                    failure = Some(error.clone());
                    break;
                }
            };
            if least.as_ref().is_none_or(|(known, _)| timestamp < *known) {
                least = Some((timestamp, events));
            }
        }
        let next = match failure {
            Some(error) => Some(Err(error)),
            None => least.and_then(|(_, events)| events.next()),
        };
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}
