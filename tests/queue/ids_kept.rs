//! Ids beside failures: what fails in one place holds up no other, and no record goes before its id is written.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{
    CleanupPolicy, Durability, Enqueuer, Error, Partition, Record, Store, Topic, TopicConfig, WhenFull,
};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Image, MemoryFileSystem, Times};

use crate::world::World;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A store over files that fail on demand.
pub(crate) struct Frail {
    pub(crate) disk: MemoryFileSystem,
    pub(crate) faulty: Arc<FaultyFileSystem>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Store,
}

impl Frail {
    pub(crate) fn new() -> Self {
        Self::over(MemoryFileSystem::new(), &Arc::new(ManualClock::at(1_000_000)))
    }

    pub(crate) fn over(disk: MemoryFileSystem, clock: &Arc<ManualClock>) -> Self {
        let faulty = FaultyFileSystem::over(Arc::new(disk.clone()));
        let builder = Store::builder("/store").file_system(Arc::clone(&faulty) as _);
        let store = builder.clock(Arc::clone(clock) as _).maintain_by_hand().open().unwrap();
        Self { disk, faulty, clock: Arc::clone(clock), store }
    }

    pub(crate) fn killed(&self) -> Self {
        Self::over(MemoryFileSystem::over(&Image::new(self.disk.files())), &self.clock)
    }

    pub(crate) fn without_power(&self) -> Self {
        Self::over(MemoryFileSystem::over(&Image::new(self.disk.durable_files())), &self.clock)
    }
}

pub(crate) fn ids(store: &Store, topic: &str) -> Enqueuer {
    store.enqueuer_builder(topic).unique_within(HOUR, 100).build().unwrap()
}

pub(crate) fn send(ids: &Enqueuer, id: &str, partition: u32) {
    ids.send_once(id, Record::new().key("k").value("mail").partition(partition)).unwrap();
}

pub(crate) fn is_known(store: &Store, topic: &str, id: &str) -> bool {
    match ids(store, topic).send_once(id, Record::new().key("k")) {
        Err(Error::DuplicateMessage { .. }) => true,
        Ok(_) => false,
        Err(error) => panic!("{id}: {error}"),
    }
}

fn empty(partition: &Partition) -> annals::Result<()> {
    partition.delete_records(partition.end()).map(drop)
}

/// With a topic `jobs` whose first partition has taken an id and then had a sync fail, and a topic that retention would empty.
fn with_a_poisoned_partition() -> (Frail, Topic, Topic) {
    let frail = Frail::new();
    let config = TopicConfig::new().partitions(3).cleanup_policy(CleanupPolicy::CompactDelete);
    let jobs = frail.store.create_topic("jobs", config).unwrap();
    let old = frail.store.create_topic("old", TopicConfig::new().retention(HOUR)).unwrap();
    frail.store.producer().send(Record::to("old").value("news")).unwrap();
    send(&ids(&frail.store, "jobs"), "stuck", 0);
    frail.faulty.fail_next(Call::Sync, "jobs-0", 5);
    assert!(jobs.partition(0).unwrap().flush().is_err());
    (frail, jobs, old)
}

#[test]
fn a_partition_whose_sync_failed_holds_up_no_ids_and_no_deletions_of_others() {
    let (frail, jobs, old) = with_a_poisoned_partition();
    let of_jobs = ids(&frail.store, "jobs");
    send(&of_jobs, "after it", 1);
    send(&of_jobs, "another", 2);
    frail.clock.advance(2 * HOUR);
    // The partition itself is not done, and says so; all others are.
    let reports = frail.store.apply_retention();
    assert!(matches!(reports, Err(Error::Poisoned { .. })), "{reports:?}");
    assert_eq!(old.partition(0).unwrap().start(), 1, "retention of another topic went on");
    frail.clock.set(1_000_000);
    assert!(matches!(empty(&jobs.partition(0).unwrap()), Err(Error::Poisoned { .. })));
    empty(&jobs.partition(1).unwrap()).unwrap();
    assert!(matches!(jobs.erase("k"), Err(Error::Poisoned { .. })));
    assert_eq!(jobs.partition(2).unwrap().read(..).unwrap().into_iter().count(), 0, "it was erased");
    of_jobs.deliver_once_after("later", Record::new().key("k").partition(2), HOUR).unwrap();
    for next in [frail.killed(), frail.without_power()] {
        for id in ["after it", "another"] {
            assert!(is_known(&next.store, "jobs", id), "{id}");
        }
    }
    let killed = frail.killed();
    assert!(["stuck", "later"].into_iter().all(|id| is_known(&killed.store, "jobs", id)));
}

/// However many ids come behind the one that cannot be written, they are written.
#[test]
fn ids_behind_one_that_cannot_be_written_outlive_their_records() {
    let (frail, jobs, _) = with_a_poisoned_partition();
    let of_jobs = ids(&frail.store, "jobs");
    let partition = jobs.partition(1).unwrap();
    for id in 0..10_u32 {
        send(&of_jobs, &id.to_string(), 1);
        partition.flush().unwrap();
    }
    drop(frail.store.maintain());
    empty(&partition).unwrap();
    let next = frail.without_power();
    (0..10_u32).for_each(|id| assert!(is_known(&next.store, "jobs", &id.to_string()), "{id}"));
}

/// A key that does something when it is first compared.
struct Doing<F: Fn()>(&'static str, F, std::cell::Cell<bool>);

impl<F: Fn()> AsRef<[u8]> for Doing<F> {
    fn as_ref(&self) -> &[u8] {
        if !self.2.replace(true) {
            (self.1)();
        }
        self.0.as_bytes()
    }
}

/// The erasure has asked for ids to be written, and looks for records of the key.
#[test]
fn an_id_outlives_a_record_that_was_sent_while_its_key_is_erased() {
    for topic_alone in [true, false] {
        let frail = Frail::new();
        let jobs = frail.store.create_topic("jobs", TopicConfig::new()).unwrap();
        let of_jobs = ids(&frail.store, "jobs");
        send(&of_jobs, "before", 0);
        let key = Doing("k", || send(&of_jobs, "meanwhile", 0), false.into());
        match topic_alone {
            true => drop(jobs.erase(key).unwrap()),
            false => drop(jobs.erase_all([key]).unwrap()),
        }
        for next in [frail.killed(), frail.without_power()] {
            assert!(is_known(&next.store, "jobs", "before"));
            let there =
                next.store.topic("jobs").unwrap().partition(0).unwrap().read(..).unwrap().into_iter().count();
            assert!(
                there > 0 || is_known(&next.store, "jobs", "meanwhile"),
                "its record is gone, and its id"
            );
        }
    }
}

/// Whoever deletes needs the room, and a topic without ids needs none written.
#[test]
fn retention_goes_on_where_the_topic_of_ids_cannot_be_opened() {
    let frail = Frail::new();
    let consumed = TopicConfig::new().retention_until_consumed();
    for (name, config) in [("jobs", TopicConfig::new().retention(HOUR)), ("read", consumed)] {
        frail.store.create_topic(name, config).unwrap();
        frail.store.producer().send(Record::to(name).value("news")).unwrap();
    }
    send(&ids(&frail.store, "jobs"), "a", 0);
    frail.store.close().unwrap();
    let mut files = frail.disk.files();
    let state = files.keys().find(|path| path.contains("__message_ids-0") && path.contains("state"));
    let state = state.cloned().unwrap();
    files.insert(state, b"nothing that anybody understands".to_vec().into());
    let next = Frail::over(MemoryFileSystem::over(&Image::new(files)), &frail.clock);
    assert!(next.store.topic("__message_ids").is_err());
    next.clock.advance(2 * HOUR);
    next.store.apply_retention().unwrap();
    assert_eq!(next.store.topic("jobs").unwrap().partition(0).unwrap().start(), 2);
    let mut worker = next.store.queue("read", "workers").unwrap();
    worker.take(1, Duration::ZERO).unwrap().into_iter().for_each(|message| message.ack().unwrap());
    drop(worker);
    next.store.apply_retention().unwrap();
    assert_eq!(next.store.topic("read").unwrap().partition(0).unwrap().start(), 1);
}

/// Another topic's enqueuer reads the ids of all in the meantime.
#[test]
fn ids_of_a_topic_that_cannot_be_opened_are_known_when_it_can() {
    let frail = Frail::new();
    ["jobs", "others"]
        .iter()
        .for_each(|name| _ = frail.store.create_topic(name, TopicConfig::new()).unwrap());
    let of_jobs = ids(&frail.store, "jobs");
    send(&of_jobs, "gone", 0);
    frail.store.topic("jobs").unwrap().partition(0).unwrap().delete_records(1).unwrap();
    of_jobs.deliver_once_after("later", Record::new().key("k").value("mail"), 10 * HOUR).unwrap();
    drop(of_jobs);
    frail.store.close().unwrap();
    let sound = frail.disk.files();
    let state = sound.keys().find(|path| path.contains("jobs-0") && path.contains("state")).unwrap();
    let mut files = sound.clone();
    files.insert(state.clone(), b"nothing that anybody understands".to_vec().into());
    let next = Frail::over(MemoryFileSystem::over(&Image::new(files)), &frail.clock);
    assert!(next.store.topic("jobs").is_err());
    send(&ids(&next.store, "others"), "a", 0);
    next.store.delete_topic("others").unwrap();
    next.store.maintain().unwrap();
    next.store.close().unwrap();
    let mut files = next.disk.files();
    files.insert(state.clone(), Arc::clone(&sound[state]));
    let last = Frail::over(MemoryFileSystem::over(&Image::new(files)), &frail.clock);
    for id in ["gone", "later"] {
        assert!(is_known(&last.store, "jobs", id), "{id}");
    }
}

/// Nobody asks a call of the program for it: room is made by an append, before any round of maintenance.
#[test]
fn ids_outlive_records_that_a_full_partition_drops() {
    let world = World::new(1);
    let config = TopicConfig::new().segment_bytes(1 << 20).size_limit(1 << 20, WhenFull::DropOldest);
    world.store.create_topic("mails", config).unwrap();
    let large = vec![7; 600 << 10];
    let of_mails = ids(&world.store, "mails");
    for id in 0..5_u32 {
        of_mails.send_once(&id.to_string(), Record::new().value(&large)).unwrap();
        let log = world.store.topic("mails").unwrap().partition(0).unwrap();
        assert_eq!(log.end() - log.start(), 1, "each has driven out the one before");
        for next in [world.killed(), world.without_power()] {
            // The last one may be lost with its record.
            (0..id).for_each(|id| assert!(is_known(&next.store, "mails", &id.to_string()), "{id}"));
        }
    }
    // A producer drives them out as well, in the next life too.
    let next = world.killed();
    next.store.producer().send(Record::to("mails").value(&large)).unwrap();
    assert!((0..5_u32).all(|id| is_known(&next.without_power().store, "mails", &id.to_string())));
}

/// A round that is long at one topic takes records of the next that came after it had begun.
#[test]
fn ids_outlive_records_that_came_while_a_round_was_at_another_topic() {
    let frail = Frail::new();
    let compact = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact).min_cleanable_dirty_ratio(0.0);
    let first = frail.store.create_topic("a", compact.segment_bytes(1024)).unwrap();
    frail.store.create_topic("z", TopicConfig::new().segment_bytes(1024).retention_records(1)).unwrap();
    let of_z = ids(&frail.store, "z");
    for _ in 0..20 {
        let record = Record::new().key("k").value(&[7; 200]);
        first.partition(0).unwrap().append(&[record], Durability::Os).unwrap();
    }
    let gate = Arc::new(Gate::default());
    frail.faulty.fail(&[Call::Create], ".cleaned", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    thread::scope(|scope| {
        let round = scope.spawn(|| frail.store.maintain());
        gate.await_arrival();
        for id in 0..20_u32 {
            let record = Record::new().value(&[7; 200]);
            of_z.send_once(&id.to_string(), record).unwrap();
        }
        gate.open();
        round.join().unwrap().unwrap();
    });
    let log = frail.store.topic("z").unwrap().partition(0).unwrap();
    assert!(log.start() > 0, "some have gone");
    for next in [frail.killed(), frail.without_power()] {
        let gone = 0..u32::try_from(log.start()).unwrap();
        gone.for_each(|id| assert!(is_known(&next.store, "z", &id.to_string()), "{id}"));
    }
}

/// What is sent while a round is at another partition of the topic, after ids were written, stays for the next round.
#[test]
fn no_record_goes_whose_id_came_after_those_of_its_topic_were_written() {
    for policy in [CleanupPolicy::Delete, CleanupPolicy::Compact] {
        let frail = Frail::new();
        let config = TopicConfig::new().partitions(2).cleanup_policy(policy).segment_bytes(1024);
        let config = config.retention_records(1).min_cleanable_dirty_ratio(0.0);
        let jobs = frail.store.create_topic("jobs", config).unwrap();
        let of_jobs = ids(&frail.store, "jobs");
        let fill = |partition: u32, ids: std::ops::Range<u32>| {
            for id in ids {
                let record = Record::new().key("k").value(&[7; 200]).partition(partition);
                of_jobs.send_once(&id.to_string(), record).unwrap();
            }
        };
        fill(0, 0..20);
        fill(1, 20..30);
        let gate = Arc::new(Gate::default());
        let (calls, path) = match policy {
            CleanupPolicy::Compact => ([Call::Create], "jobs-0/"),
            _ => ([Call::Remove], "jobs-0/"),
        };
        frail.faulty.fail(&calls, path, (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
        thread::scope(|scope| {
            let round = scope.spawn(|| frail.store.maintain());
            gate.await_arrival();
            fill(1, 30..50);
            gate.open();
            round.join().unwrap().unwrap();
        });
        let there: Vec<_> = jobs.partition(1).unwrap().read(..).unwrap().into_iter().collect();
        assert!(there.len() < 30, "some have gone: {policy:?}");
        let next = frail.killed();
        (0..50_u32)
            .for_each(|id| assert!(is_known(&next.store, "jobs", &id.to_string()), "{id}, {policy:?}"));
        let next = frail.without_power();
        let end = next.store.topic("jobs").unwrap().partition(1).unwrap().end();
        assert!(end > 15, "most of them were sealed, and so synced");
        let survived = 20..20 + u32::try_from(end).unwrap();
        survived.for_each(|id| assert!(is_known(&next.store, "jobs", &id.to_string()), "{id}, {policy:?}"));
        // The next round takes them.
        frail.store.maintain().unwrap();
        assert!(jobs.partition(1).unwrap().read(..).unwrap().into_iter().count() < 10);
    }
}

/// Whoever has sent it is told, and nobody else.
#[test]
fn a_record_lost_in_memory_is_not_told_to_whoever_writes_ids() {
    let frail = Frail::new();
    frail.store.create_topic("jobs", TopicConfig::new()).unwrap();
    let of_jobs = ids(&frail.store, "jobs");
    send(&of_jobs, "a", 0);
    let producer =
        frail.store.producer_builder().durability(Durability::Memory).linger(HOUR).build().unwrap();
    producer.send(Record::to("jobs").value("lingers")).unwrap();
    frail.faulty.fail(&[Call::Write, Call::Allocate], "jobs-0", (0, Times::ForEver), Fault::Error(28));
    // A reader has it written, and fails to.
    drop(frail.store.topic("jobs").unwrap().partition(0).unwrap().read(..));
    frail.faulty.heal();
    frail.store.maintain().unwrap();
    let told = producer.send(Record::to("jobs").value("next"));
    assert!(matches!(told, Err(Error::Lost { .. })), "{told:?}");
    producer.send(Record::to("jobs").value("next")).unwrap();
}

/// It is tried again with the next round; a kill comes before that.
#[test]
fn an_id_that_could_not_be_written_is_not_passed_over_by_the_next_of_its_partition() {
    let frail = Frail::new();
    frail.store.create_topic("jobs", TopicConfig::new().partitions(2)).unwrap();
    send(&ids(&frail.store, "jobs"), "first", 1);
    let next = frail.killed();
    let sender = ids(&next.store, "jobs");
    // What the life before has left in the partition cannot be brought onto the disk.
    next.faulty.fail(
        &[Call::Create, Call::Write, Call::Allocate],
        "jobs-1",
        (0, Times::ForEver),
        Fault::Error(28),
    );
    assert!(next.store.maintain().is_err());
    next.faulty.heal();
    send(&sender, "second", 1);
    next.store.topic("jobs").unwrap().partition(1).unwrap().flush().unwrap();
    send(&sender, "third", 0);
    let last = next.killed();
    for id in ["first", "second", "third"] {
        assert!(is_known(&last.store, "jobs", id), "{id}");
    }
}
