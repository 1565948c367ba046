//! What a partition takes while it is open, on the disk and in memory: by what is written to it, whatever the number of partitions.
//!
//! `ANNALS_PARTITIONS` is how many there are, 1,000 by default.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at the process from outside"
)]

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use annals::{Durability, Record, Store, TopicConfig};

/// Bytes of memory, mapped files left out.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Bytes of the blocks that the files of these directories take.
fn allocated(dir: &Path) -> u64 {
    let of = |path: &Path| -> u64 {
        let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().metadata().unwrap());
        files.filter(std::fs::Metadata::is_file).map(|file| file.blocks() * 512).sum()
    };
    let directories = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    directories.filter(|path| path.is_dir()).map(|path| of(&path)).sum()
}

#[test]
fn an_open_partition_takes_by_what_is_written_to_it() {
    let _alone = crate::alone();
    let count = std::env::var("ANNALS_PARTITIONS").map_or(1000, |count| count.parse().unwrap());
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let each = |total: u64| total / u64::from(count);
    let before = memory();
    let more = || each(memory().saturating_sub(before));
    let topic = store.create_topic("orders", TopicConfig::new().partitions(count)).unwrap();
    let (untouched, empty) = (more(), each(allocated(dir.path())));
    let append = |value: &[u8]| {
        for partition in topic.partitions() {
            partition.append(&[Record::new().value(value)], Durability::Os).unwrap();
        }
    };
    append(&[b'x'; 100]);
    let (first, of_first) = (more(), each(allocated(dir.path())));
    let written = 20 * 1000;
    (0..20).for_each(|_| append(&[b'x'; 1000]));
    let (later, of_later) = (more(), each(allocated(dir.path())));
    println!(
        "{count} partitions, bytes of memory and of the disk for each: {untouched} and {empty} before anything is written"
    );
    println!("{first} and {of_first} with 100 B in each, {later} and {of_later} with {written} B more");
    assert_eq!(empty, 0, "bytes on the disk of a partition without records");
    assert!(untouched <= 8 << 10, "{untouched} bytes of memory for a partition without records");
    // A block each of the log, its two indexes and the state file at most.
    assert!(of_first <= 16 << 10, "{of_first} bytes on the disk for a partition with one record");
    assert!(first <= 12 << 10, "{first} bytes of memory for a partition with one record");
    assert!(of_later <= 3 * written, "{of_later} bytes on the disk for {written} bytes of records");
    assert!(later <= 16 << 10, "{later} bytes of memory for a partition with {written} bytes of records");
    store.close().unwrap();
    let of_closed = each(allocated(dir.path()));
    assert!(of_closed <= written + (24 << 10), "{of_closed} bytes on the disk after the close");
}
