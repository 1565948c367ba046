//! Records for later that others have to pass, for they cannot move or were put there by a clock that was ahead.

use std::sync::Arc;
use std::time::Duration;

use annals::{Durability, Enqueuer, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, Image, MemoryFileSystem, Times};

use crate::ids_kept::Frail;
use crate::world::World;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn ids(store: &Store) -> Enqueuer {
    store.enqueuer_builder("jobs").unique_within(HOUR, 10_000).build().unwrap()
}

fn values(store: &Store, topic: &str) -> Vec<String> {
    let records = store.topic(topic).unwrap().partitions().into_iter().flat_map(|one| one.read(..).unwrap());
    records.map(|record| String::from_utf8(record.unwrap().value.unwrap()).unwrap()).collect()
}

/// Has time pass, and maintenance with it, whatever that says.
fn pass(frail: &Frail, time: Duration) {
    for _ in 0..60 {
        frail.clock.advance(time / 60);
        drop(frail.store.maintain());
    }
}

/// Those with an id and others wait on one step, when the topic of the ids can be synced no more.
fn with_poisoned_ids(rounds: usize, in_a_row: usize) -> Frail {
    let frail = Frail::new();
    for topic in ["jobs", "news"] {
        frail.store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    let (of_jobs, schedule) = (ids(&frail.store), frail.store.schedule());
    for round in 0..rounds {
        for number in 0..in_a_row {
            let id = format!("{round}-{number}");
            of_jobs.deliver_once_after(&id, Record::new().key("k").value(&id), MINUTE).unwrap();
        }
        let value = round.to_string();
        schedule.deliver_after(Record::to("news").key(&value).value(&value), MINUTE).unwrap();
        schedule.deliver_after(Record::to("jobs").key("plain").value("plain"), MINUTE).unwrap();
    }
    frail.faulty.fail_next(Call::Sync, "__message_ids", 5);
    assert!(of_jobs.send_once("last", Record::new().value("last")).is_ok());
    assert!(
        frail.store.topic("jobs").unwrap().partition(0).unwrap().delete_records(1).is_err(),
        "not synced"
    );
    frail
}

#[test]
fn what_has_no_id_goes_on_where_ids_cannot_be_synced_and_each_is_there_once_after_an_open() {
    let frail = with_poisoned_ids(3, 200);
    pass(&frail, 2 * MINUTE);
    assert_eq!(values(&frail.store, "news"), ["0", "1", "2"]);
    assert_eq!(values(&frail.store, "jobs"), ["last", "plain", "plain", "plain"]);
    assert!(frail.store.maintain().is_err(), "it is told");
    // Of those that wait one can be taken back.
    frail.store.schedule().deliver_after(Record::to("news").key("x").value("x"), HOUR).unwrap();
    assert_eq!(frail.store.schedule().cancel("news", "x").unwrap(), 1);
    assert_eq!(frail.store.schedule().cancel("news", "1").unwrap(), 0, "it was delivered");
    for (next, is_killed) in [(frail.killed(), true), (frail.without_power(), false)] {
        pass(&next, 2 * MINUTE);
        next.store.maintain().unwrap();
        let mut all = values(&next.store, "jobs");
        if is_killed {
            assert_eq!(all.iter().filter(|value| *value == "plain").count(), 3);
            all.retain(|value| value.contains('-'));
            all.sort();
            all.dedup();
            assert_eq!(all.len(), 600);
            assert_eq!(values(&next.store, "jobs").len(), 604, "each once");
            assert_eq!(values(&next.store, "news").len(), 3, "none twice");
        }
        // The next life after that has nothing left to do.
        let last = next.killed();
        let before = values(&last.store, "jobs").len();
        pass(&last, 2 * MINUTE);
        assert_eq!(values(&last.store, "jobs").len(), before);
    }
}

#[test]
fn more_than_is_looked_at_once_is_passed() {
    let frail = with_poisoned_ids(1, 1200);
    pass(&frail, 2 * MINUTE);
    assert_eq!(values(&frail.store, "news"), ["0"], "behind 1200 that stay");
    let schedule = frail.store.schedule();
    schedule.deliver_after(Record::to("news").value("later"), MINUTE).unwrap();
    pass(&frail, 2 * MINUTE);
    assert_eq!(values(&frail.store, "news").len(), 2);
}

/// One position can say of so many that they have moved. The next one says it of others.
#[test]
fn what_is_due_behind_more_gaps_than_one_position_can_say_stood_still() {
    let many = with_poisoned_ids(1500, 1);
    pass(&many, 2 * MINUTE);
    assert_eq!(values(&many.store, "news").len(), 1500);
    assert_eq!(many.store.schedule().cancel("news", "1499").unwrap(), 0, "it has moved");
    many.store.topics().iter().for_each(|topic| drop(topic.flush()));
    for (next, how) in [(many.killed(), "a kill"), (many.without_power(), "a power cut")] {
        pass(&next, 2 * MINUTE);
        next.store.maintain().unwrap();
        assert_eq!(values(&next.store, "news").len(), 1500, "{how}");
        let (plain, mut own): (Vec<_>, Vec<_>) =
            values(&next.store, "jobs").into_iter().partition(|value| value == "plain");
        assert_eq!(plain.len(), 1500, "{how}");
        own.sort();
        let all = own.len();
        own.dedup();
        assert_eq!(own.len(), all, "none twice after {how}");
        assert!(how == "a power cut" || all == 1501, "{all}");
        // One says all of it again.
        let positions =
            (1..8).map(|number| next.store.committed(&format!("__delayed_messages.{number}")).len());
        assert_eq!(positions.sum::<usize>(), 0, "{how}");
    }
}

#[test]
fn what_is_remembered_of_those_that_are_passed_is_bounded() {
    let many = with_poisoned_ids(9000, 1);
    pass(&many, 2 * MINUTE);
    let passed = values(&many.store, "news").len();
    assert!(passed > 6000 && passed < 9000, "{passed}");
}

#[test]
fn what_is_scheduled_behind_thousands_that_a_clock_ahead_has_put_there_is_on_time() {
    for (delay, is_reopened) in [(5000, false), (600_000, false), (600_000, true)] {
        let mut world = World::new(1);
        let after = Duration::from_millis;
        let later = |world: &World, value: &str| {
            let record = Record::to("jobs").value(value);
            world.store.schedule().deliver_after(record, after(delay)).unwrap();
        };
        later(&world, "first");
        world.clock.set(1_000_000 + 3_600_000);
        (0..2000).for_each(|_| later(&world, "ahead"));
        world.clock.set(1_000_000 + 100);
        if is_reopened {
            world = world.killed();
            world.store.maintain().unwrap();
        }
        later(&world, "right");
        world.store.maintain().unwrap();
        // It dies in the middle of it, and nothing is lost or twice.
        world = world.killed();
        let pass = |millis: u64| {
            world.clock.advance(after(millis));
            world.store.maintain().unwrap();
        };
        let step = (delay / 64).max(1);
        (0..64).for_each(|_| pass(step));
        (0..10).for_each(|_| pass(20));
        assert_eq!(world.values("jobs"), ["first", "right"], "{delay}, {is_reopened}");
        world.clock.set(1_000_000 + 3_600_000 + i64::try_from(delay).unwrap() - 1);
        world.store.maintain().unwrap();
        assert_eq!(world.values("jobs").len(), 2, "none is early: {delay}");
        (0..60).for_each(|_| pass(1));
        assert_eq!(world.values("jobs").len(), 2002, "{delay}, {is_reopened}");
        assert_eq!(world.killed().values("jobs").len(), 2002);
    }
}

/// It is in the middle of the step, behind others that are as old as they say.
#[test]
fn what_waits_behind_a_stretch_of_a_clock_that_was_ahead_is_on_time_where_older_ones_wait_in_front() {
    let world = World::new(1);
    let schedule = world.store.schedule();
    let later = |value: &str| schedule.deliver_after(Record::to("jobs").value(value), HOUR).unwrap();
    let mut now = 1_000_000;
    for turn in 0..5 {
        (0..600).for_each(|_| later("older"));
        world.clock.set(now + 1_800_000);
        (0..600).for_each(|_| later("ahead"));
        now += 60_000;
        world.clock.set(now);
        later(&format!("right {turn}"));
        world.store.maintain().unwrap();
    }
    let due = Arc::new(std::sync::atomic::AtomicI64::new(1_000_000 + 3_600_000));
    for turn in 0..5 {
        let at = due.fetch_add(60_000, std::sync::atomic::Ordering::SeqCst);
        world.clock.set(at + 60_000 - 1);
        (0..12).for_each(|_| world.store.maintain().unwrap());
        assert_eq!(world.values("jobs").len(), 601 * turn + 600, "{turn}");
        world.clock.set(at + 60_000 + 40);
        (0..40).for_each(|_| {
            world.clock.advance(Duration::from_millis(16));
            world.store.maintain().unwrap();
        });
        let there = world.values("jobs");
        assert!(there.contains(&format!("right {turn}")), "{turn} of {}", there.len());
    }
}

/// The clock has come to where it was before, so no time says that it was ahead.
#[test]
fn what_stands_behind_a_record_of_a_clock_that_was_ahead_is_on_time_where_a_kill_has_kept_it_there() {
    let world = World::new(1);
    let later = |world: &World, value: &str| {
        world.store.schedule().deliver_after(Record::to("jobs").value(value), 3 * HOUR).unwrap();
    };
    let hour = 3_600_000;
    world.clock.set(1_000_000 + hour);
    later(&world, "ahead");
    world.clock.set(1_000_000);
    later(&world, "right");
    let world = world.killed();
    let move_until = |at: i64| {
        world.clock.set(at);
        world.store.maintain().unwrap();
        (0..400).for_each(|_| {
            world.clock.advance(Duration::from_millis(250));
            world.store.maintain().unwrap();
        });
    };
    move_until(1_000_000 + hour + 1);
    move_until(1_000_000 + 3 * hour - 1);
    assert_eq!(world.values("jobs"), ["right"]);
    move_until(1_000_000 + 4 * hour - 1);
    assert_eq!(world.values("jobs"), ["right", "ahead"]);
}

/// A step has lost its end, and a position says of what stood there that it has moved: what is scheduled next comes to stand at the same offsets.
#[test]
fn what_is_scheduled_after_a_repair_that_has_cut_a_step_is_delivered() {
    let frail = Frail::new();
    for topic in ["x", "y", "z"] {
        let topic = frail.store.create_topic(topic, TopicConfig::new()).unwrap();
        topic.partition(0).unwrap().append(&[Record::new().value("before")], Durability::Disk).unwrap();
    }
    let send = |frail: &Frail, topic: &str, (value, millis): (&str, u64)| {
        let schedule = frail.store.schedule().durability(Durability::Disk);
        let record = Record::to(topic).key(value).value(value);
        schedule.deliver_after(record, Duration::from_millis(millis)).unwrap();
    };
    // The first one goes, the second stays, and what is behind it passes it.
    send(&frail, "z", ("first", 32));
    pass(&frail, Duration::from_millis(240));
    send(&frail, "x", ("x", 1024));
    send(&frail, "y", ("stays", 1064));
    frail.faulty.fail(&[Call::Sync], "/x-0", (0, Times::ForEver), Fault::Error(5));
    frail.clock.advance(Duration::from_millis(1024));
    drop(frail.store.maintain());
    assert!(frail.store.topic("x").unwrap().flush().is_err());
    for value in ["a", "b", "c", "d", "e", "f"] {
        send(&frail, "z", (value, 32));
        pass(&frail, Duration::from_millis(240));
    }
    // Ends are in the logs, and what has moved survives whatever becomes of the step.
    let next = frail.killed();
    next.store.close().unwrap();
    let files = next.disk.files();
    let of_step = |path: &&String| path.contains("/__delayed_messages-1/");
    let log = files.keys().rfind(|path| of_step(path) && path.ends_with(".log")).unwrap();
    let state = files.keys().find(|path| of_step(path) && path.ends_with("annals.state")).unwrap();
    // Where the state file is whole, it says how far the step went.
    for end in (0..files[log].len()).step_by(130) {
        for is_destroyed in [false, true] {
            let mut files = files.clone();
            files.insert(log.clone(), files[log][..end].into());
            if is_destroyed {
                files.insert(state.clone(), b"nothing that anybody understands".to_vec().into());
            }
            let disk = MemoryFileSystem::over(&Image::new(files));
            Store::builder("/store").file_system(Arc::new(disk.clone())).repair("/copies").unwrap();
            let next = Frail::over(disk, &frail.clock);
            for value in ["1", "2", "3", "4", "5", "6"] {
                send(&next, "z", (value, 32));
            }
            for next in [next.killed(), next.without_power(), next] {
                pass(&next, 2 * MINUTE);
                let mut values = values(&next.store, "z");
                values.retain(|value| value.parse::<u32>().is_ok());
                assert_eq!(
                    values,
                    ["1", "2", "3", "4", "5", "6"],
                    "cut at {end}, without its state: {is_destroyed}"
                );
            }
        }
    }
}
