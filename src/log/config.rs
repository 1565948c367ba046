//! What a partition needs to know of its configuration.

use std::time::Duration;

use crate::format::{Compression, TimestampType};
use crate::log::write::size_limit::SizeLimit;
use crate::segment::{ReadMode, SegmentConfig};

/// Settings of one partition. They may change while it is open; what is written stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogConfig {
    pub(crate) segment: SegmentConfig,
    /// A segment that was begun longer ago than this is sealed; see `write/roll.rs`.
    pub(crate) segment_age: Duration,
    pub(crate) compression: Compression,
    pub(crate) timestamp_type: TimestampType,
    /// Largest batch in bytes, before compression, its header included.
    pub(crate) max_message_bytes: u32,
    /// How far before now a record's timestamp may lie.
    pub(crate) timestamp_before_max: Duration,
    /// How far after now a record's timestamp may lie.
    pub(crate) timestamp_after_max: Duration,
    pub(crate) key_rule: KeyRule,
    /// What its records are found by is put down: keys, types and tags.
    pub(crate) key_index: bool,
    /// How many partitions the topic has: which of them a key goes to depends on it. Kept up to date only where there is a key index, since
    /// then none are added.
    pub(crate) partitions: u32,
    /// `None` lets the partition grow as it may.
    pub(crate) size_limit: Option<SizeLimit>,
}

/// Whether a record may have a null key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyRule {
    Optional,
    /// Compaction keeps the last record of each key, so there must be one.
    Required,
}

/// What stays the same while the partition is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogOptions {
    pub(crate) read_mode: ReadMode,
    /// Written bytes after which a background sync is asked for.
    pub(crate) sync_every_bytes: u64,
    /// Most bytes that one compressed batch may expand to.
    pub(crate) max_expanded_bytes: usize,
    /// Most memory that compaction takes for the keys of a partition.
    pub(crate) compaction_memory_bytes: usize,
}
