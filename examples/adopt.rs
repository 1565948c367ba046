//! Makes a topic from the directories of a log that was written elsewhere: by a Kafka broker that is stopped, or by annals.
//!
//! `cargo run --release --example adopt -- STORE TOPIC LOGS/orders-0 LOGS/orders-1 …` takes one directory for each partition, in
//! order. Where a partition starts is read from the broker's `log-start-offset-checkpoint` next to the directory, if there is one.
//! Without arguments it adopts a copy of a small store of its own.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use annals::{LogSource, Offset, Record, Store, TopicConfig, TopicPartition};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [] => show()?,
        [store, topic, directories @ ..] if !directories.is_empty() => {
            let directories: Vec<_> = directories.iter().map(PathBuf::from).collect();
            adopt(Path::new(store), &topic.to_string_lossy(), &directories)?;
        }
        _ => {
            eprintln!("usage: adopt STORE TOPIC DIRECTORY…");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn adopt(store: &Path, topic: &str, directories: &[PathBuf]) -> Outcome {
    let store = Store::open(store)?;
    let source = |directory: &PathBuf| match kafka_start(directory) {
        Some(start) => LogSource::new(directory).start(start).reflinked(),
        None => LogSource::new(directory).reflinked(),
    };
    let adopted = store.adopt_topic(topic, TopicConfig::new(), directories.iter().map(source))?;
    for partition in &adopted.partitions {
        println!(
            "{}: offsets {} to {}, {} records, {} bytes in {} segments",
            partition.source.display(),
            partition.start,
            partition.end,
            partition.records,
            partition.bytes,
            partition.segments
        );
        if let Some(torn) = &partition.torn {
            println!("  left out: {torn}");
        }
    }
    store.close()?;
    Ok(())
}

/// What a broker writes next to the directories of its partitions: lines of topic, partition and offset, after two other lines.
pub fn kafka_start(directory: &Path) -> Option<Offset> {
    let text = fs::read_to_string(directory.parent()?.join("log-start-offset-checkpoint")).ok()?;
    let (topic, partition) = directory.file_name()?.to_str()?.rsplit_once('-')?;
    let begin = format!("{topic} {partition} ");
    text.lines().find_map(|line| line.strip_prefix(&begin))?.trim().parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "the example moves files of its own")]
fn show() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let origin = Store::open(temporary.path().join("origin"))?;
    origin.create_topic("orders", TopicConfig::new().partitions(2))?;
    for number in 0..40 {
        origin.producer().send(Record::to("orders").key(&[number]).value("apples"))?;
    }
    origin.close()?;
    let directories = ["orders-0", "orders-1"].map(|name| temporary.path().join(name));
    for directory in &directories {
        let name = directory.file_name().unwrap_or_default();
        fs::rename(temporary.path().join("origin").join(name), directory)?;
    }
    let store = temporary.path().join("store");
    adopt(&store, "orders", &directories)?;

    // Groups begin where they are told to: what they had committed elsewhere is not taken over.
    let store = Store::open(&store)?;
    let mut consumer = store.consumer("billing")?;
    consumer.assign([("orders", 0), ("orders", 1)])?;
    consumer.commit_offsets([(TopicPartition::new("orders", 0), 3)])?;
    println!("billing goes on at {:?}", consumer.committed(("orders", 0)));
    Ok(())
}
