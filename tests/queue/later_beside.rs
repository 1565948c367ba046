//! What is delivered later beside a topic whose sync has failed: what is for that one waits, or may be taken back, and nothing else.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Durability, Error, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

use crate::ids_kept::Frail;

const SOON: Duration = Duration::from_millis(20);
const MINUTE: Duration = Duration::from_secs(60);

fn with(topics: &[&str]) -> Frail {
    let frail = Frail::new();
    create(&frail, topics);
    frail
}

fn create(frail: &Frail, topics: &[&str]) {
    for topic in topics {
        let topic = frail.store.create_topic(topic, TopicConfig::new()).unwrap();
        topic.partition(0).unwrap().append(&[Record::new().value("before")], Durability::Disk).unwrap();
    }
}

fn schedule(frail: &Frail, topic: &str, (value, delay): (&str, Duration)) {
    let schedule = frail.store.schedule().durability(Durability::Disk);
    schedule.deliver_after(Record::to(topic).key(value).value(value), delay).unwrap();
}

fn values(store: &Store, topic: &str) -> Vec<String> {
    let records = store.topic(topic).unwrap().partition(0).unwrap().read(..).unwrap().into_iter();
    let values = records.map(|record| String::from_utf8(record.unwrap().value.unwrap()).unwrap());
    values.filter(|value| value != "before").collect()
}

/// Has time pass, and maintenance with it, whatever that says.
fn pass(frail: &Frail, time: Duration) {
    for _ in 0..20 {
        frail.clock.advance(time / 20);
        drop(frail.store.maintain());
    }
}

fn break_syncs(frail: &Frail, topic: &str) {
    let file = format!("/{topic}-0");
    frail.faulty.fail(&[Call::Sync], &file, (0, Times::ForEver), Fault::Error(5));
}

/// A record is moved to a topic, to which no sync comes any more.
fn poison(frail: &Frail, topic: &str, value: &str) {
    break_syncs(frail, topic);
    schedule(frail, topic, (value, SOON));
    pass(frail, 2 * SOON);
    assert_eq!(values(&frail.store, topic), [value]);
    let flushed = frail.store.topic(topic).unwrap().flush();
    assert!(matches!(flushed, Err(Error::Poisoned { .. })), "{flushed:?}");
}

fn sync_the_rest(frail: &Frail) {
    drop(frail.store.maintain());
    frail.store.topics().iter().for_each(|topic| drop(topic.flush()));
}

/// Each is there once, in this life and after a kill; after a power cut, too.
fn all_come_once(frail: &Frail, expected: &[(&str, &[&str])]) {
    sync_the_rest(frail);
    for (next, how) in [(frail.killed(), "a kill"), (frail.without_power(), "a power cut")] {
        for life in ["first", "second"] {
            pass(&next, 2 * MINUTE);
            for (topic, values_there) in expected {
                let mut there = values(&next.store, topic);
                there.sort();
                assert_eq!(there, *values_there, "{topic} after {how}, {life}");
            }
            next.store.maintain().unwrap();
        }
        // And in the life after that.
        let last = next.without_power();
        pass(&last, 2 * MINUTE);
        for (topic, values_there) in expected {
            assert_eq!(
                values(&last.store, topic).len(),
                values_there.len(),
                "{topic} after {how} and a power cut"
            );
        }
    }
}

#[test]
fn a_step_whose_last_move_went_to_a_poisoned_topic_moved_nothing_more() {
    let frail = with(&["x", "y"]);
    poison(&frail, "x", "x0");
    for value in ["y0", "y1", "y2"] {
        schedule(&frail, "y", (value, SOON));
        schedule(&frail, "x", (&format!("x of {value}"), SOON));
        pass(&frail, 4 * SOON);
    }
    assert_eq!(values(&frail.store, "y"), ["y0", "y1", "y2"]);
    // What was moved there is taken back by nobody.
    assert_eq!(frail.store.schedule().cancel("y", "y1").unwrap(), 0);
    assert!(matches!(frail.store.schedule().cancel("x", "x0"), Err(Error::Poisoned { .. })));
    let all: [(&str, &[&str]); 2] =
        [("x", &["x of y0", "x of y1", "x of y2", "x0"]), ("y", &["y0", "y1", "y2"])];
    all_come_once(&frail, &all);
}

#[test]
fn topics_that_are_poisoned_one_after_the_other_stop_no_other() {
    let names: Vec<String> = (0..7).map(|number| format!("t{number}")).collect();
    let topics: Vec<&str> = names.iter().map(String::as_str).chain(["y"]).collect();
    let frail = with(&topics);
    for (number, topic) in names.iter().enumerate() {
        poison(&frail, topic, "once");
        schedule(&frail, "y", (&number.to_string(), SOON));
        pass(&frail, 2 * SOON);
        assert_eq!(values(&frail.store, "y").len(), number + 1);
    }
    let once: &[&str] = &["once"];
    let mut all: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), once)).collect();
    all.push(("y", &["0", "1", "2", "3", "4", "5", "6"]));
    all_come_once(&frail, &all);
}

/// It went to another step in the same move, and from there to its topic.
#[test]
fn a_record_that_was_moved_beside_one_of_a_poisoned_topic_was_there_twice_after_a_power_cut() {
    let frail = with(&["x", "y"]);
    // Both enter one step, and leave it together: one for its topic, the other for a lower step.
    let step = Duration::from_millis(1024);
    schedule(&frail, "x", ("x", step));
    schedule(&frail, "y", ("y", step + 2 * SOON));
    schedule(&frail, "y", ("alone", 2 * step));
    break_syncs(&frail, "x");
    frail.clock.advance(step);
    drop(frail.store.maintain());
    assert_eq!(values(&frail.store, "x"), ["x"]);
    assert!(frail.store.topic("x").unwrap().flush().is_err());
    pass(&frail, 8 * SOON);
    assert!(values(&frail.store, "y").is_empty(), "it is where a power cut takes it back from");
    pass(&frail, 2 * step);
    assert_eq!(values(&frail.store, "y"), ["alone"]);
    assert!(frail.store.maintain().is_err(), "it is told");
    all_come_once(&frail, &[("x", &["x"]), ("y", &["alone", "y"])]);
}

/// Both moves come before any sync fails, and the second one's own are all on the disk.
#[test]
fn a_record_was_there_twice_after_a_power_cut_that_took_back_the_first_of_its_moves_alone() {
    let (disk, clock) = (MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
    let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
    let builder = Store::builder("/store").file_system(Arc::clone(&faulty) as _).without_live_readers();
    let store = builder.clock(Arc::clone(&clock) as _).sync_every(60 * MINUTE).open().unwrap();
    let frail = Frail { disk, faulty, clock, store };
    create(&frail, &["x", "y"]);
    let step = Duration::from_millis(1024);
    schedule(&frail, "x", ("x", step));
    schedule(&frail, "y", ("y", step + SOON));
    let is_there = |topic: &str| !values(&frail.store, topic).is_empty();
    let until = |is_over: &dyn Fn() -> bool| {
        while !is_over() {
            thread::sleep(Duration::from_millis(1));
        }
    };
    frail.clock.advance(step);
    until(&|| is_there("x"));
    frail.clock.advance(SOON);
    until(&|| is_there("y"));
    break_syncs(&frail, "x");
    sync_the_rest(&frail);
    let next = frail.without_power();
    pass(&next, 2 * MINUTE);
    assert_eq!((values(&next.store, "x"), values(&next.store, "y")), (vec!["x".into()], vec!["y".into()]));
}

#[test]
fn maintenance_has_one_position_say_all_again_in_the_next_life() {
    let frail = with(&["x", "y"]);
    poison(&frail, "x", "x");
    schedule(&frail, "y", ("y", SOON));
    pass(&frail, 2 * SOON);
    sync_the_rest(&frail);
    let groups = |frail: &Frail| -> usize {
        (1..8).map(|number| frail.store.committed(&format!("__delayed_messages.{number}")).len()).sum()
    };
    assert_eq!(groups(&frail), 1);
    let next = frail.killed();
    assert_eq!(groups(&next), 1);
    pass(&next, MINUTE);
    assert_eq!(groups(&next), 0);
    all_come_once(&next, &[("x", &["x"]), ("y", &["y"])]);
}

/// It stands behind one that may be taken back to where it was, and moves before that one does, in a move that the power cut takes back.
#[test]
fn a_record_was_lost_with_a_power_cut_where_one_in_front_of_it_moved_after_it() {
    let frail = with(&["x", "y", "z"]);
    // It stays in the lowest step: the move beside which it came there may be taken back.
    let step = Duration::from_millis(1024);
    schedule(&frail, "x", ("x", step));
    schedule(&frail, "y", ("y", step + 2 * SOON));
    break_syncs(&frail, "x");
    frail.clock.advance(step);
    drop(frail.store.maintain());
    assert!(frail.store.topic("x").unwrap().flush().is_err());
    pass(&frail, 8 * SOON);
    assert!(values(&frail.store, "y").is_empty());
    // One behind it moves, and that may be taken back, too.
    break_syncs(&frail, "z");
    schedule(&frail, "z", ("z", Duration::from_millis(32)));
    pass(&frail, 4 * SOON);
    assert_eq!(values(&frail.store, "z"), ["z"]);
    assert!(frail.store.topic("z").unwrap().flush().is_err());
    // Then the first one moves, by another position.
    frail.store.delete_topic("x").unwrap();
    pass(&frail, MINUTE);
    assert_eq!(values(&frail.store, "y"), ["y"]);
    all_come_once(&frail, &[("y", &["y"]), ("z", &["z"])]);
}

/// What a clock that was ahead has put behind another goes to a step that cannot be synced any more.
#[test]
fn a_record_that_a_clock_ahead_had_put_behind_another_was_lost_with_a_power_cut() {
    let frail = with(&["x"]);
    let hour = 60 * MINUTE;
    // Files are made before a sync fails.
    schedule(&frail, "x", ("other", 2 * hour));
    schedule(&frail, "x", ("first", hour));
    frail.clock.advance(hour);
    schedule(&frail, "x", ("second", hour));
    frail.clock.set(1_000_000);
    schedule(&frail, "x", ("third", hour));
    // It goes from the step of 35 minutes to that of 70.
    frail.faulty.fail(&[Call::Sync], "/__delayed_messages-18", (0, Times::ForEver), Fault::Error(5));
    drop(frail.store.maintain());
    let delayed = frail.store.topic("__delayed_messages").unwrap();
    assert!(delayed.partition(18).unwrap().end() > 1);
    let flushed = delayed.flush();
    assert!(matches!(flushed, Err(Error::Poisoned { .. })), "{flushed:?}");
    pass(&frail, hour + MINUTE);
    assert_eq!(values(&frail.store, "x"), ["first", "third"]);
    sync_the_rest(&frail);
    let next = frail.without_power();
    for life in ["first", "second"] {
        pass(&next, 4 * hour);
        let mut there = values(&next.store, "x");
        there.sort();
        assert_eq!(there, ["first", "other", "second", "third"], "{life}");
    }
}

#[test]
fn what_was_for_a_topic_of_whose_deletion_nobody_knows_went_nowhere() {
    let frail = with(&["x"]);
    schedule(&frail, "x", ("later", MINUTE));
    frail.faulty.fail(&[Call::Rename], "annals.topics", (0, Times::Once), Fault::Error(5));
    let deleted = frail.store.delete_topic("x");
    assert!(matches!(deleted, Err(Error::Poisoned { .. })), "{deleted:?}");
    let found = frail.store.topic("x");
    assert!(matches!(found, Err(Error::Poisoned { .. })), "{found:?}");
    pass(&frail, 2 * MINUTE);
    sync_the_rest(&frail);
    let next = frail.without_power();
    pass(&next, 2 * MINUTE);
    assert_eq!(values(&next.store, "x"), ["later"]);
}

/// The move to a third topic fails to be synced while positions are joined: a consumer that has committed nothing there is no reason to have
/// it outlived.
#[test]
fn a_record_was_lost_where_positions_were_joined_while_a_consumer_read_the_steps() {
    let frail = with(&["x", "y", "z"]);
    poison(&frail, "x", "x");
    schedule(&frail, "y", ("y", SOON));
    pass(&frail, 2 * SOON);
    sync_the_rest(&frail);
    let next = frail.killed();
    let mut watch = next.store.consumer("watch").unwrap();
    watch.subscribe(["__delayed_messages"]).unwrap();
    schedule(&next, "z", ("z", Duration::from_millis(16)));
    let z = next.store.topic("z").unwrap().partition(0).unwrap();
    z.append(&[Record::new().value("before")], Durability::Disk).unwrap();
    break_syncs(&next, "z");
    next.clock.advance(SOON);
    drop(next.store.maintain());
    assert_eq!(values(&next.store, "z"), ["z"]);
    drop(watch);
    all_come_once(&next, &[("x", &["x"]), ("y", &["y"]), ("z", &["z"])]);
}
