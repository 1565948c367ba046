//! Wakers whose copy does something: an executor that traces what it does with them writes to a log, and that log may be of the store.

use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use annals::{Durability, Record, Store, TopicConfig};

/// What is done when the waker is copied, once: who is copied in the middle of it is copied and no more.
struct OnCopy {
    act: Box<dyn Fn() + Send + Sync>,
    is_done: AtomicBool,
}

static TABLE: RawWakerVTable =
    RawWakerVTable::new(copy, |data| drop(owned(data)), |_| {}, |data| drop(owned(data)));

#[expect(unsafe_code, reason = "a waker that is told when it is copied has no safe way to be made")]
fn owned(data: *const ()) -> Arc<OnCopy> {
    // SAFETY: each waker of this table has a pointer made by `raw`, and owns one count.
    unsafe { Arc::from_raw(data.cast()) }
}

fn raw(on_copy: Arc<OnCopy>) -> RawWaker {
    RawWaker::new(Arc::into_raw(on_copy).cast(), &TABLE)
}

fn copy(data: *const ()) -> RawWaker {
    let own = ManuallyDrop::new(owned(data));
    let copied = raw(Arc::clone(&own));
    if !own.is_done.swap(true, Ordering::SeqCst) {
        (own.act)();
    }
    copied
}

#[expect(unsafe_code, reason = "as above")]
fn waker(act: impl Fn() + Send + Sync + 'static) -> Waker {
    let on_copy = Arc::new(OnCopy { act: Box::new(act), is_done: AtomicBool::new(false) });
    // SAFETY: the table does with the pointer what its contract asks for; what it points to may be used on any thread.
    unsafe { Waker::from_raw(raw(on_copy)) }
}

/// Ends the test where `work` does not end.
fn ends(what: &str, work: impl FnOnce() + Send + 'static) {
    let (over, is_over) = mpsc::channel();
    let worker = std::thread::spawn(move || {
        work();
        over.send(()).unwrap();
    });
    is_over.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("{what} does not end"));
    worker.join().unwrap();
}

#[test]
fn a_waker_that_sends_to_the_topic_it_waits_for_while_it_is_copied_keeps_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("orders", TopicConfig::new().key_index(true)).unwrap();
    let orders = topic.partition(0).unwrap();
    let sends = {
        let store = store.clone();
        move || {
            store.producer().send(Record::to("orders").key("alice").value("x")).unwrap();
        }
    };
    let (of_store, act) = (store.clone(), sends.clone());
    ends("the poll of a consumer", move || {
        let mut consumer = of_store.consumer_builder().build().unwrap();
        consumer.assign([("orders", 0)]).unwrap();
        let waker = waker(act);
        // What came meanwhile was looked for again.
        assert!(consumer.poll_next(&mut Context::from_waker(&waker)).is_ready());
    });
    let (at_end, act) = (orders.clone(), sends.clone());
    ends("the poll of a partition's reader", move || {
        let mut reader = at_end.read_from(at_end.end()).unwrap();
        assert!(reader.poll_next(&mut Context::from_waker(&waker(act))).is_ready());
    });
    let (of_store, act) = (store.clone(), sends.clone());
    ends("the poll of a worker", move || {
        let mut worker = of_store.queue("orders", "shipping").unwrap();
        for message in worker.take(100, Duration::ZERO).unwrap() {
            message.ack().unwrap();
        }
        assert!(worker.poll_take(1, &mut Context::from_waker(&waker(act))).is_ready());
    });
    let (of_stream, act) = (topic.stream("alice").unwrap(), sends.clone());
    ends("the poll of a stream's follower", move || {
        let mut events = of_stream.read(of_stream.partition().end()..).unwrap();
        assert!(events.poll_next(&mut Context::from_waker(&waker(act))).is_ready());
    });
    ends("a send", sends);
    ends("the close", move || store.close().unwrap());
}

#[test]
fn a_waker_that_flushes_or_wakes_while_it_is_copied_keeps_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let orders = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    orders.append(&[Record::new().value("x")], Durability::Os).unwrap();
    let of_flush = orders.clone();
    ends("the poll of a flush", move || {
        let mut flush = of_flush.flush_async();
        let waker = waker(move || of_flush.flush().unwrap());
        let _ = Pin::new(&mut flush).poll(&mut Context::from_waker(&waker)).is_ready();
        super::block_on(flush).unwrap();
    });
    let of_store = store.clone();
    ends("the poll of a consumer", move || {
        let mut consumer = of_store.consumer_builder().build().unwrap();
        consumer.assign([("orders", 0)]).unwrap();
        consumer.seek_to_end();
        let ends_it = consumer.waker();
        let waker = waker(move || ends_it.wake());
        assert!(consumer.poll_next(&mut Context::from_waker(&waker)).is_ready());
    });
    ends("the close", move || store.close().unwrap());
}
