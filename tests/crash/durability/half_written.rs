//! Commits whose part of a partition is several batches, of which a write fails: nothing of what was written before it ever takes
//! effect, in this life or the next ones, and readers do not wait for it.
//!
//! `ANNALS_FAULTS=all` takes every size of a commit at every durability, and every fault; by default it is some of each.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use annals::{Consumer, Durability, Error, Partition, Record, Result, Store, TopicConfig, Transaction};

use crate::durability::panics::keep_quiet;
use crate::durability::{EIO, ENOSPC};
use annals_testing::{Call, Fault, FaultyFileSystem, Image, MemoryFileSystem, Times};

const TOPICS: [&str; 3] = ["t0", "t1", "t2"];
const INPUT: &str = "input";
const GROUP: &str = "group";
/// What the failing transactions send.
const VALUE_BYTES: usize = 200;

/// How a transaction comes to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Buffered,
    /// As a task waits for it.
    Async,
    WithOffsets,
    /// All of it at the last `send`.
    AsItComes,
    /// The same, and then offsets of a group that has committed nothing before.
    AsItComesWithOffsets,
}

#[derive(Debug, Clone)]
struct Case {
    way: Way,
    durability: Durability,
    partitions: usize,
    /// Of each partition.
    batches: usize,
    fault: Fault,
    times: Times,
    /// Of the files that it strikes.
    path: &'static str,
}

/// What became of a commit.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Committed,
    Refused,
    Undecided,
    Panicked,
}

fn open(files: &Arc<FaultyFileSystem>) -> Store {
    Store::builder("/s").file_system(files.clone()).maintain_by_hand().open().unwrap()
}

fn partition(store: &Store, topic: &str) -> Partition {
    store.topic(topic).unwrap().partition(0).unwrap()
}

/// A store in which every topic was written to, and the name has committed before.
fn begun() -> (Arc<FaultyFileSystem>, MemoryFileSystem, Store) {
    let memory = MemoryFileSystem::new();
    let files = FaultyFileSystem::over(Arc::new(memory.clone()));
    let store = open(&files);
    for topic in TOPICS.into_iter().chain([INPUT]) {
        store.create_topic(topic, TopicConfig::new().max_message_bytes(400).segment_bytes(16 << 10)).unwrap();
        append(&store, topic, "begin");
    }
    next(&store, "first");
    store.maintain().unwrap();
    (files, memory, store)
}

fn append(store: &Store, topic: &str, value: &str) {
    partition(store, topic).append(&[Record::new().value(value)], Durability::Disk).unwrap();
}

/// A commit of the name that nothing fails.
fn next(store: &Store, value: &str) {
    let mut tx = store.transaction("name").unwrap();
    for topic in &TOPICS[..2] {
        tx.send(Record::to(topic).value(value)).unwrap();
    }
    tx.commit().unwrap();
}

/// The first letter of each value that is committed, in one topic after the other.
fn seen(store: &Store) -> Vec<String> {
    let first = |value: Vec<u8>| char::from(value[0]);
    let of = |topic| {
        let all = partition(store, topic).read_from(0).unwrap().into_iter();
        all.map(|record| first(record.unwrap().value.unwrap())).collect()
    };
    TOPICS.into_iter().map(of).collect()
}

fn stands_at(store: &Store) -> Option<i64> {
    store.committed(GROUP).get(&(INPUT, 0).into()).map(|committed| committed.offset)
}

fn assert_nobody_waits(store: &Store, what: &str) {
    for topic in TOPICS {
        let (stable, end) = (partition(store, topic).stable(), partition(store, topic).end());
        assert_eq!(stable, end, "{what}: readers of {topic} wait");
    }
}

impl Case {
    fn is_streamed(&self) -> bool {
        matches!(self.way, Way::AsItComes | Way::AsItComesWithOffsets)
    }

    /// One transaction, from its first record to its end.
    fn transact(&self, store: &Store) -> Result<()> {
        let value = format!("x{}", "-".repeat(VALUE_BYTES - 1));
        let buffer = (VALUE_BYTES + 32) * self.batches * self.partitions - 1;
        let builder = store.transaction_builder("name").durability(self.durability);
        let mut tx = if self.is_streamed() { builder.buffer_bytes(buffer) } else { builder }.begin()?;
        for _ in 0..self.batches {
            TOPICS[..self.partitions]
                .iter()
                .try_for_each(|topic| tx.send(Record::to(topic).value(&value)))?;
        }
        let mut consumer = matches!(self.way, Way::WithOffsets | Way::AsItComesWithOffsets).then(|| {
            let mut consumer = store.consumer_builder().group(GROUP).build().unwrap();
            consumer.assign([(INPUT, 0)]).unwrap();
            consumer.seek_to_end();
            consumer
        });
        self.commit(tx, consumer.as_mut())
    }

    fn commit(&self, mut tx: Transaction, consumer: Option<&mut Consumer>) -> Result<()> {
        consumer.map_or(Ok(()), |consumer| tx.commit_offsets(consumer))?;
        if self.way != Way::Async {
            return tx.commit().map(drop);
        }
        let committing = pin!(tx.commit_async());
        match committing.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(committed) => committed.map(drop),
            Poll::Pending => Ok(()),
        }
    }

    /// Records and their end go to the one partition together.
    fn is_alone(&self) -> bool {
        self.partitions == 1 && matches!(self.way, Way::Buffered | Way::Async)
    }

    /// Has the `nth` write fail; whether there was one.
    fn try_out(&self, nth: usize) -> bool {
        let (files, memory, store) = begun();
        files.forget();
        files.fail(&[Call::Write], self.path, (nth, self.times), self.fault.clone());
        let told = match catch_unwind(AssertUnwindSafe(|| self.transact(&store))) {
            Ok(Ok(())) => Told::Committed,
            Ok(Err(Error::Undecided { .. })) => Told::Undecided,
            Ok(Err(_)) => Told::Refused,
            Err(_) => Told::Panicked,
        };
        let what = format!("write {nth}, {told:?} of {self:?}");
        let has_decided = files.count(Call::Write, "__transaction_state") > 0;
        let has_struck =
            told == Told::Panicked || files.trace().iter().any(|done| done.struck) || files.armed() == 0;
        files.heal();
        match told {
            // A panic behind the commit, in what is noted of a sync: the partition takes nothing more in this life.
            Told::Committed if matches!(self.fault, Fault::Panic) => {
                assert_eq!(seen(&store), self.expected(true, ""), "{what}");
            }
            Told::Committed | Told::Refused => self.look_at(&store, &told, &what),
            Told::Panicked if self.path != "/s/_" && !has_decided && !self.is_alone() => {
                assert_nobody_waits(&store, &what);
                assert!(seen(&store).iter().all(|values| !values.contains('x')), "{what}");
            }
            Told::Undecided | Told::Panicked => {}
        }
        let (before, stood_at) = (seen(&store), stands_at(&store));
        let waits = |topic| partition(&store, topic).stable() < partition(&store, topic).end();
        let waits = TOPICS.into_iter().any(waits);
        let left = memory.files();
        std::mem::forget(store);
        self.look_at_next_lives(
            &MemoryFileSystem::over(&Image::new(left)),
            &told,
            (before, stood_at, waits),
            &what,
        );
        has_struck
    }

    fn expected(&self, is_there: bool, behind: &str) -> Vec<String> {
        let of = |at: usize| {
            let first = if at < 2 { "bf" } else { "b" };
            let sent =
                if is_there && at < self.partitions { "x".repeat(self.batches) } else { String::new() };
            let behind = if at < 2 { behind.to_owned() } else { behind.replace('n', "") };
            format!("{first}{sent}{behind}")
        };
        (0..TOPICS.len()).map(of).collect()
    }

    /// The life goes on; the next commit of the name is one of its own.
    fn look_at(&self, store: &Store, told: &Told, what: &str) {
        let is_there = *told == Told::Committed;
        assert_nobody_waits(store, what);
        assert_eq!(seen(store), self.expected(is_there, ""), "{what}");
        next(store, "next");
        assert_eq!(seen(store), self.expected(is_there, "n"), "{what}: after the next commit of the name");
        TOPICS.into_iter().for_each(|topic| append(store, topic, "after"));
        store.maintain().unwrap();
        assert_nobody_waits(store, what);
        next(store, "next");
        assert_eq!(seen(store), self.expected(is_there, "nan"), "{what}: when its end is in the log");
        let has_offsets = matches!(self.way, Way::WithOffsets | Way::AsItComesWithOffsets);
        assert_eq!(stands_at(store), (is_there && has_offsets).then_some(1), "{what}");
        assert!(store.stats().unwrap().open_transactions.is_empty(), "{what}");
    }

    /// After a kill: the same is there, or all of it or nothing where nobody knew. It stays so.
    fn look_at_next_lives(
        &self,
        memory: &MemoryFileSystem,
        told: &Told,
        (before, stood_at, waits): (Vec<String>, Option<i64>, bool),
        what: &str,
    ) {
        let files = FaultyFileSystem::over(Arc::new(memory.clone()));
        let store = open(&files);
        let found = seen(&store);
        match told {
            Told::Committed | Told::Refused => {
                assert_eq!((&found, stands_at(&store)), (&before, stood_at), "{what}: after a kill");
            }
            Told::Undecided | Told::Panicked => {
                let is_there = found[0].contains('x');
                assert_eq!(found, self.expected(is_there, ""), "{what}: after a kill");
                assert!(waits || found == before, "{what}: readers were told {before:?}");
            }
        }
        assert_nobody_waits(&store, what);
        next(&store, "next");
        store.close().unwrap();
        let store = open(&files);
        let and_next: Vec<_> = found
            .iter()
            .enumerate()
            .map(|(at, of)| format!("{of}{}", if at < 2 { "n" } else { "" }))
            .collect();
        assert_eq!(seen(&store), and_next, "{what}: in the life after that");
        assert_nobody_waits(&store, what);
    }
}

/// Fails every write of commits of every size, one after the other; how many there were.
fn each_write(way: Way) -> usize {
    keep_quiet();
    let has_all = std::env::var_os("ANNALS_FAULTS").is_some();
    let more = [
        (Fault::Error(ENOSPC), Times::Once, ""),
        (Fault::Error(EIO), Times::Once, ""),
        (Fault::Short(30), Times::Once, ""),
    ];
    let faults = [
        (Fault::Error(ENOSPC), Times::ForEver, ""),
        (Fault::Torn(30, EIO), Times::Once, ""),
        (Fault::Panic, Times::Once, "/s/t"),
        (Fault::Panic, Times::Once, "/s/_"),
        (Fault::Panic, Times::Once, "annals.topics"),
    ];
    let mut tried = 0;
    for (partitions, batches) in
        (1..=3).flat_map(|partitions| (1..=3).map(move |batches| (partitions, batches)))
    {
        let sum = partitions + batches;
        let is_taken = |at_disk: bool| has_all || sum <= 4 && at_disk == (sum % 2 == 1);
        let durabilities = [Durability::Os, Durability::Disk];
        for durability in durabilities.into_iter().filter(|one| is_taken(*one == Durability::Disk)) {
            let more = more.iter().filter(|_| has_all);
            for (fault, times, path) in faults.iter().chain(more).cloned() {
                let case = Case { way, durability, partitions, batches, fault, times, path };
                let mut nth = 0;
                while case.try_out(nth) {
                    nth += 1;
                    assert!(nth < 100, "it does not end: {case:?}");
                }
                tried += nth;
            }
        }
    }
    println!("{way:?}: {tried} failing writes");
    tried
}

#[test]
fn batches_before_a_failed_write_of_a_commit_never_take_effect() {
    assert!(each_write(Way::Buffered) > 30);
}

#[test]
fn batches_before_a_failed_write_of_a_commit_of_a_task_never_take_effect() {
    assert!(each_write(Way::Async) > 30);
}

#[test]
fn batches_before_a_failed_write_never_take_effect_nor_do_the_offsets_with_them() {
    assert!(each_write(Way::WithOffsets) > 30);
}

#[test]
fn batches_before_a_failed_write_of_a_send_never_take_effect() {
    assert!(each_write(Way::AsItComes) > 30);
}

#[test]
fn what_a_send_has_written_before_offsets_that_fail_never_takes_effect() {
    assert!(each_write(Way::AsItComesWithOffsets) > 30);
}
