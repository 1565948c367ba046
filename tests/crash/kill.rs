//! A process that appends is killed, again and again: what it was told is there, and nothing else is.
//!
//! `ANNALS_KILLS` is the number of kills, 60 by default; `ANNALS_SEED` repeats a run's timing as far as a machine can.
//! The test starts this binary again as the process to be killed.
#![expect(
    clippy::expect_used,
    clippy::cast_possible_wrap,
    clippy::panic,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use annals::{Durability, Offset, Record, Store, TopicConfig, TopicPartition};

use crate::common::{TOPIC, count_from_env, now, records, spawn};
use annals_testing::Random;

const DIR: &str = "ANNALS_TEST_KILL_DIR";
const PLAN: &str = "ANNALS_TEST_KILL_PLAN";

/// What the child does.
#[derive(Debug, Clone, Copy)]
struct Plan {
    durability: Durability,
    threads: usize,
    segment_bytes: u32,
}

const PLANS: [Plan; 6] = [
    Plan { durability: Durability::Os, threads: 1, segment_bytes: 64 << 20 },
    Plan { durability: Durability::Disk, threads: 1, segment_bytes: 64 << 20 },
    Plan { durability: Durability::Os, threads: 4, segment_bytes: 64 << 20 },
    Plan { durability: Durability::Disk, threads: 4, segment_bytes: 4 << 10 },
    Plan { durability: Durability::Os, threads: 1, segment_bytes: 4 << 10 },
    Plan { durability: Durability::Os, threads: 4, segment_bytes: 4 << 10 },
];
const PARTITIONS: u32 = 2;
/// Kills that one store goes through.
const KILLS_EACH: usize = 5;

fn value(life: usize, thread: usize, number: usize) -> String {
    format!("{life} {thread} {number} {}", "#".repeat((life * 7 + thread * 31 + number * 13) % 300))
}

/// The process to be killed. Every line it has written was true before it was written: `a partition offset life thread
/// number` for a record, `c offset` for a commit.
#[test]
fn appends_until_it_is_killed() {
    let (Some(dir), Ok(plan)) = (std::env::var_os(DIR), std::env::var(PLAN)) else { return };
    let mut words = plan.split(' ').map(|word| word.parse::<usize>().unwrap());
    let (plan, life) = (PLANS[words.next().unwrap()], words.next().unwrap());
    let tell = |line: String| {
        // One write for a line: lines of several threads do not mix, and a pipe takes it whole.
        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        std::io::stdout().lock().flush().unwrap();
    };
    tell("\nstarted\n".to_owned());
    let mut first = 0;
    loop {
        let builder = Store::builder(PathBuf::from(&dir)).sync_every(Duration::from_millis(3));
        let store = builder.clone().open().unwrap();
        let config = TopicConfig::new().partitions(PARTITIONS).segment_bytes(plan.segment_bytes);
        store.ensure_topic(TOPIC, config).unwrap();
        let producer = store.producer_builder().durability(plan.durability).build().unwrap();
        let last = first + 1500;
        thread::scope(|scope| {
            for thread in 0..plan.threads {
                let (producer, tell) = (&producer, &tell);
                scope.spawn(move || {
                    for number in first..last {
                        let value = value(life, thread, number);
                        let partition = u32::try_from((thread + number) % PARTITIONS as usize).unwrap();
                        let at = producer.send(Record::to(TOPIC).partition(partition).value(&value)).unwrap();
                        tell(format!("a {partition} {} {life} {thread} {number}\n", at.offset));
                    }
                });
            }
            scope.spawn(|| {
                let mut consumer = store.consumer("billing").unwrap();
                consumer.assign([(TOPIC, 0)]).unwrap();
                for _ in 0..10 {
                    consumer.poll(Duration::from_millis(2)).unwrap();
                    consumer.commit().unwrap();
                    if let Some(offset) = consumer.committed((TOPIC, 0)) {
                        tell(format!("c {offset}\n"));
                    }
                }
            });
        });
        // A clean close in between, so that kills come in all states.
        store.close().unwrap();
        first = last;
    }
}

/// What a store's children were told, in all their lives.
#[derive(Debug, Default)]
struct Told {
    records: BTreeMap<(u32, Offset), String>,
    committed: Offset,
}

impl Told {
    /// Takes in one line.
    fn take(&mut self, line: &str) {
        let mut words = line.split(' ');
        let kind = words.next();
        let numbers: Vec<usize> = words.map_while(|word| word.parse().ok()).collect();
        match (kind, numbers.as_slice()) {
            (Some("a"), [partition, offset, life, thread, number]) => {
                let place = (u32::try_from(*partition).expect("a partition"), *offset as i64);
                let before = self.records.insert(place, value(*life, *thread, *number));
                assert_eq!(before, None, "offset {offset} of partition {partition} was given out twice");
            }
            (Some("c"), [offset]) => self.committed = *offset as i64,
            _ => panic!("not a line of ours: {line:?}"),
        }
    }

    fn check(&self, dir: &Path, most_untold: usize, what: &str) -> String {
        let store = crate::common::by_hand(dir).open().unwrap_or_else(|error| panic!("{what}: {error}"));
        let Ok(topic) = store.topic(TOPIC) else {
            assert!(self.records.is_empty(), "{what}: the topic is gone");
            return "no topic yet".to_owned();
        };
        let mut summary = String::new();
        for partition in topic.partitions() {
            let found = records(&partition);
            assert_eq!(found.len() as i64, partition.end(), "{what}");
            let mut next = BTreeMap::new();
            for ((offset, value), at) in found.iter().zip(0..) {
                assert_eq!(*offset, at, "{what}: a hole");
                // A prefix of what each thread of each life sent to this partition: every second number.
                let text = std::str::from_utf8(value).expect("text");
                let numbers: Vec<usize> = text.split(' ').map_while(|word| word.parse().ok()).collect();
                let [life, thread, number] = numbers[..] else { panic!("{what}: {text:?} at {offset}") };
                assert_eq!(text, crate::kill::value(life, thread, number), "{what}: offset {offset}");
                let least = (thread + partition.number() as usize) % 2;
                let expected = next.insert((life, thread), number + 2).unwrap_or(least);
                assert_eq!(number, expected, "{what}: thread {thread} of life {life} at offset {offset}");
            }
            let mine = self.records.iter().filter(|((place, _), _)| *place == partition.number());
            let mut count = 0;
            for ((_, offset), value) in mine {
                let there = found.get(usize::try_from(*offset).expect("an offset"));
                let there = there.map(|(_, value)| value.as_slice());
                assert_eq!(there, Some(value.as_bytes()), "{what}: offset {offset} was acknowledged");
                count += 1;
            }
            // Written and not told any more: at most one record of each thread of each life.
            assert!(found.len() - count <= most_untold, "{what}: {} of {count} acknowledged", found.len());
            summary += &format!("{count}/{} ", found.len());
        }
        let committed =
            store.committed("billing").get(&TopicPartition::new(TOPIC, 0)).map_or(0, |at| at.offset);
        assert!(committed >= self.committed, "{what}: committed {committed}, told {}", self.committed);
        assert!(store.offset_resets().is_empty(), "{what}: {:?}", store.offset_resets());
        summary
    }
}

fn start(dir: &Path, plan: usize, life: usize) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "kill::appends_until_it_is_killed", "--nocapture"])
        .env(DIR, dir)
        .env(PLAN, format!("{plan} {life}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process to be killed")
}

/// Lets a child run for a while, kills it, and takes in what it has told.
fn one_life(dir: &Path, (plan, life): (usize, usize), random: &mut Random, told: &mut Told) {
    let mut child = start(dir, plan, life);
    let (started, begun) = mpsc::channel();
    let mut lines = BufReader::new(child.stdout.take().expect("its output"));
    let reader = spawn(move || {
        let mut all = Vec::new();
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            if line == "started\n" {
                started.send("started").unwrap_or_default();
            } else if line.starts_with("a ") && all.iter().all(|line: &String| line.starts_with("c ")) {
                started.send("acknowledged").unwrap_or_default();
            }
            let is_told = line.starts_with("a ") || line.starts_with("c ");
            // A line without an end was cut off by the kill.
            if is_told && line.ends_with('\n') {
                all.push(line.trim_end().to_owned());
            }
            line.clear();
        }
        all
    });
    // Sometimes while it still opens the store or makes its topic, mostly while it appends.
    let is_early = random.below(4) == 0;
    let goal = if is_early { "started" } else { "acknowledged" };
    while let Ok(so_far) = begun.recv_timeout(Duration::from_secs(30)) {
        if so_far == goal {
            break;
        }
    }
    // Long enough for a clean close in between in one life of four; the others cost less.
    let most = match random.below(4) {
        _ if is_early => 5_000,
        0 => 50_000,
        _ => 12_000,
    };
    let wait = random.below(most);
    thread::sleep(Duration::from_micros(wait));
    child.kill().expect("a kill");
    let status = child.wait().expect("its end");
    let lines = reader.join().expect("its lines");
    assert!(status.code().is_none(), "the child ended by itself: {status}: {:?}", {
        let mut text = String::new();
        drop(std::io::Read::read_to_string(&mut child.stderr.take().expect("its errors"), &mut text));
        text
    });
    lines.iter().for_each(|line| told.take(line));
}

/// One store through its kills. Returns how many records were acknowledged.
fn one_store(seed: usize, store: usize, kills: usize) -> usize {
    let mut random = Random::new((seed + store * 7919) as u64);
    let number = store % PLANS.len();
    let Some(plan) = PLANS.get(number) else { return 0 };
    // Disks of the machine and memory in turn: the kernel's timing differs.
    let dir = if (store + store / PLANS.len()).is_multiple_of(2) {
        crate::common::fast_dir()
    } else {
        tempfile::tempdir().expect("a directory")
    };
    let mut told = Told::default();
    for life in 0..kills {
        one_life(dir.path(), (number, life), &mut random, &mut told);
        let what = format!("seed {seed}, store {store} {plan:?}, life {life}");
        let summary = told.check(dir.path(), plan.threads * (life + 1), &what);
        if life + 1 == kills {
            println!("{plan:?}: {summary}");
        }
    }
    told.records.len()
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let kills = count_from_env("ANNALS_KILLS", 60);
    let seed = count_from_env("ANNALS_SEED", std::process::id() as usize);
    println!("{kills} kills, ANNALS_SEED={seed}");
    let started = now();
    let stores = kills.div_ceil(KILLS_EACH);
    let (next, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Half of a life is waiting for the moment of the kill, so there are more stores at a time than processors.
    let at_once = 2 * thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let run = || {
            loop {
                let store = next.fetch_add(1, Ordering::Relaxed);
                if store >= stores {
                    return;
                }
                let kills = KILLS_EACH.min(kills - store * KILLS_EACH);
                acknowledged.fetch_add(one_store(seed, store, kills), Ordering::Relaxed);
            }
        };
        (0..at_once).for_each(|_| drop(scope.spawn(run)));
    });
    let acknowledged = acknowledged.into_inner();
    println!("{kills} kills, {acknowledged} acknowledged records, none missing, in {:?}", started.elapsed());
    assert!(acknowledged > kills, "the children hardly got to work");
}
