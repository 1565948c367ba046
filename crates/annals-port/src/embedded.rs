//! A store as the backend.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use annals::{
    Consumer, Durability, Offset, Producer, Record, Store, TopicConfig, TopicPartition, Transaction,
};

use crate::error::{Error, ErrorKind, Result};
use crate::verbs::{Backend, Consume, Produce, Received};

/// An [`annals::Store`] as the backend: a Kafka in this process.
///
/// ```
/// use annals_port::{Backend, Embedded};
/// # let dir = tempfile::tempdir()?;
/// let kafka = Embedded::open(dir.path())?; // for a test: no broker, no container
/// kafka.create_topic("orders", annals::TopicConfig::new().partitions(3))?;
/// assert_eq!(kafka.partition_count("orders")?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Embedded {
    store: Store,
    durability: Durability,
}

impl Embedded {
    /// Opens or creates the store in a directory.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self::new(Store::open(path)?))
    }

    /// Uses a store that is already open.
    pub fn new(store: Store) -> Self {
        Self { store, durability: Durability::Os }
    }

    /// Sets what a flush or a commit survives when it returns. Default: [`Durability::Os`], which is what a broker does by default.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Returns the store, for what only a store can do.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

impl Backend for Embedded {
    type Consumer = EmbeddedConsumer;
    type Producer = EmbeddedProducer;

    fn create_topic(&self, name: &str, config: TopicConfig) -> Result<()> {
        match self.store.create_topic(name, config) {
            // Another name, which differs in `.` and `_` alone: to a cluster that is an invalid one.
            Err(annals::Error::TopicExists { topic, existing }) if topic != existing => {
                let error = annals::Error::TopicExists { topic, existing };
                Err(Error::new(ErrorKind::Invalid, error.to_string()).with_source(error))
            }
            created => {
                created?;
                Ok(())
            }
        }
    }

    fn topics(&self) -> Result<Vec<String>> {
        let names = self.store.topics().into_iter().map(|topic| topic.name().to_owned());
        // Those of the store and of its mirror are no program's.
        Ok(names.filter(|name| !name.starts_with("__") && name != "annals.mirror").collect())
    }

    fn partition_count(&self, topic: &str) -> Result<u32> {
        Ok(self.store.topic(topic)?.partition_count())
    }

    fn producer(&self) -> Result<EmbeddedProducer> {
        // At `Disk` it is the flush that waits for it, once for all.
        let each = if self.durability == Durability::Os { Durability::Os } else { Durability::Memory };
        let kind = Kind::Plain(self.store.producer_builder().durability(each).build()?);
        Ok(EmbeddedProducer { backend: self.clone(), kind })
    }

    fn transactional_producer(&self, id: &str) -> Result<EmbeddedProducer> {
        let mut epochs = EPOCHS.lock().unwrap_or_else(PoisonError::into_inner);
        // Ends what an earlier one has open.
        self.store.transaction(id)?.abort()?;
        let epoch = epochs.entry((self.store.id(), id.to_owned())).or_insert(0);
        *epoch += 1;
        let kind = Kind::Transactional { id: id.to_owned(), epoch: *epoch, open: Open::None };
        Ok(EmbeddedProducer { backend: self.clone(), kind })
    }

    fn consumer(&self, group: &str) -> Result<EmbeddedConsumer> {
        let builder = self.store.consumer_builder().group(group).commit_durability(self.durability);
        Ok(EmbeddedConsumer { consumer: builder.build()? })
    }
}

/// A producer of an [`Embedded`].
///
/// ```
/// # use annals::{Record, TopicConfig};
/// # use annals_port::{Backend, Embedded, Produce};
/// # let dir = tempfile::tempdir()?;
/// # let kafka = Embedded::open(dir.path())?;
/// # kafka.create_topic("orders", TopicConfig::new())?;
/// let mut producer: annals_port::EmbeddedProducer = kafka.producer()?;
/// producer.send(Record::to("orders").value("2 apples"))?;
/// producer.flush()?;
/// assert_eq!(kafka.store().topic("orders")?.partition(0)?.end(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedProducer {
    backend: Embedded,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Plain(Producer),
    Transactional { id: String, epoch: u64, open: Open },
}

#[derive(Debug)]
enum Open {
    None,
    Some(Box<Transaction>),
    /// A call in it has failed: it can only be aborted, and a commit is answered with that failure.
    Failed {
        transaction: Box<Transaction>,
        kind: ErrorKind,
        why: String,
    },
    /// Its commit was refused, so that it takes no effect; the program is to say that it knows.
    Refused,
    /// Nobody knows whether it takes effect before the store is opened again.
    Undecided(String),
}

/// How many producers each id of each store has had in this process, which alone writes to it. A transaction of annals fences the one before;
/// between two of them a producer must not take the id back from a newer one.
static EPOCHS: Mutex<BTreeMap<(u128, String), u64>> = Mutex::new(BTreeMap::new());

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

fn failed() -> Error {
    invalid("the transaction is to be aborted: a call in it has failed")
}

impl EmbeddedProducer {
    fn open(&mut self) -> Result<&mut Open> {
        match &mut self.kind {
            Kind::Plain(_) => Err(invalid("the producer has no transactional id")),
            Kind::Transactional { open, .. } => Ok(open),
        }
    }

    fn transaction(&mut self) -> Result<&mut Transaction> {
        match self.open()? {
            Open::Some(transaction) => Ok(transaction),
            Open::None => Err(invalid("no transaction was begun")),
            Open::Failed { .. } | Open::Refused | Open::Undecided(_) => Err(failed()),
        }
    }

    /// Kafka's rule: a transaction in which a record or the offsets have failed does not commit the rest.
    fn fail(&mut self, error: annals::Error) -> Error {
        let error = Error::from(error);
        let kind = match error.kind() {
            // Fenced, it cannot be committed anyway.
            ErrorKind::Fenced => return error,
            // The same commit would be answered with the same.
            ErrorKind::Retriable => ErrorKind::Other,
            kind => kind,
        };
        let Kind::Transactional { open, .. } = &mut self.kind else { return error };
        if let Open::Some(transaction) = std::mem::replace(open, Open::None) {
            *open = Open::Failed { transaction, kind, why: error.to_string() };
        }
        if kind == error.kind() { error } else { Error::new(kind, error.to_string()).with_source(error) }
    }
}

impl Produce for EmbeddedProducer {
    type Consumer = EmbeddedConsumer;

    fn send(&mut self, record: Record<'_>) -> Result<()> {
        match &self.kind {
            Kind::Plain(producer) => {
                producer.send(record)?;
                Ok(())
            }
            Kind::Transactional { .. } => {
                let sent = self.transaction()?.send(record);
                sent.map_err(|error| self.fail(error))
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        match &self.kind {
            Kind::Plain(producer) if self.backend.durability != Durability::Os => Ok(producer.flush()?),
            // What was sent is there, or comes with the commit.
            _ => Ok(()),
        }
    }

    fn begin_transaction(&mut self) -> Result<()> {
        let Kind::Transactional { id, epoch, open } = &mut self.kind else {
            return Err(invalid("the producer has no transactional id"));
        };
        match open {
            Open::None => {}
            Open::Some(_) => return Err(invalid("a transaction is open")),
            Open::Failed { .. } | Open::Refused | Open::Undecided(_) => return Err(failed()),
        }
        let store = &self.backend.store;
        let epochs = EPOCHS.lock().unwrap_or_else(PoisonError::into_inner);
        if epochs.get(&(store.id(), id.clone())) != Some(epoch) {
            return Err(annals::Error::Fenced { name: id.clone() }.into());
        }
        let begun = store.transaction_builder(id).durability(self.backend.durability).begin()?;
        *open = Open::Some(Box::new(begun));
        Ok(())
    }

    fn send_offsets(&mut self, consumer: &mut EmbeddedConsumer) -> Result<()> {
        let added = self.transaction()?.commit_offsets(&consumer.consumer);
        added.map_err(|error| self.fail(error))
    }

    fn commit_transaction(&mut self) -> Result<()> {
        if let Open::Failed { kind, why, .. } = self.open()? {
            return Err(Error::new(*kind, format!("the transaction is to be aborted: {why}")));
        }
        self.transaction()?;
        let Open::Some(transaction) = std::mem::replace(self.open()?, Open::None) else { return Ok(()) };
        let Err(error) = transaction.commit() else { return Ok(()) };
        *self.open()? = match &error {
            // Nothing is left to abort.
            annals::Error::Fenced { .. } => Open::None,
            annals::Error::Undecided { .. } => Open::Undecided(error.to_string()),
            _ => Open::Refused,
        };
        Err(error.into())
    }

    fn abort_transaction(&mut self) -> Result<()> {
        match std::mem::replace(self.open()?, Open::None) {
            Open::None => Err(invalid("no transaction was begun")),
            Open::Some(transaction) | Open::Failed { transaction, .. } => match transaction.abort() {
                // Which has made sure of it.
                Err(
                    annals::Error::TransactionExpired { .. }
                    | annals::Error::TransactionDisplaced { .. }
                    | annals::Error::TransactionAborted { .. },
                ) => Ok(()),
                aborted => Ok(aborted?),
            },
            Open::Refused => Ok(()),
            Open::Undecided(why) => Err(Error::new(ErrorKind::Other, why)),
        }
    }
}

/// A consumer of an [`Embedded`].
///
/// ```
/// # use annals_port::{Backend, Consume, Embedded};
/// # let dir = tempfile::tempdir()?;
/// # let kafka = Embedded::open(dir.path())?;
/// # kafka.create_topic("orders", annals::TopicConfig::new())?;
/// let mut consumer: annals_port::EmbeddedConsumer = kafka.consumer("readers")?;
/// consumer.subscribe(&["orders"])?;
/// assert_eq!(consumer.assignment()?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EmbeddedConsumer {
    consumer: Consumer,
}

impl EmbeddedConsumer {
    /// Returns the consumer, for what only an annals consumer can do.
    pub fn inner(&mut self) -> &mut Consumer {
        &mut self.consumer
    }
}

impl Consume for EmbeddedConsumer {
    fn subscribe(&mut self, topics: &[&str]) -> Result<()> {
        Ok(self.consumer.subscribe(topics.iter().copied())?)
    }

    fn assign(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        Ok(self.consumer.assign(partitions.iter().cloned())?)
    }

    fn assignment(&self) -> Result<Vec<TopicPartition>> {
        Ok(self.consumer.assignment())
    }

    fn poll(&mut self, timeout: Duration) -> Result<Vec<Received>> {
        let records = self.consumer.poll(timeout)?;
        let header = |header: annals::Header<'_>| (header.key.into_owned(), header.value.map(<[u8]>::to_vec));
        let received = |record: annals::RecordRef<'_>| Received {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: record.headers().map(header).collect(),
        };
        Ok(records.iter().map(received).collect())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(self.consumer.commit()?)
    }

    fn commit_offsets(&mut self, offsets: &[(TopicPartition, Offset)]) -> Result<()> {
        Ok(self.consumer.commit_offsets(offsets.iter().cloned())?)
    }

    fn committed(&mut self, partition: &TopicPartition) -> Result<Option<Offset>> {
        Ok(self.consumer.committed(partition.clone()))
    }

    fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<()> {
        Ok(self.consumer.seek(partition.clone(), offset)?)
    }

    fn position(&mut self, partition: &TopicPartition) -> Result<Option<Offset>> {
        Ok(Some(self.consumer.position(partition.clone())?))
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        Ok(self.consumer.pause(partitions.iter().cloned())?)
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        Ok(self.consumer.resume(partitions.iter().cloned())?)
    }

    fn close(self) -> Result<()> {
        Ok(self.consumer.close()?)
    }
}
