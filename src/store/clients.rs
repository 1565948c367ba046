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
    /// Returns a producer with the default settings: records are in the operating system's hands when `send` returns.
    pub fn producer(&self) -> Producer {
        self.producer_builder().build_default()
    }

    /// Returns a builder for a producer with other settings.
    pub fn producer_builder(&self) -> ProducerBuilder {
        ProducerBuilder::new(Arc::clone(&self.inner.topics))
    }

    /// Begins a transaction of that name, with the default settings. An earlier user of the name is fenced, and what it
    /// has not committed is aborted.
    ///
    /// # Errors
    /// [`InvalidName`](crate::Error::InvalidName), [`StoreClosed`](crate::Error::StoreClosed).
    pub fn transaction(&self, name: &str) -> Result<Transaction> {
        self.check_open()?;
        self.transaction_builder(name).begin()
    }

    /// Returns a builder that begins a transaction with other settings.
    pub fn transaction_builder(&self, name: &str) -> TransactionBuilder {
        TransactionBuilder::new(&self.inner.transactions, self.producer(), name)
    }

    /// Aborts one transaction that has written something and is not decided, and no later transaction of the same name. It is for
    /// administrators of a store, like Kafka's `Admin.abortTransaction`.
    /// [`StoreStats::open_transactions`](crate::stats::StoreStats::open_transactions) lists the candidates. If nothing of it is left to
    /// abort, nothing happens, and the return value says why. It waits for no call of the transaction; it writes ends of the transaction into
    /// its partitions, which may wait for a write that is under way.
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

    /// Returns the producer of that name, which knows what it has sent, also before the store was last opened.
    ///
    /// # Errors
    /// [`InvalidName`](crate::Error::InvalidName), [`StoreClosed`](crate::Error::StoreClosed); [`Io`](crate::Error::Io) when its name cannot be
    /// made durable.
    pub fn named_producer(&self, name: &str) -> Result<NamedProducer> {
        self.check_open()?;
        self.inner.transactions.named_producer(name)
    }

    /// Returns a consumer of that group, with the default settings. It becomes a member when it subscribes.
    ///
    /// # Errors
    /// [`InvalidName`](crate::Error::InvalidName); [`Corrupt`](crate::Error::Corrupt) while the committed offsets cannot be read.
    pub fn consumer(&self, group: &str) -> Result<Consumer> {
        self.consumer_builder().group(group).build()
    }

    /// Returns a builder for a consumer with other settings, or without a group.
    pub fn consumer_builder(&self) -> ConsumerBuilder {
        ConsumerBuilder::new(Arc::clone(&self.inner.topics), Arc::clone(&self.inner.groups))
    }

    /// Returns a worker of the queue that `group` has on a topic, with the default settings. The first worker creates the queue, which begins
    /// at the topic's first record. Queues of other groups, and consumers, see every record too.
    ///
    /// # Errors
    /// As for [`QueueBuilder::build`].
    pub fn queue(&self, topic: &str, group: &str) -> Result<Worker> {
        self.queue_builder(topic, group).build()
    }

    /// Returns a builder for a worker of a queue with other settings.
    pub fn queue_builder(&self, topic: &str, group: &str) -> QueueBuilder {
        QueueBuilder::new(Arc::clone(&self.inner.queues), topic, group)
    }

    /// Returns a builder for an [`Enqueuer`](crate::Enqueuer), which sends messages to a topic: each id once, and no more than a queue may
    /// have unfinished.
    pub fn enqueuer_builder(&self, topic: &str) -> EnqueuerBuilder {
        EnqueuerBuilder::new(Arc::clone(&self.inner.queues), Arc::clone(&self.inner.holds), topic)
    }

    /// Returns a schedule, which sends records to be delivered later, from this thread and others.
    pub fn schedule(&self) -> Schedule {
        Schedule::new(Arc::clone(&self.inner.holds))
    }

    /// Removes from a topic with [`retention_until_consumed`](crate::TopicConfig::retention_until_consumed) what all queues on it have done
    /// and all groups have committed, record by record, so that a few unfinished messages do not keep others: retention removes only
    /// whole segments from the start. What is left keeps its offsets. Others can send and work at the same time.
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
    /// [`UnknownTopic`](crate::Error::UnknownTopic), [`InvalidArgument`](crate::Error::InvalidArgument) for a topic that keeps consumed records. The
    /// first failure of any partition, as for [`Topic::erase`](crate::Topic::erase); the others are processed all the same. It is
    /// [`Poisoned`](crate::Error::Poisoned) where a record to be removed belongs to a transaction that cannot become durable before the store
    /// is opened again: the record stays.
    pub fn drop_done(&self, topic: &str) -> Result<Vec<EraseReport>> {
        self.inner.queues.drop_done(topic)
    }

    /// Removes every record of a key from a topic, as [`Topic::erase`](crate::Topic::erase) does, and from what a store keeps of it outside
    /// the topic: what a [`Schedule`] is to deliver there, and the dead letters of its queues. Returns one report for each partition of the
    /// topic, and for each other partition that had such records.
    ///
    /// Messages that a worker has taken are covered, too: given up afterwards they leave no letter. If letters of the topic are sent back
    /// meanwhile, everything is searched once more, three times at most. Not covered are: what is sent meanwhile; what is sent back during
    /// the last search; letters in a [topic that was chosen](QueueBuilder::dead_letter_topic) if every group that had some there was deleted;
    /// backups, snapshots of events, and what programs have made of the records. Call it again once those are done. A power cut may bring
    /// back a file that retention had removed shortly before, until its partition is written to, or erased from. It reads all of the topic,
    /// of its dead letters, and of what is scheduled.
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
    /// [`UnknownTopic`](crate::Error::UnknownTopic); otherwise as for [`Topic::erase`](crate::Topic::erase): the first failure, whether in
    /// the topic, in what is scheduled or in the letters, also of a topic that may have some and could not be opened; the others are
    /// processed all the same. After an error some records may be left: call again. [`Poisoned`](crate::Error::Poisoned) where such a record
    /// belongs to a transaction that cannot become durable before the store is opened again.
    pub fn erase(&self, topic: &str, key: impl AsRef<[u8]>) -> Result<Vec<EraseReport>> {
        self.inner.queues.erase(&self.inner.holds, topic, key.as_ref())
    }

    /// Returns the dead letters of the queue that `group` has on a topic, from the queue's own topic for them. There are none while nothing
    /// was given up yet, and none for a queue with a [topic for them that was chosen](QueueBuilder::dead_letter_topic): those are in
    /// [`dead_letters_in`](Self::dead_letters_in). Letters of topics that had the name before and were deleted are returned, too: they can be
    /// inspected and discarded, but [not sent back](crate::DeadLetter::is_of_deleted_topic).
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::Error::UnknownTopic) when neither topic exists; otherwise as for [`QueueBuilder::build`].
    pub fn dead_letters(&self, topic: &str, group: &str) -> Result<DeadLetters> {
        DeadLetters::of_queue(Arc::clone(&self.inner.queues), topic, group)
    }

    /// Returns the dead letters of a queue from a [topic that was chosen](QueueBuilder::dead_letter_topic). Several queues may share such a
    /// topic; each gets only its own letters.
    ///
    /// # Errors
    /// As for [`QueueBuilder::build`]: [`UnknownTopic`](crate::Error::UnknownTopic) while nothing was given up yet.
    pub fn dead_letters_in(&self, letters: &str, topic: &str, group: &str) -> Result<DeadLetters> {
        DeadLetters::in_topic(Arc::clone(&self.inner.queues), letters, (topic, group))
    }
}
