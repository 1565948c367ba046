//! States that are made, pruned and forgotten while others do the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use annals::{Record, Store, TopicConfig, Worker};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Image, MemoryFileSystem, Times};

use crate::clocks::{AskingClock, HoldingClock, within_a_moment};
use crate::cut::cut;
use crate::world::{World, open_with, take};

const LETTERS: &str = "jobs.workers.dead";

fn groups(store: &Store) -> Vec<String> {
    store.stats().unwrap().queues.into_iter().map(|queue| queue.group).collect()
}

fn ack_one(worker: &mut Worker) {
    take(worker, 1).remove(0).ack().unwrap();
}

/// Maintenance writes again what stands so far back that it keeps too much, a state at a time. At each of its looks at the clock a queue is
/// deleted.
#[test]
fn a_queue_that_is_deleted_while_states_are_pruned_does_not_come_back() {
    const QUEUES: usize = 16;
    // A segment of states holds about 500 of its records.
    let long = "z".repeat(30_000);
    let world = World::new(1);
    world.send(&["a", "b"]);
    let name = |number: usize| format!("workers {number}");
    for number in 0..QUEUES {
        ack_one(&mut world.store.queue("jobs", &name(number)).unwrap());
    }
    let mut worker = world.store.queue_builder("jobs", &long).build().unwrap();
    for _ in 0..600 {
        world.send(&["c"]);
        ack_one(&mut worker);
    }
    let disk = MemoryFileSystem::over(&Image::new(world.disk.files()));
    let (clock, calls) = AskingClock::over(&world.clock);
    let store = open_with(&disk, Arc::clone(&clock) as _);
    // The first answer of a life sees that there is much.
    ack_one(&mut store.queue_builder("jobs", &long).build().unwrap());
    let states = store.topic("__share_group_state").unwrap().partition(0).unwrap();
    let before = states.bytes();
    let deleted = thread::scope(|scope| {
        scope.spawn(|| clock.ask(|| store.maintain().unwrap()));
        let deleted = calls.iter().enumerate().map(|(number, reply)| {
            if number < QUEUES {
                store.delete_group(&name(number)).unwrap();
            }
            _ = reply.send(());
        });
        deleted.count()
    });
    assert!(states.bytes() < before / 2, "it was pruned");
    assert!(deleted >= QUEUES, "{deleted}");
    let found = groups(&world.again(disk.files()).store);
    assert!(found == [long], "{:?}", found.iter().map(|name| &name[..10]).collect::<Vec<_>>());
}

/// They could hold for no other topic, and would be kept for ever.
#[test]
fn states_of_a_deleted_topic_are_taken_back_with_it() {
    let world = World::new(2);
    world.store.create_topic("others", TopicConfig::new()).unwrap();
    drop((world.worker(), world.store.queue("others", "workers").unwrap()));
    let states = world.store.topic("__share_group_state").unwrap().partition(0).unwrap();
    // The last record of each state.
    let left = || {
        let records = states.read(..).unwrap().into_iter().map(Result::unwrap);
        let last: BTreeMap<_, _> = records.map(|record| (record.key, record.value.is_some())).collect();
        let there = last.values().filter(|is_there| **is_there).count();
        (last.len(), there)
    };
    assert_eq!(left(), (3, 3));
    world.store.delete_topic("jobs").unwrap();
    assert_eq!(left(), (3, 1));
    assert_eq!(groups(&world.store), ["workers"]);
}

#[test]
fn a_queue_that_is_deleted_before_its_cut_state_is_written_does_not_come_back() {
    let world = cut();
    world.store.delete_group("workers").unwrap();
    world.send(&["new"]);
    for world in [world.killed(), world] {
        assert_eq!(groups(&world.store), [""; 0]);
    }
}

/// The worker comes when the deletion has seen that there is none, and has yet to write what it forgets.
#[test]
fn answers_of_a_worker_that_comes_during_a_deletion_are_not_forgotten() {
    let world = World::new(1);
    world.send(&["a", "b"]);
    ack_one(&mut world.worker());
    let memory = MemoryFileSystem::over(&Image::new(world.disk.files()));
    let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
    let builder = Store::builder("/store").file_system(Arc::clone(&disk) as _).clock(world.clock.clone());
    let store = builder.maintain_by_hand().open().unwrap();
    let gate = Arc::new(Gate::default());
    disk.fail(&[Call::Write], "__share_group_state", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let (joined, has_joined) = mpsc::channel();
    let seen = thread::scope(|scope| {
        let deletion = scope.spawn(|| store.delete_group("workers").unwrap());
        gate.await_arrival();
        let working = scope.spawn(|| {
            let mut worker = store.queue("jobs", "workers").unwrap();
            joined.send(()).unwrap();
            let message = take(&mut worker, 1).remove(0);
            let offset = message.offset;
            message.ack().unwrap();
            offset
        });
        // Or it waits for the deletion.
        _ = has_joined.recv_timeout(Duration::from_millis(300));
        gate.open();
        deletion.join().unwrap();
        working.join().unwrap()
    });
    let next = world.again(memory.files());
    let left: Vec<_> = take(&mut next.worker(), 9).iter().map(|message| message.offset).collect();
    assert!(!left.contains(&seen), "{seen} is done, and of {left:?}");
    let left_here: Vec<_> =
        take(&mut store.queue("jobs", "workers").unwrap(), 9).iter().map(|message| message.offset).collect();
    assert_eq!(left, left_here);
}

/// Two partitions have their first letters in one partition.
#[test]
fn a_letter_that_was_discarded_does_not_come_again_where_two_queues_partitions_begin_their_letters() {
    let mut calls = 0;
    loop {
        let disk = MemoryFileSystem::new();
        let world = World::new(1);
        let clock = HoldingClock::over(&world.clock);
        let store = open_with(&disk, Arc::clone(&clock) as _);
        store.create_topic("jobs", TopicConfig::new().partitions(2)).unwrap();
        store.create_topic("letters", TopicConfig::new()).unwrap();
        for partition in 0..2 {
            store.producer().send(Record::to("jobs").partition(partition).value("x")).unwrap();
        }
        let mut worker = store.queue_builder("jobs", "workers").dead_letter_topic("letters").build().unwrap();
        let mut messages = take(&mut worker, 2).into_iter();
        let (one, other) = (messages.next().unwrap(), messages.next().unwrap());
        let (letters, discarded) = (store.clone(), Arc::new(AtomicUsize::new(0)));
        let done = Arc::clone(&discarded);
        let was_held = clock.between(
            calls,
            move || one.reject("no").unwrap(),
            move || {
                other.reject("no").unwrap();
                let mut letters = letters.dead_letters_in("letters", "jobs", "workers").unwrap();
                // It cannot be read behind one that is not decided.
                for letter in letters.take(1).unwrap() {
                    letters.discard(letter).unwrap();
                    done.fetch_add(1, Ordering::SeqCst);
                }
            },
        );
        let again = open_with(&MemoryFileSystem::over(&Image::new(disk.files())), world.clock.clone());
        let left = again.dead_letters_in("letters", "jobs", "workers").unwrap().take(9).unwrap();
        assert_eq!(left.len(), 2 - discarded.load(Ordering::SeqCst), "after {calls} calls of the clock");
        if !was_held {
            break;
        }
        calls += 1;
    }
    assert!(calls > 4, "{calls}");
}

/// A consumer of the group still has the topic of its queue's letters, which was deleted and comes again with the next.
#[test]
fn a_commit_of_offsets_and_an_answer_beside_the_first_letter_of_all_does_not_hang() {
    within_a_moment("a commit beside a letter", commit_beside_the_first_letter);
}

fn commit_beside_the_first_letter() {
    let mut calls = 0;
    loop {
        let disk = MemoryFileSystem::new();
        let world = World::new(1);
        let clock = HoldingClock::over(&world.clock);
        let store = open_with(&disk, Arc::clone(&clock) as _);
        for topic in ["jobs", LETTERS] {
            store.create_topic(topic, TopicConfig::new()).unwrap();
        }
        for value in ["a", "b"] {
            store.producer().send(Record::to("jobs").value(value)).unwrap();
        }
        let mut consumer = store.consumer("workers").unwrap();
        consumer.subscribe(["jobs", LETTERS]).unwrap();
        assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 2);
        store.delete_topic(LETTERS).unwrap();
        let mut worker = store.queue("jobs", "workers").unwrap();
        let mut messages = take(&mut worker, 2).into_iter();
        let (done, rejected) = (messages.next().unwrap(), messages.next().unwrap());
        let mut tx = store.transaction("t").unwrap();
        tx.commit_offsets(&consumer).unwrap();
        tx.ack(done);
        let committing = move || drop(tx.commit().unwrap());
        let was_held = clock.between(calls, committing, move || rejected.reject("no").unwrap());
        let committed = store.committed("workers").into_values().map(|commit| commit.offset);
        assert_eq!(committed.collect::<Vec<_>>(), [2]);
        // It is told of the topic.
        consumer.seek_to_beginning();
        let polled: Vec<_> = std::iter::repeat_with(|| consumer.poll(Duration::ZERO))
            .take(4)
            // Once that the topic was deleted.
            .filter_map(Result::ok)
            .flat_map(|records| records.iter().map(|record| record.topic().to_owned()).collect::<Vec<_>>())
            .collect();
        assert!(polled.iter().any(|topic| topic == LETTERS), "{polled:?}");
        if !was_held {
            break;
        }
        calls += 1;
    }
    assert!(calls > 4, "{calls}");
}
