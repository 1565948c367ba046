//! A record on its way in: everything is borrowed, nothing is copied before it is encoded into the open batch.

use std::borrow::Cow;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Shown, Timestamp};

/// One header of a record: a name that may repeat or be empty, and bytes or null.
#[derive(Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's name. What is sent here is UTF-8. Clients of brokers may have written names of other bytes: they are read
    /// with U+FFFD in place of what is not UTF-8, as Kafka's own consumer reads them, and stay as they are in the files.
    pub key: Cow<'a, str>,
    /// The header's value; `None` is Kafka's null, which differs from an empty value.
    pub value: Option<&'a [u8]>,
}

/// A record to send. Key, value and headers are borrowed until the call returns.
///
/// A key and a value are bytes or null; a zero-length key is not a null key. A record with a null value is a
/// *tombstone* in a compacted topic.
///
/// ```
/// use annals::Record;
/// let order = Record::to("orders").key("alice").value("2 apples").header("trace", "7f");
/// assert_eq!(order.key_bytes(), Some(&b"alice"[..]));
/// let gone = Record::to("orders").key("alice");
/// assert_eq!(gone.value_bytes(), None);
/// ```
#[derive(Clone, Default)]
#[must_use = "a record does nothing until it is sent"]
pub struct Record<'a> {
    topic: Option<&'a str>,
    partition: Option<u32>,
    timestamp: Option<Timestamp>,
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<Header<'a>>,
}

impl<'a> Record<'a> {
    /// Returns an empty record for a sender that already knows its topic: null key, null value, no headers, timestamped on append.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an empty record for `topic`.
    pub fn to(topic: &'a str) -> Self {
        Self { topic: Some(topic), ..Self::default() }
    }

    /// Addresses the record to `topic`, instead of any topic set before.
    pub fn topic(mut self, topic: &'a str) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Sets the key. Records with equal keys go to the same partition and keep their order there.
    pub fn key<K: AsRef<[u8]> + ?Sized>(mut self, key: &'a K) -> Self {
        self.key = Some(key.as_ref());
        self
    }

    /// A copy with another key.
    #[inline]
    pub(crate) fn keyed<'b>(&self, key: &'b [u8]) -> Record<'b>
    where
        'a: 'b,
    {
        let Self { topic, partition, timestamp, key: _, value, headers } = self;
        // Most have none, and a copy of none is a call.
        let headers = if headers.is_empty() { Vec::new() } else { headers.clone() };
        let (topic, partition, timestamp, value) = (*topic, *partition, *timestamp, *value);
        Record { topic, partition, timestamp, key: Some(key), value, headers }
    }

    /// Sets the value.
    pub fn value<V: AsRef<[u8]> + ?Sized>(mut self, value: &'a V) -> Self {
        self.value = Some(value.as_ref());
        self
    }

    /// Adds a header after those already there.
    pub fn header<V: AsRef<[u8]> + ?Sized>(mut self, key: &'a str, value: &'a V) -> Self {
        self.headers.push(Header { key: key.into(), value: Some(value.as_ref()) });
        self
    }

    /// Adds a header whose value is null.
    pub fn null_header(mut self, key: &'a str) -> Self {
        self.headers.push(Header { key: key.into(), value: None });
        self
    }

    /// Sets when the event happened, in Unix milliseconds. Without it the store's clock is read on append.
    /// [`NO_TIMESTAMP`](crate::NO_TIMESTAMP), -1, makes a record without one; any other time before 1970 is refused on append.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Sets when the event happened, to the millisecond. A time before 1970 is refused on append.
    pub fn time(self, time: SystemTime) -> Self {
        let millis = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp::try_from(after.as_millis()).unwrap_or(Timestamp::MAX),
            // Never -1, which would be no time at all.
            Err(before) => {
                Timestamp::try_from(before.duration().as_millis()).map_or(Timestamp::MIN, |ms| -ms).min(-2)
            }
        };
        self.timestamp(millis)
    }

    /// Sends to this partition, whatever the key.
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Returns the topic it is addressed to.
    pub fn topic_name(&self) -> Option<&'a str> {
        self.topic
    }

    /// Returns the partition it is addressed to.
    pub fn partition_number(&self) -> Option<u32> {
        self.partition
    }

    /// Returns the timestamp set, in Unix milliseconds.
    pub fn timestamp_millis(&self) -> Option<Timestamp> {
        self.timestamp
    }

    /// Returns the key, `None` when null.
    pub fn key_bytes(&self) -> Option<&'a [u8]> {
        self.key
    }

    /// Returns the value, `None` when null.
    pub fn value_bytes(&self) -> Option<&'a [u8]> {
        self.value
    }

    /// Returns the headers in order.
    pub fn headers(&self) -> &[Header<'a>] {
        &self.headers
    }
}

impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("key", &self.key).field("value", &self.value.map(Shown)).finish()
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, partition, timestamp, key, value, headers } = self;
        f.debug_struct("Record")
            .field("topic", topic)
            .field("partition", partition)
            .field("timestamp", timestamp)
            .field("key", &key.map(Shown))
            .field("value", &value.map(Shown))
            .field("headers", headers)
            .finish()
    }
}
