//! annals: an embeddable, append-only event log.

pub(crate) mod consumer;
pub(crate) mod error;
pub(crate) mod format;
pub(crate) mod group;
pub mod io;
pub(crate) mod partition;
pub(crate) mod producer;
pub(crate) mod segment;
pub(crate) mod store;
pub(crate) mod sync;
pub(crate) mod topic;
pub(crate) mod types;

pub use consumer::{Consumer, ConsumerBuilder, StartFrom};
pub use error::{Error, Result};
pub use format::{Codec, TimestampType};
pub use group::{CommittedOffset, OffsetSetBack};
pub use partition::{OnDamage, RecoveryReport, RemovalReason, TornTail};
pub use producer::{Producer, ProducerBuilder, TopicProducer};
pub use segment::ReadMode;
pub use store::{Store, StoreBuilder};
pub use topic::{
    BatchMetadata, CleanupPolicy, DeleteReport, KeyHash, Latest, OffsetAndTimestamp, OwnedHeader,
    OwnedRecord, OwnedRecords, Partition, PartitionReader, Partitioner, RecordMetadata, RecordRef, Records,
    RecordsIter, RemovedSegment, RetentionReport, Topic, TopicConfig,
};
pub use types::{Durability, Header, NO_TIMESTAMP, Offset, Record, Timestamp, TopicPartition};
