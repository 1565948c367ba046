//! The time that a transaction has, and whoever comes after it is over.
#![expect(clippy::disallowed_methods, reason = "time that passes")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use annals::{
    Durability, Error, Expected, Partition, Record, Result, Store, Topic, TopicConfig, Transaction, WhenFull,
};

use annals_testing::{ManualClock, MemoryFileSystem};

use crate::common::{by_hand, fast_dir};

const SHORT: Duration = Duration::from_millis(20);

/// One of which something is written, and whose time is over; nobody has looked at it meanwhile.
fn overdue(store: &Store, name: &str) -> Transaction {
    let mut tx = store.transaction_builder(name).buffer_bytes(40).timeout(SHORT).begin().unwrap();
    tx.send(Record::to("a").value("a value of more than forty bytes, so it is written")).unwrap();
    std::thread::sleep(SHORT * 2);
    tx
}

fn expired<T>(call: &str, outcome: Result<T>) {
    match outcome {
        Err(Error::TransactionExpired { .. }) => {}
        Err(other) => panic!("{call}: {other}"),
        Ok(_) => panic!("{call}: it took effect"),
    }
}

#[test]
fn a_call_after_the_timeout_is_refused_before_maintenance_comes_by() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    let topic = store.create_topic("a", TopicConfig::new()).unwrap();
    let partition = topic.partition(0).unwrap();
    let consumer = store.consumer("g").unwrap();
    expired("commit", overdue(&store, "one").commit());
    assert_eq!(partition.stable(), partition.end(), "readers go on at once");
    expired("abort", overdue(&store, "one").abort());
    let mut tx = overdue(&store, "two");
    expired("a send that is kept in memory", tx.send(Record::to("a").value("b")));
    expired("a send that is written", tx.send(Record::to("a").value([b'b'; 50].as_slice())));
    expired("commit_offsets", tx.commit_offsets(&consumer));
    expired("commit", tx.commit());
    let mut tx = overdue(&store, "three");
    expired("a send that is written", tx.send(Record::to("a").value([b'b'; 50].as_slice())));
    drop(tx);
    assert_eq!(partition.stable(), partition.end());
    assert_eq!(partition.read(..).unwrap().into_iter().count(), 0);
    // What is in memory keeps nobody waiting, and has no timeout.
    let mut tx = store.transaction_builder("four").timeout(SHORT).begin().unwrap();
    tx.send(Record::to("a").value("in memory")).unwrap();
    std::thread::sleep(SHORT * 2);
    tx.commit().unwrap();
    assert_eq!(partition.read(..).unwrap().into_iter().count(), 1);
}

#[test]
fn readers_wait_a_second_more_than_a_timeout() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let partition = store.create_topic("a", TopicConfig::new()).unwrap().partition(0).unwrap();
    let tx = overdue(&store, "forgotten");
    let begun = Instant::now();
    while partition.stable() < partition.end() {
        assert!(begun.elapsed() < Duration::from_secs(20), "a second, and what a machine that is busy adds");
        std::thread::sleep(Duration::from_millis(5));
    }
    expired("commit", tx.commit());
}

/// Shorter than a commit waits for what its conditions look at, and longer than a busy machine takes to come to the commit.
const TIMEOUT: Duration = Duration::from_millis(400);

/// A store, a stream of `events`, and `queue`, which drops its oldest records.
fn with_a_stream(dir: &std::path::Path) -> (Store, Topic, Partition) {
    let store = by_hand(dir).open().unwrap();
    let events = store.create_topic("events", TopicConfig::new().key_index(true)).unwrap();
    let small = TopicConfig::new().size_limit(4000, WhenFull::DropOldest).segment_bytes(1000);
    let queue = store.create_topic("queue", small).unwrap().partition(0).unwrap();
    (store, events, queue)
}

/// Commits in time one that expects something of a stream, in which another has an event; does the rest while the commit waits for that one,
/// which is aborted after the timeout.
fn commit_that_waits(
    (store, events): (&Store, &Topic),
    commit: impl FnOnce(Transaction) -> Result<()> + Send,
    meanwhile: impl FnOnce(),
) -> Result<()> {
    let mut other = store.transaction_builder("other").buffer_bytes(0).begin().unwrap();
    let mut tx = store.transaction_builder("in time").buffer_bytes(0).timeout(TIMEOUT).begin().unwrap();
    tx.send(Record::to("queue").value("first")).unwrap();
    tx.append_to(&events.stream("a").unwrap(), Expected::NoStream, &[Record::new().value("event")]).unwrap();
    other.send(Record::to("events").key("a").value("perhaps")).unwrap();
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| commit(tx));
        std::thread::sleep(TIMEOUT + TIMEOUT / 2);
        meanwhile();
        other.abort().unwrap();
        committing.join().unwrap()
    })
}

#[test]
fn a_commit_called_in_time_was_expired_while_it_waited_for_its_condition() {
    for maintained in [false, true] {
        for awaited in [false, true] {
            let dir = fast_dir();
            let (store, events, _) = with_a_stream(dir.path());
            let commit = |tx: Transaction| match awaited {
                // It is decided when this returns.
                true => {
                    drop(tx.commit_async());
                    Ok(())
                }
                false => tx.commit().map(drop),
            };
            let maintain = || {
                if maintained {
                    store.maintain().unwrap();
                }
            };
            commit_that_waits((&store, &events), commit, maintain).unwrap();
            let seen = events.partition(0).unwrap().read(..).unwrap().into_iter().count();
            assert_eq!(seen, 1, "maintained: {maintained}, awaited: {awaited}");
        }
    }
}

#[test]
fn a_commit_that_waited_for_its_condition_was_displaced() {
    let dir = fast_dir();
    let (store, events, queue) = with_a_stream(dir.path());
    let fill = || {
        let append = |_| queue.append(&[Record::new().value(&[b'x'; 100])], Durability::Os).err();
        let refused = (0..100).find_map(append);
        assert!(matches!(refused, Some(Error::Full { .. })), "{refused:?}");
    };
    commit_that_waits((&store, &events), |tx| tx.commit().map(drop), fill).unwrap();
    assert_eq!(queue.start(), 0);
}

#[test]
fn a_commit_whose_condition_waits_in_vain_leaves_nobody_waiting() {
    let dir = fast_dir();
    let (store, events, queue) = with_a_stream(dir.path());
    let mut other = store.transaction_builder("other").buffer_bytes(0).begin().unwrap();
    let mut tx = store.transaction_builder("in time").buffer_bytes(0).timeout(TIMEOUT).begin().unwrap();
    tx.send(Record::to("queue").value("first")).unwrap();
    tx.append_to(&events.stream("a").unwrap(), Expected::NoStream, &[Record::new().value("event")]).unwrap();
    other.send(Record::to("events").key("a").value("perhaps")).unwrap();
    let refused = tx.commit();
    assert!(matches!(refused, Err(Error::Conflict { is_undecided: true, .. })), "{refused:?}");
    assert_eq!(queue.stable(), queue.end(), "it is aborted");
    other.abort().unwrap();
}

#[test]
fn a_clock_that_is_turned_back_refuses_no_record_that_a_transaction_has_taken() {
    let hour = 3_600_000;
    let now = 1_700_000_000_000;
    let clock = Arc::new(ManualClock::at(now));
    let store = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new())).clock(clock.clone());
    let store = store.open().unwrap();
    let partition = store.create_topic("a", TopicConfig::new()).unwrap().partition(0).unwrap();
    let mut tx = store.transaction("one").unwrap();
    tx.send(Record::to("a").value("as the clock says")).unwrap();
    tx.send(Record::to("a").value("half an hour later").timestamp(now + hour / 2)).unwrap();
    clock.set(now - 2 * hour);
    let error = tx.send(Record::to("a").value("an hour and a half later").timestamp(now - hour / 2));
    assert!(matches!(error, Err(Error::InvalidTimestamp { .. })), "by what the clock shows now: {error:?}");
    tx.commit().unwrap();
    let times: Vec<_> =
        partition.read(..).unwrap().into_iter().map(|record| record.unwrap().timestamp).collect();
    assert_eq!(times, [now, now + hour / 2]);
    // A topic that has other rules by then keeps them.
    let mut tx = store.transaction("one").unwrap();
    tx.send(Record::to("a").value("long ago").timestamp(now - 10 * hour)).unwrap();
    store
        .alter_topic("a", TopicConfig::new().message_timestamp_before_max(Duration::from_secs(3600)))
        .unwrap();
    let outcome = tx.commit();
    assert!(matches!(outcome, Err(Error::InvalidTimestamp { .. })), "{outcome:?}");
}
