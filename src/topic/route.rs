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

    /// The topic's partitions of now.
    #[inline(always)]
    pub(crate) fn partitions(&self) -> Partitions<'_> {
        if self.topic.version() == self.version {
            Partitions(Kept::AsTheyWere(&self.current))
        } else {
            Partitions(Kept::Changed(self.topic.current()))
        }
    }

    /// Runs `act` on them.
    #[inline(always)]
    pub(crate) fn with_partitions<T>(&self, act: impl FnOnce(&[Partition]) -> T) -> T {
        act(&self.partitions())
    }
}

/// Those of a [`Route`], which are there as long as this is held.
pub(crate) struct Partitions<'a>(Kept<'a>);

enum Kept<'a> {
    AsTheyWere(&'a Current),
    Changed(Arc<Current>),
}

impl std::ops::Deref for Partitions<'_> {
    type Target = [Partition];

    #[inline(always)]
    fn deref(&self) -> &[Partition] {
        match &self.0 {
            Kept::AsTheyWere(current) => &current.partitions,
            Kept::Changed(current) => &current.partitions,
        }
    }
}
