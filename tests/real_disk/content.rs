//! What a record holds follows from who sent it and as which: nobody has to remember its bytes.

use annals::Timestamp;

/// The topics that every store has. Others are made, and deleted, as it goes.
pub(crate) const PLAIN: &str = "plain";
pub(crate) const ZIPPED: &str = "zipped";
pub(crate) const KEPT: &str = "kept";
pub(crate) const TRIMMED: &str = "trimmed";
pub(crate) const TABLE: &str = "table";
/// Keys of the compacted topic.
const TABLE_KEYS: u64 = 12;

/// Who sent a record, and as which of its thread's records to that partition. One life is one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) life: u64,
    pub(crate) thread: u64,
    pub(crate) number: u64,
    /// The batch it was sent in: number of the first record, and how many.
    pub(crate) first: u64,
    pub(crate) count: u64,
}

impl Id {
    pub(crate) fn key(&self, topic: &str) -> Option<String> {
        if topic == TABLE {
            return Some(format!("row {}", self.mixed() % TABLE_KEYS));
        }
        (!self.number.is_multiple_of(3)).then(|| format!("{} {}", self.life, self.number))
    }

    /// From a few bytes to several pages, and rarely on a page's boundary.
    pub(crate) fn value(&self) -> Vec<u8> {
        let mixed = self.mixed();
        let size = match mixed % 10 {
            // A batch has to fit into a segment.
            _ if self.count > 1 => 10 + mixed / 16 % 3900,
            0..6 => 10 + mixed / 16 % 300,
            6..9 => 300 + mixed / 16 % 4200,
            _ => 4500 + mixed / 16 % 16_000,
        };
        self.value_of(size)
    }

    /// Above 4 KiB: a page that is lost is not healed by what is written next.
    pub(crate) fn long_value(&self) -> Vec<u8> {
        self.value_of(5000 + self.mixed() % 5000)
    }

    fn value_of(&self, size: u64) -> Vec<u8> {
        let Self { life, thread, number, first, count } = self;
        let mut value = format!("{life} {thread} {number} {first} {count} {size} ").into_bytes();
        let mut state = self.mixed();
        for _ in 0..size.div_ceil(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            value.extend_from_slice(&state.to_le_bytes());
        }
        value
    }

    /// The record that has this value, if one has.
    pub(crate) fn of_value(value: &[u8]) -> Option<Self> {
        let head = &value[..value.len().min(120)];
        let mut words =
            head.split(|byte| *byte == b' ').map(|word| std::str::from_utf8(word).ok()?.parse().ok());
        let mut word = || words.next().flatten();
        let id = Self { life: word()?, thread: word()?, number: word()?, first: word()?, count: word()? };
        (id.value_of(word()?) == value).then_some(id)
    }

    fn mixed(&self) -> u64 {
        let sum = (self.life << 40) ^ (self.thread << 32) ^ self.number;
        let mut mixed = sum.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) | 1
    }
}

/// A record and its place: what is told of one that was sent, and of one that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) topic: String,
    pub(crate) partition: u32,
    pub(crate) offset: i64,
    pub(crate) timestamp: Timestamp,
    pub(crate) id: Id,
}

impl Seen {
    pub(crate) fn line(&self, kind: char) -> String {
        let Self { topic, partition, offset, timestamp, id } = self;
        let Id { life, thread, number, first, count } = id;
        format!("{kind} {topic} {partition} {offset} {timestamp} {life} {thread} {number} {first} {count}\n")
    }

    /// From a line that says it was acknowledged, at whatever level.
    pub(crate) fn acknowledged(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.strip_prefix(['D', 'A', 'M'])?.strip_prefix(' ')?.split(' ').collect();
        Self::of_words(&words)
    }

    /// From the words behind the kind.
    pub(crate) fn of_words(words: &[&str]) -> Option<Self> {
        let [topic, partition, offset, timestamp, id @ ..] = words else { return None };
        let id: Vec<u64> = id.iter().map_while(|word| word.parse().ok()).collect();
        let [life, thread, number, first, count] = id[..] else { return None };
        Some(Self {
            topic: (*topic).to_owned(),
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
            timestamp: timestamp.parse().ok()?,
            id: Id { life, thread, number, first, count },
        })
    }
}
