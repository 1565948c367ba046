//! Topics that come and go, what they leave, and what concerns one of them alone.

use std::fs;
use std::path::Path;

use annals::{CleanupPolicy, Codec, Durability, Error, Record, Store, TopicConfig};

use crate::common::{copy_dir, fast_dir, producer, records, small_segments};

fn store_with(dir: &Path, topics: &[&str]) -> Store {
    let store = Store::builder(dir).maintain_by_hand().open().expect("a new store");
    let producer = producer(&store, Durability::Disk);
    for topic in topics {
        store.create_topic(topic, TopicConfig::new().partitions(2)).expect("a topic");
        for partition in 0..2 {
            producer.send(Record::to(topic).partition(partition).value("2 apples")).expect("a send");
        }
    }
    store
}

fn count(store: &Store, topic: &str) -> usize {
    let partitions = store.topic(topic).expect("the topic").partitions();
    partitions.iter().map(|partition| records(partition).len()).sum()
}

/// What an open could not open or did not clear away, by name.
fn failures(store: &Store) -> Vec<(&annals::TopicPartition, &Error)> {
    let failure = |report: &'_ annals::report::RecoveryReport| report.failure.is_some();
    let failed = store.recovery().iter().filter(|report| failure(report));
    failed.map(|report| (&report.topic_partition, report.failure.as_ref().expect("one"))).collect()
}

#[test]
fn a_copy_put_back_after_a_deletion_is_named_and_never_removed() {
    for name in ["orders-0", "archive-0"] {
        let dir = fast_dir();
        let store = store_with(dir.path(), &["orders", "bills"]);
        let saved = fast_dir();
        let copy = saved.path().join("copy");
        copy_dir(&dir.path().join("orders-0"), &copy);
        store.delete_topic("orders").expect("a deletion");
        store.close().expect("a close");
        copy_dir(&copy, &dir.path().join(name));
        for _ in 0..2 {
            let store = Store::open(dir.path()).expect("the store opens");
            assert!(dir.path().join(name).join("00000000000000000000.log").exists(), "{name} was removed");
            let found = failures(&store);
            assert!(
                matches!(found[..], [(there, Error::Corrupt { .. })] if there.to_string() == name),
                "{found:?}"
            );
            let topic = name.trim_end_matches("-0");
            assert!(matches!(store.topic(topic), Err(Error::Corrupt { .. })));
            assert!(matches!(store.ensure_topic(topic, TopicConfig::new()), Err(Error::Corrupt { .. })));
            assert_eq!(count(&store, "bills"), 2);
            store.close().expect("a close");
        }
    }
}

#[test]
fn a_deletion_is_forgotten_when_it_is_complete() {
    let dir = fast_dir();
    let store = store_with(dir.path(), &["orders"]);
    store.delete_topic("orders").expect("a deletion");
    let list = fs::read_to_string(dir.path().join("annals.topics")).expect("the list");
    assert!(!list.contains("deleted"), "{list}");
}

#[test]
fn a_leftover_that_cannot_be_removed_is_named_and_the_store_opens() {
    let dir = fast_dir();
    let store = store_with(dir.path(), &["orders", "bills"]);
    let odd = dir.path().join("orders-1").join("notes");
    fs::create_dir(&odd).expect("a directory");
    store.delete_topic("orders").expect("the topic is gone");
    assert!(matches!(store.topic("orders"), Err(Error::UnknownTopic { .. })));
    store.close().expect("a close");
    for _ in 0..2 {
        let store = Store::open(dir.path()).expect("the store opens");
        let found = failures(&store);
        assert!(
            matches!(found[..], [(there, Error::Io { .. })] if there.to_string() == "orders-1"),
            "{found:?}"
        );
        assert_eq!(count(&store, "bills"), 2);
        store.close().expect("a close");
    }
    fs::remove_dir(&odd).expect("it is empty");
    let store = Store::open(dir.path()).expect("the store opens");
    assert!(failures(&store).is_empty() && !dir.path().join("orders-1").exists());
}

#[test]
fn a_damaged_state_file_stops_its_topic_and_no_other() {
    let dir = fast_dir();
    let store = store_with(dir.path(), &["orders", "bills"]);
    let mut consumer = store.consumer("ledger").expect("a consumer");
    consumer.assign([("orders", 0), ("bills", 0)]).expect("an assignment");
    consumer.commit_offsets([(("orders", 0).into(), 1), (("bills", 0).into(), 1)]).expect("a commit");
    drop(consumer);
    store.close().expect("a close");
    let state = dir.path().join("orders-1").join("annals.state");
    let good = fs::read(&state).expect("a state file");
    fs::write(&state, b"nonsense").expect("a state file");
    let store = Store::open(dir.path()).expect("the store opens");
    let found = failures(&store);
    assert!(
        matches!(found[..], [(there, Error::Corrupt { .. })] if there.to_string() == "orders-1"),
        "{found:?}"
    );
    let is_its_error = |outcome: annals::Result<()>| match outcome {
        Err(Error::Corrupt { path, .. }) => assert!(path.ends_with("orders-1/annals.state"), "{path:?}"),
        other => panic!("{other:?}"),
    };
    is_its_error(store.topic("orders").map(drop));
    is_its_error(store.ensure_topic("orders", TopicConfig::new()).map(drop));
    is_its_error(store.alter_topic("orders", TopicConfig::new().retention_bytes(1)).map(drop));
    is_its_error(store.add_partitions("orders", 3).map(drop));
    is_its_error(store.producer().send(Record::to("orders").value("1 pear")).map(drop));
    assert!(matches!(store.create_topic("orders", TopicConfig::new()), Err(Error::TopicExists { .. })));
    assert_eq!(store.committed("ledger").len(), 2, "what was committed for it is not hidden");
    assert_eq!(count(&store, "bills"), 2);
    producer(&store, Durability::Disk).send(Record::to("bills").value("1 pear")).expect("a send");
    store.close().expect("a close");
    // What was committed for it holds.
    fs::write(&state, good).expect("a state file");
    let store = Store::open(dir.path()).expect("the store opens");
    assert_eq!((count(&store, "orders"), count(&store, "bills")), (2, 3));
    assert_eq!(store.committed("ledger").len(), 2);
}

#[test]
fn a_topic_that_cannot_be_opened_can_be_deleted_and_takes_nothing_else_with_it() {
    let dir = fast_dir();
    let store = store_with(dir.path(), &["orders", "bills"]);
    store.close().expect("a close");
    let stranger = fast_dir();
    store_with(stranger.path(), &["orders"]).close().expect("a close");
    // One partition of another store stands where one of this topic was.
    fs::remove_dir_all(dir.path().join("orders-1")).expect("a partition");
    copy_dir(&stranger.path().join("orders-1"), &dir.path().join("orders-1"));
    let store = Store::open(dir.path()).expect("the store opens");
    assert!(matches!(store.topic("orders"), Err(Error::Corrupt { .. })));
    store.delete_topic("orders").expect("a deletion");
    assert!(!dir.path().join("orders-0").exists() && dir.path().join("orders-1").exists());
    assert_eq!(count(&store, "bills"), 2);
}

#[test]
fn a_topic_deleted_by_many_threads_is_unknown_to_all_but_one() {
    let dir = fast_dir();
    for round in 0..20 {
        let store = Store::open(dir.path()).expect("the store opens");
        let topic = store.create_topic("orders", small_segments().retention_bytes(1)).expect("a topic");
        let sender = producer(&store, Durability::Os);
        let outcomes = std::thread::scope(|scope| {
            let sends = scope.spawn(|| {
                loop {
                    if let Err(error) = sender.send(Record::to("orders").value(&[0; 500])) {
                        return error;
                    }
                }
            });
            let retains = scope.spawn(|| {
                loop {
                    if let Err(error) = topic.apply_retention() {
                        return error;
                    }
                }
            });
            std::thread::sleep(std::time::Duration::from_millis(round % 7));
            let delete = || scope.spawn(|| store.delete_topic("orders"));
            let deletes = [delete(), delete(), delete()].map(|thread| thread.join().expect("no panic"));
            let ends = [sends, retains].map(|thread| thread.join().expect("no panic"));
            (deletes, ends)
        });
        assert_eq!(outcomes.0.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        let failed = outcomes.0.into_iter().filter_map(Result::err).chain(outcomes.1);
        failed.for_each(|error| assert!(matches!(error, Error::UnknownTopic { .. }), "{error:?}"));
        store.close().expect("a close");
        assert!(!dir.path().join("orders-0").exists());
    }
}

#[test]
fn a_topic_that_gets_the_name_of_a_failing_one_begins_without_its_failures() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().expect("a new store");
    let compacted = || TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(4096);
    store.create_topic("orders", compacted()).expect("a topic");
    for number in 0..100 {
        let key = format!("{}", number % 3);
        producer(&store, Durability::Os)
            .send(Record::to("orders").key(&key).value(&[7; 200]))
            .expect("a send");
    }
    store.close().expect("a close");
    let log = dir.path().join("orders-0").join("00000000000000000000.log");
    let mut bytes = fs::read(&log).expect("a segment");
    bytes[100] ^= 1;
    fs::write(&log, bytes).expect("a segment");
    let store = Store::builder(dir.path()).maintain_by_hand().open().expect("the store opens");
    assert!(store.maintain().is_err());
    assert_eq!(store.stats().expect("figures").maintenance_failures.len(), 1);
    store.delete_topic("orders").expect("a deletion");
    store.create_topic("orders", compacted()).expect("a topic");
    assert!(store.stats().expect("figures").maintenance_failures.is_empty());
    store.maintain().expect("a round");
}

#[test]
fn ensuring_a_topic_compares_every_setting_that_is_given() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).expect("a new store");
    let config = || TopicConfig::new().partitions(3).set("retention.ms", "7d");
    store.ensure_topic("orders", config()).expect("a topic");
    store.ensure_topic("orders", config()).expect("the same");
    store.ensure_topic("orders", TopicConfig::new()).expect("nothing is asked for");
    store.ensure_topic("orders", TopicConfig::new().set("segment.bytes", "128MiB")).expect("the default");
    let mismatch = |config: TopicConfig| match store.ensure_topic("orders", config) {
        Err(Error::TopicMismatch { setting, found, expected, .. }) => (setting, found, expected),
        other => panic!("{other:?}"),
    };
    let (setting, found, expected) = mismatch(config().set("retention.ms", "1d"));
    assert_eq!((setting, found.as_str(), expected.as_str()), ("retention.ms", "604800000", "86400000"));
    assert_eq!(mismatch(config().compression_type(Codec::Zstd)).0, "compression.type");
    assert_eq!(mismatch(TopicConfig::new().unset("retention.ms")).0, "retention.ms");
    assert!(matches!(
        store.ensure_topic("orders", TopicConfig::new().set("retention.hours", "1")),
        Err(Error::InvalidConfig { .. })
    ));
}

#[test]
fn altering_a_topic_refuses_another_number_of_partitions_and_can_unset() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).expect("a new store");
    store
        .create_topic("orders", TopicConfig::new().partitions(3).set("retention.ms", "7d"))
        .expect("a topic");
    match store.alter_topic("orders", TopicConfig::new().partitions(5).set("retention.ms", "1d")) {
        Err(Error::InvalidConfig { key, reason, .. }) => {
            assert!(key == "partitions" && reason.contains("add_partitions"), "{key}: {reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store.topic("orders").expect("the topic").config().get("retention.ms"), "604800000");
    store.alter_topic("orders", TopicConfig::new().partitions(3)).expect("as many as there are");
    let altered = store.alter_topic("orders", TopicConfig::new().unset("retention.ms")).expect("a change");
    assert!(!altered.config().values().contains_key("retention.ms"));
    assert!(matches!(
        store.alter_topic("orders", TopicConfig::new().unset("retention.hours")),
        Err(Error::InvalidConfig { .. })
    ));
    store.close().expect("a close");
    let store = Store::open(dir.path()).expect("the store opens");
    assert_eq!(store.topic("orders").expect("the topic").config().get("retention.ms"), "-1");
}

#[test]
fn space_allocated_ahead_is_not_counted_as_scanned() {
    let dir = fast_dir();
    let store = store_with(dir.path(), &["orders"]);
    let copy = fast_dir();
    crate::common::kill_and_copy(store, dir.path(), &copy.path().join("store"));
    let store = Store::open(copy.path().join("store")).expect("the store opens");
    let report = &store.recovery()[0];
    assert!(!report.clean && (60..200).contains(&report.scanned_bytes), "{report:?}");
}

#[test]
fn a_failure_of_maintenance_is_over_when_a_call_of_the_program_has_done_what_failed() {
    let dir = fast_dir();
    let files = annals_testing::FaultyFileSystem::new();
    let store = crate::common::on_faulty(dir.path(), &files).open().expect("a new store");
    let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(4096);
    let topic = store.create_topic("orders", config).expect("a topic");
    for number in 0..100 {
        let key = format!("{}", number % 3);
        producer(&store, Durability::Os)
            .send(Record::to("orders").key(&key).value(&[7; 200]))
            .expect("a send");
    }
    // Each try: smaller ones follow the first.
    let full = annals_testing::Fault::Error(28);
    files.fail(&[annals_testing::Call::Write], ".cleaned", (0, annals_testing::Times::ForEver), full);
    assert!(store.maintain().is_err_and(|error| error.is_disk_full()));
    files.heal();
    let failures = || store.stats().expect("figures").maintenance_failures.len();
    assert_eq!(failures(), 1);
    store.apply_retention().expect("retention");
    assert_eq!(failures(), 1, "it was compaction that failed");
    topic.compact().expect("a compaction");
    assert_eq!(failures(), 0);
}

#[test]
fn what_is_printed_for_a_look_is_short() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().expect("a new store");
    let topic = store.create_topic("orders", TopicConfig::new().partitions(50)).expect("a topic");
    let mut consumer = store.consumer("billing").expect("a consumer");
    consumer.subscribe(["orders"]).expect("a subscription");
    let partition = topic.partition(0).expect("a partition");
    for shown in
        [format!("{store:?}"), format!("{topic:?}"), format!("{partition:?}"), format!("{consumer:?}")]
    {
        assert!(shown.len() < 200, "{shown}");
    }
}

#[test]
fn no_topic_gets_the_name_of_records_that_the_list_has_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (live, list) = (dir.path().join("live"), dir.path().join("live/annals.topics"));
    let store = Store::open(&live).unwrap();
    store.create_topic("others", TopicConfig::new()).unwrap();
    let earlier = fs::read(&list).unwrap();
    store.create_topic("lost", TopicConfig::new().partitions(2)).unwrap();
    store.producer().send(Record::to("lost").partition(1).value("kept")).unwrap();
    store.close().unwrap();
    fs::write(&list, earlier).unwrap();
    let store = Store::open(&live).unwrap();
    let new = || TopicConfig::new();
    let refused = [
        store.create_topic("lost", new()).map(drop),
        store.create_topics([("more", new()), ("lost", new())]).map(drop),
        store.ensure_topic("lost", new()).map(drop),
        store.adopt_topic("lost", new(), [live.join("lost-1")]).map(drop),
    ];
    for refused in refused {
        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
    }
    assert!(matches!(store.topic("more"), Err(Error::UnknownTopic { .. })));
    store.backup(dir.path().join("copy")).unwrap();
    store.close().unwrap();
    Store::builder(&live).repair(dir.path().join("taken-out")).unwrap();
    let store = Store::open(&live).unwrap();
    let lost = store.topic("lost").unwrap().partition(1).unwrap();
    assert_eq!(lost.get(0).unwrap().unwrap().value.as_deref(), Some(&b"kept"[..]));
}
