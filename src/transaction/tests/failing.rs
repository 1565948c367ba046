//! Every call of a commit, an abort and an open fails once, for a while or for good: what is told is what the next lives find.

use std::collections::BTreeSet;

use super::recovery::{decided, missing_in_two};
use super::world::World;
use crate::doubles::{Call, Fault, Times};
use crate::error::{Error, Result};
use crate::types::{Durability, Record};

const TOPICS: [&str; 3] = ["one", "two", "state"];
const CHANGES: [Call; 8] = [
    Call::Create,
    Call::Write,
    Call::SetLen,
    Call::Allocate,
    Call::Sync,
    Call::SyncDir,
    Call::Rename,
    Call::Remove,
];

/// The error of a call that fails, and whether all after it fail.
const FAULTS: [(i32, bool); 4] = [(28, false), (28, true), (5, false), (5, true)];

/// A world in which one transaction is committed, one aborted, and every topic was written to.
fn begun() -> World {
    let world = World::new();
    for topic in TOPICS {
        world.append(topic, "before", Durability::Os).unwrap();
    }
    let mut tx = world.builder("first").durability(Durability::Disk).begin().unwrap();
    send_all(&mut tx, "first").unwrap();
    tx.commit().unwrap();
    world
}

fn send_all(tx: &mut crate::transaction::Transaction, value: &str) -> Result<()> {
    TOPICS.iter().try_for_each(|topic| tx.send(Record::to(topic).value(value)))
}

/// Which of the values each topic shows: the same ones.
fn shown(world: &World, what: &str) -> BTreeSet<String> {
    let of = |topic: &str| world.values(topic).into_iter().collect::<BTreeSet<_>>();
    let shown = of("one");
    for topic in TOPICS {
        assert_eq!(of(topic), shown, "{what}: half of a transaction is visible in {topic}");
    }
    assert!(shown.contains("before") && shown.contains("first"), "{what}: {shown:?}");
    shown
}

/// Does `act` with the `nth` call failing, and looks at what the next two lives find.
fn try_out(nth: usize, fault: (i32, bool), act: fn(&World) -> Result<()>) -> (bool, &'static str) {
    let world = begun();
    let times = if fault.1 { Times::ForEver } else { Times::Once };
    world.disk.fail(&CHANGES, "", (nth, times), Fault::Error(fault.0));
    let told = act(&world);
    let has_struck = world.disk.trace().iter().any(|done| done.struck);
    world.disk.heal();
    let what = format!("call {nth} {fault:?}: {told:?}");
    // What did not fail as a whole may still have been cut short in what follows it.
    drop(world.transactions.finish());
    let world = world.next_life();
    let next = shown(&world, &what);
    let outcome = match &told {
        Ok(()) => "ok",
        Err(Error::Undecided { .. }) => "undecided",
        Err(_) => "refused",
    };
    match outcome {
        "ok" => assert!(next.contains("second"), "{what}: it was acknowledged"),
        "refused" => assert!(!next.contains("second"), "{what}: it was refused"),
        _ => {}
    }
    world.transactions.write_owed().unwrap();
    world.transactions.finish().unwrap();
    let world = world.next_life();
    assert_eq!(shown(&world, &what), next, "{what}: the life after that finds something else");
    for topic in TOPICS {
        assert_eq!(
            world.partition(topic).stable(),
            world.partition(topic).end(),
            "{what}: left open in {topic}"
        );
    }
    (has_struck, outcome)
}

/// One call after the other, until there is none left to fail.
fn each_call(act: fn(&World) -> Result<()>) -> BTreeSet<&'static str> {
    let mut outcomes = BTreeSet::new();
    for fault in FAULTS {
        for nth in 0.. {
            let (has_struck, outcome) = try_out(nth, fault, act);
            outcomes.insert(outcome);
            if !has_struck {
                break;
            }
            assert!(nth < 1_000, "it does not end");
        }
    }
    outcomes
}

#[test]
fn a_commit_whose_calls_fail_is_whole_or_nothing() {
    let commit = |world: &World| {
        let mut tx = world.builder("second").durability(Durability::Disk).begin()?;
        send_all(&mut tx, "second")?;
        tx.commit().map(drop)
    };
    assert_eq!(each_call(commit), BTreeSet::from(["ok", "refused", "undecided"]));
    let at_os = |world: &World| {
        let mut tx = world.builder("second").begin()?;
        send_all(&mut tx, "second")?;
        tx.commit()?;
        // Failures of what follows are those of others.
        drop(world.transactions.finish());
        Ok(())
    };
    assert!(each_call(at_os).contains("ok"));
}

#[test]
fn what_is_written_before_its_commit_is_whole_or_nothing_too() {
    let commit = |world: &World| {
        let mut tx = world.builder("second").buffer_bytes(0).durability(Durability::Disk).begin()?;
        send_all(&mut tx, "second")?;
        tx.commit().map(drop)
    };
    assert_eq!(each_call(commit), BTreeSet::from(["ok", "refused", "undecided"]));
}

#[test]
fn an_abort_whose_calls_fail_leaves_nothing() {
    let abort = |world: &World| {
        let mut tx = world.builder("second").buffer_bytes(0).begin()?;
        send_all(&mut tx, "second")?;
        tx.abort()?;
        Err(Error::invalid("it was aborted"))
    };
    assert_eq!(each_call(abort), BTreeSet::from(["refused"]));
}

/// What an open has found out does not change, whatever fails while it is brought into the files.
fn each_call_of_a_recovery(left: fn() -> World, finds: &[&str]) {
    for fault in [(28, false), (5, true)] {
        for nth in 0.. {
            let world = left();
            let what = format!("call {nth} {fault:?}");
            let check = |world: &World, when: &str| {
                for topic in TOPICS {
                    let values = world.values(topic);
                    let found: Vec<_> = values.iter().filter(|value| *value != "behind").collect();
                    assert_eq!(found, finds, "{what}: {topic}, {when}");
                    assert_eq!(
                        world.partition(topic).stable(),
                        world.partition(topic).end(),
                        "{what}: {topic}, {when}"
                    );
                }
            };
            check(&world, "at first");
            let times = if fault.1 { Times::ForEver } else { Times::Once };
            world.disk.forget();
            world.disk.fail(&CHANGES, "", (nth, times), Fault::Error(fault.0));
            drop(world.transactions.write_owed());
            for topic in TOPICS {
                drop(world.append(topic, "behind", Durability::Disk));
            }
            drop(world.transactions.finish());
            let has_struck = world.disk.trace().iter().any(|done| done.struck);
            let world = world.next_life();
            check(&world, "in the next life");
            world.transactions.write_owed().unwrap();
            world.transactions.finish().unwrap();
            check(&world, "when it is in the files");
            check(&world.next_life(), "in the life after that");
            if !has_struck {
                break;
            }
            assert!(nth < 1_000, "it does not end");
        }
    }
}

#[test]
fn a_recovery_whose_calls_fail_finds_the_same_again() {
    each_call_of_a_recovery(decided_and_killed, &["before", "together"]);
    each_call_of_a_recovery(missing_in_two, &["before"]);
}

fn decided_and_killed() -> World {
    decided().next_life()
}
