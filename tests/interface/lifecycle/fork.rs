//! A child of a fork has its parent's store in its memory, and no part in it.

use std::time::Duration;

use annals::{Durability, Error, Record, Store, StoreReader, TopicConfig};

use crate::common::{fast_dir, producer, records};

/// Runs `work` in a child of this process; true when it returned true.
pub(super) fn in_child(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs on a copy of this memory with this thread alone, and leaves by `_exit`, so that nothing of the
    // test's harness runs in it. An alarm ends it should it wait for a lock that another thread held.
    #[expect(unsafe_code, reason = "std cannot fork")]
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no child");
    if child == 0 {
        // SAFETY: as above.
        #[expect(unsafe_code, reason = "std has neither")]
        unsafe {
            libc::alarm(20);
            let is_right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(false);
            libc::_exit(if is_right { 0 } else { 1 })
        }
    }
    let mut status = -1;
    // SAFETY: `status` is room for what waitpid writes.
    #[expect(unsafe_code, reason = "std waits for children of its own alone")]
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    waited == child && status == 0
}

/// Another thread acknowledges and commits meanwhile, to the disk: its locks are held most of the time.
#[test]
fn a_reader_its_workers_and_messages_hung_where_a_child_dropped_them() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().expect("a new store");
    store.create_topic("orders", TopicConfig::new()).expect("a topic");
    let producer = producer(&store, Durability::Os);
    const RECORDS: i64 = 20_000;
    for _ in 0..RECORDS {
        producer.send(Record::to("orders").value("2 apples")).expect("a send");
    }
    store.close().expect("a close");
    let reader = StoreReader::attach(dir.path()).expect("a reader");
    let builder = || reader.queue_builder("orders", "shipping").durability(Durability::Disk);
    let mut worker = builder().build().expect("a worker");
    let messages = worker.take(2, Duration::ZERO).expect("messages");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let mut busy = builder().build().expect("a worker");
    let builder = reader.consumer_builder().group("billing").commit_durability(Durability::Disk);
    let mut consumer = builder.build().expect("a consumer");
    consumer.assign([("orders", 0)]).expect("an assignment");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut offset = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let taken = busy.take(1, Duration::ZERO).expect("a message");
                taken.ack().expect("an answer");
                // Whoever is quick begins again.
                offset = offset % RECORDS + 1;
                consumer.seek(("orders", 0), offset).expect("a seek");
                consumer.commit().expect("a commit");
            }
        });
        let holder = std::cell::RefCell::new(Some((messages, worker, reader)));
        let mut dropped = 0;
        let drops = || {
            drop(holder.take());
            true
        };
        while dropped < 200 && in_child(drops) {
            dropped += 1;
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(dropped, 200, "the child hangs");
        // The last one outlives the thread beside it.
        std::mem::forget(holder);
    });
}

#[test]
fn a_child_can_neither_use_nor_close_nor_unlock_the_store_of_its_parent() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().expect("a new store");
    let topic = store.create_topic("orders", TopicConfig::new()).expect("a topic");
    let orders = topic.partition(0).expect("a partition");
    let producer = producer(&store, Durability::Memory);
    producer.send(Record::to("orders").value("2 apples")).expect("a send");
    let forked = |outcome: annals::Result<()>| matches!(outcome, Err(Error::Forked { .. }));
    let refused = in_child(|| {
        forked(store.close())
            && forked(store.create_topic("of the child", TopicConfig::new()).map(drop))
            && forked(store.maintain())
            && forked(producer.send(Record::to("orders").value("1 pear")).map(drop))
            && forked(producer.flush())
            && forked(orders.append(&[Record::new().value("1 pear")], Durability::Disk).map(drop))
    });
    assert!(refused, "a call in the child did something else than to refuse");
    // The last clone in the child.
    let holder = std::cell::RefCell::new(Some(store));
    assert!(in_child(|| {
        drop(holder.take());
        true
    }));
    let store = holder.take().expect("the parent's");
    assert!(
        matches!(Store::open(dir.path()), Err(Error::StoreLocked { .. })),
        "the child unlocked the parent's store"
    );
    producer.send(Record::to("orders").value("1 pear")).expect("the parent's store is open");
    store.close().expect("a close");
    let store = Store::open(dir.path()).expect("the directory is free");
    assert_eq!(
        records(&store.topic("orders").expect("the topic").partition(0).expect("a partition")).len(),
        2
    );
}

#[test]
fn what_is_dropped_in_a_child_leaves_no_group_and_waits_for_nothing() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().expect("a new store");
    store.create_topic("orders", TopicConfig::new()).expect("a topic");
    let mut consumer = store.consumer("billing").expect("a consumer");
    consumer.subscribe(["orders"]).expect("a subscription");
    // What threads of the parent do meanwhile may be half done in a child, with its locks held.
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let mut other = store.consumer("billing").expect("a consumer");
                other.subscribe(["orders"]).expect("a subscription");
            }
        });
        let holder = std::cell::RefCell::new(Some(consumer));
        for _ in 0..200 {
            let dropped = in_child(|| {
                drop(holder.take());
                true
            });
            if !dropped {
                is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            assert!(dropped, "the child hangs");
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
