//! Transactions that are ended by another than their holder, who hangs.

use std::time::Duration;

use annals::stats::TransactionStats;
use annals::{AbortOutcome, Consumer, Durability, Error, Isolation, Record, Store, TopicConfig, Transaction};

use annals_testing::{Call, FaultyFileSystem};

use super::together::values;
use crate::common::on_faulty;

const EIO: i32 = 5;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    for topic in ["orders", "invoices"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    for number in 0..3 {
        store.producer().send(Record::to("orders").value(&number.to_string())).unwrap();
    }
    (dir, store)
}

fn polled(store: &Store) -> Consumer {
    let mut billing = store.consumer_builder().group("billing").max_poll_records(2).build().unwrap();
    billing.subscribe(["orders"]).unwrap();
    assert_eq!(offsets(&mut billing), [0, 1]);
    billing
}

fn offsets(billing: &mut Consumer) -> Vec<i64> {
    billing.poll(Duration::from_secs(1)).unwrap().iter().map(|order| order.offset()).collect()
}

/// Written as it comes, and with offsets.
fn begun(store: &Store, billing: &Consumer, timeout: Duration) -> Transaction {
    let mut tx = store.transaction_builder("billing").buffer_bytes(0).timeout(timeout).begin().unwrap();
    tx.commit_offsets(billing).unwrap();
    tx.send(Record::to("invoices").value("12.50")).unwrap();
    tx
}

fn open(store: &Store) -> Option<TransactionStats> {
    store.stats().unwrap().open_transactions.pop()
}

fn abort(store: &Store, open: &TransactionStats) -> AbortOutcome {
    store.abort_transaction(open.producer_id, open.producer_epoch).unwrap()
}

#[test]
fn a_consumer_is_free_once_the_transaction_that_has_its_offsets_is_over_though_that_lives_on() {
    type End = fn(&Store) -> Option<Transaction>;
    let ends: [(&str, End); 3] = [
        ("fenced", |store| Some(store.transaction("billing").unwrap())),
        ("aborted", |store| {
            assert_eq!(abort(store, &open(store).unwrap()), AbortOutcome::Aborted);
            None
        }),
        ("expired", |store| {
            std::thread::sleep(Duration::from_millis(1200));
            store.maintain().unwrap();
            None
        }),
    ];
    for (how, end) in ends {
        let (_dir, store) = store();
        let mut billing = polled(&store);
        let timeout = if how == "expired" { 200 } else { 60_000 };
        let hung = begun(&store, &billing, Duration::from_millis(timeout));
        assert!(
            matches!(billing.commit(), Err(Error::InvalidArgument { .. })),
            "{how}: it holds the offsets"
        );
        let next = end(&store);
        // What it held is to come again, and nothing of it is committed.
        billing.commit().unwrap_or_else(|error| panic!("{how}: {error}"));
        assert_eq!(
            store.committed("billing").get(&("orders", 0).into()).map_or(0, |at| at.offset),
            0,
            "{how}"
        );
        assert_eq!(offsets(&mut billing), [0, 1], "{how}");
        let mut tx = next.unwrap_or_else(|| store.transaction("billing").unwrap());
        tx.commit_offsets(&billing).unwrap();
        tx.send(Record::to("invoices").value("once")).unwrap();
        // It comes back when another has the offsets, and takes nothing from that one.
        match (how, hung.commit()) {
            // Another has begun under the name since.
            (_, Err(Error::Fenced { .. })) => {}
            other => panic!("{other:?}"),
        }
        assert!(
            matches!(billing.commit(), Err(Error::InvalidArgument { .. })),
            "{how}: the next one holds the offsets"
        );
        tx.commit().unwrap();
        assert_eq!(offsets(&mut billing), [2], "{how}");
        assert_eq!(store.committed("billing")[&("orders", 0).into()].offset, 2, "{how}");
        assert_eq!(values(&store, "invoices", 0, Isolation::ReadCommitted), ["once"], "{how}");
    }
}

#[test]
fn a_poll_and_another_transaction_see_too_that_the_holder_of_the_offsets_is_over() {
    let (_dir, store) = store();
    let mut billing = polled(&store);
    let hung = begun(&store, &billing, Duration::from_secs(60));
    let mut next = store.transaction("billing").unwrap();
    assert!(next.commit_offsets(&billing).is_err(), "what it holds is to come again");
    assert_eq!(offsets(&mut billing), [0, 1]);
    next.commit_offsets(&billing).unwrap();
    next.commit().unwrap();
    drop(hung);
    assert_eq!(offsets(&mut billing), [2], "the later drop takes nothing back");
}

#[test]
fn one_open_transaction_is_aborted_and_none_that_comes_after_it() {
    let (_dir, store) = store();
    let billing = store.consumer("billing").unwrap();
    let first = begun(&store, &billing, Duration::from_secs(60));
    let of_first = open(&store).unwrap();
    let stable = store.topic("invoices").unwrap().partition(0).unwrap();
    assert_eq!(stable.stable(), 0);
    assert_eq!(abort(&store, &of_first), AbortOutcome::Aborted);
    assert_eq!((stable.stable(), open(&store)), (2, None), "its end is written, and readers pass");
    match first.commit() {
        Err(Error::TransactionAborted { name }) => assert_eq!(name, "billing"),
        other => panic!("{other:?}"),
    }
    assert_eq!(abort(&store, &of_first), AbortOutcome::Over);

    // The same name, and the producer in its next epoch.
    let billing = store.consumer("billing").unwrap();
    let second = begun(&store, &billing, Duration::from_secs(60));
    let of_second = open(&store).unwrap();
    assert_eq!(of_second.producer_id, of_first.producer_id);
    assert_eq!(abort(&store, &of_first), AbortOutcome::Over);
    second.commit().unwrap();
    assert_eq!(abort(&store, &of_second), AbortOutcome::Over);
    assert_eq!(values(&store, "invoices", 0, Isolation::ReadCommitted), ["12.50"]);
    assert_eq!(store.abort_transaction(1, 0).unwrap(), AbortOutcome::Over, "nobody");
    store.close().unwrap();
    assert!(matches!(store.abort_transaction(1, 0), Err(Error::StoreClosed { .. })));
}

#[test]
fn a_transaction_without_time_is_refused() {
    let (_dir, store) = store();
    for timeout in [Duration::ZERO, Duration::from_micros(999), Duration::from_secs(901)] {
        let begun = store.transaction_builder("billing").timeout(timeout).begin();
        assert!(matches!(begun, Err(Error::InvalidConfig { .. })), "{timeout:?}");
    }
}

#[test]
fn one_of_which_nobody_knows_how_it_ends_is_aborted_by_nobody_and_has_no_name() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyFileSystem::new();
    let store = on_faulty(dir.path(), &disk).open().unwrap();
    for topic in ["orders", "invoices"] {
        let topic = store.create_topic(topic, TopicConfig::new()).unwrap();
        topic.partition(0).unwrap().append(&[Record::new().value("0")], Durability::Disk).unwrap();
    }
    let mut tx = store.transaction_builder("billing").durability(Durability::Disk).begin().unwrap();
    tx.send(Record::to("orders").value("1")).unwrap();
    tx.send(Record::to("invoices").value("12.50")).unwrap();
    disk.fail_next(Call::Sync, "invoices-0", EIO);
    assert!(matches!(tx.commit(), Err(Error::Undecided { .. })));
    let left = open(&store).unwrap();
    assert_eq!((left.name.as_ref(), left.age, left.partitions.len()), (None, None, 2));
    assert_eq!(abort(&store, &left), AbortOutcome::Undecided);
    assert_eq!(open(&store), Some(left));
}
