//! Counters that only rise, latencies that were measured, and events that are told once and without a lock.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::stats::Counters;
use annals::{CleanupPolicy, Durability, Error, Event, ReadMode, Record, Store, TopicConfig, WhenFull};
use annals_testing::{Call, FaultyFileSystem, Image, MemoryFileSystem, Random};

use crate::common::{fast_dir, on_faulty};

/// All of them, in one order.
fn all(counters: &Counters) -> [u64; 17] {
    [
        counters.appended_records,
        counters.appended_bytes,
        counters.appended_batches,
        counters.syncs,
        counters.rolls,
        counters.write_failures,
        counters.poisonings,
        counters.waits_for_room,
        counters.removed_segments,
        counters.removed_records,
        counters.removed_bytes,
        counters.compactions,
        counters.compacted_records,
        counters.compacted_bytes,
        counters.rebalances,
        counters.skipped_offsets,
        counters.lost_events,
    ]
}

/// Random calls, each of which tells what it did: the counters are the sums, and none ever falls.
#[test]
fn counters_are_the_sums_of_what_calls_report() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let file_system = Arc::new(MemoryFileSystem::new());
        let store = Store::builder("/store").file_system(file_system).maintain_by_hand().open().unwrap();
        let config = || TopicConfig::new().segment_bytes(400).cleanup_policy(CleanupPolicy::CompactDelete);
        let mut expected = Counters::default();
        let mut before = [0; 17];
        for _ in 0..60 {
            let topic = store.ensure_topic("orders", config()).unwrap();
            let partition = topic.partition(0).unwrap();
            match random.below(9) {
                0 => store.delete_topic("orders").unwrap(),
                1 => {
                    for report in topic.compact().unwrap() {
                        expected.compactions += u64::from(report.rounds > 0);
                        expected.compacted_records += report.removed_records;
                        expected.compacted_bytes += report.bytes_before.saturating_sub(report.bytes_after);
                    }
                }
                2 => {
                    store.alter_topic("orders", TopicConfig::new().retention_records(20)).unwrap();
                    for report in topic.apply_retention().unwrap() {
                        expected.removed_segments += report.removed.len() as u64;
                        expected.removed_records += report.records();
                        expected.removed_bytes += report.bytes();
                    }
                }
                _ => {
                    let bytes = partition.bytes();
                    let count = random.below(5) + 1;
                    let keys: Vec<_> =
                        (0..count).map(|_| [b'a' + u8::try_from(random.below(4)).unwrap()]).collect();
                    let records: Vec<_> =
                        keys.iter().map(|key| Record::new().key(key).value("apples")).collect();
                    partition.append(&records, Durability::Os).unwrap();
                    expected.appended_records += count;
                    expected.appended_batches += 1;
                    expected.appended_bytes += partition.bytes() - bytes;
                }
            }
            let counters = store.stats().unwrap().counters;
            let now = all(&counters);
            assert!(
                now.iter().zip(before).all(|(now, before)| *now >= before),
                "seed {seed}: {before:?} {now:?}"
            );
            before = now;
            expected.rolls = counters.rolls;
            assert_eq!(counters, expected, "seed {seed}");
        }
    }
}

#[test]
fn rolls_syncs_and_rebalances_are_counted_and_told_in_order() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let to = Arc::clone(&told);
    let store = Store::builder("/store")
        .file_system(Arc::new(MemoryFileSystem::new()))
        .maintain_by_hand()
        .on_event(move |event| {
            to.lock().unwrap().push(match event {
                Event::Rolled { partition, base_offset, .. } => {
                    format!("{partition} rolled at {base_offset}")
                }
                Event::Synced { partition, durable, .. } => format!("{partition} synced to {durable}"),
                Event::Rebalanced { group, members, .. } => format!("{group} has {members}"),
                Event::Removed { partition, start, segments, records, .. } => {
                    format!("{partition} starts at {start}, without {segments} and {records}")
                }
                other => other.name().to_owned(),
            })
        })
        .open()
        .unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().segment_bytes(200)).unwrap();
    let partition = topic.partition(0).unwrap();
    for _ in 0..4 {
        partition.append(&[Record::new().value(&[b'x'; 60])], Durability::Os).unwrap();
    }
    partition.flush().unwrap();
    assert_eq!(*told.lock().unwrap(), Vec::<String>::new(), "nothing is told on the thread of the caller");
    store.maintain().unwrap();
    let mut one = store.consumer("billing").unwrap();
    one.subscribe(["orders"]).unwrap();
    drop(one);
    store.alter_topic("orders", TopicConfig::new().retention_records(1)).unwrap();
    topic.apply_retention().unwrap();
    store.maintain().unwrap();
    let expected = [
        "orders-0 rolled at 1",
        "orders-0 rolled at 2",
        "orders-0 rolled at 3",
        "orders-0 synced to 4",
        "billing has 1",
        "billing has 0",
        "orders-0 starts at 3, without 3 and 3",
    ];
    assert_eq!(*told.lock().unwrap(), expected);
    let stats = store.stats().unwrap();
    let counters = stats.counters;
    assert_eq!((counters.rolls, counters.syncs, counters.rebalances), (3, 1, 2));
    assert_eq!((counters.removed_segments, counters.removed_records), (3, 3));
    assert_eq!((stats.latencies.sync.count(), stats.latencies.compaction.count()), (1, 0));
    let appended = &stats.topics[0].partitions[0];
    assert_eq!((appended.appended_records, appended.appended_batches), (4, 4));
    assert!(appended.appended_bytes > appended.bytes);
    store.close().unwrap();
}

#[test]
fn a_failed_write_and_a_failed_sync_are_counted_once_each() {
    let dir = fast_dir();
    let disk = FaultyFileSystem::new();
    let poisoned: Arc<AtomicUsize> = Arc::default();
    let to = Arc::clone(&poisoned);
    let store = on_faulty(dir.path(), &disk)
        .on_event(move |event| {
            if let Event::Poisoned { error, .. } = event {
                assert!(matches!(error, Error::Io { .. }), "{error}");
                to.fetch_add(1, Ordering::SeqCst);
            }
        })
        .open()
        .unwrap();
    let partition = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    let apples = [Record::new().value("apples")];
    partition.append(&apples, Durability::Disk).unwrap();
    disk.fail_next(Call::Write, "orders-0", 28);
    partition.append(&apples, Durability::Os).unwrap_err();
    partition.append(&apples, Durability::Os).unwrap();
    assert_eq!(store.stats().unwrap().counters.write_failures, 1);
    disk.fail_next(Call::Sync, "orders-0", 5);
    partition.append(&apples, Durability::Disk).unwrap_err();
    partition.append(&apples, Durability::Disk).unwrap_err();
    drop(store.maintain());
    let counters = store.stats().unwrap().counters;
    assert_eq!((counters.poisonings, poisoned.load(Ordering::SeqCst)), (1, 1));
}

#[test]
fn deletions_beside_senders_were_counted_as_failed_writes() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let linger = Duration::from_millis(1);
    let builder = store.producer_builder().durability(Durability::Memory).linger(linger);
    let in_memory = builder.build().unwrap();
    for _ in 0..10 {
        store.create_topic("orders", TopicConfig::new()).unwrap();
        in_memory.send(Record::to("orders").value("2 apples")).unwrap();
        std::thread::sleep(linger * 2);
        store.delete_topic("orders").unwrap();
        store.maintain().unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for durability in [Durability::Memory, Durability::Os, Durability::Disk] {
            let producer = store.producer_builder().durability(durability).build().unwrap();
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    if let Err(error) = producer.send(Record::to("orders").value("2 apples")) {
                        assert!(matches!(error, Error::UnknownTopic { .. } | Error::Lost { .. }), "{error}");
                    }
                }
            });
        }
        for _ in 0..40 {
            store.create_topic("orders", TopicConfig::new()).unwrap();
            std::thread::sleep(linger * 2);
            store.delete_topic("orders").unwrap();
        }
        stop.store(true, Ordering::SeqCst);
    });
    let counters = store.stats().unwrap().counters;
    assert_eq!((counters.write_failures, counters.poisonings), (0, 0), "{counters:?}");
}

#[test]
fn waits_for_room_are_measured_and_told() {
    let waits: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let to = Arc::clone(&waits);
    let store = Store::builder("/store")
        .file_system(Arc::new(MemoryFileSystem::new()))
        .maintain_by_hand()
        .on_event(move |event| {
            if let Event::WaitedForRoom { took, .. } = event {
                to.lock().unwrap().push(*took);
            }
        })
        .open()
        .unwrap();
    let config =
        TopicConfig::new().size_limit(200, WhenFull::Block).size_limit_max_block(Duration::from_millis(5));
    let partition = store.create_topic("jobs", config).unwrap().partition(0).unwrap();
    partition.append(&[Record::new().value(&[0; 80])], Durability::Os).unwrap();
    let full = partition.append(&[Record::new().value(&[0; 80])], Durability::Os).unwrap_err();
    assert!(matches!(full, Error::Full { .. }), "{full}");
    store.maintain().unwrap();
    let stats = store.stats().unwrap();
    assert_eq!((stats.counters.waits_for_room, stats.latencies.room.count()), (1, 1));
    assert!(stats.latencies.room.max() >= Duration::from_millis(5));
    assert_eq!(*waits.lock().unwrap(), [stats.latencies.room.max()]);
}

/// It may call the store, panic, and close it; and what comes too fast is counted, not kept.
#[test]
fn a_callback_of_events_may_do_anything() {
    let slot: Arc<Mutex<Option<Store>>> = Arc::default();
    let (of_callback, calls) = (Arc::clone(&slot), Arc::new(AtomicUsize::new(0)));
    let to = Arc::clone(&calls);
    let store = Store::builder("/store")
        .file_system(Arc::new(MemoryFileSystem::new()))
        .maintain_by_hand()
        .on_event(move |_| match to.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("by the callback"),
            1 => {
                let store = of_callback.lock().unwrap().clone().unwrap();
                let partition = store.topic("orders").unwrap().partition(0).unwrap();
                partition.append(&[Record::new().value("from the callback")], Durability::Disk).unwrap();
                assert!(store.stats().unwrap().counters.syncs > 0);
            }
            _ => {}
        })
        .open()
        .unwrap();
    *slot.lock().unwrap() = Some(store.clone());
    let partition = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    for _ in 0..5000 {
        partition.append(&[Record::new().value("x")], Durability::Disk).unwrap();
    }
    assert_eq!(store.stats().unwrap().counters.lost_events, 5000 - 4096);
    store.maintain().unwrap();
    store.maintain().unwrap();
    let stats = store.stats().unwrap();
    // Those that waited, and the one that the callback brought about.
    assert_eq!((calls.load(Ordering::SeqCst), stats.callback_panics), (4096 + 1, 1));
    slot.lock().unwrap().take();
    store.close().unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 4096 + 1);
}

#[test]
fn a_partition_that_was_not_closed_is_told_of_at_the_open() {
    let disk = Arc::new(MemoryFileSystem::new());
    let first = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let partition = first.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    partition.append(&[Record::new().value("apples")], Durability::Disk).unwrap();
    let killed = Arc::new(MemoryFileSystem::over(&Image::new(disk.files())));
    first.close().unwrap();
    let told: Arc<Mutex<Vec<Event>>> = Arc::default();
    let to = Arc::clone(&told);
    let store = Store::builder("/store")
        .file_system(killed)
        .maintain_by_hand()
        .on_event(move |event| to.lock().unwrap().push(event.clone()))
        .open()
        .unwrap();
    store.maintain().unwrap();
    let told = told.lock().unwrap();
    let found = told.iter().any(|event| {
        matches!(event, Event::Recovered { partition, end: 1, torn_bytes: 0, .. } if partition.topic() == "orders")
    });
    assert!(found, "{told:?}");
}

/// Who asks again and again, of a thousand partitions, reads no file for it.
#[test]
fn figures_that_are_asked_for_again_read_no_file() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let builder = Store::builder("/store").file_system(Arc::clone(&disk) as _).maintain_by_hand();
    let store = builder.read_mode(ReadMode::Positional).open().unwrap();
    let orders = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    let send = |timestamp: i64| {
        let record = Record::to("orders").value("2 apples").timestamp(timestamp);
        store.producer().send(record).unwrap();
        orders.stats().unwrap().oldest_timestamp
    };
    assert_eq!(orders.stats().unwrap().oldest_timestamp, None);
    assert_eq!(send(7000), Some(7000));
    let before = disk.count(Call::Read, "orders-0");
    assert_eq!([8000, 9000, 10_000].map(send), [Some(7000); 3]);
    assert_eq!(disk.count(Call::Read, "orders-0"), before);
    // It is that of the first record that is there.
    orders.delete_records(1).unwrap();
    assert_eq!(orders.stats().unwrap().oldest_timestamp, Some(8000));
    orders.delete_records(4).unwrap();
    assert_eq!(orders.stats().unwrap().oldest_timestamp, None);
    assert_eq!(send(11_000), Some(11_000));
}

#[test]
fn a_callback_that_closes_the_store_is_told_nothing_more() {
    let slot: Arc<Mutex<Option<Store>>> = Arc::default();
    let (of_callback, calls) = (Arc::clone(&slot), Arc::new(AtomicUsize::new(0)));
    let to = Arc::clone(&calls);
    let store = Store::builder("/store")
        .file_system(Arc::new(MemoryFileSystem::new()))
        .maintain_by_hand()
        .on_event(move |_| {
            to.fetch_add(1, Ordering::SeqCst);
            if let Some(store) = of_callback.lock().unwrap().take() {
                store.close().unwrap();
            }
        })
        .open()
        .unwrap();
    *slot.lock().unwrap() = Some(store.clone());
    let partition = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    for _ in 0..5 {
        partition.append(&[Record::new().value("x")], Durability::Disk).unwrap();
    }
    drop(store.maintain());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}
