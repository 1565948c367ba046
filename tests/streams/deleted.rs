//! Events that were deleted from the front: nobody computes without them unawares.

use std::time::Duration;

use annals::{
    Durability, Error, Expected, OnDeleted, OwnedRecord, Progress, Query, Record, Snapshots, Store, Topic,
    TopicConfig,
};

use super::common::fast_dir;
use super::world::indexed;

const WAIT: Duration = Duration::from_millis(1);

fn append(topic: &Topic, key: &str, value: &str) -> i64 {
    topic.append_to(key, Expected::Any, &[Record::new().value(value)]).unwrap().last_offset
}

fn is_cut_off(snapshots: &Snapshots, key: &str) -> bool {
    let outcomes = [snapshots.load(key).err(), snapshots.read(key).map(drop).err()];
    outcomes.into_iter().all(|error| {
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        text.contains("prune") && text.contains("deleted")
    })
}

/// A program that goes on from the snapshot, and else from the start, came to what 5 of 105 events make.
#[test]
fn a_snapshot_whose_events_were_deleted_was_none_without_a_word() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    let mut version = 0;
    for _ in 0..100 {
        version = append(&topic, "a", "1");
    }
    snapshots.store("a", version, b"100").unwrap();
    for _ in 0..5 {
        append(&topic, "a", "1");
    }
    // The last event that is in the snapshot stays: so does the snapshot.
    partition.delete_records(version).unwrap();
    let (snapshot, rest) = snapshots.read("a").unwrap();
    assert_eq!((snapshot.map(|one| one.version), rest.into_iter().count()), (Some(version), 5));
    partition.delete_records(version + 1).unwrap();
    assert!(is_cut_off(&snapshots, "a"), "{:?}", snapshots.load("a"));
    // Also where nothing of the stream is left, and when it is looked at by another handle.
    let end = append(&topic, "b", "1");
    partition.delete_records(end).unwrap();
    assert!(is_cut_off(&store.snapshots("events").unwrap(), "a"));
    assert!(snapshots.load("b").unwrap().is_none(), "one that has no snapshot begins where it begins");
    // Pruned, it begins anew.
    snapshots.prune("a").unwrap();
    let version = append(&topic, "a", "7");
    let (snapshot, rest) = snapshots.read("a").unwrap();
    assert_eq!((snapshot, rest.into_iter().count()), (None, 1));
    snapshots.store("a", version, b"7").unwrap();
    assert_eq!(snapshots.load("a").unwrap().map(|one| one.state), Some(b"7".to_vec()));
}

/// What retention takes is taken the same way; another topic of the name has nothing to do with it.
#[test]
fn retention_takes_no_events_behind_a_snapshot_without_a_word() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed().retention_records(50)).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    snapshots.store("a", append(&topic, "a", "1"), b"1").unwrap();
    for _ in 0..300 {
        append(&topic, "b", "1");
    }
    store.apply_retention().unwrap();
    assert!(topic.partition(0).unwrap().start() > 0);
    assert!(is_cut_off(&snapshots, "a"));
    store.delete_topic("events").unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    append(&topic, "a", "1");
    let end = append(&topic, "a", "1");
    topic.partition(0).unwrap().delete_records(end).unwrap();
    assert!(store.snapshots("events").unwrap().load("a").unwrap().is_none());
}

/// A reader behind a snapshot passed over what was deleted while it was on its way.
#[test]
fn what_is_deleted_behind_a_snapshot_that_was_loaded_is_told() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    snapshots.store("a", append(&topic, "a", "1"), b"1").unwrap();
    let mut version = 0;
    for _ in 0..10 {
        version = append(&topic, "a", "1");
    }
    let (_, mut rest) = snapshots.read("a").unwrap();
    // Another makes a newer one, and deletes what is in it, but for its last event.
    snapshots.store("a", version, b"11").unwrap();
    partition.delete_records(version).unwrap();
    let told = rest.fetch();
    assert!(matches!(told, Err(Error::OffsetOutOfRange { requested: 1, .. })), "{told:?}");
    let (snapshot, rest) = snapshots.read("a").unwrap();
    assert_eq!((snapshot.map(|one| one.state), rest.into_iter().count()), (Some(b"11".to_vec()), 0));
}

#[test]
fn a_snapshot_was_stored_of_a_stream_without_its_event() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    let erased = append(&topic, "erased", "of hers");
    let others = append(&topic, "other", "1");
    topic.erase("erased").unwrap();
    for (key, version) in [("erased", erased), ("erased", others), ("never", others), ("other", erased)] {
        let refused = snapshots.store(key, version, b"what was erased");
        assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{key}: {refused:?}");
    }
    assert_eq!(snapshots.topic().partition(0).unwrap().end(), 0, "no byte of it was written");
    snapshots.store("other", others, b"1").unwrap();
}

/// Who had found no snapshot came to what is left behind the first one that another made meanwhile.
#[test]
fn what_is_deleted_behind_a_snapshot_that_came_after_the_look_is_told() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    let versions: Vec<_> = (0..10).map(|_| append(&topic, "a", "1")).collect();
    topic.partition(0).unwrap().delete_records(3).unwrap();
    let (snapshot, mut rest) = snapshots.read("a").unwrap();
    assert_eq!((snapshot, rest.fetch().unwrap().len()), (None, 7), "it begins where it begins");
    let (snapshot, mut rest) = snapshots.read("a").unwrap();
    assert_eq!(snapshot, None);
    snapshots.store("a", versions[9], b"10").unwrap();
    topic.partition(0).unwrap().delete_records(versions[9]).unwrap();
    let told = rest.fetch();
    assert!(matches!(told, Err(Error::OffsetOutOfRange { requested: 3, start: 9, .. })), "{told:?}");
    let (snapshot, rest) = snapshots.read("a").unwrap();
    assert_eq!((snapshot.map(|one| one.state), rest.into_iter().count()), (Some(b"10".to_vec()), 0));
}

/// Whoever had the offset of what it had sent, and had read nothing since, was told that there is no such event.
#[test]
fn a_snapshot_of_an_event_in_memory_was_refused() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    for _ in 0..10 {
        let sent = partition.append(&[Record::new().key("a").value("1")], Durability::Memory).unwrap();
        snapshots.store("a", sent.last_offset, b"so many").unwrap();
        assert!(partition.durable() > sent.last_offset);
        let early = snapshots.store("a", sent.last_offset + 1, b"of what is not there");
        assert!(matches!(early, Err(Error::InvalidArgument { .. })), "{early:?}");
    }
}

#[test]
fn an_erased_snapshot_is_in_no_file() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    for key in ["a", "b", "a"] {
        snapshots.store(key, append(&topic, key, "1"), b"state").unwrap();
    }
    assert_eq!(snapshots.erase("a").unwrap().iter().map(|report| report.records).sum::<u64>(), 2);
    assert_eq!(snapshots.load("a").unwrap(), None);
    assert!(snapshots.load("b").unwrap().is_some());
}

/// It counted as soon as the stream had another event behind it, with one in it that never came to be.
#[test]
fn a_snapshot_of_a_transaction_that_was_aborted_counted() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", TopicConfig::new().key_index(true)).unwrap();
    let partition = topic.partition(0).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    append(&topic, "a", "0");
    let value = "of a transaction that is too large to wait in memory ".repeat(400);
    let mut tx = store.transaction_builder("t").buffer_bytes(1 << 16).begin().unwrap();
    let stream = topic.stream("a").unwrap();
    while partition.end() < 3 {
        tx.append_to(&stream, Expected::Any, &[Record::new().value(&value)]).unwrap();
    }
    let refused = snapshots.store("a", 2, b"of what is not decided");
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
    // One's own, which stands behind it, is decided.
    let own = append(&topic, "b", "1");
    assert!(own > partition.stable());
    snapshots.store("b", own, b"1").unwrap();
    drop(tx);
    let refused = snapshots.store("a", 2, b"of what was aborted");
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
    append(&topic, "a", "1");
    assert_eq!(snapshots.load("a").unwrap(), None);
    assert_eq!(snapshots.load("b").unwrap().map(|one| one.version), Some(own));
}

/// It went over them as if they had taken effect.
#[test]
fn a_projection_passed_over_what_was_deleted_before_it_came_to_it() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    for _ in 0..10 {
        append(&topic, "a", "1");
    }
    let mut projection = store.projection("sums", "events").unwrap();
    projection.step(WAIT, |_, _| Ok(())).unwrap();
    for _ in 0..10 {
        append(&topic, "a", "1");
    }
    partition.delete_records(15).unwrap();
    for life in 0..2 {
        let step = projection.step(WAIT, |_, _| Ok(()));
        assert!(
            matches!(step, Err(Error::OffsetOutOfRange { requested: 10, start: 15, .. })),
            "{life}: {step:?}"
        );
        let lag = projection.lag();
        assert!(matches!(lag, Err(Error::OffsetOutOfRange { requested: 10, .. })), "{life}: {lag:?}");
        drop(projection);
        projection = store.projection("sums", "events").unwrap();
    }
}

#[test]
fn the_lag_behind_a_deletion_counted_what_is_gone() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", TopicConfig::new()).unwrap().partition(0).unwrap();
    topic.append(&[Record::new(), Record::new(), Record::new()], Durability::Os).unwrap();
    let mut consumer = store.consumer("group").unwrap();
    consumer.subscribe(["events"]).unwrap();
    assert_eq!(consumer.lag().unwrap(), 3);
    topic.delete_records(2).unwrap();
    assert_eq!(consumer.lag().unwrap(), 1);
    let group = store.stats().unwrap().groups.into_iter().next().unwrap();
    assert_eq!(group.lag(), 1, "as the figures say");
    topic.delete_records(3).unwrap();
    assert_eq!(consumer.lag().unwrap(), 0);
}

/// One fetch is some of them: an account of which it made all had lost money.
#[test]
fn all_events_of_a_stream_are_more_than_a_fetch() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", TopicConfig::new().key_index(true)).unwrap();
    let event = Record::new().header("type", "moved").value("of some length, as events have it");
    for _ in 0..100 {
        topic.append_to("a", Expected::Any, &vec![event.clone(); 100]).unwrap();
    }
    let stream = topic.stream("a").unwrap();
    assert!(stream.read(..).unwrap().fetch().unwrap().len() < 10_000);
    let all: Vec<OwnedRecord> = stream.events(..).unwrap();
    assert_eq!(all.len(), 10_000);
    assert_eq!(stream.events(all[9_990].offset..).unwrap(), all[9_990..]);
    // A condition may name where a loop has come to, and no sooner than it has.
    let mut events = stream.read(..).unwrap().into_iter();
    for event in &all {
        assert!(events.position() <= event.offset, "{} before {}", events.position(), event.offset);
        assert_eq!(events.next().unwrap().unwrap().offset, event.offset);
    }
    assert!(events.next().is_none());
    assert_eq!(events.position(), topic.partition(0).unwrap().end());
}

#[test]
fn a_step_says_what_it_skipped() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    let send = |number: usize| {
        for _ in 0..number {
            append(&topic, "a", "1");
        }
    };
    let open = || store.projection("sums", "events").unwrap().on_deleted(OnDeleted::Skip);
    send(5);
    partition.delete_records(2).unwrap();
    let said = |progress: Progress| (progress.events, progress.skipped);
    // In front of the first event there is: a new one begins there, also one that would fail later.
    let mut new = store.projection("new", "events").unwrap();
    assert_eq!(new.lag().unwrap(), 3);
    assert_eq!(said(new.step(WAIT, |_, _| Ok(())).unwrap()), (3, 2));
    let mut projection = open();
    assert_eq!(said(projection.step(WAIT, |_, _| Ok(())).unwrap()), (3, 2));
    assert_eq!(said(projection.step(WAIT, |_, _| Ok(())).unwrap()), (0, 0));
    send(5);
    partition.delete_records(8).unwrap();
    assert_eq!(projection.lag().unwrap(), 2);
    // A step without effect has told nobody.
    let failed = projection.step(WAIT, |_, _| Err(Error::InvalidArgument { reason: "not yet".to_owned() }));
    assert!(failed.is_err());
    assert_eq!(said(projection.step(WAIT, |_, _| Ok(())).unwrap()), (2, 3));
    // All that is left is gone: it is said where there is nothing to do, and again in another life.
    send(5);
    partition.delete_records(partition.end()).unwrap();
    assert_eq!(projection.lag().unwrap(), 0);
    assert_eq!(said(projection.step(WAIT, |_, _| Ok(())).unwrap()), (0, 5));
    assert_eq!(said(projection.step(WAIT, |_, _| Ok(())).unwrap()), (0, 0));
    drop(projection);
    assert_eq!(said(open().step(WAIT, |_, _| Ok(())).unwrap()), (0, 5));
}

#[test]
fn a_step_is_worked_on_together_with_errors_of_the_programs_own() {
    #[derive(Debug)]
    enum Trouble {
        Log(Error),
        Own,
    }
    impl From<Error> for Trouble {
        fn from(error: Error) -> Self {
            Self::Log(error)
        }
    }
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    store.create_topic("rows", TopicConfig::new()).unwrap();
    for number in 0..10 {
        let kind = if number % 2 == 0 { "wanted" } else { "other" };
        topic.append_to("a", Expected::Any, &[Record::new().header("type", kind)]).unwrap();
    }
    let mut projection = store.projection("rows", "events").unwrap().only(Query::of_type("wanted"));
    let failed = projection.step_together(WAIT, |_, tx| {
        tx.send(Record::to("rows").value("in vain"))?;
        Err(Trouble::Own)
    });
    assert!(matches!(failed, Err(Trouble::Own)), "{failed:?}");
    let refused = projection.step_together(WAIT, |_, tx| {
        tx.send(Record::to("nowhere").value("in vain"))?;
        Ok::<(), Trouble>(())
    });
    assert!(matches!(refused, Err(Trouble::Log(Error::UnknownTopic { .. }))), "{refused:?}");
    let step = projection.step_together(WAIT, |events, tx| {
        tx.send(Record::to("rows").value(&events.len().to_string()))?;
        Ok::<(), Trouble>(())
    });
    let step = step.unwrap();
    assert_eq!((step.events, step.passed), (5, 5));
    let rows: Vec<_> =
        store.topic("rows").unwrap().partition(0).unwrap().read(..).unwrap().into_iter().collect();
    assert_eq!(rows.len(), 1, "one row a step");
    // Of none that is wanted it is not called, and goes on behind them.
    topic.append_to("a", Expected::Any, &[Record::new().header("type", "other")]).unwrap();
    let step = projection.step_together(WAIT, |_, _| Err::<(), _>(Trouble::Own)).unwrap();
    assert_eq!((step.events, step.passed, projection.lag().unwrap()), (0, 1, 0));
}
