//! Work that is done on top of work that a power cut takes back: the later position of a group must not stay without the earlier one.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Consumer, Durability, Error, Partition, Record, Result, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Image, MemoryFileSystem, Times};

const EIO: i32 = 5;
const SOON: Duration = Duration::from_millis(20);

pub(super) struct World {
    memory: MemoryFileSystem,
    pub(super) disk: Arc<FaultyFileSystem>,
    clock: Arc<ManualClock>,
    pub(super) store: Store,
}

impl World {
    pub(super) fn new() -> Self {
        let world = Self::over(MemoryFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
        for topic in ["in", "x", "y"] {
            world.store.create_topic(topic, TopicConfig::new()).unwrap();
        }
        world
    }

    fn over(memory: MemoryFileSystem, clock: Arc<ManualClock>) -> Self {
        let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
        let store = Store::builder("/store").without_live_readers().maintain_by_hand();
        let store = store.sync_every(Duration::from_secs(3600)).clock(Arc::clone(&clock) as _);
        let store = store.file_system(disk.clone()).open().unwrap();
        Self { memory, disk, clock, store }
    }

    pub(super) fn after_a_power_cut(self) -> Self {
        let left = MemoryFileSystem::over(&Image::new(self.memory.durable_files()));
        std::mem::forget(self.store);
        Self::over(left, self.clock)
    }

    pub(super) fn after_a_kill(self) -> Self {
        let left = MemoryFileSystem::over(&Image::new(self.memory.files()));
        std::mem::forget(self.store);
        Self::over(left, self.clock)
    }

    /// A kill, and what was not synced of the files in that directory is lost with it.
    pub(super) fn after_a_kill_that_loses(self, place: &str) -> Self {
        let is_lost = |path: &String| path.contains(&format!("/{place}/"));
        let (mut files, durable) = (self.memory.files(), self.memory.durable_files());
        files.retain(|path, _| !is_lost(path));
        files.extend(durable.into_iter().filter(|(path, _)| is_lost(path)));
        std::mem::forget(self.store);
        Self::over(MemoryFileSystem::over(&Image::new(files)), self.clock)
    }

    pub(super) fn partition(&self, topic: &str) -> Partition {
        self.store.topic(topic).unwrap().partition(0).unwrap()
    }

    pub(super) fn values(&self, topic: &str) -> Vec<String> {
        let records = self.partition(topic).read(..).unwrap().into_iter();
        records.map(|one| String::from_utf8(one.unwrap().value.unwrap()).unwrap()).collect()
    }

    pub(super) fn consumer(&self, durability: Durability) -> Consumer {
        let consumer = self.store.consumer_builder().group("g").commit_durability(durability);
        let mut consumer = consumer.build().unwrap();
        consumer.assign([("in", 0)]).unwrap();
        consumer
    }

    /// Ten records come in, and are read.
    pub(super) fn read_ten(&self, consumer: &mut Consumer) {
        for _ in 0..10 {
            self.partition("in").append(&[Record::new().value("work")], Durability::Disk).unwrap();
        }
        while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
    }

    /// The next ten records of the group are done with a record that says so.
    pub(super) fn step(&self, consumer: &mut Consumer, (name, to): (&str, &str)) -> Result<()> {
        self.read_ten(consumer);
        let mut tx = self.store.transaction(name)?;
        tx.send(Record::to(to).value(name))?;
        tx.commit_offsets(consumer)?;
        tx.commit().map(drop)
    }

    /// From here on every sync of `x` fails.
    fn break_x(&self) {
        self.disk.fail(&[Call::Sync], "x-0", (0, Times::ForEver), Fault::Error(EIO));
    }

    pub(super) fn poison(&self) {
        self.break_x();
        self.partition("x").flush().unwrap_err();
    }

    pub(super) fn sync_the_rest(&self) {
        drop(self.store.maintain());
        for topic in self.store.topics() {
            drop(topic.flush());
        }
    }

    pub(super) fn committed(&self) -> i64 {
        self.store.committed("g").get(&("in", 0).into()).map_or(0, |at| at.offset)
    }

    /// What the group has done up to its position is there.
    pub(super) fn check(&self) {
        let (done, x, y) = (self.committed(), self.values("x"), self.values("y"));
        assert_eq!(done >= 10, x.contains(&"first".to_owned()), "{done}: {x:?}, {y:?}");
        assert_eq!(done >= 20, y.contains(&"second".to_owned()), "{done}: {x:?}, {y:?}");
    }
}

pub(super) fn is_poisoned<T: std::fmt::Debug>(outcome: annals::Result<T>) {
    assert!(matches!(outcome, Err(Error::Poisoned { .. })), "{outcome:?}");
}

#[test]
fn a_later_position_stood_over_work_that_a_power_cut_took_back() {
    let world = World::new();
    let mut consumer = world.consumer(Durability::Os);
    world.step(&mut consumer, ("first", "x")).unwrap();
    world.poison();
    let second = world.step(&mut consumer, ("second", "y"));
    world.sync_the_rest();
    drop(consumer);
    world.after_a_power_cut().check();
    is_poisoned(second);
}

/// Readers of one partition were told already that it is committed, and those of another are not, as that one is busy.
#[test]
fn a_flush_left_behind_what_a_transaction_that_was_seen_has_elsewhere() {
    for (seen, busy) in [("x", "y"), ("y", "x")] {
        let world = World::new();
        let mut tx = world.store.transaction_builder("t").durability(Durability::Os).begin().unwrap();
        for topic in ["x", "y"] {
            tx.send(Record::to(topic).value("both")).unwrap();
        }
        let gates = [Arc::new(Gate::default()), Arc::new(Gate::default())];
        let hold = |place, gate| {
            world.disk.fail(&[Call::Write], place, (0, Times::Once), Fault::Hold(Arc::clone(gate)))
        };
        let value = "x".repeat(100_000);
        let large = Record::new().value(value.as_str());
        let (partition, other) = (world.partition(busy), world.partition(seen));
        let left = thread::scope(|scope| {
            hold("__transaction_state", &gates[0]);
            let commit = scope.spawn(|| tx.commit().unwrap());
            gates[0].await_arrival();
            hold(if busy == "x" { "x-0" } else { "y-0" }, &gates[1]);
            let append = scope.spawn(|| partition.append(&[large], Durability::Os).unwrap());
            gates[1].await_arrival();
            gates[0].open();
            thread::sleep(SOON);
            let flush = scope.spawn(|| {
                let was_seen = other.stable() > 0;
                other.flush().unwrap();
                (was_seen, world.memory.durable_files())
            });
            thread::sleep(SOON);
            gates[1].open();
            append.join().unwrap();
            commit.join().unwrap();
            flush.join().unwrap()
        });
        let was_seen = left.0;
        std::mem::forget(world.store);
        let after = World::over(MemoryFileSystem::over(&Image::new(left.1)), world.clock);
        let both = ["x", "y"].map(|topic| after.values(topic).iter().any(|value| value == "both"));
        assert!(!was_seen || both == [true, true], "{seen}: {both:?}");
    }
}

/// Nobody knows whether the deletion took place: what was in the topic may be missed.
#[test]
fn a_deletion_of_which_nobody_knew_stood_for_the_sync_of_what_it_was_to_delete() {
    let world = World::new();
    let mut consumer = world.consumer(Durability::Disk);
    let mut tx = world.store.transaction_builder("first").durability(Durability::Os).begin().unwrap();
    world.read_ten(&mut consumer);
    tx.send(Record::to("x").value("first")).unwrap();
    tx.commit_offsets(&consumer).unwrap();
    tx.commit().unwrap();
    world.disk.fail(&[Call::Rename], "annals.topics", (0, Times::Once), Fault::Error(EIO));
    is_poisoned(world.store.delete_topic("x"));
    world.sync_the_rest();
    world.read_ten(&mut consumer);
    let later = consumer.commit();
    drop(consumer);
    let world = world.after_a_power_cut();
    let done = world.committed();
    assert!(done < 10 || world.values("x") == ["first"], "{done}");
    assert!(later.is_err(), "{later:?}");
}

#[test]
fn a_later_position_that_was_decided_before_the_sync_failed_goes_with_the_earlier_one() {
    for kills in [false, true] {
        let mut world = World::new();
        let mut consumer = world.consumer(Durability::Os);
        world.step(&mut consumer, ("first", "x")).unwrap();
        if kills {
            drop(consumer);
            world = world.after_a_kill();
            consumer = world.consumer(Durability::Os);
            assert_eq!(world.committed(), 10);
        }
        world.step(&mut consumer, ("second", "y")).unwrap();
        world.step(&mut consumer, ("third", "y")).unwrap();
        world.poison();
        world.sync_the_rest();
        drop(consumer);
        world.after_a_power_cut().check();
    }
}

#[test]
fn positions_go_on_over_each_other_where_all_becomes_durable() {
    let world = World::new();
    let mut consumer = world.consumer(Durability::Os);
    world.step(&mut consumer, ("first", "x")).unwrap();
    world.step(&mut consumer, ("second", "y")).unwrap();
    world.sync_the_rest();
    world.partition("x").append(&[Record::new().value("beside")], Durability::Os).unwrap();
    // What has its ends is in nobody's way.
    world.poison();
    world.step(&mut consumer, ("third", "y")).unwrap();
    drop(consumer);
    world.sync_the_rest();
    let world = world.after_a_power_cut();
    assert_eq!((world.committed(), world.values("x").len(), world.values("y").len()), (30, 1, 2));
}

#[test]
fn a_commit_at_disk_was_told_over_work_that_a_power_cut_took_back() {
    for reads_on in [true, false] {
        let world = World::new();
        let mut consumer = world.consumer(Durability::Disk);
        world.step(&mut consumer, ("first", "x")).unwrap();
        world.poison();
        if reads_on {
            world.read_ten(&mut consumer);
        }
        assert!(consumer.commit().is_err(), "{reads_on}");
        assert_eq!(world.committed(), 10, "it was refused before it was written");
        world.sync_the_rest();
        drop(consumer);
        world.after_a_power_cut().check();
    }
}

#[test]
fn a_task_was_told_that_a_commit_is_durable_over_work_that_a_power_cut_took_back() {
    for (reads_on, is_poisoned) in [(true, true), (true, false), (false, true), (false, false)] {
        let world = World::new();
        let mut consumer = world.consumer(Durability::Os);
        world.step(&mut consumer, ("first", "x")).unwrap();
        if is_poisoned {
            world.poison();
        }
        if reads_on {
            world.read_ten(&mut consumer);
        }
        for _ in 0..2 {
            let outcome = smol::block_on(consumer.commit_async());
            assert_eq!(outcome.is_err(), is_poisoned, "{reads_on}: {outcome:?}");
        }
        assert!(!is_poisoned || world.committed() == 10, "it was refused before it was written");
        if is_poisoned {
            world.sync_the_rest();
        }
        drop(consumer);
        let world = world.after_a_power_cut();
        let expected = if reads_on { 20 } else { 10 };
        let expected = if is_poisoned { (0, 0) } else { (expected, 1) };
        assert_eq!((world.committed(), world.values("x").len()), expected, "{reads_on}");
    }
}

#[test]
fn one_position_that_cannot_settle_kept_automatic_commits_of_all_others_from_the_disk() {
    let world = World::new();
    world.store.create_topic("other", TopicConfig::new()).unwrap();
    let mut first = world.consumer(Durability::Os);
    world.step(&mut first, ("first", "x")).unwrap();
    drop(first);
    world.poison();
    let consumer = world.store.consumer_builder().group("g").commit_durability(Durability::Disk);
    let mut consumer = consumer.auto_commit(Duration::ZERO).build().unwrap();
    consumer.assign([("in", 0), ("other", 0)]).unwrap();
    world.partition("other").append(&[Record::new().value("work")], Durability::Disk).unwrap();
    world.read_ten(&mut consumer);
    assert!(matches!(consumer.close(), Err(Error::OffsetNotCommitted { .. })));
    assert_eq!(world.committed(), 10, "over what may be taken back");
    assert_eq!(world.store.committed("g").get(&("other", 0).into()).map(|at| at.offset), Some(1));
}

#[test]
fn a_later_position_stood_over_work_in_a_partition_that_it_had_written_to_before() {
    let world = World::new();
    let mut consumer = world.consumer(Durability::Os);
    let mut second = world.store.transaction_builder("second").buffer_bytes(1).begin().unwrap();
    second.send(Record::to("x").value("of the second")).unwrap();
    world.partition("x").flush().unwrap();
    world.step(&mut consumer, ("first", "x")).unwrap();
    world.read_ten(&mut consumer);
    second.commit_offsets(&consumer).unwrap();
    second.commit().unwrap();
    world.poison();
    world.sync_the_rest();
    drop(consumer);
    let world = world.after_a_power_cut();
    assert_eq!((world.committed(), world.values("x").len()), (0, 0), "{:?}", world.values("x"));
}

#[test]
fn a_scheduled_record_was_lost_for_a_later_one_of_another_topic() {
    let world = World::new();
    let schedule = |topic: &str| {
        let schedule = world.store.schedule().durability(Durability::Disk);
        schedule.deliver_after(Record::to(topic).value("later"), SOON).unwrap();
    };
    let deliver = |world: &World, topics: &[&str]| {
        for _ in 0..200 {
            world.clock.advance(SOON);
            drop(world.store.maintain());
            if topics.iter().all(|topic| world.values(topic).len() > 1) {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
    };
    for topic in ["x", "y"] {
        world.partition(topic).append(&[Record::new().value("before")], Durability::Disk).unwrap();
    }
    schedule("x");
    world.break_x();
    deliver(&world, &["x"]);
    assert_eq!(world.values("x"), ["before", "later"]);
    schedule("y");
    deliver(&world, &["y"]);
    world.sync_the_rest();
    let next = world.after_a_power_cut();
    deliver(&next, &["x", "y"]);
    assert_eq!((next.values("x").len(), next.values("y").len()), (2, 2));
}
