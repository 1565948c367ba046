//! Closing all partitions. Each that was appended to waits for several syncs; those of many partitions are waited for side by
//! side.

use crate::error::{Error, Result};
use crate::io::caught;
use crate::locks::Mutex;
use crate::topic::partition::Partition;
use crate::topic::topics::Topics;
use crate::upkeep::side_by_side;

impl Topics {
    /// Closes every partition. The first failure is returned, a loss of records before any other, a panic of the program's clock or files among them; the
    /// others are closed all the same, and none takes anything more.
    pub(crate) fn close(&self) -> Result<()> {
        let closed = Error::StoreClosed { path: self.root.path().to_path_buf() };
        // The directory is somebody else's from here on: not even a first commit may make a topic in it.
        let mut catalog = self.catalog.lock();
        catalog.forget_deleted([]);
        catalog.refuse(closed.clone());
        drop(catalog);
        drop(self.closed.set(closed.clone()));
        self.waiting.raise();
        // The store's own come last: what is owed to one of the others is written to them.
        let (own, others): (Vec<_>, Vec<_>) = self.all().into_iter().partition(|topic| topic.is_internal());
        let of = |topics: Vec<crate::topic::Topic>| -> Vec<_> {
            topics.into_iter().flat_map(|topic| topic.partitions()).collect()
        };
        let outcome = close_side_by_side(&of(others), &closed);
        of(own).iter().fold(outcome, |outcome, partition| outcome.and(close_one(partition, &closed)))
    }

    /// Ends the use of a store that was only read: nothing is written, and every handle says that it is closed.
    pub(crate) fn leave(&self) {
        let closed = Error::StoreClosed { path: self.root.path().to_path_buf() };
        drop(self.closed.set(closed.clone()));
        self.waiting.raise();
        let partitions = self.all().into_iter().flat_map(|topic| topic.partitions());
        partitions.for_each(|partition| partition.log().retire(closed.clone()));
    }
}

fn close_side_by_side(partitions: &[Partition], closed: &Error) -> Result<()> {
    let busy = partitions.iter().filter(|partition| partition.log().has_to_write_at_close()).count();
    let lost = Mutex::new(None);
    let outcome = side_by_side("annals-close", (partitions, busy), |partition| {
        let outcome = close_one(partition, closed);
        if let Err(error @ Error::Lost { .. }) = &outcome {
            lost.lock().get_or_insert_with(|| error.clone());
        }
        outcome
    });
    // Nobody can ask again.
    let lost = lost.lock().take();
    lost.map_or(outcome, Err)
}

fn close_one(partition: &Partition, closed: &Error) -> Result<()> {
    let outcome = caught(|| partition.log().close());
    partition.log().retire(closed.clone());
    outcome
}
