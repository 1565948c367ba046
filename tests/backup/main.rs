//! Backups of a live store, and what comes back of them. `ANNALS_BACKUPS` says how many are made under load.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may stop at what it did not expect, and looks at the files and the clock from outside"
)]

mod faults;
mod files;
mod holds;
mod kills;
mod large;
mod lines;
mod load;
mod own;
mod places;
mod targets;

use annals::{Isolation, Partition, Store};

/// Every committed record of a partition: offset, key, value.
type Records = Vec<(i64, Option<Vec<u8>>, Option<Vec<u8>>)>;

fn records(partition: &Partition) -> Records {
    let reader = partition.read(..).unwrap().isolation(Isolation::ReadCommitted);
    reader.into_iter().map(|record| record.unwrap()).map(|one| (one.offset, one.key, one.value)).collect()
}

fn all_records(store: &Store) -> Vec<(String, Records)> {
    let topics = store.topics().into_iter().filter(|topic| !topic.name().starts_with("__"));
    let partitions = topics.flat_map(|topic| topic.partitions());
    partitions.map(|one| (one.topic_partition().to_string(), records(&one))).collect()
}
