//! Who works with the store's topics: producers, transactions, consumers, queues.

use std::sync::Arc;

use crate::consumer::{Consumer, ConsumerBuilder};
use crate::error::Result;
use crate::log::EraseReport;
use crate::producer::{Producer, ProducerBuilder};
use crate::share::{DeadLetters, EnqueuerBuilder, QueueBuilder, Schedule, Worker};
use crate::store::store::Store;
use crate::transaction::{AbortOutcome, NamedProducer, Transaction, TransactionBuilder};

impl Store {
    /// A producer with the default settings: records are in the operating system's hands when `send` returns.
    pub fn producer(&self) -> Producer {
        self.producer_builder().build_default()
    }

    /// A producer with other settings.
    pub fn producer_builder(&self) -> ProducerBuilder {
        ProducerBuilder::new(Arc::clone(&self.inner.topics))
    }

    /// Begins a transaction of that name, with the default settings. An earlier user of the name is fenced, and what that
    /// one has not committed is aborted.
    ///
    /// # Errors
    /// [`InvalidName`](crate::Error::InvalidName), [`StoreClosed`](crate::Error::StoreClosed).
    pub fn transaction(&self, name: &str) -> Result<Transaction> {
        self.check_open()?;
        self.transaction_builder(name).begin()
    }

    /// Begins a transaction with other settings.
    pub fn transaction_builder(&self, name: &str) -> TransactionBuilder {
        TransactionBuilder::new(&self.inner.transactions, self.producer(), name)
    }

    /// Aborts one transaction of which some is written and nothing is decided, and none that comes after it under its name: for those who look after a
    /// store, as Kafka's `Admin.abortTransaction`. [`StoreStats::open_transactions`](crate::stats::StoreStats::open_transactions) says which there are.
    /// Where nothing of it is to be aborted any more nothing happens, and the answer says why. Waits for no call of the transaction; ends of it are
    /// written into its partitions, which may wait for a write that is under way.
    ///
    /// ```
    /// # use annals::{AbortOutcome, Error, Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// # store.create_topic("orders", TopicConfig::new())?;
    /// let mut import = store.transaction_builder("import").buffer_bytes(0).begin()?;
    /// import.send(Record::to("orders").value("2 apples"))?; // written as it comes, and then its program hangs
    ///
    /// let stuck = &store.stats()?.open_transactions[0];
    /// let abort = || store.abort_transaction(stuck.producer_id, stuck.producer_epoch);
    /// assert_eq!(abort()?, AbortOutcome::Aborted);
    /// assert_eq!(abort()?, AbortOutcome::Over);
    /// assert!(matches!(import.commit(), Err(Error::TransactionAborted { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreClosed`](crate::Error::StoreClosed).
    pub fn abort_transaction(&self, producer_id: i64, producer_epoch: i16) -> Result<AbortOutcome> {
        let _work = self.work()?;
        Ok(self.inner.transactions.abort_open(producer_id, producer_epoch))
    }

    /// The producer of that name, which knows what it has sent, also in earlier lives of the store.
    ///
    /// # Errors
    /// [`InvalidName`](crate::Error::InvalidName), [`StoreClosed`](crate::Error::StoreClosed); [`Io`](crate::Error::Io) when its name cannot be
    /// made durable.
    pub fn named_producer(&self, name: &str) -> Result<NamedProducer> {
        self.check_open()?;
        self.inner.transactions.named_producer(name)
    }

    /// A consumer of that group, with the default settings. It becomes a member when it subscribes.
    ///
    /// # Errors
    /// [`InvalidName`](crate::Error::InvalidName); [`Corrupt`](crate::Error::Corrupt) while the committed offsets cannot be read.
    pub fn consumer(&self, group: &str) -> Result<Consumer> {
        self.consumer_builder().group(group).build()
    }

    /// A consumer with other settings, or without a group.
    pub fn consumer_builder(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(Arc::clone(&self.inner.topics), Arc::clone(&self.inner.groups))
    }

    /// A worker of the queue that `group` has on a topic, with the default settings. The first one makes the queue, which begins
    /// at the topic's first record. Queues of other groups, and consumers, see every record too.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn queue(&self, topic: &str, group: &str) -> Result<Worker> {
        self.queue_builder(topic, group).build()
    }

    /// A worker of a queue with other settings.
    pub fn queue_builder(&self, topic: &str, group: &str) -> QueueBuilder {
        QueueBuilder::new(Arc::clone(&self.inner.queues), topic, group)
    }

    /// Sends to a topic whose records are messages: each id once, and no more than a queue may have to do.
    pub fn enqueuer_builder(&self, topic: &str) -> EnqueuerBuilder {
        EnqueuerBuilder::new(Arc::clone(&self.inner.queues), Arc::clone(&self.inner.holds), topic)
    }

    /// Sends records that are delivered later, from this thread and others.
    pub fn schedule(&self) -> Schedule {
        Schedule::new(Arc::clone(&self.inner.holds))
    }

    /// Takes out of a topic with [`retention_until_consumed`](crate::TopicConfig::retention_until_consumed) what all queues on it have done
    /// and all groups have committed, record by record, so that a few messages that are not done keep no others: retention takes
    /// whole segments from the start alone. What is left keeps its offsets. Others send and work meanwhile.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.create_topic("orders", TopicConfig::new().retention_until_consumed())?;
    /// for value in ["waits for weeks", "done", "done too"] {
    ///     store.producer().send(Record::to("orders").value(value))?;
    /// }
    /// let mut worker = store.queue("orders", "shipping")?;
    /// let mut messages = worker.take(3, Duration::ZERO)?.into_iter();
    /// let first = messages.next();
    /// messages.try_for_each(|message| message.ack())?;
    /// assert_eq!(store.drop_done("orders")?[0].records, 2);
    /// # drop(first);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::Error::UnknownTopic), [`InvalidArgument`](crate::Error::InvalidArgument) for a topic that keeps what was consumed. The
    /// first failure of any partition, as of [`Topic::erase`](crate::Topic::erase); the others are done all the same. It is
    /// [`Poisoned`](crate::Error::Poisoned) where a record would go of a transaction that cannot become durable before the store is opened again: it stays.
    pub fn drop_done(&self, topic: &str) -> Result<Vec<EraseReport>> {
        self.inner.queues.drop_done(topic)
    }

    /// Takes every record of a key out of a topic, as [`Topic::erase`](crate::Topic::erase) does, and out of what a store has of it beside the topic: what a
    /// [`Schedule`] is to deliver there, and the dead letters of its queues. One report for each partition of the topic, and for each other
    /// partition that had some.
    ///
    /// What a worker has taken is reached, too: given up afterwards it leaves no letter. Where letters of the topic are sent back meanwhile it is all looked through once more, three times at most. Not reached: what
    /// is sent meanwhile; what is sent back during the last of these times; letters in a
    /// [topic that was chosen](QueueBuilder::dead_letter_topic) where every group that had some there was deleted; backups,
    /// snapshots of events, and what programs have made of the records. Call it again once those are done. A power cut may bring back a file that retention
    /// had removed shortly before, until its partition is written to, or erased from. Reads all of the topic, of its dead letters,
    /// and all that is scheduled.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # use std::time::Duration;
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// store.create_topic("mails", TopicConfig::new())?;
    /// store.producer().send(Record::to("mails").key("alice").value("to alice"))?;
    /// let later = Record::to("mails").key("alice").value("to alice, later");
    /// store.schedule().deliver_after(later, Duration::from_secs(86_400))?;
    /// let reports = store.erase("mails", "alice")?;
    /// assert_eq!(reports.iter().map(|report| report.records).sum::<u64>(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::Error::UnknownTopic); otherwise as [`Topic::erase`](crate::Topic::erase): the first failure, be it of the topic, of what is scheduled or of the letters, also
    /// of a topic that may have some and could not be opened; the others are done all the same. After an error some may be left: call again.
    /// [`Poisoned`](crate::Error::Poisoned) where such a record is of a transaction that cannot become durable before the store is opened again.
    pub fn erase(&self, topic: &str, key: impl AsRef<[u8]>) -> Result<Vec<EraseReport>> {
        self.inner.queues.erase(&self.inner.holds, topic, key.as_ref())
    }

    /// The dead letters of the queue that `group` has on a topic, in the queue's own topic of them; none while nothing was given up yet, and
    /// none of a queue with a [topic for them that was chosen](QueueBuilder::dead_letter_topic): these are in [`dead_letters_in`](Self::dead_letters_in). Letters of topics that had the name
    /// before and were deleted are handed out, too: they can be looked at and discarded, and [not sent back](crate::DeadLetter::is_of_deleted_topic).
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::Error::UnknownTopic) when neither topic is there; otherwise as [`QueueBuilder::build`].
    pub fn dead_letters(&self, topic: &str, group: &str) -> Result<DeadLetters> {
        DeadLetters::of_queue(Arc::clone(&self.inner.queues), topic, group)
    }

    /// The same in a [topic that was chosen](QueueBuilder::dead_letter_topic). Several queues may have theirs in it, each of which
    /// has its own handed out.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`]: [`UnknownTopic`](crate::Error::UnknownTopic) while nothing was given up yet.
    pub fn dead_letters_in(&self, letters: &str, topic: &str, group: &str) -> Result<DeadLetters> {
        DeadLetters::in_topic(Arc::clone(&self.inner.queues), letters, (topic, group))
    }
}
