//! Repairs a store that is not open anywhere: what cannot be read is copied into a directory and taken out, what can be read
//! stays at its offsets. Prints one line for each place.
//!
//! `cargo run --release --example repair -- DIR COPIES`; without arguments it makes a store, damages it, and repairs that. Check
//! the store first with the example `verify`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use annals::{Offset, Record, Store, TopicConfig};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match arguments.as_slice() {
        [dir, copies] => repair(dir, copies),
        [] => show(),
        _ => {
            eprintln!("usage: repair DIR COPIES");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn repair(dir: &Path, copies: &Path) -> Outcome<ExitCode> {
    let report = Store::builder(dir).repair(copies)?;
    for repair in &report.repairs {
        println!("{} from byte {}: {}", repair.path.display(), repair.position.start, repair.reason);
        match (repair.lost.is_empty(), repair.lost.end) {
            (true, _) => println!("  no record is lost"),
            (false, Offset::MAX) => println!("  lost: offsets from {} on", repair.lost.start),
            (false, end) => println!("  lost: offsets {}..{end}", repair.lost.start),
        }
        if let Some(copy) = &repair.copy {
            println!("  {} bytes are in {}", repair.position.end - repair.position.start, copy.display());
        }
    }
    for index in &report.rebuilt_indexes {
        println!("{}: indexes rebuilt", index.display());
    }
    for refused in &report.refused {
        println!("left as it is: {}: {}", refused.path.display(), refused.reason);
    }
    println!("{} partitions, {} repairs", report.partitions, report.repairs.len());
    Ok(if report.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::disallowed_methods, reason = "the example damages a file of its own")]
fn show() -> Outcome<ExitCode> {
    let temporary = tempfile::tempdir()?;
    let dir = temporary.path().join("store");
    let store = Store::open(&dir)?;
    store.create_topic("orders", TopicConfig::new().segment_bytes(1000))?;
    for number in 0..40 {
        store.producer().send(Record::to("orders").value(&format!("{number} apples")))?;
    }
    store.close()?;

    println!("One bit of one record changes on the disk:");
    let log = dir.join("orders-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log)?;
    if let Some(byte) = bytes.get_mut(300) {
        *byte ^= 1;
    }
    std::fs::write(&log, bytes)?;
    println!("{} findings\n", Store::verify(&dir)?.findings.len());

    let outcome = repair(&dir, &temporary.path().join("taken-out"))?;
    println!("\n{} findings", Store::verify(&dir)?.findings.len());
    let store = Store::open(&dir)?;
    let mut there = Vec::new();
    for record in store.topic("orders")?.partition(0)?.read(..)? {
        there.push(record?.offset);
    }
    println!("{} of 40 records are there: {there:?}", there.len());
    Ok(outcome)
}
