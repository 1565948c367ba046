//! A record on its way out.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::format::RawRecord;
use crate::types::{Header, NO_TIMESTAMP, Offset, Record, Shown, Timestamp, TopicPartition};

/// A record as read: borrowed from the mapped segment, or from the buffer its batch was expanded into.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let topic = store.create_topic("orders", TopicConfig::new())?;
/// # store.producer().send(Record::to("orders").key("alice").value("2 apples").header("trace", "7f"))?;
/// let records = topic.partition(0)?.read_from(0)?.fetch()?;
/// let record = records.iter().next().unwrap();
/// assert_eq!(record.key(), Some(&b"alice"[..]));
/// assert_eq!(record.header("trace"), Some(&b"7f"[..]));
/// let kept = record.to_owned();
/// drop(records);
/// assert_eq!(kept.value.as_deref(), Some(&b"2 apples"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct RecordRef<'a> {
    place: &'a TopicPartition,
    raw: RawRecord<'a>,
}

impl<'a> RecordRef<'a> {
    #[inline]
    pub(super) fn new(place: &'a TopicPartition, raw: RawRecord<'a>) -> Self {
        Self { place, raw }
    }

    /// Returns the topic's name.
    pub fn topic(&self) -> &'a str {
        self.place.topic()
    }

    /// Returns the partition's number.
    pub fn partition(&self) -> u32 {
        self.place.partition()
    }

    /// Returns the topic and the partition's number.
    pub fn topic_partition(&self) -> &'a TopicPartition {
        self.place
    }

    /// Returns the record's offset.
    #[inline]
    pub fn offset(&self) -> Offset {
        self.raw.offset
    }

    /// Returns the record's timestamp, Unix milliseconds; -1 when it has none.
    #[inline]
    pub fn timestamp(&self) -> Timestamp {
        self.raw.timestamp
    }

    /// Returns when the event happened, as system time; `None` when the record has no timestamp.
    pub fn time(&self) -> Option<SystemTime> {
        system_time(self.timestamp())
    }

    /// Returns the key, `None` when null.
    #[inline]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.raw.key
    }

    /// Returns the value, `None` when null.
    #[inline]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.raw.value
    }

    /// Returns the headers in the order they were sent in; names may repeat.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        self.raw.headers.iter()
    }

    /// Returns the value of the last header of that name, as Kafka's clients choose; `None` when there is none or it is null.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().filter(|header| header.key == name).last()?.value
    }

    /// Returns a copy that outlives the fetch.
    pub fn to_owned(&self) -> OwnedRecord {
        let header = |header: Header<'_>| OwnedHeader {
            key: header.key.into_owned(),
            value: header.value.map(<[u8]>::to_vec),
        };
        OwnedRecord {
            topic: Arc::clone(self.place.shared_topic()),
            partition: self.partition(),
            offset: self.offset(),
            timestamp: self.timestamp(),
            key: self.key().map(<[u8]>::to_vec),
            value: self.value().map(<[u8]>::to_vec),
            headers: self.headers().map(header).collect(),
        }
    }
}

impl fmt::Debug for RecordRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordRef")
            .field("at", &format_args!("{}@{}", self.place, self.offset()))
            .field("timestamp", &self.timestamp())
            .field("key", &self.key().map(Shown))
            .field("value", &self.value().map(Shown))
            .field("headers", &self.raw.headers.len())
            .finish()
    }
}

/// A record that owns its bytes.
///
/// ```
/// # use annals::OwnedRecord;
/// fn is_tombstone(record: &OwnedRecord) -> bool {
///     record.value.is_none()
/// }
/// ```
///
/// `{:?}` prints keys and values as text where they are UTF-8, as escaped bytes where they are not.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedRecord {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: u32,
    /// The record's offset.
    pub offset: Offset,
    /// The record's timestamp, Unix milliseconds; -1 when there is none.
    pub timestamp: Timestamp,
    /// The key, `None` when null.
    pub key: Option<Vec<u8>>,
    /// The value, `None` when null.
    pub value: Option<Vec<u8>>,
    /// The headers in order.
    pub headers: Vec<OwnedHeader>,
}

impl OwnedRecord {
    /// A record that has no offset yet, for `place`; `now` is its time where it has none.
    pub(crate) fn kept(record: &Record<'_>, place: &TopicPartition, now: Timestamp) -> Self {
        let header = |header: &Header<'_>| OwnedHeader {
            key: header.key.clone().into_owned(),
            value: header.value.map(<[u8]>::to_vec),
        };
        Self {
            topic: Arc::clone(place.shared_topic()),
            partition: place.partition(),
            offset: -1,
            timestamp: record.timestamp_millis().unwrap_or(now),
            key: record.key_bytes().map(<[u8]>::to_vec),
            value: record.value_bytes().map(<[u8]>::to_vec),
            headers: record.headers().iter().map(header).collect(),
        }
    }

    /// Returns the value of the last header of that name, as Kafka's clients choose; `None` when there is none or it is null.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rfind(|header| header.key == name)?.value.as_deref()
    }

    /// Returns when the event happened, as system time; `None` when the record has no timestamp.
    pub fn time(&self) -> Option<SystemTime> {
        system_time(self.timestamp)
    }
}

impl fmt::Debug for OwnedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, offset, timestamp, key, value, headers } = self;
        f.debug_struct("OwnedRecord")
            .field("at", &format_args!("{topic}-{partition}@{offset}"))
            .field("timestamp", timestamp)
            .field("key", &key.as_deref().map(Shown))
            .field("value", &value.as_deref().map(Shown))
            .field("headers", headers)
            .finish()
    }
}

/// The same content to send on: timestamp, key, value and headers, addressed to nothing yet.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # let orders = store.create_topic("orders", TopicConfig::new())?;
/// # store.create_topic("dead-letters", TopicConfig::new())?;
/// # let producer = store.producer();
/// # producer.send(Record::to("orders").key("alice").value("2 apples").header("trace", "7f"))?;
/// let failed = orders.partition(0)?.get(0)?.unwrap();
/// producer.send(Record::from(&failed).topic("dead-letters").header("reason", "out of apples"))?;
/// let letter = store.topic("dead-letters")?.partition(0)?.get(0)?.unwrap();
/// assert_eq!((letter.header("trace"), letter.header("reason")), (Some(&b"7f"[..]), Some(&b"out of apples"[..])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<'a> From<&'a OwnedRecord> for Record<'a> {
    fn from(owned: &'a OwnedRecord) -> Self {
        let mut record = Self::new().timestamp(owned.timestamp);
        if let Some(key) = &owned.key {
            record = record.key(key);
        }
        if let Some(value) = &owned.value {
            record = record.value(value);
        }
        for header in &owned.headers {
            record = match &header.value {
                Some(value) => record.header(&header.key, value),
                None => record.null_header(&header.key),
            };
        }
        record
    }
}

fn system_time(timestamp: Timestamp) -> Option<SystemTime> {
    let since = Duration::from_millis(timestamp.unsigned_abs());
    match timestamp {
        NO_TIMESTAMP => None,
        0.. => UNIX_EPOCH.checked_add(since),
        _ => UNIX_EPOCH.checked_sub(since),
    }
}

/// A header that owns its bytes.
///
/// ```
/// # use annals::{OwnedHeader, OwnedRecord};
/// fn trace(record: &OwnedRecord) -> Option<&OwnedHeader> {
///     record.headers.iter().find(|header| header.key == "trace")
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedHeader {
    /// The header's name.
    pub key: String,
    /// The header's value, `None` when null.
    pub value: Option<Vec<u8>>,
}

impl fmt::Debug for OwnedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedHeader")
            .field("key", &self.key)
            .field("value", &self.value.as_deref().map(Shown))
            .finish()
    }
}
