//! A producer of a cluster.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use annals::{NO_TIMESTAMP, Record};
use annals_port::{Error, ErrorKind, Produce, Result};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, ClientContext};

use super::consumer::{RemoteConsumer, offsets};
use super::failure::{failed, goes_on};
use super::limits::Limits;
use super::number;
use super::standing::Standing;
use crate::cluster::PATIENCE;
use crate::error::FENCES;

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
    /// Of consumers whose offsets the transaction has.
    claims: Vec<Arc<Standing>>,
    limits: Limits,
    /// How long a call may take.
    pub(super) patience: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Transaction {
    Never,
    None,
    Open,
    /// A call in it has failed: it can only be aborted, and a commit is answered with that failure.
    Failed(ErrorKind, String),
    /// Its commit has failed: it can only be aborted.
    Lost,
    /// The client has been told to commit it, and nobody knows what has become of that. It takes no other call until it has said so.
    Commits,
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

/// What the outcome of a record says, if anything, of a producer that has ended with `fatal`.
fn told(error: KafkaError, fatal: Option<Code>) -> Option<KafkaError> {
    if let Some(fence) = fatal.filter(|code| FENCES.contains(code)) {
        // The records that were on their way come back as purged.
        return Some(KafkaError::MessageProduction(fence));
    }
    // Purged without that: aborted with its transaction.
    (error.rdkafka_error_code() != Some(Code::PurgeQueue)).then_some(error)
}

fn invalid(text: &str) -> Error {
    Error::new(ErrorKind::Invalid, text)
}

impl RemoteProducer {
    pub(super) fn new(config: &ClientConfig, limits: Limits) -> Result<Self> {
        let producer = config.create_with_context(Outcomes::default()).map_err(failed("producer"))?;
        Ok(Self { producer, transaction: Transaction::Never, claims: Vec::new(), limits, patience: PATIENCE })
    }

    pub(super) fn with_transactions(config: &ClientConfig, limits: Limits) -> Result<Self> {
        let producer: BaseProducer<Outcomes> =
            config.create_with_context(Outcomes::default()).map_err(failed("producer"))?;
        producer.init_transactions(PATIENCE).map_err(failed("fencing earlier producers"))?;
        Ok(Self { producer, transaction: Transaction::None, claims: Vec::new(), limits, patience: PATIENCE })
    }

    /// What became of records that were sent before.
    fn check(&mut self) -> Result<()> {
        let first = self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((error, topic)) = first else { return Ok(()) };
        if error.rdkafka_error_code() == Some(Code::MessageSizeTooLarge) {
            self.limits.ask_again(&topic);
        }
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        match told(error, fatal) {
            // Aborted with its transaction.
            None => Ok(()),
            Some(error) => Err(self.fail(failed(&format!("a record for {topic}"))(error))),
        }
    }

    /// Kafka's rule: a transaction in which a record or the offsets have failed does not commit the rest.
    fn fail(&mut self, error: Error) -> Error {
        if self.transaction != Transaction::Open {
            return error;
        }
        let kind = match error.kind() {
            // Fenced, it cannot be committed anyway.
            ErrorKind::Fenced => return error,
            // The same commit would be answered with the same.
            ErrorKind::Retriable => ErrorKind::Other,
            kind => kind,
        };
        self.transaction = Transaction::Failed(kind, error.to_string());
        if kind == error.kind() { error } else { Error::new(kind, error.to_string()).with_source(error) }
    }

    fn check_open(&self) -> Result<()> {
        match self.transaction {
            Transaction::Open => Ok(()),
            Transaction::Failed(..) | Transaction::Lost => Err(invalid("the transaction is to be aborted")),
            Transaction::Commits => Err(invalid("the transaction is being committed")),
            Transaction::None => Err(invalid("no transaction was begun")),
            Transaction::Never => Err(invalid("the producer has no transactional id")),
        }
    }

    /// Gives the record to the client, which sends it later.
    fn hand_over(&mut self, record: Record<'_>) -> Result<()> {
        let topic = record.topic_name().ok_or_else(|| invalid("the record names no topic"))?;
        if let Some(time) = record.timestamp_millis().filter(|time| *time < NO_TIMESTAMP) {
            // Which brokers take.
            return Err(Error::new(
                ErrorKind::Refused,
                format!("a record for {topic}: {time} is no timestamp"),
            ));
        }
        if self.limits.is_full(topic, &record) {
            self.flush()?;
        }
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
        let deadline = Instant::now() + self.patience;
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
        self.limits.waits(topic, &record);
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// The transaction is over.
    fn end(&mut self, end: fn(&Standing)) {
        self.transaction = Transaction::None;
        self.claims.drain(..).for_each(|standing| end(&standing));
    }

    /// Begins to commit, or goes on with it.
    fn go_on_to_commit(&mut self) -> Result<()> {
        let Err(error) = self.producer.commit_transaction(self.patience) else {
            self.end(Standing::done);
            return Ok(());
        };
        self.transaction = if goes_on(&error) { Transaction::Commits } else { Transaction::Lost };
        Err(failed("commit of a transaction")(error))
    }

    /// Fenced, there is nothing left to abort.
    fn look_for_fences<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced) {
            self.end(Standing::go_back);
        }
        outcome
    }
}

/// As an abort, but for one that may have been committed.
impl Drop for RemoteProducer {
    fn drop(&mut self) {
        if self.transaction != Transaction::Commits {
            self.end(Standing::go_back);
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
        let sent = self.hand_over(record);
        sent.map_err(|error| self.fail(error))
    }

    fn flush(&mut self) -> Result<()> {
        self.producer.flush(self.patience).map_err(failed("flush"))?;
        self.limits.all_delivered();
        self.check()
    }

    fn begin_transaction(&mut self) -> Result<()> {
        match self.transaction {
            Transaction::Never => return Err(invalid("the producer has no transactional id")),
            Transaction::Open | Transaction::Failed(..) | Transaction::Lost | Transaction::Commits => {
                return Err(invalid("a transaction is open"));
            }
            Transaction::None => {}
        }
        self.producer.begin_transaction().map_err(failed("begin of a transaction"))?;
        self.transaction = Transaction::Open;
        Ok(())
    }

    fn send_offsets(&mut self, consumer: &mut RemoteConsumer) -> Result<()> {
        self.check_open()?;
        // Before what may fail: an abort then takes the consumer back, too.
        let standing = consumer.standing();
        if !self.claims.iter().any(|known| Arc::ptr_eq(known, standing)) {
            self.claims.push(Arc::clone(standing));
        }
        let claimed = standing.claim();
        let claimed = claimed.map_err(|error| self.fail(error))?;
        let group = consumer.client().group_metadata().ok_or_else(|| invalid("the consumer has no group"))?;
        let offsets = offsets(&claimed)?;
        let added = self.producer.send_offsets_to_transaction(&offsets, &group, self.patience);
        added.map_err(|error| {
            let is_over = !goes_on(&error);
            let error = failed("offsets of a transaction")(error);
            if is_over { self.fail(error) } else { error }
        })
    }

    fn commit_transaction(&mut self) -> Result<()> {
        if let Transaction::Failed(kind, why) = &self.transaction {
            return Err(Error::new(*kind, format!("the transaction is to be aborted: {why}")));
        }
        if self.transaction != Transaction::Commits {
            self.check_open()?;
            let flushed = self.flush();
            self.look_for_fences(flushed)?;
        }
        let committed = self.go_on_to_commit();
        self.look_for_fences(committed)
    }

    fn abort_transaction(&mut self) -> Result<()> {
        match self.transaction {
            Transaction::Open | Transaction::Failed(..) | Transaction::Lost => {}
            Transaction::Commits => match self.go_on_to_commit() {
                Ok(()) => return Err(invalid("the transaction was committed before it could be aborted")),
                // An abort may follow.
                Err(_) if self.transaction == Transaction::Lost => {}
                committed => return self.look_for_fences(committed),
            },
            Transaction::None | Transaction::Never => return self.check_open(),
        }
        self.transaction = Transaction::Lost;
        // An abort waits for what is on its way, and nobody else would take its outcome. What becomes of it does not matter any more.
        if self.producer.flush(self.patience).is_ok() {
            self.limits.all_delivered();
        }
        let aborted =
            self.producer.abort_transaction(self.patience).map_err(failed("abort of a transaction"));
        self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.look_for_fences(aborted)?;
        self.end(Standing::go_back);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_is_told_by_whichever_record_comes_back_first() {
        let kind = |came, fatal| {
            let error = told(KafkaError::MessageProduction(came), fatal)?;
            Some(failed("a record")(error).kind())
        };
        assert_eq!(kind(Code::PurgeQueue, None), None);
        assert_eq!(kind(Code::PurgeQueue, Some(Code::Fenced)), Some(ErrorKind::Fenced));
        assert_eq!(kind(Code::Fatal, Some(Code::ProducerFenced)), Some(ErrorKind::Fenced));
        assert_eq!(kind(Code::Fatal, Some(Code::Unknown)), Some(ErrorKind::Other));
    }
}
