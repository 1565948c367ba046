//! Key compaction, erasure and maintenance through the public API, on real events.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, in its helpers too, and looks at the files from outside"
)]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::io::ManualClock;
use annals::{CleanupPolicy, Codec, Durability, Error, OwnedRecord, Record, Store, Topic, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

const EVENTS: &str = include_str!("../../examples/data/earthquakes.tsv");
/// 2024-01-01.
const NOW: i64 = 1_704_067_200_000;

struct Event {
    key: &'static str,
    timestamp: i64,
    json: &'static str,
}

fn events() -> Vec<Event> {
    let parse = |line: &'static str| {
        let mut fields = line.splitn(3, '\t');
        let mut next = || fields.next().unwrap();
        Event { key: next(), timestamp: next().parse().unwrap(), json: next() }
    };
    EVENTS.lines().map(parse).collect()
}

fn compacted() -> TopicConfig {
    TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(16 << 10)
}

fn send_all(topic: &Topic, store: &Store) {
    let producer = store.producer_builder().durability(Durability::Memory).batch_size(2000).build().unwrap();
    let producer = producer.bind(topic.name()).unwrap();
    for event in events() {
        producer.send(Record::new().key(event.key).value(event.json).timestamp(event.timestamp)).unwrap();
    }
    producer.flush().unwrap();
}

fn read_all(topic: &Topic) -> Vec<OwnedRecord> {
    topic.partitions().iter().flat_map(|partition| partition.read(..).unwrap()).map(Result::unwrap).collect()
}

/// The last event of each key with its offset, in offset order.
fn last_of_each() -> Vec<(i64, Event)> {
    let mut last = BTreeMap::new();
    for (offset, event) in (0..).zip(events()) {
        last.insert(event.key, (offset, event));
    }
    let mut last: Vec<_> = last.into_values().collect();
    last.sort_by_key(|(offset, _)| *offset);
    last
}

#[test]
fn the_last_event_of_each_network_is_left_at_its_old_place_and_time() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let topic = store.create_topic("quakes", compacted().compression_type(codec)).unwrap();
        send_all(&topic, &store);
        let mut slow = store.consumer_builder().max_poll_records(50).build().unwrap();
        slow.assign([("quakes", 0)]).unwrap();
        let mut seen: Vec<i64> =
            slow.poll(Duration::ZERO).unwrap().iter().map(|record| record.offset()).collect();

        let reports = topic.compact().unwrap();
        assert_eq!(reports[0].removed_records, 1707 - 12, "{codec:?}");
        assert_eq!(reports[0].cleaned_until, 1707);
        let expected = last_of_each();
        assert_eq!(expected.len(), 12);
        let check = |topic: &Topic| {
            let found = read_all(topic);
            assert_eq!(found.len(), 12);
            for (record, (offset, event)) in found.iter().zip(&expected) {
                assert_eq!((record.offset, record.timestamp), (*offset, event.timestamp));
                assert_eq!(record.key.as_deref(), Some(event.key.as_bytes()));
                assert_eq!(record.value.as_deref(), Some(event.json.as_bytes()));
            }
        };
        check(&topic);
        let partition = topic.partition(0).unwrap();
        assert_eq!((partition.start(), partition.end()), (0, 1707));
        // A reader in the middle goes on, and sees at least the last of every key behind it.
        loop {
            let records = slow.poll(Duration::ZERO).unwrap();
            if records.is_empty() {
                break;
            }
            seen.extend(records.iter().map(|record| record.offset()));
        }
        assert!(seen.is_sorted());
        assert!(expected.iter().all(|(offset, _)| seen.contains(offset)));
        assert_eq!(slow.lag().unwrap(), 0);

        assert_eq!(topic.compact().unwrap()[0].removed_records, 0, "a second time finds nothing");
        store.close().unwrap();
        let store = Store::open(dir.path()).unwrap();
        check(&store.topic("quakes").unwrap());
    }
}

#[test]
fn tombstones_expire_on_an_idle_topic_and_are_seen_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().unwrap();
    let config = compacted().delete_retention(Duration::from_secs(3600)).segment_age(Duration::from_secs(60));
    let topic = store.create_topic("prices", config).unwrap();
    let producer = store.producer();
    producer.send(Record::to("prices").key("pear").value("3")).unwrap();
    producer.send(Record::to("prices").key("pear")).unwrap();
    // Nobody calls compact: the segment is rolled by wall clock, and the ratio is above the limit.
    clock.advance(Duration::from_secs(61));
    store.maintain().unwrap();
    let left = read_all(&topic);
    assert_eq!(
        left.iter().map(|record| (record.offset, record.value.is_none())).collect::<Vec<_>>(),
        [(1, true)]
    );
    clock.advance(Duration::from_secs(3599));
    store.maintain().unwrap();
    assert_eq!(read_all(&topic).len(), 1, "not yet");
    clock.advance(Duration::from_secs(1));
    store.maintain().unwrap();
    assert_eq!(read_all(&topic).len(), 0, "without a new record, and without being asked");
    assert_eq!(topic.partition(0).unwrap().end(), 2);
}

#[test]
fn compact_and_delete_together() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().unwrap();
    let config =
        compacted().cleanup_policy(CleanupPolicy::CompactDelete).retention(Duration::from_secs(3600));
    let topic = store.create_topic("prices", config).unwrap();
    let producer = store.producer();
    for price in 0..100_u32 {
        producer.send(Record::to("prices").key("pear").value(&price.to_be_bytes())).unwrap();
    }
    topic.compact().unwrap();
    assert_eq!(read_all(&topic).len(), 1);
    clock.advance(Duration::from_secs(3601));
    store.maintain().unwrap();
    assert_eq!(read_all(&topic).len(), 0);
    assert!(matches!(producer.send(Record::to("prices").value("no key")), Err(Error::KeyRequired { .. })));
}

#[test]
fn what_is_erased_is_in_no_file() {
    for codec in [Codec::None, Codec::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let config = TopicConfig::new().partitions(3).segment_bytes(16 << 10).compression_type(codec);
        let topic = store.create_topic("quakes", config).unwrap();
        send_all(&topic, &store);
        let secret = "erase-me-completely";
        let sent: Vec<_> = (0..20)
            .map(|n| {
                let value = format!("{secret} number {n}");
                let record = Record::to("quakes").key("person-4711").value(&value).partition(n % 3);
                store.producer().send(record).unwrap();
                send_some(&store);
            })
            .collect();
        let before = read_all(&topic);
        let reports = topic.erase("person-4711").unwrap();
        assert_eq!(reports.iter().map(|report| report.records).sum::<u64>(), sent.len() as u64);
        assert!(reports.iter().all(|report| report.segments >= 1));
        let after = read_all(&topic);
        let expected: Vec<_> =
            before.into_iter().filter(|record| record.key.as_deref() != Some(b"person-4711")).collect();
        assert_eq!(after, expected, "everything else is where it was");
        for file in files(dir.path()) {
            let bytes = std::fs::read(&file).unwrap();
            let found = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!found(secret) && !found("person-4711"), "{}", file.display());
        }
        assert_eq!(topic.erase("person-4711").unwrap().iter().map(|report| report.records).sum::<u64>(), 0);
    }
}

fn send_some(store: &Store) {
    for event in events().iter().take(20) {
        store.producer().send(Record::to("quakes").key(event.key).value(event.json)).unwrap();
    }
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn the_stores_own_offsets_are_compacted_like_any_topic() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    let mut consumer = store.consumer("workers").unwrap();
    consumer.subscribe(["jobs"]).unwrap();
    store.producer().send(Record::to("jobs").value("x")).unwrap();
    for n in 0..500 {
        consumer.commit_offsets([(("jobs", 0).into(), n % 2)]).unwrap();
    }
    consumer.commit_offsets([(("jobs", 0).into(), 1)]).unwrap();
    let offsets = store.topic("__consumer_offsets").unwrap();
    offsets.compact().unwrap();
    assert_eq!(read_all(&offsets).len(), 1);
    assert_eq!(consumer.committed(("jobs", 0)), Some(1));
    drop(consumer);
    store.close().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.committed("workers")[&("jobs", 0).into()].offset, 1);
}

#[test]
fn figures_tell_what_was_reclaimed_and_what_is_dirty() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("quakes", compacted()).unwrap();
    send_all(&topic, &store);
    let before = topic.partition(0).unwrap().stats().unwrap();
    assert_eq!((before.records, before.reclaimed_bytes), (1707, 0));
    assert_eq!(before.newest_timestamp, events().iter().map(|event| event.timestamp).max());
    assert_eq!(topic.stats().unwrap().partitions[0].dirty_ratio, Some(1.0));
    topic.compact().unwrap();
    let stats = store.stats().unwrap();
    let after = &stats.topics[0].partitions[0];
    assert_eq!(after.records, 12);
    assert_eq!(after.dirty_ratio, Some(0.0));
    assert_eq!(after.reclaimed_bytes, before.bytes - after.bytes);
    assert_eq!((after.start, after.end), (0, 1707));
}

#[test]
fn a_damaged_batch_stops_the_compaction_of_its_partition_alone_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let builder = Store::builder(dir.path()).maintain_by_hand();
        let builder = builder.on_maintenance_failure(move |place, error| {
            list.lock().unwrap().push((place.to_string(), error.is_corruption()));
        });
        (builder.open().unwrap(), told)
    };
    let (store, _) = open();
    let topic = store.create_topic("quakes", compacted().partitions(2)).unwrap();
    for event in events() {
        for partition in 0..2 {
            let record = Record::to("quakes").key(event.key).value(event.json).partition(partition);
            store.producer_builder().durability(Durability::Memory).build().unwrap().send(record).unwrap();
        }
    }
    topic.flush().unwrap();
    store.close().unwrap();
    let log = dir.path().join("quakes-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let (store, told) = open();
    assert!(store.maintain().unwrap_err().is_corruption());
    assert_eq!(*told.lock().unwrap(), [("quakes-0".to_owned(), true)]);
    let failures = store.stats().unwrap().maintenance_failures;
    assert_eq!((failures.len(), failures[0].failures), (1, 1));
    store.maintain().unwrap();
    assert_eq!(told.lock().unwrap().len(), 1, "it waits before it is tried again");
    let records = |partition: usize| store.stats().unwrap().topics[0].partitions[partition].records;
    assert_eq!(records(0), 1707, "untouched");
    assert!(records(1) < 1707, "the other one was compacted");
}

#[test]
fn a_record_waits_for_compaction_no_longer_than_its_limit_though_nobody_appends() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let store = Store::builder(dir.path()).clock(clock.clone()).maintain_by_hand().open().unwrap();
    let config = compacted().max_compaction_lag(Duration::from_secs(3600)).min_cleanable_dirty_ratio(1.0);
    let topic = store.create_topic("prices", config).unwrap();
    for price in ["2", "3"] {
        store.producer().send(Record::to("prices").key("pear").value(price)).unwrap();
    }
    store.maintain().unwrap();
    assert_eq!(read_all(&topic).len(), 2);
    // The first round seals the segment, which has then waited long enough for the same round.
    clock.advance(Duration::from_secs(3601));
    store.maintain().unwrap();
    assert_eq!(read_all(&topic).len(), 1);
}

#[test]
fn the_stores_own_topic_is_nobody_elses_to_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    let mut consumer = store.consumer("workers").unwrap();
    consumer.subscribe(["jobs"]).unwrap();
    consumer.commit_offsets([(("jobs", 0).into(), 0)]).unwrap();
    let offsets = store.topic("__consumer_offsets").unwrap();
    let partition = offsets.partition(0).unwrap();
    let record = [Record::new().key("k").value("v")];
    let refused =
        |error: Option<Error>| assert!(matches!(error, Some(Error::InvalidArgument { .. })), "{error:?}");
    refused(partition.append(&record, Durability::Os).err());
    refused(partition.append_if(1, &record, Durability::Os).err());
    refused(partition.delete_records(1).err());
    refused(offsets.erase("k").err());
    refused(store.producer().send(Record::to("__consumer_offsets").key("k")).err());
    assert_eq!(partition.end(), 1);
}

#[test]
fn the_latest_values_leave_no_key_out_when_a_compaction_comes_between() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(64 << 10);
    let topic = store.create_topic("prices", config).unwrap();
    let producer = store.producer();
    let send = |round: usize, keys: std::ops::Range<usize>| {
        for key in keys {
            let (key, value) = (format!("key {key}"), format!("{round} {}", "x".repeat(1000)));
            producer.send(Record::to("prices").key(&key).value(&value)).unwrap();
        }
    };
    send(0, 0..2000);
    let mut latest = topic.latest();
    let first = latest.next().unwrap().unwrap();
    // Sent after the first walk: a compaction takes the records of before for their sake.
    send(1, 0..2000);
    producer.send(Record::to("prices").key("key 1999")).unwrap();
    topic.compact().unwrap();
    let rest: Vec<_> = latest.map(|record| record.unwrap()).collect();
    let mut keys: Vec<_> = rest.iter().chain([&first]).map(|record| record.key.clone().unwrap()).collect();
    keys.sort();
    let found = keys.len();
    keys.dedup();
    assert_eq!(found, keys.len(), "a key came twice");
    let missing: Vec<_> = (0..1999)
        .map(|key| format!("key {key}"))
        .filter(|key| keys.binary_search(&key.as_bytes().to_vec()).is_err())
        .collect();
    assert_eq!(missing, [""; 0], "of {found}");
}

/// Its record was that of a transaction which was open at the first walk, and was taken for walked over.
#[test]
fn the_latest_values_left_a_key_out_whose_transaction_was_decided_before_a_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let config = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).segment_bytes(64 << 10);
    let topic = store.create_topic("prices", config).unwrap();
    let partition = topic.partition(0).unwrap();
    let value = "x".repeat(1000);
    let put = |key: &str| {
        let record = Record::new().key(key).value(&value);
        partition.append(&[record], Durability::Os).unwrap();
    };
    // More than the second walk fetches at once, so that it comes to the last of them later.
    (0..500).for_each(|key| put(&format!("key {key}")));
    put("of both");
    let mut tx = store.transaction_builder("t").buffer_bytes(1 << 16).begin().unwrap();
    let mut number = 0;
    while partition.end() == 501 {
        let key = if number == 0 { "of both".to_owned() } else { format!("tx {number}") };
        tx.send(Record::to("prices").key(&key).value(&value.repeat(20))).unwrap();
        number += 1;
    }
    let mut latest = topic.latest();
    let first = latest.next().unwrap().unwrap();
    tx.commit().unwrap();
    // With its end in the log; behind them a segment begins anew.
    partition.flush().unwrap();
    (1000..1200).for_each(|key| put(&format!("key {key}")));
    topic.compact().unwrap();
    assert_eq!(
        partition.get(500).unwrap(),
        None,
        "the compaction has taken the one that the first walk found"
    );
    let found: Vec<_> = latest.map(|record| record.unwrap()).chain([first]).collect();
    let of_both: Vec<_> = found.iter().filter(|one| one.key.as_deref() == Some(b"of both")).collect();
    assert_eq!(of_both.iter().map(|one| one.offset).collect::<Vec<_>>(), [501]);
}

/// A rewrite that panics leaves what it had begun: with records in it that are to be gone.
#[test]
fn a_rewrite_that_panicked_left_a_file_that_nobody_removed() {
    let memory = MemoryFileSystem::new();
    let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("table", compacted().segment_bytes(4 << 20)).unwrap();
    let value = vec![b'x'; 100 << 10];
    let partition = topic.partition(0).unwrap();
    for number in 0..90_u32 {
        let key = (number / 2).to_string();
        partition.append(&[Record::new().key(&key).value(&value)], Durability::Os).unwrap();
    }
    let begun = || memory.files().keys().filter(|path| path.contains(".cleaned")).count();
    disk.fail(&[Call::Write], ".cleaned", (1, Times::Once), Fault::Panic);
    assert!(catch_unwind(AssertUnwindSafe(|| topic.compact())).is_err());
    disk.heal();
    assert_eq!(begun(), 1);
    assert!(partition.delete_records(partition.end()).unwrap().is_freed);
    assert_eq!(begun(), 0, "deleted, and on the disk");
}
