//! Closing all partitions. Each that was appended to waits for several syncs; those of many partitions are waited for side by
//! side.

use std::thread::Builder;

use crate::error::{Error, Result};
use crate::io::caught;
use crate::locks::{AtomicUsize, Ordering};
use crate::topic::partition::Partition;
use crate::topic::topics::Topics;

/// So many threads close partitions at a time, the caller's among them. More gain nothing on one disk.
const MOST_THREADS: usize = 16;
/// Partitions with something to write, for each of these threads.
const FOR_EACH: usize = 8;

impl Topics {
    /// Closes every partition. The first failure is returned, a panic of the program's clock or files among them; the
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
        outcome.and(close_each(of(own).iter(), &closed))
    }
}

fn close_side_by_side(partitions: &[Partition], closed: &Error) -> Result<()> {
    let busy = partitions.iter().filter(|partition| partition.log().has_to_write_at_close()).count();
    let threads = (busy / FOR_EACH).min(MOST_THREADS);
    if threads < 2 {
        return close_each(partitions.iter(), closed);
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let turns = std::iter::from_fn(|| partitions.get(next.fetch_add(1, Ordering::Relaxed)));
        close_each(turns, closed)
    };
    std::thread::scope(|scope| {
        let begin = |_| Builder::new().name("annals-close".to_owned()).spawn_scoped(scope, work);
        // Where no thread is to be had, fewer do: it takes longer, and is as good.
        let begun: Vec<_> = (1..threads).map_while(|number| begin(number).ok()).collect();
        let mut outcome = work();
        for thread in begun {
            let one = thread.join().unwrap_or_else(|_| Err(Error::invalid("a close has panicked")));
            outcome = outcome.and(one);
        }
        outcome
    })
}

fn close_each<'a>(partitions: impl Iterator<Item = &'a Partition>, closed: &Error) -> Result<()> {
    let mut outcome = Ok(());
    for partition in partitions {
        outcome = outcome.and(caught(|| partition.log().close()));
        partition.log().retire(closed.clone());
    }
    outcome
}
