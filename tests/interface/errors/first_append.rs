//! The first append after an open, or a roll, fails for good while records that were sent at `Memory` wait for it: whoever asks for them is
//! told, and the figures are still there.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use annals::{Partition, Producer, Result};
use annals_testing::{Gate, Image, MemoryFileSystem, PowerCutFileSystem};

use super::*;

/// How a partition comes to its next append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comes {
    /// Killed with an empty segment at its end.
    BehindADeletion,
    /// Killed with records behind the durable mark.
    BehindAKill,
    /// Closed, with records.
    BehindAClose,
    /// Never appended to.
    New,
    /// Everything durable, and the segment too old for one more batch.
    BeforeARoll,
}

const ALL: [Comes; 5] =
    [Comes::BehindADeletion, Comes::BehindAKill, Comes::BehindAClose, Comes::New, Comes::BeforeARoll];

fn open(files: Arc<dyn annals::io::FileSystem>, clock: &Arc<ManualClock>) -> Store {
    Store::builder("/s").file_system(files).clock(clock.clone()).maintain_by_hand().open().unwrap()
}

/// What the life before has left.
fn left(comes: Comes, clock: &Arc<ManualClock>) -> Arc<Image> {
    let memory = MemoryFileSystem::new();
    let store = open(Arc::new(memory.clone()), clock);
    // Age seals what retention or a compaction waits for.
    let config =
        TopicConfig::new().segment_age(Duration::from_secs(1)).retention(Duration::from_secs(100_000));
    let partition = store.create_topic(TOPIC, config).unwrap().partition(0).unwrap();
    if !matches!(comes, Comes::New | Comes::BeforeARoll) {
        for _ in 0..3 {
            partition.append(&[Record::new().value("before")], Durability::Disk).unwrap();
        }
    }
    match comes {
        Comes::BehindADeletion => _ = partition.delete_records(3).unwrap(),
        Comes::BehindAKill => _ = partition.append(&[Record::new().value("tail")], Durability::Os).unwrap(),
        Comes::BehindAClose | Comes::New | Comes::BeforeARoll => store.close().unwrap(),
    }
    let image = Image::new(memory.files());
    memory.freeze();
    image
}

fn partition_of(store: &Store) -> Partition {
    store.topic(TOPIC).unwrap().partition(0).unwrap()
}

/// Opened again, with one record in memory.
struct Life {
    memory: MemoryFileSystem,
    files: Arc<FaultyFileSystem>,
    clock: Arc<ManualClock>,
    store: Store,
    producer: Producer,
}

impl Life {
    fn begin(comes: Comes, image: &Arc<Image>) -> Self {
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let memory = MemoryFileSystem::over(image);
        let files = FaultyFileSystem::over(Arc::new(memory.clone()));
        let store = open(files.clone(), &clock);
        if comes == Comes::BeforeARoll {
            partition_of(&store).append(&[Record::new().value("before")], Durability::Disk).unwrap();
            clock.advance(Duration::from_secs(5));
        }
        let memory_only = store.producer_builder().durability(Durability::Memory);
        let producer = memory_only.linger(Duration::from_millis(1)).build().unwrap();
        Self { memory, files, clock, store, producer }
    }

    /// Whether the record is there in the next life.
    fn keeps(self) -> bool {
        let left = Image::new(self.memory.files());
        self.memory.freeze();
        drop(self.store);
        let store = open(Arc::new(MemoryFileSystem::over(&left)), &self.clock);
        records(&partition_of(&store)).iter().any(|(_, value)| value == b"accepted")
    }
}

fn ready(future: impl Future<Output = Result<()>>) -> Result<()> {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return outcome;
        }
        thread::yield_now();
    }
}

/// A way to ask for what was sent.
type Ask = fn(&Life, i64) -> Result<()>;

const ASKS: [(&str, Ask); 10] = [
    ("Producer::flush", |life, _| life.producer.flush()),
    ("TopicProducer::flush", |life, _| life.producer.bind(TOPIC)?.flush()),
    ("Topic::flush", |life, _| life.store.topic(TOPIC)?.flush()),
    ("Partition::flush", |life, _| partition_of(&life.store).flush()),
    ("maintain, then flush", |life, _| {
        thread::sleep(Duration::from_millis(2));
        drop(life.store.maintain());
        life.producer.flush()
    }),
    ("read, then flush", |life, _| {
        drop(partition_of(&life.store).read(..).and_then(|mut reader| reader.fetch().map(drop)));
        life.producer.flush()
    }),
    ("flush_async", |life, _| ready(life.producer.flush_async())),
    ("Partition::flush_async", |life, _| ready(partition_of(&life.store).flush_async())),
    ("durable_through", |life, offset| ready(partition_of(&life.store).durable_through(offset))),
    ("close", |life, _| life.store.close()),
];

/// Sends at `Memory` and asks, with one call of the append that fails. `None` when no call was left to fail.
fn ask(
    comes: Comes,
    image: &Arc<Image>,
    (name, how): (&str, Ask),
    (nth, times, fault): (usize, Times, Fault),
) -> Option<()> {
    let what = format!("{comes:?}, {name}, call {nth} fails {times:?} with {fault:?}");
    let life = Life::begin(comes, image);
    let partition = partition_of(&life.store);
    let offset = life.producer.send(Record::to(TOPIC).value("accepted")).unwrap().offset;
    life.files.fail(&Call::MUTATING, "orders-0", (nth, times), fault);
    // Whose thread it is has the panic; the next one asks again.
    let told =
        catch_unwind(AssertUnwindSafe(|| how(&life, offset))).unwrap_or_else(|_| life.producer.flush());
    let is_struck = times == Times::ForEver || life.files.armed() == 0;
    life.files.heal();
    if let Err(Error::Lost { cause, .. }) = &told {
        let is_true = matches!(**cause, Error::Io { .. } | Error::Poisoned { .. } | Error::Panicked { .. });
        assert!(is_true, "{what}: lost, because of {cause:?}");
    }
    let next = partition.append(&[Record::new().value("next")], Durability::Os);
    if matches!(next, Err(Error::Poisoned { .. })) && name != "durable_through" {
        assert!(!matches!(told, Err(Error::Lost { .. })), "{what}: {told:?} of a partition that is poisoned");
    }
    assert!(life.keeps() || told.is_err(), "{what}: told Ok, and the record is gone");
    is_struck.then_some(())
}

#[test]
fn a_flush_said_ok_of_records_that_were_lost_with_the_first_append() {
    for comes in ALL {
        let image = left(comes, &Arc::new(ManualClock::at(1_700_000_000_000)));
        let mut struck = 0;
        for asked in ASKS {
            struck += (0..)
                .map_while(|nth| ask(comes, &image, asked, (nth, Times::Once, Fault::Error(EIO))))
                .count();
            struck +=
                (0..).map_while(|nth| ask(comes, &image, asked, (nth, Times::Once, Fault::Panic))).count();
            for nth in 0..6 {
                ask(comes, &image, asked, (nth, Times::ForEver, Fault::Error(EIO)));
                ask(comes, &image, asked, (nth, Times::ForEver, Fault::Error(ENOSPC)));
            }
        }
        assert!(struck > 40, "{comes:?}: {struck} calls");
    }
}

#[test]
fn a_failed_write_that_loses_a_record_is_what_its_wait_gives_for_the_cause() {
    let image = left(Comes::BehindAClose, &Arc::new(ManualClock::at(1_700_000_000_000)));
    let life = Life::begin(Comes::BehindAClose, &image);
    let partition = partition_of(&life.store);
    let offset = life.producer.send(Record::to(TOPIC).value("accepted")).unwrap().offset;
    let wait = partition.durable_through(offset);
    let calls = [Call::Write, Call::Allocate, Call::Create];
    for errno in [ENOSPC, EIO] {
        life.files.fail(&calls, "", (0, Times::ForEver), Fault::Error(errno));
        assert!(partition.flush().is_err());
        life.files.heal();
        drop(life.producer.send(Record::to(TOPIC).value("another")));
    }
    match ready(wait) {
        Err(Error::Lost { first, last, cause, .. }) => {
            assert!(first == offset && last == offset && cause.is_disk_full(), "{cause:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_loss_was_told_by_no_awaited_flush_where_its_partition_was_poisoned_before_it_was_ready() {
    let files = FaultyFileSystem::over(PowerCutFileSystem::new().shared());
    let store = open(files.clone(), &Arc::new(ManualClock::at(1_700_000_000_000)));
    let topic = store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
    let [lossy, other] = [0, 1].map(|number| topic.partition(number).unwrap());
    let producer = producer(&store, Durability::Memory);
    lossy.append(&[Record::new().value("kept")], Durability::Disk).unwrap();
    producer.send(Record::to(TOPIC).partition(0).value("lost")).unwrap();
    files.fail(&[Call::Write, Call::Allocate], "orders-0", (0, Times::ForEver), Fault::Error(ENOSPC));
    drop(lossy.read(..).unwrap().fetch().unwrap());
    files.heal();
    other.append(&[Record::new().value("synced late")], Durability::Os).unwrap();
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Sync], "orders-1", (0, Times::Once), Fault::Hold(gate.clone()));
    let mut flushed = Box::pin(producer.flush_async());
    assert!(flushed.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    gate.await_arrival();
    files.fail_next(Call::Sync, "orders-0", EIO);
    let append = || lossy.append(&[Record::new().value("not synced")], Durability::Disk);
    assert!(matches!(append(), Err(Error::Lost { .. })), "its sender is told");
    assert!(matches!(append(), Err(Error::Io { operation: "sync", .. })));
    gate.open();
    let told = ready(flushed.as_mut());
    assert!(matches!(told, Err(Error::Poisoned { .. })), "{told:?}");
}

#[test]
fn one_partition_that_was_poisoned_by_its_first_append_took_the_figures_of_the_store_away() {
    for (comes, fault) in
        ALL.into_iter().flat_map(|comes| [(comes, Fault::Error(EIO)), (comes, Fault::Panic)])
    {
        let image = left(comes, &Arc::new(ManualClock::at(1_700_000_000_000)));
        let mut poisoned = 0;
        for nth in 0.. {
            let life = Life::begin(comes, &image);
            let partition = partition_of(&life.store);
            let before = partition.stats().unwrap();
            life.files.fail(&Call::MUTATING, "orders-0", (nth, Times::Once), fault.clone());
            let append = || partition.append(&[Record::new().value("next")], Durability::Os);
            let appended = catch_unwind(AssertUnwindSafe(append));
            let is_struck = life.files.armed() == 0;
            life.files.heal();
            let what = format!("{comes:?}, call {nth}, {fault:?}");
            let stats = partition.stats().unwrap_or_else(|error| panic!("{what}: {error}"));
            life.store.topic(TOPIC).unwrap().stats().unwrap_or_else(|error| panic!("{what}: {error}"));
            life.store.stats().unwrap_or_else(|error| panic!("{what}: {error}"));
            let is_poisoned = matches!(append(), Err(Error::Poisoned { .. }));
            assert_eq!(stats.poisoned_by.is_some(), is_poisoned, "{what}");
            if is_poisoned && !matches!(appended, Ok(Ok(_))) && comes != Comes::BeforeARoll {
                let known = |stats: &annals::stats::PartitionStats| (stats.start, stats.end, stats.records);
                assert_eq!(known(&stats), known(&before), "{what}");
            }
            poisoned += usize::from(is_poisoned);
            drop(life.store.close());
            if !is_struck {
                break;
            }
        }
        assert!(poisoned > 0, "{comes:?}, {fault:?}");
    }
}

#[test]
fn an_append_into_memory_beside_the_deletion_of_its_topic_said_lost() {
    let files = FaultyFileSystem::over(PowerCutFileSystem::new().shared());
    let store = open(files.clone(), &Arc::new(ManualClock::at(1_700_000_000_000)));
    let partition = store.create_topic(TOPIC, TopicConfig::new()).unwrap().partition(0).unwrap();
    partition.append(&[Record::new().value("first")], Durability::Disk).unwrap();
    let memory =
        store.producer_builder().durability(Durability::Memory).linger(Duration::ZERO).build().unwrap();
    let gate = Arc::new(Gate::default());
    files.fail(&[Call::Write], "orders-0", (0, Times::Once), Fault::Hold(gate.clone()));
    let mut waiting = Context::from_waker(Waker::noop());
    thread::scope(|scope| {
        let writing = scope.spawn(|| partition.append(&[Record::new().value("under way")], Durability::Os));
        let sending = scope.spawn(|| {
            while files.armed() > 0 {
                thread::yield_now();
            }
            memory.send(Record::to(TOPIC).value("accepted"))
        });
        let mut wait = loop {
            let mut wait = Box::pin(partition.durable_through(2));
            if wait.as_mut().poll(&mut waiting).is_pending() {
                break wait;
            }
            thread::yield_now();
        };
        let deleting = scope.spawn(|| store.delete_topic(TOPIC));
        while !matches!(
            Box::pin(partition.durable_through(1)).as_mut().poll(&mut waiting),
            Poll::Ready(Err(Error::UnknownTopic { .. }))
        ) && !deleting.is_finished()
        {
            thread::sleep(Duration::from_millis(1));
        }
        gate.open();
        drop(writing.join().unwrap());
        deleting.join().unwrap().unwrap();
        let sent = sending.join().unwrap();
        assert!(matches!(sent, Err(Error::UnknownTopic { was_deleted: true, .. })), "{sent:?}");
        let waited = ready(wait.as_mut());
        assert!(matches!(waited, Err(Error::UnknownTopic { was_deleted: true, .. })), "{waited:?}");
    });
    let next = partition.append(&[Record::new().value("next")], Durability::Memory);
    assert!(matches!(next, Err(Error::UnknownTopic { was_deleted: true, .. })), "{next:?}");
}
