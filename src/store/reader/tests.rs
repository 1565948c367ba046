use crate::store::Store;
use crate::topic::TopicConfig;
use crate::types::{Durability, Record};

use super::*;

/// The owner shows it by itself: here a sync that knew of the end of a transaction before the bytes were shown.
#[test]
fn a_careful_reader_elsewhere_was_handed_what_the_end_that_it_could_not_see_yet_aborts() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let mut open = store.transaction_builder("open").buffer_bytes(0).begin().unwrap();
    open.send(Record::to("orders").value("perhaps")).unwrap();
    let owned = store.topic("orders").unwrap().partition(0).unwrap();
    owned.append(&[Record::new().value("behind")], Durability::Disk).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut careful = reader.consumer_builder().read_durable_only().build().unwrap();
    careful.assign([("orders", 0)]).unwrap();
    assert!(careful.poll(std::time::Duration::ZERO).unwrap().is_empty());
    let partition = reader.topic("orders").unwrap().partition(0).unwrap();
    assert_eq!((partition.stable(), partition.durable(), partition.end()), (0, 2, 2));
    partition.partition().log().show_kept(2);
    assert_eq!(partition.partition().log().kept(), 0);
    drop(open);
}

/// They were kept as long as there was a consumer of the group.
#[test]
fn a_group_elsewhere_knew_what_it_had_committed_for_topics_that_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut billing = reader.consumer("billing").unwrap();
    for topic in ["monday", "tuesday", "wednesday"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
        billing.subscribe(["orders", topic]).unwrap();
        assert!(billing.poll(std::time::Duration::ZERO).unwrap().is_empty());
        billing.commit().unwrap();
        assert_eq!(reader.inner.groups.known_commits("billing"), 2);
        store.delete_topic(topic).unwrap();
    }
    billing.subscribe(["orders"]).unwrap();
    assert!(billing.poll(std::time::Duration::ZERO).unwrap().is_empty());
    assert_eq!(reader.inner.groups.known_commits("billing"), 1);
}
