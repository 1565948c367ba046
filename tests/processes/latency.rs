//! How long a record takes from one process to another.

use std::io::{BufRead, Read, Write};
use std::thread;
use std::time::Duration;

use annals::{Record, StoreReader};

use crate::common::fast_dir;
use crate::pair::{STEPS, child, of_child, open, say, wait_for};

fn nanos() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct it is given.
    #[expect(unsafe_code, reason = "the clock that two processes have in common")]
    let code = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    assert_eq!(code, 0);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

fn show_latencies(what: &str, mut all: Vec<u64>) {
    all.sort_unstable();
    let at = |part: f64| all[((all.len() - 1) as f64 * part) as usize] as f64 / 1000.0;
    println!(
        "{what:>12}: p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, of {}",
        at(0.5),
        at(0.99),
        at(0.999),
        all.len()
    );
}

#[test]
fn measures_how_long_records_and_bytes_take() {
    let Some((dir, _)) = of_child() else { return };
    let reader = StoreReader::attach(&dir).unwrap();
    let mut consumer = reader.consumer_builder().build().unwrap();
    consumer.assign([(STEPS, 0)]).unwrap();
    consumer.poll(Duration::ZERO).unwrap();
    say("started");
    let mut took = Vec::new();
    while took.len() < 2000 {
        for record in &consumer.poll(Duration::from_secs(10)).unwrap() {
            let sent: u64 = std::str::from_utf8(record.value().unwrap()).unwrap().parse().unwrap();
            took.push(nanos() - sent);
        }
    }
    show_latencies("annals", took);
    say("pipe");
    let (mut took, mut bytes) = (Vec::new(), [0; 8]);
    while took.len() < 2000 {
        std::io::stdin().read_exact(&mut bytes).unwrap();
        took.push(nanos() - u64::from_be_bytes(bytes));
    }
    show_latencies("pipe", took);
}

/// From `send` in one process to the record in another, beside a pipe: figures, and no limits.
#[test]
#[ignore = "prints figures"]
fn latency_from_send_in_one_process_to_poll_in_another() {
    let dir = fast_dir();
    let store = open(dir.path());
    let mut reader = child("latency::measures_how_long_records_and_bytes_take", dir.path(), 0);
    let mut lines = wait_for(&mut reader, "started");
    let producer = store.producer();
    for _ in 0..2000 {
        producer.send(Record::to(STEPS).partition(0).value(&nanos().to_string())).unwrap();
        thread::sleep(Duration::from_micros(500));
    }
    let (mut line, mut input) = (String::new(), reader.stdin.take().unwrap());
    while lines.read_line(&mut line).unwrap() > 0 && !line.ends_with("pipe\n") {}
    for _ in 0..2000 {
        input.write_all(&nanos().to_be_bytes()).unwrap();
        thread::sleep(Duration::from_micros(500));
    }
    lines.read_to_string(&mut line).unwrap();
    line.lines().filter(|line| line.contains("p99")).for_each(|line| println!("{line}"));
    assert!(reader.wait().unwrap().success());
}
