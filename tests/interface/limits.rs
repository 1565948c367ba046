//! What an append accepts, every reader, `verify`, `repair`, compaction and `dump` can handle; a limit is never damage. One test
//! for each row of the table of limits in docs/design.md.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at the files from outside"
)]

use std::path::Path;

use crate::common::fast_dir;
use annals::{
    CleanupPolicy, Codec, Durability, Error, NO_TIMESTAMP, OnDamage, OwnedRecord, Partition, Record,
    StartFrom, Store, StoreBuilder, TopicConfig,
};

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn by_hand(dir: &Path) -> StoreBuilder {
    Store::builder(dir).maintain_by_hand()
}

fn partition(store: &Store) -> Partition {
    store.topic("t").unwrap().partition(0).unwrap()
}

fn read(partition: &Partition) -> Vec<OwnedRecord> {
    partition.read(..).unwrap().into_iter().map(|record| record.unwrap()).collect()
}

/// Everything that looks at a store finds it as it was written: readers, single reads, consumers, compaction, erasure, `verify`,
/// `repair` and `dump`.
fn assert_handled_by_all(dir: &Path, expected: &[OwnedRecord]) {
    let store = by_hand(dir).open().unwrap();
    assert_eq!(read(&partition(&store)), expected);
    for record in expected {
        assert_eq!(partition(&store).get(record.offset).unwrap().as_ref(), Some(record));
    }
    let mut consumer = store.consumer_builder().start_from(StartFrom::Earliest).build().unwrap();
    consumer.assign([("t", 0)]).unwrap();
    let mut polled = 0;
    while polled < expected.len() {
        polled += consumer.poll(std::time::Duration::ZERO).unwrap().len();
    }
    drop(consumer);
    // Each record of a key that no record has: all segments are looked through.
    let erased = store.topic("t").unwrap().erase("no such key").unwrap();
    assert_eq!(erased.iter().map(|report| report.records).sum::<u64>(), 0);
    store.close().unwrap();
    let found = by_hand(dir).verify(|_| std::ops::ControlFlow::Continue(())).unwrap();
    assert!(found.is_sound(), "{:?}", found.findings);
    let copies = fast_dir();
    let report = by_hand(dir).repair(copies.path()).unwrap();
    assert!(report.is_unchanged(), "{report:?}");
    let mut dumped = 0;
    for segment in annals::dump::SegmentDump::in_directory(dir.join("t-0")).unwrap() {
        for stretch in segment.stretches() {
            if let annals::dump::Stretch::Batch(batch) = stretch.unwrap() {
                dumped += batch.records().unwrap().len();
            }
        }
    }
    assert_eq!(dumped, expected.len());
}

#[test]
fn a_batch_of_more_than_readers_expand_is_accepted_and_readable() {
    for codec in CODECS {
        let dir = fast_dir();
        let config = TopicConfig::new().max_message_bytes(4 << 20).compression_type(codec);
        let store = by_hand(dir.path()).max_expanded_bytes(1 << 20).open().unwrap();
        store.create_topic("t", config).unwrap();
        let value = vec![b'x'; (1 << 20) + 1];
        for value in [&value[..], &value[..100_000]] {
            partition(&store).append(&[Record::new().value(value)], Durability::Disk).unwrap();
        }
        let expected = read(&partition(&store));
        assert_eq!(expected[0].value.as_deref(), Some(&value[..]));
        store.close().unwrap();
        let len = std::fs::metadata(dir.path().join("t-0/00000000000000000000.log")).unwrap().len();
        // The small one is compressed, the large one is not.
        let small = if codec == Codec::None { 100_000 } else { 0 };
        assert!((len - value.len() as u64).abs_diff(small) < 20_000, "{codec:?}: {len} bytes");
        let store = by_hand(dir.path()).max_expanded_bytes(1 << 20).open().unwrap();
        assert_eq!(read(&partition(&store)), expected);
        store.close().unwrap();
        assert_handled_by_all(dir.path(), &expected);
    }
}

#[test]
fn a_smaller_limit_is_no_damage_and_takes_nothing_out() {
    for codec in CODECS.into_iter().skip(1) {
        let dir = fast_dir();
        let config = TopicConfig::new().compression_type(codec);
        let store = by_hand(dir.path()).open().unwrap();
        store.create_topic("t", config.clone()).unwrap();
        store.create_topic("c", config.cleanup_policy(CleanupPolicy::Compact)).unwrap();
        for value in [&[b'x'; 10][..], &[b'x'; 50_000], &[b'x'; 20]] {
            let record = Record::new().key("k").value(value);
            for topic in ["t", "c"] {
                let partition = store.topic(topic).unwrap().partition(0).unwrap();
                partition.append(std::slice::from_ref(&record), Durability::Disk).unwrap();
            }
        }
        let expected = read(&partition(&store));
        store.close().unwrap();
        let small = || by_hand(dir.path()).max_expanded_bytes(1000);
        let is_limit = |error: &Error| {
            matches!(error, Error::BatchTooLarge { offset: 1, limit: 1000, .. }) && !error.is_corruption()
        };
        let store = small().open().unwrap();
        for on_damage in [OnDamage::Fail, OnDamage::Skip] {
            let mut consumer = store.consumer_builder().on_damage(on_damage).build().unwrap();
            consumer.assign([("t", 0)]).unwrap();
            let outcome = loop {
                match consumer.poll(std::time::Duration::ZERO) {
                    Ok(records) if records.is_empty() => break Ok(()),
                    Ok(_) => {}
                    Err(error) => break Err(error),
                }
            };
            let error = outcome.unwrap_err();
            assert!(is_limit(&error), "{codec:?} {on_damage:?}: {error:?}");
            assert!(error.to_string().contains("max_expanded_bytes=1000"), "{error}");
        }
        let error = partition(&store).get(1).unwrap_err();
        assert!(is_limit(&error), "{error:?}");
        let error = store.topic("c").unwrap().compact().unwrap_err();
        assert!(is_limit(&error), "{error:?}");
        store.close().unwrap();
        let error = small().verify(|_| std::ops::ControlFlow::Continue(())).unwrap_err();
        assert!(is_limit(&error), "{error:?}");
        // A damaged byte elsewhere, so that the repair has something to do.
        let log = dir.path().join("t-0/00000000000000000000.log");
        let sound = std::fs::read(&log).unwrap();
        let mut damaged = sound.clone();
        *damaged.first_mut().unwrap() ^= 1;
        std::fs::write(&log, &damaged).unwrap();
        let copies = fast_dir();
        let error = small().repair(copies.path()).unwrap_err();
        assert!(is_limit(&error), "{error:?}");
        assert_eq!(std::fs::read(&log).unwrap(), damaged, "nothing was taken out");
        std::fs::write(&log, &sound).unwrap();
        let store = by_hand(dir.path()).open().unwrap();
        assert_eq!(read(&partition(&store)), expected);
        store.close().unwrap();
    }
}

#[test]
fn times_as_far_apart_as_there_are() {
    for codec in CODECS {
        let dir = fast_dir();
        let store = by_hand(dir.path()).open().unwrap();
        let any = TopicConfig::new().message_timestamp_after_max(std::time::Duration::MAX);
        store.create_topic("t", any.compression_type(codec)).unwrap();
        let times = [NO_TIMESTAMP, i64::MAX, 0, i64::MAX - 1, NO_TIMESTAMP];
        let records: Vec<_> = times.iter().map(|time| Record::new().timestamp(*time).value("v")).collect();
        partition(&store).append(&records, Durability::Disk).unwrap();
        let expected = read(&partition(&store));
        assert!(expected.iter().map(|record| record.timestamp).eq(times));
        store.close().unwrap();
        assert_handled_by_all(dir.path(), &expected);
    }
}

#[test]
fn many_headers_and_long_names() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic("t", TopicConfig::new().max_message_bytes(8 << 20)).unwrap();
    let name = "n".repeat(1 << 20);
    let mut many = Record::new();
    for _ in 0..100_000 {
        many = many.null_header("");
    }
    let long = Record::new().key(&name).header(&name, &name);
    partition(&store).append(&[many, long], Durability::Disk).unwrap();
    let expected = read(&partition(&store));
    assert_eq!((expected[0].headers.len(), expected[1].headers[0].key.len()), (100_000, 1 << 20));
    store.close().unwrap();
    assert_handled_by_all(dir.path(), &expected);
}

#[test]
fn as_many_records_as_fit_into_a_batch() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic("t", TopicConfig::new()).unwrap();
    // The smallest record has 7 bytes, so that these are as many as the default allows.
    let count = (1_048_588 - 61) / 10;
    let records = vec![Record::new().timestamp(0); count];
    partition(&store).append(&records, Durability::Disk).unwrap();
    let (first, end) = (partition(&store).get(0).unwrap().unwrap(), partition(&store).end());
    assert_eq!((first.timestamp, end), (0, i64::try_from(count).unwrap()));
    assert_eq!(read(&partition(&store)).len(), count);
    store.close().unwrap();
    assert!(Store::verify(dir.path()).unwrap().is_sound());
}

#[test]
fn names_as_long_as_they_may_be() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let (topic, group) = ("t".repeat(249), "g".repeat(255));
    store.create_topic(&topic, TopicConfig::new()).unwrap();
    store.producer().send(Record::to(&topic).value("v")).unwrap();
    let mut consumer = store.consumer(&group).unwrap();
    consumer.subscribe([topic.as_str()]).unwrap();
    while consumer.poll(std::time::Duration::ZERO).unwrap().is_empty() {}
    consumer.commit().unwrap();
    drop(consumer);
    store.close().unwrap();
    assert!(Store::verify(dir.path()).unwrap().is_sound());
    let store = by_hand(dir.path()).open().unwrap();
    assert_eq!(store.committed(&group).len(), 1);
    assert!(matches!(
        store.create_topic(&"t".repeat(250), TopicConfig::new()),
        Err(Error::InvalidName { .. })
    ));
    assert!(matches!(store.consumer(&"g".repeat(40_000)), Err(Error::InvalidName { .. })));
    store.close().unwrap();
}

#[test]
fn single_records_that_do_not_shrink_are_not_tried_one_by_one_and_larger_ones_shrink() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic("t", TopicConfig::new().compression_type(Codec::Zstd)).unwrap();
    for number in 0..50_u32 {
        partition(&store).append(&[Record::new().value(&number.to_be_bytes())], Durability::Os).unwrap();
    }
    partition(&store).append(&[Record::new().value(&[b'x'; 5000])], Durability::Os).unwrap();
    let expected = read(&partition(&store));
    store.close().unwrap();
    let len = std::fs::metadata(dir.path().join("t-0/00000000000000000000.log")).unwrap().len();
    assert!(len < 51 * 90, "the last one is compressed: {len} bytes");
    assert_handled_by_all(dir.path(), &expected);
}
