//! A second process that follows a store that another process writes, and works on its records as a group.
//!
//! `cargo run --release --example follow` starts itself again as the owner, which sends twenty orders, and follows the owner until it
//! ends. `-- DIR TOPIC [GROUP]` follows a topic of the store at DIR, whoever has it open: it shows records as they are written,
//! continues when the owner ends and another begins, and ends with Ctrl-C. With GROUP it commits, and begins where it last ended.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

use annals::{Consumer, Record, Records, Store, StoreReader, TopicConfig, TopicPartition};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Set in the process that is started as the owner of that directory.
const OWNER_OF: &str = "ANNALS_EXAMPLE_OWNER_OF";
const ORDERS: u32 = 20;

fn main() -> Outcome {
    if let Some(dir) = std::env::var_os(OWNER_OF) {
        return own(Path::new(&dir));
    }
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (None, _) => demonstrate(),
        (Some(dir), Some(topic)) => {
            let shop = StoreReader::attach(PathBuf::from(dir))?;
            let mut consumer = consumer(&shop, &topic, arguments.next())?;
            loop {
                show(&consumer.poll(Duration::MAX)?);
                commit(&mut consumer)?;
            }
        }
        (Some(_), None) => Err("usage: follow [DIR TOPIC [GROUP]]".into()),
    }
}

/// The owner: the only process that writes.
fn own(dir: &Path) -> Outcome {
    let store = Store::open(dir)?;
    let producer = store.producer().bind("orders")?;
    for number in 0..ORDERS {
        producer.send(Record::new().key("alice").value(&format!("order {number}")))?;
        thread::sleep(Duration::from_millis(20));
    }
    // What the other process has committed meanwhile has been taken over by the store.
    println!(
        "owner: billing is at {:?}",
        store.committed("billing").values().map(|at| at.offset).sum::<i64>()
    );
    store.close()?;
    Ok(())
}

fn demonstrate() -> Outcome {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    store.create_topic("orders", TopicConfig::new().partitions(2))?;
    store.close()?;
    // A store can also be read between two owners.
    let shop = StoreReader::attach(dir.path())?;
    let mut billing = consumer(&shop, "orders", Some("billing".to_owned()))?;
    let mut owner = start_owner(dir.path())?;
    let mut seen = 0;
    while seen < ORDERS {
        let records = billing.poll(Duration::from_secs(10))?;
        if records.is_empty() {
            return Err("the owner sends nothing".into());
        }
        seen += u32::try_from(records.len())?;
        show(&records);
        billing.commit()?;
    }
    let status = owner.wait()?;
    println!(
        "follower: {seen} orders of process {}, which ended with {status}; lag {}",
        owner.id(),
        shop.lag("billing").lag()
    );
    Ok(())
}

fn start_owner(dir: &Path) -> Outcome<Child> {
    Ok(Command::new(std::env::current_exe()?).env(OWNER_OF, dir).spawn()?)
}

/// A member of the group, or a reader of all partitions from their beginnings.
fn consumer(shop: &StoreReader, topic: &str, group: Option<String>) -> Outcome<Consumer> {
    let builder = shop.consumer_builder();
    match group {
        Some(group) => {
            let mut member = builder.group(group).build()?;
            member.subscribe([topic])?;
            Ok(member)
        }
        None => {
            let partitions = shop.topic(topic)?.partitions();
            let places: Vec<TopicPartition> =
                partitions.iter().map(|partition| partition.topic_partition().clone()).collect();
            let mut reader = builder.build()?;
            reader.assign(places)?;
            Ok(reader)
        }
    }
}

fn show(records: &Records) {
    for record in records {
        let value = String::from_utf8_lossy(record.value().unwrap_or_default());
        println!("{}-{}@{} {value}", record.topic(), record.partition(), record.offset());
    }
}

/// Commits, unless the consumer has no group: then nothing is committed.
fn commit(consumer: &mut Consumer) -> Outcome {
    match consumer.commit() {
        Err(annals::Error::InvalidConfig { .. }) => Ok(()),
        committed => Ok(committed?),
    }
}
