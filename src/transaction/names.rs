//! Names of transactions: who goes by each, and what that one has written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::error::{Error, Result};
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
    /// Producers whose transactions have their ends in every partition. Taken alone, under any lock.
    idle: Mutex<Vec<ProducerId>>,
}

#[derive(Debug, Default)]
pub(super) struct NameState {
    /// Who goes by the name: the last one that began.
    owner: u64,
    /// What that one has written and not decided.
    pub(super) open: Option<OpenParts>,
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
        Self { name, state: Mutex::default(), idle: Mutex::default() }
    }

    /// A producer whose transactions have all come to their ends.
    pub(super) fn take_producer(&self) -> ProducerId {
        self.idle.lock().pop().unwrap_or_else(ProducerId::fresh)
    }

    /// The producer's transaction has its end in every partition.
    pub(super) fn give_back(&self, producer: ProducerId) {
        let mut idle = self.idle.lock();
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
    pub(super) fn take_over(&mut self, owner: u64) -> Option<OpenParts> {
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

    fn end_if(
        &mut self,
        is_over: impl FnOnce(&OpenParts) -> bool,
        why: impl FnOnce() -> Error,
    ) -> Option<OpenParts> {
        if !self.open.as_ref().is_some_and(|open| !open.commits && is_over(open)) {
            return None;
        }
        self.ended = Some((self.owner, why()));
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
