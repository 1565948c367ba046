//! Those who read while the roll of a segment waits for the disk.

use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use annals::io::ManualClock;
use annals::{Durability, Partition, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Gate, Times};

/// Longer than any call takes that waits for nobody.
const LONG: Duration = Duration::from_secs(10);
const EIO: i32 = 5;

/// A store with records in two partitions, the first of which rolls and waits for the disk until the gate is opened.
struct Held {
    gate: Arc<Gate>,
    store: Store,
    /// Of a stream in the partition that rolls.
    key: &'static str,
    rolls: Partition,
    roll: Option<std::thread::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Held {
    fn new(call: Call) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = FaultyFileSystem::new();
        let builder = Store::builder(dir.path()).file_system(files.clone()).maintain_by_hand();
        let store = builder.open().unwrap();
        let config =
            TopicConfig::new().partitions(2).segment_bytes(2000).max_message_bytes(500).key_index(true);
        let rolls = store.create_topic("orders", config).unwrap().partition(0).unwrap();
        let orders = store.topic("orders").unwrap();
        let is_there =
            |key: &&str| orders.stream(key).unwrap().partition().topic_partition().partition() == 0;
        let key = ["alice", "bob", "carol", "dave", "erin", "frank"].into_iter().find(is_there).unwrap();
        let append = move |partition: &Partition, durability| {
            partition.append(&[Record::new().key(key).value(&[1; 100])], durability).unwrap()
        };
        for _ in 0..14 {
            append(&rolls, Durability::Disk);
        }
        let gate = Arc::new(Gate::default());
        files.fail(&[call], "orders-0", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
        let partition = rolls.clone();
        let roll = std::thread::spawn(move || {
            for _ in 0..12 {
                append(&partition, Durability::Os);
            }
        });
        gate.await_arrival();
        Self { gate, store, key, rolls, roll: Some(roll), _dir: dir }
    }

    /// What `call` returns while the roll waits; nothing where it waits for that.
    fn meanwhile<T: Send + 'static>(&self, call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || tell.send(call()).is_ok());
        let returned = told.recv_timeout(LONG).ok();
        if returned.is_none() {
            self.gate.open();
        }
        returned
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gate.open();
        if let Some(roll) = self.roll.take() {
            assert!(roll.join().is_ok() || std::thread::panicking());
        }
    }
}

#[test]
fn what_is_written_is_read_while_a_roll_waits_for_the_disk() {
    for call in [Call::Rename, Call::Sync, Call::Create, Call::SetLen] {
        let held = Held::new(call);
        let rolls = held.rolls.clone();
        let topic = held.store.topic("orders").unwrap();
        let end = rolls.end();
        let p = rolls.clone();
        assert!(
            held.meanwhile(move || p.read_from(0).unwrap().fetch().unwrap().len()).unwrap() > 0,
            "{call:?}"
        );
        let p = rolls.clone();
        let read = move || {
            let mut reader = p.read_from(0).unwrap();
            let mut count = 0;
            loop {
                let records = reader.fetch().unwrap();
                if records.is_empty() {
                    return count;
                }
                count += i64::try_from(records.len()).unwrap();
            }
        };
        assert_eq!(held.meanwhile(read), Some(end), "up to the end, {call:?}");
        let p = rolls.clone();
        assert_eq!(held.meanwhile(move || p.read(0..5).unwrap().into_iter().count()), Some(5), "{call:?}");
        let p = rolls.clone();
        assert!(held.meanwhile(move || p.offset_for_time(5).unwrap()).unwrap().is_some(), "{call:?}");
        let p = rolls.clone();
        assert!(held.meanwhile(move || p.get(1).unwrap()).unwrap().is_some(), "{call:?}");
        let p = rolls.clone();
        assert!(held.meanwhile(move || p.get(i64::MAX).is_err()).unwrap(), "{call:?}");
        let stream = topic.stream(held.key).unwrap();
        let version =
            held.meanwhile(move || stream.backwards_below(5).unwrap().next().unwrap().unwrap().offset);
        assert_eq!(version, Some(4), "{call:?}");
        let stream = topic.stream(held.key).unwrap();
        let events = move || stream.read(0..5).unwrap().into_iter().count();
        assert_eq!(held.meanwhile(events), Some(5), "{call:?}");
    }
}

/// The record in memory is handed out as soon as the roll is over, to who waits for it then.
#[test]
fn a_poll_of_no_time_beside_a_roll_returns_at_once_with_what_other_partitions_have() {
    let held = Held::new(Call::Sync);
    let orders = held.store.topic("orders").unwrap();
    let (rolls, store) = (held.rolls.clone(), held.store.clone());
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0), ("orders", 1)]).unwrap();
    let queued = rolls.append(&[Record::new().value("in memory")], Durability::Memory).unwrap();
    orders.partition(1).unwrap().append(&[Record::new().value("of the other")], Durability::Os).unwrap();
    let polled = held.meanwhile(move || {
        let mut others = 0;
        let begun = Instant::now();
        for _ in 0..3 {
            let records = consumer.poll(Duration::ZERO).unwrap();
            others += records.iter().filter(|record| record.partition() == 1).count();
        }
        let nothing = consumer.poll(Duration::from_millis(30)).unwrap().len();
        (consumer, others, nothing, begun.elapsed())
    });
    let (mut consumer, others, nothing, took) = polled.expect("it waits for the roll");
    assert_eq!((others, nothing), (1, 0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let mut worker = store.queue("orders", "shipping").unwrap();
    let taken = held.meanwhile(move || worker.take(100, Duration::ZERO).unwrap().len());
    assert!(taken.is_some_and(|taken| taken > 0));
    let (tell, told) = mpsc::channel();
    let waits = std::thread::spawn(move || {
        let mut last = 0;
        tell.send(()).unwrap();
        while last < queued.last_offset {
            let records = consumer.poll(LONG).unwrap();
            assert!(!records.is_empty(), "nobody told it that the writer was free");
            last = records
                .iter()
                .filter(|one| one.partition() == 0)
                .map(|one| one.offset())
                .max()
                .unwrap_or(last);
        }
    });
    told.recv().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    held.gate.open();
    waits.join().unwrap();
}

/// A waker that tells by a channel.
struct Tell(mpsc::Sender<()>);

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        // Who does not listen any more has seen enough.
        _ = self.0.send(()).is_ok();
    }
}

#[test]
fn a_task_at_the_end_beside_a_roll_is_pending_and_woken_when_that_is_over() {
    let held = Held::new(Call::Rename);
    let rolls = held.rolls.clone();
    let queued = rolls.append(&[Record::new().value("in memory")], Durability::Memory).unwrap();
    let (tell, told) = mpsc::channel();
    let waker: Waker = Arc::new(Tell(tell)).into();
    let task = waker.clone();
    let polled = held.meanwhile(move || {
        let mut reader = rolls.read_from(rolls.end()).unwrap();
        let is_pending = reader.poll_next(&mut Context::from_waker(&task)).is_pending();
        (reader, is_pending)
    });
    let (mut reader, is_pending) = polled.expect("it waits for the roll");
    assert!(is_pending);
    held.gate.open();
    while reader.position() <= queued.last_offset {
        told.recv_timeout(LONG).expect("it is woken");
        while let std::task::Poll::Ready(records) = reader.poll_next(&mut Context::from_waker(&waker)) {
            assert!(records.unwrap().is_some());
        }
    }
}

/// Nothing else wakes it: the roll changes nothing, and no record comes after it.
#[test]
fn who_waits_at_the_end_beside_a_roll_that_fails_is_told_when_the_writer_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let (files, clock) = (FaultyFileSystem::new(), Arc::new(ManualClock::at(1_000_000)));
    let builder = Store::builder(dir.path()).file_system(files.clone()).clock(clock.clone());
    let store = builder.maintain_by_hand().open().unwrap();
    let config =
        TopicConfig::new().segment_age(Duration::from_secs(60)).retention(Duration::from_secs(86_400));
    let orders = store.create_topic("orders", config).unwrap().partition(0).unwrap();
    orders.append(&[Record::new().value("first")], Durability::Os).unwrap();
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 1);
    clock.advance(Duration::from_secs(3600));
    let gate = Arc::new(Gate::default());
    let fault = Fault::HoldThenError(Arc::clone(&gate), EIO);
    files.fail(&[Call::Create], ".log", (0, Times::Once), fault);
    let keeper = store.clone();
    let roll = std::thread::spawn(move || keeper.apply_retention().is_err());
    gate.await_arrival();
    orders.append(&[Record::new().value("in memory")], Durability::Memory).unwrap();
    assert_eq!(consumer.poll(Duration::ZERO).unwrap().len(), 0);
    let waits = std::thread::spawn(move || consumer.poll(LONG).unwrap().len());
    std::thread::sleep(Duration::from_millis(100));
    gate.open();
    assert!(roll.join().unwrap(), "it was to fail");
    assert_eq!(waits.join().unwrap(), 1, "nobody told it that the writer was free");
}

#[test]
fn who_sends_into_memory_and_polls_for_no_time_is_handed_its_record() {
    let dir = tempfile::tempdir().unwrap();
    // So that nobody else has the writer.
    let store = Store::builder(dir.path()).maintain_by_hand().open().unwrap();
    let orders = store.create_topic("orders", TopicConfig::new()).unwrap().partition(0).unwrap();
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    for number in 0..100 {
        orders.append(&[Record::new().value("x")], Durability::Memory).unwrap();
        let polled = consumer.poll(Duration::ZERO).unwrap();
        assert_eq!(polled.iter().map(|record| record.offset()).collect::<Vec<_>>(), [number]);
    }
}
