//! A thousand topics in one store: descriptors, memory and threads stay bounded, whatever is appended to and read.
//!
//! `ANNALS_TOPICS` is the number of topics, 1,000 by default. In a binary of its own, because it counts what the process
//! has open.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and looks at the process from outside"
)]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use annals::{CleanupPolicy, Durability, ReadMode, Record, Store, TopicConfig};

const PARTITIONS: u32 = 4;
/// What the store may keep open; some more are open for moments.
const FILES: usize = 192;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Memory of the process in KiB, mapped files left out.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_topics_stay_within_256_descriptors_and_200_mebibytes() {
    let _alone = crate::alone();
    let topics = std::env::var("ANNALS_TOPICS").map_or(1000, |count| count.parse().unwrap());
    // Syncs cost nothing in memory, and it is not they that are looked at here.
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let before = memory();
    let bounded = |what: &str| {
        let (descriptors, memory) = (descriptors(), memory().saturating_sub(before));
        assert!(descriptors <= 256, "{what}: {descriptors} descriptors");
        assert!(memory <= 200 << 10, "{what}: {memory} KiB");
    };
    let names: Vec<_> = (0..topics).map(|number| format!("topic-{number}")).collect();
    {
        let store = Store::builder(dir.path()).max_open_files(FILES).open().unwrap();
        for name in &names {
            store.create_topic(name, TopicConfig::new().partitions(PARTITIONS)).unwrap();
        }
        bounded("created");
        store.close().unwrap();
    }
    for mode in [ReadMode::Positional, ReadMode::Mapped] {
        let store = Store::builder(dir.path()).max_open_files(FILES).read_mode(mode).open().unwrap();
        bounded("opened");
        let producer = store.producer();
        let mut sent = 0;
        for round in 0..2 {
            for name in &names {
                for partition in 0..PARTITIONS {
                    producer.send(Record::to(name).partition(partition).value("a record")).unwrap();
                    sent += 1;
                }
            }
            bounded(&format!("appended to, round {round}"));
        }
        store.maintain().unwrap();
        bounded("looked after");
        producer.flush().unwrap();
        bounded("flushed");
        let mut read = 0;
        for name in &names {
            let topic = store.topic(name).unwrap();
            for partition in topic.partitions() {
                assert_eq!(partition.durable(), partition.end());
                let from = partition.end() - 2;
                read += partition.read_from(from).unwrap().fetch().unwrap().len();
            }
        }
        assert_eq!(read, sent);
        bounded("read");
        let one = store.topic("topic-7").unwrap().partition(0).unwrap();
        one.append(&[Record::new().value("another")], Durability::Disk).unwrap();
        store.close().unwrap();
        bounded("closed");
    }
}

const FEW: &str = "ANNALS_FEW_DESCRIPTORS";

/// Descriptors of the child, what the program around the store holds of them, and `max_open_files`.
const CASES: [(u64, usize, usize); 4] = [(150, 0, 192), (150, 50, 10_000), (150, 120, 10_000), (64, 30, 192)];

#[test]
fn with_few_descriptors_no_partition_is_poisoned() {
    let _alone = crate::alone();
    for (case, limits) in CASES.iter().enumerate() {
        let mut child = Command::new(std::env::current_exe().expect("this binary"));
        child.args([
            "--exact",
            "many_topics::a_child_with_few_descriptors",
            "--test-threads=1",
            "--nocapture",
        ]);
        let done = child.env(FEW, case.to_string()).stdin(Stdio::null()).output().expect("a child");
        let said =
            String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success(), "{limits:?}: {said}");
    }
}

/// Does nothing unless another test starts it: its limit holds for the whole process.
#[test]
fn a_child_with_few_descriptors() {
    let Ok(case) = std::env::var(FEW) else { return };
    let (limit, held, files) = CASES[case.parse::<usize>().expect("a number")];
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: the call reads `limit`, which outlives it.
    #[expect(unsafe_code, reason = "std does not set limits")]
    let code = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(code, 0);
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let _held: Vec<_> = (0..held).map(|_| File::open(dir.path()).unwrap()).collect();
    for mode in [ReadMode::Mapped, ReadMode::Positional] {
        use_300_partitions(&dir.path().join(format!("{mode:?}")), mode, files);
    }
}

fn use_300_partitions(dir: &Path, mode: ReadMode, files: usize) {
    const PARTITIONS: u32 = 300;
    let open = || Store::builder(dir).max_open_files(files).read_mode(mode).open().unwrap();
    let store = open();
    let config =
        TopicConfig::new().partitions(PARTITIONS).segment_bytes(1000).cleanup_policy(CleanupPolicy::Compact);
    store.create_topic("orders", config).unwrap();
    let send = |store: &Store, durability: Durability, round: u32| {
        let producer = store.producer_builder().durability(durability).build().unwrap();
        for partition in 0..PARTITIONS {
            let value = format!("round {round} {}", "-".repeat(200));
            let record = Record::to("orders").partition(partition).key("alice").value(&value);
            producer.send(record).unwrap();
        }
    };
    for round in 0..6 {
        send(&store, if round % 2 == 0 { Durability::Os } else { Durability::Disk }, round);
    }
    let mut consumer = store.consumer("billing").unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let mut read = 0;
    while read < 6 * PARTITIONS as usize {
        read += consumer.poll(std::time::Duration::from_secs(60)).unwrap().len();
        consumer.commit().unwrap();
    }
    store.topic("orders").unwrap().compact().unwrap();
    store.maintain().unwrap();
    send(&store, Durability::Disk, 6);
    assert!(store.stats().unwrap().maintenance_failures.is_empty());
    consumer.close().unwrap();
    store.close().unwrap();
    let store = open();
    assert!(store.recovery().iter().all(|report| report.failure.is_none()));
    send(&store, Durability::Disk, 7);
    for partition in store.topic("orders").unwrap().partitions() {
        assert_eq!(partition.end(), 8);
        assert!(partition.stats().unwrap().poisoned_by.is_none());
    }
    store.create_topic("late", TopicConfig::new()).unwrap();
    store.delete_topic("orders").unwrap();
    store.close().unwrap();
}

/// How long what concerns all partitions takes, and what they take: figures, and no limits. `ANNALS_PARTITIONS` is how many, of one
/// topic and of a topic each, in the directory `ANNALS_DIR`, on a disk that syncs.
#[test]
#[ignore = "prints figures"]
fn syncing_and_closing_many_partitions() {
    let _alone = crate::alone();
    let count = std::env::var("ANNALS_PARTITIONS").map_or(10_000, |count| count.parse().unwrap());
    let above = std::env::var_os("ANNALS_DIR").unwrap_or_else(|| "/var/tmp".into());
    for topics in [1, count] {
        let dir = tempfile::Builder::new().tempdir_in(&above).unwrap();
        live_with(dir.path(), (topics, count / topics));
    }
}

fn live_with(dir: &Path, (topics, partitions): (u32, u32)) {
    let open = || Store::builder(dir).maintain_by_hand().open().unwrap();
    let (mut before, least) = (std::time::Instant::now(), memory());
    let mut took = |what: &str| {
        let each = memory().saturating_sub(least) * 1024 / u64::from(topics * partitions);
        println!(
            "{topics} topics of {partitions} partitions: {what} {:.2} s, {each} bytes of memory each",
            before.elapsed().as_secs_f64()
        );
        before = std::time::Instant::now();
    };
    let names: Vec<_> = (0..topics).map(|number| format!("orders-{number}")).collect();
    let store = open();
    let config = || TopicConfig::new().partitions(partitions);
    store.create_topics(names.iter().map(|name| (name, config()))).unwrap();
    took("created in");
    let append = |store: &Store| {
        for partition in names.iter().flat_map(|name| store.topic(name).unwrap().partitions()) {
            partition.append(&[Record::new().value("x")], Durability::Os).unwrap();
        }
    };
    append(&store);
    took("first appended to in");
    store.producer().flush().unwrap();
    took("flushed in");
    append(&store);
    took("appended to in");
    store.maintain().unwrap();
    took("looked after, with the syncs, in");
    append(&store);
    took("appended to in");
    store.close().unwrap();
    took("closed in");
    let store = open();
    took("opened in");
    store.close().unwrap();
    took("closed untouched in");
}
