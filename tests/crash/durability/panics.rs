//! What a panic leaves that comes by in the middle of a call: in the file system or the clock that the program gave. The
//! caller whose thread it is has the panic; everybody else has an error, never a wait without an end, never a promise that
//! does not hold; other partitions go on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Once, mpsc};
use std::thread;
use std::time::Duration;

use annals::io::Clock;
use annals::{Durability, Error, Record, Store, TopicConfig};

use crate::common::{
    TOPIC, by_hand, fast_dir, kill_and_copy, on_faulty, producer, records, small_segments, spawn, value_of,
};
use crate::fragile_clock::FragileClock;
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, PLANTED, Times};

#[cfg(test)]
mod handed_out;
#[cfg(test)]
mod whole_store;

/// Another topic, whose files never fail.
const OTHER: &str = "others";

/// Panics that were asked for are not written about.
pub(super) fn keep_quiet() {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let said = info.payload_as_str();
            if !said.is_some_and(|said| said.contains(PLANTED)) {
                before(info);
            }
        }));
    });
}

/// How a call ended, `None` by a panic.
fn attempt<T>(act: impl FnOnce() -> annals::Result<T>) -> Option<annals::Result<T>> {
    catch_unwind(AssertUnwindSafe(act)).ok()
}

/// Runs a test that must not wait for ever.
fn in_time(what: &str, test: impl FnOnce() + Send + 'static) {
    let (sender, over) = mpsc::channel();
    let thread = spawn(move || {
        test();
        sender.send(()).unwrap();
    });
    match over.recv_timeout(Duration::from_secs(120)) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: somebody waits for ever"),
    }
}

/// Sends what has to be durable when it is dropped.
struct SendsAtTheEnd<'a>(&'a Store);

impl Drop for SendsAtTheEnd<'_> {
    fn drop(&mut self) {
        let sent = attempt(|| producer(self.0, Durability::Disk).send(Record::to(TOPIC).value("last")));
        assert!(sent.is_none(), "the sync has panicked");
    }
}

#[test]
fn a_sync_that_panicked_in_the_middle_of_another_panic_was_taken_for_one_that_went_well() {
    keep_quiet();
    let (dir, files) = (fast_dir(), FaultyFileSystem::new());
    let store = on_faulty(dir.path(), &files).open().unwrap();
    store.create_topic(TOPIC, TopicConfig::new()).unwrap();
    files.fail(&[Call::Sync], ".log", (0, Times::Once), Fault::Panic);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _last = SendsAtTheEnd(&store);
        panic!("{PLANTED}");
    }));
    assert!(unwound.is_err() && files.armed() == 0);
    let flushed = store.producer().flush();
    assert!(matches!(flushed, Err(Error::Poisoned { .. })), "{flushed:?}");
}

/// Where the panic comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Files,
    Clock,
}

/// What was there before.
#[derive(Debug, Clone, Copy)]
enum Left {
    ByAClose,
    ByAKill,
}

const EVERY: [Call; 13] = [
    Call::Open,
    Call::Create,
    Call::Read,
    Call::Map,
    Call::Len,
    Call::Write,
    Call::SetLen,
    Call::Allocate,
    Call::Sync,
    Call::SyncDir,
    Call::Rename,
    Call::Remove,
    Call::List,
];

/// The offset of the record, in each partition, that is erased.
const ERASED: i64 = 6;

/// A store with both topics and ten records in each partition.
fn begin(dir: &Path, left: Left) -> tempfile::TempDir {
    let store = by_hand(dir).open().unwrap();
    store.create_topic(TOPIC, small_segments().partitions(2).segment_bytes(400)).unwrap();
    store.create_topic(OTHER, TopicConfig::new()).unwrap();
    for number in 0..10 {
        for partition in 0..2 {
            let record = Record::to(TOPIC).partition(partition).value("before");
            let record = if number == ERASED { record.key("erased") } else { record };
            let durability = if number < 8 { Durability::Disk } else { Durability::Os };
            producer(&store, durability).send(record).unwrap();
        }
    }
    let copy = fast_dir();
    match left {
        Left::ByAClose => {
            store.close().unwrap();
            crate::common::copy_dir(dir, copy.path());
        }
        Left::ByAKill => kill_and_copy(store, dir, copy.path()),
    }
    copy
}

/// What senders were told: partition, offset, value.
type Told = Mutex<Vec<(u32, i64, String)>>;

/// Senders at every level, on several threads, retention, rolls, flushes.
fn work(store: &Store, told: &Told) {
    let send = |thread: u32, number: i64, durability: Durability| {
        let (partition, value) = (thread % 2, format!("{thread}.{number}"));
        let record = Record::to(TOPIC).partition(partition).value(&value);
        if let Some(Ok(at)) = attempt(|| producer(store, durability).send(record))
            && durability != Durability::Memory
        {
            told.lock().unwrap().push((partition, at.offset, value.clone()));
        }
    };
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..5 {
                    let durability = match (thread, number) {
                        (0 | 2, _) => Durability::Disk,
                        (_, 2) => Durability::Memory,
                        _ => Durability::Os,
                    };
                    send(thread, number, durability);
                }
            });
        }
    });
    attempt(|| store.producer().flush());
    attempt(|| store.maintain());
    attempt(|| store.topic(TOPIC)?.partition(0)?.delete_records(3));
    attempt(|| store.topic(TOPIC)?.partition(1)?.get(3));
    attempt(|| store.topic(TOPIC)?.erase("erased"));
    send(0, 5, Durability::Disk);
    send(1, 5, Durability::Disk);
    let other = attempt(|| producer(store, Durability::Disk).send(Record::to(OTHER).value("goes on")));
    if let Some(Err(error)) = other {
        panic!("another partition is hit: {error}");
    }
}

/// Everything that was promised is there, and the store goes on.
fn check(dir: &Path, told: &Told, what: &str) {
    let store = by_hand(dir).open().unwrap_or_else(|error| panic!("{what}: {error}"));
    for partition in store.topic(TOPIC).unwrap().partitions() {
        let found = records(&partition);
        let start = partition.start();
        let offsets = found.iter().map(|(offset, _)| *offset).filter(|offset| *offset != ERASED);
        let expected = (start..partition.end()).filter(|offset| *offset != ERASED);
        assert!(offsets.eq(expected), "{what}: a hole");
        for (_, offset, value) in told.lock().unwrap().iter().filter(|told| told.0 == partition.number()) {
            let there = found.iter().find(|(found, _)| found == offset);
            assert_eq!(there.map(|(_, value)| &value[..]), Some(value.as_bytes()), "{what}: {offset}");
        }
        let record = Record::to(TOPIC).partition(partition.number()).value("next");
        producer(&store, Durability::Disk).send(record).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// False when there is no such call.
fn panics_at(source: Source, left: Left, nth: usize) -> bool {
    let before = fast_dir();
    let dir = begin(before.path(), left);
    let files = FaultyFileSystem::new();
    let clock = FragileClock::sound();
    let store = on_faulty(dir.path(), &files).clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let store = store.sync_every(Duration::ZERO).open().unwrap();
    match source {
        Source::Files => files.fail(&EVERY, "orders-", (nth, Times::Once), Fault::Panic),
        Source::Clock => clock.left.store(i64::try_from(nth).unwrap(), Ordering::SeqCst),
    }
    let told = Told::default();
    work(&store, &told);
    let (copy, what) = (fast_dir(), format!("{source:?} {left:?}, call {nth}"));
    let end = match left {
        // A close would put right what goes on in spite of a panic.
        Left::ByAClose => {
            kill_and_copy(store, dir.path(), copy.path());
            copy.path()
        }
        Left::ByAKill => {
            attempt(|| store.close());
            attempt(|| {
                drop(store);
                Ok(())
            });
            dir.path()
        }
    };
    check(end, &told, &what);
    match source {
        Source::Files => files.armed() == 0,
        Source::Clock => clock.left.load(Ordering::SeqCst) < 0,
    }
}

fn panics_at_each(source: Source, left: Left, least: usize) {
    keep_quiet();
    in_time("a panic at each call", move || {
        let mut nth = 0;
        while panics_at(source, left, nth) {
            nth += 1;
        }
        assert!(nth >= least, "{nth} calls");
        println!("{source:?} {left:?}: {nth} calls");
    });
}

#[test]
fn a_panic_at_each_call_after_a_close_leaves_errors_alone() {
    panics_at_each(Source::Files, Left::ByAClose, 60);
}

#[test]
fn a_panic_at_each_call_after_a_kill_leaves_errors_alone() {
    panics_at_each(Source::Files, Left::ByAKill, 60);
}

#[test]
fn a_panic_at_each_look_at_the_clock_leaves_errors_alone() {
    panics_at_each(Source::Clock, Left::ByAKill, 20);
}

/// Three senders at `Disk`, the first of which is held at a call that then panics.
fn senders_beside_a_panic(call: Call) {
    keep_quiet();
    in_time("senders beside a panic", move || {
        let dir = fast_dir();
        let files = FaultyFileSystem::new();
        let store = on_faulty(dir.path(), &files).open().unwrap();
        store.create_topic(TOPIC, TopicConfig::new().partitions(2)).unwrap();
        let send = |partition: u32, number: i64, durability: Durability| {
            let value = value_of(number);
            let record = Record::to(TOPIC).partition(partition).value(&value);
            attempt(|| producer(&store, durability).send(record))
        };
        send(0, 0, Durability::Disk).unwrap().unwrap();
        send(1, 0, Durability::Disk).unwrap().unwrap();
        let gate = Arc::new(Gate::default());
        let held = Fault::HoldThenPanic(Arc::clone(&gate));
        files.fail(&[call], "orders-0/00000000000000000000.log", (0, Times::Once), held);
        thread::scope(|scope| {
            let first = scope.spawn(|| send(0, 1, Durability::Disk));
            gate.await_arrival();
            let others: Vec<_> =
                (2..5).map(|number| scope.spawn(move || send(0, number, Durability::Disk))).collect();
            send(0, 9, Durability::Memory).unwrap().unwrap();
            // Most likely they all wait by now.
            thread::sleep(Duration::from_millis(50));
            gate.open();
            let all = others.into_iter().chain([first]).map(|sender| sender.join().unwrap());
            let wrong = all.flatten().find(Result::is_ok);
            assert!(wrong.is_none(), "{wrong:?} was acknowledged");
        });
        for durability in [Durability::Memory, Durability::Os, Durability::Disk] {
            assert!(matches!(send(0, 7, durability), Some(Err(Error::Poisoned { .. }))));
        }
        let flushed = attempt(|| store.topic(TOPIC)?.partition(0)?.flush());
        assert!(matches!(flushed, Some(Err(Error::Poisoned { .. }))));
        send(1, 1, Durability::Disk).unwrap().unwrap();
        assert!(matches!(attempt(|| store.close()), Some(Err(Error::Poisoned { .. }))));
        drop(store);
        let store = by_hand(dir.path()).open().unwrap();
        let ends = [0, 1].map(|number| store.topic(TOPIC).unwrap().partition(number).unwrap().end());
        assert!(ends[0] >= 1 && ends[1] == 2, "{ends:?}");
    });
}

#[test]
fn a_batch_that_vanishes_in_a_panic_is_acknowledged_to_nobody() {
    senders_beside_a_panic(Call::Write);
}

#[test]
fn a_leader_that_panics_lets_those_who_wait_for_it_go() {
    senders_beside_a_panic(Call::Sync);
}
