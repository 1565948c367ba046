//! A call that waits ends when its time is over, whatever others do meanwhile.
#![expect(clippy::expect_used, reason = "a test may stop at what it did not expect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use annals::{Error, Expected, Rebalance, Record, Store, TopicConfig};

use crate::common::{fast_dir, now, spawn};

const SHORT: Duration = Duration::from_millis(20);
/// Far beyond what a call may take, and who is beside it stops by then.
const LONG: Duration = Duration::from_secs(10);

/// What `call` answers while a thread does `work` again and again. That it was still at work says that the call has ended by itself.
fn beside<T>(mut work: impl FnMut() + Send + 'static, call: impl FnOnce() -> T) -> T {
    let (began, is_over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let at_work = {
        let (began, is_over) = (Arc::clone(&began), Arc::clone(&is_over));
        let started = now();
        spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                work();
                began.store(true, Ordering::SeqCst);
                if started.elapsed() > LONG {
                    return false;
                }
            }
            true
        })
    };
    while !began.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    let answer = call();
    is_over.store(true, Ordering::SeqCst);
    assert!(at_work.join().expect("the other thread works"), "the call did not end by itself");
    answer
}

/// Writes to a partition for ever, in a transaction that nobody sees.
fn undecided(store: &Store, key: &'static str) -> impl FnMut() + Send + 'static + use<> {
    let mut tx = store.transaction_builder("writer").buffer_bytes(0).begin().expect("a transaction");
    move || tx.send(Record::to("orders").key(key).value("2 apples")).expect("a send")
}

#[test]
fn a_poll_whose_listener_changes_the_group_at_each_call_ends_at_its_timeout() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).expect("a new store");
    store.create_topic("orders", TopicConfig::new().partitions(4)).expect("a topic");
    let (calls, started) = (Arc::new(AtomicUsize::new(0)), now());
    let listener = {
        let (store, calls) = (store.clone(), Arc::clone(&calls));
        move |_: &Rebalance| {
            assert!(started.elapsed() < LONG, "the poll does not end");
            calls.fetch_add(1, Ordering::SeqCst);
            let mut other = store.consumer("billing").expect("another member");
            other.subscribe(["orders"]).expect("it joins");
            other.close().expect("it leaves");
        }
    };
    let builder = store.consumer_builder().group("billing").on_rebalance(listener);
    let mut consumer = builder.build().expect("a consumer");
    consumer.subscribe(["orders"]).expect("it joins");
    assert!(consumer.poll(Duration::ZERO).expect("a poll").is_empty());
    assert_eq!(calls.load(Ordering::SeqCst), 1, "one look");
    assert!(consumer.poll(SHORT).expect("a poll").is_empty());
    store.producer().send(Record::to("orders").value("2 apples")).expect("a send");
    assert_eq!(consumer.poll(LONG).expect("a poll").len(), 1);
}

#[test]
fn calls_with_a_timeout_end_beside_a_transaction_that_never_stops_writing() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).expect("a new store");
    let orders = store.create_topic("orders", TopicConfig::new().key_index(true)).expect("a topic");
    let mut consumer = store.consumer_builder().build().expect("a consumer");
    consumer.assign([("orders", 0)]).expect("a partition");
    let mut worker = store.queue("orders", "shipping").expect("a queue");
    let mut events = orders.stream("order-17").expect("a stream").read(..).expect("a reader");
    let polled = beside(undecided(&store, "order-17"), move || {
        let polled = consumer.poll(SHORT).expect("a poll").len();
        (polled, worker.take(1, SHORT).expect("a take").len(), events.poll(SHORT).expect("a poll").len())
    });
    assert_eq!(polled, (0, 0, 0));
}

#[test]
fn an_append_that_waits_for_a_transaction_gives_up_though_it_never_stops_writing() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).expect("a new store");
    let orders = store.create_topic("orders", TopicConfig::new().key_index(true)).expect("a topic");
    let placed = Record::new().value("placed");
    let refused = beside(undecided(&store, "order-17"), || {
        orders.append_to("order-17", Expected::NoStream, std::slice::from_ref(&placed)).map(drop)
    });
    assert!(matches!(refused, Err(Error::Conflict { is_undecided: true, .. })), "{refused:?}");
}
