//! Everything is killed, again and again, and afterwards both sides hold the same.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use annals::{Durability, Store, TopicConfig};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::broker::{Broker, Running, mirror, run};
use crate::content::{Content, assert_equal};
use crate::random::{Random, number};

const PARTITIONS: u32 = 3;
/// The directory of the store that a child writes to.
const CHILD: &str = "ANNALS_MIRROR_CHILD";

/// How a campaign goes.
struct Campaign {
    records: u64,
    kills: Kills,
    random: Random,
}

/// How many are still to come.
struct Kills {
    mirror: u64,
    broker: u64,
    store: u64,
}

/// Whose turn it is.
enum Killed {
    Mirror,
    Broker,
    Store,
}

impl Kills {
    /// Of all, three fifths, one fifth and one fifth, where no number says otherwise.
    fn new() -> Self {
        let all = number("ANNALS_MIRROR_KILLS", 20);
        Self {
            mirror: number("ANNALS_MIRROR_KILLS_OF_MIRROR", all - all / 5 * 2),
            broker: number("ANNALS_MIRROR_KILLS_OF_BROKER", all / 5),
            store: number("ANNALS_MIRROR_KILLS_OF_STORE", all / 5),
        }
    }

    /// One of those that are left, at random.
    fn next(&mut self, random: &mut Random) -> Option<Killed> {
        let left = self.mirror + self.broker + self.store;
        if left == 0 {
            return None;
        }
        let (count, killed) = match random.below(left) {
            at if at < self.mirror => (&mut self.mirror, Killed::Mirror),
            at if at < self.mirror + self.broker => (&mut self.broker, Killed::Broker),
            _ => (&mut self.store, Killed::Store),
        };
        *count -= 1;
        Some(killed)
    }
}

impl Campaign {
    fn new(salt: u64) -> Self {
        let seed = number("ANNALS_MIRROR_SEED", 1);
        Self {
            records: number("ANNALS_MIRROR_RECORDS", 20_000),
            kills: Kills::new(),
            random: Random::new(seed * 1000 + salt),
        }
    }

    /// So many records at a time take about as long as the kills do.
    fn batch(&self) -> u64 {
        (self.records / 400).max(1)
    }
}

/// No test: what a child of the test below does. It writes until all records are there, from where the last one was killed.
#[test]
fn child_that_writes() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let campaign = Campaign::new(0);
    let store = Store::open(dir).unwrap();
    let topic = store
        .ensure_topic("orders", TopicConfig::new().partitions(PARTITIONS).segment_bytes(1 << 20))
        .unwrap();
    let producer = store.producer_builder().durability(Durability::Os).build().unwrap();
    let mut there: u64 = 0;
    for partition in topic.partitions() {
        let mut reader = partition.read(..).unwrap();
        loop {
            let records = reader.fetch().unwrap();
            if records.is_empty() {
                break;
            }
            there += records.len() as u64;
        }
    }
    while there < campaign.records {
        let contents: Vec<_> = (there..there + campaign.batch()).map(Content::of).collect();
        let place = |content: usize| u32::try_from((there + content as u64) % u64::from(PARTITIONS)).unwrap();
        let records: Vec<_> =
            contents.iter().enumerate().map(|(number, one)| one.to_record("orders", place(number))).collect();
        match there / campaign.batch() % 4 {
            0 | 1 => records.into_iter().for_each(|record| _ = producer.send(record).unwrap()),
            2 => {
                let mut transaction = store.transaction_builder("write").buffer_bytes(1000).begin().unwrap();
                transaction.send_batch(&records).unwrap();
                transaction.commit().unwrap();
            }
            _ => {
                let mut transaction = store.transaction_builder("write").buffer_bytes(0).begin().unwrap();
                transaction.send_batch(&records).unwrap();
                transaction.abort().unwrap();
                records.into_iter().for_each(|record| _ = producer.send(record).unwrap());
            }
        }
        there += campaign.batch();
        sleep(Duration::from_millis(100));
    }
    store.close().unwrap();
}

fn writer(dir: &Path) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kills::child_that_writes", "--nocapture"]).env(CHILD, dir);
    Running::spawn(command)
}

#[test]
fn out_brings_each_record_once_whatever_is_killed() {
    let Some(mut broker) = Broker::start() else { return };
    let mut campaign = Campaign::new(1);
    let (servers, dir) = (broker.servers(), broker.dir.path().join("store"));
    let began = Instant::now();
    let mut writing = writer(&dir);
    while !dir.join("orders-2").exists() {
        sleep(Duration::from_millis(100));
    }
    sleep(Duration::from_millis(500));
    let spawn = || Running::spawn(mirror("out", &dir, &servers, &["--topic", "orders", "--quiet"]));
    let mut mirroring = spawn();
    let (mut of_mirror, mut of_broker, mut of_writer) = (0, 0, 0);
    while let Some(killed) = campaign.kills.next(&mut campaign.random) {
        sleep(Duration::from_millis(100 + campaign.random.below(2000)));
        match killed {
            Killed::Mirror => {
                mirroring.kill();
                of_mirror += 1;
                mirroring = spawn();
            }
            Killed::Broker => {
                broker.cluster.kill().unwrap();
                of_broker += 1;
                broker.cluster.start().unwrap();
            }
            Killed::Store => {
                if writing.has_ended().is_none() {
                    writing.kill();
                    of_writer += 1;
                }
                writing = writer(&dir);
            }
        }
        if let Some(status) = mirroring.has_ended() {
            panic!("the mirror ended by itself: {status}");
        }
    }
    assert!(writing.wait().success());
    mirroring.kill();
    run(mirror("out", &dir, &servers, &["--topic", "orders", "--once"]));
    let store = Store::open(&dir).unwrap();
    let count = assert_equal(&store, &servers, "orders", PARTITIONS);
    assert_eq!(count as u64, campaign.records);
    eprintln!(
        "out: {count} records, killed: mirror {of_mirror}, broker {of_broker}, store {of_writer}; no difference, {:.0?}",
        began.elapsed()
    );
}

/// Produces at random: alone, in transactions that are committed, in others that are aborted. What came of it the cluster knows.
fn produce(servers: &str, campaign: &Campaign, is_over: &AtomicBool) {
    let mut number = 0;
    while number < campaign.records && !is_over.load(Ordering::Relaxed) {
        if let Err(error) = produce_some(servers, campaign, &mut number) {
            eprintln!("a producer begins again after {error}");
        }
    }
}

fn send(producer: &BaseProducer, numbers: std::ops::Range<u64>) -> Result<(), KafkaError> {
    for number in numbers {
        let content = Content::of(number);
        let mut headers = OwnedHeaders::new();
        for (key, value) in &content.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        let partition = i32::try_from(number % u64::from(PARTITIONS)).unwrap();
        let mut record = BaseRecord::<[u8], [u8]>::to("orders").partition(partition);
        record = record.timestamp(content.timestamp).headers(headers);
        record.key = content.key.as_deref();
        record.payload = content.value.as_deref();
        while let Err((error, back)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
                return Err(error);
            }
            producer.poll(Duration::from_millis(20));
            record = back;
        }
    }
    Ok(())
}

fn produce_some(servers: &str, campaign: &Campaign, number: &mut u64) -> Result<(), KafkaError> {
    let wait = Duration::from_secs(60);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers).set("enable.idempotence", "true");
    config.set("reconnect.backoff.max.ms", "1000");
    let plain: BaseProducer = config.create()?;
    let transactional: BaseProducer = config.set("transactional.id", "tests").create()?;
    transactional.init_transactions(wait)?;
    while *number < campaign.records {
        let kind = *number / campaign.batch() % 4;
        let numbers = *number..*number + campaign.batch();
        *number = numbers.end;
        if kind < 2 {
            send(&plain, numbers)?;
            plain.flush(wait)?;
        } else {
            transactional.begin_transaction()?;
            send(&transactional, numbers)?;
            transactional.flush(wait)?;
            if kind == 2 {
                transactional.commit_transaction(wait)?;
            } else {
                transactional.abort_transaction(wait)?;
            }
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[test]
fn in_brings_each_record_once_whatever_is_killed() {
    let Some(mut broker) = Broker::start() else { return };
    let mut campaign = Campaign::new(2);
    let (servers, dir) = (broker.servers(), broker.dir.path().join("store"));
    let began = Instant::now();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    let topic = NewTopic::new("orders", i32::try_from(PARTITIONS).unwrap(), TopicReplication::Fixed(1));
    let made = futures_executor::block_on(admin.create_topics([&topic], &AdminOptions::new())).unwrap();
    made.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    let is_over = AtomicBool::new(false);
    let (mut of_mirror, mut of_broker) = (0, 0);
    std::thread::scope(|scope| {
        let sizes = Campaign::new(2);
        let (addresses, is_over) = (servers.clone(), &is_over);
        let producing = scope.spawn(move || produce(&addresses, &sizes, is_over));
        let words = ["--topic", "orders", "--quiet", "--step-records", "1000"];
        let spawn = || Running::spawn(mirror("in", &dir, &servers, &words));
        let mut mirroring = spawn();
        while let Some(killed) = campaign.kills.next(&mut campaign.random) {
            sleep(Duration::from_millis(100 + campaign.random.below(2000)));
            match killed {
                // The store is in the mirror's process.
                Killed::Mirror | Killed::Store => {
                    mirroring.kill();
                    of_mirror += 1;
                    mirroring = spawn();
                }
                Killed::Broker => {
                    broker.cluster.kill().unwrap();
                    of_broker += 1;
                    broker.cluster.start().unwrap();
                }
            }
            if let Some(status) = mirroring.has_ended() {
                is_over.store(true, Ordering::Relaxed);
                panic!("the mirror ended by itself: {status}");
            }
        }
        producing.join().unwrap();
        mirroring.kill();
    });
    run(mirror("in", &dir, &servers, &["--topic", "orders", "--once"]));
    let store = Store::open(&dir).unwrap();
    let count = assert_equal(&store, &servers, "orders", PARTITIONS);
    assert!(count as u64 >= campaign.records / 4, "{count}");
    eprintln!(
        "in: {count} records, killed: mirror with its store {of_mirror}, broker {of_broker}; no difference, {:.0?}",
        began.elapsed()
    );
}
