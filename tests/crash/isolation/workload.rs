//! Threads that read lists and append to them in transactions, and say what they do.

use std::time::Duration;

use annals::{Durability, Error, Isolation, Offset, Partition, Record, Store, TopicConfig};
use annals_testing::Random;

use super::checker::{Key, Outcome, Value};

/// Two topics of two partitions each: a list is a partition.
pub(super) const KEYS: usize = 4;
const TOPICS: [&str; 2] = ["left", "right"];

pub(super) fn open(dir: &std::path::Path) -> Store {
    let store = Store::builder(dir).sync_every(Duration::from_millis(3)).open().unwrap();
    for topic in TOPICS {
        store.ensure_topic(topic, TopicConfig::new().partitions(2).segment_bytes(4096)).unwrap();
    }
    store
}

fn partition(store: &Store, key: Key) -> Partition {
    store.topic(TOPICS[key / 2]).unwrap().partition(u32::try_from(key % 2).unwrap()).unwrap()
}

/// A list as whoever reads committed records sees it, and where that ends.
pub(super) fn read(store: &Store, key: Key) -> (Vec<Value>, Offset) {
    let mut reader = partition(store, key).read(..).unwrap().isolation(Isolation::ReadCommitted);
    let mut list = Vec::new();
    loop {
        let records = reader.fetch().unwrap();
        if records.is_empty() {
            return (list, reader.position());
        }
        list.extend(
            records.iter().map(|record| {
                std::str::from_utf8(record.value().unwrap()).unwrap().parse::<Value>().unwrap()
            }),
        );
    }
}

/// What one transaction is about to do.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) reads: Vec<(Key, Vec<Value>)>,
    ends: Vec<(Key, Offset)>,
    pub(super) appends: Vec<(Key, Value)>,
    is_streamed: bool,
    is_aborted: bool,
    durability: Durability,
}

impl Plan {
    /// Looks at one or two lists, and will append one to three values; `next` gives such that nobody else has. What is written before the
    /// commit stands where it was written: whoever wants it to have one place with the rest looks at those lists too.
    pub(super) fn new(
        store: &Store,
        random: &mut Random,
        may_stream: bool,
        mut next: impl FnMut() -> Value,
    ) -> Self {
        let key = |random: &mut Random| usize::try_from(random.below(KEYS as u64)).unwrap();
        let first = key(random);
        let mut looks_at = std::collections::BTreeSet::from([first]);
        looks_at.extend(random.one_in(2).then(|| (first + 1 + key(random) % 3) % KEYS));
        let appends: Vec<_> = (0..=random.below(3)).map(|_| (key(random), next())).collect();
        let is_streamed = may_stream && random.one_in(3);
        looks_at.extend(appends.iter().map(|(key, _)| *key).filter(|_| is_streamed));
        let (mut reads, mut ends) = (Vec::new(), Vec::new());
        for key in looks_at {
            let (list, end) = read(store, key);
            reads.push((key, list));
            ends.push((key, end));
        }
        let durability = if random.one_in(4) { Durability::Disk } else { Durability::Os };
        Self { reads, ends, appends, is_streamed, is_aborted: random.one_in(8), durability }
    }

    /// Does it. With conditions on all it has read it takes effect on that, or not at all.
    pub(super) fn run(&self, store: &Store, name: &str, has_conditions: bool) -> Outcome {
        match self.commit(store, name, has_conditions) {
            Ok(()) if self.is_aborted => Outcome::Aborted,
            Ok(()) => Outcome::Committed,
            Err(Error::UnexpectedEnd { .. } | Error::Fenced { .. }) => Outcome::Aborted,
            Err(Error::Undecided { .. }) => Outcome::Unknown,
            Err(error) => panic!("{error}"),
        }
    }

    fn commit(&self, store: &Store, name: &str, has_conditions: bool) -> annals::Result<()> {
        let builder = store.transaction_builder(name).durability(self.durability);
        let mut tx = if self.is_streamed { builder.buffer_bytes(0).begin()? } else { builder.begin()? };
        if has_conditions {
            self.ends.iter().for_each(|(key, end)| tx.expect_end(&partition(store, *key), *end));
        }
        for (key, value) in &self.appends {
            let number = u32::try_from(key % 2).unwrap();
            tx.send(Record::to(TOPICS[key / 2]).partition(number).value(&value.to_string()))?;
        }
        if self.is_aborted { tx.abort() } else { tx.commit().map(drop) }
    }
}
