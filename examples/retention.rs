//! Everything that makes a log shorter: limits on size, time and number of records, queues that drop what all groups have
//! read, queues that may not grow beyond a size, and deleting on demand.
//!
//! A week of earthquakes goes into one topic for each rule. The clock shows the time of the event that is being sent, so
//! that a week passes in no time. What was removed is printed from the reports, what is left from `Store::stats`.
//!
//! `cargo run --release --example retention` uses a temporary directory; `-- DIR` puts the store in DIR.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use annals::io::ManualClock;
use annals::{Error, Record, Store, TopicConfig, WhenFull, report::RetentionReport};

const EVENTS: &str = include_str!("data/earthquakes.tsv");
/// Topics from which maintenance removes what is above the limit.
const LIMITED: [&str; 3] = ["by-size", "by-time", "by-records"];
const QUEUE: &str = "queue";
const RECENT: &str = "recent";
/// The most that the two queues may take.
const QUEUE_BYTES: u64 = 128 << 10;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// One line of the input.
struct Event {
    network: &'static str,
    happened: i64,
    json: &'static str,
}

fn main() -> Outcome {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let dir = given.unwrap_or_else(|| temporary.path().join("store"));
    let mut events = EVENTS.lines().map(parse).collect::<Outcome<Vec<_>>>()?;
    events.sort_by_key(|event| event.happened);

    let clock = Arc::new(ManualClock::default());
    let store = Store::builder(&dir).clock(clock.clone()).maintain_by_hand().open()?;
    create_topics(&store)?;

    limits(&store, &clock, &events)?;
    queue(&store, &events)?;
    drop_oldest(&store, &events)?;
    delete_on_demand(&store)?;
    show_stats(&store)?;
    store.close()?;
    Ok(())
}

fn parse(line: &'static str) -> Outcome<Event> {
    let mut fields = line.splitn(3, '\t');
    let (Some(network), Some(happened), Some(json)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("not an event: {line:?}").into());
    };
    Ok(Event { network, happened: happened.parse()?, json })
}

/// Room is made by removing whole segments: with small ones the limits show.
fn create_topics(store: &Store) -> Outcome {
    let config = || TopicConfig::new().segment_bytes(32 << 10);
    store.ensure_topic("by-size", config().retention_bytes(96 << 10))?;
    store.ensure_topic("by-time", config().retention(Duration::from_secs(2 * 24 * 3600)))?;
    store.ensure_topic("by-records", config().retention_records(500))?;
    let queue = config().retention_until_consumed().size_limit(QUEUE_BYTES, WhenFull::Fail);
    store.ensure_topic(QUEUE, queue)?;
    store.ensure_topic(RECENT, config().size_limit(QUEUE_BYTES, WhenFull::DropOldest))?;
    Ok(())
}

fn send(store: &Store, topic: &str, event: &Event) -> annals::Result<()> {
    let record = Record::to(topic).key(event.network).value(event.json).timestamp(event.happened);
    store.producer().send(record).map(drop)
}

/// Size, time and number of records, all in one round over every partition.
fn limits(store: &Store, clock: &ManualClock, events: &[Event]) -> Outcome {
    for event in events {
        clock.set(event.happened);
        for topic in LIMITED {
            send(store, topic, event)?;
        }
    }
    println!("{} events in each of {LIMITED:?}. apply_retention():", events.len());
    store.apply_retention()?.iter().for_each(show_report);
    Ok(())
}

fn show_report(report: &RetentionReport) {
    let reasons: Vec<_> = report.removed.iter().map(|segment| segment.reason).collect();
    let reason = reasons.first().map(|reason| format!("{reason:?}")).unwrap_or_default();
    println!(
        "  {}: {} segments with {} records and {} bytes went ({reason}); it starts at offset {}",
        report.topic_partition,
        report.removed.len(),
        report.records(),
        report.bytes(),
        report.start
    );
}

/// A queue for two groups: what both have committed is removed; when it is full, sending fails until they have committed.
fn queue(store: &Store, events: &[Event]) -> Outcome {
    let mut groups = Vec::new();
    for name in ["mapping", "alerts"] {
        let mut consumer = store.consumer(name)?;
        consumer.subscribe([QUEUE])?;
        groups.push(consumer);
    }
    let (mut full, mut read) = (0, 0);
    for event in events {
        while let Err(error) = send(store, QUEUE, event) {
            if !matches!(error, Error::Full { .. }) {
                return Err(error.into());
            }
            if full == 0 {
                println!("\nA send to {QUEUE:?} fails: {error}");
            }
            full += 1;
            for consumer in &mut groups {
                while consumer.lag()? > 0 {
                    read += consumer.poll(Duration::ZERO)?.len();
                }
                consumer.commit()?; // the second commit makes the room
            }
        }
    }
    let partition = store.topic(QUEUE)?.partition(0)?;
    println!(
        "Full {full} times; the groups read {read} records in all; {} bytes are left, of offsets {}..{}.",
        partition.bytes(),
        partition.start(),
        partition.end()
    );
    Ok(())
}

/// A queue that keeps what is recent, whether it was read or not.
fn drop_oldest(store: &Store, events: &[Event]) -> Outcome {
    for event in events {
        send(store, RECENT, event)?;
    }
    let partition = store.topic(RECENT)?.partition(0)?;
    println!(
        "\n{RECENT:?} never refused one of {} events: {} of {QUEUE_BYTES} bytes, offsets {}..{}.",
        events.len(),
        partition.bytes(),
        partition.start(),
        partition.end()
    );
    Ok(())
}

/// Deletes what lies below an offset, at once, in the middle of a segment.
fn delete_on_demand(store: &Store) -> Outcome {
    let partition = store.topic("by-size")?.partition(0)?;
    let middle = partition.start() + (partition.end() - partition.start()) / 2;
    let report = partition.delete_records(middle)?;
    println!(
        "\ndelete_records({middle}) of {}: it starts at offset {}; {} whole segments, {} bytes in all are gone.",
        partition.topic_partition(),
        report.start,
        report.segments,
        report.bytes
    );
    match partition.read_from(middle - 1) {
        Err(error @ Error::OffsetOutOfRange { .. }) => println!("Reading the one before: {error}"),
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("a deleted record can be read".into()),
    }
    Ok(())
}

fn show_stats(store: &Store) -> Outcome {
    let stats = store.stats()?;
    println!("\nstats():");
    for partition in stats.topics.iter().flat_map(|topic| &topic.partitions) {
        println!(
            "  {}: offsets {}..{}, {} bytes in {} segments",
            partition.topic_partition, partition.start, partition.end, partition.bytes, partition.segments
        );
    }
    for group in &stats.groups {
        println!("  group {:?}: {} members, lag {}", group.group, group.members.len(), group.lag());
    }
    println!("  partitions at which maintenance fails: {}", stats.maintenance_failures.len());
    Ok(())
}
