//! The name of one partition.

use std::fmt;
use std::sync::Arc;

/// A topic's name and a partition's number.
///
/// ```
/// use annals::TopicPartition;
/// let place = TopicPartition::new("orders", 2);
/// assert_eq!(place.to_string(), "orders-2");
/// assert_eq!(place, ("orders", 2).into());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    topic: Arc<str>,
    partition: u32,
}

impl TopicPartition {
    /// Names partition `partition` (from 0) of `topic`. Nothing is looked up.
    pub fn new(topic: impl Into<Arc<str>>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }

    /// Returns the topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Returns the partition's number, from 0.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// The topic's name, shared.
    pub(crate) fn shared_topic(&self) -> &Arc<str> {
        &self.topic
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl<T: Into<Arc<str>>> From<(T, u32)> for TopicPartition {
    fn from((topic, partition): (T, u32)) -> Self {
        Self::new(topic, partition)
    }
}

impl From<&TopicPartition> for TopicPartition {
    fn from(place: &TopicPartition) -> Self {
        place.clone()
    }
}
