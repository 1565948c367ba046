//! A store seen from outside while its owner writes: both in this process, which the two do not know.

use std::collections::BTreeMap;
use std::time::Duration;

use annals::{
    CleanupPolicy, Durability, Error, Isolation, OwnedRecord, Record, Store, StoreReader, TopicConfig,
    TopicPartition,
};
use annals_testing::Random;

use crate::common::{by_hand, count_from_env, fast_dir, small_segments, value_of};

/// Everything of all topics, as the owner sees it.
fn owned(store: &Store) -> BTreeMap<TopicPartition, (Vec<OwnedRecord>, [i64; 3])> {
    let partitions = store.topics().into_iter().flat_map(|topic| topic.partitions());
    let all = partitions.map(|partition| {
        let reader = partition.read(..).unwrap().isolation(Isolation::ReadCommitted);
        let records = reader.into_iter().map(Result::unwrap).collect();
        let bounds = [partition.start(), partition.durable(), partition.end()];
        (partition.topic_partition().clone(), (records, bounds))
    });
    all.collect()
}

/// The same from outside.
fn seen(store: &StoreReader) -> BTreeMap<TopicPartition, (Vec<OwnedRecord>, [i64; 3])> {
    let partitions = store.topics().into_iter().flat_map(|topic| topic.partitions());
    let all = partitions.map(|partition| {
        let records = partition.read(..).unwrap().into_iter().map(Result::unwrap).collect();
        let bounds = [partition.start(), partition.durable(), partition.end()];
        (partition.topic_partition().clone(), (records, bounds))
    });
    all.collect()
}

#[test]
fn what_is_appended_is_seen_at_once_and_what_is_gone_is_not() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let orders = store.create_topic("orders", small_segments()).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    assert_eq!(reader.owner(), Some(std::process::id()));
    let outside = reader.topic("orders").unwrap().partition(0).unwrap();
    assert_eq!((outside.start(), outside.end()), (0, 0));
    let producer = store.producer();
    for number in 0..500 {
        producer.send(Record::to("orders").key("k").value(&value_of(number)).timestamp(number)).unwrap();
        assert_eq!(outside.end(), number + 1);
        let record = outside.get(number).unwrap().unwrap();
        assert_eq!(record.value.unwrap(), value_of(number).into_bytes());
    }
    assert_eq!(outside.get(0).unwrap().unwrap().offset, 0);
    assert_eq!(outside.offset_for_time(321).unwrap().unwrap().offset, 321);
    assert!(matches!(outside.get(500), Err(Error::OffsetOutOfRange { .. })));
    let (inner, outer) = (orders.stats().unwrap(), reader.topic("orders").unwrap().stats().unwrap());
    assert_eq!((inner.records(), inner.bytes()), (outer.records(), outer.bytes()));
    assert_eq!(inner.partitions[0].newest_timestamp, outer.partitions[0].newest_timestamp);
    orders.partition(0).unwrap().delete_records(300).unwrap();
    assert_eq!(outside.start(), 300);
    assert!(matches!(outside.get(299), Err(Error::OffsetOutOfRange { .. })));
    assert_eq!(outside.get(300).unwrap().unwrap().value.unwrap(), value_of(300).into_bytes());
    assert_eq!(reader.topic("orders").unwrap().latest().count(), 1);
    store.delete_topic("orders").unwrap();
    assert!(matches!(outside.get(300), Err(Error::UnknownTopic { was_deleted: true, .. })));
    store.create_topic("orders", TopicConfig::new()).unwrap();
    assert!(matches!(outside.get(300), Err(Error::UnknownTopic { was_deleted: true, .. })));
    assert_eq!(reader.topic("orders").unwrap().partition(0).unwrap().end(), 0);
}

#[test]
fn committed_offsets_and_lag_are_seen() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    assert!(reader.groups().is_empty());
    let mut billing = store.consumer("billing").unwrap();
    billing.subscribe(["orders"]).unwrap();
    for number in 1..20 {
        store.producer().send(Record::to("orders").value("2 apples")).unwrap();
        store.producer().send(Record::to("orders").value("1 pear")).unwrap();
        billing.commit_offsets([(("orders", 0).into(), number)]).unwrap();
        assert_eq!(reader.committed("billing")[&("orders", 0).into()].offset, number);
        assert_eq!(reader.lag("billing").lag(), u64::try_from(number).unwrap());
        if number == 10 {
            store.topic("__consumer_offsets").unwrap().compact().unwrap();
        }
    }
    drop(billing);
    store.delete_group("billing").unwrap();
    assert!(reader.groups().is_empty() && reader.stats().unwrap().groups.is_empty());
}

#[test]
fn an_owner_that_lets_nobody_look_says_so() {
    let dir = fast_dir();
    let refused = StoreReader::attach(dir.path());
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    let store = by_hand(dir.path()).without_live_readers().open().unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    assert!(!dir.path().join("annals.live").exists(), "nothing is made for nobody");
    assert!(matches!(StoreReader::attach(dir.path()), Err(Error::Io { .. })));
    store.close().unwrap();
    let store = by_hand(dir.path()).open().unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    assert_eq!(reader.topic("orders").unwrap().partition(0).unwrap().end(), 0);
    store.close().unwrap();
    let _store = by_hand(dir.path()).without_live_readers().open().unwrap();
    assert!(matches!(StoreReader::attach(dir.path()), Err(Error::StoreInUse { .. })));
    let read = reader.topic("orders").unwrap().partition(0).unwrap().read(..).and_then(|mut one| one.fetch());
    assert!(matches!(read, Err(Error::StoreInUse { .. })), "{read:?}");
}

/// More partitions than a piece of the page has, made while somebody looks.
#[test]
fn the_page_grows_while_it_is_looked_at() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    for topic in ["a", "b", "c"] {
        store.create_topic(topic, TopicConfig::new().partitions(300)).unwrap();
        for number in [0, 299] {
            store.producer().send(Record::to(topic).partition(number).value(topic)).unwrap();
            let outside = reader.topic(topic).unwrap().partition(number).unwrap();
            assert_eq!(outside.get(0).unwrap().unwrap().value.unwrap(), topic.as_bytes());
        }
    }
    store.delete_topic("a").unwrap();
    store.create_topic("d", TopicConfig::new().partitions(300)).unwrap();
    store.producer().send(Record::to("d").partition(7).value("d")).unwrap();
    assert_eq!(reader.topic("d").unwrap().partition(7).unwrap().end(), 1);
    assert_eq!(reader.topic("c").unwrap().partition(299).unwrap().end(), 1);
    assert!(matches!(reader.topic("a"), Err(Error::UnknownTopic { .. })));
}

/// Whatever is done to a store, in any order: what is seen from outside is what its owner sees.
#[test]
fn whatever_the_owner_does_is_seen_from_outside() {
    let lives = count_from_env("ANNALS_LIVE_MODELS", 2);
    let seed = count_from_env("ANNALS_SEED", 11);
    for life in 0..lives {
        let what = format!("ANNALS_SEED={}", seed + life);
        one_model(&mut Random::new((seed + life) as u64), &what);
    }
}

fn one_model(random: &mut Random, what: &str) {
    let dir = fast_dir();
    let mut store = by_hand(dir.path()).open().unwrap();
    // Attached once, and through everything.
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut number = 0;
    for step in 0..120 {
        act(&mut store, dir.path(), random, &mut number);
        let (inside, outside) = (owned(&store), seen(&reader));
        assert!(
            inside.keys().eq(outside.keys()),
            "{what}, step {step}: {:?} {:?}",
            inside.keys(),
            outside.keys()
        );
        for (place, (records, bounds)) in &inside {
            let (others, other_bounds) = &outside[place];
            assert_eq!(bounds, other_bounds, "{what}, step {step}: {place}");
            let offsets = |records: &[OwnedRecord]| records.iter().map(|one| one.offset).collect::<Vec<_>>();
            assert_eq!(offsets(records), offsets(others), "{what}, step {step}: {place}");
            assert_eq!(records, others, "{what}, step {step}: {place}");
        }
        for name in ["a", "table"] {
            if let (Ok(inside), Ok(outside)) = (store.topic(name), reader.topic(name)) {
                let latest = |records: annals::Latest| records.map(Result::unwrap).collect::<Vec<_>>();
                assert_eq!(latest(inside.latest()), latest(outside.latest()), "{what}, step {step}");
            }
        }
    }
}

fn act(store: &mut Store, dir: &std::path::Path, random: &mut Random, number: &mut i64) {
    let table = || small_segments().cleanup_policy(CleanupPolicy::Compact);
    drop(store.ensure_topic("a", small_segments().partitions(2)));
    drop(store.ensure_topic("table", table()));
    let mut next = || {
        *number += 1;
        (format!("key {}", *number % 5), value_of(*number))
    };
    match random.below(12) {
        0..4 => {
            for _ in 0..random.below(40) {
                let (key, value) = next();
                store.producer().send(Record::to("a").key(&key).value(&value)).unwrap();
                store.producer().send(Record::to("table").key(&key).value(&value)).unwrap();
            }
        }
        4 => {
            let mut step = store.transaction_builder("step").buffer_bytes(0).begin().unwrap();
            for _ in 0..random.below(30) + 1 {
                let (key, value) = next();
                step.send(Record::to("a").key(&key).value(&value)).unwrap();
            }
            // Readers of committed records wait meanwhile.
            let (key, value) = next();
            store.producer().send(Record::to("a").key(&key).value(&value)).unwrap();
            if random.below(2) == 0 { drop(step.commit()) } else { drop(step) }
        }
        5 => drop(store.topic("table").unwrap().compact().unwrap()),
        6 => {
            let partition = store.topic("a").unwrap().partition(0).unwrap();
            let end = u64::try_from(partition.end()).unwrap();
            let before = i64::try_from(random.below(end + 1)).unwrap();
            // Refused behind a transaction without an end.
            let _ = partition.delete_records(before);
        }
        7 => {
            store.alter_topic("a", TopicConfig::new().retention_bytes(8_000)).unwrap();
            store.apply_retention().unwrap();
        }
        8 => drop(store.topic("table").unwrap().erase("key 3").unwrap()),
        9 => store.delete_topic(if random.below(2) == 0 { "a" } else { "table" }).unwrap(),
        10 => {
            store.close().unwrap();
            *store = by_hand(dir).open().unwrap();
        }
        _ => store.producer_builder().durability(Durability::Disk).build().unwrap().flush().unwrap(),
    }
}

/// Between two owners a store is read as the last one has left it.
#[test]
fn a_reader_goes_on_when_nobody_has_the_store_open_and_with_the_next_owner() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic("orders", small_segments()).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let outside = reader.topic("orders").unwrap().partition(0).unwrap();
    let mut open = store;
    for life in 0..5 {
        for number in 0..60 {
            let value = value_of(life * 60 + number);
            open.producer().send(Record::to("orders").value(&value)).unwrap();
        }
        assert_eq!(outside.end(), (life + 1) * 60);
        open.close().unwrap();
        assert_eq!(reader.owner(), None);
        let all: Vec<_> = outside.read(..).unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(all.len() as i64, (life + 1) * 60);
        assert_eq!(all.last().unwrap().value.clone().unwrap(), value_of(life * 60 + 59).into_bytes());
        open = by_hand(dir.path()).sync_every(Duration::from_millis(1)).open().unwrap();
        assert_eq!(outside.end(), (life + 1) * 60);
    }
}

/// Sizes on disk fall with what is taken out, and rates are made of this.
#[test]
fn what_was_appended_only_rises_whatever_is_taken_out() {
    let dir = fast_dir();
    let config = small_segments().set("annals.size.limit.bytes", "16384");
    let config = config.set("annals.size.limit.action", "drop-oldest");
    let store = by_hand(dir.path()).open().unwrap();
    let orders = store.create_topic("orders", config.clone()).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let seen = |reader: &StoreReader| {
        let stats = reader.topic("orders").unwrap().partition(0).unwrap().stats().unwrap();
        (stats.bytes, stats.appended_bytes)
    };
    assert_eq!(seen(&reader), (0, 0));
    let value = "x".repeat(500);
    let mut before = 0;
    for round in 0..20 {
        for _ in 0..20 {
            store.producer().send(Record::to("orders").value(&value)).unwrap();
        }
        let owned = orders.partition(0).unwrap().stats().unwrap();
        assert_eq!(seen(&reader), (owned.bytes, owned.appended_bytes), "round {round}");
        assert!(owned.bytes <= 16_384 && owned.appended_bytes >= before + 20 * 500, "round {round}");
        before = owned.appended_bytes;
    }
    orders.partition(0).unwrap().delete_records(400).unwrap();
    assert_eq!(seen(&reader).1, before);
    store.close().unwrap();
    assert_eq!(seen(&reader).1, 0, "nobody has it open");
    // In the next life it is counted anew, and for another topic of the name.
    let store = by_hand(dir.path()).open().unwrap();
    store.producer().send(Record::to("orders").value(&value)).unwrap();
    let of_one = seen(&reader).1;
    assert!((500..1_000).contains(&of_one), "{of_one}");
    store.delete_topic("orders").unwrap();
    store.create_topic("orders", config).unwrap();
    assert_eq!(seen(&reader).1, 0);
}
