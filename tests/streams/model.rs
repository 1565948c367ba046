//! Random work on indexed topics: every stream and query is compared with a full read, and every guard with what it had to say.
//!
//! `ANNALS_STREAM_SEEDS` is the number of runs, `ANNALS_STREAM_FIRST` the seed of the first: each kill leaves some descriptors of the process open, so that a
//! thousand runs are enough for one. `ANNALS_SEED` plays one of them again.

use std::path::{Path, PathBuf};

use annals::{Condition, Durability, Error, Expected, Offset, Query, Record, Store, Topic};

use super::common::{copy_dir, count_from_env};
use super::world::{EVENTS, Random, TABLE, all, compare, open, topics};

const STEPS: usize = 120;

#[test]
fn streams_and_guards_equal_a_map_of_vectors() {
    if let Ok(seed) = std::env::var("ANNALS_SEED") {
        return Run::new(seed.parse().unwrap()).play();
    }
    let first = count_from_env("ANNALS_STREAM_FIRST", 1);
    for seed in first..first + count_from_env("ANNALS_STREAM_SEEDS", 12) {
        Run::new(seed as u64).play();
    }
}

struct Run {
    seed: u64,
    random: Random,
    root: tempfile::TempDir,
    dir: PathBuf,
    lives: usize,
    store: Option<Store>,
    keys: Vec<String>,
    count: usize,
}

fn is_key_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "keyindex")
}

#[expect(clippy::disallowed_methods, reason = "files are looked at from outside")]
fn key_indexes(dir: &Path) -> Vec<PathBuf> {
    let partitions = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let inside = partitions.filter(|path| path.is_dir());
    let files = inside.flat_map(|path| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
    let mut found: Vec<_> = files.filter(|path| is_key_index(path)).collect();
    found.sort();
    found
}

impl Run {
    fn new(seed: u64) -> Self {
        let root = super::common::fast_dir();
        let dir = root.path().join("0");
        let keys = (0..9).map(|number| format!("key-{number}")).collect();
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self { seed, random, store: Some(open(&dir)), root, dir, lives: 0, keys, count: 0 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn play(mut self) {
        for step in 0..STEPS {
            self.step();
            if step % 10 == 9 {
                self.compare(step);
            }
        }
    }

    fn compare(&self, step: usize) {
        for topic in topics(self.store()) {
            compare(&topic, &self.keys, &format!("seed {} step {step} {}", self.seed, topic.name()));
        }
    }

    fn step(&mut self) {
        match self.random.below(24) {
            0..=5 => self.send(),
            6..=10 => self.guarded(),
            11..=13 => self.queried(),
            14 => self.transaction(),
            15 => self.guarded_transaction(),
            16 => _ = self.store().topic(TABLE).unwrap().compact().unwrap(),
            17 => self.erase(),
            18 => self.delete(),
            19..=20 => _ = self.store().maintain(),
            21 => self.reopen(),
            22 => self.kill(),
            _ => self.tamper(),
        }
    }

    fn topic(&mut self) -> Topic {
        let name = if self.random.below(3) == 0 { TABLE } else { EVENTS };
        self.store().topic(name).unwrap()
    }

    fn key(&mut self) -> String {
        let at = self.random.below(self.keys.len());
        self.keys[at].clone()
    }

    fn value(&mut self) -> String {
        self.count += 1;
        let len = self.random.below(40);
        format!("{}{}", self.count, "x".repeat(len))
    }

    /// Runs `act` on some random events.
    fn with_events<T>(&mut self, most: usize, act: impl FnOnce(&mut Self, &[Record<'_>]) -> T) -> T {
        let parts: Vec<_> = (0..=self.random.below(most))
            .map(|_| {
                let kind = ["a", "b", "c"][self.random.below(3)];
                let tags = ["t0", "t1", "t2", "t3"].into_iter().filter(|_| self.random.below(2) == 0);
                let tags: Vec<_> = tags.collect();
                (self.value(), kind, tags)
            })
            .collect();
        let events: Vec<_> =
            parts.iter().map(|(value, kind, tags)| super::world::event(value, kind, tags)).collect();
        act(self, &events)
    }

    fn send(&mut self) {
        let (topic, key) = (self.topic(), self.key());
        let durability = [Durability::Memory, Durability::Os, Durability::Disk][self.random.below(3)];
        self.with_events(5, |run, events| {
            let producer = run.store().producer_builder().durability(durability).build().unwrap();
            let name = topic.name().to_owned();
            for event in events {
                producer.send(event.clone().topic(&name).key(&key)).unwrap();
            }
        });
    }

    /// The version of a stream by a full read.
    fn version(topic: &Topic, key: &str) -> Option<Offset> {
        let partition = topic.stream(key).unwrap().partition().clone();
        all(&partition)
            .iter()
            .rfind(|record| record.key.as_deref() == Some(key.as_bytes()))
            .map(|one| one.offset)
    }

    fn guarded(&mut self) {
        let (topic, key) = (self.topic(), self.key());
        let version = Self::version(&topic, &key);
        let expected = match self.random.below(5) {
            0 => Expected::Any,
            1 => Expected::NoStream,
            2 => Expected::Exists,
            3 => Expected::Version(version.unwrap_or(0)),
            _ => Expected::Version(version.unwrap_or(3) - 1),
        };
        let holds = match expected {
            Expected::Any => true,
            Expected::NoStream => version.is_none(),
            Expected::Exists => version.is_some(),
            Expected::Version(expected) => version == Some(expected),
        };
        let durability = [Durability::Memory, Durability::Os, Durability::Disk][self.random.below(3)];
        let seed = self.seed;
        self.with_events(3, |_, events| {
            let outcome = topic.stream(&key).unwrap().append(expected, events, durability);
            match outcome {
                Ok(_) => assert!(holds, "seed {seed}: {expected:?} at {version:?}"),
                Err(Error::Conflict { found, is_undecided, .. }) => {
                    assert!(!holds && !is_undecided, "seed {seed}: {expected:?} at {version:?}");
                    assert_eq!(found, version);
                }
                Err(other) => panic!("seed {seed}: {other}"),
            }
        });
    }

    fn queried(&mut self) {
        let topic = self.topic();
        let number = self.random.below(topic.partition_count() as usize);
        let partition = topic.partition(u32::try_from(number).unwrap()).unwrap();
        let there = all(&partition);
        let since = match self.random.below(3) {
            0 => 0,
            1 => partition.end(),
            _ => partition.end() - partition.end().min(4),
        };
        let matches = |record: &&annals::OwnedRecord| {
            let has = |name: &str, value: &[u8]| {
                record
                    .headers
                    .iter()
                    .any(|header| header.key == name && header.value.as_deref() == Some(value))
            };
            record.offset >= since && has("type", b"b") && has("tag", b"t2")
        };
        let found = there.iter().rfind(matches).map(|record| record.offset);
        let condition = Condition::none_since(Query::tag("t2").types(["b"]), since);
        let (key, seed) = (self.key(), self.seed);
        self.with_events(3, |_, events| {
            let events: Vec<_> = events.iter().map(|event| event.clone().key(&key)).collect();
            match partition.append_when(std::slice::from_ref(&condition), &events, Durability::Os) {
                Ok(_) => assert_eq!(found, None, "seed {seed}: {condition}"),
                Err(Error::Conflict { found: told, .. }) => {
                    assert!(found.is_some(), "seed {seed}: {condition}");
                    assert_eq!(told, found, "seed {seed}: {condition}");
                }
                Err(other) => panic!("seed {seed}: {other}"),
            }
        });
    }

    fn transaction(&mut self) {
        let mut tx = self.store().transaction("model").unwrap();
        for _ in 0..=self.random.below(4) {
            let (topic, key) = (self.topic(), self.key());
            self.with_events(2, |_, events| {
                for event in events {
                    tx.send(event.clone().topic(topic.name()).key(&key)).unwrap();
                }
            });
        }
        if self.random.below(3) == 0 { tx.abort().unwrap() } else { _ = tx.commit().unwrap() }
    }

    /// Several streams of several topics, of which one may not be as expected.
    fn guarded_transaction(&mut self) {
        let mut tx = self.store().transaction("model").unwrap();
        let mut holds = true;
        let mut wanted = Vec::new();
        for _ in 0..=self.random.below(3) {
            let (topic, key) = (self.topic(), self.key());
            let version = Self::version(&topic, &key);
            let expected = match self.random.below(6) {
                0 => Expected::NoStream,
                1 => Expected::Version(version.unwrap_or(7) + 1),
                _ => version.map_or(Expected::NoStream, Expected::Version),
            };
            holds &= match expected {
                Expected::NoStream => version.is_none(),
                Expected::Version(expected) => version == Some(expected),
                Expected::Any | Expected::Exists => true,
            };
            let stream = topic.stream(&key).unwrap();
            self.with_events(2, |_, events| {
                tx.append_to(&stream, expected, events).unwrap();
                wanted.push((topic.clone(), key.clone(), version, events.len()));
            });
        }
        match tx.commit() {
            Ok(_) => assert!(holds, "seed {}: {wanted:?}", self.seed),
            Err(Error::Conflict { is_undecided: false, .. }) => {
                assert!(!holds, "seed {}: {wanted:?}", self.seed)
            }
            Err(other) => panic!("seed {}: {other}", self.seed),
        }
        for (topic, key, version, _) in wanted {
            let now = Self::version(&topic, &key);
            assert_eq!(now > version, holds, "seed {}: {key} at {version:?} and {now:?}", self.seed);
        }
    }

    fn erase(&mut self) {
        let (topic, key) = (self.topic(), self.key());
        topic.erase(&key).unwrap();
        assert_eq!(topic.get(&key).unwrap(), None, "seed {}", self.seed);
    }

    fn delete(&mut self) {
        let partition = self.topic().partition(0).unwrap();
        let (start, stable) = (partition.start(), partition.stable());
        let span = usize::try_from(stable - start).unwrap();
        let before = start + i64::try_from(self.random.below(span / 3 + 1)).unwrap();
        // A transaction without its markers is in the way.
        match partition.delete_records(before) {
            Ok(_) | Err(Error::InvalidArgument { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }

    fn reopen(&mut self) {
        self.store.take().unwrap().close().unwrap();
        self.store = Some(open(&self.dir));
    }

    fn kill(&mut self) {
        self.lives += 1;
        let next = self.root.path().join(self.lives.to_string());
        copy_dir(&self.dir, &next);
        std::mem::forget(self.store.take());
        self.dir = next;
        self.store = Some(open(&self.dir));
    }

    /// Between two lives the index files are lost, cut, damaged, or those of another time.
    #[expect(clippy::disallowed_methods, reason = "files are damaged from outside")]
    fn tamper(&mut self) {
        let old: Vec<_> = key_indexes(&self.dir).iter().map(|path| std::fs::read(path).unwrap()).collect();
        self.store.take().unwrap().close().unwrap();
        for path in key_indexes(&self.dir) {
            let mut bytes = std::fs::read(&path).unwrap();
            match self.random.below(6) {
                0 => std::fs::remove_file(&path).unwrap(),
                1 => {
                    bytes.truncate(self.random.below(bytes.len()));
                    std::fs::write(&path, bytes).unwrap();
                }
                2 | 3 => {
                    let at = self.random.below(bytes.len());
                    bytes[at] ^= 1 << self.random.below(8);
                    std::fs::write(&path, bytes).unwrap();
                }
                4 if !old.is_empty() => std::fs::write(&path, &old[self.random.below(old.len())]).unwrap(),
                _ => {}
            }
        }
        self.store = Some(open(&self.dir));
    }
}
