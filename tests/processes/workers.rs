//! Workers of queues in another process than the owner.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use annals::io::ManualClock;
use annals::queue::RetryPolicy;
use annals::{Error, Messages, Record, Store, TopicConfig};

use crate::common::{by_hand, fast_dir};
use crate::world::{
    GROUP, ORDERS, ack_all, attach, attached, counts, letters, offsets, open, owned, restored, send, steps,
    take, take_at_home, wait_for, worked,
};

pub(crate) fn settings(builder: annals::QueueBuilder) -> annals::QueueBuilder {
    builder.delivery_limit(3).retry_policy(RetryPolicy::fixed(Duration::from_secs(5)))
}

/// Workers, messages and consumers that outlive the store keep nobody out.
#[test]
fn what_is_kept_past_a_close_keeps_no_queue_and_no_group() {
    let dir = fast_dir();
    let mut kept = Vec::new();
    for life in 0..2 {
        let store = open(dir.path());
        send(&store, 2);
        let mut home = store.queue(ORDERS, GROUP).unwrap();
        let mut messages = take(&mut home, 1);
        let mut billing = store.consumer("billing").unwrap();
        billing.subscribe([ORDERS]).unwrap();
        store.close().unwrap();
        assert!(messages.remove(0).ack().is_err());
        let reader = attach(dir.path());
        let mut worker = reader.queue(ORDERS, GROUP).unwrap();
        let mut taken = take(&mut worker, 1);
        assert_eq!(taken[0].delivery_count(), 2 * life + 2);
        drop(reader);
        assert!(taken.remove(0).ack().is_err() && worker.take(1, Duration::ZERO).is_err());
        kept.push((home, messages, billing, worker, taken));
    }
}

#[test]
fn a_queue_is_one_processes_at_a_time_and_goes_on_where_it_was() {
    let (dir, store) = owned(0);
    let (one, other) = (attach(dir.path()), attach(dir.path()));
    send(&store, 20);
    let mut here = one.queue(ORDERS, GROUP).unwrap();
    let second = one.queue(ORDERS, GROUP).unwrap();
    for refused in [other.queue(ORDERS, GROUP), store.queue(ORDERS, GROUP)] {
        assert!(matches!(refused, Err(Error::GroupInUse { .. })), "{refused:?}");
    }
    assert!(matches!(store.delete_group(GROUP), Err(Error::GroupInUse { .. })));
    assert!(other.queue(ORDERS, "billing").is_ok() && store.queue(ORDERS, "packing").is_ok());
    let mut taken = take(&mut here, 8).into_iter();
    let kept = taken.next_back().unwrap();
    ack_all(taken);
    // Messages keep it as workers do.
    drop((here, second));
    assert!(matches!(store.queue(ORDERS, GROUP), Err(Error::GroupInUse { .. })));
    assert_eq!(one.stats().unwrap().queues[0].group, "billing");
    drop(kept);
    // From hand to hand, whether it was folded or not.
    let mut there = other.queue(ORDERS, GROUP).unwrap();
    let taken = take(&mut there, 2);
    assert_eq!(counts(&taken), [(7, 2), (8, 1)]);
    ack_all(taken);
    drop(there);
    let mut home = store.queue(ORDERS, GROUP).unwrap();
    assert!(steps(dir.path()).iter().all(|path| !std::fs::read(path).unwrap().is_empty()));
    let taken = take(&mut home, 1);
    assert_eq!(counts(&taken), [(9, 1)]);
    ack_all(taken);
    drop(home);
    let mut again = one.queue(ORDERS, GROUP).unwrap();
    assert_eq!(offsets(&take(&mut again, 3)), [10, 11, 12]);
}

#[test]
fn answers_elsewhere_are_those_at_home() {
    let (dir, clock) = (fast_dir(), Arc::new(ManualClock::at(1_000_000)));
    let builder = || by_hand(dir.path()).clock(Arc::clone(&clock) as _);
    let store = builder().open().unwrap();
    store.create_topic(ORDERS, TopicConfig::new()).unwrap();
    send(&store, 6);
    let reader = builder().attach().unwrap();
    let mut worker = settings(reader.queue_builder(ORDERS, GROUP)).delivery_limit(20).build().unwrap();
    let mut taken = take(&mut worker, 6).into_iter();
    let mut next = || taken.next().unwrap();
    next().release(Duration::ZERO).unwrap();
    next().retry().unwrap();
    next().put_back().unwrap();
    next().reject("no").unwrap();
    let (renewed, late) = (next(), next());
    assert_eq!(counts(&take(&mut worker, 9)), [(0, 2), (2, 1)]);
    clock.advance(Duration::from_secs(20));
    renewed.renew().unwrap();
    assert_eq!(offsets(&take(&mut worker, 9)), [0, 1, 2], "delays of retries are over");
    clock.advance(Duration::from_secs(15));
    let lost = late.ack();
    assert!(matches!(lost, Err(Error::LockLost { .. })), "{lost:?}");
    renewed.ack().unwrap();
    // Those that were dropped were retried, and the last one was out when its lock ended.
    let taken = take(&mut worker, 9);
    assert_eq!(counts(&taken), [(0, 4), (1, 3), (2, 3), (5, 2)]);
}

#[test]
fn a_letter_that_is_owed_is_written_once_and_its_message_is_with_nobody() {
    let (dir, store) = owned(0);
    for value in ["first", "second", "third"] {
        store.producer().send(Record::to(ORDERS).partition(0).key("alice").value(value)).unwrap();
    }
    let ordered = |builder: annals::QueueBuilder| settings(builder).ordered_by_key();
    let (one, other) = (attach(dir.path()), attach(dir.path()));
    let mut worker = ordered(one.queue_builder(ORDERS, GROUP)).build().unwrap();
    take(&mut worker, 9).remove(0).reject("no").unwrap();
    // It keeps no other of its key waiting, here and there.
    let second = take(&mut worker, 9);
    assert_eq!(offsets(&second), [1]);
    drop((second, worker));
    let mut there = ordered(other.queue_builder(ORDERS, GROUP)).build().unwrap();
    let mut second = take(&mut there, 9);
    assert_eq!(offsets(&second), [1]);
    // The owner writes the letter while the queue is another's.
    assert_eq!(store.stats().unwrap().queues.len(), 2, "the queue, and that of its letters");
    assert_eq!(letters(&store), [(0, 1, "no".to_owned())]);
    second.remove(0).reject("neither").unwrap();
    let third = take(&mut there, 9);
    assert_eq!(offsets(&third), [2]);
    ack_all(third);
    assert_eq!(other.stats().unwrap().queues[0].unfinished, 1, "the letter that is owed");
    drop(there);
    store.maintain().unwrap();
    assert!(steps(dir.path()).is_empty());
    assert_eq!(letters(&store).len(), 2);
    assert_eq!(other.stats().unwrap().queues[0].unfinished, 0);
    // Delivered too often is another reason.
    send(&store, 1);
    let mut worker =
        settings(one.queue_builder(ORDERS, GROUP)).retry_policy(RetryPolicy::default()).build().unwrap();
    for _ in 0..3 {
        take(&mut worker, 1).remove(0).retry_because("not yet").unwrap();
    }
    assert!(take(&mut worker, 1).is_empty());
    drop(worker);
    store.maintain().unwrap();
    let reason = "delivered 3 times and not done, at last: not yet".to_owned();
    assert_eq!(letters(&store)[2], (3, 3, reason));
}

#[test]
fn what_only_the_owner_can_do_is_refused() {
    let (dir, store, reader) = attached(2);
    let refused = reader.queue_builder(ORDERS, GROUP).count_in_memory().build();
    assert!(matches!(refused, Err(Error::InvalidArgument { .. })), "{refused:?}");
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    let polled = worker.poll_take(1, &mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, std::task::Poll::Ready(Err(Error::InvalidArgument { .. }))), "{polled:?}");
    let mut tx = store.transaction("billing").unwrap();
    tx.ack(take(&mut worker, 1).remove(0));
    assert!(matches!(tx.commit(), Err(Error::InvalidArgument { .. })));
    assert!(matches!(reader.queue("nowhere", GROUP), Err(Error::UnknownTopic { .. })));
    assert!(reader.queue("__consumer_offsets", GROUP).is_err());
    drop(worker);
    store.close().unwrap();
    let read_only = Store::open_read_only(dir.path()).unwrap();
    assert!(matches!(read_only.queue(ORDERS, GROUP), Err(Error::InvalidConfig { .. })));
}

#[test]
fn a_topic_that_goes_grows_or_comes_back_reaches_its_workers_elsewhere() {
    let (dir, store, reader, mut worker) = worked(0);
    assert!(take(&mut worker, 1).is_empty());
    store.add_partitions(ORDERS, 3).unwrap();
    store.producer().send(Record::to(ORDERS).partition(2).value("new")).unwrap();
    ack_all(take(&mut worker, 1));
    send(&store, 3);
    let mut taken = take(&mut worker, 2);
    store.delete_topic(ORDERS).unwrap();
    let gone = taken.remove(0).ack();
    assert!(matches!(gone, Err(Error::UnknownTopic { .. })), "{gone:?}");
    assert!(matches!(worker.take(1, Duration::ZERO), Err(Error::UnknownTopic { .. })));
    // Another of the name has another queue, also while messages of the old one are out.
    store.create_topic(ORDERS, TopicConfig::new()).unwrap();
    send(&store, 2);
    let mut anew = reader.queue(ORDERS, GROUP).unwrap();
    let messages = take(&mut anew, 9);
    assert_eq!(counts(&messages), [(0, 1), (1, 1)]);
    drop((taken, worker));
    ack_all(messages);
    drop(anew);
    store.maintain().unwrap();
    assert!(steps(dir.path()).is_empty());
    assert!(take(&mut store.queue(ORDERS, GROUP).unwrap(), 1).is_empty());
}

#[test]
fn a_group_that_is_deleted_takes_along_what_was_done_elsewhere() {
    let (dir, store, reader) = attached(4);
    ack_all(take(&mut reader.queue(ORDERS, GROUP).unwrap(), 2));
    store.delete_group(GROUP).unwrap();
    assert!(steps(dir.path()).is_empty());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    assert_eq!(offsets(&take(&mut worker, 1)), [0]);
}

#[test]
fn what_retention_takes_was_folded_before() {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(ORDERS, TopicConfig::new().retention_until_consumed()).unwrap();
    send(&store, 5);
    let reader = attach(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    let mut taken = take(&mut worker, 4);
    let kept = taken.remove(1);
    ack_all(taken);
    assert_eq!(store.drop_done(ORDERS).unwrap()[0].records, 3);
    let left = || {
        store
            .topic(ORDERS)
            .unwrap()
            .partition(0)
            .unwrap()
            .read(..)
            .unwrap()
            .into_iter()
            .map(|record| record.unwrap().offset)
    };
    assert!(left().eq([1, 4]));
    kept.ack().unwrap();
    ack_all(take(&mut worker, 1));
    store.drop_done(ORDERS).unwrap();
    assert_eq!(left().count(), 0);
    send(&store, 1);
    assert_eq!(offsets(&take(&mut worker, 9)), [5]);
}

#[test]
fn a_backup_holds_what_was_done_elsewhere_before_it_began() {
    let dir = fast_dir();
    let store = open(&dir.path().join("store"));
    send(&store, 4);
    let reader = attach(store.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    let mut taken = take(&mut worker, 2);
    taken.remove(0).ack().unwrap();
    taken.remove(0).reject("no").unwrap();
    let again = restored(&store, dir.path());
    assert_eq!(letters(&again).len(), 1);
    assert_eq!(offsets(&take_at_home(&again)), [2, 3]);
}

/// An enqueuer's limit, and senders that wait for it, go by what was folded.
#[test]
fn a_limit_counts_what_was_done_elsewhere_once_it_is_folded() {
    let (dir, store) = owned(0);
    let limited = store.enqueuer_builder(ORDERS).limit(GROUP, 2, annals::WhenFull::Fail).build().unwrap();
    let reader = attach(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    for _ in 0..2 {
        limited.send(Record::new().value("x")).unwrap();
    }
    assert!(matches!(limited.send(Record::new().value("x")), Err(Error::QueueFull { .. })));
    ack_all(take(&mut worker, 9));
    limited.send(Record::new().value("x")).unwrap();
}

/// Nobody calls the owner, and its rounds are far apart.
#[test]
fn an_owner_writes_letters_soon_after_it_has_woken_a_worker_elsewhere() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic(ORDERS, TopicConfig::new()).unwrap();
    let reader = attach(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    let sender = std::thread::spawn(move || {
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(30));
            send(&store, 1);
        }
        store
    });
    for _ in 0..2 {
        let message = worker.take(1, Duration::from_secs(20)).unwrap().into_iter().next().unwrap();
        message.reject("no").unwrap();
    }
    let store = sender.join().unwrap();
    assert!(wait_for(|| letters(&store).len() == 2, Duration::from_secs(20)), "nothing is folded");
}

/// A worker elsewhere sleeps, and the owner wakes it.
#[test]
fn a_worker_that_waits_is_woken_by_a_record_and_by_a_delay() {
    let (_dir, store, _reader, mut worker) = worked(0);
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        send(&store, 1);
        store
    });
    let messages: Messages = worker.take(1, Duration::from_secs(20)).unwrap();
    assert_eq!(messages.len(), 1);
    messages.into_iter().next().unwrap().release(Duration::from_millis(30)).unwrap();
    assert_eq!(worker.take(1, Duration::from_secs(20)).unwrap().len(), 1);
    drop(sender.join().unwrap());
}
