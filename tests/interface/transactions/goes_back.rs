//! A transaction that takes no effect takes the consumer back whose positions it was to commit.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use annals::{Consumer, Error, Record, Result, StartFrom, Store, TopicConfig};
use annals_testing::{Call, FaultyFileSystem};

const ORDERS: usize = 20;
const ENOSPC: i32 = 28;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    fill(&store);
    (dir, store)
}

fn fill(store: &Store) {
    store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    store.create_topic("invoices", TopicConfig::new()).unwrap();
    for number in 0..ORDERS {
        let partition = u32::try_from(number % 2).unwrap();
        store.producer().send(Record::to("orders").partition(partition).value(&number.to_string())).unwrap();
    }
}

fn member(store: &Store) -> Consumer {
    member_of(store, 7)
}

fn member_of(store: &Store, most: usize) -> Consumer {
    let mut member = store.consumer_builder().group("billing").max_poll_records(most).build().unwrap();
    member.subscribe(["orders"]).unwrap();
    member
}

/// One step of a loop that goes on after errors; returns how many orders it has invoiced.
fn step(
    store: &Store,
    member: &mut Consumer,
    name: &str,
    between: impl FnOnce() -> Result<()>,
) -> Result<usize> {
    let orders = member.poll(Duration::ZERO)?;
    let mut tx = store.transaction(name)?;
    tx.commit_offsets(member)?;
    for order in &orders {
        tx.send(Record::to("invoices").value(order.value().unwrap()))?;
    }
    between()?;
    tx.commit()?;
    Ok(orders.len())
}

/// Why work fails.
fn no_printer() -> Error {
    Error::Full { partition: ("printer", 0).into(), bytes: 2, limit: 1 }
}

/// How often each order was invoiced.
fn invoiced(store: &Store) -> BTreeMap<Vec<u8>, usize> {
    let mut times = BTreeMap::new();
    for invoice in store.topic("invoices").unwrap().partition(0).unwrap().read(..).unwrap() {
        *times.entry(invoice.unwrap().value.unwrap()).or_insert(0) += 1;
    }
    times
}

fn check_each_once(store: &Store) {
    let times = invoiced(store);
    assert_eq!(times.len(), ORDERS, "some orders were never invoiced");
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

fn finish(store: &Store, members: &mut [(&str, &mut Consumer)]) {
    for _ in 0..ORDERS {
        for (name, member) in &mut *members {
            step(store, member, name, || Ok(())).unwrap();
        }
    }
}

#[test]
fn a_member_that_comes_between_poll_and_commit_costs_no_record() {
    let (_dir, store) = store();
    // It has looked at both partitions, and loses one of them.
    let mut first = member_of(&store, 15);
    let mut second = None;
    let refused = step(&store, &mut first, "one", || {
        second = Some(member(&store));
        Ok(())
    });
    assert!(matches!(refused, Err(Error::NotAssigned { .. })), "{refused:?}");
    finish(&store, &mut [("one", &mut first), ("two", &mut second.unwrap())]);
    check_each_once(&store);
}

#[test]
fn whatever_ends_a_step_its_records_come_again() {
    let (_dir, store) = store();
    let mut billing = member(&store);
    step(&store, &mut billing, "billing", || Ok(())).unwrap();
    // Work that fails, that panics, a fence, a transaction aborted by hand, one whose time is over.
    step(&store, &mut billing, "billing", || Err(no_printer())).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| step(&store, &mut billing, "billing", || panic!("no printer"))))
        .unwrap_err();
    let fenced = step(&store, &mut billing, "billing", || store.transaction("billing").map(drop));
    assert!(matches!(fenced, Err(Error::Fenced { .. })), "{fenced:?}");
    billing.poll(Duration::ZERO).unwrap();
    let mut by_hand = store.transaction("billing").unwrap();
    by_hand.commit_offsets(&billing).unwrap();
    by_hand.abort().unwrap();
    finish(&store, &mut [("billing", &mut billing)]);
    check_each_once(&store);
}

#[test]
fn what_is_committed_after_an_abort_is_what_was_done() {
    let (_dir, store) = store();
    for way in ["commit", "commit_async", "close"] {
        let builder = store.consumer_builder().group(way).auto_commit(Duration::from_secs(3600));
        let mut billing = builder.max_poll_records(6).build().unwrap();
        billing.subscribe(["orders"]).unwrap();
        let taken = |billing: &mut Consumer| {
            billing.poll(Duration::ZERO).unwrap();
            let mut tx = store.transaction(way).unwrap();
            tx.commit_offsets(billing).unwrap();
            tx
        };
        taken(&mut billing).commit().unwrap();
        drop(taken(&mut billing));
        match way {
            "commit" => billing.commit().unwrap(),
            "commit_async" => drop(billing.commit_async()),
            _ => billing.close().unwrap(),
        }
        let done: i64 = store.committed(way).values().map(|committed| committed.offset).sum();
        assert_eq!(done, 6, "{way}");
    }
}

#[test]
fn a_consumer_goes_back_to_where_it_was_sought_or_began() {
    let (_dir, store) = store();
    let mut replay = member(&store);
    replay.poll(Duration::ZERO).unwrap();
    replay.commit().unwrap();
    for number in 0..2 {
        replay.seek(("orders", number), 3).unwrap();
    }
    step(&store, &mut replay, "replay", || Err(no_printer())).unwrap_err();
    assert_eq!(replay.position(("orders", 0)).unwrap(), 3);
    assert_eq!(replay.position(("orders", 1)).unwrap(), 3);
    // A seek after the abort is what the program wants last.
    step(&store, &mut replay, "replay", || Err(no_printer())).unwrap_err();
    replay.seek(("orders", 0), 5).unwrap();
    assert_eq!(replay.position(("orders", 0)).unwrap(), 5);

    let mut newest = store.consumer_builder().group("newest").start_from(StartFrom::Latest).build().unwrap();
    newest.assign([("orders", 0)]).unwrap();
    assert!(newest.poll(Duration::ZERO).unwrap().is_empty());
    store.producer().send(Record::to("orders").partition(0).value("late")).unwrap();
    assert_eq!(newest.poll(Duration::ZERO).unwrap().len(), 1);
    newest.seek_to_committed();
    assert_eq!(newest.poll(Duration::ZERO).unwrap().len(), 1);
    newest.commit().unwrap();
    newest.seek_to_committed();
    assert!(newest.poll(Duration::ZERO).unwrap().is_empty());
}

#[test]
fn the_offsets_of_a_consumer_are_of_one_transaction_at_a_time() {
    let (_dir, store) = store();
    let mut billing = member(&store);
    for aborts in [true, false] {
        billing.poll(Duration::ZERO).unwrap();
        let mut first = store.transaction("first").unwrap();
        first.commit_offsets(&billing).unwrap();
        // Again in the same one: what it says now.
        first.commit_offsets(&billing).unwrap();
        billing.poll(Duration::ZERO).unwrap();
        let mut second = store.transaction("second").unwrap();
        let is_refused = |refused: Result<()>| {
            assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
        };
        is_refused(second.commit_offsets(&billing));
        is_refused(billing.commit());
        is_refused(billing.commit_offsets([(("orders", 0).into(), 1)]));
        let other = member_of(&store, 1);
        is_refused(first.commit_offsets(&other));
        drop(other);
        let before = store.committed("billing").len();
        if aborts {
            first.abort().unwrap();
            assert_eq!(store.committed("billing").len(), before);
            // What it holds is to come again: it cannot be committed over.
            is_refused(second.commit_offsets(&billing));
            assert_eq!(billing.position(("orders", 0)).unwrap(), 0);
        } else {
            // Another member came and went: its partition is to be looked at anew.
            drop(first);
        }
    }
    finish(&store, &mut [("billing", &mut billing)]);
    check_each_once(&store);
}

#[test]
fn what_was_polled_after_commit_offsets_comes_again_too() {
    let (_dir, store) = store();
    let mut billing = member(&store);
    billing.poll(Duration::ZERO).unwrap();
    let mut tx = store.transaction("billing").unwrap();
    tx.commit_offsets(&billing).unwrap();
    // Of the other partition, which nobody had looked at before.
    while billing.poll(Duration::ZERO).unwrap().iter().all(|order| order.partition() == 0) {}
    tx.abort().unwrap();
    for number in 0..2 {
        assert_eq!(billing.position(("orders", number)).unwrap(), 0);
    }
    finish(&store, &mut [("billing", &mut billing)]);
    check_each_once(&store);
}

#[test]
fn what_was_polled_after_commit_offsets_stays_handed_out_when_it_takes_effect() {
    let (_dir, store) = store();
    let mut billing = member(&store);
    billing.poll(Duration::ZERO).unwrap();
    let mut tx = store.transaction("billing").unwrap();
    tx.commit_offsets(&billing).unwrap();
    let ahead = billing
        .poll(Duration::ZERO)
        .unwrap()
        .iter()
        .map(|order| order.value().map(<[u8]>::to_vec))
        .collect::<Vec<_>>();
    tx.commit().unwrap();
    let next = billing.poll(Duration::ZERO).unwrap();
    assert!(!ahead.is_empty() && !next.is_empty());
    assert!(next.iter().all(|order| !ahead.contains(&order.value().map(<[u8]>::to_vec))), "handed out once");
}

#[test]
fn automatic_commits_wait_for_a_transaction_that_holds_the_offsets() {
    let (_dir, store) = store();
    let builder = store.consumer_builder().group("automatic").auto_commit(Duration::from_millis(1));
    let mut billing = builder.max_poll_records(6).build().unwrap();
    billing.subscribe(["orders"]).unwrap();
    billing.poll(Duration::ZERO).unwrap();
    let mut tx = store.transaction("billing").unwrap();
    tx.commit_offsets(&billing).unwrap();
    for _ in 0..3 {
        billing.poll(Duration::from_millis(5)).unwrap();
    }
    drop(tx);
    billing.close().unwrap();
    let done: i64 = store.committed("automatic").values().map(|committed| committed.offset).sum();
    assert_eq!(done, 0, "nothing of it was done");
}

#[test]
fn a_send_that_fails_while_the_transaction_is_written_as_it_comes_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let files = FaultyFileSystem::watching_order();
    let store =
        Store::builder(dir.path()).file_system(Arc::clone(&files) as _).maintain_by_hand().open().unwrap();
    for topic in ["a", "b"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
        store.producer().send(Record::to(topic).value("before")).unwrap();
    }
    let mut billing = store.consumer("billing").unwrap();
    billing.subscribe(["a"]).unwrap();
    billing.poll(Duration::ZERO).unwrap();
    let mut tx = store.transaction_builder("billing").buffer_bytes(0).begin().unwrap();
    tx.commit_offsets(&billing).unwrap();
    tx.send(Record::to("a").value("1")).unwrap();
    files.fail_next(Call::Write, "b-0", ENOSPC);
    let full = tx.send(Record::to("b").value("2")).unwrap_err();
    assert!(full.is_disk_full(), "{full}");
    files.heal();
    // The disk has room again, and the transaction is over all the same.
    assert!(tx.send(Record::to("a").value("3")).unwrap_err().is_disk_full());
    assert!(tx.commit().unwrap_err().is_disk_full());
    for topic in ["a", "b"] {
        let partition = store.topic(topic).unwrap().partition(0).unwrap();
        assert_eq!(partition.read(..).unwrap().into_iter().count(), 1, "nothing of it is in {topic}");
    }
    assert!(store.committed("billing").is_empty());
    assert_eq!(billing.poll(Duration::ZERO).unwrap().len(), 1, "it comes again");
    store.close().unwrap();
}

#[test]
fn a_poll_that_waits_commits_what_was_handed_out_while_a_transaction_had_the_offsets() {
    for ends_meanwhile in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        // Nothing but the consumer itself ends its wait.
        let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
        fill(&store);
        let builder = store.consumer_builder().group("automatic").auto_commit(Duration::from_millis(1));
        let mut billing = builder.max_poll_records(1).build().unwrap();
        billing.subscribe(["orders"]).unwrap();
        let mut handed_out = billing.poll(Duration::ZERO).unwrap().len();
        let mut tx = store.transaction("billing").unwrap();
        tx.commit_offsets(&billing).unwrap();
        loop {
            match billing.poll(Duration::ZERO).unwrap().len() {
                0 => break,
                some => handed_out += some,
            }
        }
        // It is time for a commit, and the transaction has them.
        std::thread::sleep(Duration::from_millis(5));
        assert!(billing.poll(Duration::ZERO).unwrap().is_empty());
        let done = || -> i64 { store.committed("automatic").values().map(|one| one.offset).sum() };
        let expected = i64::try_from(handed_out).unwrap();
        let waker = billing.waker();
        std::thread::scope(|scope| {
            let mut tx = Some(tx);
            if !ends_meanwhile {
                tx.take().into_iter().for_each(|tx| _ = tx.commit().unwrap());
            }
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(50));
                tx.into_iter().for_each(|tx| _ = tx.commit().unwrap());
                // The poll below does not come to its end before that.
                let seen = (0..500).any(|_| {
                    std::thread::sleep(Duration::from_millis(10));
                    done() == expected
                });
                waker.wake();
                assert!(seen, "{} of {expected}, while it waits: {ends_meanwhile}", done());
            });
            assert!(billing.poll(Duration::from_secs(60)).unwrap().is_empty());
        });
    }
}
