//! A commit at `Disk` takes along what it has seen, and what that has seen: over a power cut of any kind.

use std::time::Duration;

use annals::{Durability, Error, Partition, Record, Store, TopicConfig, Transaction};
use annals_testing::{Call, Fault, FaultyFileSystem, PowerCutFileSystem, Times};

const TOPICS: [&str; 6] = ["a", "b", "c", "d", "e", "input"];
const CUTS: u64 = 32;

fn open(machine: &PowerCutFileSystem) -> Store {
    Store::builder("/store").file_system(machine.shared()).maintain_by_hand().open().unwrap()
}

/// Topics that hold a record each, durably.
fn begin() -> (PowerCutFileSystem, Store) {
    let machine = PowerCutFileSystem::new();
    let store = open(&machine);
    for topic in TOPICS {
        store.create_topic(topic, TopicConfig::new()).unwrap();
        let first = [Record::new().value("begin")];
        partition(&store, topic).append(&first, Durability::Disk).unwrap();
    }
    (machine, store)
}

fn partition(store: &Store, topic: &str) -> Partition {
    store.topic(topic).unwrap().partition(0).unwrap()
}

fn write(store: &Store, name: &str, durability: Durability, topics: &[&str]) -> Transaction {
    let mut tx = store.transaction_builder(name).durability(durability).begin().unwrap();
    for topic in topics {
        tx.send(Record::to(topic).value(name)).unwrap();
    }
    tx
}

fn expecting(store: &Store, mut tx: Transaction, topic: &str) -> Transaction {
    let partition = partition(store, topic);
    tx.expect_end(&partition, partition.stable());
    tx
}

/// After any cut each of these topics holds the record of that name.
fn check(way: &str, machine: &PowerCutFileSystem, there: &[(&str, &str)]) {
    for seed in 0..CUTS {
        let store = open(&machine.cut_power(seed));
        for (topic, name) in there {
            let records = partition(&store, topic).read(..).unwrap();
            let values: Vec<_> = records.into_iter().map(|record| record.unwrap().value.unwrap()).collect();
            assert!(
                values.iter().any(|value| value == name.as_bytes()),
                "{way}, cut {seed}: {topic} lacks {name}"
            );
        }
    }
}

#[test]
fn a_commit_of_one_partition_that_a_condition_has_seen_was_lost() {
    for (way, topics) in [("alone", &["a"][..]), ("together", &["a", "d"])] {
        let (machine, store) = begin();
        write(&store, "seen", Durability::Os, &["b"]).commit().unwrap();
        expecting(&store, write(&store, "last", Durability::Disk, topics), "b").commit().unwrap();
        check(way, &machine, &[("b", "seen"), ("a", "last")]);
    }
}

#[test]
fn what_those_have_seen_by_a_condition_was_taken_back() {
    let ways: [(&str, &[&str], &[&str]); 3] = [
        ("all of several partitions", &["c", "e"], &["b", "d"]),
        ("all of one partition", &["c"], &["b"]),
        ("one behind several", &["c", "e"], &["b"]),
    ];
    for (way, first, second) in ways {
        let (machine, store) = begin();
        write(&store, "first", Durability::Os, first).commit().unwrap();
        expecting(&store, write(&store, "second", Durability::Os, second), "c").commit().unwrap();
        write(&store, "last", Durability::Disk, &["b"]).commit().unwrap();
        let there = first.iter().map(|topic| (*topic, "first"));
        let there: Vec<_> = there.chain(second.iter().map(|topic| (*topic, "second"))).collect();
        check(way, &machine, &[there.as_slice(), &[("b", "last")]].concat());
    }
}

#[test]
fn what_those_have_read_was_taken_back() {
    let (machine, store) = begin();
    write(&store, "first", Durability::Os, &["input", "e"]).commit().unwrap();
    let mut consumer = store.consumer("group").unwrap();
    consumer.subscribe(["input"]).unwrap();
    assert_eq!(consumer.poll(Duration::from_secs(1)).unwrap().len(), 2);
    let mut second = write(&store, "second", Durability::Os, &["b"]);
    second.commit_offsets(&consumer).unwrap();
    second.commit().unwrap();
    write(&store, "last", Durability::Disk, &["b"]).commit().unwrap();
    check("offsets", &machine, &[("input", "first"), ("e", "first"), ("b", "second"), ("b", "last")]);
}

#[test]
fn a_chain_of_three_is_taken_along() {
    let (machine, store) = begin();
    write(&store, "first", Durability::Os, &["c", "e"]).commit().unwrap();
    expecting(&store, write(&store, "second", Durability::Os, &["d"]), "c").commit().unwrap();
    expecting(&store, write(&store, "third", Durability::Os, &["b"]), "d").commit().unwrap();
    write(&store, "last", Durability::Disk, &["b"]).commit().unwrap();
    check(
        "three",
        &machine,
        &[("c", "first"), ("e", "first"), ("d", "second"), ("b", "third"), ("b", "last")],
    );
}

#[test]
fn a_commit_that_has_seen_what_cannot_become_durable_is_refused_and_others_go_on() {
    let machine = PowerCutFileSystem::new();
    let disk = FaultyFileSystem::over(machine.shared());
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    TOPICS.iter().for_each(|topic| drop(store.create_topic(topic, TopicConfig::new()).unwrap()));
    write(&store, "first", Durability::Os, &["b", "c"]).commit().unwrap();
    disk.fail_next(Call::Sync, "c-0", 5);
    assert!(partition(&store, "c").append(&[Record::new().value("x")], Durability::Disk).is_err());
    let behind = write(&store, "behind", Durability::Disk, &["b"]).commit();
    assert!(matches!(behind, Err(Error::Poisoned { .. })), "{behind:?}");
    let asked = expecting(&store, write(&store, "asked", Durability::Disk, &["a"]), "b").commit();
    assert!(matches!(asked, Err(Error::Poisoned { .. })), "{asked:?}");
    write(&store, "behind", Durability::Os, &["b"]).commit().unwrap();
    write(&store, "apart", Durability::Disk, &["a", "d"]).commit().unwrap();
    check("apart", &machine, &[("a", "apart"), ("d", "apart")]);
}

#[test]
fn what_an_earlier_life_has_seen_is_taken_along() {
    let (machine, store) = begin();
    write(&store, "first", Durability::Os, &["c"]).commit().unwrap();
    expecting(&store, write(&store, "second", Durability::Os, &["b"]), "c").commit().unwrap();
    let machine = machine.restart();
    let store = open(&machine);
    write(&store, "last", Durability::Disk, &["b"]).commit().unwrap();
    check("a kill between", &machine, &[("c", "first"), ("b", "second"), ("b", "last")]);
}

#[test]
fn what_is_known_is_bounded_and_what_it_covers_is_durable() {
    // Each commit has seen the one before it, in partitions of its own.
    let (_machine, store) = begin();
    let topic = store.create_topic("many", TopicConfig::new().partitions(500)).unwrap();
    for number in 1..500 {
        let name = number.to_string();
        let mut tx = store.transaction(&name).unwrap();
        let before = topic.partition(number - 1).unwrap();
        tx.expect_end(&before, before.stable());
        tx.send(Record::to("many").partition(number).value(&name)).unwrap();
        tx.commit().unwrap();
    }
    let last = topic.partition(499).unwrap();
    let mut tx = store.transaction_builder("last").durability(Durability::Disk).begin().unwrap();
    tx.expect_end(&last, last.stable());
    tx.send(Record::to("a").value("last")).unwrap();
    tx.commit().unwrap();
    for number in 1..500 {
        let partition = topic.partition(number).unwrap();
        assert_eq!(partition.durable(), partition.end(), "{number}");
    }
}

/// Topics of which one has a record that an earlier life has left in the page cache, and that no sync reaches before it is copied. It is not: the
/// disk is full.
fn left_by_an_earlier_life(topic: &str) -> (std::sync::Arc<FaultyFileSystem>, Store) {
    let (machine, store) = begin();
    write(&store, "left", Durability::Os, &[topic]).commit().unwrap();
    std::mem::forget(store);
    let disk = FaultyFileSystem::over(machine.restart().shared());
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    assert!(partition(&store, topic).durable() < partition(&store, topic).end());
    disk.fail(&[Call::Create, Call::Write], &format!("{topic}-0"), (0, Times::ForEver), Fault::Error(28));
    (disk, store)
}

#[test]
fn a_commit_of_a_task_was_undecided_for_what_an_earlier_life_has_left() {
    let (_disk, store) = left_by_an_earlier_life("c");
    for topics in [&["a"][..], &["a", "d"]] {
        write(&store, "waits", Durability::Disk, topics).commit().unwrap();
        smol::block_on(write(&store, "task", Durability::Os, topics).commit_async()).unwrap();
    }
    assert!(partition(&store, "c").durable() < partition(&store, "c").end());
}

#[test]
fn a_step_whose_input_cannot_be_brought_onto_the_disk_was_undecided() {
    for (way, topics) in [("offsets", &["a"][..]), ("condition", &["a"]), ("condition", &["a", "d"])] {
        for is_async in [false, true] {
            let (disk, store) = left_by_an_earlier_life("input");
            let mut consumer = store.consumer("group").unwrap();
            consumer.subscribe(["input"]).unwrap();
            let mut step = || {
                assert!(!consumer.poll(Duration::ZERO).unwrap().is_empty(), "{way}: it goes back");
                let mut tx = write(&store, "step", Durability::Disk, topics);
                match way {
                    "offsets" => tx.commit_offsets(&consumer).unwrap(),
                    _ => tx = expecting(&store, tx, "input"),
                }
                let committed = if is_async { smol::block_on(tx.commit_async()) } else { tx.commit() };
                if way == "condition" {
                    consumer.seek_to_beginning();
                }
                committed
            };
            let refused = step();
            assert!(matches!(refused, Err(Error::Io { .. })), "{way}, {is_async}: {refused:?}");
            disk.heal();
            step().unwrap();
            assert_eq!(partition(&store, "input").durable(), partition(&store, "input").end(), "{way}");
        }
    }
}
