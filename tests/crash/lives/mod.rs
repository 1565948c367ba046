//! Random calls of the whole public interface by several threads, against a ledger that knows what each may answer and what
//! must be there afterwards.
//!
//! ```sh
//! cargo test --test crash lives:: -- --nocapture
//! ANNALS_LIVES=500 ANNALS_LIFE_CALLS=400 cargo test --test crash lives:: -- --nocapture     # longer
//! ANNALS_SEED=17 ANNALS_LIFE_THREADS=1 cargo test --test crash lives:: -- --nocapture       # one seed; one thread repeats exactly
//! ```
//!
//! A store lives on a disk whose power can be cut. While the threads create, delete, grow and alter topics, append, read, commit,
//! compact, trim and erase, the power is cut again and again on copies of the disk, and the process killed: each copy is
//! opened and compared with what had been acknowledged when the copy was made. A life ends with a close, a kill or a power cut,
//! and the next one goes on with what that left.
#![expect(clippy::disallowed_methods, reason = "the lives have threads and clocks of their own")]

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

/// The reader has the file of a segment that is appended to, whose descriptor others have taken: it is opened again, by a name
/// that is another topic's by then.
#[test]
fn a_read_beside_a_deletion_hands_out_nothing_of_the_next_topic_of_the_name() {
    use std::sync::Arc;

    use annals::{Durability, Error, ReadMode, Record, Store, TopicConfig};
    use annals_testing::{Call, Fault, FaultyFileSystem, Gate, MemoryFileSystem, Times};

    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let builder = Store::builder("/store").file_system(Arc::clone(&disk) as _).maintain_by_hand();
    let store = builder.read_mode(ReadMode::Positional).max_open_files(1).open().expect("a store");
    let fill = |name: &str, value: &str| -> annals::Result<annals::Partition> {
        let partition = store.create_topic(name, TopicConfig::new())?.partition(0)?;
        (0..10)
            .try_for_each(|_| partition.append(&[Record::new().value(value)], Durability::Os).map(drop))?;
        Ok(partition)
    };
    let old = fill("orders", "old").expect("filled");
    // The only descriptor is this topic's now.
    fill("another", "one").expect("filled");
    let gate = Arc::new(Gate::default());
    disk.fail(&[Call::Open], "orders-0", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let reader = std::thread::spawn(move || {
        let found = old.read(0..).and_then(|mut reader| reader.fetch());
        found.map(|found| found.iter().map(|record| record.to_owned().value).collect::<Vec<_>>())
    });
    gate.await_arrival();
    store.delete_topic("orders").expect("deleted");
    fill("orders", "new").expect("filled");
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
