//! Order by key: eight workers, fifty accounts, and the steps of each account one after the other, some of them slow, some tried again. Each step's
//! result and its acknowledgement take effect in one transaction, so that the results contain each step once and in order.
//!
//! `cargo run --release --example ordered_jobs` uses a temporary directory; `-- DIR` puts the store in DIR.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use annals::{Message, Record, Store, TopicConfig, Worker};

const ACCOUNTS: usize = 50;
const STEPS: usize = 10;
const WORKERS: usize = 8;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let store = Store::open(given.unwrap_or_else(|| temporary.path().join("store")))?;
    store.create_topic("steps", TopicConfig::new().partitions(3))?;
    store.create_topic("results", TopicConfig::new())?;
    for step in 0..STEPS {
        for account in 0..ACCOUNTS {
            let (key, value) = (format!("account {account}"), step.to_string());
            store.producer().send(Record::to("steps").key(&key).value(&value))?;
        }
    }

    let builder = store.queue_builder("steps", "workers").ordered_by_key();
    let workers = (0..WORKERS).map(|_| Ok(builder.clone().build()?)).collect::<Outcome<Vec<Worker>>>()?;
    thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .enumerate()
            .map(|(number, worker)| {
                scope.spawn({
                    let store = &store;
                    move || work(store, number, worker)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a worker panicked")?)
    })?;

    let mut results: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for record in store.topic("results")?.partition(0)?.read(..)? {
        let record = record?;
        let step = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        results.entry(record.key.unwrap_or_default()).or_default().push(step);
    }
    let expected: Vec<_> = (0..STEPS).map(|step| step.to_string()).collect();
    let in_order = results.values().filter(|steps| **steps == expected).count();
    println!("{in_order} of {ACCOUNTS} accounts have their {STEPS} steps, once each and in order.");
    if in_order == ACCOUNTS { Ok(()) } else { Err("an account is out of order".into()) }
}

fn work(store: &Store, number: usize, mut worker: Worker) -> Outcome {
    // A name of its own: two transactions under one name would fence each other.
    let name = format!("worker {number}");
    loop {
        let steps = worker.take(4, Duration::from_millis(300))?;
        if steps.is_empty() {
            return Ok(());
        }
        for step in steps {
            perform(store, &name, step)?;
        }
    }
}

fn perform(store: &Store, name: &str, step: Message) -> Outcome {
    if step.offset % 17 == 0 && step.delivery_count() == 1 {
        // The step fails, and what comes after it for this account waits.
        return Ok(step.release(Duration::from_millis(5))?);
    }
    if step.offset % 11 == 0 {
        thread::sleep(Duration::from_millis(3));
    }
    let (key, value) = (step.key.clone().unwrap_or_default(), step.value.clone().unwrap_or_default());
    let mut tx = store.transaction(name)?;
    tx.send(Record::to("results").key(&key).value(&value))?;
    tx.ack(step);
    tx.commit()?;
    Ok(())
}
