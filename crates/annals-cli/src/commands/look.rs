//! What can be asked of a store that is only read and of one that is written to.

use std::collections::BTreeMap;

use annals::{CommittedOffset, Offset, Store, StoreReader, Timestamp, TopicPartition};

use crate::failure::Outcome;

pub(super) trait Look {
    fn partition_count(&self, topic: &str) -> Outcome<u32>;
    /// Start and end.
    fn range_of(&self, place: &TopicPartition) -> Outcome<(Offset, Offset)>;
    /// Of the first record of that time or later.
    fn offset_at(&self, place: &TopicPartition, time: Timestamp) -> Outcome<Option<Offset>>;
    fn committed_by(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset>;
}

macro_rules! look {
    ($store:ty) => {
        impl Look for $store {
            fn partition_count(&self, topic: &str) -> Outcome<u32> {
                Ok(self.topic(topic)?.partition_count())
            }

            fn range_of(&self, place: &TopicPartition) -> Outcome<(Offset, Offset)> {
                let partition = self.topic(place.topic())?.partition(place.partition())?;
                Ok((partition.start(), partition.end()))
            }

            fn offset_at(&self, place: &TopicPartition, time: Timestamp) -> Outcome<Option<Offset>> {
                let partition = self.topic(place.topic())?.partition(place.partition())?;
                Ok(partition.offset_for_time(time)?.map(|found| found.offset))
            }

            fn committed_by(&self, group: &str) -> BTreeMap<TopicPartition, CommittedOffset> {
                self.committed(group)
            }
        }
    };
}

look!(Store);
look!(StoreReader);
