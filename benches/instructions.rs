//! Instructions per record on the paths that every program takes, counted by valgrind: the same on a busy machine as on a
//! quiet one, so that a change shows which no timing would.
//!
//! ```sh
//! cargo bench --bench instructions              # compares with benches/instructions.txt, fails where one grew by more than 3 %
//! cargo bench --bench instructions -- --accept  # writes that file anew
//! ```
//!
//! Counts belong to one compiler and one set of dependencies: after a change of either they are accepted anew, on their own.
//! With `CARGO_INCREMENTAL=1` a build is cut into more units and counts are up to 6 % higher: it must not be set. Allocations of
//! events read by their key differ from run to run, by 1 %. System calls count as nothing.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a benchmark may stop at what it did not expect"
)]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, ExitCode};

use annals::{Durability, Expected, Record, Store, Topic, TopicConfig};

/// Does something with so many records.
type Run = fn(usize);

/// What is counted, and what it does with so many records.
const PATHS: [(&str, Run); 11] = [
    ("append one, Memory", |records| append_each(records, Durability::Memory)),
    ("append one, Os", |records| append_each(records, Durability::Os)),
    ("append by 100, Memory", |records| append_by_100(records, Durability::Memory)),
    ("append by 100, Os", |records| append_by_100(records, Durability::Os)),
    ("read all", read_all),
    ("read one by offset", read_each),
    ("append with a key", |records| append_keyed(records, false)),
    ("append, key index", |records| append_keyed(records, true)),
    ("append_to, Any", |records| append_guarded(records, |_| Expected::Any)),
    ("append_to, Version", |records| {
        append_guarded(records, |version| version.map_or(Expected::NoStream, Expected::Version));
    }),
    ("an event of a stream of 10", read_streams),
];

/// Records of the short and the long run: the difference is what the records cost, without opening and closing.
const RECORDS: (usize, usize) = (10_000, 30_000);
/// Growth that is told, in per cent.
const TOLERATED: u64 = 3;
const VALUE: [u8; 100] = [b'x'; 100];
/// Keys that are sent to in turn.
const STREAMS: usize = 1_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [mode, path, records] = &arguments[..]
        && mode == "run"
    {
        let (_, run) = PATHS.iter().find(|(name, _)| name == path).unwrap();
        run(records.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let (mut table, mut grew) = (String::new(), false);
    for (name, _) in PATHS {
        let count =
            (instructions(name, RECORDS.1) - instructions(name, RECORDS.0)) / (RECORDS.1 - RECORDS.0) as u64;
        let before = known.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        let is_more = before.is_some_and(|before| count * 100 > before * (100 + TOLERATED));
        grew |= is_more;
        let before = before.map_or_else(|| "-".to_owned(), |before| before.to_string());
        println!(
            "{name:<24} {count:>6} instructions a record, {before:>6} before{}",
            if is_more { "  MORE" } else { "" }
        );
        writeln!(table, "{name:<24} {count}").unwrap();
    }
    if arguments.iter().any(|argument| argument == "--accept") {
        std::fs::write(&file, table).unwrap();
        return ExitCode::SUCCESS;
    }
    ExitCode::from(u8::from(grew))
}

/// Instructions of one run of this program.
fn instructions(path: &str, records: usize) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap());
    let output = valgrind.args(["run", path, &records.to_string()]).output();
    let output =
        output.expect("valgrind is needed: `apt-get install valgrind`, or what your system calls it");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let collected = told.lines().find_map(|line| line.split("Collected : ").nth(1));
    collected.unwrap().trim().parse().unwrap()
}

/// A store with an empty partition that was appended to once.
fn store(dir: &Path) -> Store {
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", TopicConfig::new()).unwrap();
    topic.partition(0).unwrap().append(&[Record::new()], Durability::Os).unwrap();
    store
}

fn append_each(records: usize, durability: Durability) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let producer = store.producer_builder().durability(durability).build().unwrap().bind("events").unwrap();
    for _ in 0..records {
        producer.send(Record::new().value(&VALUE)).unwrap();
    }
    std::mem::forget((store, producer));
}

fn append_by_100(records: usize, durability: Durability) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let producer = store.producer_builder().durability(durability).build().unwrap().bind("events").unwrap();
    let batch = vec![Record::new().value(&VALUE); 100];
    for _ in 0..records / 100 {
        producer.send_batch(&batch).unwrap();
    }
    std::mem::forget((store, producer));
}

fn filled(dir: &Path) -> Store {
    let store = store(dir);
    let batch = vec![Record::new().value(&VALUE); 40];
    let partition = store.topic("events").unwrap().partition(0).unwrap();
    for _ in 0..RECORDS.1 / 40 + 1 {
        partition.append(&batch, Durability::Os).unwrap();
    }
    store
}

fn read_all(records: usize) {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let partition = store.topic("events").unwrap().partition(0).unwrap();
    let last = i64::try_from(records).unwrap();
    let mut reader = partition.read(1..=last).unwrap();
    let mut bytes = 0;
    loop {
        let fetched = reader.fetch().unwrap();
        if fetched.is_empty() {
            break;
        }
        bytes += fetched.iter().map(|record| record.value().unwrap().len()).sum::<usize>();
    }
    assert_eq!(bytes, records * VALUE.len());
    std::mem::forget(store);
}

fn read_each(records: usize) {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path());
    let partition = store.topic("events").unwrap().partition(0).unwrap();
    for number in 0..records {
        let offset = 1 + i64::try_from(number * 7919 % RECORDS.1).unwrap();
        assert_eq!(partition.get(offset).unwrap().unwrap().offset, offset);
    }
    std::mem::forget(store);
}

/// A store with an empty partition, and keys that are appended to in turn.
fn streams(dir: &Path, is_indexed: bool) -> (Store, Topic, Vec<String>) {
    let store = Store::builder(dir).maintain_by_hand().open().unwrap();
    let topic = store.create_topic("events", TopicConfig::new().key_index(is_indexed)).unwrap();
    topic.partition(0).unwrap().append(&[Record::new()], Durability::Os).unwrap();
    let keys = (0..STREAMS).map(|number| format!("order-{number:07}")).collect();
    (store, topic, keys)
}

fn append_keyed(records: usize, is_indexed: bool) {
    let dir = tempfile::tempdir().unwrap();
    let (store, topic, keys) = streams(dir.path(), is_indexed);
    let partition = topic.partition(0).unwrap();
    for key in keys.iter().cycle().take(records) {
        let record = Record::new().key(key).value(&VALUE);
        partition.append(&[record], Durability::Os).unwrap();
    }
    std::mem::forget(store);
}

fn append_guarded(records: usize, expected: fn(Option<i64>) -> Expected) {
    let dir = tempfile::tempdir().unwrap();
    let (store, topic, keys) = streams(dir.path(), true);
    let mut versions = vec![None; STREAMS];
    for _ in 0..records / STREAMS {
        for (key, version) in keys.iter().zip(&mut versions) {
            let events = [Record::new().value(&VALUE)];
            let appended = topic.append_to(key, expected(*version), &events).unwrap();
            *version = Some(appended.last_offset);
        }
    }
    std::mem::forget(store);
}

fn read_streams(records: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (store, topic, keys) = streams(dir.path(), true);
    let partition = topic.partition(0).unwrap();
    for key in keys.iter().cycle().take(STREAMS * 10) {
        partition.append(&[Record::new().key(key).value(&VALUE)], Durability::Os).unwrap();
    }
    for key in keys.iter().cycle().take(records / 10) {
        let records = topic.stream(key).unwrap().read(..).unwrap().fetch().unwrap();
        assert_eq!(
            records.iter().map(|record| record.value().unwrap().len()).sum::<usize>(),
            10 * VALUE.len()
        );
    }
    std::mem::forget(store);
}
