//! Handles that were there before their topic became another, or had more partitions; and names that two of them have.

use std::time::Duration;

use annals::{Condition, Durability, Error, Expected, Record, RecordRef, Store, TopicConfig, Transaction};

use super::common::fast_dir;
use super::world::indexed;

#[test]
fn snapshots_of_a_deleted_topic_took_the_place_of_its_successors() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let event = [Record::new().value("1")];
    store.create_topic("events", indexed()).unwrap().append_to("a", Expected::Any, &event).unwrap();
    let old = store.snapshots("events").unwrap();
    old.store("a", 0, b"old").unwrap();
    store.delete_topic("events").unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let new = store.snapshots("events").unwrap();
    let is_unknown = |error| matches!(error, Some(Error::UnknownTopic { was_deleted: true, .. }));
    for stored in [false, true] {
        if stored {
            topic.append_to("a", Expected::NoStream, &event).unwrap();
            new.store("a", 0, b"new").unwrap();
        }
        assert!(is_unknown(old.store("a", 0, b"older").err()));
        assert!(is_unknown(old.prune("a").err()));
        assert!(is_unknown(old.load("a").err()));
        assert_eq!(new.load("a").unwrap().map(|new| new.state), stored.then(|| b"new".to_vec()));
    }
}

#[test]
fn a_stream_from_before_partitions_were_added_was_appended_to_in_the_wrong_one() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let keys: Vec<_> = (0..20).map(|number| format!("key-{number}")).collect();
    let old: Vec<_> = keys.iter().map(|key| topic.stream(key).unwrap()).collect();
    store.alter_topic("events", TopicConfig::new().key_index(false)).unwrap();
    store.add_partitions("events", 4).unwrap();
    store.alter_topic("events", TopicConfig::new().key_index(true)).unwrap();
    let is_invalid = |error| matches!(error, Some(Error::InvalidArgument { .. }));
    let event = [Record::new().value("1")];
    let mut moved = 0;
    for (key, old) in keys.iter().zip(old) {
        if topic.stream(key).unwrap().partition().number() == 0 {
            old.append(Expected::NoStream, &event, Durability::Os).unwrap();
        } else {
            moved += 1;
            assert!(is_invalid(old.append(Expected::NoStream, &event, Durability::Os).err()), "{key}");
            assert!(is_invalid(old.read(..).err()), "{key}");
            assert!(is_invalid(old.backwards().err()) && is_invalid(old.last().err()), "{key}");
            assert!(is_invalid(old.version().err()), "{key}");
            let mut tx = store.transaction("t").unwrap();
            assert!(is_invalid(tx.append_to(&old, Expected::NoStream, &event).err()), "{key}");
            topic.append_to(key, Expected::NoStream, &event).unwrap();
        }
        assert_eq!(topic.stream(key).unwrap().read(..).unwrap().into_iter().count(), 1, "{key}");
    }
    assert!(moved > 5, "{moved}");
}

/// The events were sent, and nobody was told that the topic has no streams any more.
#[test]
fn a_transaction_that_expected_nothing_of_a_stream_appended_to_it_without_an_index() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let (stream, partition) = (topic.stream("a").unwrap(), topic.partition(0).unwrap());
    store.alter_topic("events", TopicConfig::new().key_index(false)).unwrap();
    let event = [Record::new().value("1")];
    let is_config = |error| matches!(error, Some(Error::InvalidConfig { .. }));
    for expected in [Expected::Any, Expected::NoStream] {
        let condition = Condition::stream("a", expected);
        assert!(is_config(partition.append_when(&[condition], &event, Durability::Os).err()), "{expected:?}");
        let mut tx = store.transaction("t").unwrap();
        assert!(is_config(tx.append_to(&stream, expected, &event).err()), "{expected:?}");
        assert!(is_config(stream.append(expected, &event, Durability::Os).err()), "{expected:?}");
    }
    assert_eq!(partition.end(), 0);
}

#[test]
fn projections_of_one_name_over_two_topics_fenced_each_other() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    for topic in ["orders", "bills"] {
        let topic = store.create_topic(topic, indexed()).unwrap();
        topic.append_to("a", Expected::NoStream, &[Record::new().value("1")]).unwrap();
    }
    store.create_topic("seen", TopicConfig::new()).unwrap();
    let [mut orders, mut bills] = ["orders", "bills"].map(|topic| store.projection("both", topic).unwrap());
    let send = |event: RecordRef<'_>, tx: &mut Transaction| {
        tx.send(Record::to("seen").value(event.topic())).map(drop)
    };
    let step = orders.step(Duration::ZERO, |event, tx| {
        send(event, tx)?;
        bills.step(Duration::ZERO, send).map(drop)
    });
    step.unwrap();
    let seen = store.topic("seen").unwrap().partition(0).unwrap();
    assert_eq!(seen.read(..).unwrap().into_iter().count(), 2);
    assert_eq!((orders.lag().unwrap(), bills.lag().unwrap()), (0, 0));
}
