//! Keys that are erased while messages of theirs are out, or where some of what they are in cannot be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use annals::{Error, Record, StartFrom, Store, TopicConfig};
use annals_testing::{Call, Fault, Gate, Image, MemoryFileSystem, Times};

use crate::world::{World, open_with, take, values};

const EIO: i32 = 5;

/// A message with that key which a group gives up.
fn given_up(store: &Store, group: &str, letters: Option<&str>) {
    store.producer().send(Record::to("jobs").key("alice").value("hers")).unwrap();
    let builder = store.queue_builder("jobs", group);
    let builder = letters.into_iter().fold(builder, annals::QueueBuilder::dead_letter_topic);
    take(&mut builder.build().unwrap(), 9).into_iter().for_each(|message| message.reject("no").unwrap());
}

/// Its worker has it in hand, and gives it up by a rejection or by the last of its deliveries.
#[test]
fn a_message_that_was_erased_while_it_was_out_leaves_no_letter() {
    for is_rejected in [false, true] {
        let world = World::new(1);
        world.send_keyed(&[("alice", "hers"), ("bob", "his")]);
        let mut worker = world.builder().delivery_limit(1).build().unwrap();
        let out = take(&mut worker, 2);
        let reports = world.store.erase("jobs", "alice").unwrap();
        assert_eq!(reports.iter().map(|report| report.records).sum::<u64>(), 1);
        for message in out {
            if is_rejected { message.reject("no").unwrap() } else { message.retry().unwrap() }
        }
        assert_eq!(world.values("jobs.workers.dead"), ["his"], "rejected: {is_rejected}");
        world.pass(3600);
        assert_eq!(values(&take(&mut worker, 9)), [""; 0], "both are done");
    }
}

#[test]
fn a_letter_that_was_taken_before_its_key_was_erased_put_the_record_back_into_the_topic() {
    for is_sent_back in [true, false] {
        let world = World::new(1);
        given_up(&world.store, "one", None);
        let mut letters = world.store.dead_letters("jobs", "one").unwrap();
        let letter = letters.take(9).unwrap().remove(0);
        world.store.erase("jobs", "alice").unwrap();
        let done = if is_sent_back { letters.send_back(letter) } else { letters.discard(letter) };
        assert_eq!(matches!(done, Err(Error::LockLost { .. })), is_sent_back, "{done:?}");
        assert_eq!(world.values("jobs"), [""; 0]);
        world.pass(31);
        assert!(letters.take(9).unwrap().is_empty());
        let queues = world.store.stats().unwrap().queues;
        assert!(queues.iter().all(|queue| (queue.waiting, queue.locked, queue.delayed) == (0, 0, 0)));
    }
}

/// The topic is not opened in this life, and has its letters in the next.
#[test]
fn an_erasure_said_nothing_of_letters_in_a_topic_that_could_not_be_opened() {
    for (broken, named) in [("jobs.one.dead", None), ("chosen", Some("chosen")), ("chosen", None)] {
        let World { store, disk, clock } = World::new(1);
        store.create_topic("chosen", TopicConfig::new()).unwrap();
        given_up(&store, "one", named);
        given_up(&store, "two", None);
        store.close().unwrap();
        let mut files = disk.files();
        files.insert(format!("/store/{broken}-0/annals.state"), Arc::from(&b"no state"[..]));
        let disk = MemoryFileSystem::over(&Image::new(files));
        let store = open_with(&disk, clock.clone());
        let why = store.topic(broken).map(drop).unwrap_err().to_string();
        let erased = store.erase("jobs", "alice").map(drop).map_err(|error| error.to_string());
        let may_have_some = broken != "chosen" || named.is_some();
        assert_eq!(erased, if may_have_some { Err(why) } else { Ok(()) }, "{broken} {named:?}");
        let world = World { disk, clock, store };
        assert_eq!(world.values("jobs"), [""; 0], "the topic is done all the same");
        assert_eq!(world.values("jobs.two.dead"), [""; 0], "and so are the other letters");
    }
}

/// Whether what is for later waits long, how it is taken out, and how much of it is left where one step could not be read.
#[test]
fn a_step_of_the_schedule_that_cannot_be_read_kept_everything_else_from_being_erased() {
    for is_erased in [false, true] {
        let (disk, world) = World::faulty();
        let store = world.store.clone();
        given_up(&store, "one", None);
        let schedule = store.schedule();
        for millis in [16, 900_000] {
            let record = Record::to("jobs").key("alice").value("later");
            schedule.deliver_after(record, Duration::from_millis(millis)).unwrap();
        }
        let take_out = || {
            if is_erased {
                let reports = store.erase("jobs", "alice")?;
                Ok(reports.iter().map(|report| report.records).sum::<u64>())
            } else {
                store.schedule().cancel("jobs", "alice")
            }
        };
        disk.fail(&[Call::Read, Call::Map], "__delayed_messages-0/", (0, Times::ForEver), Fault::Error(EIO));
        let failed: annals::Result<u64> = take_out();
        assert!(matches!(failed, Err(Error::Io { .. })), "erased: {is_erased}, {failed:?}");
        let left = usize::from(!is_erased);
        assert_eq!((world.values("jobs").len(), world.values("jobs.one.dead").len()), (left, left));
        disk.heal();
        assert_eq!(take_out().unwrap(), 1, "erased: {is_erased}, the one on the step that could not be read");
        assert_eq!(take_out().unwrap(), 0);
    }
}

/// Its letters come back with it: nothing but a state says that they are there.
#[test]
fn letters_in_a_topic_that_could_not_be_opened_outlived_their_group_and_every_erasure() {
    for (broken, named) in [("jobs.one.dead", None), ("chosen", Some("chosen"))] {
        let World { store, disk, clock } = World::new(1);
        store.create_topic("chosen", TopicConfig::new()).unwrap();
        given_up(&store, "one", named);
        store.close().unwrap();
        let mut files = disk.files();
        let path = format!("/store/{broken}-0/annals.state");
        let sound = files.insert(path.clone(), Arc::from(&b"no state"[..])).unwrap();
        let disk = MemoryFileSystem::over(&Image::new(files));
        let store = open_with(&disk, clock.clone());
        for _ in 0..2 {
            store.delete_group("one").unwrap();
        }
        assert!(store.erase("jobs", "alice").is_err(), "{broken}");
        store.close().unwrap();
        let mut files = disk.files();
        files.insert(path, sound);
        let disk = MemoryFileSystem::over(&Image::new(files));
        let world = World { store: open_with(&disk, clock.clone()), disk, clock };
        assert!(world.store.stats().unwrap().queues.is_empty());
        assert_eq!(world.values(broken), ["hers"]);
        for world in [world.killed(), world] {
            let erased = world.store.erase("jobs", "alice").unwrap();
            assert_eq!(erased.iter().map(|report| report.records).sum::<u64>(), 1, "{broken}");
            assert_eq!(world.values(broken), [""; 0], "{broken}");
        }
    }
}

/// How often the place of the letter could not be read.
#[test]
fn a_letter_whose_place_could_not_be_read_put_an_erased_record_back_into_the_topic() {
    for times in [Times::Once, Times::ForEver] {
        let (disk, world) = World::faulty();
        let store = world.store.clone();
        given_up(&store, "one", None);
        let mut letters = store.dead_letters("jobs", "one").unwrap();
        let letter = letters.take(9).unwrap().remove(0);
        store.producer().send(Record::to("jobs").key("bob").value("his")).unwrap();
        take(&mut store.queue("jobs", "one").unwrap(), 9)
            .into_iter()
            .for_each(|message| message.reject("no").unwrap());
        assert_eq!(letters.take(9).unwrap().len(), 1);
        store.erase("jobs", "alice").unwrap();
        assert_eq!(world.values("jobs"), ["his"]);
        disk.fail(&[Call::Read, Call::Map], "jobs.one.dead-0/", (0, times), Fault::Error(EIO));
        let sent = letters.send_back(letter);
        disk.heal();
        match (times, &sent) {
            (Times::ForEver, Err(Error::Io { .. })) | (Times::Once, Err(Error::LockLost { .. })) => {}
            _ => panic!("{times:?}: {sent:?}"),
        }
        assert_eq!(world.values("jobs"), ["his"]);
        world.pass(31);
        assert_eq!(letters.take(9).unwrap().len(), 1, "bob's");
    }
}

/// As fast as it can.
#[test]
fn an_erasure_beside_a_worker_that_rejects_whatever_is_sent_back_goes_on_for_ever() {
    const LONG: Duration = Duration::from_secs(20);
    let world = World::new(1);
    // Each look takes longer than the other.
    let many: Vec<_> = (0..1000).map(|_| Record::to("jobs").key("carol").value("x")).collect();
    (0..30).for_each(|_| _ = world.store.producer().send_batch(&many).unwrap());
    let latest = world.store.queue_builder("jobs", "one").start_from(StartFrom::Latest).build().unwrap();
    world.send_keyed(&[("bob", "his"), ("alice", "hers")]);
    let (is_over, rounds, began) = (AtomicBool::new(false), AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut worker = world.store.queue("jobs", "one").unwrap();
            let mut letters = world.store.dead_letters("jobs", "one").unwrap();
            while !is_over.load(Ordering::Relaxed) && began.elapsed() < LONG {
                take(&mut worker, 9).into_iter().for_each(|message| message.reject("no").unwrap());
                letters.redrive(9).unwrap();
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        while rounds.load(Ordering::Relaxed) < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        world.store.erase("jobs", "alice").unwrap();
        is_over.store(true, Ordering::Relaxed);
    });
    drop(latest);
    assert!(began.elapsed() < LONG, "{} rounds", rounds.into_inner());
}

/// The erasure is with other letters while one is sent back and its topic goes.
#[test]
fn a_letter_sent_back_and_dropped_between_the_looks_of_an_erasure_was_left_in_the_topic() {
    let (disk, world) = World::faulty();
    let store = world.store.clone();
    store.producer().send(Record::to("jobs").key("bob").value("his")).unwrap();
    take(&mut store.queue("jobs", "a").unwrap(), 9).into_iter().for_each(|it| it.reject("no").unwrap());
    given_up(&store, "b", None);
    let gate = Arc::new(Gate::default());
    disk.fail(&[Call::Read, Call::Map], "jobs.a.dead-0/", (0, Times::Once), Fault::Hold(gate.clone()));
    std::thread::scope(|scope| {
        let erasing = scope.spawn(|| store.erase("jobs", "alice").map(drop));
        gate.await_arrival();
        assert_eq!(store.dead_letters("jobs", "b").unwrap().redrive(9).unwrap(), 2);
        store.delete_topic("jobs.b.dead").unwrap();
        gate.open();
        erasing.join().unwrap().unwrap();
    });
    assert_eq!(world.values("jobs"), ["his", "his"]);
}
