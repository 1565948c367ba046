//! Retention over all topics: what the maintenance does from time to time, and users on demand.

use std::sync::Arc;

use crate::error::Result;
use crate::group::Groups;
use crate::io::Clock;
use crate::topic::{Partition, RetentionReport, Topic, Topics, drops_consumed, retention_policy};

/// Looks after every partition of a store.
#[derive(Debug)]
pub(super) struct Caretaker {
    pub(super) topics: Arc<Topics>,
    pub(super) groups: Arc<Groups>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Caretaker {
    /// Rolls segments that have become too old without an append, then removes what each topic does not keep. Partitions
    /// that lost nothing are not reported. The first failure is returned; the other partitions are done all the same.
    pub(super) fn apply_retention(&self) -> Result<Vec<RetentionReport>> {
        let outcomes: Vec<_> = self.topics.all().iter().flat_map(|topic| self.apply_to(topic)).collect();
        let reports: Result<Vec<_>> = outcomes.into_iter().collect();
        Ok(reports?.into_iter().filter(|report| !report.removed.is_empty() || report.clock_leapt).collect())
    }

    fn apply_to(&self, topic: &Topic) -> Vec<Result<RetentionReport>> {
        let config = topic.config();
        let mut policy = retention_policy(&config);
        let tend = |partition: &Partition| {
            partition.log().roll_if_idle(self.clock.now())?;
            if drops_consumed(&config) {
                policy.keep_from = self.groups.consumed_by_all(partition.topic_partition());
            }
            partition.apply_retention(&policy)
        };
        topic.partitions().iter().map(tend).collect()
    }
}
