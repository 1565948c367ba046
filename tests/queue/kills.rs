//! Processes that are killed while their workers work, and one job that kills them.
//!
//! `ANNALS_QUEUE_KILLS=5000 cargo test --test queue kills:: -- --nocapture`

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use annals::{Record, Store, TopicConfig};
use annals_testing::Random;

use crate::world::{take, value};

const DIR: &str = "ANNALS_TEST_QUEUE_DIR";
const KILLS: u64 = 6;
const WORKERS: usize = 4;
const POISON: &str = "poison";

/// The process to be killed. It writes `done NAME` after each answer that was taken.
#[test]
fn works_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let store = Store::open(dir).unwrap();
    let builder = store.queue_builder("jobs", "workers").ordered_by_key();
    let workers: Vec<_> = (0..WORKERS).map(|_| builder.clone().build().unwrap()).collect();
    println!("started");
    thread::scope(|scope| {
        for mut worker in workers {
            scope.spawn(move || {
                loop {
                    for message in worker.take(3, Duration::from_millis(50)).unwrap() {
                        let name = value(&message);
                        if name == POISON {
                            std::process::abort();
                        }
                        if message.offset % 7 == 0 && message.delivery_count() == 1 {
                            drop(message);
                            continue;
                        }
                        message.ack().unwrap();
                        let line = format!("done {name}\n");
                        std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
}

/// One life: says what it has done, and whether it ended by itself.
fn live(dir: &Path, random: &mut Random) -> (Vec<String>, bool) {
    let me = std::env::current_exe().unwrap();
    let mut child = Command::new(me)
        .args(["--exact", "kills::works_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok).filter_map(|line| {
        let at = line.find("started").or_else(|| line.find("done "))?;
        Some(line[at..].to_owned())
    });
    assert_eq!(lines.next().as_deref(), Some("started"));
    let reader = thread::spawn(move || lines.collect::<Vec<_>>());
    thread::sleep(Duration::from_millis(2 + random.below(40)));
    let has_ended = child.try_wait().unwrap().is_some();
    drop(child.kill());
    child.wait().unwrap();
    let done = reader.join().unwrap();
    (done.iter().filter_map(|line| line.strip_prefix("done ")).map(str::to_owned).collect(), has_ended)
}

#[test]
fn no_answer_is_lost_and_no_job_whenever_the_process_is_killed() {
    let kills =
        std::env::var("ANNALS_QUEUE_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random::new(kills);
    let (mut done, mut sent, mut killed): (BTreeMap<String, u32>, _, u64) = (BTreeMap::new(), 0_u32, 0);
    while killed < kills {
        let store = Store::open(dir.path()).unwrap();
        store.ensure_topic("jobs", TopicConfig::new().partitions(2)).unwrap();
        for _ in 0..200 {
            let (key, name) = ((sent % 23).to_string(), format!("job {sent}"));
            store.producer().send(Record::to("jobs").key(&key).value(&name)).unwrap();
            sent += 1;
        }
        if killed == kills / 2 {
            store.producer().send(Record::to("jobs").value(POISON)).unwrap();
        }
        store.close().unwrap();
        let (names, _) = live(dir.path(), &mut random);
        names.into_iter().for_each(|name| *done.entry(name).or_default() += 1);
        killed += 1;
    }
    let twice: Vec<_> = done.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "done, and handed out again: {twice:?}");

    // What is left is done here; the poison is what it is, and kills nobody in this process.
    let store = Store::open(dir.path()).unwrap();
    let mut worker = store.queue_builder("jobs", "workers").ordered_by_key().build().unwrap();
    let mut is_idle = false;
    while !is_idle {
        let messages = take(&mut worker, 100);
        is_idle = messages.is_empty();
        for message in messages {
            *done.entry(value(&message)).or_default() += 1;
            message.ack().unwrap();
        }
    }
    let dead: Vec<_> = match store.topic("jobs.workers.dead") {
        Ok(topic) => {
            topic.partitions().into_iter().flat_map(|partition| partition.read(..).unwrap()).collect()
        }
        Err(_) => Vec::new(),
    };
    for letter in dead {
        *done.entry(String::from_utf8(letter.unwrap().value.unwrap()).unwrap()).or_default() += 1;
    }
    let twice: Vec<_> = done.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "more than once in the end: {twice:?}");
    // An answer that was taken, and could not be told any more: at most one of each worker in each life.
    let missing = usize::try_from(sent).unwrap() + 1 - done.len();
    assert!(missing <= usize::try_from(kills).unwrap() * WORKERS, "{missing} are lost");
    println!("{killed} kills, {sent} jobs, {missing} answers that nobody heard of");
}

#[test]
fn a_job_that_ends_its_process_is_a_dead_letter_after_its_last_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    store.create_topic("jobs", TopicConfig::new().partitions(2)).unwrap();
    for number in 0..40 {
        store.producer().send(Record::to("jobs").value(&format!("job {number}"))).unwrap();
    }
    store.producer().send(Record::to("jobs").value(POISON)).unwrap();
    store.close().unwrap();
    let mut lives = 0;
    loop {
        // Long enough to come to the end, or to the poison.
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::works_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ended = (0..400).find_map(|_| {
            thread::sleep(Duration::from_millis(5));
            child.try_wait().unwrap()
        });
        if ended.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
            break;
        }
        lives += 1;
        assert!(lives <= 5, "it was handed out more often than it may be");
    }
    let store = Store::open(dir.path()).unwrap();
    let mut letters = store.dead_letters("jobs", "workers").unwrap();
    let letters = letters.take(10).unwrap();
    assert_eq!(letters.len(), 1, "it took others along: {letters:?}");
    assert_eq!(
        (letters[0].record().value.as_deref(), letters[0].delivery_count),
        (Some(POISON.as_bytes()), 5)
    );
    assert_eq!(lives, 5);
    assert!(take(&mut store.queue("jobs", "workers").unwrap(), 1).is_empty());
}
