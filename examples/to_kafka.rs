//! Hands topics of a store over to an Apache Kafka broker, with their offsets.
//!
//! `cargo run --release --example to_kafka -- STORE LOGS TOPIC…`, where `LOGS` is the broker's log directory:
//!
//! 1. Create the topics in Kafka, with as many partitions as here and the settings they should have.
//! 2. Shut the broker down cleanly (with several replicas: all brokers).
//! 3. Run this for the log directory of each broker. Whatever records the topics had there are removed.
//! 4. Start the brokers. They rebuild indexes, leader epochs and producer state from the records.
//! 5. Give the groups their offsets, which this prints as a list, `group,topic,partition,offset`:
//!    `kafka-consumer-groups --bootstrap-server … --group readers --reset-offsets --from-file LIST --execute`,
//!    with one `--group` for each; for a single group, the list must not have the first column.
//!
//! Without arguments it makes a small store and the directory of a topic as a broker has it, and shows the handover with them.

#![expect(clippy::disallowed_methods, reason = "the broker's directory is not a store")]

use std::error::Error;
use std::fs;
use std::path::Path;

use annals::{Durability, Record, Store, TopicConfig};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [store, logs, topics @ ..] = words.as_slice() {
        let list = hand_over(Path::new(store), Path::new(logs), topics)?;
        print!("{list}");
        return Ok(());
    }
    let dir = std::env::temp_dir().join(format!("annals-to-kafka-{}", std::process::id()));
    let (ours, logs) = (dir.join("store"), dir.join("logs"));
    let store = Store::open(&ours)?;
    let topic = store.create_topic("orders", TopicConfig::new())?;
    topic.partition(0)?.append(&[Record::new().key("k").value("v")], Durability::Disk)?;
    let mut consumer = store.consumer("readers")?;
    consumer.assign([("orders", 0)])?;
    consumer.commit_offsets([(("orders", 0).into(), 1)])?;
    drop(consumer);
    store.close()?;
    fs::create_dir_all(logs.join("orders-0"))?;
    fs::write(logs.join("orders-0/partition.metadata"), "version: 0\ntopic_id: wE4Wn4Z5R9q1n0vYb1S0Ug")?;
    print!("{}", hand_over(&ours, &logs, &["orders".to_owned()])?);
    for file in fs::read_dir(logs.join("orders-0"))? {
        println!("{}", file?.path().display());
    }
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Puts the records of these topics into the log directory of a broker that is stopped. Returns what their groups committed.
pub fn hand_over(store: &Path, logs: &Path, topics: &[String]) -> Outcome<String> {
    // Opening repairs what a crash left; closing writes everything. Nobody else has the store meanwhile.
    let open = Store::open(store)?;
    let mut places = Vec::new();
    for topic in topics {
        for partition in open.topic(topic)?.partitions() {
            let (start, end) = (partition.start(), partition.end());
            places.push(Place { topic, number: partition.number(), start, end });
        }
    }
    let mut list = String::new();
    for group in open.groups() {
        for (place, committed) in open.committed(&group) {
            if topics.iter().any(|topic| topic == place.topic()) {
                list += &format!("{group},{},{},{}\n", place.topic(), place.partition(), committed.offset);
            }
        }
    }
    open.close()?;

    for place in &places {
        let metadata = logs.join(place.directory()).join("partition.metadata");
        if !metadata.exists() {
            return Err(
                format!("{} is not there: create the topic in Kafka first", metadata.display()).into()
            );
        }
    }
    // Only a broker that believes that it crashed examines what it finds.
    remove_if_there(&logs.join(".kafka_cleanshutdown"))?;
    rewrite_checkpoints(logs, &places)?;
    for place in &places {
        replace(&store.join(place.directory()), &logs.join(place.directory()), place.start)?;
    }
    fs::File::open(logs)?.sync_all()?;
    Ok(list)
}

/// A partition and where its records begin and end.
struct Place<'a> {
    topic: &'a str,
    number: u32,
    start: i64,
    end: i64,
}

impl Place<'_> {
    fn directory(&self) -> String {
        format!("{}-{}", self.topic, self.number)
    }
}

fn remove_if_there(file: &Path) -> Outcome {
    if file.exists() {
        fs::remove_file(file)?;
    }
    Ok(())
}

/// Only `.log` files are copied, and only `partition.metadata` stays: Kafka makes everything else from the records.
fn replace(from: &Path, to: &Path, start: i64) -> Outcome {
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        if entry.file_name() != "partition.metadata" {
            fs::remove_file(entry.path())?;
        }
    }
    let mut bases = Vec::new();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(base) = name.strip_suffix(".log") {
            bases.push(base.parse::<i64>()?);
            fs::copy(entry.path(), to.join(&name))?;
            fs::File::open(to.join(&name))?.sync_all()?;
        }
    }
    // Compaction removed the whole first segment. A broker begins where its first file does.
    if bases.iter().all(|base| *base > start) {
        fs::File::create(to.join(format!("{start:020}.log")))?.sync_all()?;
    }
    fs::File::open(to)?.sync_all()?;
    Ok(())
}

/// Takes these partitions out of the broker's checkpoints, except for where their records begin and that all of them are in all
/// replicas. A checkpoint is a version, a count, then one line `topic partition offset` for each partition.
fn rewrite_checkpoints(logs: &Path, places: &[Place<'_>]) -> Outcome {
    for kind in ["recovery-point-offset", "cleaner-offset", "log-start-offset", "replication-offset"] {
        let path = logs.join(format!("{kind}-checkpoint"));
        let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
        let is_another = |line: &&str| {
            let mut words = line.split(' ');
            let (topic, number) = (words.next(), words.next().and_then(|word| word.parse().ok()));
            places.iter().all(|place| (Some(place.topic), Some(place.number)) != (topic, number))
        };
        let mut lines: Vec<String> = text.lines().skip(2).filter(is_another).map(str::to_owned).collect();
        for place in places {
            match kind {
                "log-start-offset" => lines.push(format!("{} {} {}", place.topic, place.number, place.start)),
                "replication-offset" => lines.push(format!("{} {} {}", place.topic, place.number, place.end)),
                _ => {}
            }
        }
        let mut text = format!("0\n{}\n", lines.len());
        lines.iter().for_each(|line| text.extend([line.as_str(), "\n"]));
        fs::write(&path, text)?;
        fs::File::open(&path)?.sync_all()?;
    }
    Ok(())
}
