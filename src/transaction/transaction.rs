//! A transaction as a program holds it.

use std::any::Any;
use std::sync::Arc;

use crate::consumer::Consumer;
use crate::error::{Error, Result};
use crate::group::{IsOver, PendingOffsets};
use crate::locks::Mutex;
use crate::producer::Producer;
use crate::topic::{Participant, Partition};
use crate::transaction::builder::Settings;
use crate::transaction::committed::Committed;
use crate::transaction::committing::{Committing, Later};
use crate::transaction::condition::{Condition, EndsAt};
use crate::transaction::coordinator::{Deciding, Owns, Put, Transactions};
use crate::transaction::names::Named;
use crate::transaction::pieces::Pieces;
use crate::types::{Durability, Offset, Record, Timestamp};

/// Records in any topics, and committed offsets of groups, that take effect together or not at all: across a crash of the process,
/// and, when committed at [`Durability::Disk`](crate::Durability::Disk), across a power cut.
///
/// What is sent is kept in memory until [`commit`](Self::commit); dropping a transaction aborts it, and then nothing of it was ever
/// written. Beyond [`buffer_bytes`](crate::TransactionBuilder::buffer_bytes) it is written as it comes, and readers of committed
/// records wait at its first record until it is decided.
///
/// A transaction has a name. A new one under the name fences the one before: if two processes or threads work under
/// one name, only the work of the last one takes effect. So each of several members of a group that do the same work needs a name of its own,
/// and the same name after a restart.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// # store.create_topic("invoices", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").key("alice").value("2 apples"))?;
/// let mut billing = store.consumer("billing")?;
/// billing.subscribe(["orders"])?;
/// let orders = billing.poll(Duration::from_millis(500))?;
/// let mut tx = store.transaction("billing")?;
/// tx.commit_offsets(&billing)?; // each order is invoiced once, whatever fails below, and whenever the process dies
/// for order in &orders {
///     tx.send(Record::to("invoices").key(order.key().unwrap_or_default()).value("12.50"))?;
/// }
/// let placed = tx.commit()?;
/// assert_eq!(placed.batches[0].topic_partition.topic(), "invoices");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a transaction that is dropped is aborted"]
pub struct Transaction {
    pub(super) shared: Arc<Transactions>,
    producer: Producer,
    pub(super) named: Arc<Named>,
    pub(super) owner: u64,
    is_over: IsOver,
    settings: Settings,
    pub(super) pieces: Pieces,
    pub(super) participants: Vec<Box<dyn Participant>>,
    pub(super) conditions: Vec<Box<dyn Condition>>,
    /// What was written before the decision.
    pub(super) put: Vec<Put>,
    /// Why it cannot be committed.
    refused: Option<String>,
    /// What it was aborted by, when it could not be written as it came: that stays what its calls return.
    pub(super) failed: Option<Error>,
    /// What the last of its calls that has failed has returned.
    pub(super) cause: Option<Error>,
    pub(super) phase: Phase,
}

/// What dropping a transaction has to see to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// What is written of it is to be aborted.
    GoesOn,
    /// It is being committed: whoever drops it then unwinds from a panic.
    Commits,
    /// Nothing is left to abort.
    Over,
}

impl Transaction {
    pub(super) fn new(
        (shared, producer): (Arc<Transactions>, Producer),
        Owns { named, owner, is_over }: Owns,
        settings: Settings,
    ) -> Self {
        Self {
            shared,
            producer,
            named,
            owner,
            is_over,
            settings,
            pieces: Pieces::default(),
            participants: Vec::new(),
            conditions: Vec::new(),
            put: Vec::new(),
            refused: None,
            failed: None,
            cause: None,
            phase: Phase::GoesOn,
        }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.named.name
    }

    /// Adds a record to the topic it names. Its offset is known once the transaction is committed.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::Error::UnknownTopic), [`UnknownPartition`](crate::Error::UnknownPartition), [`RecordTooLarge`](crate::Error::RecordTooLarge),
    /// [`KeyRequired`](crate::Error::KeyRequired), [`InvalidTimestamp`](crate::Error::InvalidTimestamp): the record is not part of the transaction, but the
    /// others still are. If the transaction is written as it comes, also what [`commit`](Self::commit) returns: then it is aborted, and every later call
    /// returns the same error; [`Panicked`](crate::Error::Panicked) if a clock or a file system of the program has panicked in an earlier call.
    pub fn send(&mut self, record: Record<'_>) -> Result<()> {
        let place = self.check_going_on().and_then(|()| self.producer.place_of(&record));
        let sent = place.and_then(|partition| self.send_to(&partition, &record));
        self.note_cause(sent)
    }

    /// Adds records, each to the topic it names, behind what `first` does: all of it, or nothing where one of them is refused.
    pub(crate) fn send_all(
        &mut self,
        records: &[Record<'_>],
        first: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let sent = self.try_to_send_all(records, first);
        self.note_cause(sent)
    }

    fn try_to_send_all(
        &mut self,
        records: &[Record<'_>],
        first: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.check_going_on()?;
        let checked_place = |record| {
            let partition = self.producer.place_of(record)?;
            partition.log().check_records(std::slice::from_ref(record)).map(|()| partition)
        };
        let places = records.iter().map(checked_place).collect::<Result<Vec<_>>>()?;
        // The clock is the program's, and may panic: then none of it is there.
        let now = self.shared.now();
        first(self)?;
        records.iter().zip(&places).try_for_each(|(record, partition)| self.add(partition, record, now))
    }

    /// Adds a record to a partition, be it one of the store's own.
    pub(crate) fn send_to(&mut self, partition: &Partition, record: &Record<'_>) -> Result<()> {
        self.check_going_on()?;
        partition.log().check_records(std::slice::from_ref(record))?;
        self.add(partition, record, self.shared.now())
    }

    /// The same of a record that was checked.
    fn add(&mut self, partition: &Partition, record: &Record<'_>, now: Timestamp) -> Result<()> {
        self.pieces.add(partition, record, now);
        self.write_what_is_too_much()
    }

    /// Adds records, each to the topic it names.
    ///
    /// # Errors
    /// As for [`send`](Self::send): records before the one that is refused are part of the transaction.
    pub fn send_batch(&mut self, records: &[Record<'_>]) -> Result<()> {
        self.shared.check_process()?;
        records.iter().try_for_each(|record| self.send(record.clone()))
    }

    /// Makes the commit depend on there having been no append to the partition since the caller saw it end at `end`: the position after reading all that is committed
    /// ([`PartitionReader::position`](crate::PartitionReader::position)), or [`Partition::stable`]. [`Partition::end`] may be after undecided records, which nobody
    /// has read. The end of another transaction is an append, too. With conditions on several partitions the transaction takes effect on what was seen of all of them,
    /// or not at all. What the transaction itself has written there since does not count as another's append; several conditions on one partition must all hold.
    ///
    /// Otherwise [`commit`](Self::commit) returns [`UnexpectedEnd`](crate::Error::UnexpectedEnd); for a partition of another store
    /// [`InvalidArgument`](crate::Error::InvalidArgument).
    pub fn expect_end(&mut self, partition: &Partition, end: Offset) {
        self.expect(EndsAt { partition: partition.clone(), end });
    }

    /// Whether it is one of these.
    pub(crate) fn is_of(&self, transactions: &Arc<Transactions>) -> bool {
        Arc::ptr_eq(&self.shared, transactions)
    }

    /// No commit of it takes effect any more; each says why.
    pub(crate) fn refuse(&mut self, reason: String) {
        self.refused.get_or_insert(reason);
    }

    /// The directory of its store.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.shared.topics.path()
    }

    /// Makes the commit depend on a condition.
    pub(crate) fn expect(&mut self, condition: impl Condition + 'static) {
        self.conditions.push(Box::new(condition));
    }

    /// Its commit survives what `durability` says, at the least.
    pub(crate) fn be_durable(&mut self, durability: Durability) {
        if durability == Durability::Disk {
            self.settings.durability = durability;
        }
    }

    /// Has `change` see the participant of that type, which `begin` makes if the transaction has none.
    pub(crate) fn take_part<P: Participant, T>(
        &mut self,
        begin: impl FnOnce() -> P,
        change: impl FnOnce(&mut P) -> T,
    ) -> T {
        for one in &mut self.participants {
            let one: &mut dyn Any = &mut **one;
            if let Some(participant) = one.downcast_mut() {
                return change(participant);
            }
        }
        let mut participant = begin();
        let changed = change(&mut participant);
        self.participants.push(Box::new(participant));
        changed
    }

    /// Commits with the transaction the position that `consumer` has now, after what its polls have returned: offsets and records take effect together.
    ///
    /// A transaction that takes no effect, because its commit fails or because it is aborted or dropped, sets the consumer back: its next poll returns again what is
    /// not done, as [`seek_to_committed`](Consumer::seek_to_committed) does. So call this first, before what may fail. After [`Undecided`](crate::Error::Undecided)
    /// the consumer keeps its position, and nothing is committed for these partitions of the group before the store is opened again.
    ///
    /// If the group has given a partition to another member after unfinished records of it were returned, as at a poll in the middle of the
    /// transaction, the commit returns [`NotAssigned`](crate::Error::NotAssigned): the other member gets these records again. The same applies if
    /// the consumer has let the partition go itself: whoever reads it next gets them again.
    ///
    /// From here to the end of the transaction the consumer's offsets belong to the transaction: another transaction is refused them, and so is
    /// [`Consumer::commit`]; automatic commits wait. A transaction that is fenced, expired or aborted from outside has ended, even if nobody drops it.
    ///
    /// # Errors
    /// [`OffsetUndecided`](crate::Error::OffsetUndecided) after such a transaction, [`InvalidConfig`](crate::Error::InvalidConfig) for a consumer
    /// without a group, [`InvalidArgument`](crate::Error::InvalidArgument) for a consumer of another store, one whose offsets another transaction
    /// holds, a second one of its group, and one that was set back and not polled since: the records it holds will be returned again.
    pub fn commit_offsets(&mut self, consumer: &Consumer) -> Result<()> {
        let added = self.try_to_commit_offsets(consumer);
        self.note_cause(added)
    }

    fn try_to_commit_offsets(&mut self, consumer: &Consumer) -> Result<()> {
        self.check_going_on()?;
        if !consumer.is_of(&self.shared.groups) {
            let path = self.shared.topics.path().display();
            return Err(Error::invalid(format!(
                "the consumer is not of the store in {path}, which the transaction is of"
            )));
        }
        let pending = consumer.pending()?;
        let (groups, is_over) = (Arc::clone(&self.shared.groups), self.is_over.clone());
        self.take_part(|| PendingOffsets::new(&groups, is_over), |offsets| offsets.set(pending))
    }

    /// Commits the transaction, so that all of it takes effect, and returns where its records were written. What an erasure or a deletion has
    /// removed of them meanwhile is not there, which is not an error.
    ///
    /// # Errors
    /// [`Undecided`](crate::Error::Undecided): reopening the store shows whether it takes effect. Nothing of it takes effect after any other error, whether it is one of these or not:
    /// [`UnexpectedEnd`](crate::Error::UnexpectedEnd), [`Conflict`](crate::Error::Conflict), [`Fenced`](crate::Error::Fenced), [`TransactionExpired`](crate::Error::TransactionExpired),
    /// [`TransactionDisplaced`](crate::Error::TransactionDisplaced), [`TransactionAborted`](crate::Error::TransactionAborted), [`UnknownTopic`](crate::Error::UnknownTopic) if a topic of it was deleted meanwhile,
    /// also one that was written to before, [`NotAssigned`](crate::Error::NotAssigned) for offsets of a partition that the group has given to another member since, or that the consumer has let go, [`OffsetUndecided`](crate::Error::OffsetUndecided)
    /// for those that an undecided transaction was to commit, [`Io`](crate::Error::Io), [`Full`](crate::Error::Full), [`Poisoned`](crate::Error::Poisoned) if what it depends on cannot become durable before the
    /// store is reopened, [`LockLost`](crate::Error::LockLost) for an answer, [`StoreClosed`](crate::Error::StoreClosed); and what [`send`](Self::send) may return, if the topic was altered since.
    pub fn commit(self) -> Result<Committed> {
        self.decide(None)
    }

    /// Does the same for a task: the returned future is ready when the commit survives a power cut. The commit is decided when this returns, as with
    /// [`Durability::Os`](crate::Durability::Os), whatever the transaction's own durability is: readers see it from then on. If the future is dropped, the commit stands.
    ///
    /// The call does not wait for the disk, with these exceptions: if its answers are the last for whole segments of a topic with
    /// [`retention_until_consumed`](crate::TopicConfig::retention_until_consumed); once, if it depends on what a killed process has left in a partition; and if 16,000
    /// commits wait for the disk: the store's maintenance does not keep up, or is yours and does not run. It waits for room only if a topic blocks when it is full.
    ///
    /// ```
    /// # use annals::{Record, Store};
    /// async fn move_money(store: &Store) -> annals::Result<()> {
    ///     let mut tx = store.transaction("transfer")?;
    ///     tx.send(Record::to("accounts").key("alice").value("-3"))?;
    ///     tx.send(Record::to("accounts").key("bob").value("3"))?;
    ///     let committed = tx.commit_async().await?;
    ///     println!("{:?}", committed.batches);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// When it is ready, as for `commit`. [`Undecided`](crate::Error::Undecided) also when a sync fails: readers have seen it then, and
    /// reopening the store shows whether it holds.
    pub fn commit_async(self) -> Committing {
        let (later, name) = (Mutex::default(), Arc::clone(&self.named.name));
        let doubts = self.participants.iter().filter_map(|one| one.doubt()).collect();
        let committed = self.decide(Some(&later));
        Committing::new(name, committed, (&later.lock(), doubts))
    }

    fn decide(mut self, later: Option<&Mutex<Later>>) -> Result<Committed> {
        let decided = self.try_to_decide(later);
        self.note_cause(decided)
    }

    fn try_to_decide(&mut self, later: Option<&Mutex<Later>>) -> Result<Committed> {
        self.check_failed()?;
        if !self.put.is_empty() {
            self.shared.begin_commit(&self.named, self.owner)?;
        }
        if let Some(reason) = self.refused.take() {
            return Err(Error::invalid(reason));
        }
        self.prepare()?;
        self.phase = Phase::Commits;
        let put = self.shared.commit(&Deciding { later, ..self.deciding() });
        self.phase = Phase::Over;
        let put = put?;
        let all = std::mem::take(&mut self.put).into_iter().chain(put);
        let is_of_users = |put: &Put| !put.partition.is_internal();
        Ok(Committed { batches: all.filter(is_of_users).map(Put::committed).collect() })
    }

    /// Aborts the transaction, so that nothing of it takes effect. This is the same as dropping it, but reports whether it could still have taken effect.
    ///
    /// # Errors
    /// [`Fenced`](crate::Error::Fenced), [`TransactionExpired`](crate::Error::TransactionExpired),
    /// [`TransactionDisplaced`](crate::Error::TransactionDisplaced), [`TransactionAborted`](crate::Error::TransactionAborted): it had already been aborted.
    pub fn abort(mut self) -> Result<()> {
        let going_on = self.check_going_on();
        self.note_cause(going_on)?;
        self.phase = Phase::Over;
        let aborted = self.shared.abort(&self.named, self.owner);
        self.note_cause(aborted)
    }

    /// Does without a lock what can be done so: its partitions are made ready, and the conditions look. After an error the transaction
    /// is dropped, and so aborted.
    fn prepare(&self) -> Result<()> {
        self.deciding().make_ready()?;
        let own =
            |partition: &Partition, offset: Offset| self.put.iter().any(|put| put.holds(partition, offset));
        self.conditions.iter().try_for_each(|condition| condition.prepare(&own))
    }

    fn deciding(&self) -> Deciding<'_> {
        Deciding {
            named: &self.named,
            owner: self.owner,
            pieces: &self.pieces,
            participants: &self.participants,
            conditions: &self.conditions,
            put: &self.put,
            settings: &self.settings,
            later: None,
        }
    }

    fn write_what_is_too_much(&mut self) -> Result<()> {
        if self.pieces.bytes <= self.settings.buffer_bytes {
            return Ok(());
        }
        // What is written is aborted where a panic comes by, and it goes on with nothing that it has lost.
        self.failed = Some(Error::Panicked { message: "while the transaction was written".to_owned() });
        match self.deciding().make_ready().and_then(|()| self.shared.write_open(&self.deciding())) {
            Ok(put) => {
                self.failed = None;
                self.pieces = Pieces::default();
                self.put.extend(put);
                self.shared.remind();
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn check_failed(&self) -> Result<()> {
        self.shared.check_process()?;
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn check_going_on(&self) -> Result<()> {
        self.check_failed()?;
        if self.put.is_empty() { Ok(()) } else { self.shared.check_written(&self.named, self.owner) }
    }
}
