//! A producer that is bound to a topic sees what becomes of the topic.

use annals::{Error, Record, Store, TopicConfig};

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
