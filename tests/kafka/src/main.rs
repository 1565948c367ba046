//! A real Kafka judges what annals writes, and annals reads what a real Kafka wrote. `README.md` says how it is run.

mod adopt;
#[allow(dead_code)]
#[path = "../../../examples/adopt.rs"]
mod adopt_example;
mod compare;
mod content;
mod files;
mod golden;
#[path = "../../common/high_start.rs"]
mod high_start;
mod judge;
mod queues;
mod random;
mod side_by_side;
mod stores;
mod tally;
// The very steps that the README names.
#[allow(dead_code)]
#[path = "../../../examples/to_kafka.rs"]
mod to_kafka;
mod way_back;

use std::collections::BTreeMap;
use std::path::Path;

use annals_kafka_tests::{Answer, cluster, java};
use java::Java;

fn main() -> Answer<()> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let java = match Java::prepare()? {
        Ok(java) => java,
        Err(reason) => {
            println!("SKIPPED, ALL OF IT: no Java, no Maven, or no way to fetch Kafka: {reason}");
            return Ok(());
        }
    };
    match words.first().map(String::as_str) {
        Some("golden") => golden::make(&java),
        Some("store") => {
            let seed = words.get(1).ok_or("a seed is missing")?.parse()?;
            judged(&compare::one(&java, seed, Path::new(words.get(2).ok_or("a directory is missing")?))?)
        }
        Some("adopt") => {
            let seed = number("ANNALS_KAFKA_SEED", 1)? as u64;
            let stores = number("ANNALS_KAFKA_STORES", 3)?;
            let sizes = std::env::var("ANNALS_KAFKA_BROKERS").unwrap_or_else(|_| "1,3".to_owned());
            for brokers in sizes.split(',') {
                println!("{brokers} brokers, {stores} stores of seed {seed}:");
                judged(&adopt::run(&java, brokers.parse()?, stores, seed)?)?;
            }
            Ok(())
        }
        Some("queues") => {
            let seed = number("ANNALS_KAFKA_SEED", 1)? as u64;
            queues::run(&java, number("ANNALS_KAFKA_STORES", 10)?, seed)
        }
        Some("side-by-side") => side_by_side::run(&java.for_speed()),
        Some("judge") => {
            compare::prove(&java)?;
            let seed = number("ANNALS_KAFKA_SEED", 1)? as u64;
            judged(&compare::run(&java, number("ANNALS_KAFKA_TOPICS", 200)?, seed)?)
        }
        other => Err(format!("what is {other:?}?").into()),
    }
}

fn number(variable: &str, default: usize) -> Answer<usize> {
    match std::env::var(variable) {
        Ok(text) => Ok(text.parse()?),
        Err(_) => Ok(default),
    }
}

fn judged(tally: &tally::Tally) -> Answer<()> {
    // A few of each kind: what differs in numbers alone is of one.
    let mut kinds = BTreeMap::<String, usize>::new();
    for difference in &tally.differences {
        let kind = kinds.entry(difference.replace(|letter: char| letter.is_ascii_digit(), "")).or_default();
        *kind += 1;
        if *kind <= 3 {
            println!("{difference}");
        }
    }
    for (kind, count) in kinds.iter().filter(|(_, count)| **count > 3) {
        println!("{count} times: {kind}");
    }
    let tally::Tally { topics, segments, batches, empty_batches, records, .. } = tally;
    println!(
        "{topics} topics, {segments} segments, {batches} batches ({empty_batches} of them empty), {records} records,"
    );
    let tally::Tally { look_ups, cleanings, commits, meant, differences, .. } = tally;
    println!("{look_ups} times, {cleanings} cleanings, {commits} commits: {} differences", differences.len());
    println!("meant, as the README says: {meant:?}");
    if differences.is_empty() { Ok(()) } else { Err("Kafka and annals differ".into()) }
}
