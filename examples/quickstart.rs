//! The main use on real input: a week of earthquakes goes into a keyed topic, a group of two threads reads it back, a
//! time is looked up, and after a restart the group continues from what it committed.
//!
//! `cargo run --release --example quickstart` uses a temporary directory; `-- DIR` puts the store in DIR and leaves it
//! there.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use annals::{Codec, Durability, Record, Store, TopicConfig};

const EVENTS: &str = include_str!("data/earthquakes.tsv");
const TOPIC: &str = "earthquakes";
const GROUP: &str = "dashboard";

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// One line of the input.
struct Event {
    network: &'static str,
    happened: i64,
    json: &'static str,
}

fn main() -> Outcome {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let dir = given.clone().unwrap_or_else(|| temporary.path().join("store"));
    let events = EVENTS.lines().map(parse).collect::<Outcome<Vec<_>>>()?;

    // The last hundred events come after the restart.
    let (before, after) = events.split_at(events.len() - 100);
    first_run(&dir, before)?;
    second_run(&dir, after)?;
    if given.is_some() {
        println!("\nThe store is in {}.", dir.display());
    }
    Ok(())
}

fn parse(line: &'static str) -> Outcome<Event> {
    let mut fields = line.splitn(3, '\t');
    let (Some(network), Some(happened), Some(json)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("not an event: {line:?}").into());
    };
    Ok(Event { network, happened: happened.parse()?, json })
}

fn first_run(dir: &Path, events: &[Event]) -> Outcome {
    let store = Store::open(dir)?;
    let config = TopicConfig::new().partitions(4).compression_type(Codec::Zstd).segment_bytes(64 << 10);
    let topic = store.ensure_topic(TOPIC, config)?;

    send(&store, events)?;
    println!("Sent {} events to {} partitions:", events.len(), topic.partition_count());
    for partition in topic.partitions() {
        println!(
            "  {}: {} records, {} bytes",
            partition.topic_partition(),
            partition.end(),
            partition.bytes()
        );
    }

    let mut overview = store.consumer(GROUP)?;
    overview.subscribe([TOPIC])?;
    println!("Lag of group {GROUP:?} before: {}", overview.lag()?);
    drop(overview);

    let counts = consume_with_two_members(&store)?;
    println!("Two members of group {GROUP:?} read:");
    for (member, partitions) in &counts {
        println!("  {member}: {partitions:?}");
    }

    let mut overview = store.consumer(GROUP)?;
    overview.subscribe([TOPIC])?;
    println!("Lag of group {GROUP:?} after: {}", overview.lag()?);

    // 2018-02-04 00:00:00 UTC.
    let midnight = 1_517_702_400_000;
    println!("First events at or after {midnight} (Unix milliseconds):");
    for partition in topic.partitions() {
        let Some(found) = partition.offset_for_time(midnight)? else { continue };
        let place = partition.topic_partition();
        println!("  {place}: offset {}, {} s later", found.offset, (found.timestamp - midnight) / 1000);
    }
    store.close()?;
    Ok(())
}

fn second_run(dir: &Path, events: &[Event]) -> Outcome {
    let store = Store::open(dir)?;
    println!("Reopened: {} partitions, all closed cleanly.", store.recovery().len());
    let mut dashboard = store.consumer(GROUP)?;
    dashboard.subscribe([TOPIC])?;
    println!("Lag of group {GROUP:?} before anything new: {}", dashboard.lag()?);

    send(&store, events)?;
    println!("Sent {} more; lag: {}", events.len(), dashboard.lag()?);
    let mut read = 0;
    while dashboard.lag()? > 0 {
        read += dashboard.poll(Duration::from_millis(500))?.len();
    }
    dashboard.commit()?;
    println!("The group went on where it had committed: {read} records read; lag: {}", dashboard.lag()?);
    store.close()?;
    Ok(())
}

/// Everything is on the disk when this returns.
fn send(store: &Store, events: &[Event]) -> Outcome {
    let producer = store.producer_builder().durability(Durability::Memory).build()?.bind(TOPIC)?;
    for event in events {
        producer.send(Record::new().key(event.network).value(event.json).timestamp(event.happened))?;
    }
    producer.flush()?;
    Ok(())
}

/// How many records each member read from which partition.
type Counts = BTreeMap<String, BTreeMap<u32, usize>>;

fn consume_with_two_members(store: &Store) -> Outcome<Counts> {
    let counts = Mutex::new(Counts::new());
    // Both join before either reads, so that the partitions are shared out once.
    let mut members = Vec::new();
    for _ in 0..2 {
        let mut member = store.consumer(GROUP)?;
        member.subscribe([TOPIC])?;
        members.push(member);
    }
    thread::scope(|scope| {
        let readers: Vec<_> = members
            .into_iter()
            .map(|mut member| {
                let counts = &counts;
                scope.spawn(move || -> Outcome {
                    while member.lag()? > 0 {
                        let records = member.poll(Duration::from_millis(500))?;
                        let mut counts = counts.lock().map_err(|_| "another member failed")?;
                        let own = counts.entry(member.member_id().to_owned()).or_default();
                        for record in &records {
                            *own.entry(record.partition()).or_default() += 1;
                        }
                        drop(counts);
                        member.commit()?;
                    }
                    // It stays a member until both are done: leaving would give its partitions to the other.
                    Ok(())
                })
            })
            .collect();
        readers.into_iter().try_for_each(|reader| reader.join().map_err(|_| "a member panicked")?)
    })?;
    Ok(counts.into_inner()?)
}
