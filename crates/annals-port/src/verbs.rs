//! The verbs.

use std::time::Duration;

use annals::{Offset, Record, Timestamp, TopicConfig, TopicPartition};

use crate::error::Result;

/// Where topics, producers and consumers come from: a store, or a cluster.
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
    /// What its consumers are.
    type Consumer: Consume;
    /// What its producers are.
    type Producer: Produce<Consumer = Self::Consumer>;

    /// Creates a topic. It can be used when this returns.
    ///
    /// # Errors
    /// [`TopicExists`](crate::ErrorKind::TopicExists), [`Invalid`](crate::ErrorKind::Invalid).
    fn create_topic(&self, name: &str, config: TopicConfig) -> Result<()>;

    /// The topics of programs, by name; those that a backend keeps for itself are left out.
    ///
    /// # Errors
    /// Where the backend cannot be reached.
    fn topics(&self) -> Result<Vec<String>>;

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic).
    fn partition_count(&self, topic: &str) -> Result<u32>;

    /// A producer without transactions.
    ///
    /// # Errors
    /// Where the backend cannot be reached.
    fn producer(&self) -> Result<Self::Producer>;

    /// A producer that fences all earlier ones of that `transactional.id`, and ends the transaction that one of them has open.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for an id; where the backend cannot be reached.
    fn transactional_producer(&self, id: &str) -> Result<Self::Producer>;

    /// A consumer of that group, which begins where the group has committed, or at the first record, reads committed records, and commits
    /// only when it is told to.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for a name; where the backend cannot be reached.
    fn consumer(&self, group: &str) -> Result<Self::Consumer>;
}

/// A producer. A record goes to the partition it names, or to that of its key, as the Java client hashes it, or to any.
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

    /// Sends a record. It is there when a later [`flush`](Self::flush) or commit returns; what becomes of it may be reported by any
    /// later call. With a transactional producer it belongs to the transaction that is open.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic), [`Refused`](crate::ErrorKind::Refused),
    /// [`Invalid`](crate::ErrorKind::Invalid) outside of a transaction where there must be one.
    fn send(&mut self, record: Record<'_>) -> Result<()>;

    /// Waits until all that was sent is there.
    ///
    /// # Errors
    /// What became of a record that is not.
    fn flush(&mut self) -> Result<()>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) without an id, or where one is open; [`Fenced`](crate::ErrorKind::Fenced).
    fn begin_transaction(&mut self) -> Result<()>;

    /// Makes where the consumer stands a part of the transaction: its group has committed that when the transaction is committed
    /// (`sendOffsetsToTransaction`).
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned), here or at the commit, for a partition that the group has given to another member,
    /// after which the transaction is to be aborted; [`Fenced`](crate::ErrorKind::Fenced).
    fn send_offsets(&mut self, consumer: &mut Self::Consumer) -> Result<()>;

    /// Makes the transaction take effect.
    ///
    /// # Errors
    /// [`Fenced`](crate::ErrorKind::Fenced): it does not. [`Retriable`](crate::ErrorKind::Retriable): nobody knows yet; the same call goes on
    /// with it, and says so, or that it cannot be. After others: [`abort_transaction`](Self::abort_transaction).
    fn commit_transaction(&mut self) -> Result<()>;

    /// Makes sure that it never does, and takes the consumer of [`send_offsets`](Self::send_offsets) back to where it stood before what is
    /// not done: its next poll hands that out again. It is the answer to a commit that failed, too.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) where none is open, or the commit before has taken effect after all;
    /// [`Retriable`](crate::ErrorKind::Retriable): the same call goes on with it; [`Fenced`](crate::ErrorKind::Fenced);
    /// [`Other`](crate::ErrorKind::Other) where nobody knows, and nobody will before the backend is opened again.
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
    /// Joins the group as a reader of these topics, in place of those before.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic), here or at a poll.
    fn subscribe(&mut self, topics: &[&str]) -> Result<()>;

    /// Reads these partitions, whatever others read.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic), here or at a poll.
    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// What it reads, as of its last poll.
    ///
    /// # Errors
    /// None that a program can act on.
    fn assignment(&self) -> Result<Vec<TopicPartition>>;

    /// Records, as soon as there are some; none when `timeout` is over. In the order of offsets in each partition. The next poll goes on
    /// behind them.
    ///
    /// # Errors
    /// [`UnknownTopic`](crate::ErrorKind::UnknownTopic) for one that was deleted; others.
    fn poll(&mut self, timeout: Duration) -> Result<Vec<Received>>;

    /// Commits where it stands: behind what polls have handed out.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned): the group has given a partition to another member.
    fn commit(&mut self) -> Result<()>;

    /// Commits given offsets, of the next records to be read.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()>;

    /// What the group has committed for a partition.
    ///
    /// # Errors
    /// Where the backend cannot be reached.
    fn committed(&mut self, partition: &TopicPartition) -> Result<Option<Offset>>;

    /// Goes on at an offset of a partition that it reads.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned) for a partition that it does not read.
    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()>;

    /// Where it goes on: behind the last record that it was handed, or where it was set. Nothing where it has not begun yet.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned) for a partition that it does not read.
    fn position(&mut self, partition: &TopicPartition) -> Result<Option<Offset>>;

    /// Polls hand out nothing of these partitions until they are resumed.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned) for a partition that it does not read.
    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Polls hand out records of them again.
    ///
    /// # Errors
    /// [`NotAssigned`](crate::ErrorKind::NotAssigned) for a partition that it does not read.
    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()>;

    /// Leaves the group. Dropping it does so, too, in its own time.
    ///
    /// # Errors
    /// Where the backend cannot be reached.
    fn close(self) -> Result<()>
    where
        Self: Sized;
}

/// A record as a consumer gets it.
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
    /// Unix milliseconds.
    pub timestamp: Timestamp,
    /// The key, `None` when null.
    pub key: Option<Vec<u8>>,
    /// The value, `None` when null.
    pub value: Option<Vec<u8>>,
    /// The headers in order; `None` for a null value.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Received {
    /// Where it is.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), self.partition)
    }

    /// The same content to send on, addressed to nothing yet.
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
