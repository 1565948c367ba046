//! What has to be before a commit returns, and what becomes of decisions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::world::World;
use crate::doubles::{Call, Fault, Times};
use crate::error::Error;
use crate::log::{Isolation, Standing};
use crate::types::{Durability, Record};
use crate::upkeep::{Chore, Reason};

const TOPICS: [&str; 3] = ["one", "two", "state"];

fn send_all(tx: &mut crate::transaction::Transaction, value: &str) {
    for topic in TOPICS {
        tx.send(Record::to(topic).value(value)).unwrap();
    }
}

#[test]
fn everything_that_a_commit_at_disk_rests_on_is_durable_when_it_returns() {
    let world = World::new();
    world.append("one", "input", Durability::Os).unwrap();
    let mut tx = world.builder("a").durability(Durability::Disk).begin().unwrap();
    for topic in ["two", "state"] {
        tx.send(Record::to(topic).value("output")).unwrap();
    }
    tx.commit_offsets(&world.consumer_at_end("group", "one")).unwrap();
    tx.commit().unwrap();
    for topic in ["one", "two", "state", "__consumer_offsets", "__transaction_state"] {
        assert!(world.partition(topic).durable() >= 1, "{topic}");
    }
    // The one-partition way too, its end included.
    let mut tx = world.builder("b").durability(Durability::Disk).begin().unwrap();
    tx.send(Record::to("one").value("alone")).unwrap();
    tx.commit().unwrap();
    let one = world.partition("one");
    assert_eq!((one.durable(), one.end()), (3, 3));
}

#[test]
fn a_commit_at_disk_takes_those_along_that_it_has_seen() {
    let send = |world: &World, (name, durability), topics: &[&str]| {
        let mut tx = world.builder(name).durability(durability).begin().unwrap();
        for topic in topics {
            tx.send(Record::to(topic).value(name)).unwrap();
        }
        tx
    };
    type End = fn(&World, crate::transaction::Transaction);
    let ways: [(&str, &[&str], End); 4] = [
        // Records behind its own; and those of one behind that one.
        ("one", &["two", "state"], |_, tx| drop(tx.commit().unwrap())),
        ("alone", &["two"], |_, tx| drop(tx.commit().unwrap())),
        ("a condition", &["other"], |world, mut tx| {
            tx.expect_end(&world.partition("two"), 1);
            tx.commit().unwrap();
        }),
        ("offsets", &["other"], |world, mut tx| {
            tx.commit_offsets(&world.consumer_at_end("group", "two")).unwrap();
            tx.commit().unwrap();
        }),
    ];
    for (way, topics, end) in ways {
        let world = World::new();
        world.topics.create("other", &crate::topic::TopicConfig::new()).unwrap();
        world.topics.create("apart", &crate::topic::TopicConfig::new()).unwrap();
        send(&world, ("a", Durability::Os), &["one", "state"]).commit().unwrap();
        send(&world, ("b", Durability::Os), &["one", "two"]).commit().unwrap();
        send(&world, ("c", Durability::Os), &["apart"]).commit().unwrap();
        end(&world, send(&world, ("d", Durability::Disk), topics));
        for topic in ["one", "two", "state", "__transaction_state"] {
            assert!(world.partition(topic).durable() >= 1, "{way}: {topic}");
        }
        assert_eq!(world.partition("apart").durable(), 0, "{way}: nobody has seen it");
    }
    // What an earlier life has committed is in the page cache, perhaps.
    let world = World::new();
    send(&world, ("a", Durability::Os), &["one", "two"]).commit().unwrap();
    let world = world.next_life();
    send(&world, ("b", Durability::Disk), &["one"]).commit().unwrap();
    assert!(world.partition("two").durable() >= 1);
}

#[test]
fn a_flush_takes_the_other_halves_of_transactions_along() {
    let world = World::new();
    let mut tx = world.begin("a");
    send_all(&mut tx, "x");
    tx.commit().unwrap();
    world.partition("one").flush().unwrap();
    assert!(TOPICS.iter().all(|topic| world.partition(topic).durable() >= 1));
    let one = world.partition("one");
    assert_eq!((one.durable(), one.end()), (2, 2), "its end is there, and durable too");
}

#[test]
fn no_marker_stands_in_a_file_before_what_it_rests_on_is_durable() {
    let world = World::new();
    let mut tx = world.begin("a");
    send_all(&mut tx, "x");
    tx.commit().unwrap();
    let ends = || TOPICS.map(|topic| world.partition(topic).end());
    assert_eq!(ends(), [1; 3], "decided, and no marker");
    assert_eq!(world.values("one"), ["x"], "readers know");
    world.disk.fail(&[Call::Sync], "two-0", (0, Times::ForEver), Fault::Error(5));
    assert!(world.transactions.finish().is_err());
    assert_eq!(ends(), [1; 3], "one sync has failed");
    let world = world.next_life();
    assert_eq!(world.values("state"), ["x"]);
    world.transactions.finish().unwrap();
    assert_eq!(TOPICS.map(|topic| world.partition(topic).end()), [2; 3]);
    assert!(TOPICS.iter().all(|topic| world.partition(topic).durable() >= 1));
}

/// A commit at `Os` waits for none of it. Its end does, in the next life, too: it would say of records that a power cut has taken that they are done.
#[test]
fn no_marker_stands_in_a_file_before_what_its_offsets_are_of_is_durable() {
    let world = World::new();
    world.append("one", "input", Durability::Os).unwrap();
    let mut tx = world.begin("a");
    for topic in ["two", "state"] {
        tx.send(Record::to(topic).value("output")).unwrap();
    }
    tx.commit_offsets(&world.consumer_at_end("group", "one")).unwrap();
    tx.commit().unwrap();
    assert_eq!(world.partition("one").durable(), 0);
    world.disk.fail(&[Call::Sync], "one-0", (0, Times::ForEver), Fault::Error(5));
    let ends = |world: &World| ["two", "state"].map(|topic| world.partition(topic).end());
    assert!(world.transactions.finish().is_err());
    assert_eq!(ends(&world), [1; 2], "the sync of what was read has failed");
    let world = world.next_life();
    world.disk.fail(&[Call::Sync], "one-0", (0, Times::ForEver), Fault::Error(5));
    assert!(world.transactions.finish().is_err());
    assert_eq!(ends(&world), [1; 2], "and so it has in the next life");
    let world = world.next_life();
    world.transactions.finish().unwrap();
    assert_eq!((ends(&world), world.partition("one").durable()), ([2; 2], 1));
}

#[test]
fn a_commit_whose_sync_fails_is_undecided_for_one_partition_too() {
    let world = World::new();
    world.append("one", "before", Durability::Disk).unwrap();
    let mut tx = world.builder("a").durability(Durability::Disk).begin().unwrap();
    tx.send(Record::to("one").value("alone")).unwrap();
    world.disk.fail(&[Call::Sync], "one-0", (0, Times::ForEver), Fault::Error(5));
    match tx.commit() {
        Err(Error::Undecided { name, cause }) => {
            assert_eq!(name, "a");
            assert!(matches!(*cause, Error::Io { .. } | Error::Poisoned { .. }), "{cause}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(world.next_life().values("one"), ["before", "alone"], "the page cache has all of it");
}

#[test]
fn a_decision_that_cannot_be_written_is_an_abort() {
    let world = World::new();
    for topic in TOPICS {
        world.append(topic, "before", Durability::Os).unwrap();
    }
    let mut tx = world.begin("a");
    send_all(&mut tx, "never");
    world.disk.fail(
        &[Call::Write, Call::Allocate, Call::Create],
        "__transaction_state",
        (0, Times::ForEver),
        Fault::Error(28),
    );
    let refused = tx.commit().unwrap_err();
    assert!(refused.is_disk_full(), "{refused}");
    world.disk.heal();
    for topic in TOPICS {
        assert_eq!(world.partition(topic).stable(), world.partition(topic).end(), "{topic}");
        assert_eq!(world.values(topic), ["before"]);
    }
    let mut tx = world.begin("a");
    send_all(&mut tx, "next");
    tx.commit().unwrap();
    assert_eq!(world.next_life().values("two"), ["before", "next"]);
}

#[test]
fn decisions_are_kept_until_their_markers_are_durable() {
    let world = World::new();
    for number in 0..3 {
        let mut tx = world.begin("a");
        send_all(&mut tx, &number.to_string());
        tx.commit().unwrap();
    }
    let decisions = |world: &World| {
        world.topics.get("__transaction_state").unwrap().compact().unwrap();
        let all = world.partition("__transaction_state").read(..).unwrap();
        all.isolation(Isolation::ReadUncommitted).into_iter().count()
    };
    assert_eq!(decisions(&world), 3, "no marker is written");
    world.transactions.finish().unwrap();
    assert_eq!(decisions(&world), 3, "no marker is durable");
    for topic in TOPICS {
        world.partition(topic).flush().unwrap();
    }
    // The next round notices.
    let mut tx = world.begin("b");
    send_all(&mut tx, "last");
    tx.commit().unwrap();
    world.transactions.finish().unwrap();
    assert!(decisions(&world) < 4, "of each name the last one is left");
}

/// They would be kept for as long as the store is open.
#[test]
fn decisions_are_let_go_of_after_a_panic_while_markers_were_written() {
    let world = World::new();
    let commit = |value: &str| {
        let mut tx = world.builder("a").durability(Durability::Disk).begin().unwrap();
        send_all(&mut tx, value);
        tx.commit()
    };
    commit("0").unwrap();
    // Of two writes of the next commit to it the second is the end.
    world.disk.fail(&[Call::Write], "two-0/00000000000000000000.log", (1, Times::Once), Fault::Panic);
    let panicked = catch_unwind(AssertUnwindSafe(|| commit("1")));
    assert!(panicked.is_err());
    assert_eq!(world.transactions.outstanding.lock().deciding, [0; 0]);
}

#[test]
fn a_transaction_whose_time_is_over_is_aborted_and_told_so() {
    let world = World::new();
    let mut slow = world.builder("slow").buffer_bytes(0).timeout(Duration::from_millis(1)).begin().unwrap();
    let mut quick = world.begin_written("quick");
    send_all(&mut slow, "slow");
    send_all(&mut quick, "quick");
    std::thread::sleep(Duration::from_millis(3));
    Arc::clone(&world.transactions).run(Reason::Due).unwrap();
    assert!(matches!(slow.send(Record::to("one").value("late")), Err(Error::TransactionExpired { .. })));
    match slow.commit() {
        Err(Error::TransactionExpired { name }) => assert_eq!(name, "slow"),
        other => panic!("{other:?}"),
    }
    quick.commit().unwrap();
    for topic in TOPICS {
        assert_eq!(world.values(topic), ["quick"]);
    }
    assert_eq!(world.next_life().values("one"), ["quick"]);
}

#[test]
fn offsets_of_a_transaction_that_is_refused_do_not_count() {
    let world = World::new();
    world.append("one", "input", Durability::Os).unwrap();
    let mut tx = world.begin("a");
    tx.send(Record::to("two").value("output")).unwrap();
    tx.commit_offsets(&world.consumer_at_end("group", "one")).unwrap();
    tx.expect_end(&world.partition("state"), 7);
    assert!(matches!(tx.commit(), Err(Error::UnexpectedEnd { .. })));
    let committed = |world: &World| world.groups.committed("group", &world.partition("one"));
    assert!(committed(&world).is_none());
    assert!(committed(&world.next_life()).is_none());
}

#[test]
fn each_transaction_of_a_producer_has_an_epoch_of_its_own_and_its_end_the_next_one() {
    let world = World::new();
    let one = world.partition("one");
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut tx = world.begin_written("a");
        send_all(&mut tx, "x");
        let open = one.log().open_transactions()[0];
        let standing = || one.log().standing((open.producer_id, open.producer_epoch));
        assert_eq!(standing(), Standing::Open { last: open.last });
        tx.commit().unwrap();
        world.transactions.finish().unwrap();
        assert_eq!(standing(), Standing::Ended, "its marker shuts it out");
        seen.push((open.producer_id, open.producer_epoch));
    }
    let producer = seen[0].0;
    assert_eq!(seen, [(producer, 0), (producer, 1), (producer, 2)]);
}

#[test]
fn readers_stop_at_the_first_record_of_the_oldest_transaction_that_is_left() {
    let world = World::new();
    let mut open: Vec<_> = ["a", "b", "c"].map(|name| world.begin_written(name)).into();
    for tx in &mut open {
        tx.send(Record::to("one").value("x")).unwrap();
    }
    let mut open = open.into_iter();
    let stable = || world.partition("one").stable();
    assert_eq!(stable(), 0);
    let (first, second, third) = (open.next(), open.next(), open.next());
    drop(second);
    assert_eq!(stable(), 0);
    first.unwrap().commit().unwrap();
    assert_eq!(stable(), 2, "the second was aborted, the third is left");
    drop(third);
    assert_eq!(stable(), world.partition("one").end());
}
