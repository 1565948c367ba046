//! Messages whose transaction is refused: when that delivery counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use annals::queue::RetryPolicy;
use annals::{Condition, Error, Expected, Message, Record, TopicConfig, Transaction, WhenFull};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

use crate::world::{World, take};

const FULL: [Call; 3] = [Call::Write, Call::Allocate, Call::Create];

/// With a topic of results, and one message whose last delivery is its second.
fn world() -> World {
    let world = World::new(1);
    world.store.create_topic("results", TopicConfig::new().max_message_bytes(1000)).unwrap();
    world.send(&["a"]);
    world
}

/// The same on a disk that fails when it is told to.
fn faulty() -> (Arc<FaultyFileSystem>, World) {
    let (disk, world) = World::faulty();
    world.store.create_topic("results", TopicConfig::new()).unwrap();
    world.send(&["a"]);
    (disk, world)
}

fn next(world: &World) -> Option<Message> {
    take(&mut world.builder().delivery_limit(2).build().unwrap(), 1).pop()
}

/// A transaction with the answer to the message, which was delivered so often.
fn acknowledged(world: &World, count: u16) -> Transaction {
    let message = next(world).unwrap();
    assert_eq!(message.delivery_count(), count);
    let mut tx = world.store.transaction("t").unwrap();
    tx.ack(message);
    tx
}

/// Takes the message, and commits a result with its answer that is refused. Says how often it was delivered.
fn refused(world: &World, refuse: impl FnOnce(&mut Transaction)) -> (u16, Error) {
    let message = next(world).expect("the message comes back");
    let count = message.delivery_count();
    let mut tx = world.store.transaction("t").unwrap();
    tx.send(Record::to("results").value("done")).unwrap();
    tx.ack(message);
    refuse(&mut tx);
    (count, tx.commit().unwrap_err())
}

fn reasons(world: &World) -> Vec<String> {
    let taken = world.store.dead_letters("jobs", "workers").and_then(|mut letters| letters.take(9));
    taken.unwrap_or_default().into_iter().map(|letter| letter.reason.clone()).collect()
}

fn send_result(world: &World) {
    world.store.producer().send(Record::to("results").value("of another")).unwrap();
}

#[test]
fn a_message_whose_commit_conflicts_with_others_again_and_again_is_no_dead_letter() {
    let world = world();
    // More often than any other cause stays uncounted.
    for _ in 0..20 {
        let (count, error) = refused(&world, |tx| {
            let results = world.store.topic("results").unwrap().partition(0).unwrap();
            tx.expect_end(&results, results.stable());
            send_result(&world);
        });
        assert!(error.is_conflict(), "{error}");
        assert_eq!(count, 1);
    }
    assert_eq!(next(&world.killed()).unwrap().delivery_count(), 1, "the lesser count is written");
    assert!(reasons(&world).is_empty());
}

#[test]
fn workers_that_conflict_make_no_dead_letters() {
    const MESSAGES: usize = 60;
    let world = World::new(1);
    world.store.create_topic("ledger", TopicConfig::new()).unwrap();
    world.send(&["x"; MESSAGES]);
    let (conflicts, ledger) =
        (AtomicUsize::new(0), world.store.topic("ledger").unwrap().partition(0).unwrap());
    thread::scope(|scope| {
        for number in 0..4 {
            let (world, conflicts, ledger) = (&world, &conflicts, &ledger);
            scope.spawn(move || {
                let mut worker = world.builder().delivery_limit(2).build().unwrap();
                let mut idle = 0;
                // Where some are letters all of them wait in vain.
                while ledger.stable() < i64::try_from(MESSAGES).unwrap() && idle < 3000 {
                    let Some(message) = take(&mut worker, 1).pop() else {
                        idle += 1;
                        thread::sleep(Duration::from_millis(1));
                        continue;
                    };
                    let end = ledger.stable();
                    thread::sleep(Duration::from_millis(1));
                    let mut tx = world.store.transaction(&format!("worker {number}")).unwrap();
                    tx.expect_end(ledger, end);
                    tx.send(Record::to("ledger").value("x")).unwrap();
                    tx.ack(message);
                    conflicts.fetch_add(usize::from(tx.commit().is_err()), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(conflicts.load(Ordering::Relaxed) > 10, "too few to see anything");
    assert!(reasons(&world).is_empty());
    assert_eq!(world.values("ledger").len(), MESSAGES);
}

/// Nobody has come in between: it would come back for ever.
#[test]
fn a_message_that_conflicts_with_nobody_is_a_dead_letter_that_names_the_conflict() {
    let world = world();
    send_result(&world);
    let mut counts = Vec::new();
    while reasons(&world).is_empty() {
        let results = world.store.topic("results").unwrap().partition(0).unwrap();
        let (count, error) = refused(&world, |tx| tx.expect_end(&results, 0));
        assert!(error.is_conflict() && counts.len() < 9, "{error}");
        counts.push(count);
    }
    assert_eq!(counts, [1, 1, 2]);
    assert!(reasons(&world)[0].contains("another caller appended"), "{:?}", reasons(&world));
}

#[test]
fn a_full_disk_makes_no_dead_letters_of_messages_whose_commits_it_refuses() {
    // Where it is full for the states, too, that the delivery does not count is not written.
    for (paths, after_kill) in [(&["results"][..], 1), (&["results", "__share_group_state"], 2)] {
        for buffer in [1 << 20, 0] {
            let (disk, world) = faulty();
            for _ in 0..5 {
                let message = next(&world).unwrap();
                assert_eq!(message.delivery_count(), 1);
                paths.iter().for_each(|path| disk.fail(&FULL, path, (0, Times::ForEver), Fault::Error(28)));
                let mut tx = world.store.transaction_builder("t").buffer_bytes(buffer).begin().unwrap();
                tx.ack(message);
                let sent = tx.send(Record::to("results").value("done"));
                let refused = sent.and_then(|()| tx.commit().map(drop)).unwrap_err();
                assert!(refused.is_disk_full(), "{refused}");
                disk.heal();
            }
            let message = next(&world.again(world.disk.files())).unwrap();
            assert_eq!(message.delivery_count(), after_kill, "{paths:?}");
            assert_eq!(next(&world).unwrap().delivery_count(), 1);
            assert!(reasons(&world).is_empty());
        }
    }
}

#[test]
fn a_message_whose_transaction_was_fenced_is_not_counted() {
    let world = world();
    for _ in 0..4 {
        let (count, error) = refused(&world, |_| drop(world.store.transaction("t").unwrap()));
        assert!(matches!(error, Error::Fenced { .. }) && count == 1, "{error}");
    }
    // By the send, or by the abort, of what was written already.
    for aborts in [true, false] {
        let message = next(&world).unwrap();
        assert_eq!(message.delivery_count(), 1);
        let mut tx = world.store.transaction_builder("t").buffer_bytes(0).begin().unwrap();
        tx.ack(message);
        tx.send(Record::to("results").value("done")).unwrap();
        drop(world.store.transaction("t").unwrap());
        let fenced = if aborts { tx.abort() } else { tx.send(Record::to("results").value("done")) };
        assert!(matches!(fenced, Err(Error::Fenced { .. })));
    }
    assert_eq!(next(&world).unwrap().delivery_count(), 1);
}

#[test]
fn a_message_that_outlasts_its_transaction_is_counted_from_the_second_time_on() {
    let world = world();
    let mut counts = Vec::new();
    while reasons(&world).is_empty() {
        let message = next(&world).unwrap();
        counts.push(message.delivery_count());
        let builder = world.store.transaction_builder("t").buffer_bytes(0);
        let mut tx = builder.timeout(Duration::from_millis(1)).begin().unwrap();
        tx.ack(message);
        tx.send(Record::to("results").value("done")).unwrap();
        thread::sleep(Duration::from_millis(5));
        assert!(matches!(tx.commit(), Err(Error::TransactionExpired { .. })) && counts.len() < 9);
    }
    assert_eq!(counts, [1, 1, 2]);
    assert!(reasons(&world)[0].contains("not committed in time"));
}

#[test]
fn the_letter_of_a_message_whose_result_is_refused_says_why() {
    for is_sent in [true, false] {
        let world = world();
        for count in 1..=2 {
            let mut tx = acknowledged(&world, count);
            if is_sent {
                tx.send(Record::to("results").value(&[0; 2000])).unwrap_err();
            } else {
                tx.send(Record::to("results").value(&[0; 900])).unwrap();
                world.store.alter_topic("results", TopicConfig::new().max_message_bytes(200)).unwrap();
                tx.commit().unwrap_err();
                world.store.alter_topic("results", TopicConfig::new().max_message_bytes(1000)).unwrap();
            }
        }
        let reasons = reasons(&world);
        assert!(reasons.len() == 1 && reasons[0].contains("delivered 2 times and not done, at last: "));
        assert!(reasons[0].contains("bytes"), "{reasons:?}");
    }
}

#[test]
fn a_message_whose_transaction_is_aborted_at_will_is_counted() {
    let world = world();
    for count in 1..=2 {
        let tx = acknowledged(&world, count);
        if count == 1 { tx.abort().unwrap() } else { drop(tx) }
    }
    assert_eq!(reasons(&world), ["delivered 2 times and not done"]);
}

/// Has what `refuse` does to its transaction refuse the message's commit until it is a letter. Says how often it had been delivered each time.
fn until_a_letter(world: &World, refuse: impl Fn(Message) -> Error) -> Vec<u16> {
    let mut counts = Vec::new();
    while reasons(world).is_empty() && counts.len() < 30 {
        let message = next(world).expect("the message comes back");
        counts.push(message.delivery_count());
        refuse(message);
    }
    counts
}

/// Uncounted eight times, then until its last delivery, which is the second.
const AT_LAST: [u16; 10] = [1, 1, 1, 1, 1, 1, 1, 1, 1, 2];

#[test]
fn a_message_whose_own_result_topic_is_full_does_not_come_back_for_ever() {
    let world = world();
    world.store.create_topic("full", TopicConfig::new().size_limit(4000, WhenFull::Fail)).unwrap();
    while world.store.producer().send(Record::to("full").value("x")).is_ok() {}
    let counts = until_a_letter(&world, |message| {
        let mut tx = world.store.transaction("t").unwrap();
        tx.ack(message);
        tx.send(Record::to("full").value(&[0; 500])).unwrap();
        let refused = tx.commit().unwrap_err();
        assert!(matches!(refused, Error::Full { .. }), "{refused}");
        refused
    });
    assert_eq!(counts, AT_LAST);
    assert!(reasons(&world)[0].contains("full"), "{:?}", reasons(&world));
}

/// Its own aborted records, and their ends, move the end that the next conflict has found.
#[test]
fn a_message_whose_written_records_move_the_end_that_it_expects_does_not_come_back_for_ever() {
    let world = world();
    send_result(&world);
    let results = world.store.topic("results").unwrap().partition(0).unwrap();
    let before = results.end();
    let counts = until_a_letter(&world, |message| {
        let mut tx = world.store.transaction_builder("t").buffer_bytes(0).begin().unwrap();
        tx.ack(message);
        tx.send(Record::to("results").value("done")).unwrap();
        tx.expect_end(&results, 0);
        let refused = tx.commit().unwrap_err();
        assert!(refused.is_conflict(), "{refused}");
        refused
    });
    let ends = results.end() - before;
    assert_eq!(counts, AT_LAST);
    assert!(ends <= 20, "{ends} records and ends that are aborted");
    assert!(reasons(&world)[0].contains("another caller appended"), "{:?}", reasons(&world));
}

#[test]
fn a_message_whose_commit_was_refused_waits_as_the_retry_policy_says() {
    let world = world();
    let policy = RetryPolicy::fixed(Duration::from_secs(10));
    let mut worker = world.builder().retry_policy(policy).build().unwrap();
    let results = world.store.topic("results").unwrap().partition(0).unwrap();
    for _ in 0..2 {
        let message = take(&mut worker, 1).pop().unwrap();
        assert_eq!(message.delivery_count(), 1);
        let mut tx = world.store.transaction("t").unwrap();
        tx.expect_end(&results, results.stable());
        send_result(&world);
        tx.ack(message);
        tx.commit().unwrap_err();
        assert!(take(&mut worker, 1).is_empty(), "at once");
        world.pass(9);
        assert!(take(&mut worker, 1).is_empty(), "too early");
        world.pass(1);
    }
    assert_eq!(take(&mut worker, 1).len(), 1);
}

#[test]
fn a_suspect_whose_commit_was_refused_is_handed_out_beside_others_again() {
    let mut world = world();
    world.send(&["b"]);
    for _ in 0..2 {
        let messages = take(&mut world.worker(), 9);
        assert_eq!(messages.len(), 2);
        let killed = world.killed();
        std::mem::forget(messages);
        world = killed;
    }
    let mut worker = world.worker();
    let mut alone = take(&mut worker, 9);
    assert!(alone.len() == 1 && take(&mut worker, 9).is_empty(), "suspects");
    let results = world.store.topic("results").unwrap().partition(0).unwrap();
    let mut tx = world.store.transaction("t").unwrap();
    tx.expect_end(&results, results.stable());
    send_result(&world);
    tx.ack(alone.remove(0));
    tx.commit().unwrap_err();
    let beside: Vec<_> = (0..3).flat_map(|_| take(&mut worker, 9)).collect();
    assert_eq!(beside.len(), 2, "its worker has survived it");
}

#[test]
fn the_letter_of_a_message_whose_offsets_or_condition_are_refused_says_why() {
    for is_offsets in [true, false] {
        let world = world();
        for _ in 0..2 {
            let message = next(&world).unwrap();
            let mut tx = world.store.transaction("t").unwrap();
            tx.ack(message);
            if is_offsets {
                tx.commit_offsets(&world.store.consumer_builder().build().unwrap()).unwrap_err();
            } else {
                let results = world.store.topic("results").unwrap().partition(0).unwrap();
                let condition = Condition::stream("alice", Expected::NoStream);
                tx.require(&results, &condition).unwrap_err();
            }
        }
        let reasons = reasons(&world);
        assert!(reasons[0].contains("delivered 2 times and not done, at last: "), "{reasons:?}");
    }
}

#[test]
fn a_refused_commit_of_many_messages_is_one_step_of_their_queue() {
    let world = World::new(1);
    world.store.create_topic("results", TopicConfig::new()).unwrap();
    world.send(&["x"; 50]);
    let states = || {
        let topic = world.store.topic("__share_group_state").unwrap();
        topic.partitions().iter().map(|partition| partition.end()).sum::<i64>()
    };
    let mut worker = world.worker();
    let messages = take(&mut worker, 50);
    assert_eq!(messages.len(), 50);
    let before = states();
    let results = world.store.topic("results").unwrap().partition(0).unwrap();
    let mut tx = world.store.transaction("t").unwrap();
    tx.expect_end(&results, 7);
    messages.into_iter().for_each(|message| tx.ack(message));
    tx.commit().unwrap_err();
    assert_eq!(states() - before, 1);
    assert!(take(&mut worker, 50).iter().all(|message| message.delivery_count() == 1));
}

#[test]
fn a_conflict_of_a_message_that_another_has_by_then_is_not_taken_for_its_last_one() {
    let world = world();
    let results = world.store.topic("results").unwrap().partition(0).unwrap();
    let begun = |message| {
        let mut tx = world.store.transaction_builder("t").buffer_bytes(0).begin().unwrap();
        tx.ack(message);
        tx.expect_end(&results, 7);
        tx
    };
    let conflicts = |mut tx: Transaction| {
        assert!(tx.send(Record::to("results").value("done")).unwrap_err().is_conflict());
    };
    let mut worker = world.builder().lock_timeout(Duration::from_secs(10)).build().unwrap();
    let lost = begun(take(&mut worker, 1).remove(0));
    world.pass(11);
    let held = take(&mut worker, 1).remove(0);
    assert_eq!(held.delivery_count(), 2);
    conflicts(lost);
    conflicts(begun(held));
    assert_eq!(take(&mut worker, 1).remove(0).delivery_count(), 2);
}
