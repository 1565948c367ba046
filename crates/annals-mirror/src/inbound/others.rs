//! Records of a store's topic that its mirror has not brought.

use std::collections::{BTreeMap, BTreeSet};

use annals::{Isolation, Partition, Store, TopicPartition};

use super::Inbound;
use crate::alike::Description;
use crate::cluster::{self, Cluster};
use crate::error::{Error, Result};
use crate::mirror::places;
use crate::offset_map::OffsetMap;
use crate::outbound::name_of;

impl Inbound {
    /// Topics of these that the store itself has mirrored to the cluster, one sentence each: mirrored back, each record would be there twice.
    pub(crate) fn circles(
        cluster: &Cluster,
        store: &Store,
        topics: &BTreeMap<String, Description>,
    ) -> Result<Vec<String>> {
        let group = cluster.consumer(&name_of(store.id()))?;
        let all: Vec<_> = topics.iter().flat_map(|(name, one)| places(name, one.partitions)).collect();
        let committed = cluster::committed(&group, &all)?;
        let names: BTreeSet<_> = committed.keys().map(TopicPartition::topic).collect();
        let tell = |name| {
            format!(
                "{name}: this store has mirrored it out to this cluster, so its records would come back and be in the store twice; mirror it into another store"
            )
        };
        Ok(names.into_iter().map(tell).collect())
    }
}

/// Nobody else has written to a partition of the store, behind what its mirror has brought or before it.
pub(super) fn check_own(partition: &Partition, map: Option<&OffsetMap>) -> Result<()> {
    let brought = map.and_then(OffsetMap::last).map_or(0, |last| last.target_next);
    let from = brought.max(partition.start());
    if from >= partition.stable() {
        return Ok(());
    }
    // Behind the last step there is its end mark, and there may be steps that were aborted.
    match partition.read_from(from)?.isolation(Isolation::ReadCommitted).into_iter().next() {
        None => Ok(()),
        Some(record) => {
            let (offset, end) = (record?.offset, partition.end());
            Err(Error::Foreign { partition: partition.topic_partition().clone(), offset, end })
        }
    }
}
