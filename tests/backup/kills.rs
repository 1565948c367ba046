//! A process that makes backups is killed, again and again, while it appends, compacts and removes. `ANNALS_BACKUP_KILLS` is the number of
//! kills. The test starts this binary again as the process to be killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use annals::{CleanupPolicy, Durability, Error, Record, Store, TopicConfig};
use annals_testing::Random;

const DIR: &str = "ANNALS_TEST_BACKUP_DIR";
const LIFE: &str = "ANNALS_TEST_BACKUP_LIFE";

fn open(dir: &Path) -> Store {
    let store =
        Store::builder(dir.join("live")).retention_check_interval(Duration::from_millis(10)).open().unwrap();
    let small = || TopicConfig::new().segment_bytes(2000);
    store.ensure_topic("orders", small().partitions(2)).unwrap();
    store.ensure_topic("passing", small().retention_bytes(6000)).unwrap();
    let compacted = small().cleanup_policy(CleanupPolicy::Compact).set("min.cleanable.dirty.ratio", "0.01");
    store.ensure_topic("table", compacted).unwrap();
    store
}

/// Of `passing` and `table` each record says where it is.
fn send_where_it_is(store: &Store, topic: &str) {
    let partition = store.topic(topic).unwrap().partition(0).unwrap();
    let (key, value) = (key_at(partition.next_offset()), partition.next_offset().to_string());
    partition.append(&[Record::new().key(&key).value(&value)], Durability::Os).unwrap();
}

fn key_at(offset: i64) -> String {
    format!("k{}", offset % 7)
}

/// `passing` has no gap between its start and its end, and `table` the last record of each key up to its end.
fn check_where_they_are(copy: &Store, name: &str) {
    let [passing, table] = ["passing", "table"].map(|topic| copy.topic(topic).unwrap().partition(0).unwrap());
    let found = super::records(&passing);
    assert!(found.iter().map(|one| one.0).eq(passing.start()..passing.end()), "{name}: {found:?}");
    let last: BTreeSet<_> = copy.topic("table").unwrap().latest().map(|one| one.unwrap().offset).collect();
    assert!(
        last.iter().copied().eq((table.end() - 7).max(0)..table.end()),
        "{name}: {last:?} of {}",
        table.end()
    );
    for (offset, key, value) in found.into_iter().chain(super::records(&table)) {
        assert_eq!(
            (key.unwrap(), value.unwrap()),
            (key_at(offset).into(), offset.to_string().into()),
            "{name}"
        );
    }
}

/// Appends, and makes one backup after the other. A line tells of each that is whole, and how many orders were acknowledged before it was
/// begun.
#[test]
fn makes_backups_until_it_is_killed() {
    let (Some(dir), Ok(life)) = (std::env::var_os(DIR).map(PathBuf::from), std::env::var(LIFE)) else {
        return;
    };
    let store = open(&dir);
    let tell = |line: String| std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    tell("\nstarted\n".to_owned());
    let before = |partition: u32| store.topic("orders").unwrap().partition(partition).unwrap().end();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_u32.. {
                store
                    .producer()
                    .send(Record::to("orders").partition(number % 2).value(&number.to_string()))
                    .unwrap();
                ["passing", "table"].iter().for_each(|topic| send_where_it_is(&store, topic));
            }
        });
        for number in 0.. {
            let ends = [before(0), before(1)];
            let name = format!("copy-{life}-{number}");
            let builder = store.backup_builder();
            let builder = if number % 2 == 0 { builder } else { builder.independent() };
            match builder.run(dir.join(&name)) {
                Ok(_) => tell(format!("done {name} {} {}\n", ends[0], ends[1])),
                Err(error) => tell(format!("failed {name}: {error:?}\n")),
            }
        }
    });
}

#[test]
fn backups_of_a_process_that_is_killed_are_whole_or_are_none() {
    let kills = std::env::var("ANNALS_BACKUP_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(6);
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random::new(7);
    let (mut told, mut whole) = (0, 0);
    for life in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills::makes_backups_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .env(LIFE, life.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        lines.find(|line| line == "started").expect("the child starts");
        // Every second one has made one at least, however slow the machine is.
        let says = |line: &String| line.starts_with("done ") || line.starts_with("failed ");
        let first = if life % 2 == 1 { lines.find(says) } else { None };
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let said: Vec<_> = first.into_iter().chain(lines).collect();
        let failed: Vec<_> = said.iter().filter(|line| line.starts_with("failed ")).collect();
        assert!(failed.is_empty(), "{failed:?}");
        let done: Vec<_> = said.into_iter().filter(|line| line.starts_with("done ")).collect();
        told += done.len();
        whole += check(dir.path(), &done) - done.len();
    }
    println!("{kills} kills, {told} finished backups, {whole} whole ones that nobody was told of");
    assert!(told > 0 || kills < 6, "nothing was ever backed up");
}

/// Says how many are whole.
fn check(dir: &Path, done: &[String]) -> usize {
    let mut whole = 0;
    let told: BTreeSet<_> = done.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    let live = open(dir);
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if !name.starts_with("copy-") {
            continue;
        }
        match annals::backup::verify(entry.path()) {
            Ok(found) => {
                whole += 1;
                assert!(found.is_sound(), "{name}: {:?}", found.findings);
                annals::backup::restore(entry.path(), dir.join("again")).unwrap();
                let copy = Store::open(dir.join("again")).unwrap();
                let line = done.iter().find(|line| line.split(' ').nth(1) == Some(&name));
                for number in 0..2_u32 {
                    let [copy, live] =
                        [&copy, &live].map(|one| one.topic("orders").unwrap().partition(number).unwrap());
                    // What a kill leaves of the store is all that it was: the copy is a beginning of it.
                    let records = super::records(&copy);
                    assert!(super::records(&live).starts_with(&records), "{name}");
                    let acknowledged = line.and_then(|line| line.split(' ').nth(2 + number as usize));
                    let acknowledged = acknowledged.map_or(0, |end| end.parse().unwrap());
                    assert!(copy.end() >= acknowledged, "{name}: {} of {acknowledged}", copy.end());
                }
                check_where_they_are(&copy, &name);
                copy.close().unwrap();
                std::fs::remove_dir_all(dir.join("again")).unwrap();
            }
            Err(Error::Backup { .. }) => {
                assert!(!told.contains(&*name), "{name} was told to be whole");
                // Killed before the first file of it.
                let is_empty = std::fs::read_dir(entry.path()).unwrap().next().is_none();
                assert!(
                    is_empty || matches!(Store::open(entry.path()), Err(Error::Backup { .. })),
                    "{name} passes for a store"
                );
            }
            Err(error) => panic!("{name}: {error}"),
        }
        std::fs::remove_dir_all(entry.path()).unwrap();
    }
    // Or each life would read what all before it have written.
    for partition in live.topic("orders").unwrap().partitions() {
        partition.delete_records(partition.end()).unwrap();
    }
    live.close().unwrap();
    whole
}
