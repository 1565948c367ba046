//! A record on its way in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use annals::{Offset, Record, TopicPartition};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::error::{Error, Result};

/// A record of the cluster.
pub(super) struct Fetched {
    pub(super) partition: u32,
    pub(super) source: Offset,
    pub(super) timestamp: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Fetched {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Result<Self> {
        let partition = u32::try_from(message.partition()).unwrap_or(0);
        let source = message.offset();
        let mut headers = Vec::new();
        if let Some(found) = message.headers() {
            // The client takes a name for UTF-8 and panics where it is not.
            let read = catch_unwind(AssertUnwindSafe(|| {
                let header = |header: rdkafka::message::Header<'_, &[u8]>| {
                    (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
                };
                found.iter().map(header).collect()
            }));
            headers = read.map_err(|_| Error::Refused {
                partition: TopicPartition::new(message.topic(), partition),
                offset: source,
                reason: "the name of a header is not UTF-8".to_owned(),
            })?;
        }
        Ok(Self {
            partition,
            source,
            timestamp: message.timestamp().to_millis().unwrap_or(annals::NO_TIMESTAMP),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let header =
            |(key, value): &(String, Option<Vec<u8>>)| key.len() + value.as_ref().map_or(0, Vec::len);
        self.key.as_ref().map_or(0, Vec::len)
            + self.value.as_ref().map_or(0, Vec::len)
            + self.headers.iter().map(header).sum::<usize>()
    }

    pub(super) fn to_record<'a>(&'a self, topic: &'a str) -> Record<'a> {
        let mut record = Record::to(topic).partition(self.partition).timestamp(self.timestamp);
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
