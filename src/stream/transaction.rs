//! Transactions that depend on streams and queries.

use std::fmt;

use crate::error::Result;
use crate::locks::Mutex;
use crate::log::{Guard, Verdict};
use crate::stream::stream::Stream;
use crate::topic::Partition;
use crate::transaction::{Condition as Check, Held, Transaction};
use crate::types::{Condition, Expected, Offset, Record};

/// A condition of a transaction.
struct Guarded {
    partition: Partition,
    guard: Mutex<Guard>,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl Check for Guarded {
    fn partitions(&self) -> Vec<Partition> {
        vec![self.partition.clone()]
    }

    fn prepare(&self, own: &dyn Fn(&Partition, Offset) -> bool) -> Result<()> {
        self.guard.lock().prepare_decided(self.partition.log(), &|offset| own(&self.partition, offset))
    }

    fn check(&self, held: &Held<'_, '_>) -> Result<()> {
        let own: Vec<_> = held.own(&self.partition).collect();
        let is_own = |offset: Offset| own.iter().any(|range| range.contains(&offset));
        let log = self.partition.log();
        let mut guard = self.guard.lock();
        match guard.judge_for_good(log, &is_own)? {
            Verdict::Holds => Ok(()),
            Verdict::Stale | Verdict::Undecided | Verdict::No => Err(guard.conflict(log)),
        }
    }
}

impl Transaction {
    /// Adds events to a stream, and makes the commit depend on the stream being as expected. With several streams, of one topic
    /// or of several, the transaction takes effect on what was expected of all of them, or not at all. What the transaction itself
    /// adds changes none of its expectations. The stream's topic, partition and key replace those that an event names.
    ///
    /// # Errors
    /// As for [`send`](Self::send): nothing was added then, and nothing is expected. If a stream is not as expected,
    /// [`commit`](Self::commit), or an earlier call, reports [`Conflict`](crate::Error::Conflict). One with `is_undecided` may succeed if
    /// everything is done again.
    ///
    /// ```
    /// # use annals::{Expected, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let accounts = store.create_topic("accounts", TopicConfig::new().partitions(4).key_index(true))?;
    /// let (alice, bob) = (accounts.stream("alice")?, accounts.stream("bob")?);
    /// let mut tx = store.transaction("transfer-17")?;
    /// tx.append_to(&alice, Expected::NoStream, &[Record::new().value("-5")])?;
    /// tx.append_to(&bob, Expected::NoStream, &[Record::new().value("+5")])?;
    /// tx.commit()?;
    /// assert!(alice.version()?.is_some() && bob.version()?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn append_to(&mut self, stream: &Stream, expected: Expected, events: &[Record<'_>]) -> Result<()> {
        let (topic, number) = (stream.partition().topic(), stream.partition().number());
        let events =
            events.iter().map(|event| event.clone().topic(topic).partition(number).key(stream.key()));
        let events: Vec<_> = events.collect();
        let condition = Condition::stream(stream.key(), expected);
        self.send_all(&events, |tx| tx.require(stream.partition(), &condition))
    }

    /// Makes the commit depend on a condition on the events of a partition.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::Error::InvalidConfig) if the topic has no [`key_index`](crate::TopicConfig::key_index);
    /// [`InvalidArgument`](crate::Error::InvalidArgument) for a condition on a stream of another partition.
    pub fn require(&mut self, partition: &Partition, condition: &Condition) -> Result<()> {
        let required = self.try_to_require(partition, condition);
        self.note_cause(required)
    }

    fn try_to_require(&mut self, partition: &Partition, condition: &Condition) -> Result<()> {
        partition.log().check_open()?;
        partition.check_has_stream(condition)?;
        let Some(guard) = Guard::new(condition) else { return Ok(()) };
        guard.check_index(partition.log())?;
        self.expect(Guarded { partition: partition.clone(), guard: Mutex::new(guard) });
        Ok(())
    }
}
