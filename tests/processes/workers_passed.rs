//! What a queue in another process passes over where its topic ends.

use std::sync::Mutex;
use std::time::Duration;

use annals::{Record, Store, StoreReader, TopicConfig, Worker};

use crate::common::{by_hand, fast_dir};
use crate::hooked::Hook;
use crate::world::{GROUP, ORDERS, ack_all, attach, attach_hooked, killed, offsets, steps, take};

/// What comes behind the last message: the name, and what puts it there.
type Last = (&'static str, fn(&Store));

const LAST: &[Last] = &[
    ("the end of a transaction", |store| {
        let mut tx = store.transaction("t").unwrap();
        tx.send(Record::to(ORDERS).value("x")).unwrap();
        tx.commit().unwrap();
    }),
    ("a transaction that was aborted", |store| {
        let mut tx = store.transaction_builder("t").buffer_bytes(0).begin().unwrap();
        for _ in 0..3 {
            tx.send(Record::to(ORDERS).value("x")).unwrap();
        }
        tx.abort().unwrap();
    }),
    ("a delivery of the schedule", |store| {
        store.schedule().deliver_after(Record::to(ORDERS).value("x"), Duration::from_millis(1)).unwrap();
        std::thread::sleep(Duration::from_millis(40));
        store.maintain().unwrap();
        // It has the end of what has moved it written.
        store.drop_done(ORDERS).unwrap();
    }),
    ("what was sent back for another group", |store| {
        let mut others = store.queue(ORDERS, "billing").unwrap();
        take(&mut others, 9).into_iter().for_each(|message| message.reject("no").unwrap());
        assert!(store.dead_letters(ORDERS, "billing").unwrap().redrive(9).unwrap() > 0);
        ack_all(take(&mut others, 9));
        // It has the end of what has sent it back written.
        store.drop_done(ORDERS).unwrap();
    }),
];

fn with_orders() -> (tempfile::TempDir, Store) {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(ORDERS, TopicConfig::new().retention_until_consumed()).unwrap();
    store.producer().send(Record::to(ORDERS).value("x")).unwrap();
    (dir, store)
}

/// Works until nothing is left.
fn work(worker: &mut Worker) {
    while let messages = take(worker, 1)
        && !messages.is_empty()
    {
        ack_all(messages);
    }
}

fn waiting(store: &Store) -> Vec<(u64, Option<Duration>)> {
    let queues = store.stats().unwrap().queues;
    let its = queues.iter().filter(|queue| queue.group == GROUP);
    its.map(|queue| (queue.waiting, queue.oldest_age)).collect()
}

/// What is left of the topic when all is done: at home an end of a transaction may be.
fn left_at_home(put: fn(&Store)) -> u64 {
    let (_dir, store) = with_orders();
    let mut worker = store.queue(ORDERS, GROUP).unwrap();
    put(&store);
    work(&mut worker);
    assert_eq!(waiting(&store), [(0, None)]);
    store.drop_done(ORDERS).unwrap();
    store.topic(ORDERS).unwrap().stats().unwrap().records()
}

#[test]
fn a_queue_elsewhere_is_done_where_its_topic_ends_with_what_it_passes_over() {
    for (what, put) in LAST {
        let (dir, store) = with_orders();
        let reader: StoreReader = attach(dir.path());
        let mut worker = reader.queue(ORDERS, GROUP).unwrap();
        put(&store);
        work(&mut worker);
        assert_eq!(waiting(&store), [(0, None)], "{what}");
        let seen = reader.stats().unwrap().queues;
        assert!(seen.iter().all(|one| one.unfinished == 0), "{what}: {seen:?}");
        // What is passed over again is not written again.
        let file = steps(dir.path()).into_iter().next().unwrap();
        let length = std::fs::metadata(&file).unwrap().len();
        assert!(take(&mut worker, 1).is_empty());
        assert_eq!(std::fs::metadata(&file).unwrap().len(), length, "{what}");
        store.drop_done(ORDERS).unwrap();
        assert_eq!(store.topic(ORDERS).unwrap().stats().unwrap().records(), left_at_home(*put), "{what}");
        drop((worker, reader));
        let copy = killed(store, dir.path());
        let store = by_hand(copy.path()).open().unwrap();
        assert_eq!(waiting(&store), [(0, None)], "{what}");
        store.producer().send(Record::to(ORDERS).value("y")).unwrap();
        let messages = take(&mut store.queue(ORDERS, GROUP).unwrap(), 9);
        assert!(messages.len() == 1 && messages[0].value == Some(b"y".to_vec()), "{what}");
    }
}

#[test]
fn retention_takes_the_segments_that_a_queue_elsewhere_has_done_and_passed_over() {
    let starts = [true, false].map(|is_at_home| {
        let dir = fast_dir();
        let store = by_hand(dir.path()).open().unwrap();
        let config = TopicConfig::new().retention_until_consumed();
        store.create_topic(ORDERS, config).unwrap();
        store.producer().send(Record::to(ORDERS).value("x")).unwrap();
        let reader = attach(dir.path());
        let mut worker =
            if is_at_home { store.queue(ORDERS, GROUP) } else { reader.queue(ORDERS, GROUP) }.unwrap();
        LAST[0].1(&store);
        work(&mut worker);
        store.apply_retention().unwrap();
        store.topic(ORDERS).unwrap().partition(0).unwrap().start()
    });
    assert_eq!(starts, [3, 3]);
}

#[test]
fn what_was_passed_over_elsewhere_in_the_life_of_an_owner_is_not_written_in_the_next_one() {
    let (dir, store) = with_orders();
    let (hooked, reader) = attach_hooked(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    LAST[0].1(&store);
    for _ in 0..2 {
        ack_all(take(&mut worker, 1));
    }
    assert_eq!(waiting(&store).len(), 1);
    let file = steps(dir.path()).into_iter().next().unwrap();
    let length = || std::fs::metadata(&file).unwrap().len();
    let (before, owner, path) = (length(), Mutex::new(Some(store)), dir.path().to_path_buf());
    let next = std::sync::Arc::new(Mutex::new(None));
    let of_hook = std::sync::Arc::clone(&next);
    hooked.at_open(move |path_of| {
        if path_of.to_string_lossy().contains("annals.steps") {
            let before = owner.lock().unwrap().take();
            before.into_iter().for_each(|store| {
                store.close().unwrap();
                *of_hook.lock().unwrap() = Some(by_hand(&path).open().unwrap());
            });
        }
        Ok(Hook::Stays)
    });
    assert!(take(&mut worker, 1).is_empty());
    assert_eq!(length(), before, "there may be a message by now");
    assert!(take(&mut worker, 1).is_empty());
    assert!(length() > before);
    let store = next.lock().unwrap().take().unwrap();
    assert_eq!(waiting(&store), [(0, None)]);
    store.producer().send(Record::to(ORDERS).value("y")).unwrap();
    assert_eq!(offsets(&take(&mut worker, 9)), [3]);
}

/// An owner with two orders, of which an attached process has the second in hand and gives the first back for long.
fn with_one_delayed() -> (tempfile::TempDir, Store, StoreReader, Worker, annals::Message) {
    let dir = fast_dir();
    let store = by_hand(dir.path()).open().unwrap();
    store.create_topic(ORDERS, TopicConfig::new()).unwrap();
    for key in ["alice", "bob"] {
        store.producer().send(Record::to(ORDERS).key(key).value("x")).unwrap();
    }
    let reader = attach(dir.path());
    let mut worker = reader.queue(ORDERS, GROUP).unwrap();
    let mut messages = take(&mut worker, 9).into_iter();
    messages.next().unwrap().release(Duration::from_secs(3600)).unwrap();
    let second = messages.next().unwrap();
    (dir, store, reader, worker, second)
}

fn counts(store: &Store) -> Vec<u64> {
    waiting(store).into_iter().map(|(waiting, _)| waiting).collect()
}

#[test]
fn what_was_erased_and_ended_elsewhere_was_waited_for_by_the_next_owner() {
    let (dir, store, reader, mut worker, second) = with_one_delayed();
    store.erase(ORDERS, "alice").unwrap();
    assert!(take(&mut worker, 9).is_empty());
    let copy = killed(store, dir.path());
    let store = by_hand(copy.path()).open().unwrap();
    store.maintain().unwrap();
    assert_eq!(counts(&store), [1]);
    drop((second, worker, reader));
}

/// The owner has compared all that it knew of the queue with the log before, and does not know of that message when it is erased.
#[test]
fn a_limit_of_the_owner_counted_a_message_that_was_erased_before_a_fold() {
    let (_dir, store, reader, mut worker, second) = with_one_delayed();
    let limited = |most| {
        let builder = store.enqueuer_builder(ORDERS).limit(GROUP, most, annals::WhenFull::Fail);
        builder.build().unwrap().send(Record::new().key("erin").value("x")).map(drop)
    };
    store.maintain().unwrap();
    assert!(limited(2).is_err(), "two are there");
    for key in ["carol", "dave"] {
        store.producer().send(Record::to(ORDERS).key(key).value("x")).unwrap();
    }
    let mut messages = take(&mut worker, 9).into_iter();
    messages.next().unwrap().release(Duration::from_secs(3600)).unwrap();
    store.erase(ORDERS, "carol").unwrap();
    // It looks through all that it knows.
    limited(4).expect("three are there");
    store.maintain().unwrap();
    limited(5).expect("four are there");
    drop((messages, second, worker, reader));
}
