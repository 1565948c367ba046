//! A producer of a cluster.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use annals::Record;
use annals_port::{Error, ErrorKind, Produce, Result};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, ClientContext};

use super::consumer::RemoteConsumer;
use super::failure::failed;
use super::number;
use crate::cluster::PATIENCE;

/// A producer of a [`Remote`](crate::Remote).
///
/// ```no_run
/// # use annals::Record;
/// # use annals_mirror::{Remote, RemoteProducer};
/// # use annals_port::{Backend, Produce};
/// let mut producer: RemoteProducer = Remote::new("127.0.0.1:9092").producer()?;
/// producer.send(Record::to("orders").key("alice").value("2 apples"))?;
/// producer.flush()?; // the brokers have it
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RemoteProducer {
    producer: BaseProducer<Outcomes>,
    transaction: Transaction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transaction {
    Never,
    None,
    Open,
}

/// The first record that was not delivered, and where it was to go.
#[derive(Default)]
struct Outcomes(Mutex<Option<(KafkaError, String)>>);

impl ClientContext for Outcomes {}

impl ProducerContext for Outcomes {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| (error.clone(), message.topic().to_owned()));
        }
    }
}

impl std::fmt::Debug for RemoteProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteProducer").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

impl RemoteProducer {
    pub(super) fn new(config: &ClientConfig) -> Result<Self> {
        let producer = config.create_with_context(Outcomes::default()).map_err(failed("producer"))?;
        Ok(Self { producer, transaction: Transaction::Never })
    }

    pub(super) fn with_transactions(config: &ClientConfig) -> Result<Self> {
        let producer: BaseProducer<Outcomes> =
            config.create_with_context(Outcomes::default()).map_err(failed("producer"))?;
        producer.init_transactions(PATIENCE).map_err(failed("fencing earlier producers"))?;
        Ok(Self { producer, transaction: Transaction::None })
    }

    /// What became of records that were sent before.
    fn check(&self) -> Result<()> {
        let first = self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            None => Ok(()),
            // Aborted with its transaction.
            Some((error, _)) if error.rdkafka_error_code() == Some(Code::PurgeQueue) => Ok(()),
            Some((error, topic)) => Err(failed(&format!("a record for {topic}"))(error)),
        }
    }

    fn check_open(&self) -> Result<()> {
        match self.transaction {
            Transaction::Open => Ok(()),
            Transaction::None => Err(invalid("no transaction was begun")),
            Transaction::Never => Err(invalid("the producer has no transactional id")),
        }
    }
}

impl Produce for RemoteProducer {
    type Consumer = RemoteConsumer;

    fn send(&mut self, record: Record<'_>) -> Result<()> {
        if self.transaction != Transaction::Never {
            self.check_open()?;
        }
        self.check()?;
        let topic = record.topic_name().ok_or_else(|| invalid("the record names no topic"))?;
        let mut headers = None;
        for header in record.headers() {
            let before = headers.unwrap_or_else(OwnedHeaders::new);
            headers = Some(before.insert(Header { key: &header.key, value: header.value }));
        }
        let mut message = BaseRecord::<[u8], [u8]>::to(topic);
        message.key = record.key_bytes();
        message.payload = record.value_bytes();
        message.partition = record.partition_number().map(number);
        message.timestamp = record.timestamp_millis();
        message.headers = headers;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.producer.send(message) {
                Ok(()) => break,
                Err((error, back)) => {
                    let is_full = error.rdkafka_error_code() == Some(Code::QueueFull);
                    if !is_full || Instant::now() > deadline {
                        return Err(failed(&format!("a record for {topic}"))(error));
                    }
                    message = back;
                    self.producer.poll(Duration::from_millis(50));
                }
            }
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.producer.flush(PATIENCE).map_err(failed("flush"))?;
        self.check()
    }

    fn begin_transaction(&mut self) -> Result<()> {
        match self.transaction {
            Transaction::Never => return Err(invalid("the producer has no transactional id")),
            Transaction::Open => return Err(invalid("a transaction is open")),
            Transaction::None => {}
        }
        self.producer.begin_transaction().map_err(failed("begin of a transaction"))?;
        self.transaction = Transaction::Open;
        Ok(())
    }

    fn send_offsets(&mut self, consumer: &mut RemoteConsumer) -> Result<()> {
        self.check_open()?;
        let offsets = consumer.stands()?;
        let group = consumer.client().group_metadata().ok_or_else(|| invalid("the consumer has no group"))?;
        self.producer
            .send_offsets_to_transaction(&offsets, &group, PATIENCE)
            .map_err(failed("offsets of a transaction"))
    }

    fn commit_transaction(&mut self) -> Result<()> {
        self.check_open()?;
        let committed = self.flush().and_then(|()| {
            self.producer.commit_transaction(PATIENCE).map_err(failed("commit of a transaction"))
        });
        // Fenced, there is nothing left to abort.
        if committed.as_ref().map_or_else(|error| error.kind() == ErrorKind::Fenced, |()| true) {
            self.transaction = Transaction::None;
        }
        committed
    }

    fn abort_transaction(&mut self) -> Result<()> {
        self.check_open()?;
        // An abort waits for what is on its way, and nobody else would take its outcome. What becomes of it does not matter any more.
        drop(self.producer.flush(PATIENCE));
        let aborted = self.producer.abort_transaction(PATIENCE).map_err(failed("abort of a transaction"));
        self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
        aborted?;
        self.transaction = Transaction::None;
        Ok(())
    }
}
