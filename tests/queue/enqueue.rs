//! Sending to a queue: each id once, and no more than can wait.

use std::thread;
use std::time::Duration;

use annals::{Error, Record, TopicConfig, WhenFull};

use crate::world::{World, take, values};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_id_is_sent_once_within_its_window_also_after_a_restart() {
    let world = World::new(3);
    let jobs = world.store.enqueuer_builder("jobs").unique_within(HOUR, 100).build().unwrap();
    jobs.send_once("a", Record::new().value("first")).unwrap();
    let again = jobs.send_once("a", Record::new().value("again"));
    assert!(
        matches!(&again, Err(Error::DuplicateMessage { id, sent: 1_000_000, .. }) if id == "a"),
        "{again:?}"
    );
    jobs.send_once("b", Record::new().value("second")).unwrap();
    assert!(matches!(jobs.send_once("c", Record::new().timestamp(5)), Err(Error::InvalidArgument { .. })));
    world.pass(1800);
    let next = world.killed();
    let jobs = next.store.enqueuer_builder("jobs").unique_within(HOUR, 100).build().unwrap();
    assert!(matches!(jobs.send_once("b", Record::new()), Err(Error::DuplicateMessage { .. })));
    // Another with a shorter window, at the same time.
    let short = next.store.enqueuer_builder("jobs").unique_within(HOUR / 4, 100).build().unwrap();
    short.send_once("b", Record::new().value("third")).unwrap();
    next.pass(1801);
    jobs.send_once("a", Record::new().value("fourth")).unwrap();
    assert!(matches!(jobs.send_once("b", Record::new()), Err(Error::DuplicateMessage { .. })));
    let none = next.store.enqueuer_builder("jobs").build().unwrap();
    assert!(matches!(none.send_once("z", Record::new()), Err(Error::InvalidArgument { .. })));
    let mut sent = next.values("jobs");
    sent.sort();
    assert_eq!(sent, ["first", "fourth", "second", "third"]);
}

#[test]
fn of_many_threads_that_send_one_id_one_does() {
    let world = World::new(1);
    let jobs = world.store.enqueuer_builder("jobs").unique_within(HOUR, 1000).build().unwrap();
    let send = || {
        (0..50_u32).filter(|id| jobs.send_once(&id.to_be_bytes(), Record::new().value("x")).is_ok()).count()
    };
    let sent: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(send)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((sent, world.values("jobs").len()), (50, 50));
}

#[test]
fn a_queue_has_no_more_unfinished_than_its_limit() {
    let world = World::new(2);
    let mut worker = world.worker();
    let jobs = world.store.enqueuer_builder("jobs").limit("workers", 3, WhenFull::Fail).build().unwrap();
    for partition in [0, 1, 0] {
        jobs.send(Record::new().partition(partition).value("job")).unwrap();
    }
    let full = jobs.send(Record::new().value("job"));
    assert!(matches!(full, Err(Error::QueueFull { unfinished: 3, limit: 3, .. })), "{full:?}");
    assert!(full.unwrap_err().is_retriable());
    let mut out = take(&mut worker, 3);
    assert!(jobs.send(Record::new().value("job")).is_err(), "what is out is not done");
    out.remove(0).release(HOUR).unwrap();
    assert!(jobs.send(Record::new().value("job")).is_err(), "nor is what is delayed");
    out.remove(0).ack().unwrap();
    jobs.send(Record::new().value("job")).unwrap();
    out.remove(0).reject("no").unwrap();
    jobs.send(Record::new().value("job")).unwrap();
    assert!(jobs.send(Record::new().value("job")).is_err());
    let drops = world.store.enqueuer_builder("jobs").limit("workers", 3, WhenFull::DropOldest).build();
    assert!(matches!(drops, Err(Error::InvalidArgument { .. })));
}

/// No worker has come since.
#[test]
fn what_was_done_and_deleted_made_room_for_more_than_a_limit() {
    let world = World::new(1);
    world.send(&["job"; 10]);
    let mut out = take(&mut world.worker(), 10);
    let first = out.remove(0);
    out.into_iter().for_each(|message| message.ack().unwrap());
    std::mem::forget(first);
    world.store.topic("jobs").unwrap().partition(0).unwrap().delete_records(10).unwrap();
    let jobs = world.store.enqueuer_builder("jobs").limit("workers", 3, WhenFull::Fail).build().unwrap();
    for _ in 0..3 {
        jobs.send(Record::new().value("job")).unwrap();
    }
    let full = jobs.send(Record::new().value("job"));
    assert!(matches!(full, Err(Error::QueueFull { unfinished: 3, limit: 3, .. })), "{full:?}");
    assert_eq!(world.store.stats().unwrap().queues[0].lost, 1);
}

#[test]
fn a_known_id_at_a_full_queue_was_told_that_it_is_full_or_waited_for_room() {
    for when_full in [WhenFull::Fail, WhenFull::Block] {
        let world = World::new(1);
        let builder = world.store.enqueuer_builder("jobs").unique_within(HOUR, 9);
        let jobs = builder.limit("workers", 1, when_full).build().unwrap();
        jobs.send_once("a", Record::new().value("a")).unwrap();
        let is_known = |sent: annals::Result<()>| matches!(sent, Err(Error::DuplicateMessage { .. }));
        assert!(is_known(jobs.send_once("a", Record::new().value("a")).map(drop)), "{when_full:?}");
        assert!(is_known(jobs.deliver_once_at("a", Record::new().value("a"), 0)), "{when_full:?}");
        assert!(is_known(jobs.deliver_once_after("a", Record::new().value("a"), HOUR)), "{when_full:?}");
    }
}

#[test]
fn a_sender_that_waits_goes_on_when_a_message_is_done() {
    let world = World::new(1);
    let mut worker = world.worker();
    let jobs = world.store.enqueuer_builder("jobs").limit("workers", 2, WhenFull::Block).build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..50).for_each(|number: u32| _ = jobs.send(Record::new().value(&number.to_string())).unwrap())
        });
        let mut seen = Vec::new();
        while seen.len() < 50 {
            let messages = worker.take(5, Duration::MAX).unwrap();
            assert!(messages.len() <= 2);
            seen.extend(values(&messages));
            messages.ack().unwrap();
        }
        assert_eq!(seen, (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    });
    thread::scope(|scope| {
        (0..2).for_each(|_| _ = jobs.send(Record::new().value("x")).unwrap());
        let waiting = scope.spawn(|| jobs.send(Record::new().value("x")));
        world.store.close().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(Error::StoreClosed { .. })));
    });
}

#[test]
fn a_blocked_sender_sees_what_makes_room_and_what_takes_its_topic() {
    for deletes_topic in [false, true] {
        let world = World::new(1);
        let builder = world.store.enqueuer_builder("jobs").limit("workers", 1, annals::WhenFull::Block);
        let jobs = builder.build().unwrap();
        jobs.send(Record::new().value("a")).unwrap();
        let outcome = std::thread::scope(|scope| {
            let sender = scope.spawn(|| jobs.send(Record::new().value("b")));
            std::thread::sleep(std::time::Duration::from_millis(30));
            if deletes_topic {
                world.store.delete_topic("jobs").unwrap();
            } else {
                world.store.topic("jobs").unwrap().partition(0).unwrap().delete_records(1).unwrap();
            }
            sender.join().unwrap()
        });
        let is_as_it_should = match &outcome {
            Ok(_) => !deletes_topic,
            Err(error) => deletes_topic && matches!(error, Error::UnknownTopic { .. }),
        };
        assert!(is_as_it_should, "{outcome:?}");
    }
}

#[test]
fn a_window_that_remembers_nothing_is_refused() {
    let world = World::new(1);
    for (time, ids) in [(std::time::Duration::ZERO, 5), (std::time::Duration::from_secs(5), 0)] {
        let built = world.store.enqueuer_builder("jobs").unique_within(time, ids).build();
        assert!(matches!(built, Err(Error::InvalidArgument { .. })));
    }
}

#[test]
fn ends_of_transactions_and_what_was_aborted_take_no_room_of_a_queue() {
    let world = World::new(1);
    let jobs = world.store.enqueuer_builder("jobs").limit("workers", 4, WhenFull::Fail).build().unwrap();
    let in_transaction = |value: &str, commits: bool| {
        let mut tx = world.store.transaction("t").unwrap();
        tx.send(Record::to("jobs").value(value)).unwrap();
        if commits { tx.commit().map(drop).unwrap() } else { tx.abort().unwrap() }
    };
    let unfinished = || match jobs.send(Record::new().value("one more")) {
        Err(Error::QueueFull { unfinished, .. }) => unfinished,
        other => panic!("{other:?}"),
    };
    for value in ["a", "b", "c"] {
        in_transaction(value, true);
        in_transaction("aborted", false);
    }
    jobs.send(Record::new().value("d")).unwrap();
    assert_eq!(unfinished(), 4);
    let mut worker = world.worker();
    // One is out and not done: behind it there is what the worker has not seen.
    let mut out = take(&mut worker, 2);
    out.remove(0).ack().unwrap();
    jobs.send(Record::new().value("e")).unwrap();
    assert_eq!(unfinished(), 4);
    in_transaction("f", true);
    assert_eq!(unfinished(), 5);
    drop(out);
    let all = take(&mut worker, 9);
    assert_eq!(values(&all), ["b", "c", "d", "e", "f"]);
    all.into_iter().for_each(|message| message.ack().unwrap());
    for value in ["1", "2", "3", "4"] {
        in_transaction("aborted", false);
        jobs.send(Record::new().value(value)).unwrap();
    }
    assert_eq!(unfinished(), 4);
    // What was sent back for another queue is none of its messages.
    let mut others = world.store.queue("jobs", "others").unwrap();
    take(&mut others, 1).remove(0).reject("no").unwrap();
    world.store.dead_letters("jobs", "others").unwrap().redrive(1).unwrap();
    assert_eq!(unfinished(), 4);
}

/// Has a worker do all there is, and maintenance take it.
fn done_and_gone(world: &World, topic: &str) {
    let mut worker = world.store.queue(topic, "workers").unwrap();
    take(&mut worker, 10_000).into_iter().for_each(|message| message.ack().unwrap());
    world.store.maintain().unwrap();
    for partition in world.store.topic(topic).unwrap().partitions() {
        assert_eq!(partition.start(), partition.end());
    }
}

fn consumed(partitions: u32) -> World {
    let world = World::new(1);
    let config = TopicConfig::new().partitions(partitions).retention_until_consumed();
    world.store.create_topic("mails", config).unwrap();
    world
}

/// How many of so many ids are new.
fn send_all(world: &World, ids: std::ops::Range<u32>, most: usize) -> usize {
    let mails = world.store.enqueuer_builder("mails").unique_within(24 * HOUR, most).build().unwrap();
    let send = |id: &u32| match mails.send_once(&id.to_be_bytes(), Record::new().value("hello")) {
        Ok(_) => true,
        Err(Error::DuplicateMessage { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    ids.filter(send).count()
}

#[test]
fn a_mail_is_not_sent_again_after_a_restart_where_what_is_done_is_deleted() {
    let mut world = consumed(2);
    for life in 0..6 {
        let new = send_all(&world, 0..100, 100_000);
        assert_eq!(new, if life == 0 { 100 } else { 0 }, "life {life}");
        done_and_gone(&world, "mails");
        world.pass(600);
        world = if life % 2 == 0 { world.killed() } else { world.without_power() };
    }
    world.pass(24 * 3600);
    assert_eq!(send_all(&world, 0..100, 100_000), 100, "the window is over");
}

#[test]
fn an_id_is_known_whose_record_went_in_a_life_without_senders() {
    for is_dropped in [false, true] {
        let world = consumed(1);
        assert_eq!(send_all(&world, 0..5, 100), 5);
        // Nothing has synced what was sent.
        let world = world.killed();
        if is_dropped {
            let mut worker = world.store.queue("mails", "workers").unwrap();
            take(&mut worker, 5).into_iter().for_each(|message| message.ack().unwrap());
            world.store.drop_done("mails").unwrap();
        } else {
            done_and_gone(&world, "mails");
        }
        assert_eq!(send_all(&world.without_power(), 0..6, 100), 1);
    }
}

#[test]
fn an_id_is_known_no_longer_than_its_record_where_a_power_cut_has_taken_that() {
    let world = consumed(1);
    assert_eq!(send_all(&world, 0..3, 100), 3);
    // Another window is durable at once.
    let wider = world.store.enqueuer_builder("mails").unique_within(48 * HOUR, 200).build().unwrap();
    wider.send_once("a", Record::new()).unwrap();
    let world = world.without_power();
    assert_eq!(send_all(&world, 0..3, 100), 3, "the records are gone, and so are the ids");
}

#[test]
fn as_many_ids_are_kept_as_the_window_says_and_their_room_is_bounded() {
    let mut world = consumed(1);
    let mut sent = 0;
    for life in 0..4 {
        // The window grows from life to life; more is sent than it holds.
        let most = 700 * (life + 1);
        sent += u32::try_from(send_all(&world, sent..sent + 1500, most)).unwrap();
        assert_eq!(sent, 1500 * (u32::try_from(life).unwrap() + 1));
        done_and_gone(&world, "mails");
        world = world.killed();
        let known = u32::try_from(most.min(1500)).unwrap();
        let mails = world.store.enqueuer_builder("mails").unique_within(24 * HOUR, most).build().unwrap();
        for id in sent - known..sent {
            let again = mails.send_once(&id.to_be_bytes(), Record::new());
            assert!(matches!(again, Err(Error::DuplicateMessage { .. })), "{id} of {sent}");
        }
    }
    world.store.topic("__message_ids").unwrap().compact().unwrap();
    let ids = world.store.topic("__message_ids").unwrap().partition(0).unwrap();
    let slots: std::collections::BTreeSet<_> =
        ids.read(..).unwrap().into_iter().map(|record| record.unwrap().key).collect();
    assert!((2800..=2 * 2800 + 1).contains(&slots.len()), "{}", slots.len());
}

/// The last ones sent, by number: the clock says nothing of their order.
#[test]
fn the_last_ids_are_known_after_a_restart_whatever_the_clock_said() {
    for partitions in [1, 4] {
        for goes_back in [false, true] {
            let world = World::new(partitions);
            let window =
                |world: &World| world.store.enqueuer_builder("jobs").unique_within(HOUR, 4).build().unwrap();
            let jobs = window(&world);
            for number in 0..8 {
                if goes_back && number == 6 {
                    world.clock.set(1_000_000 - 5_000);
                }
                jobs.send_once(&number.to_string(), Record::new().value("mail")).unwrap();
            }
            world.store.close().unwrap();
            let next = world.killed();
            let jobs = window(&next);
            for number in 4..8 {
                let again = jobs.send_once(&number.to_string(), Record::new());
                assert!(
                    matches!(again, Err(Error::DuplicateMessage { .. })),
                    "{number} of {partitions}: {again:?}"
                );
            }
            jobs.send_once("3", Record::new()).expect("it is not among the last ones");
        }
    }
}

#[test]
fn a_blocked_sender_goes_on_when_the_last_message_was_delivered_too_often() {
    for is_looked_at in [false, true] {
        let world = World::new(1);
        let timeout = std::time::Duration::from_secs(5);
        let mut worker = world.builder().delivery_limit(1).lock_timeout(timeout).build().unwrap();
        let jobs = world.store.enqueuer_builder("jobs").limit("workers", 1, WhenFull::Block).build().unwrap();
        jobs.send(Record::new().value("a")).unwrap();
        let message = take(&mut worker, 1).remove(0);
        let (sent, is_sent) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                jobs.send(Record::new().value("b")).unwrap();
                sent.send(()).unwrap();
            });
            thread::sleep(std::time::Duration::from_millis(30));
            if is_looked_at {
                // Its worker is gone, and the next one finds it.
                std::mem::forget(message);
                world.clock.advance(timeout);
                assert!(take(&mut worker, 1).is_empty());
            } else {
                message.retry().unwrap();
            }
            // It would wait for a minute.
            let in_time = is_sent.recv_timeout(std::time::Duration::from_secs(20));
            assert!(in_time.is_ok(), "it sleeps on: {is_looked_at}");
        });
    }
}
