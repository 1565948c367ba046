//! Histories of concurrent transactions, with conditions and kills, judged by a checker that knows nothing of annals.
//!
//! `ANNALS_HISTORIES` is the number of histories without a kill, 4 by default; `ANNALS_TRANSACTION_KILLS` that of kills, 10 by default;
//! `ANNALS_SEED` repeats a run as far as a machine can.

mod checker;
mod workload;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use annals_testing::Random;
use checker::{Anomaly, Level, Outcome, Transaction, check};
use workload::{KEYS, Plan, open, read};

use crate::common::{count_from_env, fast_dir};

const DIR: &str = "ANNALS_TEST_ISOLATION_DIR";
const LIFE: &str = "ANNALS_TEST_ISOLATION_LIFE";
const THREADS: usize = 4;

fn lists(store: &annals::Store) -> BTreeMap<usize, Vec<u64>> {
    (0..KEYS).map(|key| (key, read(store, key).0)).collect()
}

/// Random transactions of several threads, and what is wrong with them.
fn history(seed: u64, has_conditions: bool, level: Level) -> (usize, Vec<Anomaly>) {
    let dir = fast_dir();
    let store = open(dir.path());
    let (time, history) = (AtomicU64::new(1), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            let (store, time, history) = (&store, &time, &history);
            scope.spawn(move || {
                let mut random = Random::new(seed << 8 | thread);
                let mut value = thread * 1_000_000;
                for _ in 0..40 {
                    let plan = Plan::new(store, &mut random, has_conditions, || {
                        value += 1;
                        value
                    });
                    let began = time.fetch_add(1, Ordering::SeqCst);
                    // Names are shared by two: they fence each other at times.
                    let outcome = plan.run(
                        store,
                        &format!("name {}", thread / 2 + 2 * random.below(8)),
                        has_conditions,
                    );
                    let ended = time.fetch_add(1, Ordering::SeqCst);
                    let Plan { reads, appends, .. } = plan;
                    history.lock().unwrap().push(Transaction { began, ended, outcome, reads, appends });
                }
            });
        }
    });
    let history = history.into_inner().unwrap();
    let committed = history.iter().filter(|one| one.outcome == Outcome::Committed).count();
    (committed, check(&history, &lists(&store), level))
}

#[test]
fn transactions_with_conditions_on_what_they_have_read_are_strictly_serializable() {
    let mut committed = 0;
    for seed in 1..=count_from_env("ANNALS_HISTORIES", 4) as u64 {
        let (count, found) = history(seed, true, Level::StrictSerializable);
        assert_eq!(found, [], "seed {seed}");
        committed += count;
    }
    assert!(committed > 20, "{committed}: nothing was tried");
    println!("{committed} transactions were committed");
}

/// The checker is not blind: without conditions it finds what they are against, and nothing that no transaction may show.
#[test]
fn transactions_without_conditions_are_read_committed_and_no_more() {
    let mut anomalies = 0;
    for seed in 1..=count_from_env("ANNALS_HISTORIES", 4) as u64 {
        let (_, found) = history(seed, false, Level::ReadCommitted);
        assert_eq!(found, [], "seed {seed}");
        anomalies += history(seed, false, Level::StrictSerializable).1.len();
    }
    assert!(anomalies > 0, "write skew was to be found");
}

/// Reads and conditional appends of one partition, as lines for `tests/porcupine`.
fn one_partition(seed: u64) -> Vec<String> {
    let dir = fast_dir();
    let store = open(dir.path());
    let (time, lines) = (AtomicU64::new(1), Mutex::new(Vec::new()));
    let now = || time.fetch_add(1, Ordering::SeqCst);
    std::thread::scope(|scope| {
        for client in 0..THREADS as u64 {
            let (store, lines, now) = (&store, &lines, &now);
            scope.spawn(move || {
                let mut random = Random::new(seed << 8 | client);
                for number in 0..25 {
                    let value = client * 1_000 + number;
                    let line = one_operation(store, &mut random, (client, value), now);
                    lines.lock().unwrap().push(line);
                }
            });
        }
    });
    lines.into_inner().unwrap()
}

/// A read of the whole list; or an append, by itself or in a transaction, on condition or not.
fn one_operation(
    store: &annals::Store,
    random: &mut Random,
    (client, value): (u64, u64),
    now: &impl Fn() -> u64,
) -> String {
    if random.one_in(2) {
        let (call, (list, _), returned) = (now(), read(store, 0), now());
        let list = join(list, ",");
        return format!(
            r#"{{"client":{client},"call":{call},"return":{returned},"kind":"read","list":[{list}]}}"#
        );
    }
    let (list, end) = read(store, 0);
    let partition = store.topic("left").unwrap().partition(0).unwrap();
    let (is_plain, has_condition, is_dropped) = (random.one_in(3), random.one_in(2), random.one_in(6));
    let text = value.to_string();
    let record = annals::Record::to("left").partition(0).value(&text);
    let call = now();
    let outcome = if is_plain && has_condition {
        partition.append_if(end, &[record], annals::Durability::Os).map(drop)
    } else if is_plain {
        partition.append(&[record], annals::Durability::Os).map(drop)
    } else {
        let mut tx = store.transaction(&format!("client {client}")).unwrap();
        tx.send(record).unwrap();
        if has_condition {
            tx.expect_end(&partition, end);
        }
        if is_dropped { tx.abort() } else { tx.commit().map(drop) }
    };
    let returned = now();
    let is_refused = matches!(outcome, Err(annals::Error::UnexpectedEnd { .. }));
    assert!(outcome.is_ok() || is_refused, "{outcome:?}");
    let ok = outcome.is_ok() && (is_plain || !is_dropped);
    let saw = if has_condition { i64::try_from(list.len()).unwrap() } else { -1 };
    let what = format!(r#""kind":"append","value":{value},"saw":{saw},"ok":{ok}"#);
    format!(r#"{{"client":{client},"call":{call},"return":{returned},{what}}}"#)
}

/// Judged by another checker, where it is asked for: see `tests/porcupine`.
#[test]
#[expect(clippy::disallowed_methods, reason = "another program reads them")]
fn lists_of_one_partition() {
    for seed in 1..=count_from_env("ANNALS_HISTORIES", 4) as u64 {
        let lines = one_partition(seed);
        let appended = lines.iter().filter(|line| line.contains(r#""ok":true"#)).count();
        assert!(appended > 0 && lines.len() == THREADS * 25, "{appended}");
        if let Some(dir) = std::env::var_os("ANNALS_HISTORY_DIR") {
            std::fs::write(Path::new(&dir).join(format!("{seed}.jsonl")), lines.join("\n") + "\n").unwrap();
        }
    }
}

fn join<T: ToString>(all: impl IntoIterator<Item = T>, by: &str) -> String {
    all.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(by)
}

/// The process to be killed. It says what it is about to commit, and how that has ended.
#[test]
fn transacts_until_it_is_killed() {
    let (Some(dir), Ok(life)) = (std::env::var_os(DIR), std::env::var(LIFE)) else { return };
    let life: u64 = life.parse().unwrap();
    let tell = |line: String| {
        let mut out = std::io::stdout().lock();
        out.write_all(format!("{line}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    let store = open(&PathBuf::from(dir));
    tell("\nstarted".to_owned());
    std::thread::scope(|scope| {
        for thread in 0..THREADS as u64 {
            let (store, tell) = (&store, &tell);
            scope.spawn(move || {
                let mut random = Random::new(life << 8 | thread);
                let mut value = (life * THREADS as u64 + thread) * 1_000_000;
                loop {
                    let plan = Plan::new(store, &mut random, true, || {
                        value += 1;
                        value
                    });
                    let id = plan.appends[0].1;
                    let reads =
                        join(plan.reads.iter().map(|(key, read)| format!("{key}:{}", join(read, ","))), ";");
                    let appends = join(plan.appends.iter().map(|(key, value)| format!("{key}:{value}")), ";");
                    tell(format!("begins {id} {reads} {appends}"));
                    let outcome = plan.run(store, &format!("thread {thread}"), true);
                    tell(format!("ended {id} {outcome:?}"));
                }
            });
        }
    });
}

fn list(text: &str) -> Vec<u64> {
    text.split(',').filter(|word| !word.is_empty()).map(|word| word.parse().unwrap()).collect()
}

fn by_key(text: &str) -> Vec<(usize, Vec<u64>)> {
    let one = |part: &str| {
        let (key, values) = part.split_once(':').unwrap();
        (key.parse().unwrap(), list(values))
    };
    text.split(';').map(one).collect()
}

/// Takes in what a process has told, in the order in which it told it.
fn take_in(lines: &[String], history: &mut Vec<Transaction>, time: &mut u64) {
    let mut open: BTreeMap<u64, usize> = BTreeMap::new();
    for line in lines {
        *time += 1;
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["begins", id, reads, appends] => {
                open.insert(id.parse().unwrap(), history.len());
                let appends = by_key(appends).into_iter().map(|(key, values)| (key, values[0])).collect();
                let (began, ended) = (*time, u64::MAX);
                history.push(Transaction {
                    began,
                    ended,
                    outcome: Outcome::Unknown,
                    reads: by_key(reads),
                    appends,
                });
            }
            ["ended", id, outcome] => {
                let one = &mut history[open[&id.parse().unwrap()]];
                one.ended = *time;
                one.outcome = match outcome {
                    "Committed" => Outcome::Committed,
                    "Aborted" => Outcome::Aborted,
                    _ => Outcome::Unknown,
                };
            }
            _ => panic!("not a line of ours: {line:?}"),
        }
    }
}

/// Lets a process transact for a while, and kills it.
fn one_life(dir: &Path, life: u64, random: &mut Random) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "isolation::transacts_until_it_is_killed", "--nocapture"])
        .env(DIR, dir)
        .env(LIFE, life.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (first, begun) = std::sync::mpsc::channel();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let reader = crate::common::spawn(move || {
        let (mut all, mut line) = (Vec::new(), String::new());
        while lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
            // A line without an end was cut off by the kill.
            if line.ends_with('\n') && (line.starts_with("begins ") || line.starts_with("ended ")) {
                first.send(()).unwrap_or_default();
                all.push(line.trim_end().to_owned());
            }
            line.clear();
        }
        all
    });
    begun.recv_timeout(Duration::from_secs(60)).unwrap();
    std::thread::sleep(Duration::from_micros(random.below(30_000)));
    child.kill().unwrap();
    assert!(child.wait().unwrap().code().is_none(), "the child ended by itself");
    reader.join().unwrap()
}

#[test]
fn kills_leave_whole_transactions_in_one_order() {
    let kills = count_from_env("ANNALS_TRANSACTION_KILLS", 10) as u64;
    let seed = count_from_env("ANNALS_SEED", std::process::id() as usize) as u64;
    println!("{kills} kills, ANNALS_SEED={seed}");
    let mut random = Random::new(seed);
    let (mut dir, mut history, mut time, mut committed) = (fast_dir(), Vec::new(), 0, 0);
    for life in 0..kills {
        if life.is_multiple_of(5) {
            // Lists do not grow for ever: each is read whole.
            (dir, history, time) = (fast_dir(), Vec::new(), 0);
        }
        let lines = one_life(dir.path(), seed.wrapping_mul(1000) % 1_000_000 + life, &mut random);
        take_in(&lines, &mut history, &mut time);
        let store = open(dir.path());
        let found = check(&history, &lists(&store), Level::StrictSerializable);
        assert_eq!(found, [], "seed {seed}, life {life}");
        committed += lines.iter().filter(|line| line.ends_with("Committed")).count();
        // Once more, after what a close leaves.
        store.close().unwrap();
        let store = open(dir.path());
        assert_eq!(
            check(&history, &lists(&store), Level::StrictSerializable),
            [],
            "seed {seed}, after life {life}"
        );
        drop(store);
    }
    println!("{committed} transactions were committed");
}
