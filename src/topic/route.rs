//! The way to a topic's partitions for those who send record after record.

use std::sync::Arc;

use crate::topic::partition::Partition;
use crate::topic::topic::{Current, Topic};

/// A topic and its partitions as they were when the route was made. As long as the topic stays as it is they are found
/// without a lock; once it was changed they are looked up at every use.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    topic: Topic,
    version: u64,
    current: Arc<Current>,
}

impl Route {
    pub(crate) fn new(topic: Topic) -> Self {
        // The version is read first: with partitions newer than it the route is as good as an old one.
        let version = topic.version();
        let current = topic.current();
        Self { topic, version, current }
    }

    pub(crate) fn topic(&self) -> &Topic {
        &self.topic
    }

    /// Runs `act` on the topic's partitions of now.
    #[inline(always)]
    pub(crate) fn with_partitions<T>(&self, act: impl FnOnce(&[Partition]) -> T) -> T {
        let changed;
        let current = if self.topic.version() == self.version {
            &self.current
        } else {
            changed = self.topic.current();
            &changed
        };
        act(&current.partitions)
    }
}
