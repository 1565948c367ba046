//! What guarded appends promise when several compete.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use annals::{Condition, Durability, Error, Expected, Query, Record, Store, TopicConfig};

use super::common::fast_dir;
use super::world::{all, indexed};

#[test]
fn of_those_who_expect_the_same_version_one_wins() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("counters", indexed().segment_bytes(20_000)).unwrap();
    let conflicts = AtomicUsize::new(0);
    const THREADS: usize = 4;
    const EACH: usize = 60;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (topic, conflicts) = (&topic, &conflicts);
            scope.spawn(move || {
                for number in 0..EACH {
                    let stream = topic.stream(format!("counter-{}", number % 3)).unwrap();
                    let durability = if thread == 0 { Durability::Disk } else { Durability::Os };
                    loop {
                        let last = stream.last().unwrap();
                        let count = last.as_ref().map_or(0, |last| {
                            u64::from_be_bytes(last.value.as_deref().unwrap().try_into().unwrap())
                        });
                        let expected = last.map_or(Expected::NoStream, |last| Expected::Version(last.offset));
                        let next = (count + 1).to_be_bytes();
                        match stream.append(expected, &[Record::new().value(&next)], durability) {
                            Ok(_) => break,
                            Err(Error::Conflict { .. }) => conflicts.fetch_add(1, Ordering::Relaxed),
                            Err(other) => panic!("{other}"),
                        };
                    }
                }
            });
        }
    });
    let mut counts: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    for record in all(&topic.partition(0).unwrap()) {
        let value = u64::from_be_bytes(record.value.as_deref().unwrap().try_into().unwrap());
        counts.entry(record.key.unwrap()).or_default().push(value);
    }
    let expected: Vec<_> = (1..=(THREADS * EACH / 3) as u64).collect();
    assert!(
        counts.values().all(|count| *count == expected),
        "{} conflicts: {counts:?}",
        conflicts.into_inner()
    );
    assert_eq!(counts.len(), 3);
}

#[test]
fn what_is_to_be_there_once_is_there_once() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let users = store.create_topic("users", indexed()).unwrap().partition(0).unwrap();
    let won = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (users, won) = (&users, &won);
            scope.spawn(move || {
                for number in 0..40 {
                    let name = format!("name:{}", number % 20);
                    let event = Record::new().header("type", "registered").header("tag", &name);
                    let memory = Record::new().value("in between");
                    users.append(&[memory], Durability::Memory).unwrap();
                    let condition = Condition::none(Query::tag(&name));
                    match users.append_when(&[condition], &[event], Durability::Os) {
                        Ok(_) => _ = won.fetch_add(1, Ordering::Relaxed),
                        Err(Error::Conflict { found: Some(_), .. }) => {}
                        Err(other) => panic!("thread {thread}: {other}"),
                    }
                }
            });
        }
    });
    assert_eq!(won.into_inner(), 20);
    let some = Condition::some(Query::tag("name:7"));
    users.append_when(&[some], &[Record::new()], Durability::Os).unwrap();
    let missing = Condition::some(Query::tag("name:77"));
    let refused = users.append_when(&[missing], &[Record::new()], Durability::Os).unwrap_err();
    assert!(refused.is_conflict() && !refused.is_retriable(), "{refused}");
}

#[test]
fn a_guard_counts_what_a_transaction_may_yet_commit() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    // Written as it comes: nobody knows whether it will count.
    let mut tx = store.transaction_builder("long").buffer_bytes(1).begin().unwrap();
    tx.send(Record::to("events").key("a").value("perhaps")).unwrap();
    let refused = topic.append_to("a", Expected::NoStream, &[Record::new()]).unwrap_err();
    assert!(matches!(refused, Error::Conflict { found: Some(0), is_undecided: true, .. }), "{refused}");
    assert!(topic.append_to("b", Expected::NoStream, &[Record::new()]).is_ok(), "another stream is another");
    assert_eq!(topic.stream("a").unwrap().version().unwrap(), None, "readers see committed events");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| topic.append_to("a", Expected::NoStream, &[Record::new()]));
        std::thread::sleep(std::time::Duration::from_millis(50));
        tx.abort().unwrap();
        assert!(waiting.join().unwrap().is_ok(), "what was aborted does not count");
    });
}

#[test]
fn transfers_between_streams_lose_and_make_nothing() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("accounts", indexed().segment_bytes(20_000).partitions(3)).unwrap();
    let accounts: Vec<_> = (0..6).map(|number| topic.stream(format!("account-{number}")).unwrap()).collect();
    for account in &accounts {
        account
            .append(Expected::NoStream, &[Record::new().value(&100_i64.to_be_bytes())], Durability::Os)
            .unwrap();
    }
    let balance = |account: &annals::Stream| {
        let last = account.last().unwrap().unwrap();
        (last.offset, i64::from_be_bytes(last.value.as_deref().unwrap().try_into().unwrap()))
    };
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..3_usize {
            let (store, accounts, done, balance) = (&store, &accounts, &done, &balance);
            scope.spawn(move || {
                for number in 0..40_usize {
                    let (from, to) = ((number + thread) % 6, (number * 5 + thread + 1) % 6);
                    if from == to {
                        continue;
                    }
                    loop {
                        let ((at, left), (to_at, right)) = (balance(&accounts[from]), balance(&accounts[to]));
                        let mut tx = store.transaction(&format!("transfers-{thread}")).unwrap();
                        let (left, right) = ((left - 1).to_be_bytes(), (right + 1).to_be_bytes());
                        tx.append_to(&accounts[from], Expected::Version(at), &[Record::new().value(&left)])
                            .unwrap();
                        tx.append_to(&accounts[to], Expected::Version(to_at), &[Record::new().value(&right)])
                            .unwrap();
                        match tx.commit() {
                            Ok(_) => break,
                            Err(Error::Conflict { .. }) => {}
                            Err(other) => panic!("{other}"),
                        }
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert!(done.into_inner() > 60);
    assert_eq!(accounts.iter().map(|account| balance(account).1).sum::<i64>(), 600);
}

#[test]
fn what_a_transaction_has_written_itself_is_no_conflict() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let stream = topic.stream("a").unwrap();
    // Written as it comes.
    let mut tx = store.transaction_builder("long").buffer_bytes(1).begin().unwrap();
    for value in ["one", "two", "three"] {
        tx.append_to(&stream, Expected::NoStream, &[Record::new().value(value)]).unwrap();
    }
    tx.require(stream.partition(), &Condition::none(Query::all())).unwrap();
    tx.commit().unwrap();
    assert_eq!(stream.read(..).unwrap().into_iter().count(), 3);
    let mut tx = store.transaction("late").unwrap();
    tx.append_to(&stream, Expected::NoStream, &[Record::new()]).unwrap();
    assert!(matches!(tx.commit().unwrap_err(), Error::Conflict { found: Some(2), .. }));
    let mut tx = store.transaction("all").unwrap();
    tx.require(stream.partition(), &Condition::none(Query::all())).unwrap();
    tx.send(Record::to("events").key("b")).unwrap();
    assert!(tx.commit().unwrap_err().is_conflict());
}

#[test]
fn a_condition_on_a_stream_of_another_partition_does_not_hold_there() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("orders", indexed().partitions(2)).unwrap();
    let here = topic.append_to("order-1", Expected::NoStream, &[Record::new().value("placed")]).unwrap();
    let wrong = topic.partition(1 - here.partition).unwrap();
    let event = [Record::new().key("order-1").value("placed again")];
    for expected in [Expected::NoStream, Expected::Exists, Expected::Version(0), Expected::Any] {
        let condition = [Condition::stream("order-1", expected)];
        let appended = wrong.append_when(&condition, &event, Durability::Os);
        assert!(matches!(appended, Err(Error::InvalidArgument { .. })), "{appended:?}");
        let mut tx = store.transaction("tx").unwrap();
        let required = tx.require(&wrong, &condition[0]);
        assert!(matches!(required, Err(Error::InvalidArgument { .. })), "{required:?}");
    }
    assert_eq!(wrong.end(), 0);
    let right = topic.partition(here.partition).unwrap();
    let exists = [Condition::stream("order-1", Expected::Exists)];
    right.append_when(&exists, &event, Durability::Os).unwrap();
}

#[test]
fn a_stream_does_not_vanish_when_partitions_are_added_without_an_index() {
    let dir = fast_dir();
    let on = || TopicConfig::new().key_index(true);
    let off = || TopicConfig::new().key_index(false);
    {
        let store = Store::open(dir.path()).unwrap();
        let topic = store.create_topic("orders", indexed()).unwrap();
        for number in 0..8 {
            topic.append_to(format!("order-{number}"), Expected::NoStream, &[Record::new()]).unwrap();
        }
        store.alter_topic("orders", off()).unwrap();
        store.alter_topic("orders", on()).unwrap();
        store.alter_topic("orders", off()).unwrap();
        store.add_partitions("orders", 4).unwrap();
        let refused = store.alter_topic("orders", on());
        assert!(matches!(refused, Err(Error::InvalidConfig { .. })), "{refused:?}");
    }
    let store = Store::open(dir.path()).unwrap();
    let refused = store.alter_topic("orders", on());
    assert!(matches!(refused, Err(Error::InvalidConfig { .. })), "{refused:?}");
    let topic = store.topic("orders").unwrap();
    // What is shown of it makes another topic like it.
    store.create_topic("like-it", topic.config()).unwrap();
    topic.partition(0).unwrap().delete_records(8).unwrap();
    store.alter_topic("orders", on()).unwrap();
    topic.append_to("order-1", Expected::NoStream, &[Record::new()]).unwrap();
    store.alter_topic("orders", off()).unwrap();
    store.alter_topic("orders", on()).unwrap();
    assert!(topic.append_to("order-1", Expected::NoStream, &[Record::new()]).is_err());
}

#[test]
fn records_can_be_deleted_right_behind_their_commit() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let accounts = store.create_topic("accounts", indexed()).unwrap();
    let log = store.create_topic("log", indexed()).unwrap();
    let mut tx = store.transaction("transfer").unwrap();
    for topic in [&accounts, &log] {
        tx.append_to(&topic.stream("a").unwrap(), Expected::NoStream, &[Record::new().value("1")]).unwrap();
    }
    tx.commit().unwrap();
    let mut open = store.transaction_builder("open").buffer_bytes(0).begin().unwrap();
    open.append_to(&log.stream("b").unwrap(), Expected::NoStream, &[Record::new().value("1")]).unwrap();
    let (accounts, log) = (accounts.partition(0).unwrap(), log.partition(0).unwrap());
    assert_eq!((accounts.stable(), accounts.end()), (1, 1), "decided, and no marker is in the log");
    assert_eq!(accounts.delete_records(1).unwrap().start, 1);
    let undecided = log.delete_records(log.end());
    assert!(matches!(undecided, Err(Error::InvalidArgument { .. })), "{undecided:?}");
    assert_eq!(log.delete_records(log.stable()).unwrap().start, log.stable());
    open.abort().unwrap();
}
