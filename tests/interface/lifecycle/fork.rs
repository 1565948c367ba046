//! A child of a fork has its parent's store in its memory, and no part in it.

use annals::{Durability, Error, Record, Store, TopicConfig};

use crate::common::{fast_dir, producer, records};

/// Runs `work` in a child of this process; true when it returned true.
fn in_child(work: impl FnOnce() -> bool) -> bool {
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
            libc::_exit(if work() { 0 } else { 1 })
        }
    }
    let mut status = -1;
    // SAFETY: `status` is room for what waitpid writes.
    #[expect(unsafe_code, reason = "std waits for children of its own alone")]
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    waited == child && status == 0
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
