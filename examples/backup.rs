//! Backups of a store that is written to. Transactions move money between two accounts, and another topic counts; each
//! backup is one moment of all of it. The second backup takes from the first what has not changed. Then the store is lost, and a
//! new one is made from the second backup.
//!
//! `cargo run --release --example backup`

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use annals::{Record, Store, TopicConfig};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

#[expect(clippy::disallowed_methods, reason = "the store is lost, as a disk would lose it")]
fn main() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let path = |name: &str| temporary.path().join(name);
    let store = Store::open(path("bank"))?;
    for topic in ["alice", "bob", "ticks"] {
        store.create_topic(topic, TopicConfig::new().segment_bytes(16 << 10))?;
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| pay(&store, &stop));
        let backups = back_up(&store, &path);
        stop.store(true, Ordering::Relaxed);
        backups.and(writer.join().map_err(|_| "the writer panicked")?.map_err(Into::into))
    })?;
    store.close()?;
    std::fs::remove_dir_all(path("bank"))?;

    assert!(annals::backup::verify(path("tuesday"))?.is_sound());
    let restored = annals::backup::restore(path("tuesday"), path("bank"))?;
    println!("restored {} partitions, {} bytes", restored.partitions.len(), restored.bytes);
    let store = Store::open(path("bank"))?;
    let [alice, bob] = [payments(&store, "alice")?, payments(&store, "bob")?];
    println!("{} payments in both accounts", alice.len());
    assert_eq!(alice, bob);
    Ok(())
}

fn back_up(store: &Store, path: &dyn Fn(&str) -> std::path::PathBuf) -> Outcome {
    thread::sleep(Duration::from_millis(100));
    let monday = store.backup_builder().independent().run(path("monday"))?;
    thread::sleep(Duration::from_millis(100));
    let tuesday = store.backup_builder().parent(path("monday")).verify().run(path("tuesday"))?;
    for (day, report) in [("monday", monday), ("tuesday", tuesday)] {
        let (bytes, copied, stopped) = (report.bytes, report.copied_bytes, report.stopped);
        println!("{day}: {bytes} bytes, {copied} copied, appends stopped for {stopped:?}");
    }
    Ok(())
}

/// Makes payments until it is told to stop, each in both accounts.
fn pay(store: &Store, stop: &AtomicBool) -> annals::Result<()> {
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let payment = format!("payment {number}");
        let mut transfer = store.transaction("transfer")?;
        transfer.send(Record::to("alice").value(&payment))?;
        transfer.send(Record::to("bob").value(&payment))?;
        transfer.commit()?;
        store.producer().send(Record::to("ticks").value("tick"))?;
    }
    Ok(())
}

fn payments(store: &Store, topic: &str) -> annals::Result<Vec<Option<Vec<u8>>>> {
    store.topic(topic)?.partition(0)?.read(..)?.into_iter().map(|record| Ok(record?.value)).collect()
}
