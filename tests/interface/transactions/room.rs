//! Transactions in partitions that may not grow.

use annals::{Durability, Error, Isolation, Partition, Record, Store, TopicConfig, WhenFull};

use super::together::values;

const LIMIT: u64 = 4000;

fn store() -> (tempfile::TempDir, Store, Partition) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().size_limit(LIMIT, WhenFull::DropOldest).segment_bytes(1000);
    let queue = store.create_topic("queue", config).unwrap().partition(0).unwrap();
    store.create_topic("other", TopicConfig::new()).unwrap();
    (dir, store, queue)
}

fn fill(queue: &Partition, records: usize) {
    for number in 0..records {
        queue.append(&[Record::new().value(&format!("{number:0100}"))], Durability::Os).unwrap();
    }
}

#[test]
fn a_transaction_in_the_way_of_newer_records_is_aborted_and_told_so() {
    let (_dir, store, queue) = store();
    let mut tx = store.transaction_builder("slow").buffer_bytes(0).begin().unwrap();
    tx.send(Record::to("queue").value("undecided")).unwrap();
    tx.send(Record::to("other").value("undecided")).unwrap();
    fill(&queue, 100);
    assert!(queue.bytes() <= LIMIT && queue.start() > 0, "{} bytes from {}", queue.bytes(), queue.start());
    assert!(!values(&store, "queue", 0, Isolation::ReadCommitted).is_empty());
    match tx.commit() {
        Err(Error::TransactionDisplaced { name, partition }) => {
            assert_eq!((name.as_str(), partition.to_string()), ("slow", "queue-0".to_owned()));
        }
        other => panic!("{other:?}"),
    }
    assert!(values(&store, "other", 0, Isolation::ReadCommitted).is_empty(), "it is aborted everywhere");
    // The name goes on.
    let mut next = store.transaction("slow").unwrap();
    next.send(Record::to("queue").value("next")).unwrap();
    next.commit().unwrap();
}

#[test]
fn a_decided_transaction_in_the_way_gets_its_markers_first() {
    let (_dir, store, queue) = store();
    for number in 0..30 {
        let mut tx = store.transaction("quick").unwrap();
        tx.send(Record::to("queue").value(&format!("{number:0200}"))).unwrap();
        tx.send(Record::to("other").value(&number.to_string())).unwrap();
        tx.commit().unwrap();
    }
    assert!(
        queue.bytes() <= LIMIT + 1000 && queue.start() > 0,
        "{} bytes from {}",
        queue.bytes(),
        queue.start()
    );
    assert_eq!(values(&store, "other", 0, Isolation::ReadCommitted).len(), 30);
}

#[test]
fn a_transaction_larger_than_its_partition_may_be_is_refused() {
    let (_dir, store, queue) = store();
    let mut tx = store.transaction_builder("large").buffer_bytes(0).begin().unwrap();
    let refused =
        (0..100).find_map(|number| tx.send(Record::to("queue").value(&format!("{number:0100}"))).err());
    assert!(matches!(refused, Some(Error::Full { .. })), "{refused:?}");
    drop(tx);
    assert_eq!(queue.stable(), queue.end(), "it was aborted");
    fill(&queue, 100);
}
