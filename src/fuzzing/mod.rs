//! What must hold of every input: one function for each fuzz target, with the assertions in it.
//!
//! The targets in `fuzz/` call these functions and nothing else; a unit test replays `fuzz/corpus` and mutations of it. Not
//! part of the public interface: only tests and builds with `--cfg fuzzing` compile it.

mod batch;
mod compression;
mod directory;
mod files;
mod input;
mod key_index;
mod memory;
mod names;
mod operations;
mod recovery;
mod reference;
mod repair;
mod store_files;
#[cfg(test)]
mod tests;

pub use batch::{batch, records};
pub use compression::{gzip, lz4, snappy, zstd};
pub use directory::directory;
pub use files::{
    offset_commit, offset_index, partition_state, producer_snapshot, time_index, topic_file,
    transaction_index, transaction_state,
};
pub use key_index::key_index;
pub use names::names;
pub use operations::operations;
pub use recovery::recovery;
