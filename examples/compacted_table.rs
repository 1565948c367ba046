//! A compacted topic as a table: the key names the row, the last record of a key is the row, a record without a value
//! deletes it.
//!
//! A week of earthquakes, keyed by the network that reported them, becomes a table of the last event of each network. It is read
//! with `latest` before anything is compacted; after `compact` its rows are the only records, each at its old offset. A
//! tombstone deletes a row and is removed itself once its time is over, on a topic that gets no more records; `erase` removes a row
//! from the files at once. The clock is set by hand, so that a day passes in no time.
//!
//! `cargo run --release --example compacted_table` uses a temporary directory; `-- DIR` puts the store in DIR.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use annals::io::{Clock, ManualClock};
use annals::{CleanupPolicy, Durability, OwnedRecord, Record, Store, Topic, TopicConfig};

const EVENTS: &str = include_str!("data/earthquakes.tsv");
const TOPIC: &str = "last-events";
/// When the program begins: 2018-02-07 02:00:00 UTC, after the last event. Unix milliseconds.
const BEGIN: i64 = 1_517_968_800_000;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir()?;
    let dir = given.unwrap_or_else(|| temporary.path().join("store"));

    let clock = Arc::new(ManualClock::at(BEGIN));
    let store = Store::builder(&dir).clock(clock.clone()).maintain_by_hand().open()?;
    let config = TopicConfig::new()
        .cleanup_policy(CleanupPolicy::Compact)
        .segment_bytes(16 << 10)
        .segment_age(HOUR) // so that maintenance seals a segment without appends
        .max_compaction_lag(HOUR) // and compacts it, however little it is
        .delete_retention(DAY);
    let topic = store.ensure_topic(TOPIC, config)?;

    send(&store)?;
    println!("Sent; the topic has {} records.", read(&topic)?.len());
    let rows = topic.latest().collect::<Result<Vec<_>, _>>()?;
    println!("Before any compaction, latest() finds {} rows.\n", rows.len());

    for report in topic.compact()? {
        println!(
            "compact(): {} records went; {} segments of {} bytes became {} of {} bytes; cleaned until offset {}.",
            report.removed_records,
            report.segments_before,
            report.bytes_before,
            report.segments_after,
            report.bytes_after,
            report.cleaned_until
        );
    }
    let left = read(&topic)?;
    println!("The {} records that are left, where and when they were:", left.len());
    left.iter().for_each(show);

    delete_a_row(&store, &topic, &clock)?;

    for report in topic.erase("us")? {
        println!(
            "\nerase(\"us\"): {} record, {} segment rewritten, {} bytes freed.",
            report.records, report.segments, report.bytes
        );
    }
    println!("{} rows are left.", topic.latest().count());
    store.close()?;
    Ok(())
}

/// Deletes the row of the network "nm", and watches the tombstone until it is gone.
fn delete_a_row(store: &Store, topic: &Topic, clock: &ManualClock) -> Outcome {
    let sent = store.producer().send(Record::to(TOPIC).key("nm"))?;
    println!("\nTombstone for \"nm\" sent: offset {}.", sent.offset);
    // Each step is maintenance only: nobody sends, and nobody calls compact().
    let steps = [
        ("more than max.compaction.lag.ms later", HOUR + Duration::from_secs(1)),
        ("a second less than delete.retention.ms later", DAY - Duration::from_secs(1)),
        ("a second later", Duration::from_secs(1)),
    ];
    for (when, step) in steps {
        clock.advance(step);
        store.maintain()?;
        let records = read(topic)?;
        let about: Vec<_> = records.iter().filter(|record| record.key.as_deref() == Some(b"nm")).collect();
        let tombstones = about.iter().filter(|record| record.value.is_none()).count();
        println!(
            "  {when} (clock at {}): {} records, {} of \"nm\", {tombstones} of these a tombstone",
            clock.now(),
            records.len(),
            about.len()
        );
    }
    Ok(())
}

fn send(store: &Store) -> Outcome {
    let producer = store.producer_builder().durability(Durability::Memory).build()?.bind(TOPIC)?;
    for line in EVENTS.lines() {
        let mut fields = line.splitn(3, '\t');
        let (Some(network), Some(happened), Some(json)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(format!("not an event: {line:?}").into());
        };
        producer.send(Record::new().key(network).value(json).timestamp(happened.parse()?))?;
    }
    producer.flush()?;
    Ok(())
}

/// All records that can be read, in order.
fn read(topic: &Topic) -> Outcome<Vec<OwnedRecord>> {
    let mut records = Vec::new();
    for partition in topic.partitions() {
        for record in partition.read(..)? {
            records.push(record?);
        }
    }
    Ok(records)
}

fn show(record: &OwnedRecord) {
    let text =
        |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let (key, value) = (text(&record.key), text(&record.value));
    let start: String = value.chars().take(48).collect();
    println!("  offset {:>4}  timestamp {}  {key}  {start}…", record.offset, record.timestamp);
}
