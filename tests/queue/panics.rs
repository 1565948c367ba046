//! What a panic of a clock or a file system of the program's own leaves of what is done in the background.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use annals::{Durability, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Image, MemoryFileSystem, Times};

use crate::fragile_clock::FragileClock;
use crate::world::{World, take, values};

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Nobody sends another record for later, and the store stays open.
#[test]
fn a_record_for_later_is_delivered_after_a_panic_of_the_clock() {
    let stores: Vec<_> = (0..10)
        .map(|calls| {
            let clock = FragileClock::sound();
            let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
            let store = builder.clock(Arc::clone(&clock) as _).open().unwrap();
            let jobs = store.create_topic("jobs", TopicConfig::new()).unwrap().partition(0).unwrap();
            store
                .schedule()
                .deliver_after(Record::to("jobs").value("x"), Duration::from_millis(300))
                .unwrap();
            clock.left.store(calls, Ordering::SeqCst);
            (store, jobs)
        })
        .collect();
    for (calls, (store, jobs)) in stores.iter().enumerate() {
        wait_until(&format!("after {calls} calls"), || {
            jobs.end() > 0
                || store
                    .stats()
                    .unwrap()
                    .topics
                    .iter()
                    .any(|topic| topic.partitions.iter().any(|one| one.poisoned_by.is_some()))
        });
    }
    assert!(stores.iter().any(|(store, _)| store.stats().unwrap().callback_panics > 0), "none has panicked");
}

/// Another transaction, which waits for its end beside the one that is at work when it comes, has it all the same.
#[test]
fn ends_of_transactions_are_written_after_a_panic_of_the_file_system() {
    let faulty = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let builder = Store::builder("/store").file_system(Arc::clone(&faulty) as _);
    let store = builder.sync_every(Duration::from_secs(3600)).open().unwrap();
    let jobs = store.create_topic("jobs", TopicConfig::new().partitions(4)).unwrap();
    for partitions in [[0, 1], [2, 3]] {
        let mut tx = store.transaction(&format!("to {partitions:?}")).unwrap();
        for partition in partitions {
            tx.send(Record::to("jobs").value("x").partition(partition)).unwrap();
        }
        tx.commit().unwrap();
    }
    // The first end of all.
    faulty.fail(&[Call::Write], "jobs-0/00000000000000000000.log", (0, Times::Once), Fault::Panic);
    for number in 1..4 {
        let log = jobs.partition(number).unwrap();
        wait_until(&format!("the end in partition {number}"), || log.end() == 2);
    }
    assert!(jobs.partition(0).unwrap().flush().is_err(), "nobody knows what it holds");
    assert_eq!(store.stats().unwrap().callback_panics, 1);
}

/// Records that were read and not handed out are read again, and stand behind nobody.
#[test]
fn messages_of_a_queue_in_order_are_handed_out_after_a_panic_in_the_take_before() {
    let mut panics = 0;
    for calls in 0..16 {
        let clock = FragileClock::sound();
        let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        store.create_topic("jobs", TopicConfig::new()).unwrap();
        for (key, value) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
            store.producer().send(Record::to("jobs").key(key).value(value)).unwrap();
        }
        let mut worker = store.queue_builder("jobs", "workers").ordered_by_key().build().unwrap();
        clock.left.store(calls, Ordering::SeqCst);
        let taken = catch_unwind(AssertUnwindSafe(|| take(&mut worker, 9)));
        clock.left.store(i64::MAX, Ordering::SeqCst);
        match taken {
            Ok(messages) => assert_eq!(values(&messages), ["a1", "b1"]),
            Err(_) => {
                panics += 1;
                assert_eq!(values(&take(&mut worker, 9)), ["a1", "b1"], "after {calls} calls");
            }
        }
    }
    assert!(panics > 1, "{panics}");
}

/// Its transaction is decided by then: it is the one with which those before have their ends written.
#[test]
fn a_record_for_later_is_delivered_once_after_a_panic_behind_its_decision() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let store = Store::builder("/store").file_system(Arc::clone(&disk) as _).maintain_by_hand();
    let store = store.sync_every(Duration::from_secs(3600)).open().unwrap();
    for topic in ["jobs", "other"] {
        store.create_topic(topic, TopicConfig::new().partitions(2)).unwrap();
    }
    let jobs = store.topic("jobs").unwrap();
    store.schedule().deliver_after(Record::to("jobs").value("x"), Duration::from_millis(1)).unwrap();
    for _ in 0..999 {
        let mut tx = store.transaction("t").unwrap();
        for partition in 0..2 {
            tx.send(Record::to("other").value("t").partition(partition)).unwrap();
        }
        tx.commit().unwrap();
    }
    disk.fail(&[Call::Write], "other-0/00000000000000000000.log", (0, Times::Once), Fault::Panic);
    let (begun, mut has_panicked) = (Instant::now(), false);
    while !has_panicked {
        assert!(begun.elapsed() < Duration::from_secs(20));
        has_panicked = catch_unwind(AssertUnwindSafe(|| drop(store.maintain()))).is_err()
            || store.stats().unwrap().callback_panics > 0;
        thread::sleep(Duration::from_millis(1));
    }
    disk.heal();
    for _ in 0..3 {
        thread::sleep(Duration::from_millis(600));
        drop(store.maintain());
    }
    let read = |number| jobs.partition(number).unwrap().read(..).unwrap().into_iter().count();
    assert_eq!(read(0) + read(1), 1);
}

/// The messages of one partition are on their way to the worker, who has seen none of them, when the look at the next one panics.
#[test]
fn messages_that_a_take_had_gathered_when_it_panicked_were_not_delivered() {
    let mut panics = 0;
    for calls in 0..24 {
        let clock = FragileClock::sound();
        let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        for topic in ["jobs", "lower"] {
            store.create_topic(topic, TopicConfig::new().partitions(2)).unwrap();
            for partition in 0..2 {
                store.producer().send(Record::to(topic).partition(partition).value("x")).unwrap();
            }
        }
        let workers = store.queue_builder("jobs", "workers").then("lower").delivery_limit(1);
        let mut worker = workers.strict_priority().build().unwrap();
        clock.left.store(calls, Ordering::SeqCst);
        let taken = catch_unwind(AssertUnwindSafe(|| take(&mut worker, 9)));
        clock.left.store(i64::MAX, Ordering::SeqCst);
        panics += usize::from(taken.is_err());
        let messages = taken.unwrap_or_else(|_| take(&mut worker, 9));
        let counts: Vec<_> = messages.iter().map(annals::Message::delivery_count).collect();
        assert_eq!(counts, [1; 4], "after {calls} calls");
    }
    assert!(panics > 4, "{panics}");
}

/// What is dropped while a panic goes through the thread asks the same clock.
#[test]
fn a_clock_that_panics_at_each_call_ends_no_process_in_a_take_nor_where_messages_are_dropped() {
    let mut panics = 0;
    for calls in 0..36 {
        let clock = FragileClock::sound();
        let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        store.create_topic("jobs", TopicConfig::new().partitions(2)).unwrap();
        for partition in [0, 1, 0, 1] {
            store.producer().send(Record::to("jobs").partition(partition).value("x")).unwrap();
        }
        let mut worker = store.queue("jobs", "workers").unwrap();
        clock.stays.store(true, Ordering::SeqCst);
        // Each on its own: one by one, all that are left, and what a transaction has.
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            let mut tx = store.transaction("t").unwrap();
            let mut consumer = store.consumer("readers").unwrap();
            consumer.subscribe(["jobs"]).unwrap();
            clock.left.store(calls, Ordering::SeqCst);
            match calls % 3 {
                0 => drop(take(&mut worker, 9)),
                1 => drop(worker.take(9, Duration::ZERO)),
                _ => {
                    let mut taken = take(&mut worker, 2);
                    tx.send(Record::to("jobs").value("y")).unwrap();
                    tx.ack(taken.remove(0));
                    drop((take(&mut worker, 9), consumer.poll(Duration::ZERO)));
                }
            }
        }));
        panics += usize::from(dropped.is_err());
        clock.left.store(i64::MAX, Ordering::SeqCst);
    }
    assert!(panics > 4, "{panics}");
}

/// Each in a partition of its own. One whose release panics comes back when its lock is over; it kept all others out until then.
#[test]
fn messages_dropped_behind_one_whose_release_panicked_stayed_out_until_their_locks_were_over() {
    let mut panics = 0;
    for (calls, is_with_transaction) in (0..6).flat_map(|calls| [(calls, false), (calls, true)]) {
        let clock = FragileClock::sound();
        let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        store.create_topic("jobs", TopicConfig::new().partitions(4)).unwrap();
        for partition in 0..4 {
            store.producer().send(Record::to("jobs").partition(partition).value("x")).unwrap();
        }
        let mut worker = store.queue("jobs", "workers").unwrap();
        let messages = worker.take(9, Duration::ZERO).unwrap();
        assert_eq!(messages.len(), 4);
        let dropped = if is_with_transaction {
            let mut tx = store.transaction("t").unwrap();
            messages.into_iter().for_each(|message| tx.ack(message));
            clock.left.store(calls, Ordering::SeqCst);
            catch_unwind(AssertUnwindSafe(|| drop(tx)))
        } else {
            clock.left.store(calls, Ordering::SeqCst);
            catch_unwind(AssertUnwindSafe(|| drop(messages)))
        };
        clock.left.store(i64::MAX, Ordering::SeqCst);
        panics += usize::from(dropped.is_err());
        let back = take(&mut worker, 9).len();
        let expected = if dropped.is_err() { 3 } else { 4 };
        assert!(back >= expected, "{back} after {calls} calls, in a transaction: {is_with_transaction}");
    }
    assert!(panics > 4, "{panics}");
}

/// The answer to each partition is one of its own.
#[test]
fn messages_answered_behind_one_whose_answer_panicked_stayed_out_until_their_locks_were_over() {
    type Answer = fn(annals::Messages) -> annals::Result<()>;
    let answers: [(&str, Answer); 3] = [
        ("ack", annals::Messages::ack),
        ("release", |messages| messages.release(Duration::ZERO)),
        ("put_back", annals::Messages::put_back),
    ];
    let mut panics = 0;
    for (calls, (name, answer)) in (0..4).flat_map(|calls| answers.iter().map(move |one| (calls, *one))) {
        let clock = FragileClock::sound();
        let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        store.create_topic("jobs", TopicConfig::new().partitions(4)).unwrap();
        for partition in 0..4 {
            store.producer().send(Record::to("jobs").partition(partition).value("x")).unwrap();
        }
        let mut worker = store.queue("jobs", "workers").unwrap();
        let messages = worker.take(9, Duration::ZERO).unwrap();
        assert_eq!(messages.len(), 4);
        clock.left.store(calls, Ordering::SeqCst);
        let answered = catch_unwind(AssertUnwindSafe(|| answer(messages)));
        clock.left.store(i64::MAX, Ordering::SeqCst);
        panics += usize::from(answered.is_err());
        let done = store.stats().unwrap().queues.iter().map(|queue| queue.acknowledged).sum::<u64>();
        let back = if name == "ack" { usize::try_from(done).unwrap() } else { take(&mut worker, 9).len() };
        let expected = if answered.is_err() { 3 } else { 4 };
        assert!(back >= expected, "{back} after {calls} calls, {name}");
    }
    assert!(panics > 6, "{panics}");
}

/// In one partition, each of them at its last attempt.
#[test]
fn messages_given_up_behind_one_whose_letter_panicked_stayed_out_until_their_locks_were_over() {
    let mut panics = 0;
    for calls in 1..24 {
        let clock = FragileClock::sound();
        let builder = Store::builder("/store").file_system(Arc::new(MemoryFileSystem::new()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        for topic in ["jobs", "dead"] {
            store.create_topic(topic, TopicConfig::new()).unwrap();
        }
        for value in ["a", "b", "c", "d"] {
            store.producer().send(Record::to("jobs").value(value)).unwrap();
        }
        let worker = store.queue_builder("jobs", "workers").delivery_limit(1).dead_letter_topic("dead");
        let mut worker = worker.build().unwrap();
        let messages = worker.take(9, Duration::ZERO).unwrap();
        assert_eq!(messages.len(), 4);
        clock.left.store(calls, Ordering::SeqCst);
        let answered = catch_unwind(AssertUnwindSafe(|| messages.release(Duration::ZERO)));
        clock.left.store(i64::MAX, Ordering::SeqCst);
        let queues = store.stats().unwrap().queues;
        let locked =
            queues.iter().filter(|queue| queue.topic == "jobs").map(|queue| queue.locked).sum::<u64>();
        assert!(locked <= u64::from(answered.is_err()), "{locked} after {calls} calls");
        panics += usize::from(answered.is_err());
    }
    assert!(panics > 4, "{panics}");
}

/// What panics is the sync of what an earlier life has left, behind the decision. It takes effect when it is taken up again; until then the message is
/// nobody's. Whether it is rejected, or its worker drops it at its last attempt while another panic goes through the thread.
#[test]
fn a_message_came_back_beside_its_letter_where_a_panic_came_by_behind_the_decision() {
    for is_dropped in [false, true] {
        let panicked = (0..200).any(|_| is_given_up_once_over_a_panic(is_dropped));
        assert!(panicked, "none panics behind its decision, dropped: {is_dropped}");
    }
}

/// Whether there was a panic of the file system.
fn is_given_up_once_over_a_panic(is_dropped: bool) -> bool {
    let world = World::new(1);
    let mut tx = world.store.transaction("t").unwrap();
    for topic in (0..20).map(|number| format!("left-{number}")) {
        world.store.create_topic(&topic, TopicConfig::new()).unwrap();
        tx.send(Record::to(&topic).value("t")).unwrap();
    }
    tx.commit().unwrap();
    world.store.create_topic("dead", TopicConfig::new()).unwrap();
    world.send(&["a", "b"]);
    let disk = MemoryFileSystem::over(&Image::new(world.disk.files()));
    let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
    let store = Store::builder("/store").file_system(Arc::clone(&faulty) as _);
    let store = store.clock(Arc::clone(&world.clock) as _).maintain_by_hand().open().unwrap();
    let workers = store.queue_builder("jobs", "workers").dead_letter_topic("dead").delivery_limit(1);
    let mut worker = workers.durability(Durability::Disk).build().unwrap();
    let first = worker.take(1, Duration::ZERO).unwrap().into_iter().next().unwrap();
    faulty.fail(&[Call::Sync], "left-", (0, Times::ForEver), Fault::Panic);
    let given_up = catch_unwind(AssertUnwindSafe(|| {
        if is_dropped {
            let _first = first;
            panic!("of the worker");
        }
        first.reject("bad")
    }));
    faulty.heal();
    let dead = store.topic("dead").unwrap().partition(0).unwrap();
    let is_seen = dead.read(..).unwrap().into_iter().next().is_some();
    assert_eq!(given_up.is_err(), is_dropped || !is_seen);
    if is_seen {
        // What panicked was on other threads, and was noted there.
        return false;
    }
    drop(store.maintain());
    thread::sleep(Duration::from_millis(1100));
    drop(store.maintain());
    world.pass(3600);
    let letters =
        |store: &Store| store.dead_letters_in("dead", "jobs", "workers").unwrap().take(9).unwrap().len();
    assert_eq!(letters(&store), 1, "dropped: {is_dropped}");
    let second = take(&mut worker, 9);
    assert_eq!(values(&second), ["b"], "dropped: {is_dropped}");
    let next = world.again(disk.files());
    assert_eq!(letters(&next.store), 1);
    assert_eq!(values(&take(&mut next.worker(), 9)), ["b"]);
    true
}
