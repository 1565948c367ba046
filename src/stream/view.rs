//! The events of a store that this process only reads.

use std::fmt;
use std::ops::RangeBounds;

use crate::error::Result;
use crate::stream::backwards::EventsBackwards;
use crate::stream::merged::MergedEvents;
use crate::stream::reader::EventReader;
use crate::stream::stream::Stream;
use crate::topic::{OwnedRecord, PartitionView, TopicView};
use crate::types::{Offset, Query};

/// The events of one key in a topic of a [`StoreReader`](crate::StoreReader): it can read what [`Stream`] reads, but cannot append. Cheap
/// to clone, and usable from many threads at once.
///
/// It uses the owner's key index if its file is there. What the owner has in memory for the newest segment each reader builds for itself, from
/// the batches and in its own memory, as bounded in `docs/streams.md`; no file is written.
///
/// ```
/// use annals::{Record, Store, StoreReader, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("shop-log");
/// let store = Store::open(&path)?; // in one process
/// store.create_topic("orders", TopicConfig::new().key_index(true))?;
///
/// let shop = StoreReader::attach(&path)?; // in another one
/// let order = shop.topic("orders")?.stream("order-17")?;
/// for event in ["placed", "paid"] {
///     store.producer().send(Record::to("orders").key("order-17").value(event))?;
///     store.producer().send(Record::to("orders").key("order-18").value(event))?;
/// }
/// assert_eq!(order.read(..)?.into_iter().count(), 2);
/// assert_eq!(order.last()?.and_then(|event| event.value), Some(b"paid".to_vec()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct StreamView {
    stream: Stream,
}

impl fmt::Debug for StreamView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key().escape_ascii().to_string();
        let place = self.stream.partition().topic_partition();
        f.debug_struct("StreamView").field("in", place).field("key", &key).finish()
    }
}

impl TopicView {
    /// Returns the stream of a key.
    ///
    /// # Errors
    /// As for [`Topic::stream`](crate::Topic::stream).
    pub fn stream(&self, key: impl AsRef<[u8]>) -> Result<StreamView> {
        self.topic().stream(key).map(|stream| StreamView { stream })
    }

    /// Returns the last record of a key; `None` if there is none.
    ///
    /// # Errors
    /// As for [`Topic::get`](crate::Topic::get).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<OwnedRecord>> {
        self.topic().get(key)
    }

    /// Reads the events of all partitions that match a query, as [`Topic::select`](crate::Topic::select) does.
    ///
    /// # Errors
    /// As for [`Topic::select`](crate::Topic::select).
    pub fn select(&self, query: &Query) -> Result<MergedEvents> {
        self.topic().select(query)
    }
}

impl PartitionView {
    /// Reads the events that match a query and whose offsets lie in a range, forwards, as
    /// [`Partition::select`](crate::Partition::select) does.
    ///
    /// # Errors
    /// As for [`Partition::select`](crate::Partition::select).
    pub fn select(&self, query: &Query, range: impl RangeBounds<Offset>) -> Result<EventReader> {
        self.partition().select(query, range)
    }

    /// Reads the events that match a query backwards, from the last one on.
    ///
    /// # Errors
    /// As for [`Partition::select_backwards`](crate::Partition::select_backwards).
    pub fn select_backwards(&self, query: &Query) -> Result<EventsBackwards> {
        self.partition().select_backwards(query)
    }
}

impl StreamView {
    /// Returns its key.
    pub fn key(&self) -> &[u8] {
        self.stream.key()
    }

    /// Reads the events whose offsets lie in a range, forwards, as [`Stream::read`] does.
    ///
    /// # Errors
    /// As for [`Stream::read`].
    pub fn read(&self, range: impl RangeBounds<Offset>) -> Result<EventReader> {
        self.stream.read(range)
    }

    /// Returns all events whose offsets lie in a range, as [`Stream::events`] does.
    ///
    /// # Errors
    /// As for [`Stream::events`].
    pub fn events(&self, range: impl RangeBounds<Offset>) -> Result<Vec<OwnedRecord>> {
        self.stream.events(range)
    }

    /// Reads its events backwards, from the last one on.
    ///
    /// # Errors
    /// As for [`Stream::backwards`].
    pub fn backwards(&self) -> Result<EventsBackwards> {
        self.stream.backwards()
    }

    /// Returns its last event; `None` if it has none.
    ///
    /// # Errors
    /// As for [`Stream::last`].
    pub fn last(&self) -> Result<Option<OwnedRecord>> {
        self.stream.last()
    }

    /// Returns the offset of its last event; `None` if it has none.
    ///
    /// # Errors
    /// As for [`Stream::version`].
    pub fn version(&self) -> Result<Option<Offset>> {
        self.stream.version()
    }
}
