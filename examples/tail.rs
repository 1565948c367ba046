//! Follows a topic from its end, like `tail -f`: it sleeps while there is nothing, and wakes with each record.
//!
//! A store has one owner process, so here the reader that follows a topic runs alongside the writer, as another thread.
//! `cargo run --release --example tail` follows a thread that sends twenty lines. `-- DIR TOPIC` shows the last records of
//! a topic in the store at DIR and then follows what you type: each line is sent, and the end of the input ends the program.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use annals::{Consumer, Record, Records, Store, Topic, TopicConfig, TopicPartition};

/// How many existing records per partition are shown before new ones.
const LAST: i64 = 10;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;
type Lines = Box<dyn Iterator<Item = io::Result<String>>>;

fn main() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let mut arguments = std::env::args_os().skip(1);
    let (dir, name, lines) = match (arguments.next(), arguments.next()) {
        (None, _) => (temporary.path().join("store"), "news".to_owned(), slow_lines()),
        (Some(dir), Some(topic)) => {
            let topic = topic.into_string().map_err(|_| "a topic's name is ASCII")?;
            (PathBuf::from(dir), topic, Box::new(io::stdin().lines()) as Lines)
        }
        (Some(_), None) => return Err("usage: tail [DIR TOPIC]".into()),
    };
    let store = Store::open(dir)?;
    let topic = store.ensure_topic(&name, TopicConfig::new())?;
    // The consumer is at the end before anything is sent, so nothing is missed.
    let tail = at_the_end(&store, &topic)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let follower = scope.spawn(|| follow(tail, &over));
        let sent = send(&store, &name, lines);
        over.store(true, Ordering::Release);
        follower.join().map_err(|_| "the follower panicked")??;
        sent
    })?;
    store.close()?;
    Ok(())
}

/// Twenty lines, one every 20 ms.
fn slow_lines() -> Lines {
    Box::new((1..=20).map(|number| {
        thread::sleep(Duration::from_millis(20));
        Ok(format!("line {number}"))
    }))
}

fn send(store: &Store, topic: &str, lines: Lines) -> Outcome {
    let producer = store.producer().bind(topic)?;
    for line in lines {
        producer.send(Record::new().value(&line?))?;
    }
    Ok(())
}

/// A consumer without a group: it reads all partitions, whatever others read, and commits nothing.
fn at_the_end(store: &Store, topic: &Topic) -> Outcome<Consumer> {
    let mut tail = store.consumer_builder().build()?;
    let partitions = topic.partitions();
    tail.assign(partitions.iter().map(|partition| partition.topic_partition().clone()))?;
    for partition in &partitions {
        // Offsets may have gaps, so this is at most that many records.
        let from = (partition.end() - LAST).max(partition.start());
        tail.seek(TopicPartition::clone(partition.topic_partition()), from)?;
    }
    Ok(tail)
}

fn follow(mut tail: Consumer, over: &AtomicBool) -> Outcome {
    loop {
        // Checked before the poll, so that the poll finds everything that was sent before the sender stopped.
        let is_over = over.load(Ordering::Acquire);
        let records = tail.poll(Duration::from_millis(100))?;
        print(&records);
        if is_over && records.is_empty() {
            return Ok(());
        }
    }
}

fn print(records: &Records) {
    for record in records {
        let text = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => bytes.escape_ascii().to_string(),
            None => "-".to_owned(),
        };
        let place = record.topic_partition();
        println!("{place}@{} {} {}", record.offset(), text(record.key()), text(record.value()));
    }
}
