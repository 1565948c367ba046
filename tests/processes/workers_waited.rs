//! Senders that wait for room in a queue on which another process works.

use std::time::Duration;

use annals::{Record, StoreReader, WhenFull};

use crate::world::{GROUP, ORDERS, ack_all, attach, beside, is_done_in, owned, take, worked};

const LIMIT: u64 = 2;

#[test]
fn a_sender_that_waits_for_a_queue_elsewhere_goes_on_as_soon_as_that_is_done() {
    const MESSAGES: usize = 40;
    let (_dir, store, reader, mut worker) = worked(0);
    let done = beside(move || {
        let mut left = MESSAGES;
        while left > 0 {
            let messages = worker.take(2, Duration::from_secs(5)).unwrap();
            left -= messages.len();
            ack_all(messages);
        }
        drop(reader);
    });
    let sent = beside(move || {
        let jobs = store.enqueuer_builder(ORDERS).limit(GROUP, LIMIT, WhenFull::Block).build().unwrap();
        for _ in 0..MESSAGES {
            jobs.send(Record::new().value("x")).unwrap();
        }
        // Its worker looks at what it shows.
        std::mem::forget(store);
    });
    // Once a second was 20 seconds.
    assert!(is_done_in(Duration::from_secs(10), &sent), "the sender waits");
    assert!(is_done_in(Duration::from_secs(10), &done));
}

#[test]
fn a_sender_that_waits_sees_what_a_worker_does_that_comes_meanwhile_in_another_process() {
    let (dir, store) = owned(i64::try_from(LIMIT).unwrap());
    let sent = beside(move || {
        let jobs = store.enqueuer_builder(ORDERS).limit(GROUP, LIMIT, WhenFull::Block).build().unwrap();
        jobs.send(Record::new().value("x")).unwrap();
        std::mem::forget(store);
    });
    assert!(!is_done_in(Duration::from_millis(100), &sent));
    let reader: StoreReader = attach(dir.path());
    ack_all(take(&mut reader.queue(ORDERS, GROUP).unwrap(), 1));
    assert!(is_done_in(Duration::from_secs(10), &sent), "the sender waits");
}
