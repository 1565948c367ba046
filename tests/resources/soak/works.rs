//! What is built on a log, once each: a queue with its letters and schedules, transactions, streams, a reader beside the owner, a backup.

use std::path::Path;
use std::time::Duration;

use annals::io::ManualClock;
use annals::queue::RetryPolicy;
use annals::{
    CleanupPolicy, Durability, Expected, Partition, Record, Result, Store, StoreReader, Topic, TopicConfig,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Everything here, for round `number`. What it makes for itself goes again; what is there for all rounds has a bound.
pub(super) fn round(store: &Store, number: u64, clock: &ManualClock, scratch: &Path) -> Result<()> {
    queue(store, &format!("jobs-{number}"), clock)?;
    store.delete_topic(&format!("jobs-{number}"))?;
    store.delete_topic(&format!("jobs-{number}.workers.dead"))?;
    queue(store, "jobs", clock)?;
    store.drop_done("jobs")?;
    // A topic of letters keeps them until its settings say otherwise.
    store.alter_topic("jobs.workers.dead", TopicConfig::new().retention(2 * HOUR).segment_bytes(64 << 10))?;
    transactions(store, number)?;
    streams(store, &format!("accounts-{number}"))?;
    store.delete_topic(&format!("accounts-{number}"))?;
    streams(store, "accounts")?;
    seen_from_elsewhere(store)?;
    if number.is_multiple_of(10) { copied(store, scratch) } else { Ok(()) }
}

fn small() -> TopicConfig {
    TopicConfig::new().partitions(3).segment_bytes(64 << 10).retention(2 * HOUR)
}

fn queue(store: &Store, topic: &str, clock: &ManualClock) -> Result<()> {
    let round = clock_now(clock);
    store.ensure_topic(topic, small().retention_until_consumed())?;
    let enqueuer = store.enqueuer_builder(topic).unique_within(HOUR, 500).build()?;
    let schedule = store.schedule();
    for message in 0..400_u32 {
        let (id, key) = (format!("{round} {message}"), format!("key {}", message % 20));
        let record = Record::to(topic).key(&key).value("work");
        match message % 20 {
            0 => enqueuer.deliver_once_after(&id, record, Duration::from_secs(20))?,
            1 => schedule.deliver_after(record, Duration::from_secs(30))?,
            _ => drop(enqueuer.send_once(&id, record)?),
        }
        assert!(enqueuer.send_once(&id, Record::to(topic).value("again")).is_err() || message % 20 == 1);
    }
    work(store, topic, clock)?;
    let mut letters = store.dead_letters(topic, "workers")?;
    for letter in letters.take(1_000)? {
        letters.discard(letter)?;
    }
    Ok(())
}

fn clock_now(clock: &ManualClock) -> i64 {
    annals::io::Clock::now(clock)
}

/// Takes until nothing is left, also of what was for later.
fn work(store: &Store, topic: &str, clock: &ManualClock) -> Result<()> {
    let policy = RetryPolicy::fixed(Duration::from_secs(1));
    let builder = store.queue_builder(topic, "workers").retry_policy(policy).delivery_limit(3);
    let mut workers = [builder.clone().build()?, builder.build()?];
    let (mut taken, mut idle) = (0_u32, 0);
    while idle < 8 {
        idle += 1;
        for worker in &mut workers {
            for message in worker.take(50, Duration::ZERO)? {
                (taken, idle) = (taken + 1, 0);
                match taken % 20 {
                    0 => message.reject("of no use")?,
                    1 => message.retry()?,
                    2 => drop(message),
                    _ => message.ack()?,
                }
            }
        }
        clock.advance(Duration::from_secs(10));
        store.maintain()?;
    }
    Ok(())
}

/// One name for all rounds and one of its own; buffered and streamed, committed and aborted, with the offsets of a group.
fn transactions(store: &Store, number: u64) -> Result<()> {
    let ledger = store.ensure_topic("ledger", small())?;
    for (name, buffer) in [("steady".to_owned(), 1 << 20), (format!("tx {number}"), 256)] {
        for step in 0..20_u64 {
            let mut consumer = store.consumer("readers of the ledger")?;
            consumer.subscribe(["ledger"])?;
            consumer.poll(Duration::ZERO)?;
            let mut tx = store.transaction_builder(&name).buffer_bytes(buffer).begin()?;
            tx.commit_offsets(&consumer)?;
            for entry in 0..10_u64 {
                tx.send(Record::to("ledger").key(&entry.to_string()).value([b'x'; 100].as_slice()))?;
            }
            if step % 4 == 3 { tx.abort()? } else { drop(tx.commit()?) }
        }
    }
    named(store, &ledger.partition(0)?)
}

/// A named producer goes on where it was.
fn named(store: &Store, partition: &Partition) -> Result<()> {
    let producer = store.named_producer("source")?;
    let next = producer.last_sequence(partition).map_or(0, |last| last + 1);
    for sequence in next..next + 20 {
        producer.append(partition, sequence, &[Record::new().value("from a source")], Durability::Os)?;
    }
    Ok(())
}

/// Guarded appends to fifty streams, reads of them, snapshots.
fn streams(store: &Store, topic: &str) -> Result<()> {
    let config = small().key_index(true).cleanup_policy(CleanupPolicy::CompactDelete);
    let accounts = store.ensure_topic(topic, config)?;
    for _ in 0..10 {
        for key in 0..50_u32 {
            guarded(&accounts, &format!("account {key}"))?;
        }
    }
    let snapshots = store.snapshots(topic)?;
    let version = accounts.stream("account 7")?.version()?.unwrap_or_default();
    snapshots.store("account 7", version, b"the sum")?;
    assert!(snapshots.load("account 7")?.is_some());
    snapshots.prune("account 7")?;
    accounts.compact()?;
    accounts.erase("account 8")?;
    drop(snapshots);
    store.delete_topic(store.snapshots(topic)?.topic().name())
}

fn guarded(accounts: &Topic, key: &str) -> Result<()> {
    let stream = accounts.stream(key)?;
    let expected = stream.version()?.map_or(Expected::NoStream, Expected::Version);
    accounts.append_to(key, expected, &[Record::new().value([b'y'; 100].as_slice())])?;
    assert!(stream.last()?.is_some());
    Ok(())
}

/// A reader that is attached, looks at each topic, and commits for a group of its own.
fn seen_from_elsewhere(store: &Store) -> Result<()> {
    let reader = StoreReader::attach(store.path())?;
    let mut consumer = reader.consumer("elsewhere")?;
    consumer.subscribe(["ledger"])?;
    while !consumer.poll(Duration::ZERO)?.is_empty() {
        consumer.commit()?;
    }
    for topic in reader.topics() {
        topic.partition(0)?.end();
    }
    reader.stats().map(drop)
}

fn copied(store: &Store, scratch: &Path) -> Result<()> {
    store.backup(scratch.join("copy"))?;
    std::fs::remove_dir_all(scratch.join("copy")).expect("a copy is removed");
    Ok(())
}
