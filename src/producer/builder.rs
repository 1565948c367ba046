//! Settings of a producer.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::producer::producer::Producer;
use crate::topic::{KeyHash, Partitioner, Topics};
use crate::types::Durability;

/// Builds a [`Producer`]. Setters carry Kafka's names.
///
/// ```
/// # use annals::{Durability, Store};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let producer = store
///     .producer_builder()
///     .durability(Durability::Memory)
///     .linger(Duration::from_millis(20))
///     .batch_size(256 << 10)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct ProducerBuilder {
    topics: Arc<Topics>,
    settings: Settings,
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) durability: Durability,
    pub(super) linger: Duration,
    pub(super) batch_size: usize,
    pub(super) buffer_memory: usize,
    pub(super) partitioner: Arc<dyn Partitioner>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            linger: Duration::from_millis(5),
            batch_size: 64 << 10,
            buffer_memory: 32 << 20,
            partitioner: Arc::new(KeyHash),
        }
    }
}

impl ProducerBuilder {
    pub(crate) fn new(topics: Arc<Topics>) -> Self {
        Self { topics, settings: Settings::default() }
    }

    /// Sets how far a record has gone when `send` returns. Default: [`Durability::Os`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }

    /// `linger.ms`: how long a record sent at [`Durability::Memory`] may wait for others to fill its batch. Default: 5 ms.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// `batch.size`: the size in bytes at which a batch is full and written. A larger record gets a batch of its own. Default: 64 KiB,
    /// where the cost of a write call and of fresh pages is small compared with the bytes.
    pub fn batch_size(mut self, bytes: usize) -> Self {
        self.settings.batch_size = bytes;
        self
    }

    /// `buffer.memory`: the most that open batches may take together. When they would take more, `send` writes the oldest
    /// of them on the caller's thread. Default: 32 MiB.
    pub fn buffer_memory(mut self, bytes: usize) -> Self {
        self.settings.buffer_memory = bytes;
        self
    }

    /// Sets what chooses partitions for records that do not name theirs. Default: [`KeyHash`].
    pub fn partitioner(mut self, partitioner: impl Partitioner + 'static) -> Self {
        self.settings.partitioner = Arc::new(partitioner);
        self
    }

    /// Builds the producer.
    ///
    /// # Errors
    /// [`InvalidConfig`](Error::InvalidConfig) when not even one batch fits into `buffer_memory`; [`StoreClosed`](Error::StoreClosed).
    pub fn build(self) -> Result<Producer> {
        self.topics.check_open()?;
        let Settings { batch_size, buffer_memory, .. } = self.settings;
        if buffer_memory < batch_size {
            return Err(Error::config(
                "buffer.memory",
                buffer_memory,
                format!("at least batch.size={batch_size}"),
            ));
        }
        Ok(self.build_default())
    }

    /// For settings that are known to fit.
    pub(crate) fn build_default(self) -> Producer {
        Producer::new(self.topics, self.settings)
    }
}
