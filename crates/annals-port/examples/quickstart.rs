//! The main job, as in the library's `quickstart`, in the verbs of a client: a week of earthquakes goes into a keyed topic, a group of two
//! threads reads it, and after a restart the group goes on where it had committed.
//!
//! `cargo run -p annals-port --example quickstart` uses a temporary directory; `-- DIR` puts the store in DIR. This very file runs on a
//! cluster too: `cargo run --example ported -- quickstart 127.0.0.1:9092` in `crates/annals-mirror`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use annals::{Codec, Offset, Record, TopicConfig};
use annals_port::{Backend, Consume, Embedded, ErrorKind, Produce, Result};

const EVENTS: &str = include_str!("../../../examples/data/earthquakes.tsv");
const TOPIC: &str = "earthquakes";
const GROUP: &str = "dashboard";
/// Polls of half a second without a record before it is given up.
const IDLE: u32 = 240;

type Outcome<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let dir = std::env::args_os().nth(1).map_or_else(|| temporary.path().join("store"), PathBuf::from);
    run(|| Embedded::open(&dir))
}

/// One line of the input.
struct Event {
    network: &'static str,
    happened: i64,
    json: &'static str,
}

fn parse(line: &'static str) -> Outcome<Event> {
    let mut fields = line.splitn(3, '\t');
    let (Some(network), Some(happened), Some(json)) = (fields.next(), fields.next(), fields.next()) else {
        return Err(format!("not an event: {line:?}").into());
    };
    Ok(Event { network, happened: happened.parse()?, json })
}

/// Both lives of the program. It knows nothing of what stands behind it.
pub(crate) fn run<B: Backend + Sync>(open: impl Fn() -> Result<B>) -> Outcome
where
    B::Consumer: Send,
{
    let events = EVENTS.lines().map(parse).collect::<Outcome<Vec<_>>>()?;
    // The last hundred events come after the restart.
    let (before, after) = events.split_at(events.len() - 100);
    let read = Read::default();
    {
        let kafka = open()?;
        let config = TopicConfig::new().partitions(4).compression_type(Codec::Zstd);
        match kafka.create_topic(TOPIC, config) {
            Err(error) if error.kind() == ErrorKind::TopicExists => {}
            other => other?,
        }
        send(&kafka, before)?;
        println!("Sent {} events to {} partitions.", before.len(), kafka.partition_count(TOPIC)?);
        consume_with_two_members(&kafka, &read, before.len())?;
        println!("Two members of group {GROUP:?} read {}.", read.count());
    }
    let kafka = open()?;
    send(&kafka, after)?;
    let mut dashboard = kafka.consumer(GROUP)?;
    dashboard.subscribe(&[TOPIC])?;
    let handed_out = consume(&mut dashboard, &read, events.len())?;
    dashboard.close()?;
    println!("The group went on where it had committed: {handed_out} records read, of {} sent.", after.len());
    let networks = read.networks();
    println!("By network: {networks:?}");
    let mut expected = BTreeMap::<_, usize>::new();
    for event in &events {
        *expected.entry(event.network.to_owned()).or_default() += 1;
    }
    let is_right = handed_out == after.len() && networks == expected;
    if is_right { Ok(()) } else { Err("a record was lost, or read twice after a commit".into()) }
}

/// Everything is there when this returns.
fn send(kafka: &impl Backend, events: &[Event]) -> Outcome {
    let mut producer = kafka.producer()?;
    for event in events {
        let record = Record::to(TOPIC).key(event.network).value(event.json);
        producer.send(record.timestamp(event.happened))?;
    }
    producer.flush()?;
    Ok(())
}

/// What members have read and committed.
#[derive(Debug, Default)]
struct Read(Mutex<BTreeSet<(String, u32, Offset)>>);

impl Read {
    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn networks(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::<_, usize>::new();
        for (network, _, _) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            *counts.entry(network.clone()).or_default() += 1;
        }
        counts
    }
}

fn consume_with_two_members<B: Backend + Sync>(kafka: &B, read: &Read, until: usize) -> Outcome
where
    B::Consumer: Send,
{
    // Both join before either reads.
    let mut members = Vec::new();
    for _ in 0..2 {
        let mut member = kafka.consumer(GROUP)?;
        member.subscribe(&[TOPIC])?;
        members.push(member);
    }
    thread::scope(|scope| {
        let readers: Vec<_> = members
            .into_iter()
            .map(|mut member| {
                scope.spawn(move || -> Outcome {
                    consume(&mut member, read, until)?;
                    Ok(member.close()?)
                })
            })
            .collect();
        readers.into_iter().try_for_each(|reader| reader.join().map_err(|_| "a member panicked")?)
    })
}

/// Reads and commits until so many were read by all members. Returns how many this one was handed.
fn consume(member: &mut impl Consume, read: &Read, until: usize) -> Outcome<usize> {
    let (mut handed_out, mut idle) = (0, 0);
    while read.count() < until {
        let records = member.poll(Duration::from_millis(500))?;
        idle = if records.is_empty() { idle + 1 } else { 0 };
        if idle > IDLE {
            return Err(format!("only {} of {until} records came", read.count()).into());
        }
        match member.commit() {
            // The group has given partitions to another member meanwhile, who reads these records again.
            Err(error) if error.kind() == ErrorKind::NotAssigned => continue,
            other => other?,
        }
        handed_out += records.len();
        let mut all = read.0.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let network = String::from_utf8(record.key.unwrap_or_default())?;
            all.insert((network, record.partition, record.offset));
        }
    }
    Ok(handed_out)
}
