//! Two real processes: one writes, one reads, and either is killed at any moment.
//!
//! `ANNALS_PROCESS_KILLS` is the number of kills of each, 12 by default. Every record of the topic `steps` says which partition and
//! offset it has, so whatever is read can be judged by itself. The other process is this binary again.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use annals::{
    CleanupPolicy, Consumer, Durability, Partition, Record, Store, StoreReader, TopicConfig, TopicPartition,
};
use annals_testing::Random;

use crate::common::{count_from_env, fast_dir, now};

const DIR: &str = "ANNALS_TEST_PAIR_DIR";
const SEED: &str = "ANNALS_TEST_PAIR_SEED";
pub(crate) const STEPS: &str = "steps";
pub(crate) const PARTITIONS: u32 = 2;

pub(crate) fn value_at(partition: u32, offset: i64) -> String {
    format!("{partition} {offset} {}", "#".repeat((usize::try_from(offset).unwrap() * 31) % 400))
}

pub(crate) fn child(test: &str, dir: &Path, seed: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DIR, dir)
        .env(SEED, seed.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn of_child() -> Option<(PathBuf, Random)> {
    let dir = std::env::var_os(DIR)?;
    let seed = std::env::var(SEED).ok()?.parse().ok()?;
    Some((PathBuf::from(dir), Random::new(seed)))
}

/// The directory that a child is given; nothing in the test itself.
pub(crate) fn dir_of_child() -> Option<PathBuf> {
    of_child().map(|(dir, _)| dir)
}

/// Waits until the child has said so.
pub(crate) fn wait_for(child: &mut Child, word: &str) -> BufReader<std::process::ChildStdout> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    wait_for_line(&mut lines, word);
    lines
}

pub(crate) fn wait_for_line(lines: &mut impl BufRead, word: &str) {
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 && !line.contains(word) {
        line.clear();
    }
}

pub(crate) fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{word}").unwrap();
    out.flush().unwrap();
}

/// The child was killed, and did not end before for a reason of its own.
pub(crate) fn kill(mut child: Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let mut text = String::new();
    drop(child.stderr.take().unwrap().read_to_string(&mut text));
    assert!(status.code().is_none(), "the child ended by itself: {status}: {text}");
}

pub(crate) fn open(dir: &Path) -> Store {
    let store = Store::builder(dir).sync_every(Duration::from_millis(2)).open().unwrap();
    let steps = TopicConfig::new().partitions(PARTITIONS).segment_bytes(6_000).index_interval_bytes(256);
    store.ensure_topic(STEPS, steps).unwrap();
    store.ensure_topic("table", table()).unwrap();
    store
}

fn table() -> TopicConfig {
    TopicConfig::new().segment_bytes(4_000).cleanup_policy(CleanupPolicy::Compact).key_index(true)
}

/// One step of a writer: whatever a store can do that changes files.
fn write_some(store: &Store, random: &mut Random) {
    let number = u32::try_from(random.below(u64::from(PARTITIONS))).unwrap();
    write_to(store, number, random);
}

/// The same, with the records to that partition.
pub(crate) fn write_to(store: &Store, number: u32, random: &mut Random) {
    let partition = store.topic(STEPS).unwrap().partition(number).unwrap();
    let send = |durability, count: u64| {
        for _ in 0..count {
            let value = value_at(number, partition.next_offset());
            partition.append(&[Record::new().value(&value)], durability).unwrap();
        }
    };
    match random.below(16) {
        0..5 => send(Durability::Os, random.below(20)),
        5..7 => send(Durability::Memory, random.below(20)),
        7 => send(Durability::Disk, 1),
        8 | 9 => {
            // One that nobody may ever see, or one that is there as a whole.
            let mut step = store.transaction_builder("step").buffer_bytes(0).begin().unwrap();
            let is_committed = random.below(2) == 0;
            for _ in 0..random.below(5) + 1 {
                let value = if is_committed {
                    value_at(number, partition.next_offset())
                } else {
                    "aborted".to_owned()
                };
                step.send(Record::to(STEPS).partition(number).value(&value)).unwrap();
            }
            if is_committed { drop(step.commit().unwrap()) } else { drop(step) }
        }
        10 => drop_some(&partition, random),
        11 => {
            store.alter_topic(STEPS, TopicConfig::new().retention_bytes(20_000)).unwrap();
            store.apply_retention().unwrap();
        }
        12..14 => {
            for key in 0..random.below(30) {
                let key = format!("key {}", key % 7);
                store.producer().send(Record::to("table").key(&key).value(&"v".repeat(50))).unwrap();
            }
            store.topic("table").unwrap().compact().unwrap();
        }
        14 => {
            store.delete_topic("table").unwrap();
            store.create_topic("table", table()).unwrap();
        }
        _ => partition.flush().unwrap(),
    }
}

fn drop_some(partition: &Partition, random: &mut Random) {
    let end = u64::try_from(partition.end()).unwrap();
    // Refused behind a transaction without an end.
    let _ = partition.delete_records(i64::try_from(end.saturating_sub(random.below(60))).unwrap());
}

#[test]
fn writes_until_it_is_killed() {
    let Some((dir, mut random)) = of_child() else { return };
    say("started");
    loop {
        let store = open(&dir);
        say("open");
        for _ in 0..random.below(150) {
            write_some(&store, &mut random);
        }
        store.close().unwrap();
    }
}

/// Checks all that polls hand out until nothing comes any more.
struct Judge {
    consumer: Consumer,
    next: [i64; PARTITIONS as usize],
    records: usize,
}

impl Judge {
    fn new(reader: &StoreReader) -> Self {
        let mut consumer = reader.consumer_builder().max_poll_records(50).build().unwrap();
        consumer.assign((0..PARTITIONS).map(|number| TopicPartition::new(STEPS, number))).unwrap();
        Self { consumer, next: [0; PARTITIONS as usize], records: 0 }
    }

    fn poll(&mut self, wait: Duration, what: &str) -> usize {
        let records = self.consumer.poll(wait).unwrap_or_else(|error| panic!("{what}: {error}"));
        for record in &records {
            let text = std::str::from_utf8(record.value().unwrap()).unwrap();
            assert_eq!(
                text,
                value_at(record.partition(), record.offset()),
                "{what}: offset {}",
                record.offset()
            );
            let next = &mut self.next[record.partition() as usize];
            assert!(record.offset() >= *next, "{what}: {} after {next}", record.offset());
            *next = record.offset() + 1;
        }
        self.records += records.len();
        records.len()
    }
}

#[test]
fn a_reader_sees_nothing_but_what_was_written_whenever_the_writer_is_killed() {
    let kills = count_from_env("ANNALS_PROCESS_KILLS", 12);
    let seed = count_from_env("ANNALS_SEED", std::process::id() as usize) as u64;
    let dir = fast_dir();
    open(dir.path()).close().unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut judge = Judge::new(&reader);
    let mut random = Random::new(seed);
    for life in 0..kills {
        let what = format!("ANNALS_SEED={seed}, life {life}");
        let mut writer = child("pair::writes_until_it_is_killed", dir.path(), seed + life as u64);
        let lines = wait_for(&mut writer, if random.below(4) == 0 { "started" } else { "open" });
        let until = now() + Duration::from_micros(random.below(30_000));
        while now() < until {
            judge.poll(Duration::from_millis(1), &what);
        }
        kill(writer);
        drop(lines);
        // Nobody writes: what it has left is read to its end.
        while judge.poll(Duration::from_millis(150), &what) > 0 {}
        check_all(&reader, &what);
    }
    println!("{kills} kills, {} records", judge.records);
    // The last word has an open for writing.
    let positions = judge.next;
    let store = open(dir.path());
    for partition in store.topic(STEPS).unwrap().partitions() {
        let values: Vec<_> = partition.read(..).unwrap().into_iter().map(Result::unwrap).collect();
        let last = values.last().map_or(0, |record| record.offset + 1);
        let number = partition.number() as usize;
        // What the last life has left open is ended before long, and readers wait for that.
        let until = now() + Duration::from_secs(20);
        while judge.next[number] < last && now() < until {
            judge.poll(Duration::from_millis(50), "at the end");
        }
        let ends = (judge.next[number], positions[number], last, partition.end());
        assert!(ends.0 >= last && ends.1 <= ends.3, "partition {number}: {ends:?}");
    }
    assert!(judge.records > kills, "the writer hardly got to work");
}

/// Other ways to read than a consumer's.
fn check_all(reader: &StoreReader, what: &str) {
    let Ok(topic) = reader.topic(STEPS) else { return };
    for partition in topic.partitions() {
        let (start, number) = (partition.start(), partition.number());
        for record in
            partition.read(..).and_then(|one| one.into_iter().collect::<Result<Vec<_>, _>>()).unwrap()
        {
            assert_eq!(record.value.unwrap(), value_at(number, record.offset).into_bytes(), "{what}");
            let alone =
                partition.get(record.offset).unwrap_or_else(|error| panic!("{what}: {error}")).unwrap();
            assert_eq!(alone.value.unwrap(), value_at(number, record.offset).into_bytes(), "{what}");
            assert!(record.offset >= start, "{what}");
        }
    }
    reader.stats().unwrap();
}

#[test]
fn follows_until_it_is_killed() {
    let Some((dir, mut random)) = of_child() else { return };
    let reader = StoreReader::attach(&dir).unwrap();
    let mut judge = Judge::new(&reader);
    say("started");
    loop {
        judge.poll(Duration::from_millis(random.below(20)), "in the child");
        if random.below(50) == 0 {
            check_all(&reader, "in the child");
        }
    }
}

#[test]
fn a_reader_that_is_killed_is_in_nobodys_way() {
    let kills = count_from_env("ANNALS_PROCESS_KILLS", 12);
    let seed = count_from_env("ANNALS_SEED", std::process::id() as usize) as u64;
    let dir = fast_dir();
    let store = open(dir.path());
    let mut random = Random::new(seed);
    for life in 0..kills {
        let mut reader = child("pair::follows_until_it_is_killed", dir.path(), seed + life as u64);
        let lines = wait_for(&mut reader, "started");
        let until = now() + Duration::from_micros(random.below(20_000));
        while now() < until {
            write_some(&store, &mut random);
        }
        kill(reader);
        drop(lines);
        write_some(&store, &mut random);
    }
    // Another one sees it all the same.
    check_all(&StoreReader::attach(dir.path()).unwrap(), "at the end");
    store.close().unwrap();
}

#[test]
fn sends_when_it_is_told_to() {
    let Some((dir, _)) = of_child() else { return };
    let store = open(&dir);
    let lazy = store.producer_builder().durability(Durability::Memory).linger(Duration::from_secs(3600));
    let lazy = lazy.build().unwrap();
    say("open");
    for line in std::io::stdin().lines().map_while(Result::ok) {
        match line.as_str() {
            "memory" => drop(lazy.send(Record::to(STEPS).partition(0).value("lazy")).unwrap()),
            _ => drop(store.producer().send(Record::to(STEPS).partition(0).value(&line)).unwrap()),
        }
    }
    store.close().unwrap();
}

/// Runs a child that sends what it is told.
fn with_sender(dir: &Path, act: impl FnOnce(&mut dyn FnMut(&str))) {
    open(dir).close().unwrap();
    let mut sender = child("pair::sends_when_it_is_told_to", dir, 0);
    let lines = wait_for(&mut sender, "open");
    let mut input = sender.stdin.take().unwrap();
    act(&mut |line| writeln!(input, "{line}").unwrap());
    drop(input);
    assert!(sender.wait().unwrap().success());
    drop(lines);
}

#[test]
fn a_record_that_lingers_is_written_for_a_reader_that_waits_in_another_process() {
    let dir = fast_dir();
    with_sender(dir.path(), |tell| {
        let reader = StoreReader::attach(dir.path()).unwrap();
        let mut consumer = reader.consumer_builder().build().unwrap();
        consumer.assign([(STEPS, 0)]).unwrap();
        for _ in 0..5 {
            assert!(consumer.poll(Duration::from_millis(20)).unwrap().is_empty());
            let found = thread::scope(|scope| {
                let waiting = scope.spawn(|| consumer.poll(Duration::from_secs(20)).unwrap().len());
                thread::sleep(Duration::from_millis(20));
                tell("memory");
                waiting.join().unwrap()
            });
            assert_eq!(found, 1, "its linger is an hour");
        }
    });
}

#[test]
fn who_waits_uses_no_processor_and_is_woken_by_others_of_its_process() {
    let dir = fast_dir();
    let store = open(dir.path());
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut consumer = reader.consumer_builder().build().unwrap();
    consumer.assign([(STEPS, 0), (STEPS, 1)]).unwrap();
    let before = thread_time();
    assert!(consumer.poll(Duration::from_secs(1)).unwrap().is_empty());
    let used = thread_time() - before;
    assert!(used < Duration::from_millis(200), "{used:?} of a second");
    let waker = consumer.waker();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| consumer.poll(Duration::MAX).unwrap().len());
        thread::sleep(Duration::from_millis(20));
        waker.wake();
        assert_eq!(waiting.join().unwrap(), 0);
        drop(reader);
    });
    store.close().unwrap();
}

/// Time that this thread was given.
#[expect(unsafe_code, reason = "std does not tell it")]
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct it is given.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// What a reader was about to read is gone, all of it or as a topic, when it wakes.
#[test]
fn a_reader_that_sleeps_through_everything_goes_on_with_what_is_there() {
    let dir = fast_dir();
    let store = open(dir.path());
    let mut random = Random::new(5);
    let reader = StoreReader::attach(dir.path()).unwrap();
    let mut judge = Judge::new(&reader);
    let steps = store.topic(STEPS).unwrap().partition(0).unwrap();
    let append = |count| {
        for _ in 0..count {
            steps.append(&[Record::new().value(&value_at(0, steps.next_offset()))], Durability::Os).unwrap();
        }
    };
    append(100);
    let table = reader.topic("table").unwrap().partition(0).unwrap();
    judge.poll(Duration::ZERO, "awake");
    let mut held = reader.topic(STEPS).unwrap().partition(0).unwrap().read(..).unwrap();
    let first = held.fetch().unwrap();
    for _ in 0..300 {
        write_some(&store, &mut random);
    }
    append(50);
    // Refused behind a transaction without an end.
    let _ = steps.delete_records(steps.end() - 10);
    // What was fetched stays readable.
    for record in &first {
        assert_eq!(record.value().unwrap(), value_at(0, record.offset()).as_bytes());
    }
    while !held.fetch().unwrap().is_empty() {}
    while judge.poll(Duration::from_millis(1), "awake again") > 0 {}
    assert_eq!(judge.next[0], steps.end());
    store.delete_topic("table").unwrap();
    store.create_topic("table", TopicConfig::new()).unwrap();
    assert!(matches!(table.get(0), Err(annals::Error::UnknownTopic { was_deleted: true, .. })));
    store.close().unwrap();
}

#[test]
fn reads_all_and_tells_what_it_has_mapped() {
    let Some((dir, _)) = of_child() else { return };
    let reader = StoreReader::attach(&dir).unwrap();
    let partition = reader.topic(STEPS).unwrap().partition(0).unwrap();
    let count = partition.read(..).unwrap().into_iter().map(Result::unwrap).count();
    assert!(count > 50 && partition.get(partition.end() - 1).unwrap().is_some());
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let logs: Vec<_> = maps.lines().filter(|line| line.ends_with(".log")).collect();
    println!("\n{}\nend of maps", logs.join("\n"));
}

/// Its owner may cut it behind what is shown, and who looks at a map of what was cut is killed.
#[test]
fn the_segment_that_grows_is_never_mapped_by_others() {
    let dir = fast_dir();
    let store = open(dir.path());
    let partition = store.topic(STEPS).unwrap().partition(0).unwrap();
    for offset in 0..100 {
        partition.append(&[Record::new().value(&value_at(0, offset))], Durability::Os).unwrap();
    }
    let output =
        child("pair::reads_all_and_tells_what_it_has_mapped", dir.path(), 0).wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("end of maps"), "{text}");
    let logs = crate::common::files_of(dir.path(), "steps-0", ".log");
    let (growing, sealed) = logs.split_last().unwrap();
    assert!(!text.contains(growing.to_str().unwrap()), "{text}");
    assert!(sealed.iter().any(|one| text.contains(one.to_str().unwrap())), "sealed ones are: {text}");
    store.close().unwrap();
}
