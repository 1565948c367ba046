//! Sending to one topic.

use std::sync::Arc;

use crate::error::Result;
use crate::producer::producer::{Producer, Target};
use crate::producer::sticky::Sticky;
use crate::topic::{BatchMetadata, Durable, RecordMetadata, Route, Topic};
use crate::types::Record;

/// A [`Producer`] bound to one topic: no name is looked up per record. Cheap to clone, and usable from many threads at once.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let orders = store.producer().bind("orders")?;
/// for n in 0..100_u32 {
///     orders.send(Record::new().key(&n.to_be_bytes()).value("2 apples"))?;
/// }
/// orders.flush()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TopicProducer {
    producer: Producer,
    route: Route,
    sticky: Arc<Sticky>,
}

impl TopicProducer {
    pub(super) fn new(producer: Producer, topic: Topic) -> Self {
        let sticky = producer.shared.sticky(&topic);
        Self { producer, route: Route::new(topic), sticky }
    }

    fn target(&self) -> Target<'_> {
        Target { route: &self.route, sticky: Some(&self.sticky) }
    }

    /// Returns the topic it sends to.
    pub fn topic(&self) -> &Topic {
        self.route.topic()
    }

    /// Sends a record; if the record names a topic, that is ignored.
    ///
    /// # Errors
    /// As for [`Producer::send`].
    pub fn send(&self, record: Record<'_>) -> Result<RecordMetadata> {
        self.producer.shared.send(&self.target(), &record)
    }

    /// Sends records to one partition as parts of one batch, all or nothing.
    ///
    /// # Errors
    /// As for [`Producer::send_batch`].
    pub fn send_batch(&self, records: &[Record<'_>]) -> Result<BatchMetadata> {
        self.producer.shared.send_batch(&self.target(), records)
    }

    /// Returns when everything sent so far to the topic survives a power cut.
    ///
    /// # Errors
    /// As for [`Producer::flush`].
    pub fn flush(&self) -> Result<()> {
        self.topic().flush()
    }

    /// Returns a future that is ready when everything sent to the topic before this call survives a power cut: a flush without a waiting thread.
    pub fn flush_async(&self) -> Durable {
        match self.producer.check_open() {
            Ok(()) => Durable::of_all(self.topic().partitions()),
            Err(closed) => Durable::failed(closed),
        }
    }
}
