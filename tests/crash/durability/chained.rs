//! A chain of transactions, each of which works on what the one before has written: over a power cut none stands whose input is gone.

use std::sync::Arc;
use std::time::Duration;

use annals::{Consumer, Durability, Error, Partition, Record, Result, Store, TopicConfig, Transaction};
use annals_testing::{Call, Fault, FaultyFileSystem, PowerCutFileSystem, Times};

use super::EIO;

const CUTS: u64 = 24;
const TOPICS: [&str; 4] = ["apart", "mid", "out", "far"];

struct World {
    machine: PowerCutFileSystem,
    disk: Arc<FaultyFileSystem>,
    store: Store,
}

/// How the second one is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Os,
    Disk,
    Task,
}

/// How it reads what the first one has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    AsAGroup,
    AsAQueue,
}

const WAYS: [(Reads, How); 6] = [
    (Reads::AsAGroup, How::Disk),
    (Reads::AsAQueue, How::Disk),
    (Reads::AsAGroup, How::Task),
    (Reads::AsAQueue, How::Task),
    (Reads::AsAGroup, How::Os),
    (Reads::AsAQueue, How::Os),
];

impl World {
    fn new() -> Self {
        let world = Self::over(PowerCutFileSystem::new());
        for topic in TOPICS {
            world.store.create_topic(topic, TopicConfig::new()).unwrap();
            let begin = [Record::new().value("begin")];
            world.partition(topic).append(&begin, Durability::Disk).unwrap();
        }
        world
    }

    fn over(machine: PowerCutFileSystem) -> Self {
        let disk = FaultyFileSystem::over(machine.shared());
        let store = Store::builder("/store").without_live_readers().maintain_by_hand();
        let store = store.sync_every(Duration::from_secs(3600)).file_system(disk.clone()).open().unwrap();
        Self { machine, disk, store }
    }

    /// What a kill leaves, opened again.
    fn killed(self) -> Self {
        std::mem::forget(self.store);
        Self::over(self.machine.restart())
    }

    fn partition(&self, topic: &str) -> Partition {
        self.store.topic(topic).unwrap().partition(0).unwrap()
    }

    /// The first one: of some in `apart`, and of some for those who come after it in `mid`.
    fn first(&self) {
        let mut tx = self.store.transaction("first").unwrap();
        ["apart", "mid"].iter().for_each(|topic| tx.send(Record::to(topic).value("first")).unwrap());
        tx.commit().unwrap();
    }

    /// From here on `apart` cannot be synced.
    fn doom(&self) {
        self.disk.fail(&[Call::Sync], "apart-0", (0, Times::ForEver), Fault::Error(EIO));
        self.partition("apart").flush().unwrap_err();
    }

    fn consumer(&self, topic: &str) -> Consumer {
        let mut consumer = self.store.consumer_builder().group("readers").build().unwrap();
        consumer.assign([(topic, 0)]).unwrap();
        while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
        consumer
    }

    fn begin(&self, name: &str, to: &str, how: How) -> Transaction {
        let durability = if how == How::Disk { Durability::Disk } else { Durability::Os };
        let mut tx = self.store.transaction_builder(name).durability(durability).begin().unwrap();
        tx.send(Record::to(to).value(name)).unwrap();
        tx
    }

    /// One that works on all that is there of a topic.
    fn step(&self, name: &str, (from, to): (&str, &str), (reads, how): (Reads, How)) -> Result<()> {
        let mut tx = self.begin(name, to, how);
        let consumer = (reads == Reads::AsAGroup).then(|| self.consumer(from));
        if let Some(consumer) = &consumer {
            tx.commit_offsets(consumer)?;
        } else {
            let mut worker = self.store.queue(from, "workers")?;
            worker.take(9, Duration::ZERO)?.into_iter().for_each(|message| tx.ack(message));
        }
        if how == How::Task { smol::block_on(tx.commit_async()) } else { tx.commit() }.map(drop)
    }

    /// Everything that can be on the disk is.
    fn sync_the_rest(&self) {
        drop(self.store.maintain());
        self.store.topics().iter().for_each(|topic| drop(topic.flush()));
    }

    /// Whether a topic holds the record of that name.
    fn holds(&self, topic: &str, name: &str) -> bool {
        let mut records = self.partition(topic).read(..).unwrap().into_iter();
        records.any(|record| record.unwrap().value.as_deref() == Some(name.as_bytes()))
    }

    fn committed(&self, topic: &str) -> i64 {
        self.store.committed("readers").get(&(topic, 0).into()).map_or(0, |at| at.offset)
    }

    /// Nothing stands that follows from what is gone, and what was told is there.
    fn check(self, what: &str, told: &Result<()>) {
        self.sync_the_rest();
        std::mem::forget(self.store);
        for seed in 0..CUTS {
            let next = Self::over(self.machine.cut_power(seed));
            let (first, second) = (next.holds("mid", "first"), next.holds("out", "second"));
            assert!(first || !second, "{what}, cut {seed}: it works on what is gone; {told:?}");
            assert!(first || next.committed("mid") < 2, "{what}, cut {seed}: its offset; {told:?}");
            assert!(second || !what.contains("Disk") || told.is_err(), "{what}, cut {seed}: it was told");
        }
    }
}

#[test]
fn a_step_stood_over_input_of_a_transaction_that_cannot_become_durable() {
    for (reads, how) in WAYS {
        let world = World::new();
        world.first();
        world.doom();
        let told = world.step("second", ("mid", "out"), (reads, how));
        assert!(matches!(told, Err(Error::Poisoned { .. })), "{reads:?} {how:?}: {told:?}");
        world.check(&format!("{reads:?} {how:?}"), &told);
    }
}

#[test]
fn a_step_at_disk_stood_over_input_of_an_earlier_life_that_cannot_become_durable() {
    for (reads, how) in WAYS {
        let world = World::new();
        world.first();
        let world = world.killed();
        assert!(world.holds("mid", "first"), "it is committed");
        world.doom();
        let told = world.step("second", ("mid", "out"), (reads, how));
        world.check(&format!("{reads:?} {how:?}"), &told);
        assert_eq!(told.is_ok(), how == How::Os, "{reads:?} {how:?}: {told:?}");
    }
}

#[test]
fn a_step_that_was_decided_before_the_sync_failed_goes_with_its_input() {
    for kills in [false, true] {
        for reads in [Reads::AsAGroup, Reads::AsAQueue] {
            let mut world = World::new();
            world.first();
            if kills {
                world = world.killed();
            }
            world.step("second", ("mid", "out"), (reads, How::Os)).unwrap();
            world.step("third", ("out", "far"), (reads, How::Os)).unwrap();
            world.doom();
            world.sync_the_rest();
            std::mem::forget(world.store);
            for seed in 0..CUTS {
                let next = World::over(world.machine.cut_power(seed));
                let chain = [("mid", "first"), ("out", "second"), ("far", "third")];
                let [first, second, third] = chain.map(|(topic, name)| next.holds(topic, name));
                let what = format!("{reads:?}, killed: {kills}, cut {seed}");
                assert!(first || !second, "{what}: the second works on what is gone");
                assert!(second || !third, "{what}: the third works on what is gone");
            }
        }
    }
}

/// Another commit has gone over what the first one has written, and may outlive it. The step that goes on from there is told.
#[test]
fn a_step_at_disk_was_told_behind_what_a_power_cut_took_back() {
    for how in [How::Disk, How::Task] {
        let world = World::new();
        world.first();
        world.consumer("mid").commit().unwrap();
        world.partition("mid").append(&[Record::new().value("beside")], Durability::Disk).unwrap();
        let world = world.killed();
        world.doom();
        let told = world.step("second", ("mid", "out"), (Reads::AsAGroup, how));
        world.sync_the_rest();
        std::mem::forget(world.store);
        let nexts = (0..CUTS).map(|seed| World::over(world.machine.cut_power(seed)));
        let gone = nexts.filter(|next| !next.holds("mid", "first")).count();
        assert!(gone > 0 && told.is_err(), "{how:?}: {gone} of {CUTS}, {told:?}");
    }
}

#[test]
fn a_dead_letter_stood_of_a_message_of_a_transaction_that_cannot_become_durable() {
    for kills in [false, true] {
        for durability in [Durability::Disk, Durability::Os] {
            let mut world = World::new();
            world.first();
            if kills {
                world = world.killed();
            }
            world.doom();
            let queue = world.store.queue_builder("mid", "workers").durability(durability);
            let mut worker = queue.build().unwrap();
            let last = worker.take(9, Duration::ZERO).unwrap().into_iter().last().unwrap();
            assert_eq!(last.value.as_deref(), Some(&b"first"[..]));
            let told = last.reject("bad");
            drop(worker);
            world.sync_the_rest();
            std::mem::forget(world.store);
            for seed in 0..CUTS {
                let next = World::over(world.machine.cut_power(seed));
                let letters = next.store.topic("mid.workers.dead").and_then(|topic| topic.partition(0));
                let letters = letters.map_or(0, |one| one.read(..).unwrap().into_iter().count());
                let what = format!("killed: {kills}, {durability:?}, cut {seed}: {told:?}");
                assert!(next.holds("mid", "first") || letters == 0, "{what}");
            }
        }
    }
}

/// A consumer of `mid`, which has ten records of one that goes where `apart` goes, and reads five at a time.
fn by_five(world: &World) -> Consumer {
    let mut tx = world.store.transaction("first").unwrap();
    tx.send(Record::to("apart").value("first")).unwrap();
    (0..10).for_each(|_| tx.send(Record::to("mid").value("first")).unwrap());
    tx.commit().unwrap();
    let consumer = world.store.consumer_builder().group("readers").max_poll_records(5);
    let mut consumer = consumer.build().unwrap();
    consumer.assign([("mid", 0)]).unwrap();
    consumer
}

fn poll(consumer: &mut Consumer) {
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 5);
}

fn is_refused(world: &World, consumer: &Consumer) {
    world.doom();
    let mut tx = world.begin("step", "out", How::Os);
    tx.commit_offsets(consumer).unwrap();
    assert!(matches!(tx.commit(), Err(Error::Poisoned { .. })));
}

#[test]
fn a_step_stood_over_input_that_lies_below_what_was_committed_by_hand() {
    let world = World::new();
    let mut consumer = by_five(&world);
    poll(&mut consumer);
    consumer.commit_offsets([(("mid", 0).into(), 10)]).unwrap();
    poll(&mut consumer);
    is_refused(&world, &consumer);
}

#[test]
fn a_step_stood_over_input_that_was_read_again_while_another_had_the_positions() {
    for (is_read_first, is_sought) in [(false, true), (true, true), (false, false), (true, false)] {
        let world = World::new();
        let mut consumer = by_five(&world);
        poll(&mut consumer);
        poll(&mut consumer);
        let mut tx = world.begin("before", "far", How::Os);
        tx.commit_offsets(&consumer).unwrap();
        if is_sought {
            consumer.seek(("mid", 0), 0).unwrap();
        } else {
            consumer.unsubscribe();
            consumer.assign([("mid", 0)]).unwrap();
            // What it looks up as it is assigned.
            assert_eq!(consumer.position(("mid", 0)).unwrap(), 0);
        }
        if is_read_first {
            poll(&mut consumer);
            poll(&mut consumer);
            tx.commit().unwrap();
        } else {
            tx.commit().unwrap();
            poll(&mut consumer);
            poll(&mut consumer);
        }
        is_refused(&world, &consumer);
    }
}

#[test]
fn a_position_that_was_set_apart_from_what_was_committed_was_left_out_of_a_step() {
    let world = World::new();
    let mut consumer = by_five(&world);
    poll(&mut consumer);
    consumer.seek(("mid", 0), 10).unwrap();
    consumer.commit_offsets([(("mid", 0).into(), 5)]).unwrap();
    world.disk.fail(&[Call::Sync], "mid-0", (0, Times::ForEver), Fault::Error(EIO));
    world.partition("mid").flush().unwrap_err();
    let mut tx = world.begin("step", "out", How::Os);
    tx.commit_offsets(&consumer).unwrap();
    assert!(matches!(tx.commit(), Err(Error::Poisoned { .. })), "it stands at 10, and 5 is committed");
}
