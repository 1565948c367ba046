//! Futures that were ready, and are polled once more.

use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use annals::{Error, Record, Result, Store, TopicConfig};

use super::{sleep_until_woken, thread_waker};

/// Polls until it is ready, and then twice more. Returns what it was ready with.
fn again<T>(what: &str, future: impl Future<Output = Result<T>>) -> T {
    let (mut future, waker) = (pin!(future), thread_waker());
    let mut context = Context::from_waker(&waker);
    let first = loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(first) => break first.unwrap(),
            Poll::Pending => sleep_until_woken(),
        }
    };
    for _ in 0..2 {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(Err(Error::InvalidArgument { .. })) => {}
            Poll::Ready(Ok(_)) => panic!("{what} works on"),
            Poll::Ready(Err(other)) => panic!("{what}: {other}"),
            Poll::Pending => panic!("{what} waits once more"),
        }
    }
    first
}

#[test]
fn a_future_that_was_ready_and_is_polled_again_takes_nothing_more_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let orders = store.create_topic("orders", TopicConfig::new().key_index(true)).unwrap();
    let producer = store.producer();
    for value in ["1", "2"] {
        producer.send(Record::to("orders").key("alice").value(value)).unwrap();
    }
    let first = orders.partition(0).unwrap();

    let mut consumer = store.consumer_builder().group("billing").max_poll_records(1).build().unwrap();
    consumer.subscribe(["orders"]).unwrap();
    again("Consumer::next", consumer.next());
    assert_eq!(consumer.position(("orders", 0)).unwrap(), 1);
    again("Consumer::commit_async", consumer.commit_async());

    let mut reader = first.read_from(0).unwrap();
    again("PartitionReader::next", reader.next());
    let mut events = orders.stream("alice").unwrap().read(..).unwrap();
    again("EventReader::next", events.next());

    let mut worker = store.queue("orders", "shipping").unwrap();
    let _handed_out = again("Worker::next", worker.next(1));
    let next = worker.take(9, Duration::ZERO).unwrap();
    assert_eq!(next.iter().map(|message| message.offset).collect::<Vec<_>>(), [1]);

    again("Partition::durable_through", first.durable_through(0));
    again("Partition::flush_async", first.flush_async());
    again("Producer::flush_async", producer.flush_async());
    let mut transaction = store.transaction("import").unwrap();
    transaction.send(Record::to("orders").key("bob").value("3")).unwrap();
    again("Transaction::commit_async", transaction.commit_async());
}
