//! Snapshots and projections: what they keep over the end of a life, and over a failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use annals::{Durability, Error, Expected, Query, Record, RecordRef, Store, TopicConfig, Transaction};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, PowerCutFileSystem, Times};

use super::common::{copy_dir, fast_dir};
use super::world::indexed;

const WAIT: Duration = Duration::from_millis(1);

#[test]
fn a_projection_takes_effect_once_over_failures_and_kills() {
    let dir = fast_dir();
    let mut at = dir.path().join("0");
    let mut store = Store::builder(&at).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed().partitions(2)).unwrap();
    store.create_topic("seen", TopicConfig::new()).unwrap();
    for number in 0..120_u32 {
        let kind = if number % 3 == 0 { "wanted" } else { "other" };
        let bytes = number.to_be_bytes();
        let event = Record::to("events").value(&bytes).header("type", kind).key(&bytes[3..]);
        store.producer().send(event).unwrap();
    }
    drop(topic);
    for life in 1.. {
        let mut projection = store.projection("reader", "events").unwrap().only(Query::of_type("wanted"));
        let mut fails = life % 2 == 0;
        let step = projection.step(WAIT, |event, tx| {
            tx.send(Record::to("seen").value(event.value().unwrap()))?;
            if std::mem::take(&mut fails) && event.offset() % 2 == 0 {
                return Err(Error::InvalidArgument { reason: "not this time".to_owned() });
            }
            Ok(())
        });
        let is_done = step.as_ref().is_ok_and(|progress| progress.events + progress.passed == 0)
            && projection.lag().unwrap() == 0;
        if is_done {
            break;
        }
        assert!(life < 50, "{step:?}");
        // Killed: nothing of this life ends in order.
        let next = dir.path().join(life.to_string());
        copy_dir(&at, &next);
        std::mem::forget((store, projection));
        at = next;
        store = Store::builder(&at).maintain_by_hand().open().unwrap();
    }
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    for record in store.topic("seen").unwrap().partition(0).unwrap().read(..).unwrap() {
        let number = u32::from_be_bytes(record.unwrap().value.unwrap().try_into().unwrap());
        *seen.entry(number).or_default() += 1;
    }
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), (0..120).step_by(3).collect::<Vec<_>>());
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
}

/// It had left the position behind the events, which then had no effect ever.
#[test]
fn a_panic_of_a_projections_work_loses_no_event() {
    let dir = fast_dir();
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    store.create_topic("events", indexed()).unwrap();
    store.create_topic("seen", TopicConfig::new()).unwrap();
    for number in 0..10_u8 {
        store.producer().send(Record::to("events").key("one").value(&[number])).unwrap();
    }
    let mut projection = store.projection("reader", "events").unwrap();
    for _ in 0..2 {
        let step = std::panic::AssertUnwindSafe(|| {
            projection.step(WAIT, |event, tx| {
                tx.send(Record::to("seen").value(event.value().unwrap()))?;
                assert!(event.offset() < 5, "the work does not go on");
                Ok(())
            })
        });
        assert!(std::panic::catch_unwind(step).is_err());
    }
    assert_eq!(projection.lag().unwrap(), 10);
    let progress = projection
        .step(WAIT, |event, tx| tx.send(Record::to("seen").value(event.value().unwrap())).map(drop))
        .unwrap();
    assert_eq!(progress.events, 10);
    let seen = store.topic("seen").unwrap().partition(0).unwrap();
    let seen: Vec<_> =
        seen.read(..).unwrap().into_iter().map(|record| record.unwrap().value.unwrap()[0]).collect();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_counts_for_its_own_topic_and_no_further_than_the_stream() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    assert_eq!(snapshots.load("a").unwrap(), None);
    for number in 0..50_u32 {
        topic.append_to("a", Expected::Any, &[Record::new().value(&number.to_be_bytes())]).unwrap();
    }
    assert!(snapshots.store("a", 50, b"too much").is_err());
    snapshots.store("a", 30, b"up to thirty").unwrap();
    assert!(topic.partition(0).unwrap().durable() > 30, "what it was made of survives");
    snapshots.store("a", 40, b"up to forty").unwrap();
    let (snapshot, rest) = snapshots.read("a").unwrap();
    assert_eq!(snapshot.unwrap().version, 40);
    let rest: Vec<_> = rest.into_iter().map(|event| event.unwrap().offset).collect();
    assert_eq!(rest, (41..50).collect::<Vec<_>>());
    snapshots.prune("a").unwrap();
    assert_eq!(snapshots.load("a").unwrap(), None);
    snapshots.store("a", 45, b"again").unwrap();
    // Another topic of the name has other versions.
    store.delete_topic("events").unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    for _ in 0..60 {
        topic.append_to("a", Expected::Any, &[Record::new()]).unwrap();
    }
    let snapshots = store.snapshots("events").unwrap();
    assert_eq!(snapshots.load("a").unwrap(), None);
    assert_eq!(snapshots.read("a").unwrap().1.into_iter().count(), 60);
}

#[test]
fn two_members_of_a_projection_share_its_work() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed().partitions(4)).unwrap();
    store.create_topic("seen", TopicConfig::new()).unwrap();
    let mut members: Vec<_> = (0..2).map(|_| store.projection("both", "events").unwrap()).collect();
    for number in 0..80_u32 {
        topic.append_to(number.to_be_bytes(), Expected::NoStream, &[Record::new()]).unwrap();
    }
    for _ in 0..40 {
        for member in &mut members {
            member.step(WAIT, |event, tx| tx.send(Record::to("seen").value(event.key().unwrap()))).unwrap();
        }
    }
    let seen = store.topic("seen").unwrap().partition(0).unwrap();
    let mut keys: Vec<_> =
        seen.read(..).unwrap().into_iter().map(|record| record.unwrap().value.unwrap()).collect();
    keys.sort();
    assert_eq!(keys, (0..80_u32).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
}

#[test]
fn events_of_all_partitions_come_by_their_time() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed().partitions(3)).unwrap();
    for number in 0..90_i64 {
        let kind = if number % 2 == 0 { "even" } else { "odd" };
        let event = Record::new().timestamp(1000 + number).header("type", kind);
        let partition = topic.partition(u32::try_from(number * 7 % 3).unwrap()).unwrap();
        partition.append(&[event], Durability::Memory).unwrap();
    }
    let times: Vec<_> = topic.select(&Query::all()).unwrap().map(|event| event.unwrap().timestamp).collect();
    assert_eq!(times, (1000..1090).collect::<Vec<_>>());
    let even = topic.select(&Query::of_type("even")).unwrap().map(|event| event.unwrap().timestamp);
    assert_eq!(even.collect::<Vec<_>>(), (1000..1090).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_failed_step_is_taken_again() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    store.create_topic("seen", TopicConfig::new()).unwrap();
    topic.append_to("a", Expected::Any, &[Record::new().value("one"), Record::new().value("two")]).unwrap();
    let mut projection = store.projection("reader", "events").unwrap();
    let mut tries = 0;
    while projection.lag().unwrap() > 0 && tries < 9 {
        let step = projection.step(WAIT, |event, tx| {
            tries += 1;
            tx.send(Record::to("seen").value(event.value().unwrap()))?;
            if tries < 4 { Err(Error::InvalidArgument { reason: "not yet".to_owned() }) } else { Ok(()) }
        });
        assert_eq!(step.is_ok(), tries >= 4);
    }
    let seen = store.topic("seen").unwrap().partition(0).unwrap();
    assert_eq!(seen.read(..).unwrap().into_iter().count(), 2);
    assert_eq!(tries, 5);
}

#[test]
fn a_stream_that_is_gone_has_no_snapshot() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    for key in ["a", "b", "c"] {
        topic.append_to(key, Expected::NoStream, &[Record::new().value("1")]).unwrap();
    }
    let snapshots = store.snapshots("events").unwrap();
    for (key, version) in [("a", 0), ("b", 1), ("c", 2)] {
        snapshots.store(key, version, b"1").unwrap();
    }
    topic.erase("b").unwrap();
    assert_eq!((topic.stream("b").unwrap().version().unwrap(), snapshots.load("b").unwrap()), (None, None));
    assert!(snapshots.load("c").unwrap().is_some());
    store.delete_topic("events").unwrap();
    let again = store.create_topic("events", indexed()).unwrap();
    again.append_to("c", Expected::NoStream, &[Record::new().value("1")]).unwrap();
    let of_the_old = snapshots.load("c");
    assert!(matches!(of_the_old, Err(Error::UnknownTopic { .. })), "{of_the_old:?}");
}

#[test]
fn a_stream_that_begins_again_had_the_snapshot_of_the_one_before() {
    let dir = fast_dir();
    let store = Store::open(dir.path()).unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let partition = topic.partition(0).unwrap();
    let snapshots = store.snapshots("events").unwrap();
    let append = |key: &str, expected| {
        topic.append_to(key, expected, &[Record::new().value("1")]).unwrap().last_offset
    };
    for key in ["deleted", "erased", "stays", "stays"] {
        snapshots.store(key, append(key, Expected::Any), b"1").unwrap();
    }
    topic.erase("erased").unwrap();
    partition.delete_records(1).unwrap();
    let mut latest = BTreeMap::new();
    for key in ["erased", "deleted"] {
        latest.insert(key, append(key, Expected::NoStream));
    }
    let (snapshot, rest) = snapshots.read("erased").unwrap();
    assert_eq!((snapshot, rest.into_iter().count()), (None, 1), "of a stream that is gone");
    // Nobody wanted that one gone.
    assert!(matches!(snapshots.read("deleted"), Err(Error::SnapshotCutOff { version: 0, start: 1, .. })));
    // One of whose events some are left goes on.
    partition.delete_records(3).unwrap();
    append("stays", Expected::Version(3));
    let (snapshot, rest) = snapshots.read("stays").unwrap();
    assert_eq!((snapshot.unwrap().version, rest.into_iter().count()), (3, 1));
    // And the new stream gets its own.
    for (key, version) in latest {
        snapshots.store(key, version, b"2").unwrap();
        append(key, Expected::Version(version));
        assert_eq!(snapshots.load(key).unwrap().unwrap().state, b"2");
    }
}

/// Nobody knows whether the effect of the step before stands: its work was done again, for nothing, as often as a step was tried.
#[test]
fn a_projection_worked_on_after_a_step_of_which_nobody_knows() {
    let disk = FaultyFileSystem::over(PowerCutFileSystem::new().shared());
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    for topic in ["seen", "jobs"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
        let partition = store.topic(topic).unwrap().partition(0).unwrap();
        partition.append(&[Record::new().value("0")], Durability::Disk).unwrap();
    }
    topic.append_to("a", Expected::Any, &[Record::new().value("one")]).unwrap();
    let mut worker = store.queue_builder("jobs", "workers").durability(Durability::Disk).build().unwrap();
    let mut message = worker.take(1, Duration::ZERO).unwrap().into_iter().next();
    let mut projection = store.projection("reader", "events").unwrap();
    disk.fail_next(Call::Sync, "seen-0", 5);
    let step = projection.step(WAIT, |event, tx| {
        // The commit is one at `Disk` with that.
        tx.ack(message.take().unwrap());
        tx.send(Record::to("seen").value(event.value().unwrap()))
    });
    assert!(matches!(step, Err(Error::Undecided { .. })), "{step:?}");
    for _ in 0..3 {
        let mut worked = 0;
        let step = projection.step(WAIT, |_, _| {
            worked += 1;
            Ok(())
        });
        assert!(matches!(step, Err(Error::OffsetUndecided { .. })), "{step:?}");
        assert_eq!(worked, 0, "work whose effect cannot be committed");
    }
}

/// The events of a transaction may be on the disk when its decision, and what it has elsewhere, are not.
#[test]
fn a_snapshot_holds_no_event_of_a_transaction_that_a_power_cut_takes_back() {
    for seed in 0..24 {
        let machine = PowerCutFileSystem::new();
        let open = |machine: &PowerCutFileSystem| {
            Store::builder("/store").file_system(machine.shared()).maintain_by_hand().open().unwrap()
        };
        let store = open(&machine);
        let topic = store.create_topic("events", indexed()).unwrap();
        store.create_topic("elsewhere", TopicConfig::new()).unwrap();
        let snapshots = store.snapshots("events").unwrap();
        let on_disk = store.producer_builder().durability(Durability::Disk).build().unwrap();
        // Everything is there, and durable, but the transaction.
        for topic in ["events", "elsewhere", "events.snapshots"] {
            on_disk.send(Record::to(topic).key("bob").value("1")).unwrap();
        }
        let mut first = store.transaction_builder("transfer").durability(Durability::Disk).begin().unwrap();
        first.send(Record::to("elsewhere").value("first")).unwrap();
        first.commit().unwrap();
        let alice = topic.stream("alice").unwrap();
        // One that stays: without any up to its version a snapshot would be passed over anyway.
        on_disk.send(Record::to("events").key("alice").value("3")).unwrap();
        let mut tx = store.transaction_builder("transfer").durability(Durability::Os).begin().unwrap();
        tx.append_to(&alice, Expected::Exists, &[Record::new().value("5")]).unwrap();
        tx.send(Record::to("elsewhere").value("of alice")).unwrap();
        tx.commit().unwrap();
        let version = alice.version().unwrap().unwrap();
        on_disk.send(Record::to("events").key("bob").value("2")).unwrap();
        assert!(topic.partition(0).unwrap().durable() > version);
        snapshots.store("alice", version, b"5").unwrap();
        on_disk.send(Record::to("events.snapshots").key("bob").value("2")).unwrap();
        let machine = machine.cut_power(seed);
        std::mem::forget(store);
        let store = open(&machine);
        let topic = store.topic("events").unwrap();
        let is_there = topic.stream("alice").unwrap().version().unwrap() == Some(version);
        // One more event, and the snapshot is of no more than the stream is.
        topic.append_to("alice", Expected::Any, &[Record::new().value("7")]).unwrap();
        let loaded = store.snapshots("events").unwrap().load("alice").unwrap();
        assert!(is_there || loaded.is_none(), "seed {seed}: a snapshot of what was never there: {loaded:?}");
    }
}

#[test]
fn a_snapshot_used_up_the_loss_of_a_sender() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", indexed()).unwrap();
    let memory = store.producer_builder().durability(Durability::Memory).linger(Duration::from_secs(60));
    let memory = memory.build().unwrap();
    let snapshots = store.snapshots("events").unwrap();
    topic.append_to("a", Expected::Any, &[Record::new().value("event")]).unwrap();
    memory.send(Record::to("events").key("b").value("lost")).unwrap();
    disk.fail(&[Call::Write], "events-0", (0, Times::ForEver), Fault::Error(28));
    assert_eq!(topic.partition(0).unwrap().read(1..).unwrap().fetch().unwrap().len(), 0, "written in vain");
    disk.heal();
    snapshots.store("a", 0, b"event").unwrap();
    let told = memory.flush();
    assert!(matches!(told, Err(Error::Lost { first: 1, last: 1, .. })), "{told:?}");
    memory.flush().unwrap();
}

/// Whoever goes back went to where it had read from, in a partition in which another member has gone on since.
#[test]
fn events_of_a_partition_that_came_back_during_a_step_took_effect_twice() {
    for succeeds in [true, false] {
        let dir = fast_dir();
        let store = Store::open(dir.path()).unwrap();
        let topic = store.create_topic("events", indexed().partitions(2)).unwrap();
        store.create_topic("seen", TopicConfig::new()).unwrap();
        for number in 0..20_u32 {
            topic.append_to(number.to_be_bytes(), Expected::NoStream, &[Record::new()]).unwrap();
        }
        let send = |event: RecordRef<'_>, tx: &mut Transaction| {
            tx.send(Record::to("seen").value(event.key().unwrap())).map(drop)
        };
        let mut first = store.projection("both", "events").unwrap();
        let mut is_alone = true;
        let step = first.step(WAIT, |event, tx| {
            send(event, tx)?;
            if std::mem::take(&mut is_alone) {
                let mut second = store.projection("both", "events")?;
                while second.lag()? > 0 {
                    second.step(WAIT, send)?;
                }
            }
            if succeeds { Ok(()) } else { Err(Error::InvalidArgument { reason: "not yet".to_owned() }) }
        });
        assert!(step.is_err(), "a partition was another member's in between");
        while first.lag().unwrap() > 0 {
            first.step(WAIT, send).unwrap();
        }
        let seen = store.topic("seen").unwrap().partition(0).unwrap();
        let mut keys: Vec<_> =
            seen.read(..).unwrap().into_iter().map(|record| record.unwrap().value.unwrap()).collect();
        keys.sort();
        assert_eq!(keys, (0..20_u32).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
    }
}
