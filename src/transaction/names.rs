//! Names of transactions: who goes by each, and what that one has written.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::Deadline;
use crate::locks::Mutex;
use crate::topic::Partition;
use crate::transaction::ids::ProducerId;
use crate::transaction::pieces::Place;
use crate::types::{Offset, Timestamp};

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
    /// Its time was over, and it was aborted.
    expired: Option<u64>,
}

/// A transaction of which some is written and nothing decided.
#[derive(Debug)]
pub(super) struct OpenParts {
    pub(super) producer: ProducerId,
    pub(super) places: BTreeMap<Place, Written>,
    pub(super) began: Timestamp,
    pub(super) deadline: Deadline,
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

impl NameState {
    /// Makes `owner` the one who goes by the name; returns what the last one leaves.
    pub(super) fn take_over(&mut self, owner: u64) -> Option<OpenParts> {
        (self.owner, self.expired) = (owner, None);
        self.open.take()
    }

    /// Whether `owner` still goes by the name.
    pub(super) fn check(&self, owner: u64, name: &str) -> Result<()> {
        if self.expired == Some(owner) {
            return Err(Error::TransactionExpired { name: name.to_owned() });
        }
        if self.owner == owner { Ok(()) } else { Err(Error::Fenced { name: name.to_owned() }) }
    }

    /// The open transaction, if its time is over. Whoever has it is told when it comes back.
    pub(super) fn expire(&mut self) -> Option<OpenParts> {
        let is_over = self.open.as_ref().is_some_and(|open| open.deadline.is_over());
        if !is_over {
            return None;
        }
        self.expired = Some(self.owner);
        self.open.take()
    }
}
