//! What a crash, a deletion, a close and another thread make of a queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use annals::{Error, Record, Store, TopicConfig, WhenFull};
use annals_testing::{Image, MemoryFileSystem};

use crate::world::{World, take, value, values};

#[test]
fn a_message_that_ends_the_process_ends_in_the_dead_letters_and_takes_no_other_along() {
    let mut world = World::new(1);
    let jobs: Vec<_> = (0..30).map(|number| format!("job {number}")).collect();
    world.send(&jobs.iter().map(String::as_str).collect::<Vec<_>>());
    world.send(&["poison"]);
    let (mut kills, mut done) = (0, Vec::new());
    'lives: loop {
        let mut workers: Vec<_> = (0..4).map(|_| world.worker()).collect();
        loop {
            // All that are out when one of them is the poison are out when the process dies.
            let out: Vec<_> = workers.iter_mut().flat_map(|worker| take(worker, 8)).collect();
            if out.is_empty() {
                break 'lives;
            }
            if out.iter().any(|message| value(message) == "poison") {
                kills += 1;
                assert!(kills <= 5, "it was handed out more often than it may be");
                out.into_iter().for_each(std::mem::forget);
                break;
            }
            for message in out {
                done.push(value(&message));
                message.ack().unwrap();
            }
        }
        world = world.killed();
    }
    assert_eq!(kills, 5);
    assert_eq!(world.values("jobs.workers.dead"), ["poison"]);
    done.sort();
    let mut expected = jobs;
    expected.sort();
    assert_eq!(done, expected, "each was done once");
}

/// A queue whose answers are on the disk, but of three messages only the first.
fn answered_beyond_the_disk() -> World {
    let world = World::new(1);
    world.send(&["synced"]);
    world.store.producer().flush().unwrap();
    world.send(&["lost", "lost too"]);
    for message in take(&mut world.worker(), 3) {
        message.ack().unwrap();
    }
    world.store.topic("__share_group_state").unwrap().flush().unwrap();
    world
}

#[test]
fn what_a_power_cut_took_from_the_topic_is_not_taken_for_done_when_it_comes_again() {
    let world = answered_beyond_the_disk();
    let after = world.without_power();
    assert_eq!(after.store.topic("jobs").unwrap().partition(0).unwrap().end(), 1);
    after.send(&["new"]);
    // Also when nobody has looked at the queue before the next crash.
    let again = after.killed();
    assert_eq!(values(&take(&mut again.worker(), 10)), ["new"]);
    assert_eq!(values(&take(&mut after.worker(), 10)), ["new"]);
}

/// Another process sees what is left, as the owner does.
#[test]
fn figures_of_a_queue_whose_records_a_power_cut_took_are_seen_from_outside() {
    let world = answered_beyond_the_disk();
    let disk = MemoryFileSystem::over(&Image::new(world.disk.durable_files()));
    let reader = Store::builder("/store").file_system(Arc::new(disk)).open_read_only().unwrap();
    let queues = reader.stats().unwrap().queues;
    assert_eq!((queues[0].unfinished, queues[0].handed_out, queues[0].oldest_age), (0, 0, None));
    assert_eq!(world.without_power().store.stats().unwrap().queues[0].waiting, 0);
}

#[test]
fn a_topic_that_comes_back_has_other_queues() {
    let world = World::new(1);
    world.send(&["a", "b"]);
    let mut worker = world.worker();
    let mut messages = take(&mut worker, 2).into_iter();
    messages.next().unwrap().ack().unwrap();
    let held = messages.next().unwrap();
    world.store.delete_topic("jobs").unwrap();
    assert!(matches!(worker.take(1, Duration::MAX), Err(Error::UnknownTopic { was_deleted: true, .. })));
    assert!(matches!(held.ack(), Err(Error::UnknownTopic { .. })));
    world.store.create_topic("jobs", TopicConfig::new()).unwrap();
    world.send(&["c"]);
    assert!(worker.take(1, Duration::ZERO).is_err(), "a handle of a topic that was deleted stays one");
    for world in [world.killed(), world] {
        assert_eq!(values(&take(&mut world.worker(), 10)), ["c"]);
    }
}

#[test]
fn a_group_that_is_forgotten_begins_again() {
    let world = World::new(1);
    world.send(&["a"]);
    let mut worker = world.worker();
    take(&mut worker, 1).remove(0).ack().unwrap();
    assert!(matches!(world.store.delete_group("workers"), Err(Error::InvalidArgument { .. })));
    drop(worker);
    world.store.delete_group("workers").unwrap();
    for world in [world.without_power(), world] {
        assert_eq!(world.store.topic("jobs").unwrap().partition_count(), 1);
        let taken = take(&mut world.worker(), 10);
        // A record that was never synced may be lost with the power.
        assert!(values(&taken) == ["a"] || world.values("jobs").is_empty());
    }
}

/// Whatever refuses it, a consumer or commits that cannot be read, does so before anything of the group is forgotten.
#[test]
fn a_group_that_may_not_be_deleted_keeps_its_queues() {
    let world = World::new(1);
    world.send(&["a"]);
    let mut worker = world.worker();
    take(&mut worker, 1).remove(0).ack().unwrap();
    drop(worker);
    let mut consumer = world.store.consumer("workers").unwrap();
    consumer.subscribe(["jobs"]).unwrap();
    assert!(matches!(world.store.delete_group("workers"), Err(Error::InvalidArgument { .. })));
    assert!(take(&mut world.worker(), 1).is_empty(), "what is done stays done");
    drop(consumer.poll(Duration::ZERO).unwrap());
    consumer.commit().unwrap();
    drop(consumer);
    world.store.close().unwrap();
    let mut files = world.disk.files();
    let commits = "/store/__consumer_offsets-0/00000000000000000000.log";
    let mut bytes = files[commits].to_vec();
    bytes[30] ^= 1;
    files.insert(commits.to_owned(), bytes.into());
    let next = world.again(files);
    let refused = next.store.delete_group("workers");
    assert!(refused.is_err(), "the commits cannot be read");
    assert!(take(&mut next.worker(), 1).is_empty(), "what is done stays done: {refused:?}");
}

#[test]
fn segments_go_when_queues_and_groups_are_done_with_them() {
    let world = World::new(1);
    let config = TopicConfig::new().retention_until_consumed().segment_bytes(1024);
    world.store.create_topic("log", config).unwrap();
    let value = [b'x'; 200];
    for _ in 0..40 {
        world.store.producer().send(Record::to("log").value(&value)).unwrap();
    }
    let log = world.store.topic("log").unwrap().partition(0).unwrap();
    let mut queue = world.store.queue("log", "workers").unwrap();
    let mut consumer = world.store.consumer("readers").unwrap();
    consumer.subscribe(["log"]).unwrap();
    while consumer.lag().unwrap() > 0 {
        drop(consumer.poll(Duration::ZERO).unwrap());
    }
    consumer.commit().unwrap();
    world.store.apply_retention().unwrap();
    assert_eq!(log.start(), 0, "the queue has not begun");
    let mut messages = take(&mut queue, 30);
    let slow = messages.remove(10);
    messages.into_iter().for_each(|message| message.ack().unwrap());
    assert!(log.start() > 0 && log.start() <= 10, "{}", log.start());
    slow.ack().unwrap();
    assert!(log.start() > 10 && log.start() <= 30, "{}: its last answer has made room", log.start());
    let next = world.killed();
    next.store.apply_retention().unwrap();
    assert_eq!(take(&mut next.store.queue("log", "workers").unwrap(), 100).len(), 10);
}

#[test]
fn a_worker_that_waits_is_woken_by_whatever_may_be_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("jobs", TopicConfig::new()).unwrap();
    let builder =
        store.queue_builder("jobs", "workers").ordered_by_key().lock_timeout(Duration::from_millis(50));
    let send = |value: &str| _ = store.producer().send(Record::to("jobs").key("k").value(value)).unwrap();
    let mut mine = builder.clone().build().unwrap();
    let taken = AtomicU64::new(0);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut worker = builder.clone().lock_timeout(Duration::from_secs(60)).build().unwrap();
            let mut seen = Vec::new();
            while seen.last().is_none_or(|last| last != "end") {
                for message in worker.take(1, Duration::MAX).unwrap() {
                    seen.push(value(&message));
                    taken.fetch_add(1, Ordering::SeqCst);
                    message.ack().unwrap();
                }
            }
            seen
        });
        let wait_for = |count: u64| {
            while taken.load(Ordering::SeqCst) < count {
                thread::yield_now();
            }
        };
        send("sent");
        wait_for(1);
        // Its lock runs out: nobody does anything, and the other gets it. Which of the two is first does not matter.
        send("forgotten");
        let forgotten = take(&mut mine, 1);
        wait_for(2);
        forgotten.into_iter().for_each(std::mem::forget);
        send("end");
        assert_eq!(waiting.join().unwrap(), ["sent", "forgotten", "end"]);
    });
}

#[test]
fn a_take_ends_when_it_is_woken_or_the_store_closes() {
    let world = World::new(1);
    let mut worker = world.worker();
    worker.waker().wake();
    assert!(worker.take(1, Duration::MAX).unwrap().is_empty());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| worker.take(1, Duration::MAX).map(|messages| messages.len()));
        world.store.close().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(Error::StoreClosed { .. })));
    });
}

#[test]
fn partitions_that_come_later_are_worked_on_too() {
    let world = World::new(1);
    let mut worker = world.worker();
    assert!(take(&mut worker, 1).is_empty());
    world.store.add_partitions("jobs", 3).unwrap();
    world.store.producer().send(Record::to("jobs").partition(2).value("later")).unwrap();
    assert_eq!(values(&take(&mut worker, 1)), ["later"]);
    assert_eq!(values(&take(&mut world.killed().worker(), 1)), ["later"]);
}

/// Many threads, more than partitions, and everything is done once.
#[test]
fn many_workers_share_the_work() {
    const JOBS: usize = 3000;
    let world = World::new(3);
    let jobs = world.store.producer().bind("jobs").unwrap();
    let done = std::sync::Mutex::new(vec![0_u32; JOBS]);
    thread::scope(|scope| {
        for number in 0..8_u64 {
            let (mut worker, done) = (world.worker(), &done);
            scope.spawn(move || {
                let mut turn = number;
                while done.lock().unwrap().contains(&0) {
                    for message in worker.take(7, Duration::from_millis(1)).unwrap() {
                        turn += 1;
                        if turn.is_multiple_of(5) && message.delivery_count() < 4 {
                            drop(message);
                            continue;
                        }
                        let job: usize = value(&message).parse().unwrap();
                        message.ack().unwrap();
                        done.lock().unwrap()[job] += 1;
                    }
                }
            });
        }
        scope.spawn(|| {
            for number in 0..JOBS {
                let (key, value) = (number.to_be_bytes(), number.to_string());
                jobs.send(Record::new().key(&key).value(&value)).unwrap();
            }
        });
    });
    assert!(done.lock().unwrap().iter().all(|times| *times == 1));
    assert!(take(&mut world.killed().worker(), 1).is_empty());
}

/// Snapshots stand for what came before them.
#[test]
fn the_stored_states_stay_as_small_as_what_is_under_way() {
    let world = World::new(1);
    let jobs = world.store.producer().bind("jobs").unwrap();
    let mut worker = world.worker();
    for _ in 0..3000 {
        jobs.send(Record::new().value("job")).unwrap();
        worker.take(1, Duration::ZERO).unwrap().ack().unwrap();
    }
    let states = world.store.topic("__share_group_state").unwrap().partition(0).unwrap();
    let snapshot = |record: annals::OwnedRecord| record.key.unwrap().starts_with(&[0, 0]);
    let kinds: Vec<_> =
        states.read(..).unwrap().into_iter().map(|record| snapshot(record.unwrap())).collect();
    let snapshots = kinds.iter().filter(|is_snapshot| **is_snapshot).count();
    assert!((3..20).contains(&snapshots), "{snapshots} snapshots in {} records", kinds.len());
    assert!(take(&mut world.killed().worker(), 1).is_empty());
}

/// The positions of what is delivered later are a group's, and it is nobody's to commit, to work for or to delete.
#[test]
fn a_group_of_the_stores_own_is_nobodys_to_use() {
    let world = World::new(1);
    let refused = |outcome: annals::Result<()>| {
        assert!(matches!(outcome, Err(Error::InvalidName { kind: "group", .. })), "{outcome:?}");
    };
    for group in ["__delayed_messages", "__consumer_offsets", "__message_ids"] {
        refused(world.store.consumer(group).map(drop));
        refused(world.store.consumer_builder().group(group).build().map(drop));
        refused(world.store.queue("jobs", group).map(drop));
        refused(world.store.dead_letters("jobs", group).map(drop));
        refused(world.store.dead_letters_in("jobs", "jobs", group).map(drop));
        refused(world.store.enqueuer_builder("jobs").limit(group, 1, WhenFull::Fail).build().map(drop));
        refused(world.store.delete_group(group));
        let own = world.store.enqueuer_builder(group).build();
        assert!(matches!(own, Err(Error::InvalidArgument { .. } | Error::UnknownTopic { .. })), "{own:?}");
    }
}
