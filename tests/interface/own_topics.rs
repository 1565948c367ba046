//! What the store keeps for itself: a store that lives for months has no more of it than it needs.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Durability, Isolation, Record, Store, TopicConfig, Transaction};
use annals_testing::{Image, MemoryFileSystem};

/// As long as a name may be that is in the key of what is written about it, nearly.
const LONG: usize = 32_000;
const MIB: usize = 1 << 20;
/// The segment that grows, one that is sealed, and one that is written in its place; a segment ends behind what has filled it.
const AT_MOST: usize = 52 * MIB;

struct Months {
    memory: MemoryFileSystem,
    clock: Arc<ManualClock>,
    store: Store,
}

impl Months {
    fn on(memory: MemoryFileSystem, clock: Arc<ManualClock>) -> Self {
        let builder = Store::builder("/store").file_system(Arc::new(memory.clone()));
        let store = builder.clock(Arc::clone(&clock) as _).maintain_by_hand().open().unwrap();
        Self { memory, clock, store }
    }

    fn new() -> Self {
        let months = Self::on(MemoryFileSystem::new(), Arc::new(ManualClock::at(1_704_067_200_000)));
        for topic in ["one", "two", "three"] {
            // Never sealed for its age, as that would sync what is left in it.
            let config = TopicConfig::new().segment_age(Duration::from_secs(10 * 365 * 24 * 3600));
            months.store.create_topic(topic, config).unwrap();
        }
        months
    }

    /// The next life: this one was killed.
    fn killed(self) -> Self {
        let files = self.memory.files();
        std::mem::forget(self.store);
        Self::on(MemoryFileSystem::over(&Image::new(files)), self.clock)
    }

    fn bytes_of(&self, topic: &str) -> usize {
        let of_it = format!("/{topic}-0/");
        let files = self.memory.files();
        files.iter().filter(|(path, _)| path.contains(&of_it)).map(|(_, bytes)| bytes.len()).sum()
    }

    /// A day later, with a look at everything.
    fn next_day(&self) {
        self.clock.advance(Duration::from_secs(24 * 3600));
        self.store.maintain().unwrap();
    }

    /// The records of a topic of its own, each a key that is committed or decided about.
    fn count(&self, topic: &str) -> usize {
        let partition = self.store.topic(topic).unwrap().partition(0).unwrap();
        partition.read(..).unwrap().into_iter().count()
    }
}

fn send(tx: &mut Transaction, topics: &[&str], value: &str) {
    for topic in topics {
        tx.send(Record::to(topic).value(value)).unwrap();
    }
}

#[test]
fn commits_of_a_group_over_months_take_no_more_room_than_two_segments() {
    let months = Months::new();
    let mut consumer = months.store.consumer(&"g".repeat(LONG)).unwrap();
    consumer.assign([("one", 0)]).unwrap();
    let one = months.store.topic("one").unwrap().partition(0).unwrap();
    for _ in 0..40 {
        for _ in 0..60 {
            one.append(&[Record::new().value("x")], Durability::Os).unwrap();
            consumer.seek_to_end();
            consumer.commit().unwrap();
        }
        months.next_day();
        let bytes = months.bytes_of("__consumer_offsets");
        assert!(bytes < AT_MOST, "{bytes} bytes");
    }
    assert_eq!(months.store.committed(&"g".repeat(LONG)).len(), 1);
}

#[test]
fn decisions_of_a_life_after_a_kill_were_kept_for_as_long_as_it_lasted() {
    let name = "t".repeat(LONG);
    let months = Months::new();
    let mut tx = months.store.transaction_builder(&name).durability(Durability::Disk).begin().unwrap();
    send(&mut tx, &["one", "two"], "before");
    tx.commit().unwrap();
    // Nobody sends to the other topic any more: what was left there is on no disk yet, nor the end of the transaction.
    let months = months.killed();
    let mut seen = 0;
    for _ in 0..30 {
        for _ in 0..60 {
            let mut tx = months.store.transaction(&name).unwrap();
            send(&mut tx, &["one", "three"], "after");
            tx.commit().unwrap();
        }
        if months.bytes_of("__transaction_state") > 17 * MIB {
            // Ends are written a second after their decisions.
            sleep(Duration::from_millis(if seen < 3 { 1100 } else { 0 }));
            seen += 1;
        }
        months.next_day();
        let bytes = months.bytes_of("__transaction_state");
        assert!(bytes < AT_MOST, "{bytes} bytes");
    }
    assert!(seen > 0);
    let months = months.killed();
    for (topic, count) in [("one", 1801), ("two", 1)] {
        let partition = months.store.topic(topic).unwrap().partition(0).unwrap();
        let reader = partition.read(..).unwrap().isolation(Isolation::ReadCommitted);
        assert_eq!(reader.into_iter().count(), count);
    }
}

#[test]
fn a_decision_of_an_earlier_life_stays_until_its_ends_are_durable() {
    let months = Months::new();
    let commit = |months: &Months, topics: &[&str], durability| {
        let mut tx = months.store.transaction_builder("t").durability(durability).begin().unwrap();
        send(&mut tx, topics, "together");
        tx.commit().unwrap();
    };
    // Its ends are written at once, and no sync follows.
    commit(&months, &["one", "two"], Durability::Disk);
    let months = months.killed();
    commit(&months, &["one", "three"], Durability::Os);
    let decisions = months.store.topic("__transaction_state").unwrap();
    decisions.compact().unwrap();
    assert_eq!(months.count("__transaction_state"), 2);
    // A power cut takes the ends, and not the decision.
    let files = months.memory.durable_files();
    let cut = Months::on(MemoryFileSystem::over(&Image::new(files)), Arc::clone(&months.clock));
    for topic in ["one", "two"] {
        let partition = cut.store.topic(topic).unwrap().partition(0).unwrap();
        let committed = partition.read(..).unwrap().isolation(Isolation::ReadCommitted).into_iter().count();
        assert_eq!(committed, 1, "{topic}");
    }
    for topic in ["one", "two"] {
        months.store.topic(topic).unwrap().flush().unwrap();
    }
    commit(&months, &["one", "three"], Durability::Disk);
    months.store.producer().flush().unwrap();
    commit(&months, &["one", "three"], Durability::Disk);
    decisions.compact().unwrap();
    let left = months.count("__transaction_state");
    assert!(left <= 3, "{left} of four are left");
}
