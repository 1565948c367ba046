//! A partition that was never appended to is an empty directory, and a partition like any other.

use std::fs;

use annals::{Durability, Error, Record, Store, TopicConfig};

use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use crate::common::{by_hand, fast_dir};

/// It does not say whose it is: what a deletion has left of an earlier topic is not mistaken for it.
#[test]
fn a_new_topic_is_not_removed_for_an_earlier_one_of_its_name() {
    const EIO: i32 = 5;
    let dir = fast_dir();
    let files = FaultyFileSystem::watching_order();
    let store = by_hand(dir.path()).file_system(std::sync::Arc::clone(&files) as _).open().unwrap();
    let orders = store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    orders.partition(0).unwrap().append(&[Record::new().value("x")], Durability::Os).unwrap();
    files.fail(&[Call::Remove, Call::RemoveDir], "orders", (0, Times::ForEver), Fault::Error(EIO));
    store.delete_topic("orders").unwrap();
    files.heal();
    store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    drop(store.maintain());
    for partition in store.topic("orders").unwrap().partitions() {
        partition.append(&[Record::new().value("y")], Durability::Disk).unwrap();
    }
    store.close().unwrap();
    let store = by_hand(dir.path()).open().unwrap();
    let ends: Vec<_> = store.topic("orders").unwrap().partitions().iter().map(|one| one.end()).collect();
    assert_eq!(ends, [1, 1]);
}

#[test]
fn topics_are_created_all_or_none() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let made = store
        .create_topics([("one", TopicConfig::new()), ("two", TopicConfig::new().partitions(3))])
        .unwrap();
    assert_eq!(
        made.iter().map(|topic| (topic.name(), topic.partition_count())).collect::<Vec<_>>(),
        [("one", 1), ("two", 3)]
    );
    let many = |names: &[&str]| store.create_topics(names.iter().map(|name| (*name, TopicConfig::new())));
    assert!(matches!(many(&["three", "two"]), Err(Error::TopicExists { .. })));
    assert!(matches!(many(&["three", "a.b", "a_b"]), Err(Error::TopicExists { .. })));
    assert!(matches!(many(&["three", "no/name"]), Err(Error::InvalidName { .. })));
    assert!(many(&["three", "__consumer_offsets"]).is_err());
    assert!(many(&[]).unwrap().is_empty());
    assert!(store.topic("three").is_err());
    assert!(!dir.path().join("three-0").exists());
    store.close().unwrap();
    let store = by_hand(dir.path()).open().unwrap();
    assert_eq!(store.topics().len(), 2);
}

#[test]
fn it_is_read_copied_verified_and_appended_to_like_any_other() {
    let dir = fast_dir();
    let (live, copy) = (dir.path().join("live"), dir.path().join("copy"));
    let config = || TopicConfig::new().partitions(3).key_index(true);
    {
        let store = by_hand(&live).open().unwrap();
        let topic = store.create_topic("orders", config()).unwrap();
        topic.partition(1).unwrap().append(&[Record::new().value("x")], Durability::Os).unwrap();
        store.backup(&copy).unwrap();
        store.close().unwrap();
    }
    assert_eq!(fs::read_dir(live.join("orders-0")).unwrap().count(), 0);
    let restored = dir.path().join("restored");
    annals::backup::restore(&copy, &restored).unwrap();
    for place in [&live, &restored] {
        assert!(Store::verify(place).unwrap().is_sound());
        let looked_at = Store::open_read_only(place).unwrap();
        let partitions = looked_at.topic("orders").unwrap().partitions();
        assert_eq!(partitions.iter().map(|one| one.end()).collect::<Vec<_>>(), [0, 1, 0]);
        drop((partitions, looked_at));
        let report = by_hand(place).repair(dir.path().join("taken-out")).unwrap();
        assert!(report.repairs.is_empty() && report.refused.is_empty(), "{report:?}");
        for life in 0..2 {
            let store = by_hand(place).open().unwrap();
            let topic = store.topic("orders").unwrap();
            let last = topic.partition(2).unwrap();
            assert_eq!(last.offset_for_time(0).unwrap(), None);
            assert_eq!((last.start(), last.durable(), last.end()), (0, 0, 0));
            assert_eq!(topic.partition(0).unwrap().end(), life);
            assert!(topic.get("nobody").unwrap().is_none());
            topic.partition(0).unwrap().append(&[Record::new().value("x")], Durability::Disk).unwrap();
            store.maintain().unwrap();
            store.close().unwrap();
        }
        // What is missing altogether is damage.
        fs::remove_dir_all(place.join("orders-2")).unwrap();
        let store = by_hand(place).open().unwrap();
        assert!(matches!(store.topic("orders"), Err(Error::Corrupt { .. })));
    }
}

/// It begins behind what was deleted: without its state file nobody knows where.
#[test]
fn one_whose_records_are_all_gone_is_not_taken_for_it() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let partition = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    partition.append(&[Record::new().value("x")], Durability::Os).unwrap();
    partition.delete_records(1).unwrap();
    store.close().unwrap();
    let directory = dir.path().join("orders-0");
    let bytes = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let is_log = entry.path().extension().is_some_and(|end| end == "log");
        if is_log { entry.metadata().unwrap().len() } else { 0 }
    };
    assert_eq!(fs::read_dir(&directory).unwrap().map(bytes).sum::<u64>(), 0);
    fs::remove_file(directory.join("annals.state")).unwrap();
    let store = by_hand(dir.path()).open().unwrap();
    assert!(matches!(store.topic("orders"), Err(Error::Corrupt { .. })));
}
