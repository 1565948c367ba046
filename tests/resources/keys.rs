//! The key index of more keys than are held in memory: made of segments of a time without one, and of those that a compaction has merged.
//!
//! `ANNALS_KEYS` is the number of keys, 800,000 by default: more than one segment of a topic with an index has. `ANNALS_DIR` is where
//! the files are; each key takes some 60 bytes of it for a while.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at the process from outside"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use annals::{CleanupPolicy, Durability, Offset, Record, Store, Topic, TopicConfig};

/// KiB of memory, mapped files left out.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Runs `work` and says how many KiB more than before it the process had at most.
fn most_memory_of(what: &str, work: impl FnOnce()) -> u64 {
    let (before, most, is_over) = (memory(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let watcher = std::thread::spawn({
        let (most, is_over) = (Arc::clone(&most), Arc::clone(&is_over));
        move || {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(memory(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    });
    let begin = Instant::now();
    work();
    is_over.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    let more = most.load(Ordering::Relaxed).saturating_sub(before);
    println!("{what}: {:.1} s, {more} KiB of memory more at most", begin.elapsed().as_secs_f64());
    more
}

fn key(number: u64) -> String {
    format!("{number:08x}")
}

fn append(topic: &Topic, keys: std::ops::Range<u64>) {
    const TOGETHER: usize = 1000;
    let partition = topic.partition(0).unwrap();
    for begin in keys.clone().step_by(TOGETHER) {
        let keys: Vec<_> = (begin..keys.end.min(begin + TOGETHER as u64)).map(key).collect();
        let records: Vec<_> = keys.iter().map(|key| Record::new().key(key).value("x")).collect();
        partition.append(&records, Durability::Os).unwrap();
    }
}

/// Bytes of the files of the key index.
fn index_bytes(dir: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(dir.join("keys-0")).unwrap().map(|entry| entry.unwrap());
    let indexes =
        files.filter(|file| file.path().extension().is_some_and(|extension| extension == "keyindex"));
    indexes.map(|file| file.metadata().unwrap().len()).sum()
}

#[test]
fn an_index_of_many_keys_is_made_and_merged_with_little_memory() {
    let _alone = crate::alone();
    let count = std::env::var("ANNALS_KEYS").map_or(800_000, |count| count.parse().unwrap());
    let above = std::env::var_os("ANNALS_DIR").unwrap_or_else(|| std::env::temp_dir().into());
    let dir = tempfile::Builder::new().tempdir_in(above).unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
    let topic = store.create_topic("keys", config).unwrap();
    append(&topic, 0..count);
    // The first half once more: of the first records half will go.
    append(&topic, 0..count / 2);
    store.alter_topic("keys", TopicConfig::new().key_index(true)).unwrap();
    // It begins another segment, because the one before it holds so much.
    append(&topic, count..count + 1);
    let look = |what: &str| {
        let found = |number: u64| topic.get(key(number)).unwrap().map(|record| record.offset);
        let at = |number: u64| {
            let after = if number < count / 2 { count } else { 0 };
            Offset::try_from(number + after).unwrap()
        };
        for number in (0..count).step_by(usize::try_from(count / 97).unwrap()) {
            assert_eq!(found(number), Some(at(number)), "{what}: key {number}");
        }
        assert_eq!(topic.get("nobody").unwrap(), None);
    };
    let made = most_memory_of("made", || look("made"));
    let entries = index_bytes(dir.path());
    assert!(entries >= 14 * (count + count / 2), "{entries} bytes of index");
    let segments = topic.partition(0).unwrap().stats().unwrap().segments;
    let merged = most_memory_of("compacted", || drop(topic.compact().unwrap()));
    let left = topic.partition(0).unwrap().stats().unwrap().segments;
    println!(
        "{count} keys, {segments} segments and {left} after it, {entries} and {} bytes of index",
        index_bytes(dir.path())
    );
    assert!(index_bytes(dir.path()) < entries, "what was compacted away has no entries");
    look("compacted");
    // 16 bytes of each of 1,048,576 terms while they are sorted, and some pages; a compaction has its own 32 MiB for keys.
    assert!(made < 64 << 10, "{made} KiB");
    assert!(merged < (64 + 64) << 10, "{merged} KiB");
    store.close().unwrap();
}
