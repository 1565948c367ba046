//! A broker on this machine, driven by Kafka's own performance tools, beside a store in process, in one run. One partition, no compression,
//! records of random letters; the broker's topic is created by the producer's first request.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::{Durability, Record, Store, TopicConfig};

use crate::Answer;
use crate::cluster::Cluster;
use crate::java::{Java, output};
use crate::random::Random;

/// Records of this many bytes, so many of them.
const SIZES: [(usize, usize); 3] = [(100, 1_000_000), (1_000, 300_000), (10_000, 30_000)];
/// Of those that wait for the disk one by one, or batch by batch.
const SYNCED: usize = 5_000;

/// Records a second.
#[derive(Debug, Default, Clone, Copy)]
struct Rates {
    produce: f64,
    consume: f64,
}

impl Rates {
    fn best(&mut self, other: Self) {
        self.produce = self.produce.max(other.produce);
        self.consume = self.consume.max(other.consume);
    }
}

pub fn run(java: &Java) -> Answer<()> {
    println!("load before: {}", fs::read_to_string("/proc/loadavg")?.trim());
    let dir = tempfile::tempdir()?;
    let mut cluster = Cluster::create(java, dir.path(), 1)?.with_heap(512);
    cluster.set("auto.create.topics.enable=true")?;
    cluster.set("num.partitions=1")?;
    let began = Instant::now();
    cluster.start()?;
    let broker_start = began.elapsed();
    let servers = cluster.servers();
    let (mut theirs, mut ours) = ([Rates::default(); SIZES.len()], [Rates::default(); SIZES.len()]);
    let mut disk = Vec::new();
    // The table has the best of each side.
    for round in 0..crate::number("ANNALS_KAFKA_ROUNDS", 3)? {
        for (at, (size, count)) in SIZES.into_iter().enumerate() {
            let topic = format!("perf-{size}-{round}");
            theirs[at].best(Rates {
                produce: produce(java, &servers, &topic, (size, count))?,
                consume: consume(java, &servers, &topic, count)?,
            });
            let store = dir.path().join(&topic);
            ours[at].best(embedded(&store, (size, count))?);
            if round == 0 {
                disk.push((bytes(&cluster.logs(0).join(format!("{topic}-0")))?, bytes(&store)?));
            }
            fs::remove_dir_all(&store)?;
        }
    }
    println!("| bytes of a record | broker: produce | annals: send | broker: consume | annals: poll |");
    println!("|---|---|---|---|---|");
    for (at, (size, _)) in SIZES.into_iter().enumerate() {
        println!(
            "| {size} | {:.0}/s | {:.0}/s | {:.0}/s | {:.0}/s |",
            theirs[at].produce, ours[at].produce, theirs[at].consume, ours[at].consume
        );
    }
    println!("disk bytes, broker and annals: {disk:?}");
    println!("end to end, broker: {}", latency(java, &servers)?);
    println!("end to end, annals: {}", embedded_latency(&dir.path().join("latency"))?);
    let broker = cluster.processes().first().copied().ok_or("no broker")?;
    println!(
        "memory of its own, broker: {}; this process with annals: {}",
        memory(broker)?,
        memory(std::process::id())?
    );
    cluster.stop()?;

    // Every batch on the disk before it is acknowledged.
    cluster.set("log.flush.interval.messages=1")?;
    cluster.start()?;
    let single = ["linger.ms=0", "batch.size=0", "max.in.flight.requests.per.connection=1"];
    let synced = perf(java, &cluster.servers(), "synced", (1_000, SYNCED), &single)?;
    println!(
        "each record on the disk, 1,000 bytes: broker {synced:.0}/s, annals {:.0}/s",
        embedded_synced(&dir.path().join("synced"))?
    );
    cluster.stop()?;
    let began = Instant::now();
    let path = dir.path().join("start");
    let store = Store::open(&path)?;
    store.create_topic("t", TopicConfig::new())?;
    println!("start: broker {broker_start:.2?}, annals {:.2?} with a new topic", began.elapsed());
    store.close()?;
    println!("load after: {}", fs::read_to_string("/proc/loadavg")?.trim());
    Ok(())
}

fn produce(java: &Java, servers: &str, topic: &str, what: (usize, usize)) -> Answer<f64> {
    perf(java, servers, topic, what, &["linger.ms=5", "batch.size=65536"])
}

/// The rate that the producer's tool tells at its end.
fn perf(
    java: &Java,
    servers: &str,
    topic: &str,
    (size, count): (usize, usize),
    more: &[&str],
) -> Answer<f64> {
    let mut tool = java.command(512, "org.apache.kafka.tools.ProducerPerformance");
    tool.args(["--topic", topic, "--throughput", "-1", "--bootstrap-server", servers]);
    tool.args(["--num-records", &count.to_string(), "--record-size", &size.to_string()]);
    tool.args(["--command-property", "acks=all"]).args(more);
    let said = output(&mut tool)?;
    // "1000000 records sent, 123456.7 records/sec (11.77 MB/sec), ...": the last line is of all.
    let total = said.lines().rfind(|line| line.contains(" records sent")).ok_or(said.clone())?;
    let rate = total.split(',').nth(1).and_then(|part| part.trim().split(' ').next()).ok_or("no rate")?;
    Ok(rate.parse()?)
}

/// The rate without the time that the group needs to come together.
fn consume(java: &Java, servers: &str, topic: &str, count: usize) -> Answer<f64> {
    let mut tool = java.command(512, "org.apache.kafka.tools.ConsumerPerformance");
    tool.args([
        "--topic",
        topic,
        "--bootstrap-server",
        servers,
        "--num-records",
        &count.to_string(),
        "--hide-header",
    ]);
    let said = output(&mut tool)?;
    let line = said.lines().rfind(|line| line.split(',').count() >= 10).ok_or(said.clone())?;
    let rate = line.split(',').nth(9).ok_or("no rate")?;
    Ok(rate.trim().parse()?)
}

fn latency(java: &Java, servers: &str) -> Answer<String> {
    let mut tool = java.command(512, "org.apache.kafka.tools.EndToEndLatency");
    tool.args([servers, "latency", "5000", "all", "100"]);
    let said = output(&mut tool)?;
    let lines: Vec<_> =
        said.lines().filter(|line| line.starts_with("Avg") || line.starts_with("Percentiles")).collect();
    Ok(lines.join("; "))
}

fn letters(size: usize) -> Vec<u8> {
    let mut random = Random::new(1);
    (0..size).map(|_| b'a' + random.below(26) as u8).collect()
}

/// Sent as a producer batches it, written when the clock stops; read back by a consumer that looks at each value.
fn embedded(path: &Path, (size, count): (usize, usize)) -> Answer<Rates> {
    let store = Store::open(path)?;
    let topic = store.create_topic("perf", TopicConfig::new())?;
    let producer = store.producer_builder().durability(Durability::Memory).build()?.bind("perf")?;
    let value = letters(size);
    let began = Instant::now();
    for _ in 0..count {
        producer.send(Record::new().value(&value))?;
    }
    // Synced, even: more than the broker does here.
    producer.flush()?;
    let produce = count as f64 / began.elapsed().as_secs_f64();
    let mut consumer = store.consumer_builder().build()?;
    consumer.assign([("perf", 0)])?;
    let (mut seen, mut sum) = (0, 0_u64);
    let began = Instant::now();
    while seen < count {
        let records = consumer.poll(Duration::from_secs(1))?;
        seen += records.len();
        sum +=
            records.iter().filter_map(|record| record.value()).map(|value| value.len() as u64).sum::<u64>();
    }
    let consume = count as f64 / began.elapsed().as_secs_f64();
    if sum != (size * count) as u64 || topic.partition(0)?.end() != count as i64 {
        return Err("not everything came back".into());
    }
    store.close()?;
    Ok(Rates { produce, consume })
}

fn embedded_synced(path: &Path) -> Answer<f64> {
    let store = Store::open(path)?;
    store.create_topic("perf", TopicConfig::new())?;
    let producer = store.producer_builder().durability(Durability::Disk).build()?.bind("perf")?;
    let value = letters(1_000);
    let began = Instant::now();
    for _ in 0..SYNCED {
        producer.send(Record::new().value(&value))?;
    }
    let rate = SYNCED as f64 / began.elapsed().as_secs_f64();
    store.close()?;
    Ok(rate)
}

/// From before the send to the poll that has it, one at a time, at `Os`.
fn embedded_latency(path: &Path) -> Answer<String> {
    let store = Store::open(path)?;
    store.create_topic("latency", TopicConfig::new())?;
    let producer = store.producer().bind("latency")?;
    let mut consumer = store.consumer_builder().build()?;
    consumer.assign([("latency", 0)])?;
    let value = letters(100);
    let mut times = Vec::new();
    for _ in 0..5_000 {
        let began = Instant::now();
        producer.send(Record::new().value(&value))?;
        if consumer.poll(Duration::from_secs(10))?.len() != 1 {
            return Err("it did not come".into());
        }
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let average = times.iter().sum::<Duration>() / 5_000;
    store.close()?;
    Ok(format!(
        "average {average:.1?}, 50th {:.1?}, 99th {:.1?}, 99.9th {:.1?}",
        times[2_500], times[4_950], times[4_995]
    ))
}

/// Without pages of files, which the system takes back when it wants to.
fn memory(process: u32) -> Answer<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("RssAnon")).ok_or("no RssAnon")?;
    Ok(line.trim_start_matches("RssAnon:").trim().to_owned())
}

/// What the files of a directory take, as `du`.
fn bytes(path: &Path) -> Answer<String> {
    let said = output(std::process::Command::new("du").arg("-sk").arg(path))?;
    Ok(format!("{} kB", said.split_whitespace().next().unwrap_or_default()))
}
