//! What a backup of a large store costs, and what senders notice of it.
//!
//! ```sh
//! ANNALS_BACKUP_MIB=20480 ANNALS_BACKUP_DIR=/mnt/other cargo test --release -p annals-tests --test backup large -- --ignored --nocapture
//! ```
//!
//! `ANNALS_BACKUP_DIR` is where the copies go; by default beside the store.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use annals::backup::BackupReport;
use annals::{Durability, Record, Store, TopicConfig};

#[test]
#[ignore = "writes a gigabyte and more"]
fn figures_of_a_large_store() {
    let mib: u64 = std::env::var("ANNALS_BACKUP_MIB").map_or(1024, |count| count.parse().unwrap());
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let elsewhere =
        std::env::var_os("ANNALS_BACKUP_DIR").map_or_else(|| dir.path().to_path_buf(), PathBuf::from);
    let copies = tempfile::tempdir_in(elsewhere).unwrap();
    let store = Store::open(dir.path().join("live")).unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(8).segment_bytes(64 << 20)).unwrap();
    let bulk = store.producer_builder().durability(Durability::Memory).build().unwrap();
    fill(&store, &bulk, mib);
    let (stop, is_quiet) = (AtomicBool::new(false), AtomicBool::new(true));
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(&store, &stop, &is_quiet));
        std::thread::sleep(Duration::from_secs(2));
        is_quiet.store(false, Ordering::SeqCst);
        let first = copies.path().join("first");
        show("linked where it can be", || store.backup(&first).unwrap());
        let independent = copies.path().join("independent");
        show("independent", || store.backup_builder().independent().run(&independent).unwrap());
        fill(&store, &bulk, mib / 100);
        show("incremental", || {
            store.backup_builder().parent(&independent).run(copies.path().join("next")).unwrap()
        });
        stop.store(true, Ordering::SeqCst);
        let [quiet, beside] = sender.join().unwrap();
        println!("a send at Os without a backup: {quiet}");
        println!("a send at Os beside backups:   {beside}");
    });
}

fn fill(_: &Store, bulk: &annals::Producer, mib: u64) {
    let value = vec![7; 1 << 14];
    for number in 0..mib * 64 {
        bulk.send(Record::to("orders").partition((number % 8) as u32).value(&value)).unwrap();
    }
    bulk.flush().unwrap();
}

fn show(what: &str, make: impl FnOnce() -> BackupReport) {
    let begin = Instant::now();
    let report = make();
    let (segments, bytes, copied) = (report.segments, report.bytes >> 20, report.copied_bytes >> 20);
    println!(
        "{what}: {:?}, {segments} segments of {bytes} MiB, {copied} MiB copied, appends stopped for {:?}",
        begin.elapsed(),
        report.stopped
    );
}

/// Latencies while it was quiet, and after.
fn send(store: &Store, stop: &AtomicBool, is_quiet: &AtomicBool) -> [String; 2] {
    let producer = store.producer();
    let mut latencies = [Vec::new(), Vec::new()];
    for number in 0_u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let begin = Instant::now();
        producer.send(Record::to("orders").partition(number % 8).value("a record of some length")).unwrap();
        latencies[usize::from(!is_quiet.load(Ordering::Relaxed))].push(begin.elapsed());
        std::thread::sleep(Duration::from_micros(100));
    }
    latencies.map(|mut all| {
        all.sort_unstable();
        let at = |part: f64| all[((all.len() - 1) as f64 * part) as usize];
        format!("{} of them, p50 {:?}, p99 {:?}, p99.9 {:?}", all.len(), at(0.5), at(0.99), at(0.999))
    })
}
