//! Work on events that takes effect once.

use std::time::Duration;

use crate::consumer::{Consumer, Polled};
use crate::error::Result;
use crate::store::Store;
use crate::topic::{RecordRef, Records};
use crate::transaction::Transaction;
use crate::types::Query;

/// A named reader of events, whose position is committed together with what it has written: each event takes effect once, whenever the
/// process dies.
///
/// It is a member of the group of its name: several of one name share the partitions, what is done is committed for the group,
/// and its lag stands among the figures of the store. Each step is a transaction.
///
/// A projection under a new name begins at the first event: so one is built again while the old one serves. When it
/// [has caught up](Self::lag) its readers change over, and [`Store::delete_group`] forgets the old one.
///
/// ```
/// # use annals::{CleanupPolicy, Expected, Query, Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let orders = store.create_topic("orders", TopicConfig::new().key_index(true))?;
/// store.create_topic("invoices", TopicConfig::new())?;
/// let event = |kind| Record::new().header("type", kind).value("12.50");
/// orders.append_to("order-17", Expected::Any, &[event("placed"), event("paid")])?;
/// let mut invoices = store.projection("invoices", "orders")?.only(Query::of_type("paid"));
/// while invoices.lag()? > 0 {
///     invoices.step(Duration::from_secs(1), |event, tx| {
///         tx.send(Record::to("invoices").key(event.key().unwrap_or_default()).value(event.value().unwrap_or_default()))
///     })?;
/// }
/// assert_eq!(store.topic("invoices")?.partition(0)?.read(..)?.into_iter().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Projection {
    name: String,
    store: Store,
    consumer: Consumer,
    query: Query,
}

/// What one step of a projection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Events that it worked on.
    pub events: usize,
    /// Events that it passed over, because the query does not ask for them.
    pub passed: usize,
}

impl Store {
    /// The projection of that name over the events of a topic. It goes on where the last commit under the name was.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::Error::UnknownTopic), [`InvalidName`](crate::Error::InvalidName).
    pub fn projection(&self, name: &str, topic: &str) -> Result<Projection> {
        let mut consumer = self.consumer(name)?;
        consumer.subscribe([topic.to_owned()])?;
        Ok(Projection { name: name.to_owned(), store: self.clone(), consumer, query: Query::all() })
    }
}

impl Projection {
    /// Works on the events alone that match the query. Its position moves past the others too.
    pub fn only(self, query: Query) -> Self {
        Self { query, ..self }
    }

    /// Its name: that of its group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its position among the others of its group: to seek, to see what is assigned.
    pub fn consumer(&mut self) -> &mut Consumer {
        &mut self.consumer
    }

    /// Events that are there and that this member has not worked on.
    ///
    /// # Errors
    /// As [`Consumer::lag`].
    pub fn lag(&mut self) -> Result<u64> {
        self.consumer.lag()
    }

    /// Takes the next events, waits for them up to `timeout`, and has `work` done on each. What `work` sends with the transaction, and
    /// the position after the events, take effect together. Events of one partition come in their order.
    ///
    /// # Errors
    /// That of `work`, and those of [`Transaction::commit`]: nothing takes effect, and the next step comes to the same events, but for those of a
    /// partition that was another member's in between, which has gone on from what was committed. So it
    /// is after a panic of `work`. What `work` has changed in the program's own memory is the program's to undo. After
    /// [`Undecided`](crate::Error::Undecided) the effect may stand: whether it does shows after reopening the store. Until then each step
    /// that comes to events, of a member that reads one of these partitions, is
    /// [`OffsetUndecided`](crate::Error::OffsetUndecided), before `work` is called.
    pub fn step(
        &mut self,
        timeout: Duration,
        mut work: impl FnMut(RecordRef<'_>, &mut Transaction) -> Result<()>,
    ) -> Result<Progress> {
        let records = self.consumer.poll(timeout)?;
        let mut progress = Progress { events: 0, passed: 0 };
        if records.is_empty() {
            return Ok(progress);
        }
        let polled = self.consumer.polled(&records);
        let mut attempt = Attempt { projection: self, polled, has_taken_effect: false };
        attempt.projection.take_effect(&records, &mut progress, &mut work)?;
        attempt.has_taken_effect = true;
        Ok(progress)
    }

    fn take_effect(
        &mut self,
        records: &Records,
        progress: &mut Progress,
        work: &mut dyn FnMut(RecordRef<'_>, &mut Transaction) -> Result<()>,
    ) -> Result<()> {
        // Nobody works for a position that cannot be committed.
        self.consumer.check_decided()?;
        let assigned = self.consumer.assignment();
        // Of those who share the work each has another first partition, and the same one after a restart. No topic has a colon in its name.
        let first = assigned.first().map(|first| (first.topic(), first.partition()));
        let (topic, partition) = first.unwrap_or_default();
        let mut tx = self.store.transaction(&format!("{}:{topic}:{partition}", self.name))?;
        for record in records {
            if self.query.matches(&record) {
                work(record, &mut tx)?;
                progress.events += 1;
            } else {
                progress.passed += 1;
            }
        }
        tx.commit_offsets(&self.consumer)?;
        tx.commit().map(drop)
    }
}

/// A step. One that ends without its effect, be it by a panic of `work`, goes back: the next one takes the same events again, as far as
/// they are still this member's.
struct Attempt<'a> {
    projection: &'a mut Projection,
    polled: Vec<Polled>,
    has_taken_effect: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.has_taken_effect {
            self.projection.consumer.go_back_to(&self.polled);
        }
    }
}
