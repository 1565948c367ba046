//! `plan`: how many partitions a throughput needs.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use annals::{Durability, Record, Store, TopicConfig};
use clap::{Args, ValueEnum};

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::show::{Object, Screen, count};
use crate::sizes::{parse_bytes, parse_count};
use crate::times::parse_length;

/// Say how many partitions a topic needs for a wanted throughput.
///
/// The larger of two numbers: the target by what one partition takes, and the target by what one consumer of yours manages, as each
/// partition is read by one member of a group. What is not given is measured on this disk, with one thread each.
///
/// Example: annals plan --target-rate 200000 --record-bytes 500 --consumer-rate 40000
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Records in a second that are to go through the topic; `200k` is 200,000.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    target_rate: u64,
    /// Bytes of a record's value, as `2KiB`.
    #[arg(long, value_name = "N", default_value = "100", value_parser = parse_record_bytes)]
    record_bytes: u64,
    /// Records in a second that one producer sends to one partition; measured without it.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    producer_rate: Option<u64>,
    /// Records in a second that one consumer works on; without it what is read by one that does nothing with them.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    consumer_rate: Option<u64>,
    /// How far a record has to be before the next is sent.
    #[arg(long, value_enum, default_value_t = Level::Os)]
    durability: Level,
    /// Where to measure, a directory that is there: in one that is made in it and removed.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// How long to measure each.
    #[arg(long, value_name = "LENGTH", default_value = "1s", value_parser = parse_measure)]
    measure: Duration,
}

/// No more than a topic takes by its default; none is a number of them, too.
fn parse_record_bytes(text: &str) -> Result<u64, String> {
    let bytes = if text == "0" { 0 } else { parse_bytes(text)? };
    if bytes < 1_000_000 { Ok(bytes) } else { Err("it has to be below 1000000".to_owned()) }
}

/// Nothing is measured in no time.
fn parse_measure(text: &str) -> Result<Duration, String> {
    let length = parse_length(text)?;
    if length.is_zero() { Err("it has to be longer than nothing".to_owned()) } else { Ok(length) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    Memory,
    Os,
    Disk,
}

impl Level {
    fn durability(self) -> Durability {
        match self {
            Self::Memory => Durability::Memory,
            Self::Os => Durability::Os,
            Self::Disk => Durability::Disk,
        }
    }
}

/// A measurement is no reason to fill a disk.
const MOST_BYTES: u64 = 4 << 30;

/// Records in a second, of one partition.
struct Rates {
    producer: u64,
    consumer: u64,
}

pub(crate) fn run(options: &Options, _: &Arguments, screen: &mut Screen) -> Outcome {
    let rates = match (options.producer_rate, options.consumer_rate) {
        (Some(producer), Some(consumer)) => Rates { producer, consumer },
        (producer, consumer) => {
            let measured = measure(options)?;
            Rates {
                producer: producer.unwrap_or(measured.producer),
                consumer: consumer.unwrap_or(measured.consumer),
            }
        }
    };
    let target = options.target_rate;
    let by_producer = target.div_ceil(rates.producer.max(1));
    let by_consumer = target.div_ceil(rates.consumer.max(1));
    let partitions = by_producer.max(by_consumer);
    if screen.json {
        return screen.object(
            &Object::new("plan")
                .number("target_rate", target)
                .number("record_bytes", options.record_bytes)
                .number("producer_rate", rates.producer)
                .truth("producer_measured", options.producer_rate.is_none())
                .number("consumer_rate", rates.consumer)
                .truth("consumer_measured", options.consumer_rate.is_none())
                .number("partitions", partitions),
        );
    }
    let source = |given: bool| if given { "given" } else { "measured here" };
    screen.line(format_args!(
        "target                  {target:>12} records/s of {} bytes",
        options.record_bytes
    ))?;
    screen.line(format_args!(
        "one producer            {:>12} records/s, {}: {target} / {} = {}",
        rates.producer,
        source(options.producer_rate.is_some()),
        rates.producer,
        count(by_producer, "partition"),
    ))?;
    screen.line(format_args!(
        "one consumer            {:>12} records/s, {}: {target} / {} = {}",
        rates.consumer,
        source(options.consumer_rate.is_some()),
        rates.consumer,
        count(by_consumer, "partition"),
    ))?;
    screen.line(format_args!(
        "partitions              {partitions:>12}, the larger of {by_producer} and {by_consumer}"
    ))
}

/// Removes what was measured in, whatever happens.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn measure(options: &Options) -> Outcome<Rates> {
    let scratch = Scratch(options.dir.join(format!(".annals-plan-{}", std::process::id())));
    // Alone it is removed: what is not there above it is not made.
    std::fs::create_dir(&scratch.0).map_err(|error| Failure::at("make", &scratch.0, error))?;
    let store = Store::open(&scratch.0)?;
    let topic = store.create_topic("plan", TopicConfig::new())?;
    let value = vec![b'x'; usize::try_from(options.record_bytes).unwrap_or(100)];
    let producer = store.producer_builder().durability(options.durability.durability()).build()?;
    let producer = producer.bind("plan")?;
    let began = Instant::now();
    let mut sent = 0_u64;
    // Something is sent in any case, and read below.
    while sent == 0 || began.elapsed() < options.measure && sent * options.record_bytes < MOST_BYTES {
        interrupt::check()?;
        // A clock is read once in a while; a sync takes longer than that.
        let some = if options.durability == Level::Disk { 1 } else { 100 };
        for _ in 0..some {
            producer.send(Record::new().value(&value))?;
        }
        sent += some;
    }
    producer.flush()?;
    let producer = per_second(sent, began.elapsed());
    let partition = topic.partition(0)?;
    let (began, mut read, mut bytes) = (Instant::now(), 0_u64, 0_usize);
    'measuring: loop {
        let mut reader = partition.read(..)?;
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                break;
            }
            bytes += records.iter().filter_map(|record| record.value()).map(<[u8]>::len).sum::<usize>();
            read += records.len() as u64;
            interrupt::check()?;
            if began.elapsed() >= options.measure {
                break 'measuring;
            }
        }
    }
    let consumer = per_second(read, began.elapsed());
    std::hint::black_box(bytes);
    store.close()?;
    Ok(Rates { producer, consumer })
}

fn per_second(count: u64, time: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000_000 / time.as_nanos().max(1)).unwrap_or(u64::MAX).max(1)
}
