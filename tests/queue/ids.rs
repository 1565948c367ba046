//! Ids that are not written when the process ends: what the next life finds of them.

use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{CleanupPolicy, Enqueuer, Error, Record, Store, Topic, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Image, MemoryFileSystem, Times};

use crate::world::{World, take};

const HOUR: Duration = Duration::from_secs(3600);

/// One partition of many has no id that is written, and the clock goes back between what is and what is not.
#[test]
fn ids_are_refused_after_a_kill_whose_partition_has_none_written_and_whose_clock_went_back() {
    let world = World::new(3);
    let window = |world: &World| enqueuer(&world.store);
    let to = |partition| Record::new().partition(partition).value("mail");
    let jobs = window(&world);
    jobs.send_once("written", to(0)).unwrap();
    world.store.maintain().unwrap();
    world.clock.set(1_000_000 - 600_000);
    jobs.send_once("after the step", to(1)).unwrap();
    jobs.send_once("and here", to(0)).unwrap();
    // The clock is right again, and somebody has sent with it.
    world.clock.set(1_000_000 + 1000);
    world.store.producer().send(Record::to("jobs").partition(1).value("no id")).unwrap();
    let next = world.killed();
    for _ in 0..2 {
        let jobs = window(&next);
        for id in ["written", "after the step", "and here"] {
            let again = jobs.send_once(id, to(2));
            assert!(matches!(again, Err(Error::DuplicateMessage { .. })), "{id}: {again:?}");
        }
    }
    // What was found is written, and outlives its record.
    next.store.maintain().unwrap();
    for partition in next.store.topic("jobs").unwrap().partitions() {
        partition.delete_records(partition.end()).unwrap();
    }
    let last = next.without_power();
    let jobs = window(&last);
    for id in ["written", "after the step", "and here"] {
        assert!(matches!(jobs.send_once(id, to(2)), Err(Error::DuplicateMessage { .. })), "{id}");
    }
}

/// A window that was made wider holds what the narrow one had no room for, and the last ones all the same.
#[test]
fn a_wider_window_keeps_the_order_of_what_it_finds_in_the_topic() {
    let world = World::new(2);
    let window = |world: &World, most: usize| {
        world.store.enqueuer_builder("jobs").unique_within(HOUR, most).build().unwrap()
    };
    let jobs = window(&world, 4);
    (0..10).for_each(|number: u32| {
        _ = jobs.send_once(&number.to_string(), Record::new().value("mail")).unwrap()
    });
    world.store.maintain().unwrap();
    drop(jobs);
    let world = world.killed();
    let jobs = window(&world, 8);
    let is_known =
        |jobs: &annals::Enqueuer, number: u32| match jobs.send_once(&number.to_string(), Record::new()) {
            Err(Error::DuplicateMessage { .. }) => true,
            Ok(_) => false,
            Err(error) => panic!("{error}"),
        };
    assert!((2..10).all(|number| is_known(&jobs, number)));
    (10..14).for_each(|number: u32| assert!(!is_known(&jobs, number)));
    world.store.maintain().unwrap();
    // Each life, and however the last one ended.
    for next in [world.killed(), world.without_power()] {
        let jobs = window(&next, 8);
        assert!((6..14).all(|number| is_known(&jobs, number)));
        assert!(!is_known(&jobs, 5), "it is not among the last eight");
    }
}

/// An id that was sent again, for the window had no room for it any more, was sent when it was sent last: also for a window that is
/// made wider in number, before and after its first sending is written, and in the next life.
#[test]
fn an_id_that_was_sent_again_just_now_is_refused_by_a_wider_window() {
    for (partitions, how) in (0..5).flat_map(|how| [(1, how), (3, how)]) {
        let mut world = World::new(partitions);
        let window = |world: &World, time: Duration, most: usize| {
            world.store.enqueuer_builder("jobs").unique_within(time, most).build().unwrap()
        };
        let to = |number: u32| Record::new().partition(number % partitions).value("mail");
        let jobs = window(&world, HOUR, 2);
        jobs.send_once("again", to(0)).unwrap();
        ["a", "b", "c"].iter().for_each(|id| _ = jobs.send_once(id, to(1)).unwrap());
        world.pass(45);
        if how % 2 == 1 {
            world.store.maintain().unwrap();
        }
        jobs.send_once("again", to(2)).unwrap();
        world.clock.advance(Duration::from_millis(100));
        match how {
            0 | 1 => {}
            2 | 3 => {
                drop(jobs);
                world.store.close().unwrap();
                world = world.killed();
            }
            _ => world = world.killed(),
        }
        let jobs = window(&world, HOUR / 360, 1000);
        let again = jobs.send_once("again", to(2));
        let is_refused = matches!(again, Err(Error::DuplicateMessage { sent: 1_045_000, .. }));
        assert!(is_refused, "{partitions} partitions, {how}: {again:?}");
    }
}

/// The same of the numbers: what is found of records that the narrow window had no room for was sent before what is not written.
#[test]
fn a_wider_window_in_the_same_life_refuses_the_last_ids_and_no_others() {
    for (partitions, is_written) in [(1, false), (3, false), (1, true), (3, true)] {
        let world = World::new(partitions);
        let window =
            |most: usize| world.store.enqueuer_builder("jobs").unique_within(HOUR, most).build().unwrap();
        let send = |jobs: &Enqueuer, number: u32| {
            world.clock.advance(Duration::from_millis(1));
            jobs.send_once(&number.to_string(), Record::new().partition(number % partitions).value("mail"))
        };
        let jobs = window(2);
        (0..7).for_each(|number| _ = send(&jobs, number).unwrap());
        if is_written {
            world.store.maintain().unwrap();
        }
        let wider = window(5);
        for number in 2..7 {
            let again = send(&wider, number);
            assert!(matches!(again, Err(Error::DuplicateMessage { .. })), "{number}: {again:?}");
        }
        send(&wider, 1).unwrap();
    }
}

/// What fell out of a window by number is not in it again in the next life, in the place of one of the last.
#[test]
fn the_last_ids_are_refused_in_the_next_life_whatever_partition_an_older_one_is_in() {
    let world = World::new(3);
    let window = |world: &World| world.store.enqueuer_builder("jobs").unique_within(HOUR, 2).build().unwrap();
    let jobs = window(&world);
    let to = |number: u32| Record::new().partition(number).value("mail");
    jobs.send_once("old", to(0)).unwrap();
    ["a", "b"].iter().for_each(|id| _ = jobs.send_once(id, to(1)).unwrap());
    world.store.maintain().unwrap();
    drop(jobs);
    for next in [world.killed(), world.without_power()] {
        let jobs = window(&next);
        for id in ["a", "b"] {
            let again = jobs.send_once(id, to(2));
            assert!(matches!(again, Err(Error::DuplicateMessage { .. })), "{id}: {again:?}");
        }
        jobs.send_once("old", to(2)).unwrap();
    }
}

/// A letter that was sent back has the id of its message, and stands behind records whose ids are not written.
#[test]
fn a_letter_that_was_sent_back_hides_no_id_before_it() {
    let world = World::new(1);
    let window = |world: &World| enqueuer(&world.store);
    let jobs = window(&world);
    jobs.send_once("a", Record::new().value("a")).unwrap();
    world.store.maintain().unwrap();
    take(&mut world.worker(), 1).remove(0).reject("no").unwrap();
    jobs.send_once("b", Record::new().value("b")).unwrap();
    world.store.dead_letters("jobs", "workers").unwrap().redrive(1).unwrap();
    let next = world.killed();
    window(&next);
    next.store.maintain().unwrap();
    let partition = next.store.topic("jobs").unwrap().partition(0).unwrap();
    partition.delete_records(partition.end()).unwrap();
    let last = next.killed();
    let jobs = window(&last);
    for id in ["a", "b"] {
        assert!(matches!(jobs.send_once(id, Record::new()), Err(Error::DuplicateMessage { .. })), "{id}");
    }
}

/// The copy says nothing of when its id was sent: it takes no place of one that was sent later.
#[test]
fn a_letter_that_was_sent_back_is_no_sending_of_its_id() {
    let world = World::new(1);
    let window = |world: &World| world.store.enqueuer_builder("jobs").unique_within(HOUR, 2).build().unwrap();
    let jobs = window(&world);
    for id in ["a", "b", "c"] {
        jobs.send_once(id, Record::new().value(id)).unwrap();
    }
    world.store.maintain().unwrap();
    take(&mut world.worker(), 1).remove(0).reject("no").unwrap();
    world.store.dead_letters("jobs", "workers").unwrap().redrive(1).unwrap();
    let next = world.killed();
    let jobs = window(&next);
    for id in ["b", "c"] {
        assert!(matches!(jobs.send_once(id, Record::new()), Err(Error::DuplicateMessage { .. })), "{id}");
    }
}

/// What a call of the program takes out of a topic, before maintenance has seen it.
type Taking = fn(&Topic);

const TAKINGS: [(&str, Taking); 5] = [
    ("delete_records", |topic| {
        let partition = topic.partition(0).unwrap();
        partition.delete_records(partition.end()).unwrap();
    }),
    ("erase", |topic| drop(topic.erase("k").unwrap())),
    ("erase_all", |topic| drop(topic.erase_all(["k"]).unwrap())),
    ("compact", |topic| drop(topic.compact().unwrap())),
    ("apply_retention", |topic| drop(topic.apply_retention().unwrap())),
];

#[test]
fn ids_outlive_records_that_a_call_of_the_program_takes_out() {
    for (name, take_out) in TAKINGS {
        let world = World::new(1);
        let policy = if name == "compact" { CleanupPolicy::Compact } else { CleanupPolicy::Delete };
        let config = TopicConfig::new().segment_bytes(1 << 20).retention_records(1).cleanup_policy(policy);
        world.store.create_topic("mails", config).unwrap();
        let window =
            |world: &World| world.store.enqueuer_builder("mails").unique_within(HOUR, 100).build().unwrap();
        let (jobs, large) = (window(&world), vec![7; 600 << 10]);
        (0..6_u32).for_each(|id| {
            _ = jobs.send_once(&id.to_string(), Record::new().key("k").value(&large)).unwrap();
        });
        let topic = world.store.topic("mails").unwrap();
        take_out(&topic);
        let left = topic.partition(0).unwrap().read(..).unwrap().into_iter().count();
        assert!(left < 6, "{name} took none");
        for next in [world.killed(), world.without_power()] {
            let jobs = window(&next);
            for id in 0..6_u32 {
                let again = jobs.send_once(&id.to_string(), Record::new().key("k"));
                assert!(matches!(again, Err(Error::DuplicateMessage { .. })), "{id} after {name}: {again:?}");
            }
        }
    }
}

/// Whoever deletes may need the room.
#[test]
fn records_are_deleted_where_a_full_disk_takes_no_ids() {
    let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
    let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
    let store = open(Arc::clone(&faulty), &clock);
    let partition = store.create_topic("jobs", TopicConfig::new()).unwrap().partition(0).unwrap();
    enqueuer(&store).send_once("a", Record::new().value("mail")).unwrap();
    let ids = "__message_ids-0/00000000000000000000.log";
    faulty.fail(&[Call::Write, Call::Allocate], ids, (0, Times::ForEver), Fault::Error(28));
    assert_eq!(partition.delete_records(1).unwrap().start, 1);
    faulty.heal();
    assert!(matches!(enqueuer(&store).send_once("a", Record::new()), Err(Error::DuplicateMessage { .. })));
}

/// What a close could not write of ids is in the topic: nothing that was promised is lost, and the close reports what any partition's
/// does, files that it could not finish and syncs that failed, but not that.
#[test]
fn ids_that_a_bad_disk_kept_a_close_from_writing_are_refused_by_the_next_life() {
    let full = [Call::Write, Call::Allocate, Call::Create];
    for (calls, path, errno) in [
        (&full[..], "__message_ids-0/00000000000000000000.log", 28),
        (&full[..], "__message_ids-0", 28),
        (&[Call::Sync][..], "__message_ids-0", 5),
    ] {
        let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
        let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
        let store = open(Arc::clone(&faulty), &clock);
        store.create_topic("jobs", TopicConfig::new().partitions(2)).unwrap();
        let jobs = enqueuer(&store);
        (0..4_u32).for_each(|id| _ = jobs.send_once(&id.to_string(), Record::new().value("mail")).unwrap());
        faulty.forget();
        faulty.fail(calls, path, (0, Times::ForEver), Fault::Error(errno));
        let closed = store.close();
        assert_eq!(closed.is_ok(), path.ends_with(".log"), "{path}, {errno}: {closed:?}");
        assert!(calls.iter().any(|call| faulty.count(*call, path) > 0), "it was tried");
        for files in [disk.files(), disk.durable_files()] {
            let disk = MemoryFileSystem::over(&Image::new(files));
            let next = open(FaultyFileSystem::over(Arc::new(disk)), &clock);
            let jobs = enqueuer(&next);
            for id in 0..4_u32 {
                let again = jobs.send_once(&id.to_string(), Record::new());
                assert!(
                    matches!(again, Err(Error::DuplicateMessage { .. })),
                    "{id}, {path}, {errno}: {again:?}"
                );
            }
        }
    }
}

fn open(files: Arc<FaultyFileSystem>, clock: &Arc<ManualClock>) -> Store {
    let builder = Store::builder("/store").file_system(files).clock(Arc::clone(clock) as _);
    builder.maintain_by_hand().open().unwrap()
}

fn enqueuer(store: &Store) -> Enqueuer {
    store.enqueuer_builder("jobs").unique_within(HOUR, 100).build().unwrap()
}
