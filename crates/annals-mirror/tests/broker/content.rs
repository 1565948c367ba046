//! What records hold, whichever side they are on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use annals::{Isolation, Record, Store};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A time that does not pass.
pub(crate) const TIME: i64 = 1_700_000_000_000;

impl Content {
    /// A record of every shape in turn; each has its number in it, but for those that hold nothing.
    pub(crate) fn of(number: u64) -> Self {
        let text = format!("record {number}");
        let key = match number % 7 {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(format!("key {}", number % 100).into_bytes()),
        };
        let value = match number % 11 {
            0 => None,
            1 => Some(Vec::new()),
            2 => Some(text.repeat(50).into_bytes()),
            _ => Some(text.clone().into_bytes()),
        };
        let mut headers = vec![("number".to_owned(), Some(number.to_string().into_bytes()))];
        if number.is_multiple_of(3) {
            headers.push(("again".to_owned(), None));
            headers.push(("again".to_owned(), Some(Vec::new())));
            headers.push((String::new(), Some(b"no name".to_vec())));
        }
        Self { timestamp: TIME + i64::try_from(number).unwrap(), key, value, headers }
    }

    pub(crate) fn to_record<'a>(&'a self, topic: &'a str, partition: u32) -> Record<'a> {
        let mut record = Record::to(topic).partition(partition).timestamp(self.timestamp);
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

/// All committed records of a partition of the store.
pub(crate) fn of_store(store: &Store, topic: &str, partition: u32) -> Vec<Content> {
    let partition = store.topic(topic).unwrap().partition(partition).unwrap();
    let reader = partition.read(..).unwrap().isolation(Isolation::ReadCommitted);
    let content = |record: annals::OwnedRecord| Content {
        timestamp: record.timestamp,
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(|header| (header.key, header.value)).collect(),
    };
    reader.into_iter().map(|record| content(record.unwrap())).collect()
}

/// A consumer of committed records that begins at these offsets.
pub(crate) fn consumer(servers: &str, topic: &str, offsets: &[Offset]) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("group.id", "tests").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        list.add_partition_offset(topic, partition, *offset).unwrap();
    }
    consumer.assign(&list).unwrap();
    consumer
}

/// All committed records of a topic of the cluster, with their offsets, by partition.
pub(crate) fn of_cluster(
    servers: &str,
    topic: &str,
    offsets: &[Offset],
) -> BTreeMap<u32, Vec<(i64, Content)>> {
    let consumer = consumer(servers, topic, offsets);
    let mut found: BTreeMap<u32, Vec<_>> =
        (0..u32::try_from(offsets.len()).unwrap()).map(|partition| (partition, Vec::new())).collect();
    let mut open = offsets.len();
    let began = Instant::now();
    while open > 0 {
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(message)) => {
                let headers = message.headers().map(|headers| {
                    let header = |header: rdkafka::message::Header<'_, &[u8]>| {
                        (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
                    };
                    headers.iter().map(header).collect()
                });
                let content = Content {
                    timestamp: message.timestamp().to_millis().unwrap(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: headers.unwrap_or_default(),
                };
                let partition = u32::try_from(message.partition()).unwrap();
                found.get_mut(&partition).unwrap().push((message.offset(), content));
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => panic!("{error}"),
            None => assert!(began.elapsed() < Duration::from_secs(120), "no end of {topic}"),
        }
    }
    found
}

/// Both sides hold the same, record by record; how many.
pub(crate) fn assert_equal(store: &Store, servers: &str, topic: &str, partitions: u32) -> usize {
    let offsets = vec![Offset::Beginning; usize::try_from(partitions).unwrap()];
    let theirs = of_cluster(servers, topic, &offsets);
    let mut count = 0;
    for (partition, theirs) in theirs {
        let ours = of_store(store, topic, partition);
        let differs = ours.iter().zip(&theirs).position(|(ours, (_, theirs))| ours != theirs);
        if let Some(at) = differs {
            panic!("{topic}-{partition}, record {at}:\n{:?}\n{:?}", ours[at], theirs[at]);
        }
        assert_eq!(ours.len(), theirs.len(), "{topic}-{partition}");
        count += ours.len();
    }
    count
}
