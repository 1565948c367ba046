//! Every way to read, from several threads, while the owner of the store rolls, compacts, is killed, and is started again.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use annals::{CleanupPolicy, Error, PartitionView, Query, ReadMode, Record, Store, StoreReader, TopicConfig};
use annals_testing::Random;

use crate::common::{by_hand, copy_dir, count_from_env, fast_dir, small_segments, value_of};
use crate::hooked::{Hook, Hooked};
use crate::pair::{PARTITIONS, STEPS, child, kill, open, value_at, wait_for};

/// Gone by now, or a topic that is another one: all else is a fault.
fn is_gone(error: &Error) -> bool {
    matches!(error, Error::OffsetOutOfRange { .. } | Error::UnknownTopic { .. })
}

fn checked<T>(what: &str, outcome: annals::Result<T>) -> Option<T> {
    match outcome {
        Ok(found) => Some(found),
        Err(error) if is_gone(&error) => None,
        Err(error) => panic!("{what}: {error}"),
    }
}

fn get_one(partition: &PartitionView, random: &mut Random, what: &str) -> usize {
    let (start, end) = (partition.start(), partition.end());
    let Ok(among) = u64::try_from(end - start) else { return 0 };
    let offset = start + i64::try_from(random.below(among.max(1))).unwrap();
    let found = checked(&format!("{what}, get {offset}"), partition.get(offset)).flatten();
    let Some(record) = found else { return 0 };
    let value = record.value.unwrap();
    assert!(
        value == value_at(partition.number(), record.offset).into_bytes() || value == b"aborted",
        "{what}: offset {offset}"
    );
    1
}

fn look_around(reader: &StoreReader, random: &mut Random, what: &str) -> usize {
    let number = u32::try_from(random.below(u64::from(PARTITIONS))).unwrap();
    let Some(partition) = checked(what, reader.topic(STEPS).and_then(|topic| topic.partition(number))) else {
        return 0;
    };
    match random.below(8) {
        0 => {
            let _ = checked(&format!("{what}, by time"), partition.offset_for_time(1));
        }
        1 => drop(checked(&format!("{what}, stats"), partition.stats())),
        2 => {
            if let Some(table) = checked(what, reader.topic("table")) {
                table.latest().for_each(|one| drop(checked(&format!("{what}, latest"), one)));
            }
        }
        3 => {
            if let Some(table) = checked(what, reader.topic("table")) {
                let key = format!("key {}", random.below(7));
                drop(checked(&format!("{what}, by key"), table.get(&key)));
            }
        }
        4 => {
            let records = checked(&format!("{what}, select"), partition.select(&Query::all(), ..));
            records.into_iter().flatten().take(20).for_each(|one| drop(checked(what, one)));
        }
        _ => return (0..20).map(|_| get_one(&partition, random, what)).sum(),
    }
    0
}

#[test]
fn every_look_finds_its_file_whatever_its_owner_does_and_whenever_it_is_killed() {
    let kills = count_from_env("ANNALS_PROCESS_KILLS", 12);
    let seed = count_from_env("ANNALS_SEED", std::process::id() as usize) as u64;
    let dir = fast_dir();
    open(dir.path()).close().unwrap();
    let mode = if seed.is_multiple_of(2) { ReadMode::Mapped } else { ReadMode::Positional };
    let reader = Store::builder(dir.path()).read_mode(mode).attach().unwrap();
    let (is_over, found) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..2 {
            let (reader, is_over, found) = (&reader, &is_over, &found);
            scope.spawn(move || {
                let mut random = Random::new(seed + number);
                let what = format!("ANNALS_SEED={seed}");
                while !is_over.load(Ordering::Relaxed) {
                    found.fetch_add(look_around(reader, &mut random, &what), Ordering::Relaxed);
                }
            });
        }
        let mut random = Random::new(seed);
        for life in 0..kills {
            let mut writer = child("pair::writes_until_it_is_killed", dir.path(), seed + life as u64);
            let lines = wait_for(&mut writer, "open");
            thread::sleep(Duration::from_micros(random.below(30_000)));
            kill(writer);
            drop(lines);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("{kills} kills, {} records", found.load(Ordering::Relaxed));
    assert!(found.load(Ordering::Relaxed) > kills, "hardly anything was read");
}

/// In each life a partition may be shown in another place.
#[test]
fn what_was_sealed_in_an_earlier_life_is_found_when_the_partition_is_shown_in_another_slot() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic("orders", small_segments()).unwrap();
    let send = |store: &Store, number: i64| {
        store.producer().send(Record::to("orders").value(&value_of(number))).unwrap();
    };
    (0..200).for_each(|number| send(&store, number));
    let reader = Store::builder(dir.path()).read_mode(ReadMode::Positional).attach().unwrap();
    let orders = reader.topic("orders").unwrap().partition(0).unwrap();
    assert!(orders.stats().unwrap().segments > 2);
    // From the next open on it comes before the others.
    let mut billing = store.consumer("billing").unwrap();
    billing.subscribe(["orders"]).unwrap();
    billing.commit_offsets([(("orders", 0).into(), 1)]).unwrap();
    drop(billing);
    store.close().unwrap();
    let store = by_hand(dir.path()).open().unwrap();
    send(&store, 200);
    for offset in 0..=200 {
        assert_eq!(orders.get(offset).unwrap().unwrap().value.unwrap(), value_of(offset).into_bytes());
    }
    assert_eq!(orders.offset_for_time(1).unwrap().unwrap().offset, 0);
}

/// Partitions are shown one after the other while a store is opened.
#[test]
fn who_looks_while_a_store_is_opened_sees_all_its_partitions_afterwards() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().partitions(200)).unwrap();
    for partition in topic.partitions() {
        partition.append(&[Record::new().value("x")], annals::Durability::Os).unwrap();
    }
    let reader = StoreReader::attach(dir.path()).unwrap();
    let partitions = reader.topic("orders").unwrap().partitions();
    store.close().unwrap();
    for life in 0..5 {
        let is_open = AtomicBool::new(false);
        let store = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_open.load(Ordering::Relaxed) {
                    assert_eq!(partitions[life].end(), 1);
                }
            });
            let store = by_hand(dir.path()).open();
            is_open.store(true, Ordering::Relaxed);
            store.unwrap()
        });
        for partition in &partitions {
            let found = partition.get(0);
            assert!(matches!(found, Ok(Some(_))), "life {life}, {}: {found:?}", partition.number());
        }
        store.close().unwrap();
    }
}

/// Between two looks a file may have got another name: whoever does not find it looks at the owner's list again.
#[test]
fn a_file_that_is_not_there_for_a_moment_is_looked_for_again_by_every_read() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic("orders", small_segments().key_index(true)).unwrap();
    for number in 0..200 {
        store
            .producer()
            .send(Record::to("orders").key("k").value(&value_of(number)).timestamp(number))
            .unwrap();
    }
    type Read = fn(&StoreReader, &PartitionView) -> annals::Result<i64>;
    let reads: [(&str, Read); 8] = [
        ("get", |_, orders| orders.get(3).map(|found| found.unwrap().offset)),
        ("read", |_, orders| orders.read(3..)?.fetch().map(|found| found.iter().next().unwrap().offset())),
        ("by time", |_, orders| orders.offset_for_time(3).map(|found| found.unwrap().offset)),
        ("by key", |store, _| {
            store
                .topic("orders")?
                .stream("k")?
                .read(3..)?
                .fetch()
                .map(|found| found.iter().next().unwrap().offset())
        }),
        ("backwards", |store, _| {
            let mut events = store.topic("orders")?.stream("k")?.backwards()?;
            events.nth(196).unwrap().map(|event| event.offset)
        }),
        ("select", |_, orders| {
            orders.select(&Query::all(), 3..)?.fetch().map(|found| found.iter().next().unwrap().offset())
        }),
        ("latest", |store, _| store.topic("orders")?.latest().next().unwrap().map(|last| last.offset - 196)),
        ("poll", |store, _| {
            let mut consumer = store.consumer_builder().build()?;
            consumer.assign([("orders", 0)])?;
            consumer.seek(("orders", 0), 3)?;
            consumer.poll(Duration::from_secs(5)).map(|found| found.iter().next().unwrap().offset())
        }),
    ];
    for (name, read) in reads {
        let hooked = Hooked::new();
        let store = Store::builder(dir.path()).read_mode(ReadMode::Positional);
        let reader = store.file_system(hooked.files()).attach().unwrap();
        let orders = reader.topic("orders").unwrap().partition(0).unwrap();
        assert_eq!(orders.end(), 200);
        let mut times = 0;
        hooked.at_open(move |path| {
            if path.extension().is_none_or(|kind| kind != "log") {
                return Ok(Hook::Stays);
            }
            times += 1;
            if times < 3 { Err(io::ErrorKind::NotFound.into()) } else { Ok(Hook::IsOver) }
        });
        let found = read(&reader, &orders);
        assert_eq!(found.as_ref().ok(), Some(&3), "{name}: {found:?}");
        assert!(hooked.is_over(), "{name} has opened no file");
        // One that is gone for good is an error, and soon.
        hooked.at_open(|path| {
            let is_log = path.extension().is_some_and(|kind| kind == "log");
            if is_log { Err(io::ErrorKind::NotFound.into()) } else { Ok(Hook::Stays) }
        });
        let found = orders.get(3);
        assert!(matches!(found, Err(Error::Io { .. })), "{name}: {found:?}");
    }
}

/// Killed between the table that lists a rewritten segment and its name: the first append of the next life gives it that name, and
/// only then shows another table.
#[test]
fn a_rewritten_segment_is_found_while_the_next_owner_gives_it_its_name() {
    let (dir, killed) = (fast_dir(), fast_dir());
    let hooked = Hooked::new();
    let store = by_hand(dir.path()).file_system(hooked.files()).open().unwrap();
    let config = small_segments().cleanup_policy(CleanupPolicy::Compact);
    let topic = store.create_topic("orders", config).unwrap();
    for number in 0..200 {
        let key = format!("key {}", number % 90);
        store.producer().send(Record::to("orders").key(&key).value(&value_of(number))).unwrap();
    }
    let (from, to) = (dir.path().to_path_buf(), killed.path().to_path_buf());
    let mut is_over = false;
    hooked.at_rename(move |name| {
        if name.extension().is_some_and(|kind| kind == "cleaned") && !is_over {
            copy_dir(&from, &to);
            is_over = true;
        }
    });
    topic.compact().unwrap();
    store.close().unwrap();
    let hooked = Hooked::new();
    let store = by_hand(killed.path()).file_system(hooked.files()).open().unwrap();
    let reader = Store::builder(killed.path()).read_mode(ReadMode::Positional).attach().unwrap();
    let orders = reader.topic("orders").unwrap().partition(0).unwrap();
    let before: Vec<_> = orders.read(..).unwrap().into_iter().map(Result::unwrap).collect();
    let found = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (looks, offset) = (std::sync::Arc::clone(&found), before[0].offset);
    hooked.at_sync_dir(move |path| {
        if path.ends_with("orders-0") {
            looks.lock().unwrap().push(orders.get(offset));
        }
    });
    store.producer().send(Record::to("orders").key("one more").value("x")).unwrap();
    let found = found.lock().unwrap();
    assert!(found.len() > 1, "{found:?}");
    for look in &*found {
        assert!(look.as_ref().is_ok_and(|record| record.as_ref() == Some(&before[0])), "{look:?}");
    }
}

/// What is found by key and by query at home is found elsewhere.
#[test]
fn keys_and_queries_are_answered_in_another_process_as_at_home() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let config = small_segments().key_index(true).cleanup_policy(CleanupPolicy::Compact);
    let topic = store.create_topic("events", config).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut random = Random::new(count_from_env("ANNALS_SEED", 5) as u64);
    let compare = |when: &str, reader: &StoreReader| {
        let outside = reader.topic("events").unwrap();
        let (here, there) = (topic.partition(0).unwrap(), outside.partition(0).unwrap());
        for key in ["a", "b", "c", "nobody"] {
            let all = |events: annals::EventReader| {
                events.into_iter().map(|event| event.unwrap().offset).collect::<Vec<_>>()
            };
            let (stream, view) = (topic.stream(key).unwrap(), outside.stream(key).unwrap());
            assert_eq!(all(stream.read(..).unwrap()), all(view.read(..).unwrap()), "{when}: {key}");
            assert_eq!(stream.version().unwrap(), view.version().unwrap(), "{when}: {key}");
            assert_eq!(topic.get(key).unwrap(), outside.get(key).unwrap(), "{when}: {key}");
            let query = Query::of_type(key);
            let (one, other) = (here.select(&query, ..).unwrap(), there.select(&query, ..).unwrap());
            assert_eq!(all(one), all(other), "{when}: {key}");
            let last = |events: annals::EventsBackwards| {
                events.take(3).map(|event| event.unwrap().offset).collect::<Vec<_>>()
            };
            let (one, other) = (here.select_backwards(&query), there.select_backwards(&query));
            assert_eq!(last(one.unwrap()), last(other.unwrap()), "{when}: {key}");
        }
    };
    for step in 0..60 {
        for _ in 0..random.below(30) {
            let (key, kind) = (random.below(3), random.below(3));
            let value = "a value that is always the same, whoever has the key";
            let [key, kind] = [key, kind].map(|number| ["a", "b", "c"][number as usize]);
            let event = Record::to("events").key(key).header("type", kind).value(value);
            store.producer().send(event).unwrap();
        }
        if random.below(6) == 0 {
            topic.compact().unwrap();
        }
        compare(&format!("step {step}"), &reader);
    }
    let before = crate::common::files_of(dir.path(), "events-0", "");
    compare("a new reader", &StoreReader::attach(dir.path()).unwrap());
    assert_eq!(
        before,
        crate::common::files_of(dir.path(), "events-0", ""),
        "a reader has made or removed a file"
    );
    // A setting that changes reaches those who look already.
    let none = reader.topic("plain");
    assert!(matches!(none, Err(Error::UnknownTopic { .. })));
    store.create_topic("plain", TopicConfig::new()).unwrap();
    let plain = reader.topic("plain").unwrap();
    assert!(matches!(plain.get("a"), Err(Error::InvalidConfig { .. })));
    store.producer().send(Record::to("plain").key("a").value("1")).unwrap();
    store.alter_topic("plain", TopicConfig::new().key_index(true)).unwrap();
    assert_eq!(reader.topic("plain").unwrap().get("a").unwrap().unwrap().value.unwrap(), b"1");
    store.close().unwrap();
    let copy = Store::open_read_only(dir.path()).unwrap();
    let offsets = |reader: &StoreReader| {
        let events = reader.topic("events").unwrap().stream("a").unwrap();
        events.read(..).unwrap().into_iter().map(|event| event.unwrap().offset).collect::<Vec<_>>()
    };
    assert_eq!(offsets(&copy), offsets(&reader));
}
