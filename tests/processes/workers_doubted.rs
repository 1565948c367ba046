//! What may have ended a process elsewhere, while owners and topics come and go.

use std::time::Duration;

use annals::{Record, StoreReader, TopicConfig, Worker};

use crate::world::{
    GROUP, ORDERS, attach, attach_hooked, attached, counts, fill, make_room, open, owned, send, take,
};

/// Two queues of a process elsewhere: in one a message that was out when a process ended so often, in the other one that has its last attempt of
/// `limit` then.
fn doubted(reader: &StoreReader, (out, limit): (u16, u16)) -> [Worker; 2] {
    let queue = |group: &str| reader.queue_builder(ORDERS, group).delivery_limit(limit).build().unwrap();
    for _ in 0..out {
        take(&mut queue(GROUP), 1).into_iter().for_each(drop);
    }
    for _ in 1..limit {
        take(&mut queue("billing"), 1).into_iter().for_each(drop);
    }
    [queue(GROUP), queue("billing")]
}

/// What a process doubts, and what it has tried since, is of its own life.
#[test]
fn what_may_end_the_process_elsewhere_is_guarded_when_the_owner_is_another() {
    let (dir, store, reader) = attached(1);
    let [mut one, mut two] = doubted(&reader, (1, 3));
    // The other is not at its last yet, or neither would go out beside it.
    let (first, last) = (take(&mut one, 1).remove(0), take(&mut two, 1));
    assert!(last.is_empty(), "{last:?}");
    first.put_back().unwrap();
    let last = take(&mut two, 1).remove(0);
    last.put_back().unwrap();
    let first = take(&mut one, 1).remove(0);
    store.close().unwrap();
    let store = open(dir.path());
    assert!(take(&mut one, 1).is_empty());
    assert!(take(&mut two, 1).is_empty());
    first.release(Duration::ZERO).unwrap();
    let last = take(&mut two, 1).remove(0);
    assert_eq!(last.delivery_count(), 3);
    assert!(take(&mut one, 1).is_empty(), "both are at their last attempt");
    drop((last, store));
}

#[test]
fn a_retry_elsewhere_is_doubted_no_more_because_the_owner_is_another() {
    let (dir, store, reader) = attached(2);
    let [mut one, mut two] = doubted(&reader, (0, 4));
    take(&mut one, 1).into_iter().for_each(|message| message.release(Duration::ZERO).unwrap());
    store.close().unwrap();
    let store = open(dir.path());
    let last = take(&mut two, 1);
    assert_eq!(last[0].delivery_count(), 4);
    let retried = take(&mut one, 1);
    assert_eq!(counts(&retried), [(0, 2)], "it has failed in this life");
    drop((last, store));
}

#[test]
fn a_last_attempt_elsewhere_in_a_topic_that_is_gone_keeps_no_other_waiting() {
    let (dir, store) = owned(0);
    store.create_topic("more", TopicConfig::new()).unwrap();
    send(&store, 1);
    store.producer().send(Record::to("more").value("0")).unwrap();
    let reader = attach(dir.path());
    let queue = |topic: &str| {
        let builder = reader.queue_builder(topic, GROUP).delivery_limit(2);
        builder.lock_timeout(Duration::from_secs(3600)).build().unwrap()
    };
    for topic in [ORDERS, "more"] {
        take(&mut queue(topic), 1).into_iter().for_each(drop);
    }
    let (mut one, mut other) = (queue(ORDERS), queue("more"));
    let first = take(&mut one, 1).remove(0);
    assert!(take(&mut other, 1).is_empty());
    let woken = std::thread::scope(|scope| {
        let waits = scope.spawn(|| other.take(1, Duration::from_secs(10)).unwrap().len());
        std::thread::sleep(Duration::from_millis(20));
        store.delete_topic(ORDERS).unwrap();
        drop(first);
        waits.join().unwrap()
    });
    assert_eq!(woken, 1, "nobody was woken");
}

/// An answer found no room: nobody has the message, and the queue is taken anew.
#[test]
fn a_last_attempt_elsewhere_of_a_queue_that_is_taken_anew_keeps_no_other_waiting() {
    let (dir, _store) = owned(1);
    let (hooked, reader) = attach_hooked(dir.path());
    let [mut one, mut two] = doubted(&reader, (1, 2));
    let last = take(&mut one, 1).remove(0);
    assert!(take(&mut two, 1).is_empty());
    fill(&hooked, "annals.steps");
    assert!(last.ack().is_err());
    make_room(&hooked);
    drop(one);
    let _anew = reader.queue(ORDERS, GROUP).unwrap();
    assert_eq!(take(&mut two, 1).len(), 1);
}
