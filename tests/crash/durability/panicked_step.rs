//! A step of read, work, write and commit in the middle of which the file system or the clock of the program panics: each order has its
//! invoice once, in this life and in the next ones, whatever the program does after that; and nobody waits for what is left of the step.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use annals::io::{Clock, SystemClock};
use annals::{Consumer, Durability, Record, Result, Store, Timestamp, TopicConfig, Worker};

use crate::durability::panics::keep_quiet;
use crate::durability::space::{CHANGES, Space};
use annals_testing::{Call, Fault, FaultyFileSystem, Image, MemoryFileSystem, PLANTED, Times};

const ORDERS: usize = 4;
const INVOICES: [&str; 2] = ["invoices", "totals"];
/// No order.
const SOUND: &[u8] = b"sound";
const GROUP: &str = "billing";

/// Shows the time so often, then panics once.
#[derive(Debug, Clone)]
struct FragileClock(Arc<AtomicI64>);

impl Clock for FragileClock {
    fn now(&self) -> Timestamp {
        assert!(self.0.fetch_sub(1, Ordering::SeqCst) != 0, "{PLANTED}");
        SystemClock.now()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Files,
    Clock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    AsAGroup,
    AsAQueue,
}

/// Who does the steps.
enum Reader {
    Group(Box<Consumer>),
    Queue(Worker),
}

impl Reads {
    fn open(self, store: &Store, group: &str) -> Result<Reader> {
        if self == Self::AsAQueue {
            return store.queue("orders", group).map(Reader::Queue);
        }
        let mut consumer = store.consumer_builder().group(group).max_poll_records(1).build()?;
        consumer.assign([("orders", 0)])?;
        Ok(Reader::Group(Box::new(consumer)))
    }
}

impl Reader {
    /// Whether there was an order.
    fn step(
        &mut self,
        store: &Store,
        (name, durability, partition): (&str, Durability, u32),
        invoice: impl Fn(&[u8]) -> &[u8],
    ) -> Result<bool> {
        let builder = store.transaction_builder(name).durability(durability);
        match self {
            Self::Group(consumer) => {
                let orders = consumer.poll(Duration::ZERO)?;
                let mut tx = builder.begin()?;
                tx.commit_offsets(consumer)?;
                for order in &orders {
                    send_both(&mut tx, (partition, invoice(order.value().unwrap())))?;
                }
                tx.commit().map(|_| !orders.is_empty())
            }
            Self::Queue(worker) => {
                let Some(order) = worker.take(1, Duration::ZERO)?.into_iter().next() else {
                    return Ok(false);
                };
                let mut tx = builder.begin()?;
                send_both(&mut tx, (partition, invoice(order.value.as_deref().unwrap())))?;
                tx.ack(order);
                tx.commit().map(|_| true)
            }
        }
    }
}

fn send_both(tx: &mut annals::Transaction, (partition, value): (u32, &[u8])) -> Result<()> {
    INVOICES.iter().try_for_each(|topic| tx.send(Record::to(topic).partition(partition).value(value)))
}

fn open(files: &Arc<FaultyFileSystem>, clock: &FragileClock) -> Store {
    let builder = Store::builder("/s").file_system(files.clone()).clock(Arc::new(clock.clone()));
    builder.maintain_by_hand().open().unwrap()
}

/// How often each order has its invoice.
fn invoiced(store: &Store) -> [BTreeMap<Vec<u8>, usize>; 2] {
    INVOICES.map(|topic| {
        let mut times = BTreeMap::new();
        let partitions = store.topic(topic).unwrap().partitions();
        for record in partitions.iter().flat_map(|partition| partition.read(..).unwrap()) {
            *times.entry(record.unwrap().value.unwrap()).or_insert(0) += 1;
        }
        times.remove(SOUND);
        times
    })
}

/// Goes on until there is nothing to do, or it is refused; in other partitions, which no panic has poisoned.
fn go_on(reader: &mut Reader, store: &Store) {
    for _ in 0..2 * ORDERS {
        match catch_unwind(AssertUnwindSafe(|| reader.step(store, (GROUP, Durability::Os, 1), |order| order)))
        {
            Ok(Ok(true)) => {}
            _ => return,
        }
    }
}

/// Has the `nth` call of a step panic; whether it did.
fn try_out((reads, durability): (Reads, Durability), space: Space, (source, nth): (Source, usize)) -> bool {
    let memory = space.disk();
    let (files, clock) = (FaultyFileSystem::over(Arc::new(memory.clone())), FragileClock(Arc::default()));
    clock.0.store(-1, Ordering::SeqCst);
    let store = open(&files, &clock);
    INVOICES
        .iter()
        .for_each(|topic| drop(store.create_topic(topic, TopicConfig::new().partitions(2)).unwrap()));
    store.create_topic("orders", TopicConfig::new()).unwrap();
    for order in 0..ORDERS {
        store.producer().send(Record::to("orders").value(&order.to_string())).unwrap();
    }
    let mut reader = reads.open(&store, GROUP).unwrap();
    assert!(reader.step(&store, (GROUP, Durability::Disk, 0), |order| order).unwrap());
    store.maintain().unwrap();
    match source {
        Source::Files => files.fail(&CHANGES, "", (nth, Times::Once), Fault::Panic),
        Source::Clock => clock.0.store(nth as i64, Ordering::SeqCst),
    }
    let told = catch_unwind(AssertUnwindSafe(|| reader.step(&store, (GROUP, durability, 0), |order| order)));
    files.heal();
    clock.0.store(-1, Ordering::SeqCst);
    let has_panicked = told.is_err();
    let what = format!(
        "{reads:?} at {durability:?}, space ahead {space:?}, call {nth} of {source:?}, {has_panicked}"
    );
    let is_seen = invoiced(&store)[0].contains_key(&b"1"[..]);
    if reads == Reads::AsAGroup && is_seen {
        assert_eq!(store.committed(GROUP)[&("orders", 0).into()].offset, 2, "{what}: readers see it");
    }
    // What fails here is what is poisoned.
    drop(store.maintain());
    let is_sound = is_sound(&store);
    go_on(&mut reader, &store);
    drop(reader);
    if let Ok(mut reader) = reads.open(&store, GROUP) {
        go_on(&mut reader, &store);
    }
    let [invoices, totals] = invoiced(&store);
    assert!(invoices.values().all(|times| *times == 1), "{what}: {invoices:?}");
    // Readers of what is poisoned wait until it is opened again, however long anybody looks after it.
    if is_sound || std::env::var_os("ANNALS_FAULTS").is_some() {
        look_after(&store);
    }
    if is_sound {
        assert_eq!(invoices, totals, "{what}");
        assert_eq!(INVOICES.iter().find(|topic| waits(&store, topic)), None, "{what}: readers wait");
        let [invoices, totals] = invoiced(&store);
        assert_eq!(invoices, totals, "{what}: after maintenance");
    }
    let left = memory.files();
    std::mem::forget(store);
    let next = FaultyFileSystem::over(Arc::new(MemoryFileSystem::over(&Image::new(left))));
    let store = open(&next, &clock);
    go_on(&mut reads.open(&store, GROUP).unwrap(), &store);
    for times in invoiced(&store) {
        assert!(
            times.len() == ORDERS && times.values().all(|times| *times == 1),
            "{what}: next life {times:?}"
        );
    }
    has_panicked
}

/// Whether readers of the topic wait.
fn waits(store: &Store, topic: &str) -> bool {
    let partitions = store.topic(topic).unwrap().partitions();
    partitions.iter().any(|partition| partition.stable() < partition.end())
}

/// Maintenance looks after what is left within a second.
fn look_after(store: &Store) {
    for _ in 0..24 {
        if INVOICES.iter().any(|topic| waits(store, topic)) {
            std::thread::sleep(Duration::from_millis(50));
            drop(store.maintain());
        }
    }
}

/// Whether all that the steps write to takes more: a step of others.
fn is_sound(store: &Store) -> bool {
    let others = |reads: Reads| {
        reads
            .open(store, "sound")
            .and_then(|mut reader| reader.step(store, ("sound", Durability::Disk, 0), |_| SOUND))
    };
    others(Reads::AsAGroup).is_ok() && others(Reads::AsAQueue).is_ok()
}

fn each_call(reads: Reads, source: Source) {
    keep_quiet();
    for (durability, space) in Space::each_with([Durability::Os, Durability::Disk]) {
        let mut nth = 0;
        while try_out((reads, durability), space, (source, nth)) {
            nth += 1;
            assert!(nth < 1_000, "it does not end");
        }
        // Where space ahead is granted another call may ask for it, if nobody has by then.
        let least = match (source, reads) {
            (Source::Clock, _) => 14,
            (Source::Files, Reads::AsAGroup) => 4,
            (Source::Files, Reads::AsAQueue) => 5,
        };
        assert!(
            nth >= least,
            "{nth} calls of {source:?}: {reads:?} at {durability:?}, space ahead {space:?}"
        );
    }
}

#[test]
fn a_panic_of_the_files_in_a_step_of_a_group_had_an_order_done_twice() {
    each_call(Reads::AsAGroup, Source::Files);
}

#[test]
fn a_panic_of_the_clock_in_a_step_of_a_group_left_it_to_nobody() {
    each_call(Reads::AsAGroup, Source::Clock);
}

#[test]
fn a_panic_of_the_files_in_a_step_of_a_queue_had_an_order_done_twice() {
    each_call(Reads::AsAQueue, Source::Files);
}

#[test]
fn a_panic_of_the_clock_in_a_step_of_a_queue_left_it_to_nobody() {
    each_call(Reads::AsAQueue, Source::Clock);
}

/// Whether both topics show what was sent; and how many of them have its end in the log.
fn stands(store: &Store) -> (bool, usize) {
    let partitions = INVOICES.map(|topic| store.topic(topic).unwrap().partition(0).unwrap());
    let ends = partitions.iter().filter(|partition| partition.end() == 2 * 2).count();
    (partitions.iter().all(|partition| partition.stable() >= 3), ends)
}

#[test]
fn a_panic_behind_a_decision_left_its_markers_to_nobody() {
    keep_quiet();
    let (mut nth, mut left) = (0, 0);
    loop {
        let memory = MemoryFileSystem::new();
        let (files, clock) = (FaultyFileSystem::over(Arc::new(memory)), FragileClock(Arc::default()));
        clock.0.store(-1, Ordering::SeqCst);
        let store = open(&files, &clock);
        let commit = |durability| {
            let mut tx = store.transaction_builder(GROUP).durability(durability).begin().unwrap();
            send_both(&mut tx, (0, b"x")).and_then(|()| tx.commit()).unwrap();
        };
        for topic in INVOICES {
            store.create_topic(topic, TopicConfig::new()).unwrap();
        }
        commit(Durability::Disk);
        assert_eq!(stands(&store), (false, 0), "a record and its end");
        files.fail(&[Call::Write], "/s/", (nth, Times::Once), Fault::Panic);
        let told = catch_unwind(AssertUnwindSafe(|| commit(Durability::Disk)));
        let has_struck = files.armed() == 0;
        files.heal();
        if !has_struck {
            break;
        }
        nth += 1;
        let (is_seen, ends) = stands(&store);
        if told.is_err() && is_seen && ends == 0 {
            left += 1;
            for _ in 0..40 {
                if stands(&store).1 == 1 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
                drop(store.maintain());
            }
            assert_eq!(stands(&store).1, 1, "write {nth}: one is poisoned, the other has its end");
        }
    }
    assert!(left > 0, "none of {nth} writes is that of a marker");
}

#[test]
fn a_commit_of_one_partition_that_a_panic_cuts_off_is_no_abort_if_it_is_there() {
    keep_quiet();
    for nth in 0.. {
        let memory = MemoryFileSystem::new();
        let files = FaultyFileSystem::over(Arc::new(memory.clone()));
        let clock = FragileClock(Arc::new(AtomicI64::new(-1)));
        let store = open(&files, &clock);
        store.create_topic("invoices", TopicConfig::new()).unwrap();
        let commit = |value: &str| {
            let mut tx = store.transaction(GROUP).unwrap();
            tx.send(Record::to("invoices").value(value)).unwrap();
            tx.commit().unwrap();
        };
        commit("before");
        clock.0.store(nth, Ordering::SeqCst);
        let has_panicked = catch_unwind(AssertUnwindSafe(|| commit("x"))).is_err();
        clock.0.store(-1, Ordering::SeqCst);
        let values = |store: &Store| {
            let records = store.topic("invoices").unwrap().partition(0).unwrap().read(..).unwrap();
            records.into_iter().map(|record| record.unwrap().value.unwrap()).collect::<Vec<_>>()
        };
        let (before, waits) = (values(&store), waits(&store, "invoices"));
        let left = memory.files();
        std::mem::forget(store);
        let next = FaultyFileSystem::over(Arc::new(MemoryFileSystem::over(&Image::new(left))));
        let found = values(&open(&next, &clock));
        assert!(waits || found == before, "call {nth}: readers were told {before:?}, and {found:?} is there");
        if !has_panicked {
            assert!(nth > 3, "{nth} calls");
            return;
        }
    }
}
