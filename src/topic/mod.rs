//! Topics: named partitions with one configuration, and the catalog that lists them. Knows neither producers nor
//! consumers.

mod admin;
mod adopt;
mod catalog_file;
mod closing;
mod compaction;
mod config;
mod copies;
mod cut;
mod directories;
mod durable;
mod export;
mod flushing;
mod follow;
mod import;
mod internal;
mod latest;
mod ledger;
mod metadata;
mod moved;
mod next;
mod participant;
mod partition;
mod partition_reader;
mod partitioner;
mod record_ref;
mod records;
mod repair;
mod retention;
mod route;
mod settings;
mod stats;
#[cfg(feature = "async")]
mod stream;
#[expect(clippy::module_inception, reason = "the layer and its central type share the field's word")]
mod topic;
mod topic_ids;
mod topics;
mod verify;
mod view;

pub use adopt::{AdoptedPartition, Adoption, LogSource};
pub use config::{CleanupPolicy, TopicConfig};
pub(crate) use copies::Copies;
pub(crate) use cut::{StoreCut, TopicsToCut};
pub(crate) use directories::Removed;
pub use durable::Durable;
pub(crate) use follow::JudgesLeft;
#[cfg(any(test, fuzzing))]
pub(crate) use internal::InternalTopic;
pub(crate) use internal::{
    DELAYED, DELAYED_PARTITIONS, DELAYED_POSITIONS, MESSAGE_IDS, OFFSETS, SHARE_STATE, TRANSACTIONS,
    is_internal, position_group, refuse_change, refuse_group, refuse_write,
};
pub use latest::Latest;
pub(crate) use ledger::{Entry, Ledger, Replay};
pub use metadata::{BatchMetadata, RecordMetadata};
pub use next::NextOfPartition;
pub(crate) use participant::{Contribution, Outcome, Participant, Prepared, Refusal, WrittenIn};
pub use partition::Partition;
pub use partition_reader::{OwnedRecordsIter, PartitionReader};
pub use partitioner::{KeyHash, Partitioner};
pub use record_ref::{OwnedHeader, OwnedRecord, RecordRef};
pub(crate) use records::PartitionRecords;
pub use records::{Records, RecordsIter};
pub(crate) use repair::repair;
pub(crate) use route::Route;
pub use stats::TopicStats;
pub(crate) use stats::{LeftOut, look_at_each};
#[cfg(feature = "async")]
pub use stream::PartitionStream;
pub use topic::Topic;
pub(crate) use topics::{TopicContext, Topics, unless_deleted};
pub(crate) use verify::verify;
pub use view::{PartitionView, TopicView};
