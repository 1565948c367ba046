//! A call that waits ends when its time is over, whatever others do meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annals::{Rebalance, Record, Store, TopicConfig};

use crate::common::{fast_dir, now};

const SHORT: Duration = Duration::from_millis(20);
/// Far beyond what a call may take, and who is beside it stops by then.
const LONG: Duration = Duration::from_secs(10);

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
