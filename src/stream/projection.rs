//! Work on events that takes effect once.

use std::time::Duration;

use crate::consumer::{Consumer, OnDeleted, Polled};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::topic::{RecordRef, Records};
use crate::transaction::Transaction;
use crate::types::Query;

/// A named reader of events, whose position is committed together with what it has written: each event takes effect once, whenever the
/// process dies.
///
/// It is a member of the group of its name: several projections of one name share the partitions, what is done is committed for the group,
/// and its lag is among the figures of the store. Each step is a transaction.
///
/// A projection under a new name begins at the first event, so it can be rebuilt under another name while the old one serves. When the new one
/// [has caught up](Self::lag), its readers switch over, and [`Store::delete_group`] deletes the old one.
///
/// Events that are deleted before the projection reaches them never take effect: it fails then, unless [`on_deleted`](Self::on_deleted) makes
/// it continue, and [`Progress::skipped`] says how many offsets it skipped.
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
    /// The events that it worked on.
    pub events: usize,
    /// The events that it skipped because the query does not ask for them.
    pub passed: usize,
    /// The offsets of events that never take effect because they were deleted before the projection reached them: those that it skipped since
    /// the last step that reported any, with [`OnDeleted::Skip`](crate::OnDeleted::Skip); and, for a projection for which nothing is
    /// committed, those before the first event that there is. Ends of transactions among them count, too. A step that finds no event commits
    /// nothing: after a restart these are reported again.
    pub skipped: u64,
}

impl Store {
    /// Returns the projection of that name over the events of a topic. It continues after the last commit under the name; a new one begins at
    /// the first event there is.
    ///
    /// # Errors
    /// [`UnknownTopic`](Error::UnknownTopic), [`InvalidName`](Error::InvalidName).
    pub fn projection(&self, name: &str, topic: &str) -> Result<Projection> {
        let mut consumer = self.consumer_builder().group(name).on_deleted(OnDeleted::Fail).build()?;
        consumer.subscribe([topic.to_owned()])?;
        Ok(Projection { name: name.to_owned(), store: self.clone(), consumer, query: Query::all() })
    }
}

impl Projection {
    /// Works only on the events that match the query. Its position moves past the others too.
    pub fn only(self, query: Query) -> Self {
        Self { query, ..self }
    }

    /// Sets what it does if events were deleted before it reached them. By default it fails: [`step`](Self::step) and [`lag`](Self::lag) return
    /// [`OffsetOutOfRange`](Error::OffsetOutOfRange), each time, so that nothing takes effect as if there had been nothing before. With
    /// [`OnDeleted::Skip`] it continues at the first event that is left, and [`Progress::skipped`] counts what lies between. A program that uses
    /// retention chooses here: whether to continue past lost events once, or after every restart.
    ///
    /// ```
    /// # use annals::{Durability, Error, OnDeleted, Record, Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let orders = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
    /// orders.append(&[Record::new(), Record::new()], Durability::Os)?;
    /// let mut seen = store.projection("seen", "orders")?;
    /// seen.step(Duration::from_secs(1), |_, _| Ok(()))?;
    /// orders.append(&[Record::new(), Record::new()], Durability::Os)?;
    /// orders.delete_records(3)?;
    /// let late = seen.step(Duration::from_secs(1), |_, _| Ok(()));
    /// assert!(matches!(late, Err(Error::OffsetOutOfRange { requested: 2, start: 3, .. })));
    /// let mut seen = seen.on_deleted(OnDeleted::Skip);
    /// let progress = seen.step(Duration::from_secs(1), |_, _| Ok(()))?;
    /// assert_eq!((progress.events, progress.skipped), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_deleted(mut self, policy: OnDeleted) -> Self {
        self.consumer.set_on_deleted(policy);
        self
    }

    /// Returns its name, which is that of its group.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the consumer that it reads with: to seek, or to see what is assigned.
    pub fn consumer(&mut self) -> &mut Consumer {
        &mut self.consumer
    }

    /// Returns the number of offsets that are there and that this member has not passed: its events, events that its query does not ask for,
    /// ends of transactions, and what compaction or erasure has removed between them. What was deleted from the front does not count: so with
    /// [`OnDeleted::Skip`] it may be 0 before a step has reported what is skipped. It is 0 after a step that found nothing.
    ///
    /// # Errors
    /// As for [`Consumer::lag`]: [`OffsetOutOfRange`](Error::OffsetOutOfRange) if events were deleted before this member reached them, as for
    /// the next step.
    pub fn lag(&mut self) -> Result<u64> {
        self.consumer.lag()
    }

    /// Takes the next events, waits for them up to `timeout`, and calls `work` on each. What `work` sends with the transaction, and
    /// the position after the events, take effect together. Events of one partition come in their order.
    ///
    /// # Errors
    /// The error of `work`, and those of [`Transaction::commit`]: nothing takes effect, and the next step gets the same events, except those of a
    /// partition that was another member's in between, which has continued from what was committed. The same
    /// holds after a panic of `work`. What `work` has changed in the program's own memory is the program's to undo. After
    /// [`Undecided`](Error::Undecided) the effect may stand: reopening the store shows whether it does. Until then each step
    /// that finds events, of a member that reads one of these partitions, returns
    /// [`OffsetUndecided`](Error::OffsetUndecided), before `work` is called.
    pub fn step(
        &mut self,
        timeout: Duration,
        mut work: impl FnMut(RecordRef<'_>, &mut Transaction) -> Result<()>,
    ) -> Result<Progress> {
        self.step_together(timeout, |events, tx| events.iter().try_for_each(|event| work(*event, tx)))
    }

    /// Takes the next events as [`step`](Self::step) does, but passes all that the query asks for to `work` together, in the order of a poll:
    /// for work that writes once per step, such as one row for each key in it. `work` is not called if there is no event. Its errors may be
    /// of the program's own type.
    ///
    /// ```
    /// # use annals::{CleanupPolicy, Expected, Record, Store, TopicConfig};
    /// # use std::{collections::BTreeMap, time::Duration};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let moves = store.create_topic("moves", TopicConfig::new().key_index(true))?;
    /// let sums = store.create_topic("sums", TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).key_index(true))?;
    /// moves.append_to("alice", Expected::Any, &[Record::new().value("5"), Record::new().value("7")])?;
    /// let number = |value: Option<&[u8]>| -> Result<i64, Box<dyn std::error::Error>> {
    ///     Ok(std::str::from_utf8(value.unwrap_or(b"0"))?.parse()?)
    /// };
    /// let mut projection = store.projection("sums", "moves")?;
    /// projection.step_together(Duration::from_secs(1), |events, tx| {
    ///     let mut of_step: BTreeMap<&[u8], i64> = BTreeMap::new();
    ///     for event in events {
    ///         *of_step.entry(event.key().unwrap_or_default()).or_default() += number(event.value())?;
    ///     }
    ///     for (key, sum) in of_step {
    ///         let before = sums.get(key)?.and_then(|row| row.value);
    ///         let sum = sum + number(before.as_deref())?;
    ///         tx.send(Record::to("sums").key(key).value(&sum.to_string()))?;
    ///     }
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// })?;
    /// assert_eq!(sums.get("alice")?.unwrap().value.as_deref(), Some(&b"12"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`step`](Self::step).
    pub fn step_together<E: From<Error>>(
        &mut self,
        timeout: Duration,
        work: impl FnOnce(&[RecordRef<'_>], &mut Transaction) -> Result<(), E>,
    ) -> Result<Progress, E> {
        let records = self.consumer.poll(timeout)?;
        if records.is_empty() {
            return Ok(Progress { events: 0, passed: 0, skipped: self.consumer.take_deleted() });
        }
        let polled = self.consumer.polled(&records);
        let mut attempt = Attempt { projection: self, polled, has_taken_effect: false };
        let mut progress = attempt.projection.take_effect(&records, work)?;
        attempt.has_taken_effect = true;
        progress.skipped = attempt.projection.consumer.take_deleted();
        Ok(progress)
    }

    fn take_effect<E: From<Error>>(
        &mut self,
        records: &Records,
        work: impl FnOnce(&[RecordRef<'_>], &mut Transaction) -> Result<(), E>,
    ) -> Result<Progress, E> {
        // Nobody works for a position that cannot be committed.
        self.consumer.check_decided()?;
        let assigned = self.consumer.assignment();
        // Of those who share the work each has another first partition, and the same one after a restart. No topic has a colon in its name.
        let first = assigned.first().map(|first| (first.topic(), first.partition()));
        let (topic, partition) = first.unwrap_or_default();
        let mut tx = self.store.transaction(&format!("{}:{topic}:{partition}", self.name))?;
        let events: Vec<_> = records.iter().filter(|record| self.query.matches(record)).collect();
        if !events.is_empty() {
            work(&events, &mut tx)?;
        }
        tx.commit_offsets(&self.consumer)?;
        tx.commit()?;
        Ok(Progress { events: events.len(), passed: records.len() - events.len(), skipped: 0 })
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
