//! Our files read by an independent implementation of Kafka's record format, and its batches read by us.
//!
//! The other implementation is the crate `kafka-protocol`. Its gzip, snappy and zstd come from the same libraries as ours, its
//! lz4 from the C library; all framing is its own. It keeps headers in a map, so of a name that repeats it knows the last
//! value only: `kafka_python.rs` compares whole lists.

#![expect(clippy::disallowed_methods, reason = "the files are looked at from outside")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod adopt;
#[cfg(test)]
mod broker;
mod control;
mod files;
mod foreign;
mod framings;
mod high_offsets;
#[path = "../../common/high_start.rs"]
mod high_start;
#[path = "../../common/kafka_golden.rs"]
mod kafka_golden;
mod kafka_python;
mod ours;
mod samples;
mod theirs;
