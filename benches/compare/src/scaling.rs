//! How annals behaves as threads, partitions, records, logs and topics grow.

use std::time::Duration;

use annals::{Durability, Partition, Record, Store, TopicConfig};

use crate::batches::{LOG_BATCH, append_batches};
use crate::child;
use crate::harness::{Outcome, ns_each, timed};
use crate::options::Options;
use crate::payload::{Payloads, Random};
use crate::results::{Line, Point, Results};
use crate::scratch::Scratch;

const LEVELS: [(&str, Durability); 3] =
    [("Memory", Durability::Memory), ("Os", Durability::Os), ("Disk", Durability::Disk)];
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

pub(crate) fn run(options: &Options) -> Outcome {
    let scratch = options.scratch()?;
    let mut results = options.results()?;
    type Part = fn(&mut Plot<'_>) -> Outcome;
    let parts: [(&str, Part); 5] = [
        ("threads", threads),
        ("partitions", partitions),
        ("record", record_size),
        ("log", log_size),
        ("topics", topics),
    ];
    for (name, part) in parts {
        if options.wants(name) {
            part(&mut Plot { options, scratch: &scratch, results: &mut results })?;
        }
    }
    Ok(())
}

struct Plot<'a> {
    options: &'a Options,
    scratch: &'a Scratch,
    results: &'a mut Results,
}

/// What a plot is called, and its axes.
struct Axes {
    plot: &'static str,
    title: &'static str,
    x_name: &'static str,
    unit: &'static str,
}

impl Plot<'_> {
    fn point(&mut self, axes: &Axes, series: &str, x: f64, samples: Vec<f64>) -> Outcome {
        self.results.add(Line::Point(Point {
            plot: axes.plot.into(),
            title: axes.title.into(),
            series: series.into(),
            x_name: axes.x_name.into(),
            x,
            unit: axes.unit.into(),
            samples,
        }))
    }

    /// ns for each of as many as there is time for, up to `full`, measured as often as the options say.
    fn ns_samples(&self, full: usize, mut run: impl FnMut(usize) -> Outcome) -> Outcome<Vec<f64>> {
        let few = (full / 50).max(8);
        let ((), elapsed) = timed(|| run(few))?;
        let fits = (self.options.budget * 1e9 / ns_each(elapsed, few)) as usize;
        let count = fits.clamp(few, full.max(few));
        let sample = |_| Ok(ns_each(timed(|| run(count))?.1, count));
        (0..self.options.repetitions).map(sample).collect()
    }

    fn ms_samples(&self, mut run: impl FnMut() -> Outcome<Duration>) -> Outcome<Vec<f64>> {
        (0..self.options.repetitions).map(|_| Ok(run()?.as_secs_f64() * 1e3)).collect()
    }
}

fn threads(plot: &mut Plot<'_>) -> Outcome {
    let axes = Axes {
        plot: "threads",
        title: "one partition, threads that send 100 B each",
        x_name: "threads",
        unit: "ns/record",
    };
    let payloads = Payloads::new(100);
    for (name, durability) in LEVELS {
        for threads in [1_usize, 2, 4, 8] {
            let dir = plot.scratch.fresh()?;
            let store = Store::open(dir.path())?;
            store.create_topic("events", TopicConfig::new())?;
            let producer = store.producer_builder().durability(durability).build()?.bind("events")?;
            let samples =
                plot.ns_samples(if durability == Durability::Disk { 4_000 } else { 300_000 }, |count| {
                    std::thread::scope(|scope| {
                        let running: Vec<_> = (0..threads)
                            .map(|_| {
                                scope.spawn(|| -> Outcome {
                                    for number in 0..count / threads {
                                        producer.send(Record::new().value(payloads.get(number)))?;
                                    }
                                    Ok(())
                                })
                            })
                            .collect();
                        running
                            .into_iter()
                            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
                    })
                })?;
            plot.point(&axes, name, threads as f64, samples)?;
        }
    }
    Ok(())
}

fn partitions(plot: &mut Plot<'_>) -> Outcome {
    let axes = Axes {
        plot: "partitions",
        title: "keyed records of 100 B over partitions",
        x_name: "partitions",
        unit: "ns/record",
    };
    let payloads = Payloads::new(100);
    for threads in [1_usize, 4] {
        for (name, durability) in &LEVELS[..2] {
            for partitions in [1_u32, 4, 16, 64] {
                let dir = plot.scratch.fresh()?;
                let store = Store::open(dir.path())?;
                store.create_topic("events", TopicConfig::new().partitions(partitions))?;
                let producer = store.producer_builder().durability(*durability).build()?.bind("events")?;
                let samples = plot.ns_samples(200_000, |count| {
                    std::thread::scope(|scope| {
                        let running: Vec<_> = (0..threads)
                            .map(|_| {
                                scope.spawn(|| -> Outcome {
                                    for number in 0..count / threads {
                                        let key = (number as u64).to_be_bytes();
                                        producer.send(Record::new().key(&key).value(payloads.get(number)))?;
                                    }
                                    Ok(())
                                })
                            })
                            .collect();
                        running
                            .into_iter()
                            .try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
                    })
                })?;
                let series = format!("{name}, {threads} thread{}", if threads == 1 { "" } else { "s" });
                plot.point(&axes, &series, f64::from(partitions), samples)?;
            }
        }
    }
    Ok(())
}

fn record_size(plot: &mut Plot<'_>) -> Outcome {
    let axes = Axes {
        plot: "record-size",
        title: "one call a record, by its size",
        x_name: "bytes of a record",
        unit: "MB/s",
    };
    for (name, durability) in LEVELS {
        for len in [10, 100, KIB, 10 * KIB, 100 * KIB, MIB] {
            let payloads = Payloads::new(len);
            let dir = plot.scratch.fresh()?;
            let store = Store::open(dir.path())?;
            store.create_topic("events", TopicConfig::new().max_message_bytes(4 << 20))?;
            let producer = store.producer_builder().durability(durability).build()?.bind("events")?;
            let full = if durability == Durability::Disk { 2_000 } else { 300_000 };
            let samples = plot.ns_samples(full.min(256 * MIB / len), |count| {
                for number in 0..count {
                    producer.send(Record::new().value(payloads.get(number)))?;
                }
                Ok(())
            })?;
            let rates = samples.iter().map(|ns| len as f64 * 1e3 / ns).collect();
            plot.point(&axes, name, len as f64, rates)?;
        }
    }
    Ok(())
}

const LOG_LEN: usize = KIB;

fn log_size(plot: &mut Plot<'_>) -> Outcome {
    let cost = Axes {
        plot: "log-size",
        title: "1 KiB records, by the size of the log",
        x_name: "bytes in the log",
        unit: "ns/record",
    };
    let open = Axes {
        plot: "log-open",
        title: "opening, by the size of the log",
        x_name: "bytes in the log",
        unit: "ms",
    };
    let largest = if plot.options.large { 20 << 30 } else { (2 << 30) / plot.options.scale };
    let payloads = Payloads::new(LOG_LEN);
    let dir = plot.scratch.fresh()?;
    for size in [MIB, 16 * MIB, 256 * MIB, 2048 * MIB, 20 << 30].into_iter().filter(|size| *size <= largest) {
        let x = size as f64;
        let store = Store::open(dir.path())?;
        let partition = store.ensure_topic("events", TopicConfig::new())?.partition(0)?;
        let fill = |records: usize| -> Outcome { append_batches(&partition, &payloads, records) };
        while partition.bytes() < size as u64 {
            fill(4 * LOG_BATCH)?;
        }
        partition.flush()?;
        let samples = plot.ns_samples(8_000, fill)?;
        plot.point(&cost, "append, batches of 100, Os", x, samples)?;
        let head = |count: usize| read_from(&partition, partition.start(), count);
        let samples = plot.ns_samples(900, head)?;
        plot.point(&cost, "read the first mebibyte", x, samples)?;
        let tail = |count: usize| read_from(&partition, partition.end() - i64::try_from(count)?, count);
        let samples = plot.ns_samples(900, tail)?;
        plot.point(&cost, "read the last mebibyte", x, samples)?;
        let mut random = Random::default();
        let records = usize::try_from(partition.end())?;
        let samples = plot.ns_samples(20_000, |count| {
            for _ in 0..count {
                let offset = i64::try_from(random.below(records))?;
                std::hint::black_box(partition.get(offset)?);
            }
            Ok(())
        })?;
        plot.point(&cost, "read one record, anywhere", x, samples)?;
        store.close()?;
        drop((partition, store));
        let samples = plot.ms_samples(|| {
            let (store, elapsed) = timed(|| Ok(Store::open(dir.path())?))?;
            store.close()?;
            Ok(elapsed)
        })?;
        plot.point(&open, "closed cleanly", x, samples)?;
        let samples = plot.ms_samples(|| {
            child::annals_killed(dir.path(), "append")?;
            let (store, elapsed) = timed(|| Ok(Store::open(dir.path())?))?;
            store.close()?;
            Ok(elapsed)
        })?;
        plot.point(&open, "killed behind 4 MiB more", x, samples)?;
    }
    Ok(())
}

fn read_from(partition: &Partition, offset: annals::Offset, count: usize) -> Outcome {
    let (mut reader, mut seen, mut sum) = (partition.read_from(offset)?, 0, 0_u64);
    while seen < count {
        let records = reader.fetch()?;
        if records.is_empty() {
            return Err("a record is missing".into());
        }
        for record in records.iter().take(count - seen) {
            sum += record.value().unwrap_or_default().iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        seen += records.len();
    }
    std::hint::black_box(sum);
    Ok(())
}

fn topics(plot: &mut Plot<'_>) -> Outcome {
    let cost = Axes {
        plot: "topics",
        title: "records of 100 B over topics in turn",
        x_name: "topics",
        unit: "ns/record",
    };
    let open = Axes {
        plot: "topics-open",
        title: "topics of one partition that hold records",
        x_name: "topics",
        unit: "ms",
    };
    let payloads = Payloads::new(100);
    let most = (10_000 / plot.options.scale).max(1_000);
    for topics in [1_usize, 10, 100, 1_000, 10_000].into_iter().filter(|topics| *topics <= most) {
        let dir = plot.scratch.fresh()?;
        // As its documentation has it for who writes to so many: a descriptor for each.
        let store = Store::builder(dir.path()).max_open_files(topics + 192).open()?;
        let names: Vec<_> = (0..topics).map(|number| format!("topic-{number}")).collect();
        let (made, elapsed) = timed(|| {
            Ok(names
                .iter()
                .map(|name| store.create_topic(name, TopicConfig::new()))
                .collect::<Result<Vec<_>, _>>()?)
        })?;
        plot.point(&open, "create one", topics as f64, vec![elapsed.as_secs_f64() * 1e3 / topics as f64])?;
        for topic in &made {
            topic.partition(0)?.append(&[Record::new().value(payloads.get(0))], Durability::Os)?;
        }
        for (name, durability) in &LEVELS[..2] {
            let producer = store.producer_builder().durability(*durability).build()?;
            let mut next = 0;
            let samples = plot.ns_samples(200_000, |count| {
                for _ in 0..count {
                    next = (next + 1) % topics;
                    producer.send(Record::to(&names[next]).value(payloads.get(next)))?;
                }
                Ok(())
            })?;
            plot.point(&cost, &format!("{name}, each in turn"), topics as f64, samples)?;
            let bound = producer.bind(&names[0])?;
            let samples = plot.ns_samples(200_000, |count| {
                for number in 0..count {
                    bound.send(Record::new().value(payloads.get(number)))?;
                }
                Ok(())
            })?;
            plot.point(&cost, &format!("{name}, one of them"), topics as f64, samples)?;
        }
        store.close()?;
        drop((made, store));
        let samples = plot.ms_samples(|| {
            let (store, elapsed) = timed(|| Ok(Store::open(dir.path())?))?;
            store.close()?;
            Ok(elapsed)
        })?;
        plot.point(&open, "open, closed cleanly", topics as f64, samples)?;
        let samples = plot.ms_samples(|| {
            child::annals_killed(dir.path(), "touch")?;
            let (store, elapsed) = timed(|| Ok(Store::open(dir.path())?))?;
            store.close()?;
            Ok(elapsed)
        })?;
        plot.point(&open, "open, killed behind one more each", topics as f64, samples)?;
    }
    Ok(())
}
