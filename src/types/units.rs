//! Units of the log.

/// A record's position in its partition, counted from 0. Offsets grow by one per record sent; retention and compaction
/// leave gaps, so never assume that `offset + 1` exists.
pub type Offset = i64;

/// Milliseconds since the Unix epoch.
pub type Timestamp = i64;

/// A record without a timestamp, as Kafka stores it. It may be appended; any other time before 1970 may not.
pub const NO_TIMESTAMP: Timestamp = -1;
