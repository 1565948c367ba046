//! From a send on one thread to the record on another.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use annals::{Durability, Record, Store, TopicConfig};
use bytes::Bytes;
use kafko::Kafko;

use crate::harness::{Outcome, quantile};
use crate::options::Options;
use crate::peers::kafko::runtime;
use crate::results::{Latency, Line, Results};
use crate::scratch::Scratch;

/// Messages a second: far from what any of them can take.
const RATE: usize = 2_000;
const LEN: usize = 100;

/// Sends with a pause between, each message with the time at which its send began.
struct Pace {
    begin: Instant,
    messages: usize,
    batch: usize,
}

impl Pace {
    fn new(messages: usize, batch: usize) -> Self {
        Self { begin: Instant::now(), messages, batch }
    }

    /// Waits until batch `number` is due and returns a message of now.
    fn message(&self, number: usize) -> [u8; LEN] {
        let due = Duration::from_secs_f64((number * self.batch) as f64 / (RATE * self.batch) as f64);
        if let Some(wait) = due.checked_sub(self.begin.elapsed()) {
            thread::sleep(wait);
        }
        let mut message = [b'x'; LEN];
        message[..8].copy_from_slice(&self.now().to_le_bytes());
        message
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Microseconds since a message's send began.
    fn age(&self, message: &[u8]) -> Outcome<f64> {
        let sent = u64::from_le_bytes(*message.first_chunk().ok_or("a short message")?);
        Ok(self.now().saturating_sub(sent) as f64 / 1e3)
    }

    fn batches(&self) -> std::ops::Range<usize> {
        0..self.messages / self.batch
    }
}

pub(crate) fn run(options: &Options) -> Outcome {
    let scratch = options.scratch()?;
    let mut results = options.results()?;
    let messages = options.records(8_000);
    let one_by_one = format!("from send to poll on another thread, {RATE} messages of {LEN} B a second");
    let levels = [("Memory", Durability::Memory), ("Os", Durability::Os), ("Disk", Durability::Disk)];
    report("std::sync::mpsc", &one_by_one, channel(messages)?, &mut results)?;
    for (name, durability) in levels {
        let ages = annals(durability, 1, messages, &scratch)?;
        report(&format!("annals, {name}"), &one_by_one, ages, &mut results)?;
    }
    for (name, sync) in [("send", false), ("send and sync", true)] {
        report(&format!("kafko, {name}"), &one_by_one, kafko(sync, messages, &scratch)?, &mut results)?;
    }
    let tailing =
        format!("a consumer that follows {} messages of {LEN} B a second, in batches of 100", RATE * 100);
    for (name, durability) in levels {
        let ages = annals(durability, 100, messages * 20, &scratch)?;
        report(&format!("annals, {name}"), &tailing, ages, &mut results)?;
    }
    Ok(())
}

fn report(row: &str, title: &str, ages: Vec<f64>, results: &mut Results) -> Outcome {
    // The first of them open files and start threads.
    let settled = &ages[ages.len() / 20..];
    results.add(Line::Latency(Latency {
        row: row.into(),
        title: title.into(),
        messages: settled.len(),
        p50: quantile(settled, 0.5),
        p99: quantile(settled, 0.99),
        p999: quantile(settled, 0.999),
        most: quantile(settled, 1.0),
    }))
}

fn channel(messages: usize) -> Outcome<Vec<f64>> {
    let (sender, receiver) = mpsc::channel();
    let pace = Pace::new(messages, 1);
    thread::scope(|scope| {
        let reading = scope.spawn({
            let pace = &pace;
            move || receiver.iter().map(|message: [u8; LEN]| pace.age(&message)).collect()
        });
        for number in pace.batches() {
            sender.send(pace.message(number))?;
        }
        drop(sender);
        reading.join().map_err(|_| "a thread panicked")?
    })
}

fn annals(durability: Durability, batch: usize, messages: usize, scratch: &Scratch) -> Outcome<Vec<f64>> {
    let dir = scratch.fresh()?;
    let store = Store::open(dir.path())?;
    store.create_topic("events", TopicConfig::new())?;
    let producer = store.producer_builder().durability(durability).build()?.bind("events")?;
    let mut consumer = store.consumer_builder().build()?;
    consumer.assign([("events", 0)])?;
    let pace = Pace::new(messages, batch);
    thread::scope(|scope| {
        let reading = scope.spawn(|| -> Outcome<Vec<f64>> {
            let mut ages = Vec::with_capacity(messages);
            while ages.len() < messages {
                for record in &consumer.poll(Duration::from_secs(5))? {
                    ages.push(pace.age(record.value().unwrap_or_default())?);
                }
            }
            Ok(ages)
        });
        for number in pace.batches() {
            let message = pace.message(number);
            if batch == 1 {
                producer.send(Record::new().value(&message))?;
            } else {
                producer.send_batch(&vec![Record::new().value(&message); batch])?;
            }
        }
        reading.join().map_err(|_| "a thread panicked")?
    })
}

fn kafko(sync: bool, messages: usize, scratch: &Scratch) -> Outcome<Vec<f64>> {
    let dir = scratch.fresh()?;
    let runtime = runtime()?;
    let broker = runtime.block_on(async {
        let broker = Kafko::open(dir.path()).await?;
        broker.create_topic("events").await?;
        Ok::<_, kafko::KafkoError>(broker)
    })?;
    let producer = runtime.block_on(broker.producer_for("events"))?;
    let topic = runtime.block_on(broker.topic("events")).ok_or("no topic")?;
    let mut consumer = runtime.block_on(broker.consumer_for("events"))?;
    let pace = Pace::new(messages, 1);
    let ages = thread::scope(|scope| {
        let reading = scope.spawn(|| -> Outcome<Vec<f64>> {
            runtime.block_on(async {
                let mut ages = Vec::with_capacity(messages);
                while ages.len() < messages {
                    ages.push(pace.age(consumer.next_record().await?.value())?);
                }
                Ok(ages)
            })
        });
        for number in pace.batches() {
            let message = pace.message(number);
            runtime.block_on(async {
                producer.send(None, Bytes::copy_from_slice(&message)).await?;
                if sync {
                    topic.partition(0).ok_or("no partition")?.sync().await?;
                }
                Outcome::Ok(())
            })?;
        }
        reading.join().map_err(|_| "a thread panicked")?
    });
    drop((producer, topic));
    runtime.block_on(broker.shutdown())?;
    ages
}
