//! Random topics in a store of annals.

use std::path::{Path, PathBuf};
use std::time::Duration;

use annals::{CleanupPolicy, Codec, Durability, Partition, Record, Store, TimestampType, TopicConfig};

use crate::Answer;
use crate::content::Content;
use crate::high_start::begin_at;
use crate::random::Random;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const NOON: i64 = 1_700_000_000_000;

/// What was done to a topic; what it holds is asked of annals when all is done.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub index_interval: usize,
    pub partitions: u32,
    config: TopicConfig,
    base: i64,
    /// Whether Kafka's cleaner is to be compared with ours.
    pub is_compacted: bool,
    /// Whether tombstones go with the second compaction.
    pub forgets: bool,
    batches: usize,
    keys: usize,
    times: Times,
    is_shortened: bool,
    seed: u64,
}

#[derive(Debug, Clone, Copy)]
enum Times {
    Rising,
    Any,
    Equal,
}

impl Plan {
    pub fn random(name: String, random: &mut Random) -> Self {
        let index_interval = *random.of(&[0, 1, 100, 500, 4096]);
        let is_compacted = random.one_in(3);
        let mut config = TopicConfig::new()
            .compression_type(*random.of(&CODECS))
            .segment_bytes(*random.of(&[10_000, 14_000, 30_000, 1 << 20]))
            .index_interval_bytes(index_interval)
            .max_message_bytes(1 << 20);
        let forgets = is_compacted && random.one_in(3);
        if is_compacted {
            config = config.cleanup_policy(CleanupPolicy::Compact);
        }
        if forgets {
            config = config.delete_retention(Duration::ZERO);
        }
        if random.one_in(8) {
            config = config.message_timestamp_type(TimestampType::LogAppendTime);
        }
        Self {
            name,
            index_interval: index_interval as usize,
            partitions: 1,
            config,
            base: *random.of(&[0, 0, 0, (1 << 31) - 2, (1 << 32) + 7, 1 << 53]),
            is_compacted,
            forgets,
            batches: 1 + random.below(60),
            keys: 1 + random.below(30),
            times: *random.of(&[Times::Rising, Times::Any, Times::Equal]),
            is_shortened: random.one_in(4),
            seed: random.next(),
        }
    }

    /// Several segments of plain records, indexed often.
    pub fn plain(name: String) -> Self {
        Self {
            name,
            index_interval: 100,
            partitions: 1,
            config: TopicConfig::new().segment_bytes(10_000).index_interval_bytes(100),
            base: 0,
            is_compacted: false,
            forgets: false,
            batches: 100,
            keys: 10,
            times: Times::Rising,
            is_shortened: false,
            seed: 7,
        }
    }

    /// Creates the topic where it is to begin; the store is not open.
    pub fn create(&self, store: &Path) -> Answer<()> {
        let open = Store::builder(store).maintain_by_hand().open()?;
        let topic = open.create_topic(&self.name, self.config.clone().partitions(self.partitions))?;
        if self.base > 0 {
            // Whatever has a state file to begin with.
            for partition in topic.partitions() {
                partition.append(&[Record::new().key("first")], Durability::Os)?;
            }
        }
        open.close()?;
        if self.base > 0 {
            for partition in 0..self.partitions {
                begin_at(&store.join(format!("{}-{partition}", self.name)), self.base);
            }
        }
        Ok(())
    }

    /// The directory of the first partition.
    pub fn dir(&self, store: &Path) -> PathBuf {
        store.join(format!("{}-0", self.name))
    }

    pub fn fill(&self, store: &Store) -> Answer<()> {
        let mut random = Random::new(self.seed);
        let topic = store.topic(&self.name)?;
        for partition in topic.partitions() {
            self.fill_partition(&partition, &mut random)?;
        }
        Ok(())
    }

    fn fill_partition(&self, partition: &Partition, random: &mut Random) -> Answer<()> {
        let mut clock = NOON;
        for batch in 0..self.batches {
            let most = if random.one_in(10) { 60 } else { 5 };
            let count = 1 + random.below(most);
            let mut contents = Vec::new();
            for _ in 0..count {
                clock = match self.times {
                    Times::Rising => clock + random.below(1000) as i64,
                    Times::Any => NOON + random.below(100_000) as i64,
                    Times::Equal => NOON,
                };
                let mut content = Content::random(random, clock, self.keys);
                if self.is_compacted {
                    // A record without a key is refused there, as by Kafka.
                    content.key.get_or_insert_default();
                }
                contents.push(content);
            }
            let records: Vec<_> = contents.iter().map(Content::record).collect();
            if partition.append(&records, Durability::Os).is_err() {
                // Together they are larger than a segment.
                for record in records {
                    partition.append(&[record], Durability::Os)?;
                }
            }
            if self.is_shortened && batch == self.batches / 2 {
                let len = partition.end() - partition.start();
                partition.delete_records(partition.start() + random.below(len as usize) as i64)?;
            }
        }
        Ok(())
    }
}

/// What annals says is in a partition.
#[derive(Debug, Clone)]
pub struct Found {
    pub start: i64,
    pub end: i64,
    pub records: Vec<Content>,
    /// Times, and the first record at or after each.
    pub times: Vec<(i64, String)>,
}

impl Found {
    /// All records, and the answers for some times.
    pub fn read(partition: &Partition, random: &mut Random) -> Answer<Self> {
        let records: Vec<_> = partition
            .read(..)?
            .into_iter()
            .map(|record| record.map(Content::read))
            .collect::<Result<_, _>>()?;
        let mut asked: Vec<i64> = (0..6).map(|_| NOON + random.below(110_000) as i64 - 5000).collect();
        for _ in 0..6 {
            if !records.is_empty() {
                asked.push(random.of(&records).timestamp + random.below(3) as i64 - 1);
            }
        }
        let mut times = Vec::new();
        for time in asked {
            let answer = partition.offset_for_time(time)?;
            times.push((
                time,
                answer.map_or("none".to_owned(), |found| format!("{} {}", found.offset, found.timestamp)),
            ));
        }
        Ok(Self { start: partition.start(), end: partition.end(), records, times })
    }
}
