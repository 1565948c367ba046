//! Names of transactions: who goes by each, and what that one has written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::IsOver;
use crate::io::Deadline;
use crate::locks::Mutex;
use crate::topic::Partition;
use crate::transaction::ids::ProducerId;
use crate::transaction::pieces::Place;
use crate::types::{Offset, Timestamp, TopicPartition};

/// Producers of a name that are kept for its next transactions.
const MOST_IDLE: usize = 1024;

/// One name.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: Arc<str>,
    /// Held by whoever writes or decides under the name: a fence comes before that or after it.
    pub(super) state: Mutex<NameState>,
    /// What was begun to be written last under the name, for those who look: also while somebody holds `state`, who may wait for room or for a disk.
    /// Nothing once nobody can say how that ends. For a moment alone, under any lock.
    begun: Mutex<Option<Begun>>,
    /// Taken alone, under any lock.
    producers: Mutex<Producers>,
}

/// Who writes the transactions of a name.
#[derive(Debug, Default)]
struct Producers {
    /// Those whose transactions have their ends in every partition.
    idle: Vec<ProducerId>,
    /// The last one that was new.
    newest: Option<ProducerId>,
}

/// Who writes a transaction, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    pub(super) producer: ProducerId,
    pub(super) at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct NameState {
    /// Who goes by the name: the last one that began.
    owner: u64,
    /// What that one has written and not decided.
    pub(super) open: Option<OpenParts>,
    /// What those are told who do not see it themselves.
    is_over: IsOver,
    /// The last one whose transaction was aborted by the store, and what that one is told.
    ended: Option<(u64, Error)>,
}

/// A transaction of which some is written and nothing decided.
#[derive(Debug)]
pub(super) struct OpenParts {
    pub(super) producer: ProducerId,
    pub(super) places: BTreeMap<Place, Written>,
    pub(super) began: Timestamp,
    pub(super) deadline: Deadline,
    /// Its commit was called in time: nobody else ends it any more, however long that waits for what its conditions look at.
    pub(super) commits: bool,
}

impl OpenParts {
    /// An error where a topic that it has written to is gone, whatever has its name by now: without that part none of it takes effect.
    /// A deletion after this comes after the commit.
    pub(super) fn check_there(&self) -> Result<()> {
        self.places.values().try_for_each(|written| written.partition.log().check_open())
    }
}

/// What is written to one partition.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) partition: Partition,
    pub(super) last: Offset,
    /// The sequence of the next record, -1 where nobody counts.
    pub(super) next_sequence: i32,
}

impl Named {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name, state: Mutex::default(), begun: Mutex::default(), producers: Mutex::default() }
    }

    /// A transaction comes to be written.
    pub(super) fn begin(&self, producer: ProducerId, at: Timestamp) {
        *self.begun.lock() = Some(Begun { producer, at });
    }

    /// Nobody can say before the store is opened again how the last one ends, or whoever has it says so once it is known.
    pub(super) fn leave_open(&self) {
        *self.begun.lock() = None;
    }

    /// The transaction that was begun last, be it over or not.
    pub(super) fn begun(&self) -> Option<Begun> {
        *self.begun.lock()
    }

    /// A producer whose transactions have all come to their ends. New ones have ids side by side, so that those who only read know the name of all by the
    /// decision of one.
    pub(super) fn take_producer(&self) -> ProducerId {
        let mut producers = self.producers.lock();
        producers.idle.pop().unwrap_or_else(|| {
            let newest = producers.newest.and_then(ProducerId::beside).unwrap_or_else(ProducerId::fresh);
            producers.newest = Some(newest);
            newest
        })
    }

    /// The producer's transaction has its end in every partition.
    pub(super) fn give_back(&self, producer: ProducerId) {
        let idle = &mut self.producers.lock().idle;
        if idle.len() < MOST_IDLE {
            idle.extend(producer.next());
        }
    }
}

/// Fewer names than this are all kept.
const FEW: usize = 1024;

/// Makes room for one more name: those that nobody goes by, and that have left nothing, are as if they had never been. It is
/// looked for them when the map would grow, so that there are at most twice as many as somebody goes by.
pub(super) fn make_room(names: &mut HashMap<Arc<str>, Arc<Named>>) {
    if names.len() < FEW || names.len() < names.capacity() {
        return;
    }
    names.retain(|_, named| !is_at_rest(named));
    // Not looked for again before as many have come.
    names.shrink_to(FEW.max(names.len() * 2));
    names.reserve(FEW.max(names.len()));
}

/// Whoever goes by the name holds it, also where that one was fenced.
fn is_at_rest(named: &Arc<Named>) -> bool {
    Arc::strong_count(named) == 1 && named.state.try_lock().is_some_and(|state| state.open.is_none())
}

impl NameState {
    /// Makes `owner` the one who goes by the name; returns what the last one leaves.
    pub(super) fn take_over(&mut self, owner: u64, is_over: &IsOver) -> Option<OpenParts> {
        std::mem::replace(&mut self.is_over, is_over.clone()).set();
        (self.owner, self.ended) = (owner, None);
        self.open.take()
    }

    /// Whether `owner` still goes by the name.
    pub(super) fn check(&self, owner: u64, name: &str) -> Result<()> {
        if let Some((_, why)) = self.ended.as_ref().filter(|(ended, _)| *ended == owner) {
            return Err(why.clone());
        }
        if self.owner == owner { Ok(()) } else { Err(Error::Fenced { name: name.to_owned() }) }
    }

    /// The open transaction, if its time is over. Whoever has it is told when it comes back.
    pub(super) fn expire(&mut self, name: &str) -> Option<OpenParts> {
        self.end_if(|open| open.deadline.is_over(), || Error::TransactionExpired { name: name.to_owned() })
    }

    /// The open transaction, if it is that producer's and has to make room in the partition.
    pub(super) fn displace(
        &mut self,
        producer_id: i64,
        (name, partition): (&str, &TopicPartition),
    ) -> Option<OpenParts> {
        let why = || Error::TransactionDisplaced { name: name.to_owned(), partition: partition.clone() };
        self.end_if(|open| open.producer.id == producer_id, why)
    }

    /// The same of one that somebody wants to be over.
    pub(super) fn abort(&mut self, producer: ProducerId, name: &str) -> Option<OpenParts> {
        let why = || Error::TransactionAborted { name: name.to_owned() };
        self.end_if(|open| open.producer == producer, why)
    }

    fn end_if(
        &mut self,
        is_over: impl FnOnce(&OpenParts) -> bool,
        why: impl FnOnce() -> Error,
    ) -> Option<OpenParts> {
        if !self.open.as_ref().is_some_and(|open| !open.commits && is_over(open)) {
            return None;
        }
        self.ended = Some((self.owner, why()));
        self.is_over.set();
        self.open.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nobody_goes_by_are_forgotten_and_no_others() {
        let mut names = HashMap::new();
        let mut held = Vec::new();
        for number in 0..50_000 {
            let name: Arc<str> = format!("transfer-{number}").into();
            let named = Arc::new(Named::new(Arc::clone(&name)));
            if number % 1000 == 0 {
                held.push(Arc::clone(&named));
            }
            make_room(&mut names);
            names.insert(name, named);
        }
        assert!(names.len() < 8 * FEW, "{} names", names.len());
        assert!(held.iter().all(|one| names.get(&one.name).is_some_and(|there| Arc::ptr_eq(one, there))));
    }
}
