//! The verbs.

use std::time::Duration;

use annals::{Offset, Record, Timestamp, TopicConfig, TopicPartition};

use crate::error::Result;

/// A source of topics, producers and consumers: a store, or a cluster.
///
/// ```
/// use annals_port::{Backend, Consume, Produce, Result};
/// use std::time::Duration;
///
/// /// Each order is invoiced once, whatever dies.
/// fn invoice(kafka: &impl Backend) -> Result<()> {
///     let mut consumer = kafka.consumer("billing")?;
///     consumer.subscribe(&["orders"])?;
///     let mut producer = kafka.transactional_producer("billing")?;
///     loop {
///         let orders = consumer.poll(Duration::from_secs(1))?;
///         if orders.is_empty() {
///             return Ok(());
///         }
///         producer.begin_transaction()?;
///         for order in &orders {
///             producer.send(order.to_record().topic("invoices"))?;
///         }
///         producer.send_offsets(&mut consumer)?;
///         producer.commit_transaction()?;
///     }
/// }
/// # use annals_port::Embedded;
/// # let dir = tempfile::tempdir()?;
/// # let kafka = Embedded::open(dir.path())?;
/// # for topic in ["orders", "invoices"] { kafka.create_topic(topic, annals::TopicConfig::new())?; }
/// # invoice(&kafka)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Backend {
    /// The type of its consumers.
    type Consumer: Consume;
    /// The type of its producers.
    type Producer: Produce<Consumer = Self::Consumer>;

    /// Creates a topic. The topic can be used when this returns.
    ///
    /// # Errors
    /// [`TopicExists`](crate::ErrorKind::TopicExists), [`Invalid`](crate::ErrorKind::Invalid).
    fn create_topic(&self, name: &str, config: TopicConfig) -> Result<()>;

    /// Returns the names of the programs' topics; topics that a backend keeps for itself are left out.
    ///
    /// # Errors
    /// An error when the backend cannot be reached.
    fn topics(&self) -> Result<Vec<String>>;

    /// Returns the number of partitions of a topic.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic).
    fn partition_count(&self, topic: &str) -> Result<u32>;

    /// Returns a producer without transactions.
    ///
    /// # Errors
    /// An error when the backend cannot be reached.
    fn producer(&self) -> Result<Self::Producer>;

    /// Returns a producer that fences all earlier ones of that `transactional.id`, and ends the transaction that one of them has open.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for an invalid id; an error when the backend cannot be reached.
    fn transactional_producer(&self, id: &str) -> Result<Self::Producer>;

    /// Returns a consumer of that group, which begins where the group has committed, or at the first record. It reads committed records, and commits
    /// only when asked to.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for an invalid name; an error when the backend cannot be reached.
    fn consumer(&self, group: &str) -> Result<Self::Consumer>;
}

/// A producer. A record goes to the partition it names, or to that of its key by the Java client's hash, or to any partition.
///
/// ```
/// use annals::{Record, TopicConfig};
/// use annals_port::{Backend, Embedded, Produce};
/// # let dir = tempfile::tempdir()?;
/// let kafka = Embedded::open(dir.path())?;
/// kafka.create_topic("orders", TopicConfig::new())?;
/// let mut producer = kafka.producer()?;
/// for number in 0..100 {
///     producer.send(Record::to("orders").key("alice").value(&format!("{number} apples")))?;
/// }
/// producer.flush()?; // all of them are there, or one of them is the error
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Produce {
    /// The consumers whose offsets it can commit.
    type Consumer: Consume;

    /// Sends a record. It is in the log when a later [`flush`](Self::flush) or commit returns; any later call may report that it failed.
    /// With a transactional producer it belongs to the open transaction, which can only be aborted when it fails.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic), [`Refused`](crate::ErrorKind::Refused),
    /// [`Invalid`](crate::ErrorKind::Invalid) outside of a transaction where one is required.
    fn send(&mut self, record: Record<'_>) -> Result<()>;

    /// Waits until everything that was sent is in the log.
    ///
    /// # Errors
    /// The failure of a record that is not.
    fn flush(&mut self) -> Result<()>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) without an id, or when one is open; [`Fenced`](crate::ErrorKind::Fenced).
    fn begin_transaction(&mut self) -> Result<()>;

    /// Makes the consumer's position part of the transaction: its group has committed that position when the transaction is committed
    /// (`sendOffsetsToTransaction`).
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned), here or at the commit, for a partition that the group has given to another member:
    /// abort the transaction then; [`Fenced`](crate::ErrorKind::Fenced).
    fn send_offsets(&mut self, consumer: &mut Self::Consumer) -> Result<()>;

    /// Commits the transaction, so that it takes effect.
    ///
    /// # Errors
    /// [`Fenced`](crate::ErrorKind::Fenced): it does not take effect. [`Retriable`](crate::ErrorKind::Retriable): nobody knows yet; the same
    /// call continues the commit, and reports that it took effect, or that it cannot. The kind of the failure when a [`send`](Self::send) or
    /// [`send_offsets`](Self::send_offsets) of this transaction has failed. After other errors than these two call
    /// [`abort_transaction`](Self::abort_transaction).
    fn commit_transaction(&mut self) -> Result<()>;

    /// Aborts the transaction, so that it never takes effect, and sets the consumer of [`send_offsets`](Self::send_offsets) back to before what is
    /// not done: its next poll returns that again. Call it after a failed commit, too.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) when none is open, or the commit before has taken effect after all;
    /// [`Retriable`](crate::ErrorKind::Retriable): the same call continues the abort; [`Fenced`](crate::ErrorKind::Fenced);
    /// [`Other`](crate::ErrorKind::Other) when nobody knows, and nobody will before the backend is opened again.
    fn abort_transaction(&mut self) -> Result<()>;
}

/// A consumer.
///
/// ```
/// use annals::{Record, TopicConfig, TopicPartition};
/// use annals_port::{Backend, Consume, Embedded, Produce};
/// use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let kafka = Embedded::open(dir.path())?;
/// # kafka.create_topic("orders", TopicConfig::new())?;
/// # kafka.producer()?.send(Record::to("orders").value("2 apples"))?;
/// let place = TopicPartition::new("orders", 0);
/// let mut consumer = kafka.consumer("readers")?;
/// consumer.assign(&[place.clone()])?;
/// let first = consumer.poll(Duration::from_secs(10))?;
/// consumer.seek(&place, first[0].offset)?; // once more
/// assert_eq!(consumer.poll(Duration::from_secs(10))?, first);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Consume {
    /// Joins the group as a reader of these topics, instead of those before.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic), here or at a poll.
    fn subscribe(&mut self, topics: &[&str]) -> Result<()>;

    /// Reads these partitions, whatever others read.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic), here or at a poll.
    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Returns what it reads, as of its last poll.
    ///
    /// # Errors
    /// None that a program can handle.
    fn assignment(&self) -> Result<Vec<TopicPartition>>;

    /// Returns records, as soon as there are some; none when `timeout` is over. They are in the order of offsets in each partition. The next
    /// poll continues after them.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic) for a topic that was deleted; others.
    fn poll(&mut self, timeout: Duration) -> Result<Vec<Received>>;

    /// Commits its position: after what polls have returned.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned): the group has given a partition to another member.
    fn commit(&mut self) -> Result<()>;

    /// Commits the given offsets, which are those of the next records to be read.
    ///
    /// # Errors
    /// As for [`commit`](Self::commit).
    fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()>;

    /// Returns what the group has committed for a partition.
    ///
    /// # Errors
    /// An error when the backend cannot be reached.
    fn committed(&mut self, partition: &TopicPartition) -> Result<Option<Offset>>;

    /// Continues at an offset of a partition that it reads.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned) for a partition that it does not read.
    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()>;

    /// Returns where it continues: after the last record it returned, or where it was set. `None` if it has not begun yet.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned) for a partition that it does not read.
    fn position(&mut self, partition: &TopicPartition) -> Result<Option<Offset>>;

    /// Pauses these partitions: polls return nothing from them until they are resumed.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned) for a partition that it does not read.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Resumes these partitions: polls return records from them again.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned) for a partition that it does not read.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Leaves the group. Dropping the consumer does so, too, but may take longer.
    ///
    /// # Errors
    /// An error when the backend cannot be reached.
    fn close(self) -> Result<()>
    where
        Self: Sized;
}

/// A record as a consumer receives it.
///
/// ```
/// use annals_port::Received;
/// fn is_tombstone(record: &Received) -> bool {
///     record.value.is_none()
/// }
/// # assert!(is_tombstone(&Received::default()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Received {
    /// The topic's name.
    pub topic: String,
    /// The partition's number.
    pub partition: u32,
    /// Its offset there.
    pub offset: Offset,
    /// The record's timestamp, Unix milliseconds.
    pub timestamp: Timestamp,
    /// The key, `None` when null.
    pub key: Option<Vec<u8>>,
    /// The value, `None` when null.
    pub value: Option<Vec<u8>>,
    /// The headers in order; a null value is `None`.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Received {
    /// Returns the topic and partition it is in.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), self.partition)
    }

    /// Returns a record with the same content to send on, without a topic or partition yet.
    pub fn to_record(&self) -> Record<'_> {
        let mut record = Record::new().timestamp(self.timestamp);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.value(value);
        }
        for (key, value) in &self.headers {
            record = match value {
                Some(value) => record.header(key, value),
                None => record.null_header(key),
            };
        }
        record
    }
}
