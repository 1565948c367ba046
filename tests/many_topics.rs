//! A thousand topics in one store: descriptors, memory and threads stay bounded, whatever is appended to and read.
//!
//! `ANNALS_TOPICS` is the number of topics, 1,000 by default. In a binary of its own, because it counts what the process
//! has open.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at the process from outside"
)]

use annals::{Durability, ReadMode, Record, Store, TopicConfig};

const PARTITIONS: u32 = 4;
/// What the store may keep open; some more are open for moments.
const FILES: usize = 192;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Memory of the process in KiB, mapped files left out.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_topics_stay_within_256_descriptors_and_200_mebibytes() {
    let topics = std::env::var("ANNALS_TOPICS").map_or(1000, |count| count.parse().unwrap());
    // Syncs cost nothing in memory, and it is not they that are looked at here.
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let before = memory();
    let bounded = |what: &str| {
        let (descriptors, memory) = (descriptors(), memory().saturating_sub(before));
        assert!(descriptors <= 256, "{what}: {descriptors} descriptors");
        assert!(memory <= 200 << 10, "{what}: {memory} KiB");
    };
    let names: Vec<_> = (0..topics).map(|number| format!("topic-{number}")).collect();
    {
        let store = Store::builder(dir.path()).max_open_files(FILES).open().unwrap();
        for name in &names {
            store.create_topic(name, TopicConfig::new().partitions(PARTITIONS)).unwrap();
        }
        bounded("created");
        store.close().unwrap();
    }
    for mode in [ReadMode::Positional, ReadMode::Mapped] {
        let store = Store::builder(dir.path()).max_open_files(FILES).read_mode(mode).open().unwrap();
        bounded("opened");
        let producer = store.producer();
        let mut sent = 0;
        for round in 0..2 {
            for name in &names {
                for partition in 0..PARTITIONS {
                    producer.send(Record::to(name).partition(partition).value("a record")).unwrap();
                    sent += 1;
                }
            }
            bounded(&format!("appended to, round {round}"));
        }
        store.maintain().unwrap();
        bounded("looked after");
        producer.flush().unwrap();
        bounded("flushed");
        let mut read = 0;
        for name in &names {
            let topic = store.topic(name).unwrap();
            for partition in topic.partitions() {
                assert_eq!(partition.durable(), partition.end());
                let from = partition.end() - 2;
                read += partition.read_from(from).unwrap().fetch().unwrap().len();
            }
        }
        assert_eq!(read, sent);
        bounded("read");
        let one = store.topic("topic-7").unwrap().partition(0).unwrap();
        one.append(&[Record::new().value("another")], Durability::Disk).unwrap();
        store.close().unwrap();
        bounded("closed");
    }
}
