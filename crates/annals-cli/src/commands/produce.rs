//! `produce`: lines to records.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use annals::{Durability, Record, Topic, TopicProducer};
use clap::{Args, ValueEnum};

use crate::arguments::Arguments;
use crate::commands::figures::refuse_writes;
use crate::commands::input::Lines;
use crate::commands::line::{Format, LineReader};
use crate::failure::{Failure, Outcome, both, is_of_a_line};
use crate::interrupt;
use crate::open::with_store;
use crate::progress::{Progress, Unit};
use crate::show::{Object, Screen, count};
use crate::sizes::parse_count;
use crate::times::parse_length;

/// Send lines, hexadecimal or JSON lines to a topic
///
/// Records are sent at the durability that was asked for and flushed at the end: status 0 means that all are on the disk.
///
/// Examples:
///   printf 'alice\t2 apples\n' | annals produce --topic orders --parse-key
///   annals produce --topic orders --file orders.jsonl --format json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {
    /// Where to.
    #[arg(long, short, value_name = "NAME")]
    topic: String,
    /// Read this file; standard input without it.
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// What a line is.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    reader: LineReader,
    /// The key of every record.
    #[arg(long, short, conflicts_with = "parse_key")]
    key: Option<String>,
    /// A header of every record.
    #[arg(long, short = 'H', value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The partition of every record; chosen by key without it.
    #[arg(long, short, value_name = "N")]
    partition: Option<u32>,
    /// With --format json: send each record to the partition that its line names.
    #[arg(long, conflicts_with = "partition")]
    keep_partitions: bool,
    /// How far a record goes before the next is read.
    #[arg(long, value_enum, default_value_t = Level::Memory)]
    durability: Level,
    /// How long records at `memory` may wait for others, as Kafka's --timeout.
    #[arg(long, value_name = "LENGTH", default_value = "1s", value_parser = parse_length)]
    linger: Duration,
    /// At most so many records in a second; `200k` is 200,000.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    throughput: Option<u64>,
}

/// `NAME=VALUE`, without the blanks around each.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a header is NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Memory,
    Os,
    Disk,
}

/// What went so far.
#[derive(Debug)]
struct Sent {
    records: u64,
    /// `None` where it is not known of which records.
    bytes: Option<u64>,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    refuse_writes(&options.topic)?;
    let reader = options.reader.with_properties(options.format)?;
    let mut lines = Lines::open(options.file.as_deref())?;
    with_store(arguments, |store| {
        let durability = match options.durability {
            Level::Memory => Durability::Memory,
            Level::Os => Durability::Os,
            Level::Disk => Durability::Disk,
        };
        let topic = store.topic(&options.topic)?;
        if let Some(number) = options.partition {
            topic.partition(number)?;
        }
        lines.bounded(most_record_bytes(&topic), options.format.letters_of_a_byte());
        let producer = store
            .producer_builder()
            .durability(durability)
            .linger(options.linger)
            .build()?
            .bind(&options.topic)?;
        let before = durable_of(&topic)?;
        let began = Instant::now();
        let mut sent = Sent { records: 0, bytes: Some(0) };
        let outcome = send_all(options, &reader, &mut lines, (&producer, &mut sent));
        // Also after a failure: what is told below is on the disk.
        let flushed = producer.flush().map_err(Failure::from);
        if flushed.is_err() {
            sent = Sent { records: durable_of(&topic)?.saturating_sub(before), bytes: None };
        }
        report(options, &sent, began.elapsed(), screen)?;
        both(outcome, flushed)
    })
}

fn most_record_bytes(topic: &Topic) -> usize {
    topic.config().get("max.message.bytes").parse().unwrap_or(usize::MAX)
}

fn report(options: &Options, sent: &Sent, took: Duration, screen: &mut Screen) -> Outcome {
    let object = || {
        Object::new("produced")
            .text("topic", &options.topic)
            .number("records", sent.records)
            .maybe_number("bytes", sent.bytes)
            .number("milliseconds", took.as_millis())
    };
    screen.either(object, format_args!("Sent {} to {}.", count(sent.records, "record"), options.topic))
}

fn send_all(
    options: &Options,
    reader: &LineReader,
    lines: &mut Lines,
    (producer, sent): (&TopicProducer, &mut Sent),
) -> Outcome {
    let mut progress = Progress::new(lines.total_bytes, Unit::Bytes);
    let began = Instant::now();
    let mut line_number = 0;
    while let Some(line) = lines.next()? {
        line_number += 1;
        let mut record = Record::new();
        if let Some(key) = &options.key {
            record = record.key(key);
        }
        for (name, value) in &options.header {
            record = record.header(name, value);
        }
        let send = |record: Record<'_>| -> Outcome {
            let bytes =
                record.key_bytes().map_or(0, <[u8]>::len) + record.value_bytes().map_or(0, <[u8]>::len);
            let record = match options.partition {
                Some(partition) => record.partition(partition),
                None => record,
            };
            producer.send(record)?;
            sent.records += 1;
            sent.bytes = sent.bytes.map(|so_far| so_far + bytes as u64);
            Ok(())
        };
        let parsed = match options.format {
            Format::Text => reader.text(line, record, send),
            Format::Hex => reader.hex(line, record, send),
            Format::Json => reader.json(line, record, options.keep_partitions, send),
        };
        parsed.map_err(|failure| of_line(line_number, failure))?;
        if let Some(throughput) = options.throughput {
            wait_for_turn(began, sent.records, throughput)?;
        }
        // Each may have waited for a disk.
        interrupt::check()?;
        if sent.records.is_multiple_of(1024) || options.durability != Level::Memory {
            progress.at(lines.read_bytes);
        }
    }
    Ok(())
}

/// Says which line it was, where it is the line that is wrong.
fn of_line(number: u64, failure: Failure) -> Failure {
    match failure {
        Failure::Found(words) => Failure::Found(format!("line {number}: {words}")),
        Failure::Store(error) if is_of_a_line(&error) => Failure::Found(format!("line {number}: {error}")),
        other => other,
    }
}

/// Offsets of the topic that are on the disk.
fn durable_of(topic: &Topic) -> Outcome<u64> {
    let partitions = topic.stats()?.partitions;
    Ok(partitions.iter().map(|one| u64::try_from(one.durable).unwrap_or(0)).sum())
}

/// Sleeps until the next record may go.
fn wait_for_turn(began: Instant, records: u64, throughput: u64) -> Outcome {
    let due = Duration::from_nanos(
        u64::try_from(u128::from(records) * 1_000_000_000 / u128::from(throughput)).unwrap_or(u64::MAX),
    );
    loop {
        let Some(left) = due.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) else {
            return Ok(());
        };
        interrupt::check()?;
        thread::sleep(left.min(Duration::from_millis(100)));
    }
}
