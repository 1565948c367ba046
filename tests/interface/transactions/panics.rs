//! What a panic of a clock of the program's own leaves of a transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use annals::{Durability, Error, Expected, Isolation, Record, Store, TopicConfig, Transaction, WhenFull};
use annals_testing::MemoryFileSystem;

use super::together::values;
use crate::fragile_clock::FragileClock;

/// So large that each takes the oldest records out, for which the clock is asked while no partition is held.
fn send(tx: &mut Transaction, name: &str) -> annals::Result<()> {
    tx.send(Record::to("debits").value(&name.repeat(600)))
}

/// The names of those that are committed.
fn committed(store: &Store) -> Vec<String> {
    let values = values(store, "debits", 0, Isolation::ReadCommitted);
    let names = ["first", "second", "third"].map(String::from);
    names.into_iter().filter(|name| values.iter().any(|value| value.starts_with(name.as_str()))).collect()
}

/// The program catches the panic and goes on.
#[test]
fn a_transaction_whose_send_has_panicked_is_not_committed_without_what_was_sent_before() {
    let mut panics = 0;
    for calls in 0..24 {
        let clock = FragileClock::sound();
        let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        let config = TopicConfig::new().size_limit(64 << 10, WhenFull::DropOldest).segment_bytes(4096);
        store.create_topic("debits", config).unwrap();
        for _ in 0..70 {
            store.producer().send(Record::to("debits").value(&[b'x'; 1000])).unwrap();
        }
        let mut tx = store.transaction_builder("t").buffer_bytes(0).begin().unwrap();
        send(&mut tx, "first").unwrap();
        clock.left.store(calls, Ordering::SeqCst);
        let mut sent = vec!["first"];
        match catch_unwind(AssertUnwindSafe(|| send(&mut tx, "second"))) {
            Ok(second) => sent.extend(second.is_ok().then_some("second")),
            Err(_) => panics += 1,
        }
        clock.left.store(i64::MAX, Ordering::SeqCst);
        sent.extend(send(&mut tx, "third").is_ok().then_some("third"));
        match tx.commit() {
            Ok(placed) => {
                assert_eq!(committed(&store), sent, "after {calls} calls");
                assert_eq!(placed.batches.len(), sent.len(), "after {calls} calls");
            }
            Err(error) => {
                assert!(matches!(error, Error::Panicked { .. } | Error::Poisoned { .. }), "{error}");
                assert_eq!(committed(&store), [""; 0], "after {calls} calls");
            }
        }
    }
    assert!(panics > 2, "{panics}");
}

/// Where nothing is poisoned it is known that there is no decision, or which.
#[test]
fn a_commit_that_panics_before_its_decision_keeps_no_reader_waiting_for_the_rest_of_the_life() {
    let mut panics = 0;
    for calls in 0..40 {
        let clock = FragileClock::sound();
        let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        let debits = store.create_topic("debits", TopicConfig::new().partitions(2)).unwrap();
        let mut tx = store.transaction("t").unwrap();
        for partition in 0..2 {
            tx.send(Record::to("debits").partition(partition).value("x")).unwrap();
        }
        clock.left.store(calls, Ordering::SeqCst);
        panics += usize::from(catch_unwind(AssertUnwindSafe(|| drop(tx.commit()))).is_err());
        clock.left.store(i64::MAX, Ordering::SeqCst);
        let partitions = debits.partitions();
        if store.producer().flush().is_err() {
            continue;
        }
        // Maintenance finds out within about a second.
        let waits = || partitions.iter().any(|partition| partition.stable() < partition.end());
        for _ in 0..500 {
            if waits() {
                std::thread::sleep(Duration::from_millis(20));
                drop(store.maintain());
            }
        }
        assert!(!waits(), "after {calls} calls");
    }
    assert!(panics > 5, "{panics}");
}

/// The program catches the panic and goes on, while another appends to the stream.
#[test]
fn events_that_a_panic_kept_out_of_a_transaction_leave_no_event_and_no_expectation() {
    let mut panics = 0;
    for calls in 0..4 {
        let clock = FragileClock::sound();
        let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        let accounts = store.create_topic("accounts", TopicConfig::new().key_index(true)).unwrap();
        store.create_topic("debits", TopicConfig::new()).unwrap();
        let alice = accounts.stream("alice").unwrap();
        let mut tx = store.transaction("t").unwrap();
        let events = [Record::new().value("-5"), Record::new().value("-6")];
        clock.left.store(calls, Ordering::SeqCst);
        let append = || tx.append_to(&alice, Expected::NoStream, &events).unwrap();
        let has_panicked = catch_unwind(AssertUnwindSafe(append)).is_err();
        clock.left.store(i64::MAX, Ordering::SeqCst);
        panics += usize::from(has_panicked);
        if has_panicked {
            alice.append(Expected::NoStream, &[Record::new().value("of another")], Durability::Os).unwrap();
        }
        tx.send(Record::to("debits").value("first")).unwrap();
        tx.commit().unwrap_or_else(|error| panic!("after {calls} calls: {error}"));
        let of_stream = values(&store, "accounts", 0, Isolation::ReadCommitted);
        let expected = if has_panicked { vec!["of another"] } else { vec!["-5", "-6"] };
        assert_eq!(of_stream, expected, "after {calls} calls");
    }
    assert!(panics > 0);
}
