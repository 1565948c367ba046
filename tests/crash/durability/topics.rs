//! A creation or a deletion of a topic that was cut off.

use super::*;

#[test]
fn a_topic_whose_creation_was_cut_off_can_be_created_again() {
    let mut nth = 0;
    loop {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        files.fail(&Call::MUTATING, "", (nth, Times::ForEver), Fault::Error(EIO));
        let created = store.create_topic(TOPIC, workload_topic());
        kill_and_copy(store, dir.path(), copy.path());
        let store = by_hand(copy.path()).open().unwrap();
        let topic = store.ensure_topic(TOPIC, workload_topic());
        let topic = topic.unwrap_or_else(|error| panic!("cut off at call {nth}: {error}"));
        assert_eq!(records(&topic.partition(1).unwrap()), []);
        if created.is_ok() {
            assert!(nth > 6, "{nth} calls");
            break;
        }
        nth += 1;
    }
}

#[test]
fn a_deletion_that_was_cut_off_is_in_nobodys_way() {
    let mut nth = 0;
    loop {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        store.create_topic(TOPIC, workload_topic()).unwrap();
        (0..30).for_each(|number| {
            _ = producer(&store, Durability::Os).send(Record::to(TOPIC).value(&value_of(number))).unwrap();
        });
        files.fail(&Call::MUTATING, "", (nth, Times::ForEver), Fault::Error(EIO));
        let deleted = store.delete_topic(TOPIC);
        kill_and_copy(store, dir.path(), copy.path());
        let store = by_hand(copy.path()).open().unwrap();
        // Deleted or not, and then whole.
        let left =
            store.topic(TOPIC).map(|topic| topic.partitions().iter().map(|one| records(one).len()).sum());
        let left: usize = left.unwrap_or(30);
        assert_eq!(left, 30, "cut off at call {nth}");
        if store.topic(TOPIC).is_ok() {
            store.delete_topic(TOPIC).unwrap();
        }
        let topic = store.create_topic(TOPIC, workload_topic());
        let topic = topic.unwrap_or_else(|error| panic!("cut off at call {nth}: {error}"));
        assert_eq!(records(&topic.partition(0).unwrap()), []);
        if !files.trace().iter().any(|done| done.struck) {
            assert!(nth > 8 && deleted.is_ok(), "{nth} calls");
            break;
        }
        nth += 1;
    }
}

#[test]
fn a_topic_file_of_unknown_state_takes_no_changes_until_the_store_is_reopened() {
    for retries_sync in [true, false] {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        store.create_topic("other", TopicConfig::new()).unwrap();
        store.producer().send(Record::to("other").value("before")).unwrap();
        files.forget();
        // Of the store's directory for the new name in it, then for the topic file.
        let root = dir.path().to_string_lossy().into_owned();
        files.fail(&[Call::SyncDir], &root, (1, Times::Once), Fault::Error(EIO));
        assert!(matches!(store.create_topic(TOPIC, TopicConfig::new()), Err(Error::Poisoned { .. })));
        let last = files.trace().into_iter().rfind(|done| done.struck).unwrap();
        assert_eq!(
            (last.call, last.path.as_path()),
            (Call::SyncDir, dir.path()),
            "the fault struck elsewhere"
        );
        if !retries_sync {
            files.fail(&[Call::SyncDir], "", (0, Times::ForEver), Fault::Error(EIO));
        }
        for _ in 0..2 {
            match store.create_topic(TOPIC, TopicConfig::new()) {
                Err(Error::Poisoned { partition, .. }) => assert_eq!(partition, None),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(store.delete_topic("other"), Err(Error::Poisoned { .. })));
        assert!(store.producer().send(Record::to("other").value("goes on")).is_ok());
        files.heal();
        kill_and_copy(store, dir.path(), copy.path());
        let store = by_hand(copy.path()).open().unwrap();
        assert_eq!(records(&store.topic("other").unwrap().partition(0).unwrap()).len(), 2);
        store.ensure_topic(TOPIC, TopicConfig::new()).unwrap();
    }
}

#[test]
fn nothing_is_acknowledged_on_a_topic_whose_deletion_failed_half_way() {
    let (dir, copy) = (fast_dir(), fast_dir());
    let files = FaultyFileSystem::watching_order();
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    let producer = producer(&store, Durability::Disk);
    files.fail_next(Call::SyncDir, "", EIO);
    match store.delete_topic(TOPIC) {
        Err(Error::Poisoned { partition: None, cause }) => {
            assert!(matches!(*cause, Error::Io { operation: "sync directory", .. }));
        }
        other => panic!("{other:?}"),
    }
    let sent = producer.send(Record::to(TOPIC).value("kept?")).is_ok();
    kill_and_copy(store, dir.path(), copy.path());
    let store = by_hand(copy.path()).open().unwrap();
    let found = store.topic(TOPIC).map_or(0, |topic| records(&topic.partition(0).unwrap()).len());
    assert_eq!(found, usize::from(sent), "an acknowledged record went with its topic");
}

#[test]
fn a_deleted_topic_whose_files_cannot_be_read_at_one_open_stays_deleted() {
    for errno in [EIO, 13] {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::new();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
        for partition in 0..2 {
            let record = Record::to(TOPIC).partition(partition).value("deleted");
            producer(&store, Durability::Disk).send(record).unwrap();
        }
        // It is killed when the list is written.
        files.fail(&[Call::Remove], "orders-", (0, Times::ForEver), Fault::Error(EIO));
        store.delete_topic(TOPIC).unwrap();
        kill_and_copy(store, dir.path(), copy.path());
        let files = FaultyFileSystem::new();
        files.fail(&[Call::Open], "orders-0/annals.state", (0, Times::ForEver), Fault::Error(errno));
        let store = on_faulty(copy.path(), &files).open().unwrap();
        let failed: Vec<_> = store.recovery().iter().filter(|one| one.failure.is_some()).collect();
        assert_eq!(failed.len(), 1, "{failed:?}");
        store.close().unwrap();
        let store = by_hand(copy.path()).open().unwrap();
        let failed: Vec<_> = store.recovery().iter().filter(|one| one.failure.is_some()).collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert!(!copy.path().join("orders-0").exists());
        let again = store.create_topic(TOPIC, TopicConfig::new()).unwrap();
        assert_eq!(records(&again.partition(0).unwrap()), []);
    }
}

/// What said whose directory it is was removed, and the directory itself could not be.
#[test]
fn a_power_cut_brought_back_a_partition_of_a_deleted_topic_that_the_list_knew_no_more() {
    let machine = annals_testing::PowerCutFileSystem::new();
    let disk = FaultyFileSystem::over(machine.shared());
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    topic.partition(0).unwrap().append(&[Record::new().value("0")], Durability::Disk).unwrap();
    disk.fail(&[Call::RemoveDir], "", (0, Times::ForEver), Fault::Error(ENOSPC));
    store.delete_topic(TOPIC).unwrap();
    let machine = machine.restart();
    drop(store);
    // This life forgets the deletion.
    let store = Store::builder("/store").file_system(machine.shared()).maintain_by_hand().open().unwrap();
    for seed in 0..8 {
        let after = machine.cut_power(seed);
        let store = Store::builder("/store").file_system(after.shared()).open().unwrap();
        let failed: Vec<_> = store.recovery().iter().filter_map(|report| report.failure.clone()).collect();
        assert!(failed.is_empty(), "{seed}: {failed:?}");
    }
    drop(store);
}
