//! Room is made where the ends of transactions have none: what is wholly below a new start needs none.

use std::path::Path;
use std::sync::Arc;

use annals::{Durability, Isolation, Offset, Partition, Record, Store, TopicConfig, WhenFull};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use crate::common::{by_hand, fast_dir, kill_and_copy, on_faulty};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
const COMMITS: Offset = 200;

/// Many commits over two topics, none of which has its end, and a disk with no room for more than a state file.
fn full(dir: &Path) -> (Arc<FaultyFileSystem>, Store, Partition) {
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir, &files).open().unwrap();
    for topic in ["debits", "credits"] {
        store.create_topic(topic, TopicConfig::new().segment_bytes(4096)).unwrap();
    }
    for number in 0..COMMITS {
        let mut tx = store.transaction("transfer").unwrap();
        for topic in ["debits", "credits"] {
            tx.send(Record::to(topic).value(&number.to_string())).unwrap();
        }
        tx.commit().unwrap();
    }
    for path in [".log", ".snapshot"] {
        let calls = [Call::Create, Call::Write, Call::Allocate];
        files.fail(&calls, path, (0, Times::ForEver), Fault::Error(ENOSPC));
    }
    let partition = store.topic("credits").unwrap().partition(0).unwrap();
    assert_eq!(partition.end(), COMMITS, "no end is in the log");
    (files, store, partition)
}

fn values(store: &Store, topic: &str) -> Vec<String> {
    super::together::values(store, topic, 0, Isolation::ReadCommitted)
}

fn numbers(range: std::ops::Range<Offset>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn a_full_disk_is_freed_by_a_deletion_of_what_has_no_ends() {
    let dir = fast_dir();
    let (files, store, partition) = full(&dir.path().join("store"));
    let deleted = partition.delete_records(100).unwrap();
    assert!(deleted.start == 100 && deleted.segments > 0, "{deleted:?}");
    assert_eq!(values(&store, "credits"), numbers(100..COMMITS));
    // The process dies before any end is written.
    let left = dir.path().join("left");
    kill_and_copy(store, &dir.path().join("store"), &left);
    files.heal();
    let store = Store::open(&left).unwrap();
    let whole = |store: &Store| {
        assert_eq!(values(store, "debits"), numbers(0..COMMITS));
        assert_eq!(values(store, "credits"), numbers(100..COMMITS));
    };
    whole(&store);
    store.close().unwrap();
    assert!(Store::verify(&left).unwrap().findings.is_empty());
    let store = Store::open(&left).unwrap();
    whole(&store);
    assert!(store.stats().unwrap().open_transactions.is_empty());
}

#[test]
fn retention_takes_what_has_no_ends() {
    let dir = fast_dir();
    let (files, store, partition) = full(&dir.path().join("store"));
    files.heal();
    store.alter_topic("credits", TopicConfig::new().retention_records(50)).unwrap();
    for path in [".log", ".snapshot"] {
        let calls = [Call::Create, Call::Write, Call::Allocate];
        files.fail(&calls, path, (0, Times::ForEver), Fault::Error(ENOSPC));
    }
    store.topic("credits").unwrap().apply_retention().unwrap();
    let start = partition.start();
    assert!(start > 50, "it starts at {start}");
    assert_eq!(values(&store, "credits"), numbers(start..COMMITS));
    files.heal();
    partition.append(&[Record::new().value("after")], Durability::Disk).unwrap();
    store.close().unwrap();
    let store = Store::open(dir.path().join("store")).unwrap();
    assert_eq!(values(&store, "debits"), numbers(0..COMMITS));
    let after = [numbers(start..COMMITS), vec!["after".to_owned()]].concat();
    assert_eq!(values(&store, "credits"), after);
}

#[test]
fn what_a_power_cut_may_have_done_again_is_not_deleted_without_its_end() {
    let dir = fast_dir();
    let (files, _store, partition) = full(&dir.path().join("store"));
    files.heal();
    files.fail(&[Call::Sync], "debits-0", (0, Times::ForEver), Fault::Error(EIO));
    assert!(partition.delete_records(COMMITS - 5).is_err());
    assert_eq!(partition.start(), 0);
}

#[test]
fn what_lies_across_a_new_start_needs_its_end() {
    let dir = fast_dir();
    let files = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    let small = TopicConfig::new().segment_bytes(4096).retention_records(1);
    let partition = store.create_topic("credits", small).unwrap().partition(0).unwrap();
    store.create_topic("debits", TopicConfig::new()).unwrap();
    let mut tx = store.transaction_builder("transfer").buffer_bytes(0).begin().unwrap();
    let long = [b'1'; 1500];
    for topic in ["credits"; 10].into_iter().chain(["debits"]) {
        tx.send(Record::to(topic).value(&long)).unwrap();
    }
    let starts_at_0 = |when: &str| {
        assert!(partition.delete_records(2).is_err(), "{when}");
        store.topic("credits").unwrap().apply_retention().unwrap();
        assert_eq!(partition.start(), 0, "{when}");
    };
    starts_at_0("it is not decided");
    assert!(partition.delete_records(10).is_err(), "the whole of it neither");
    tx.commit().unwrap();
    let writes = [Call::Create, Call::Write, Call::Allocate];
    files.fail(&writes, ".log", (0, Times::ForEver), Fault::Error(ENOSPC));
    starts_at_0("a log does not start inside a transaction");
    files.heal();
    assert_eq!(partition.delete_records(2).unwrap().start, 2);
    assert_eq!(partition.end(), 11, "its end is written first");
    assert_eq!(values(&store, "credits").len(), 8);
}

/// Records of no transaction, in as many segments as it takes for what stands before them to be taken out.
fn plain(partition: &Partition) {
    for _ in 0..10 {
        partition.append(&[Record::new().value(&[b'p'; 1500])], Durability::Os).unwrap();
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test damages files")]
fn nobody_waits_for_a_transaction_of_which_nothing_is_left_and_nobody_can_tell() {
    let dir = fast_dir();
    let (place, left) = (dir.path().join("store"), dir.path().join("left"));
    let store = by_hand(&place).open().unwrap();
    let small = TopicConfig::new().segment_bytes(4096).retention_records(3);
    let partition = store.create_topic("credits", small).unwrap().partition(0).unwrap();
    store.create_topic("debits", TopicConfig::new()).unwrap();
    let mut tx = store.transaction("transfer").unwrap();
    for topic in ["debits", "credits"] {
        tx.send(Record::to(topic).value("1")).unwrap();
    }
    tx.commit().unwrap();
    plain(&partition);
    assert_eq!(partition.end(), 11, "no end is in the log");
    store.topic("credits").unwrap().apply_retention().unwrap();
    assert!(partition.start() > 1);
    kill_and_copy(store, &place, &left);
    std::fs::write(left.join("debits-0").join("annals.state"), "damaged").unwrap();
    let store = by_hand(&left).open().unwrap();
    let partition = store.topic("credits").unwrap().partition(0).unwrap();
    let (start, end) = (partition.start(), partition.end());
    assert_eq!(partition.stable(), end);
    assert_eq!(values(&store, "credits").len(), usize::try_from(end - start).unwrap());
    plain(&partition);
    assert_eq!(partition.stable(), partition.end());
    assert_eq!(partition.delete_records(end).unwrap().start, end);
    assert_eq!(values(&store, "credits").len(), 10);
    let limit = TopicConfig::new().segment_bytes(4096).size_limit(20_000, WhenFull::DropOldest);
    store.alter_topic("credits", limit).unwrap();
    plain(&partition);
    plain(&partition);
    assert!(partition.start() > end && partition.bytes() <= 20_000);
}
