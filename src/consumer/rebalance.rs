//! What changes about the partitions a consumer reads, for programs that keep something for each of them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::types::TopicPartition;

/// The partitions that a consumer no longer reads, and those it reads now. A partition that was another member's in between is in both.
///
/// ```
/// # use annals::{Rebalance, Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let builder = store.consumer_builder().group("billing").on_rebalance(|change: &Rebalance| {
///     for lost in &change.revoked {
///         println!("{lost}: drop what is kept for it");
///     }
///     for new in &change.assigned {
///         println!("{new}: load what is kept for it");
///     }
/// });
/// let mut billing = builder.build()?;
/// billing.subscribe(["orders"])?;
/// billing.poll(Duration::ZERO)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Rebalance {
    /// Read until now, but not any more, or not without a break: another member may have them. In order.
    pub revoked: Vec<TopicPartition>,
    /// Read from now on. In order.
    pub assigned: Vec<TopicPartition>,
}

/// What a program does about it.
#[derive(Clone)]
pub(super) struct OnRebalance(pub(super) Arc<dyn Fn(&Rebalance) + Send + Sync>);

impl fmt::Debug for OnRebalance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRebalance")
    }
}

/// Changes that were not reported yet.
#[derive(Debug, Default)]
pub(super) struct Unreported {
    revoked: BTreeSet<TopicPartition>,
    assigned: BTreeSet<TopicPartition>,
}

impl Unreported {
    pub(super) fn note_assigned(&mut self, place: &TopicPartition) {
        self.assigned.insert(place.clone());
    }

    /// What came and went again unreported was nobody's concern.
    pub(super) fn note_revoked(&mut self, place: &TopicPartition) {
        if !self.assigned.remove(place) {
            self.revoked.insert(place.clone());
        }
    }

    pub(super) fn take(&mut self) -> Option<Rebalance> {
        if self.revoked.is_empty() && self.assigned.is_empty() {
            return None;
        }
        let all = std::mem::take(self);
        Some(Rebalance {
            revoked: all.revoked.into_iter().collect(),
            assigned: all.assigned.into_iter().collect(),
        })
    }
}
