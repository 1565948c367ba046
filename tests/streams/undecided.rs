//! What a guard says beside a transaction that has no end yet, and what of a transaction that is refused is in it.

use annals::{Condition, Durability, Error, Expected, Query, Record, Store, Topic, Transaction};

use super::common::fast_dir;
use super::world::indexed;

/// A committed event of `a`, and one of a transaction that goes on.
fn with_a_transaction_behind(store: &Store) -> (Topic, Transaction) {
    let topic = store.create_topic("events", indexed()).unwrap();
    let tagged = |value| Record::new().value(value).header("tag", "x");
    topic.append_to("a", Expected::Any, &[tagged("committed")]).unwrap();
    let mut tx = store.transaction_builder("long").buffer_bytes(1).begin().unwrap();
    tx.send(tagged("perhaps").topic("events").key("a")).unwrap();
    (topic, tx)
}

fn conflict(outcome: Result<impl std::fmt::Debug, Error>) -> (Option<i64>, bool) {
    match outcome.unwrap_err() {
        Error::Conflict { found, is_undecided, .. } => (found, is_undecided),
        other => panic!("{other}"),
    }
}

#[test]
fn a_guard_that_a_committed_event_satisfies_waited_for_anothers_transaction() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let (topic, tx) = with_a_transaction_behind(&store);
    let partition = topic.partition(0).unwrap();
    topic.append_to("a", Expected::Exists, &[Record::new()]).unwrap();
    for query in [Query::tag("x"), Query::all()] {
        partition.append_when(&[Condition::some(query)], &[Record::new()], Durability::Os).unwrap();
    }
    let mut other = store.transaction("other").unwrap();
    other.append_to(&topic.stream("a").unwrap(), Expected::Exists, &[Record::new()]).unwrap();
    other.require(&partition, &Condition::some(Query::tag("x"))).unwrap();
    other.commit().unwrap();
    tx.abort().unwrap();
}

#[test]
fn a_guard_that_a_committed_event_refutes_waited_for_anothers_transaction() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let (topic, tx) = with_a_transaction_behind(&store);
    let partition = topic.partition(0).unwrap();
    for expected in [Expected::NoStream, Expected::Version(-1), Expected::Version(2)] {
        let refused = topic.append_to("a", expected, &[Record::new()]);
        assert_eq!(conflict(refused), (Some(0), false), "{expected:?}");
    }
    for query in [Query::tag("x"), Query::all()] {
        let refused = partition.append_when(&[Condition::none(query)], &[Record::new()], Durability::Os);
        assert_eq!(conflict(refused), (Some(0), false));
    }
    // What depends on it waits.
    for expected in [0, 1].map(Expected::Version) {
        assert_eq!(
            conflict(topic.append_to("a", expected, &[Record::new()])),
            (Some(1), true),
            "{expected:?}"
        );
    }
    let since = Condition::none_since(Query::tag("x"), 1);
    assert_eq!(conflict(partition.append_when(&[since], &[Record::new()], Durability::Os)), (Some(1), true));
    tx.abort().unwrap();
    topic.append_to("a", Expected::Version(0), &[Record::new()]).unwrap();
}

/// It lies behind the first record of a transaction without an end, where readers do not come yet.
#[test]
fn an_event_of_no_transaction_was_called_undecided() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    let mut tx = store.transaction_builder("long").buffer_bytes(1).begin().unwrap();
    tx.send(Record::to("events").key("another").value("perhaps")).unwrap();
    topic.append_to("a", Expected::Any, &[Record::new()]).unwrap();
    for from in [0, 1] {
        let refused = partition.append_when(
            &[Condition::none_since(Query::all(), from)],
            &[Record::new()],
            Durability::Os,
        );
        assert_eq!(conflict(refused), (Some(1), false), "from {from}");
    }
    partition.append_when(&[Condition::some(Query::all())], &[Record::new()], Durability::Os).unwrap();
    tx.abort().unwrap();
}

#[test]
fn a_transaction_took_half_of_the_events_of_an_append_that_it_refused() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed().max_message_bytes(1000)).unwrap();
    let stream = topic.stream("a").unwrap();
    let large = [0; 2000];
    let events = [Record::new().value("small"), Record::new().value(&large)];
    for (buffer_bytes, expected) in [
        (0, Expected::NoStream),
        (1 << 20, Expected::NoStream),
        (0, Expected::Exists),
        (1 << 20, Expected::Exists),
    ] {
        let mut tx = store.transaction_builder("tx").buffer_bytes(buffer_bytes).begin().unwrap();
        let refused = tx.append_to(&stream, expected, &events).unwrap_err();
        assert!(matches!(refused, Error::RecordTooLarge { .. }), "{refused}");
        // Nothing is expected of what was not added, either.
        tx.send(Record::to("events").key("b").value("of another call")).unwrap();
        tx.commit().unwrap();
        assert_eq!(stream.version().unwrap(), None);
    }
}
