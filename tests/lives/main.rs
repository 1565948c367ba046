//! Random calls of the whole public interface by several threads, against a ledger that knows what each may answer and what
//! must be there afterwards.
//!
//! ```sh
//! cargo test --test lives -- --nocapture
//! ANNALS_LIVES=500 ANNALS_LIFE_CALLS=400 cargo test --test lives -- --nocapture     # longer
//! ANNALS_SEED=17 ANNALS_LIFE_THREADS=1 cargo test --test lives -- --nocapture       # one seed; one thread repeats exactly
//! ```
//!
//! A store lives on a disk whose power can be cut. While the threads create, delete, grow and alter topics, append, read, commit,
//! compact, trim and erase, the power is cut again and again on copies of the disk, and the process killed: each copy is
//! opened and compared with what had been acknowledged when the copy was made. A life ends with a close, a kill or a power cut,
//! and the next one goes on with what that left.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may stop at what it did not expect"
)]

#[cfg(test)]
mod judge;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod life;
#[cfg(test)]
mod watchdog;
#[cfg(test)]
mod worker;

#[cfg(test)]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn a_read_beside_a_deletion_hands_out_nothing_of_the_next_topic_of_the_name() {
    use std::sync::Arc;

    use annals::{Durability, Error, Record, Store, TopicConfig};
    use annals_testing::{Call, Fault, FaultyFileSystem, Gate, MemoryFileSystem, Times};

    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let open = || Store::builder("/store").file_system(Arc::clone(&disk) as _).open().expect("a store");
    let fill = |store: &Store, value: &str| {
        let topic = store.create_topic("orders", TopicConfig::new().segment_bytes(1024)).expect("a topic");
        let partition = topic.partition(0).expect("its partition");
        let records: Vec<_> = (0..100).map(|_| Record::new().value(value)).collect();
        records.chunks(10).for_each(|batch| drop(partition.append(batch, Durability::Os).expect("appended")));
    };
    let store = open();
    fill(&store, "old");
    store.close().expect("closed");
    // After an open no sealed segment is open: the first read opens it, by its name.
    let store = open();
    let old = store.topic("orders").and_then(|topic| topic.partition(0)).expect("its partition");
    let gate = Arc::new(Gate::default());
    disk.fail(&[Call::Open], "00000.log", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let reader = std::thread::spawn(move || {
        old.read(0..).and_then(|mut reader| reader.fetch()).map(|found| found.len())
    });
    gate.await_arrival();
    store.delete_topic("orders").expect("deleted");
    fill(&store, "new");
    gate.open();
    let read = reader.join().expect("a reader");
    assert!(matches!(read, Err(Error::UnknownTopic { .. })), "{read:?}");
}

#[test]
fn whatever_many_threads_ask_for_is_answered_by_the_rules_and_survives() {
    let seeds = match std::env::var("ANNALS_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (1..=number("ANNALS_LIVES", 6)).collect(),
    };
    let mut sum = life::Counts::default();
    for seed in seeds {
        println!("seed {seed}: ANNALS_SEED={seed}");
        sum.add(&life::run(seed));
    }
    println!("{sum:?}");
    assert!(sum.calls > 0 && sum.copies > 0 && sum.records > 0, "{sum:?}");
}
