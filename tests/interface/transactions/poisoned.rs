//! A partition that cannot be synced, and the decisions that rest on it: what goes on beside them, and what is refused.

use std::sync::Arc;
use std::time::Duration;

use annals::{Consumer, Durability, Error, Partition, Record, Store, TopicConfig, Transaction};
use annals_testing::{Call, Fault, FaultyFileSystem, Image, MemoryFileSystem, Times};

const EIO: i32 = 5;

struct World {
    memory: MemoryFileSystem,
    disk: Arc<FaultyFileSystem>,
    store: Store,
}

impl World {
    /// What all have read of `full` goes.
    fn new() -> Self {
        let world = Self::over(MemoryFileSystem::new());
        for topic in ["frail", "r", "s"] {
            world.store.create_topic(topic, TopicConfig::new()).unwrap();
        }
        let consumed = TopicConfig::new().segment_bytes(1000).retention_until_consumed();
        world.store.create_topic("full", consumed).unwrap();
        world
    }

    fn over(memory: MemoryFileSystem) -> Self {
        let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
        let store = Store::builder("/store").without_live_readers().maintain_by_hand();
        let store = store.sync_every(Duration::from_secs(3600)).file_system(disk.clone()).open().unwrap();
        Self { memory, disk, store }
    }

    /// What a kill leaves, opened again.
    fn killed(self) -> Self {
        let left = MemoryFileSystem::over(&Image::new(self.memory.files()));
        std::mem::forget(self.store);
        Self::over(left)
    }

    fn partition(&self, topic: &str) -> Partition {
        self.store.topic(topic).unwrap().partition(0).unwrap()
    }

    fn fill(&self, topic: &str, records: usize) {
        for _ in 0..records {
            self.partition(topic).append(&[Record::new().value(&[b'x'; 60])], Durability::Os).unwrap();
        }
    }

    fn begin(&self, name: &str, topics: &[&str]) -> Transaction {
        let mut tx = self.store.transaction(name).unwrap();
        topics.iter().for_each(|topic| tx.send(Record::to(topic).value(name)).unwrap());
        tx
    }

    /// One that has read all of these.
    fn consumer(&self, group: &str, topics: &[&str]) -> Consumer {
        let mut consumer = self.store.consumer_builder().group(group).build().unwrap();
        consumer.assign(topics.iter().map(|topic| (*topic, 0))).unwrap();
        while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
        consumer
    }

    /// From here on `frail` cannot be synced.
    fn poison(&self) {
        self.disk.fail(&[Call::Sync], "frail-0", (0, Times::ForEver), Fault::Error(EIO));
        let synced = self.partition("frail").append(&[Record::new().value("last")], Durability::Disk);
        assert!(synced.is_err());
    }

    /// A transaction that rests on `frail` is decided, and cannot be ended.
    fn with_a_decision_in_the_way(with_offsets: bool) -> Self {
        let world = Self::new();
        world.fill("frail", 3);
        let mut tx = world.begin("stuck", &["frail", "r"]);
        if with_offsets {
            tx.commit_offsets(&world.consumer("of the stuck", &["frail"])).unwrap();
        }
        tx.commit().unwrap();
        world.poison();
        world
    }
}

fn is_poisoned<T: std::fmt::Debug>(outcome: annals::Result<T>) {
    assert!(matches!(outcome, Err(Error::Poisoned { .. })), "{outcome:?}");
}

#[test]
fn what_a_group_has_read_stayed_for_a_decision_that_has_nothing_to_do_with_it() {
    for with_offsets in [false, true] {
        for in_a_transaction in [false, true] {
            let world = World::with_a_decision_in_the_way(with_offsets);
            world.fill("full", 40);
            let mut readers = world.consumer("readers", &["full"]);
            if in_a_transaction {
                let mut tx = world.begin("step", &["s"]);
                tx.commit_offsets(&readers).unwrap();
                tx.commit().unwrap();
            } else {
                readers.commit().unwrap();
            }
            drop(world.store.apply_retention());
            let start = world.partition("full").start();
            assert!(start > 0, "offsets: {with_offsets}, in a transaction: {in_a_transaction}");
        }
    }
}

#[test]
fn what_a_group_has_read_stays_where_its_commit_rests_on_what_cannot_be_synced() {
    let world = World::new();
    world.fill("full", 40);
    let readers = world.consumer("readers", &["full"]);
    let mut tx = world.begin("step", &["frail", "s"]);
    tx.commit_offsets(&readers).unwrap();
    tx.commit().unwrap();
    world.poison();
    is_poisoned(world.store.apply_retention());
    assert_eq!(world.partition("full").start(), 0, "a power cut takes the commit back");
}

/// A commit at `Os` stands over the position of a transaction that is taken back. Whoever sees that the work was not done finds what it was to be
/// done with.
#[test]
fn what_a_group_has_read_went_for_a_commit_over_work_that_a_power_cut_took_back() {
    for kills in [false, true] {
        let mut world = World::new();
        world.fill("full", 40);
        let mut readers = world.consumer("readers", &["full"]);
        let mut tx = world.begin("step", &["frail", "s"]);
        tx.commit_offsets(&readers).unwrap();
        tx.commit().unwrap();
        world.fill("full", 1);
        while !readers.poll(Duration::ZERO).unwrap().is_empty() {}
        world.poison();
        readers.commit().unwrap();
        drop(readers);
        if kills {
            world = world.killed();
            world.disk.fail(&[Call::Sync], "frail-0", (0, Times::ForEver), Fault::Error(EIO));
        }
        assert_eq!(world.store.committed("readers")[&("full", 0).into()].offset, 41);
        let told = world.store.apply_retention();
        assert_eq!((world.partition("full").start(), told.is_err()), (0, true), "killed: {kills}: {told:?}");
        // Once the store is opened again it is taken back, or durable.
        let world = world.killed();
        world.store.apply_retention().unwrap();
        assert!(world.partition("full").start() > 0);
    }
}

#[test]
fn a_flush_and_a_deletion_failed_for_a_decision_elsewhere() {
    let world = World::with_a_decision_in_the_way(true);
    world.begin("apart", &["full", "s"]).commit().unwrap();
    world.partition("full").flush().unwrap();
    assert!(world.partition("s").durable() > 0, "its other half");
    world.begin("apart", &["full", "s"]).commit().unwrap();
    world.store.topic("s").unwrap().flush().unwrap();
    world.begin("apart", &["full", "s"]).commit().unwrap();
    assert_eq!(world.partition("full").delete_records(3).unwrap().start, 3);
    // Where it stands itself it is told.
    is_poisoned(world.partition("r").flush());
    assert!(world.partition("r").delete_records(1).is_err());
}

#[test]
fn commits_at_os_that_rest_on_what_cannot_be_synced_pile_up() {
    let world = World::new();
    world.fill("frail", 3);
    let mut worker = world.store.queue("frail", "workers").unwrap();
    let message = worker.take(1, Duration::ZERO).unwrap().into_iter().next().unwrap();
    let mut written = world.store.transaction_builder("written").buffer_bytes(0).begin().unwrap();
    written.send(Record::to("frail").value("before")).unwrap();
    written.send(Record::to("r").value("before")).unwrap();
    world.poison();
    written.send(Record::to("s").value("behind")).unwrap();
    is_poisoned(written.commit());
    for _ in 0..3 {
        world.fill("full", 1);
        let consumer = world.consumer("readers", &["frail", "full"]);
        let mut tx = world.begin("step", &["s"]);
        tx.commit_offsets(&consumer).unwrap();
        is_poisoned(tx.commit());
    }
    let mut tx = world.begin("answer", &["s"]);
    tx.ack(message);
    is_poisoned(tx.commit());
    // All of that was refused before it was decided.
    let s = world.partition("s");
    s.delete_records(s.end()).unwrap();
}

#[test]
fn a_position_that_has_not_moved_kept_a_consumer_from_committing_others() {
    for in_a_transaction in [false, true] {
        let world = World::new();
        world.fill("frail", 3);
        let mut consumer = world.consumer("readers", &["frail", "full"]);
        if in_a_transaction {
            let mut tx = world.begin("step", &["r"]);
            tx.commit_offsets(&consumer).unwrap();
            tx.commit().unwrap();
        } else {
            consumer.commit().unwrap();
        }
        world.disk.fail(&[Call::Sync], "frail-0", (0, Times::ForEver), Fault::Error(EIO));
        assert!(world.partition("frail").flush().is_err());
        for _ in 0..3 {
            world.fill("full", 20);
            while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
            let mut tx = world.begin("step", &["s"]);
            tx.commit_offsets(&consumer).unwrap();
            tx.commit().unwrap();
        }
        assert_eq!(world.store.committed("readers")[&("full", 0).into()].offset, 60);
        let s = world.partition("s");
        s.delete_records(s.end()).unwrap();
        drop(world.store.apply_retention());
        assert!(world.partition("full").start() > 0);
    }
}

/// All that was read is committed in a transaction; then its partition can be synced no more.
fn committed_and_poisoned(world: &World, consumer: &Consumer) {
    let mut tx = world.begin("step", &["r"]);
    tx.commit_offsets(consumer).unwrap();
    tx.commit().unwrap();
    world.disk.fail(&[Call::Sync], "frail-0", (0, Times::ForEver), Fault::Error(EIO));
    assert!(world.partition("frail").flush().is_err());
}

#[test]
fn a_position_that_a_transaction_has_just_committed_kept_the_next_one_back() {
    let world = World::new();
    world.fill("frail", 3);
    let consumer = world.consumer("readers", &["frail"]);
    committed_and_poisoned(&world, &consumer);
    let mut tx = world.begin("step", &["s"]);
    tx.commit_offsets(&consumer).unwrap();
    tx.commit().unwrap();
}

#[test]
fn a_position_that_has_moved_over_the_end_of_a_transaction_alone_kept_others_back() {
    let world = World::new();
    world.begin("first", &["frail", "r"]).commit().unwrap();
    let mut consumer = world.consumer("readers", &["frail"]);
    let frail = world.partition("frail");
    let before = consumer.position(frail.topic_partition().clone()).unwrap();
    let mut tx = world.begin("step", &["r"]);
    tx.commit_offsets(&consumer).unwrap();
    tx.commit().unwrap();
    // Of all that are decided.
    world.partition("r").flush().unwrap();
    assert!(consumer.poll(Duration::ZERO).unwrap().is_empty());
    assert!(consumer.position(frail.topic_partition().clone()).unwrap() > before, "it stands behind the end");
    world.poison();
    let mut tx = world.begin("step", &["s"]);
    tx.commit_offsets(&consumer).unwrap();
    tx.commit().unwrap();
}

#[test]
fn what_a_queue_has_done_stayed_for_an_answer_to_another() {
    let world = World::new();
    for topic in ["kept", "apart"] {
        world.store.create_topic(topic, TopicConfig::new().retention_until_consumed()).unwrap();
    }
    let answer_all = |topic: &str, tx: &mut Transaction| {
        world.fill(topic, 40);
        world.partition(topic).flush().unwrap();
        let mut worker = world.store.queue(topic, "workers").unwrap();
        worker.take(40, Duration::ZERO).unwrap().into_iter().for_each(|message| tx.ack(message));
    };
    let mut stuck = world.begin("stuck", &["frail"]);
    answer_all("kept", &mut stuck);
    stuck.commit().unwrap();
    world.poison();
    for topic in ["apart", "full"] {
        let mut apart = world.begin("apart", &["s"]);
        answer_all(topic, &mut apart);
        apart.commit().unwrap();
    }
    let dropped = world.store.drop_done("apart").unwrap();
    assert_eq!(dropped.iter().map(|one| one.records).sum::<u64>(), 40);
    assert!(world.partition("full").start() > 0, "full segments go with the answers");
    is_poisoned(world.store.drop_done("kept"));
    is_poisoned(world.store.apply_retention());
    assert_eq!(world.partition("kept").start(), 0, "a power cut takes the answers back");
}

#[test]
fn what_an_earlier_life_has_committed_goes_once_a_power_cut_takes_it_back_no_more() {
    for rests_on_it in [true, false] {
        let world = World::new();
        world.fill("full", 40);
        let readers = world.consumer("readers", &["full"]);
        let mut frail = world.begin("step", &["s", "frail"]);
        let mut sound = world.begin("apart", &["s", "r"]);
        let with_offsets = if rests_on_it { &mut frail } else { &mut sound };
        with_offsets.commit_offsets(&readers).unwrap();
        frail.commit().unwrap();
        sound.commit().unwrap();
        drop(readers);
        let world = world.killed();
        assert_eq!(world.partition("full").start(), 0);
        world.disk.fail(&[Call::Sync], "frail-0", (0, Times::ForEver), Fault::Error(EIO));
        assert_eq!(world.store.apply_retention().is_err(), rests_on_it);
        assert_eq!(world.partition("full").start() == 0, rests_on_it);
    }
}

/// A committed transaction with a record at the beginning of `full` that a power cut takes back, and all of `full` read at [`Durability::Os`].
fn read_and_not_durable(world: &World) -> Consumer {
    world.begin("stuck", &["frail", "full"]).commit().unwrap();
    world.fill("full", 40);
    world.poison();
    world.consumer("readers", &["full"])
}

#[test]
fn what_a_group_has_read_went_though_a_power_cut_has_it_made_once_more() {
    let world = World::new();
    let mut readers = read_and_not_durable(&world);
    readers.commit().unwrap();
    assert_eq!(world.partition("full").start(), 0);
    is_poisoned(world.store.apply_retention());
    assert_eq!(world.partition("full").start(), 0, "whoever makes it again has it read twice");
    // Once the store is opened again it is taken back, or durable.
    let world = world.killed();
    world.store.apply_retention().unwrap();
    assert!(world.partition("full").start() > 0);
}

#[test]
fn what_a_group_has_read_goes_where_what_a_power_cut_takes_lies_in_a_segment_that_stays() {
    let world = World::new();
    world.fill("full", 40);
    let mut readers = world.consumer("readers", &["full"]);
    world.begin("stuck", &["frail", "full"]).commit().unwrap();
    world.fill("full", 1);
    world.poison();
    while !readers.poll(Duration::ZERO).unwrap().is_empty() {}
    readers.seek(("full", 0), 41).unwrap();
    readers.commit().unwrap();
    assert_eq!(world.store.committed("readers")[&("full", 0).into()].offset, 41);
    drop(world.store.apply_retention());
    let start = world.partition("full").start();
    assert!(start > 0 && start <= 40, "it starts at {start}");
    readers.seek(("full", 0), 42).unwrap();
    readers.commit().unwrap();
    drop(world.store.apply_retention());
    assert_eq!(world.partition("full").start(), start);
}

/// A transaction that a power cut takes back had its record in `full`: that was taken out for its age or size. Says where `full` starts.
fn taken_out(world: &World) -> i64 {
    world.begin("stuck", &["frail", "full"]).commit().unwrap();
    world.fill("full", 40);
    world.poison();
    let limit =
        |bytes: &str| world.store.alter_topic("full", TopicConfig::new().set("retention.bytes", bytes));
    limit("4000").unwrap();
    drop(world.store.apply_retention());
    let start = world.partition("full").start();
    assert!((1..40).contains(&start), "it starts at {start}");
    limit("-1").unwrap();
    start
}

#[test]
fn what_a_group_has_read_stayed_for_a_transaction_that_was_taken_out_before() {
    let world = World::new();
    let start = taken_out(&world);
    world.consumer("readers", &["full"]).commit().unwrap();
    drop(world.store.apply_retention());
    assert!(world.partition("full").start() > start);
}

#[test]
fn what_a_group_has_read_before_a_transaction_that_cannot_go_stayed_with_it() {
    let world = World::new();
    world.fill("full", 40);
    world.begin("stuck", &["frail", "full"]).commit().unwrap();
    world.fill("full", 40);
    world.poison();
    world.consumer("readers", &["full"]).commit().unwrap();
    drop(world.store.apply_retention());
    let start = world.partition("full").start();
    assert!(start > 0 && start <= 40, "it starts at {start}");
    drop(world.store.apply_retention());
    assert_eq!(world.partition("full").start(), start);
}

#[test]
fn records_were_not_deleted_for_a_transaction_that_was_taken_out_before() {
    let world = World::new();
    taken_out(&world);
    world.begin("other", &["full", "s"]).commit().unwrap();
    let full = world.partition("full");
    let stable = full.stable();
    assert_eq!(full.delete_records(stable).unwrap().start, stable);
    full.append(&[Record::new().value("more")], Durability::Disk).unwrap();
    full.flush().unwrap();
}

#[test]
fn what_a_queue_has_done_stayed_for_a_transaction_that_was_taken_out_before() {
    let world = World::new();
    let start = taken_out(&world);
    let mut worker = world.store.queue("full", "workers").unwrap();
    let taken = worker.take(10, Duration::ZERO).unwrap();
    assert_eq!(taken.iter().next().unwrap().offset, start);
    taken.into_iter().for_each(|message| message.ack().unwrap());
    let dropped = world.store.drop_done("full").unwrap();
    assert!(dropped.iter().map(|one| one.records).sum::<u64>() > 0);
}

#[test]
fn what_a_queue_has_done_went_though_a_power_cut_has_it_made_once_more() {
    let world = World::new();
    world.store.create_topic("kept", TopicConfig::new().retention_until_consumed()).unwrap();
    world.fill("kept", 2);
    world.begin("stuck", &["frail", "kept"]).commit().unwrap();
    let mut worker = world.store.queue("kept", "workers").unwrap();
    let taken = worker.take(3, Duration::ZERO).unwrap();
    let (done, last) = taken.into_iter().fold((Vec::new(), None), |(mut done, last), message| {
        done.extend(last);
        (done, Some(message))
    });
    world.poison();
    done.into_iter().for_each(|message| message.ack().unwrap());
    let dropped = world.store.drop_done("kept").unwrap();
    assert_eq!(dropped.iter().map(|one| one.records).sum::<u64>(), 2, "it has nothing of these");
    last.unwrap().ack().unwrap();
    is_poisoned(world.store.drop_done("kept"));
    let left = world.partition("kept").read(..).unwrap().into_iter().count();
    assert_eq!(left, 1, "whoever makes it again has it done twice");
}

#[test]
fn that_a_commit_at_disk_may_be_taken_back_was_not_told_where_another_partition_was_sought_beyond_its_end() {
    for is_beyond in [false, true] {
        let world = World::new();
        drop(read_and_not_durable(&world));
        let builder = world.store.consumer_builder().group("at disk").commit_durability(Durability::Disk);
        let mut consumer = builder.build().unwrap();
        consumer.assign([("full", 0), ("s", 0)]).unwrap();
        while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
        if is_beyond {
            consumer.seek(("s", 0), 100).unwrap();
        }
        is_poisoned(consumer.commit());
        assert!(consumer.committed(("full", 0)).is_some(), "it stands, as far as this life goes");
    }
}
