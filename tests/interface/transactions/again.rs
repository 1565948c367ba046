//! A clock of the program's own that calls the store, in the middle of what the store does.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::io::{Clock, SystemClock};
use annals::{Durability, Record, Store, Timestamp, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

thread_local! {
    static IS_CALLED: Cell<bool> = const { Cell::new(false) };
}

type Act = Box<dyn FnMut() + Send>;

/// Does something of its own whenever it is asked, but for what that asks.
#[derive(Default)]
struct CallingClock(Mutex<Option<Act>>);

impl fmt::Debug for CallingClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallingClock")
    }
}

impl Clock for CallingClock {
    fn now(&self) -> Timestamp {
        if !IS_CALLED.replace(true) {
            self.0.lock().unwrap().as_mut().into_iter().for_each(|act| act());
            IS_CALLED.set(false);
        }
        SystemClock.now()
    }
}

#[test]
fn what_a_group_has_read_went_while_the_transaction_that_has_read_it_was_being_brought_onto_the_disk() {
    let (clock, disk) =
        (Arc::<CallingClock>::default(), FaultyFileSystem::over(Arc::new(MemoryFileSystem::new())));
    let store = Store::builder("/store").without_live_readers().maintain_by_hand().clock(clock.clone());
    let store = store.sync_every(Duration::from_secs(3600)).file_system(disk.clone()).open().unwrap();
    for topic in ["frail", "r", "s"] {
        store.create_topic(topic, TopicConfig::new()).unwrap();
    }
    let config = TopicConfig::new().segment_bytes(1000).retention_until_consumed();
    let partition = store.create_topic("full", config).unwrap().partition(0).unwrap();
    for _ in 0..40 {
        partition.append(&[Record::new().value(&[b'x'; 60])], Durability::Os).unwrap();
    }
    let [readers, mut others] = ["readers", "others"].map(|group| {
        let mut consumer = store.consumer_builder().group(group).build().unwrap();
        consumer.assign([("full", 0)]).unwrap();
        while !consumer.poll(Duration::ZERO).unwrap().is_empty() {}
        consumer
    });
    let begin = |topics: [&str; 2]| {
        let mut tx = store.transaction(topics[0]).unwrap();
        topics.iter().for_each(|topic| tx.send(Record::to(topic).value("x")).unwrap());
        tx
    };
    let mut tx = begin(["frail", "s"]);
    tx.commit_offsets(&readers).unwrap();
    tx.commit().unwrap();
    disk.fail(&[Call::Sync], "frail-0", (0, Times::ForEver), Fault::Error(5));
    store.topic("frail").unwrap().flush().unwrap_err();
    // Its end is written when others are brought onto the disk.
    begin(["r", "s"]).commit().unwrap();
    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    *clock.0.lock().unwrap() = Some(Box::new(move || {
        // What all have read of a partition goes with the commit that reads the last of it.
        others.commit_offsets([(("full", 0).into(), 40)]).unwrap();
        count.fetch_add(1, Ordering::SeqCst);
    }));
    drop(store.topic("r").unwrap().flush());
    *clock.0.lock().unwrap() = None;
    assert!(called.load(Ordering::SeqCst) > 0);
    assert_eq!(partition.start(), 0, "a power cut takes the commit of the others back");
}
