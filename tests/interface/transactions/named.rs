//! Named producers: what is sent twice is there once.

use std::sync::Arc;

use annals::io::ManualClock;
use annals::{Durability, Error, Record, Store, TopicConfig};

use super::life::killed;
use super::together::values;
use annals::Isolation;

fn open(dir: &std::path::Path) -> Store {
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    store.ensure_topic("readings", TopicConfig::new().segment_bytes(600)).unwrap();
    store
}

fn numbers(range: std::ops::Range<i32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn append(
    store: &Store,
    range: std::ops::Range<i32>,
    durability: Durability,
) -> annals::Result<annals::NamedAppend> {
    let texts = numbers(range.clone());
    let records: Vec<_> = texts.iter().map(|text| Record::new().value(text)).collect();
    let readings = store.topic("readings").unwrap().partition(0).unwrap();
    store.named_producer("sensor-7").unwrap().append(&readings, range.start, &records, durability)
}

/// A source that notes nothing and sends the last part of what it sent once more, whenever it comes back.
#[test]
fn a_source_that_is_killed_before_it_notes_what_it_sent_has_sent_it_once() {
    let mut dir = tempfile::tempdir().unwrap();
    let mut next = 0;
    for life in 0..6 {
        let store = open(dir.path());
        let readings = store.topic("readings").unwrap().partition(0).unwrap();
        let sensor = store.named_producer("sensor-7").unwrap();
        assert_eq!(sensor.last_sequence(&readings), (next > 0).then(|| next - 1));
        if next > 0 {
            let again = append(&store, next - 3..next, Durability::Os).unwrap();
            assert!(again.is_duplicate, "life {life}");
            assert_eq!(again.batch.last_offset, readings.end() - 1);
        }
        for _ in 0..10 {
            let durability = [Durability::Os, Durability::Disk][usize::try_from(next).unwrap() / 3 % 2];
            let sent = append(&store, next..next + 3, durability).unwrap();
            assert!(!sent.is_duplicate);
            next += 3;
        }
        store.producer().send(Record::to("readings").value("other")).unwrap();
        let mut all = values(&store, "readings", 0, Isolation::ReadCommitted);
        all.retain(|value| value != "other");
        assert_eq!(all, numbers(0..next));
        // The last batch must be the name's own for the source to find it at the end.
        append(&store, next..next + 3, Durability::Os).unwrap();
        next += 3;
        if life % 2 == 0 {
            store.close().unwrap();
        } else {
            let copy = killed(dir.path());
            drop(store);
            dir = copy;
        }
    }
}

#[test]
fn records_that_are_missing_or_came_too_long_ago_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..8 {
        append(&store, number..number + 1, Durability::Os).unwrap();
    }
    for number in 3..8 {
        assert!(append(&store, number..number + 1, Durability::Os).unwrap().is_duplicate);
    }
    for number in [0, 2, 9, 100] {
        match append(&store, number..number + 1, Durability::Os) {
            Err(Error::OutOfSequence { expected: 8, found, .. }) => assert_eq!(found, number),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(values(&store, "readings", 0, Isolation::ReadCommitted), numbers(0..8));
    let other = store.named_producer("sensor-8").unwrap();
    let readings = store.topic("readings").unwrap().partition(0).unwrap();
    assert_eq!(other.last_sequence(&readings), None);
    assert!(store.named_producer("").is_err());
    assert!(other.append(&readings, -1, &[Record::new()], Durability::Os).is_err());
    assert!(other.append(&readings, 0, &[], Durability::Os).is_err());
}

#[test]
fn the_first_number_of_a_name_is_0_until_a_partition_may_have_forgotten_it() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(20_000 * DAY));
    let open = || Store::builder(dir.path()).maintain_by_hand().clock(clock.clone()).open().unwrap();
    let mut store = open();
    store.create_topic("readings", TopicConfig::new().partitions(2)).unwrap();
    for days in [0, 6] {
        clock.set((20_000 + days) * DAY);
        let readings = store.topic("readings").unwrap();
        let (first, second) = (readings.partition(0).unwrap(), readings.partition(1).unwrap());
        let sensor = store.named_producer("sensor-7").unwrap();
        for partition in [&first, &second] {
            let next = sensor.last_sequence(partition).map_or(0, |last| last + 1);
            match sensor.append(partition, next + 5, &[Record::new()], Durability::Os) {
                Err(Error::OutOfSequence { expected, found, .. }) => {
                    assert_eq!((expected, found), (next, next + 5))
                }
                other => panic!("after {days} days: {other:?}"),
            }
        }
        assert!(
            !sensor
                .append(&first, i32::from(days > 0), &[Record::new()], Durability::Os)
                .unwrap()
                .is_duplicate
        );
        store.close().unwrap();
        store = open();
    }
    // A week after its registration the second partition cannot tell any more whether it has forgotten the name.
    clock.set(20_008 * DAY);
    let second = store.topic("readings").unwrap().partition(1).unwrap();
    let sensor = store.named_producer("sensor-7").unwrap();
    sensor.append(&second, 5, &[Record::new()], Durability::Os).unwrap();
    assert_eq!(sensor.last_sequence(&second), Some(5));
    let young = store.named_producer("sensor-8").unwrap();
    assert!(young.append(&second, 5, &[Record::new()], Durability::Os).is_err());
}

#[test]
fn a_clock_that_leapt_and_was_set_right_had_a_partition_forget_who_had_just_sent() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    for is_opened_again in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(20_000 * DAY));
        let open = || Store::builder(dir.path()).maintain_by_hand().clock(clock.clone()).open().unwrap();
        let mut store = open();
        store.create_topic("readings", TopicConfig::new().segment_bytes(600)).unwrap();
        append(&store, 0..3, Durability::Os).unwrap();
        if is_opened_again {
            store.close().unwrap();
            clock.set(20_009 * DAY);
            store = open();
        }
        let readings = store.topic("readings").unwrap().partition(0).unwrap();
        // Each begins a segment.
        let fill = || readings.append(&[Record::new().value(&[b'#'; 500])], Durability::Os).unwrap();
        clock.set(20_009 * DAY);
        fill();
        clock.set(20_000 * DAY + 1000);
        let again = append(&store, 0..3, Durability::Os).unwrap();
        assert!(again.is_duplicate, "it is there twice: {again:?}");
        // A week that is over is one.
        clock.set(20_030 * DAY);
        (0..3).for_each(|_| _ = fill());
        let sensor = store.named_producer("sensor-7").unwrap();
        assert_eq!(sensor.last_sequence(&readings), None);
    }
}

#[test]
fn a_producer_of_old_records_is_not_forgotten_for_their_age() {
    let mut dir = tempfile::tempdir().unwrap();
    for (life, sequence) in [(0, 0), (1, 40)] {
        let store = open(dir.path());
        store.ensure_topic("history", TopicConfig::new().segment_bytes(300)).unwrap();
        let history = store.topic("history").unwrap().partition(0).unwrap();
        let ingest = store.named_producer("ingest").unwrap();
        let send = |sequence: i32| {
            let record = Record::new().value("long ago").timestamp(1_000);
            ingest.append(&history, sequence, &[record], Durability::Os).unwrap()
        };
        if life > 0 {
            assert!(send(sequence - 1).is_duplicate, "what came last before the kill");
        }
        for number in sequence..sequence + 40 {
            assert!(!send(number).is_duplicate);
            if number % 8 == 7 {
                // A new segment: who has written nothing for long is forgotten there.
                history.append(&[Record::new().value(&[b'#'; 200])], Durability::Os).unwrap();
                history.append(&[Record::new().value("behind")], Durability::Os).unwrap();
            }
            assert!(send(number).is_duplicate, "{number}: it came a moment ago");
        }
        assert_eq!(history.end(), i64::from(sequence) + 40 + (i64::from(sequence) + 40) / 4);
        let copy = killed(dir.path());
        drop(store);
        dir = copy;
    }
}

#[test]
fn no_transaction_has_the_name_of_a_producer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    append(&store, 0..1, Durability::Os).unwrap();
    for name in ["annals.producer.sensor-7", "annals.producer."] {
        let refused = store.transaction(name).map(drop).unwrap_err();
        assert!(matches!(refused, Error::InvalidName { kind: "transaction", .. }), "{refused:?}");
        assert!(refused.to_string().contains("named producers"), "{refused}");
    }
    // The other way about there is nothing to be mixed up, nor with the name alone.
    store.named_producer("annals.producer.sensor-7").unwrap();
    let mut tx = store.transaction("sensor-7").unwrap();
    tx.send(Record::to("readings").value("another")).unwrap();
    tx.commit().unwrap();
    store.close().unwrap();
    let store = open(dir.path());
    assert!(append(&store, 0..1, Durability::Os).unwrap().is_duplicate);
}
