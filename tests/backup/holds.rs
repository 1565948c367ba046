//! Maintenance that is held.

use std::time::Duration;

use annals::{CleanupPolicy, Error, Record, Store, TopicConfig, WhenFull};

fn files(store: &Store, partition: &str) -> Vec<String> {
    let listed = std::fs::read_dir(store.path().join(partition)).unwrap();
    let mut names: Vec<_> = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_takes_files_away_is_refused_while_maintenance_is_held_and_done_after() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().segment_bytes(1000).retention_bytes(2000);
    let clicks = store.create_topic("clicks", config).unwrap();
    let prices = store
        .create_topic("prices", TopicConfig::new().segment_bytes(1000).cleanup_policy(CleanupPolicy::Compact))
        .unwrap();
    for number in 0..100 {
        let value = format!("{number}: a value of some length");
        store.producer().send(Record::to("clicks").key("alice").value(&value)).unwrap();
        store.producer().send(Record::to("prices").key("apple").value(&value)).unwrap();
    }
    let (one, other) = (store.hold_maintenance().unwrap(), store.hold_maintenance().unwrap());
    let before = (files(&store, "clicks-0"), files(&store, "prices-0"));
    let is_held = |error: Error| {
        assert!(matches!(error, Error::Held { .. }), "{error}");
        assert!(error.is_retriable());
    };
    drop(one);
    is_held(store.apply_retention().unwrap_err());
    is_held(clicks.apply_retention().unwrap_err());
    is_held(prices.compact().unwrap_err());
    is_held(clicks.erase("alice").unwrap_err());
    is_held(clicks.partition(0).unwrap().delete_records(50).unwrap_err());
    store.maintain().unwrap();
    assert_eq!(before, (files(&store, "clicks-0"), files(&store, "prices-0")));
    assert_eq!(clicks.partition(0).unwrap().start(), 0);
    drop(other);
    store.maintain().unwrap();
    assert!(clicks.partition(0).unwrap().start() > 0);
    assert!(files(&store, "clicks-0").len() < before.0.len());
    assert_eq!(prices.compact().unwrap()[0].bytes_after, prices.stats().unwrap().bytes());
    assert_eq!(clicks.erase("alice").unwrap()[0].topic_partition.topic(), "clicks");
    assert_eq!(super::records(&clicks.partition(0).unwrap()), []);
}

#[test]
fn a_topic_that_drops_its_oldest_goes_on_dropping_under_a_hold_and_its_files_go_after() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().segment_bytes(500).size_limit(2000, WhenFull::DropOldest);
    let jobs = store.create_topic("jobs", config).unwrap().partition(0).unwrap();
    let held = store.hold_maintenance().unwrap();
    for number in 0..200 {
        store.producer().send(Record::to("jobs").value(&format!("job {number} of many"))).unwrap();
    }
    assert!(jobs.start() > 0 && jobs.bytes() <= 2000);
    let many = files(&store, "jobs-0").len();
    drop(held);
    store.maintain().unwrap();
    assert!(files(&store, "jobs-0").len() < many / 2, "{many}");
    assert_eq!(super::records(&jobs).first().unwrap().0, jobs.start());
}

/// What was left to do to files was done by the first append, whoever held them.
#[test]
fn the_first_append_of_a_life_took_files_away_under_a_hold() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let store = open();
    let config = TopicConfig::new().segment_bytes(500).size_limit(2000, WhenFull::DropOldest);
    store.create_topic("jobs", config).unwrap();
    let held = store.hold_maintenance().unwrap();
    for number in 0..200 {
        store.producer().send(Record::to("jobs").value(&format!("job {number} of many"))).unwrap();
    }
    store.close().unwrap();
    drop((held, store));
    let store = open();
    let held = store.hold_maintenance().unwrap();
    let before = files(&store, "jobs-0");
    store.producer().send(Record::to("jobs").value("one more")).unwrap();
    let after = files(&store, "jobs-0");
    assert!(before.iter().all(|file| after.contains(file)), "{before:?}, then {after:?}");
    drop(held);
}

/// Commits that cannot be read keep partitions from being appended to that were not closed: their files stay as they are anyway.
#[test]
fn a_store_whose_commits_cannot_be_read_could_not_be_held() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let store = open();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    store.producer().send(Record::to("jobs").value("a job")).unwrap();
    let mut consumer = store.consumer("workers").unwrap();
    consumer.assign([("jobs", 0)]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    consumer.commit().unwrap();
    drop(consumer);
    store.close().unwrap();
    let store = open();
    store.producer().send(Record::to("jobs").value("another")).unwrap();
    let left = tempfile::tempdir().unwrap();
    copy(dir.path(), left.path());
    let commits = std::fs::read_dir(left.path()).unwrap().map(|entry| entry.unwrap().path());
    let commits = commits.filter(|path| path.to_string_lossy().contains("__consumer_offsets"));
    for log in commits.map(|path| path.join("00000000000000000000.log")).filter(|log| log.exists()) {
        let mut bytes = std::fs::read(&log).unwrap();
        if let Some(byte) = bytes.get_mut(70) {
            *byte ^= 1;
        }
        std::fs::write(&log, bytes).unwrap();
    }
    let killed = Store::builder(left.path()).maintain_by_hand().open().unwrap();
    killed.producer().send(Record::to("jobs").value("more")).unwrap_err();
    drop(killed.hold_maintenance().unwrap());
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn what_fell_due_under_a_hold_does_not_wait_for_another_interval() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store::builder(dir.path()).retention_check_interval(Duration::from_secs(3600)).open().unwrap();
    let config = TopicConfig::new().segment_bytes(1000).retention_bytes(2000);
    let clicks = store.create_topic("clicks", config).unwrap().partition(0).unwrap();
    let held = store.hold_maintenance().unwrap();
    for number in 0..100 {
        store.producer().send(Record::to("clicks").value(&format!("{number}: a click"))).unwrap();
    }
    assert_eq!(clicks.start(), 0);
    drop(held);
    while clicks.start() == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let again = store.hold_maintenance().unwrap();
    store.close().unwrap();
    drop(again);
    assert!(matches!(store.hold_maintenance(), Err(Error::StoreClosed { .. })));
}
