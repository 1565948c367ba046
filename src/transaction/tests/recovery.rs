//! What an open finds out about transactions, where not all of it can be looked at or written.

use std::path::Path;

use super::world::World;
use crate::doubles::{Call, Fault, FaultyFileSystem, Times};
use crate::io::{FileSystem, OpenMode};
use crate::types::{Durability, Record};

/// A transaction in three topics that is decided and has no marker, nor any after it.
pub(super) fn decided() -> World {
    let world = World::new();
    for topic in ["one", "two", "state"] {
        world.append(topic, "before", Durability::Os).unwrap();
    }
    let mut tx = world.begin("a");
    for topic in ["one", "two", "state"] {
        tx.send(Record::to(topic).value("together")).unwrap();
    }
    tx.commit().unwrap();
    world
}

fn hide(disk: &FaultyFileSystem, topic: &str) {
    let every = [Call::Open, Call::Read, Call::List];
    disk.fail(&every, topic, (0, Times::ForEver), Fault::Error(5));
}

fn is_open(world: &World, topic: &str) -> bool {
    let partition = world.partition(topic);
    partition.stable() < partition.end()
}

#[test]
fn nothing_is_decided_while_a_topic_cannot_be_opened_that_the_decision_rests_on() {
    let world = decided().next_life_with(|disk| hide(disk, "two-0"));
    assert!(world.topics.get("two").is_err(), "it cannot be opened");
    assert!(is_open(&world, "one") && is_open(&world, "state"), "readers wait");
    assert_eq!(world.values("one"), ["before"]);
    // Others go on behind it, and so does a transaction of the same name.
    world.append("one", "behind", Durability::Os).unwrap();
    let mut tx = world.begin("a");
    tx.send(Record::to("one").value("the next")).unwrap();
    tx.send(Record::to("state").value("the next")).unwrap();
    tx.commit().unwrap();
    world.transactions.finish().unwrap();
    assert_eq!(world.values("one"), ["before"]);
    let world = world.next_life();
    assert_eq!(world.values("one"), ["before", "together", "behind", "the next"]);
    assert_eq!(world.values("two"), ["before", "together"]);
    assert_eq!(world.values("state"), ["before", "together", "the next"]);
}

#[test]
fn a_commit_marker_tells_what_a_topic_that_cannot_be_opened_holds() {
    let world = decided();
    // The markers come to one of the topics alone.
    for topic in ["two-0", "state-0"] {
        world.disk.fail(
            &[Call::Write],
            &format!("{topic}/00000000000000000000.log"),
            (0, Times::ForEver),
            Fault::Error(28),
        );
    }
    assert!(world.transactions.finish().is_err());
    let world = world.next_life_with(|disk| {
        disk.heal();
        hide(disk, "two-0");
    });
    assert_eq!(world.values("state"), ["before", "together"]);
    assert!(!is_open(&world, "one") && !is_open(&world, "state"));
    assert_eq!(world.next_life().values("two"), ["before", "together"]);
}

#[test]
fn offsets_that_were_committed_behind_an_undecided_transaction_count() {
    let world = World::new();
    for topic in ["one", "two"] {
        world.append(topic, "before", Durability::Os).unwrap();
    }
    let mut tx = world.begin("a");
    tx.send(Record::to("two").value("together")).unwrap();
    tx.commit_offsets(&world.consumer_at_end("first", "one")).unwrap();
    tx.commit().unwrap();
    world.consumer_at_end("second", "one").commit().unwrap();
    let committed = |world: &World, group: &str| {
        world.groups.committed(group, &world.partition("one")).map(|committed| committed.offset)
    };
    let world = world.next_life_with(|disk| hide(disk, "two-0"));
    assert_eq!((committed(&world, "first"), committed(&world, "second")), (None, Some(1)));
    let world = world.next_life();
    assert_eq!((committed(&world, "first"), committed(&world, "second")), (Some(1), Some(1)));
    assert_eq!(world.values("two"), ["before", "together"]);
}

/// A decision whose records are missing in one of three topics, as a power cut leaves it.
pub(super) fn missing_in_two() -> World {
    let world = World::new();
    for topic in ["one", "two", "state"] {
        world.append(topic, "before", Durability::Os).unwrap();
    }
    let bytes = world.partition("two").bytes();
    let mut tx = world.begin("a");
    for topic in ["one", "two", "state"] {
        tx.send(Record::to(topic).value("together")).unwrap();
    }
    tx.commit().unwrap();
    world.next_life_with(|disk| {
        let path = Path::new("/store/two-0/00000000000000000000.log");
        disk.open(path, OpenMode::ReadWrite).unwrap().set_len(bytes).unwrap();
        disk.forget();
    })
}

fn changes(world: &World) -> Vec<String> {
    let is_change = |done: &crate::doubles::Done| {
        !matches!(done.call, Call::Open | Call::Read | Call::List | Call::Map | Call::Len)
    };
    world.disk.trace().iter().filter(|done| is_change(done)).map(|done| format!("{done:?}")).collect()
}

#[test]
fn an_open_that_may_still_be_refused_takes_back_no_decision_on_the_disk() {
    let world = missing_in_two();
    assert_eq!(changes(&world), Vec::<String>::new());
    assert_eq!(world.values("one"), ["before"]);
    assert!(!is_open(&world, "one"));
    world.transactions.write_owed().unwrap();
    assert!(!changes(&world).is_empty());
}

#[test]
fn nothing_is_appended_where_a_decision_misses_something_before_it_is_taken_back() {
    let world = missing_in_two();
    let full = [Call::Write, Call::Allocate, Call::SetLen];
    world.disk.fail(&full, "__transaction_state-0", (0, Times::ForEver), Fault::Error(28));
    assert!(world.transactions.write_owed().unwrap_err().is_disk_full());
    for topic in ["one", "two", "state"] {
        assert!(world.append(topic, "too early", Durability::Os).unwrap_err().is_disk_full(), "{topic}");
    }
    assert!(world.transactions.finish().is_err(), "no marker either");
    // Nobody was told anything that the next life might see otherwise.
    let world = world.next_life();
    world.append("two", "in the place of what is missing", Durability::Os).unwrap();
    let world = world.next_life();
    for topic in ["one", "state"] {
        assert_eq!(world.values(topic), ["before"]);
    }
    assert_eq!(world.values("two"), ["before", "in the place of what is missing"]);
}

/// Its records bear the epoch that the decision about the transaction before it bears.
#[test]
fn a_transaction_that_a_kill_left_open_is_not_ended_by_the_decision_about_the_one_before() {
    for is_finished in [false, true] {
        let world = World::new();
        let mut first = world.begin_written("a");
        first.send(Record::to("one").value("first")).unwrap();
        first.commit().unwrap();
        if is_finished {
            world.transactions.finish().unwrap();
        }
        let mut second = world.begin_written("a");
        second.send(Record::to("one").value("second")).unwrap();
        std::mem::forget(second);
        let world = world.next_life();
        assert_eq!(world.values("one"), ["first"], "{is_finished}");
        world.transactions.finish().unwrap();
        assert_eq!(world.values("one"), ["first"], "{is_finished}");
    }
}
