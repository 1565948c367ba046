//! One thread's work on a store. It says what it was told, before it goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use annals::{CleanupPolicy, Codec, Consumer, Durability, Record, Store, Timestamp, TopicConfig};

use crate::acknowledgements::{tell, tell_error};
use crate::content::{Id, KEPT, PLAIN, Seen, TABLE, TRIMMED, ZIPPED};
use crate::judge::KEPT_BYTES;
use annals_testing::Random;

/// Where explicit timestamps begin.
const EPOCH: Timestamp = 1_700_000_000_000;

pub(crate) struct Worker<'a> {
    pub(crate) store: &'a Store,
    pub(crate) life: u64,
    pub(crate) thread: u64,
    pub(crate) random: Random,
    /// Numbers of the next records, by topic and partition.
    next: BTreeMap<(String, u32), u64>,
    topics: u64,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(store: &'a Store, life: u64, thread: u64) -> Self {
        let random = Random::new(life * 31 + thread + 1);
        Self { store, life, thread, random, next: BTreeMap::new(), topics: 0 }
    }

    /// The topics that every store has.
    pub(crate) fn ensure_topics(&self) -> annals::Result<()> {
        let small = |bytes: u32| TopicConfig::new().segment_bytes(bytes).index_interval_bytes(512);
        let configs = [
            (PLAIN, small(64 << 10).partitions(2)),
            (ZIPPED, small(32 << 10).compression_type(Codec::Lz4)),
            (KEPT, small(32 << 10).retention_bytes(KEPT_BYTES)),
            (TRIMMED, small(32 << 10)),
            (TABLE, small(32 << 10).cleanup_policy(CleanupPolicy::Compact)),
        ];
        for (name, config) in configs {
            tell(&format!("c {name}\n"));
            self.store.ensure_topic(name, config)?;
            tell(&format!("C {name}\n"));
        }
        Ok(())
    }

    fn ids(&mut self, topic: &str, partition: u32, count: u64) -> Vec<Id> {
        let next = self.next.entry((topic.to_owned(), partition)).or_default();
        let first = *next;
        *next += count;
        let (life, thread) = (self.life, self.thread);
        (first..first + count).map(|number| Id { life, thread, number, first, count }).collect()
    }

    fn refused(&self, topic: &str, partition: u32, ids: &[Id]) {
        for id in ids {
            tell(&format!("N {topic} {partition} {} {} {}\n", id.life, id.thread, id.number));
        }
    }

    /// Sends one record.
    pub(crate) fn send(&mut self, level: Durability, topic: &str, partition: u32) -> annals::Result<i64> {
        self.send_value(level, (topic, partition), Id::value)
    }

    /// The same with a value above 4 KiB.
    pub(crate) fn send_long(
        &mut self,
        level: Durability,
        topic: &str,
        partition: u32,
    ) -> annals::Result<i64> {
        self.send_value(level, (topic, partition), Id::long_value)
    }

    fn send_value(
        &mut self,
        level: Durability,
        (topic, partition): (&str, u32),
        value: impl Fn(&Id) -> Vec<u8>,
    ) -> annals::Result<i64> {
        let ids = self.ids(topic, partition, 1);
        let id = ids[0];
        let (key, value) = (id.key(topic), value(&id));
        let mut record = Record::to(topic).partition(partition).value(&value);
        if let Some(key) = &key {
            record = record.key(key);
        }
        if id.number.is_multiple_of(4) {
            record = record.timestamp(EPOCH + id.number as i64);
        }
        let producer = self.store.producer_builder().durability(level).build()?;
        let at = match producer.send(record) {
            Ok(at) => at,
            Err(error) => {
                self.refused(topic, partition, &ids);
                return Err(error);
            }
        };
        let topic = topic.to_owned();
        let seen = Seen { topic, partition, offset: at.offset, timestamp: at.timestamp, id };
        tell(&seen.line(kind(level)));
        Ok(at.offset)
    }

    /// Sends records as one batch, which is there whole or not at all.
    pub(crate) fn send_batch(&mut self, level: Durability, topic: &str, count: u64) -> annals::Result<()> {
        let ids = self.ids(topic, 0, count);
        let parts: Vec<_> =
            ids.iter().map(|id| (id.key(topic), id.value(), EPOCH + id.number as i64)).collect();
        let records: Vec<_> = parts
            .iter()
            .map(|(key, value, timestamp)| {
                let record = Record::to(topic).partition(0).value(value).timestamp(*timestamp);
                if let Some(key) = key { record.key(key) } else { record }
            })
            .collect();
        let at = match self.store.topic(topic)?.partition(0)?.append(&records, level) {
            Ok(at) => at,
            Err(error) => {
                self.refused(topic, 0, &ids);
                return Err(error);
            }
        };
        for ((id, offset), part) in ids.iter().zip(at.offsets()).zip(&parts) {
            let topic = topic.to_owned();
            tell(&Seen { topic, partition: 0, offset, timestamp: part.2, id: *id }.line(kind(level)));
        }
        Ok(())
    }

    /// Everything this thread has sent is on the disk.
    pub(crate) fn flush(&self) -> annals::Result<()> {
        self.store.producer().flush()?;
        tell(&format!("S {}\n", self.thread));
        Ok(())
    }

    pub(crate) fn delete_records(&mut self) -> annals::Result<()> {
        let partition = self.store.topic(TRIMMED)?.partition(0)?;
        let length = u64::try_from(partition.end() - partition.start()).unwrap_or_default();
        let before = partition.start() + self.random.below(length + 1) as i64;
        tell(&format!("k {TRIMMED} 0 {before}\n"));
        partition.delete_records(before)?;
        tell(&format!("K {TRIMMED} 0 {before}\n"));
        Ok(())
    }

    /// Makes a topic with a record in it, and deletes one that it made before.
    pub(crate) fn change_topics(&mut self) -> annals::Result<()> {
        let name = |number: u64| format!("t{}.{}.{number}", self.life, self.thread);
        let (newer, older) = (name(self.topics), self.topics.checked_sub(2).map(name));
        self.topics += 1;
        tell(&format!("c {newer}\n"));
        self.store.create_topic(&newer, TopicConfig::new().partitions(2).segment_bytes(32 << 10))?;
        tell(&format!("C {newer}\n"));
        self.send(Durability::Disk, &newer, 1)?;
        if let Some(older) = older {
            tell(&format!("x {older}\n"));
            self.store.delete_topic(&older)?;
            tell(&format!("X {older}\n"));
        }
        Ok(())
    }

    /// Reads what is durable and commits it.
    pub(crate) fn consumer(&self) -> annals::Result<Consumer> {
        let consumer = self.store.consumer_builder().group(format!("group{}", self.thread));
        let consumer = consumer.read_durable_only().commit_durability(Durability::Disk).max_poll_records(20);
        let mut consumer = consumer.build()?;
        consumer.assign([(PLAIN, 0)])?;
        Ok(consumer)
    }

    pub(crate) fn commit(&self, consumer: &mut Consumer) -> annals::Result<()> {
        consumer.poll(Duration::from_millis(2))?;
        consumer.commit()?;
        if let Some(offset) = consumer.committed((PLAIN, 0)) {
            tell(&format!("G group{} {PLAIN} 0 {offset}\n", self.thread));
        }
        Ok(())
    }

    /// Does it, and says what went wrong.
    pub(crate) fn attempt<T>(
        &mut self,
        what: &str,
        act: impl FnOnce(&mut Self) -> annals::Result<T>,
    ) -> Option<T> {
        act(self).map_err(|error| tell_error(what, &error)).ok()
    }
}

fn kind(level: Durability) -> char {
    match level {
        Durability::Disk => 'D',
        Durability::Os => 'A',
        Durability::Memory => 'M',
    }
}
