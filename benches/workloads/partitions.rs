//! P1: a thousand partitions, or as many as `ANNALS_PARTITIONS` says: made, opened, appended to for the first time, closed.

use annals::{Durability, Record, Store, Topic, TopicConfig};
use tempfile::TempDir;

use crate::harness::{Outcome, Row, Sample, Scope, Workload, timed};
use crate::payload::Found;
use crate::scratch::Scratch;

const VALUE: [u8; 100] = [b'x'; 100];

/// How many partitions there are.
fn counted(topics: &[Topic]) -> Found {
    let mut found = Found::default();
    topics.iter().flat_map(Topic::partitions).for_each(|_| found.add(&VALUE));
    found
}

/// A store with one topic of so many partitions, closed.
fn made(scratch: &Scratch, partitions: usize, holds_records: bool) -> Outcome<TempDir> {
    let dir = scratch.fresh()?;
    let store = Store::open(dir.path())?;
    let topic = store.create_topic("many", TopicConfig::new().partitions(u32::try_from(partitions)?))?;
    if holds_records {
        append_to_each(&topic)?;
    }
    store.close()?;
    Ok(dir)
}

fn append_to_each(topic: &Topic) -> Outcome {
    for partition in topic.partitions() {
        partition.append(&[Record::new().value(&VALUE)], Durability::Os)?;
    }
    Ok(())
}

pub(crate) fn many(scope: &Scope) -> Outcome<Workload> {
    let partitions = match std::env::var("ANNALS_PARTITIONS") {
        Ok(number) => number.parse()?,
        Err(_) => scope.records(1000),
    };
    let row = |name: &'static str, run: fn(&Scratch, usize) -> Outcome<Sample>| {
        let scratch = scope.scratch.clone();
        Row::new(name, move || run(&scratch, partitions))
    };
    let rows = vec![
        row("annals, create_topic for each, of one partition", |scratch, partitions| {
            let dir = scratch.fresh()?;
            let store = Store::open(dir.path())?;
            let names: Vec<_> = (0..partitions).map(|number| format!("topic-{number}")).collect();
            let create =
                || names.iter().map(|name| Ok(store.create_topic(name, TopicConfig::new())?)).collect();
            let (topics, elapsed): (Vec<_>, _) = timed(create)?;
            Ok(Sample { elapsed, found: counted(&topics) })
        }),
        row("annals, create_topics, all at once", |scratch, partitions| {
            let dir = scratch.fresh()?;
            let store = Store::open(dir.path())?;
            let names: Vec<_> = (0..partitions).map(|number| format!("topic-{number}")).collect();
            let all = names.iter().map(|name| (name, TopicConfig::new()));
            let (topics, elapsed) = timed(|| Ok(store.create_topics(all)?))?;
            Ok(Sample { elapsed, found: counted(&topics) })
        }),
        row("annals, create_topic, one of all partitions", |scratch, partitions| {
            let dir = scratch.fresh()?;
            let store = Store::open(dir.path())?;
            let config = TopicConfig::new().partitions(u32::try_from(partitions)?);
            let (topic, elapsed) = timed(|| Ok(store.create_topic("many", config.clone())?))?;
            Ok(Sample { elapsed, found: counted(&[topic]) })
        }),
        row("annals, Store::open, nothing in them", |scratch, partitions| {
            let dir = made(scratch, partitions, false)?;
            let (store, elapsed) = timed(|| Ok(Store::open(dir.path())?))?;
            Ok(Sample { elapsed, found: counted(&[store.topic("many")?]) })
        }),
        row("annals, Store::open, a record in each", |scratch, partitions| {
            let dir = made(scratch, partitions, true)?;
            let (store, elapsed) = timed(|| Ok(Store::open(dir.path())?))?;
            Ok(Sample { elapsed, found: counted(&[store.topic("many")?]) })
        }),
        row("annals, the first append to each, Os", |scratch, partitions| {
            let dir = made(scratch, partitions, false)?;
            let store = Store::open(dir.path())?;
            let topic = store.topic("many")?;
            let ((), elapsed) = timed(|| append_to_each(&topic))?;
            Ok(Sample { elapsed, found: counted(&[topic]) })
        }),
        row("annals, Store::close behind that", |scratch, partitions| {
            let dir = made(scratch, partitions, false)?;
            let store = Store::open(dir.path())?;
            let topic = store.topic("many")?;
            append_to_each(&topic)?;
            let ((), elapsed) = timed(|| Ok(store.close()?))?;
            Ok(Sample { elapsed, found: counted(&[topic]) })
        }),
    ];
    let mut expected = Found::default();
    (0..partitions).for_each(|_| expected.add(&VALUE));
    Ok(Workload { title: "partitions, ns for each", expected, rows })
}
