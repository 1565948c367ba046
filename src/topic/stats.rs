//! Figures of topics and partitions.

use crate::error::Result;
use crate::log::PartitionStats;
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;

/// A topic's figures at one moment.
///
/// ```
/// # use annals::{Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let stats = store.create_topic("orders", TopicConfig::new().partitions(3))?.stats()?;
/// assert_eq!((stats.partitions.len(), stats.records(), stats.bytes()), (3, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TopicStats {
    /// The topic's name.
    pub topic: String,
    /// The topic's partitions in order.
    pub partitions: Vec<PartitionStats>,
}

impl TopicStats {
    /// Returns the bytes of all partitions.
    pub fn bytes(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.bytes).sum()
    }

    /// Returns the number of records of all partitions.
    pub fn records(&self) -> u64 {
        self.partitions.iter().map(|partition| partition.records).sum()
    }
}

impl Partition {
    /// Returns the partition's figures now. It reads no record, but may wait for a write that is under way.
    ///
    /// # Errors
    /// [`StoreClosed`](crate::Error::StoreClosed), [`UnknownTopic`](crate::Error::UnknownTopic) when the topic was deleted.
    pub fn stats(&self) -> Result<PartitionStats> {
        self.log().stats()
    }
}

impl Topic {
    /// Returns the topic's figures now.
    ///
    /// # Errors
    /// As for [`Partition::stats`].
    pub fn stats(&self) -> Result<TopicStats> {
        let partitions = self.partitions().iter().map(Partition::stats).collect::<Result<Vec<_>>>()?;
        Ok(TopicStats { topic: self.name().to_owned(), partitions })
    }
}
