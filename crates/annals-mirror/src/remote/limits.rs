//! How much of a topic's records may be on its way at once.
//!
//! The client makes batches of up to its `batch.size`, of which it has one for all topics, and a topic refuses a batch that is larger than its
//! `max.message.bytes`, even of records that are small. So no more is handed to the client than the topic takes in one batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use annals::Record;
use futures_executor::block_on;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode as Code;

const KEY: &str = "max.message.bytes";
/// What the client puts into a batch where its settings say nothing.
const BATCH_BYTES: usize = 1_000_000;
/// Of a batch, besides its records.
const BATCH_HEADER_BYTES: usize = 61;
/// Of a record at most, besides what it holds, and of each of its headers.
const RECORD_BYTES: usize = 36;
const HEADER_BYTES: usize = 10;
/// How long an answer may take: a record waits for it.
const ANSWER: Duration = Duration::from_secs(3);

/// The topics of one producer.
pub(super) struct Limits {
    /// Of the client that asks.
    config: ClientConfig,
    admin: Option<AdminClient<DefaultClientContext>>,
    /// What the producer puts into a batch by itself.
    batch_bytes: usize,
    topics: BTreeMap<String, Topic>,
    silence: Silence,
}

/// Whether the brokers have not answered, as those of a mock cluster: no other producer waits for them until a batch is refused.
pub(super) type Silence = Arc<AtomicBool>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Most {
    Bytes(usize),
    /// Its batches fit, or nobody says how large they may be.
    Any,
}

struct Topic {
    most: Most,
    /// Handed to the client since all was delivered.
    waiting: usize,
}

impl Limits {
    pub(super) fn new(config: ClientConfig, producer: &ClientConfig, silence: Silence) -> Self {
        let batch_bytes = producer.get("batch.size").and_then(|bytes| bytes.parse().ok());
        let batch_bytes = batch_bytes.unwrap_or(BATCH_BYTES);
        Self { config, admin: None, batch_bytes, topics: BTreeMap::new(), silence }
    }

    /// Whether all that waits has to be delivered before this record is handed over.
    pub(super) fn is_full(&mut self, topic: &str, record: &Record<'_>) -> bool {
        if !self.topics.contains_key(topic) {
            let most = self.ask(topic);
            self.topics.insert(topic.to_owned(), Topic { most, waiting: 0 });
        }
        let Some(Topic { most: Most::Bytes(most), waiting }) = self.topics.get(topic) else { return false };
        *waiting > 0 && BATCH_HEADER_BYTES + waiting + bytes(record) > *most
    }

    /// The record is handed over.
    pub(super) fn waits(&mut self, topic: &str, record: &Record<'_>) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.waiting += bytes(record);
        }
    }

    /// Nothing waits any more.
    pub(super) fn all_delivered(&mut self) {
        self.topics.values_mut().for_each(|topic| topic.waiting = 0);
    }

    /// A topic has found a batch too large: it takes less by now.
    pub(super) fn ask_again(&mut self, topic: &str) {
        self.silence.store(false, Ordering::Relaxed);
        self.topics.remove(topic);
    }

    fn ask(&mut self, topic: &str) -> Most {
        if self.silence.load(Ordering::Relaxed) {
            return Most::Any;
        }
        match self.largest(topic) {
            Ok(Some(bytes)) if bytes < self.batch_bytes => return Most::Bytes(bytes),
            Err(KafkaError::AdminOp(Code::OperationTimedOut)) => self.silence.store(true, Ordering::Relaxed),
            // A producer may write to a topic whose settings it may not see.
            Ok(_) | Err(_) => {}
        }
        Most::Any
    }

    fn largest(&mut self, topic: &str) -> KafkaResult<Option<usize>> {
        let admin = match &self.admin {
            Some(admin) => admin,
            None => self.admin.insert(self.config.create()?),
        };
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        let described = block_on(admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options))?;
        let of_topic = described.into_iter().next().ok_or(KafkaError::Canceled)?;
        let of_topic = of_topic.map_err(KafkaError::AdminOp)?;
        let value =
            of_topic.entries.into_iter().find(|entry| entry.name == KEY).and_then(|entry| entry.value);
        Ok(value.and_then(|bytes| bytes.parse().ok()))
    }
}

/// What it takes of a batch at most.
fn bytes(record: &Record<'_>) -> usize {
    let headers = record
        .headers()
        .iter()
        .map(|header| HEADER_BYTES + header.key.len() + header.value.map_or(0, <[u8]>::len));
    let headers: usize = headers.sum();
    RECORD_BYTES
        + headers
        + record.key_bytes().map_or(0, <[u8]>::len)
        + record.value_bytes().map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_waits_as_a_topic_takes_in_a_batch() {
        let mut limits = Limits::new(ClientConfig::new(), &ClientConfig::new(), Silence::default());
        limits.topics.insert("small".to_owned(), Topic { most: Most::Bytes(2000), waiting: 0 });
        limits.topics.insert("other".to_owned(), Topic { most: Most::Any, waiting: 0 });
        let (value, large) = ("v".repeat(100), "v".repeat(3000));
        let record = Record::new().value(&value);
        for _ in 0..3 {
            let mut count = 0;
            while !limits.is_full("small", &record) {
                limits.waits("small", &record);
                limits.waits("other", &record);
                count += 1;
            }
            assert_eq!(count, 14, "61 bytes, and 136 of each record");
            assert!(!limits.is_full("other", &Record::new().value(&large)));
            limits.all_delivered();
        }
        assert!(!limits.is_full("small", &Record::new().value(&large)), "the broker refuses it");
    }
}
