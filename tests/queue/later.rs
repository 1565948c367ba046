//! Records that are delivered later.
//!
//! `ANNALS_DELAYED=1000000 cargo test --release --test queue later::many -- --nocapture`

use std::collections::BTreeMap;
use std::time::Duration;

use annals::io::Clock;
use annals::{CleanupPolicy, Error, Record, TopicConfig, WhenFull};
use annals_testing::Random;

use crate::world::{World, take};

fn delivered(world: &World) -> Vec<String> {
    world.values("jobs")
}

#[test]
fn a_record_is_in_its_topic_from_its_time_on_and_not_before() {
    let world = World::new(1);
    let schedule = world.store.schedule();
    schedule
        .deliver_after(Record::to("jobs").key("k").value("later").header("h", "1"), Duration::from_secs(100))
        .unwrap();
    schedule.deliver_at(Record::to("jobs").value("past"), 5).unwrap();
    assert_eq!(delivered(&world), ["past"]);
    for _ in 0..1000 {
        assert_eq!(delivered(&world).len(), 1, "at {}", world.clock.now());
        world.clock.advance(Duration::from_millis(100));
        if world.clock.now() < 1_000_000 + 100_000 {
            world.store.maintain().unwrap();
        }
    }
    world.store.maintain().unwrap();
    world.clock.advance(Duration::from_millis(16));
    world.store.maintain().unwrap();
    let message = take(&mut world.worker(), 2).remove(1);
    assert_eq!((message.key.as_deref(), message.value.as_deref()), (Some(&b"k"[..]), Some(&b"later"[..])));
    assert_eq!(message.headers.len(), 1, "{:?}", message.headers);
    assert!(message.timestamp >= 1_100_000, "{}", message.timestamp);
}

#[test]
fn each_is_delivered_once_whenever_the_process_dies() {
    for seed in 0..3 {
        let mut random = Random::new(seed);
        let mut world = World::new(2);
        let mut due = BTreeMap::new();
        for step in 0..120 {
            let name = format!("job {step}");
            let most = 1 << random.below(18);
            let delay = random.below(most);
            let at = world.clock.now() + i64::try_from(delay).unwrap();
            world.store.schedule().deliver_at(Record::to("jobs").value(&name), at).unwrap();
            due.insert(name, at);
            world.clock.advance(Duration::from_millis(random.below(300)));
            match random.below(4) {
                0 => world = world.killed(),
                1 => {}
                _ => world.store.maintain().unwrap(),
            }
            for name in delivered(&world) {
                assert!(due[&name] <= world.clock.now(), "{name} is early");
            }
        }
        for _ in 0..40 {
            world.clock.advance(Duration::from_secs(10));
            world.store.maintain().unwrap();
        }
        let mut all = delivered(&world);
        all.sort();
        let mut expected: Vec<_> = due.into_keys().collect();
        expected.sort();
        assert_eq!(all, expected, "seed {seed}");
        assert_eq!(delivered(&world.killed()).len(), 120);
    }
}

#[test]
fn a_topic_that_takes_nothing_or_is_gone_is_in_no_others_way() {
    let world = World::new(1);
    world.store.create_topic("full", TopicConfig::new().size_limit(1, WhenFull::Fail)).unwrap();
    world.store.create_topic("gone", TopicConfig::new()).unwrap();
    let schedule = world.store.schedule();
    for topic in ["full", "gone", "full", "jobs", "gone", "full"] {
        schedule.deliver_after(Record::to(topic).value(topic), Duration::from_secs(1)).unwrap();
    }
    assert!(matches!(
        schedule.deliver_after(Record::to("nowhere"), Duration::ZERO),
        Err(Error::UnknownTopic { .. })
    ));
    world.store.delete_topic("gone").unwrap();
    world.store.create_topic("gone", TopicConfig::new()).unwrap();
    let pass = || {
        for _ in 0..30 {
            world.clock.advance(Duration::from_millis(200));
            world.store.maintain().unwrap();
        }
    };
    pass();
    assert_eq!(delivered(&world), ["jobs"]);
    assert!(world.values("gone").is_empty());
    let before = world.values("full").len();
    assert!(before < 3);
    world.store.alter_topic("full", TopicConfig::new().size_limit(1 << 20, WhenFull::Fail)).unwrap();
    (0..3).for_each(|_| pass());
    assert_eq!(world.values("full").len(), 3);
}

#[test]
fn many_wait_in_little_memory_and_their_room_is_given_back() {
    let count = std::env::var("ANNALS_DELAYED").ok().and_then(|count| count.parse().ok()).unwrap_or(3000_u64);
    let world = World::new(1);
    let schedule = world.store.schedule();
    let mut random = Random::new(7);
    let began = std::time::Instant::now();
    for number in 0..count {
        let delay = Duration::from_millis(random.below(100_000));
        schedule.deliver_after(Record::to("jobs").value(&number.to_be_bytes()), delay).unwrap();
    }
    println!("{count} sent in {:?}", began.elapsed());
    let began = std::time::Instant::now();
    let world = world.killed();
    println!("opened in {:?}", began.elapsed());
    let began = std::time::Instant::now();
    let jobs = world.store.topic("jobs").unwrap().partition(0).unwrap();
    for _ in 0..1100 {
        world.clock.advance(Duration::from_millis(100));
        world.store.maintain().unwrap();
    }
    let records: usize = jobs.read(..).unwrap().into_iter().map(|record| record.map(|_| 1).unwrap()).sum();
    println!("{records} delivered in {:?}", began.elapsed());
    assert_eq!(u64::try_from(records).unwrap(), count);
    assert_eq!(take(&mut world.worker(), 1).len(), 1);
}

/// The files of a store that hold some bytes.
fn holding(world: &World, what: &[u8]) -> Vec<String> {
    let files = world.disk.files();
    let holds = |bytes: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    files.into_iter().filter(|(_, bytes)| holds(bytes)).map(|(path, _)| path).collect()
}

#[test]
fn who_is_erased_is_in_no_file_of_what_waits_and_of_dead_letters_and_gets_nothing_later() {
    for cleanup in [CleanupPolicy::Delete, CleanupPolicy::Compact] {
        let world = World::new(2);
        let config = || TopicConfig::new().partitions(2).cleanup_policy(cleanup);
        world.store.create_topic("mails", config()).unwrap();
        world.store.create_topic("letters", config()).unwrap();
        let schedule = world.store.schedule();
        for (to, text) in [("alice", "to alice@secret"), ("bob", "to bob@home")] {
            world.store.producer().send(Record::to("mails").key(to).value(text)).unwrap();
            // One is moved once before, and its copy is still there.
            schedule
                .deliver_after(Record::to("mails").key(to).value(text), Duration::from_secs(600))
                .unwrap();
            schedule
                .deliver_after(Record::to("mails").key(to).value(text), Duration::from_secs(50_000))
                .unwrap();
            // Of another topic.
            schedule
                .deliver_after(Record::to("jobs").key(to).value("a job"), Duration::from_secs(600))
                .unwrap();
        }
        let postmen = world.store.queue_builder("mails", "postmen").dead_letter_topic("letters");
        for mut worker in [postmen.build().unwrap(), world.store.queue("mails", "others").unwrap()] {
            take(&mut worker, 9).into_iter().for_each(|message| message.reject("no").unwrap());
        }
        world.pass(550);
        world.store.maintain().unwrap();
        assert!(holding(&world, b"alice@secret").len() > 3);
        let reports = world.store.erase("mails", "alice").unwrap();
        assert!(reports.iter().map(|report| report.records).sum::<u64>() >= 5, "{reports:?}");
        assert_eq!(holding(&world, b"alice@secret"), Vec::<String>::new());
        let world = world.without_power();
        // A file that retention had removed before may be back until its partition is written to, or erased from.
        assert_eq!(
            world.store.erase("mails", "alice").unwrap().iter().map(|report| report.records).sum::<u64>(),
            0
        );
        assert_eq!(holding(&world, b"alice@secret"), Vec::<String>::new());
        let mut letters = world.store.dead_letters_in("letters", "mails", "postmen").unwrap();
        assert_eq!(letters.take(9).unwrap().len(), 1, "that of bob");
        for _ in 0..400 {
            world.pass(300);
            world.store.maintain().unwrap();
        }
        let mails = world.values("mails");
        assert!(mails.iter().all(|mail| mail == "to bob@home") && mails.len() == 3, "{mails:?}");
        assert_eq!(world.values("jobs").len(), 2);
    }
}

#[test]
fn what_is_cancelled_is_delivered_in_no_life() {
    let world = World::new(1);
    let schedule = world.store.schedule();
    let later = |key: &str, seconds: u64| {
        schedule.deliver_after(Record::to("jobs").key(key).value(key), Duration::from_secs(seconds)).unwrap();
    };
    for seconds in [10, 1000] {
        later("kept", seconds);
        later("cancelled", seconds);
    }
    world.pass(20);
    world.store.maintain().unwrap();
    (0..50).for_each(|_| {
        world.clock.advance(Duration::from_millis(16));
        world.store.maintain().unwrap();
    });
    assert_eq!(delivered(&world).len(), 2);
    assert_eq!(schedule.cancel("jobs", "cancelled").unwrap(), 1, "one was delivered before");
    assert_eq!(schedule.cancel("jobs", "cancelled").unwrap(), 0);
    assert!(matches!(schedule.cancel("nothing", "cancelled"), Err(Error::UnknownTopic { .. })));
    let world = world.without_power();
    for _ in 0..60 {
        world.pass(30);
        world.store.maintain().unwrap();
    }
    let mut all = delivered(&world);
    all.sort();
    assert_eq!(
        all.iter().filter(|job| *job == "cancelled").count(),
        all.iter().filter(|job| *job == "kept").count() - 1
    );
}

/// One that waits was scheduled by a clock that was an hour ahead: it is there by the clock, and nothing that is scheduled after it waits for
/// it, whatever steps they share.
#[test]
fn what_is_scheduled_after_a_clock_was_set_back_is_on_time() {
    for delay in [20, 40, 5000, 600_000] {
        let world = World::new(1);
        world.clock.set(10_000_000);
        let schedule = world.store.schedule();
        let after = Duration::from_millis;
        schedule.deliver_after(Record::to("jobs").value("ahead"), after(delay)).unwrap();
        world.clock.set(10_000_000 - 3_600_000);
        schedule.deliver_after(Record::to("jobs").value("right"), after(delay)).unwrap();
        let pass = |millis: u64| {
            world.clock.advance(after(millis));
            world.store.maintain().unwrap();
        };
        let step = (delay / 64).max(1);
        for _ in 0..(delay - 1) / step {
            pass(step);
            assert!(delivered(&world).is_empty(), "{delay}");
        }
        pass(step + 16);
        assert_eq!(delivered(&world), ["right"], "{delay}");
        // Before the clock is where it was.
        (0..3).for_each(|_| pass(1000));
        schedule.deliver_after(Record::to("jobs").value("last"), after(delay)).unwrap();
        (0..80).for_each(|_| pass(step));
        assert_eq!(delivered(&world), ["right", "last"], "{delay}");
        world.clock.set(10_000_000 + i64::try_from(delay).unwrap() - 1);
        world.store.maintain().unwrap();
        assert_eq!(delivered(&world).len(), 2, "{delay}");
        (0..40).for_each(|_| pass(1));
        assert_eq!(delivered(&world), ["right", "last", "ahead"], "{delay}");
    }
}

#[test]
fn what_was_taken_back_leaves_no_files_behind() {
    let world = World::new(1);
    let schedule = world.store.schedule();
    let segments = |world: &World| {
        let topic = world.store.topic("__delayed_messages").unwrap();
        topic.partitions().iter().map(|one| one.stats().unwrap().segments).max().unwrap()
    };
    for _ in 0..20 {
        schedule
            .deliver_after(Record::to("jobs").key("k").value("never"), Duration::from_secs(3600))
            .unwrap();
        assert_eq!(schedule.cancel("jobs", "k").unwrap(), 1);
    }
    assert!(segments(&world) > 10, "each was in a segment of its own");
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(3600));
        world.store.maintain().unwrap();
    }
    assert!(segments(&world) < 3, "{}", segments(&world));
    // What comes later waits and comes as ever, in this life and the next.
    schedule.deliver_after(Record::to("jobs").value("once"), Duration::from_secs(3600)).unwrap();
    let world = world.killed();
    world.store.maintain().unwrap();
    assert!(delivered(&world).is_empty());
    for _ in 0..8 {
        world.clock.advance(Duration::from_secs(1800));
        world.store.maintain().unwrap();
    }
    assert_eq!(delivered(&world), ["once"]);
}
