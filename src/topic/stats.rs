//! Figures of topics and partitions.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use crate::error::{Error, Result};
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

/// After so many topics that cannot be looked at, and none that can be, the others are not waited for.
const MOST_UNSEEN: usize = 16;

/// Topics that cannot be looked at, and why.
pub(crate) type LeftOut = BTreeMap<String, Error>;

/// What `look` finds of each topic, and which of them cannot be looked at, as they cannot be opened. One that was deleted is in neither.
///
/// # Errors
/// What is in the way where none can be looked at: the owner may show nothing. What is not of one topic's files alone.
pub(crate) fn look_at_each<T>(
    topics: &[Topic],
    look: impl Fn(&Topic) -> Result<T>,
) -> Result<(Vec<T>, LeftOut)> {
    let (mut seen, mut left_out) = (Vec::new(), LeftOut::new());
    for topic in topics {
        match look(topic) {
            Ok(found) => seen.push(found),
            Err(Error::UnknownTopic { .. }) => {}
            Err(error) if is_of_its_files(&error) => _ = left_out.insert(topic.name().to_owned(), error),
            Err(error) => return Err(error),
        }
        if seen.is_empty() && left_out.len() >= MOST_UNSEEN {
            break;
        }
    }
    match left_out.first_key_value() {
        Some((_, error)) if seen.is_empty() => Err(error.clone()),
        _ => Ok((seen, left_out)),
    }
}

/// Whether it tells of the files of one topic, or that its owner does not show them.
fn is_of_its_files(error: &Error) -> bool {
    match error {
        Error::Corrupt { .. } | Error::UnsupportedFormat { .. } => true,
        // A call that has a time of its own, which is over.
        Error::Io { source, .. } => source.kind() != ErrorKind::WouldBlock && !error.is_out_of_descriptors(),
        _ => false,
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
