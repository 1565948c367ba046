//! Producers and the partitions of a topic: one that is bound to it sees what becomes of it; records without a key reach all of
//! them; open batches of many are bounded.

use annals::{Durability, Error, Record, Store, TopicConfig};

#[test]
fn partitions_added_later_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let bound = store.producer().bind("orders").unwrap();
    let early = bound.send(Record::new().partition(1));
    assert!(matches!(early, Err(Error::UnknownPartition { partition: 1, partitions: 1, .. })), "{early:?}");
    store.add_partitions("orders", 2).unwrap();
    assert_eq!(bound.send(Record::new().partition(1)).unwrap().partition, 1);
}

#[test]
fn a_deleted_topic_takes_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let bound = store.producer().bind("orders").unwrap();
    bound.send(Record::new()).unwrap();
    store.delete_topic("orders").unwrap();
    assert!(bound.send(Record::new()).is_err());
}

#[test]
fn records_of_headers_alone_reach_every_partition() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().partitions(4)).unwrap();
    let producer = store.producer_builder().batch_size(1_000).build().unwrap();
    for _ in 0..800 {
        producer.send(Record::to("orders").header("kind", &[0; 100])).unwrap();
    }
    let ends: Vec<_> = (0..4).map(|number| topic.partition(number).unwrap().end()).collect();
    assert!(ends.iter().all(|end| *end > 0), "{ends:?}");
}

#[test]
fn appends_in_memory_to_many_partitions_keep_to_a_producers_memory() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().partitions(520)).unwrap();
    let partitions: Vec<_> = (0..520).map(|number| topic.partition(number).unwrap()).collect();
    for partition in &partitions {
        partition.append(&[Record::new().value("paid")], Durability::Memory).unwrap();
    }
    // 32 MiB are 512 batches of 64 KiB.
    assert_eq!(partitions.iter().filter(|partition| partition.end() == 0).count(), 512);
}
