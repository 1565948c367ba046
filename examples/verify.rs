//! Checks a store that is not open anywhere: every batch, every checksum, every record, and what the state files say about
//! them. It prints one line for each place that is not as it was written, and changes nothing.
//!
//! `cargo run --release --example verify -- DIR`; without DIR it makes a store, damages it, and shows what is found.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use annals::{Record, Store, TopicConfig};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    match std::env::args_os().nth(1).map(PathBuf::from) {
        Some(dir) => Ok(if verify(&dir)? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        None => show().map(|()| ExitCode::SUCCESS),
    }
}

/// True when everything is as it was written.
fn verify(dir: &Path) -> Outcome<bool> {
    let mut told = 0;
    let found = Store::builder(dir).verify(|so_far| {
        if so_far.bytes - told >= 1 << 30 {
            told = so_far.bytes;
            eprintln!("{} MiB checked", told >> 20);
        }
        ControlFlow::Continue(())
    })?;
    println!(
        "{} partitions, {} segments, {} batches, {} records, {} bytes",
        found.partitions, found.segments, found.batches, found.records, found.bytes
    );
    for damage in &found.findings {
        let offset = damage.offset.map(|offset| format!(", offset {offset}")).unwrap_or_default();
        println!("damage: {} at byte {}{offset}: {}", damage.path.display(), damage.position, damage.reason);
    }
    for torn in &found.torn {
        println!("torn tail: {} bytes of {} from byte {}", torn.bytes, torn.path.display(), torn.position);
    }
    for index in &found.stale_indexes {
        println!("indexes to be rebuilt: {}", index.display());
    }
    println!("{}", if found.is_sound() { "sound" } else { "damaged" });
    Ok(found.is_sound())
}

#[expect(clippy::disallowed_methods, reason = "the example damages a file of its own")]
fn show() -> Outcome {
    let temporary = tempfile::tempdir()?;
    let dir = temporary.path().join("store");
    let store = Store::open(&dir)?;
    store.create_topic("orders", TopicConfig::new().segment_bytes(1000))?;
    for number in 0..40 {
        store.producer().send(Record::to("orders").value(&format!("{number} apples")))?;
    }
    store.close()?;
    verify(&dir)?;

    println!("\nOne bit of one record changes on the disk:");
    let log = dir.join("orders-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log)?;
    if let Some(byte) = bytes.get_mut(300) {
        *byte ^= 1;
    }
    std::fs::write(&log, bytes)?;
    verify(&dir)?;
    Ok(())
}
