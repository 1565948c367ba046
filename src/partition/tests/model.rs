//! A log and a model of it: whatever is done, the log holds what the model holds.
//!
//! `ANNALS_MODEL_SEEDS` and `ANNALS_MODEL_OPS` say how many lives are tried, and how long each is.

use super::faulty::Faulty;
use super::place::Place;
use super::*;
use crate::error::Error;
use crate::format::RawRecord;

const KEYS: u64 = 12;

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn signed(&mut self, bound: u64) -> i64 {
        i64::try_from(self.below(bound)).unwrap()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    offset: Offset,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

/// What a compaction owes a tombstone.
#[derive(Debug, Clone, Copy)]
struct Tombstone {
    /// The first compaction after it was appended: before that and the delete retention it cannot go.
    first_seen: i64,
    /// The first compaction that covered it: after that and the delete retention it must go.
    covered: Option<i64>,
}

struct Life {
    place: Place,
    codec: Codec,
    log: Option<Arc<Log>>,
    random: Random,
    /// What can be read, in order.
    entries: Vec<Entry>,
    tombstones: std::collections::BTreeMap<Offset, Tombstone>,
    start: Offset,
    end: Offset,
    /// Reads on and on.
    follower: Option<Reader>,
    delete_retention: i64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let mode = if random.one_in(2) { ReadMode::Mapped } else { ReadMode::Positional };
        let place = Place::in_memory(mode, Arc::new(Faulty::never()));
        let codec = Codec::ALL[usize::try_from(random.below(5)).unwrap()];
        let log = Some(open_with(&place, codec));
        let delete_retention = random.signed(20_000);
        let (entries, tombstones) = (Vec::new(), std::collections::BTreeMap::new());
        Self {
            place,
            log,
            random,
            entries,
            tombstones,
            codec,
            start: 0,
            end: 0,
            follower: None,
            delete_retention,
        }
    }

    fn log(&self) -> Arc<Log> {
        Arc::clone(self.log.as_ref().unwrap())
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..8 => self.send(),
            8..10 => self.place.clock.advance(Duration::from_millis(self.random.below(10_000))),
            10 => _ = self.log().roll().unwrap(),
            11 => {
                _ = self.log().roll_if_idle(self.place.clock.now() + self.random.signed(7_200_000)).unwrap()
            }
            12..15 => self.compact(),
            15 => self.retain(),
            16 => self.delete(),
            17 => self.erase(),
            18 => self.reopen(),
            _ => self.log().flush().unwrap(),
        }
        if self.random.one_in(3) {
            self.follow();
        }
        self.check();
    }

    fn send(&mut self) {
        for _ in 0..=self.random.below(6) {
            let count = 1 + self.random.below(4);
            let entries: Vec<_> = (0..count).map(|_| self.entry()).collect();
            let records: Vec<_> = entries.iter().map(record).collect();
            let durability = [Durability::Memory, Durability::Os, Durability::Disk];
            let durability = durability[usize::try_from(self.random.below(3)).unwrap()];
            let appended = self.log().append(&records, &how(durability)).unwrap();
            assert_eq!(appended.last_offset + 1, self.end);
            self.entries.extend(entries);
        }
    }

    fn entry(&mut self) -> Entry {
        let offset = self.end;
        self.end += 1;
        let now = self.place.clock.now();
        let timestamp = if self.random.one_in(2) { now } else { now - 20_000 + self.random.signed(40_000) };
        let key = (!self.random.one_in(20)).then(|| format!("key {}", self.random.below(KEYS)).into_bytes());
        let value = (!self.random.one_in(4)).then(|| {
            let len = usize::try_from(self.random.below(40)).unwrap();
            format!("{offset}:{}", "x".repeat(len)).into_bytes()
        });
        Entry { offset, timestamp, key, value }
    }

    fn compact(&mut self) {
        let effort = if self.random.one_in(3) { Effort::WhenDue } else { Effort::Now };
        let config = CompactionConfig {
            effort,
            memory_bytes: if self.random.one_in(2) { 0 } else { 1 << 20 },
            delete_retention: Duration::from_millis(self.delete_retention.unsigned_abs()),
            min_lag: Duration::from_millis(if self.random.one_in(3) { self.random.below(10_000) } else { 0 }),
            max_lag: self.random.one_in(3).then_some(Duration::from_secs(5)),
            min_dirty_ratio: 0.3,
            now: self.place.clock.now(),
        };
        let before = std::mem::take(&mut self.entries);
        let report = self.log().compact(&config).unwrap();
        self.entries = self.read();
        if effort == Effort::Now && config.min_lag.is_zero() {
            assert_eq!(report.cleaned_until, self.end);
        }
        if report.rounds == 0 {
            assert_eq!(self.entries, before);
        }
        self.check_compacted(&before, report.cleaned_until, &config);
    }

    fn check_compacted(&mut self, before: &[Entry], until: Offset, config: &CompactionConfig) {
        let stayed =
            |entry: &Entry| self.entries.binary_search_by_key(&entry.offset, |entry| entry.offset).is_ok();
        assert!(self.entries.iter().all(|entry| before.contains(entry)), "nothing is made up");
        for (at, entry) in before.iter().enumerate() {
            let later = before[at + 1..].iter().find(|later| later.key == entry.key && later.offset < until);
            let now = config.now;
            let is_covered = entry.offset < until;
            if entry.value.is_none() {
                let tombstone = self.tombstones.entry(entry.offset);
                let tombstone = tombstone.or_insert(Tombstone { first_seen: now, covered: None });
                let may_go = now >= tombstone.first_seen + self.delete_retention && is_covered;
                let must_go = tombstone.covered.is_some_and(|covered| now >= covered + self.delete_retention);
                if is_covered {
                    tombstone.covered.get_or_insert(now);
                }
                if entry.key.is_some() && later.is_none() && may_go && !must_go {
                    continue;
                }
                if entry.key.is_some() && later.is_none() && must_go {
                    assert!(!stayed(entry) || self.is_postponed(config), "{entry:?} is overdue");
                    continue;
                }
            }
            let is_dead = is_covered && (entry.key.is_none() || later.is_some());
            assert_eq!(stayed(entry), !is_dead, "{entry:?} until {until}");
        }
    }

    /// A compaction that found the segment too young for another look, or in a part that it did not come to.
    fn is_postponed(&self, config: &CompactionConfig) -> bool {
        config.effort == Effort::WhenDue || !config.min_lag.is_zero()
    }

    fn retain(&mut self) {
        let mut limit = |one_in, most| self.random.one_in(one_in).then(|| self.random.below(most));
        let policy = RetentionPolicy {
            max_age: limit(2, 60_000).map(Duration::from_millis),
            max_bytes: limit(3, 6_000),
            max_records: limit(4, 100),
            keep_from: None,
        };
        let report = self.log().apply_retention(&policy).unwrap();
        assert_eq!(report.start, self.log().start());
        for removed in &report.removed {
            let inside = |entry: &&Entry| (removed.base..removed.next_offset).contains(&entry.offset);
            let found = self.entries.iter().filter(inside).count() as u64;
            assert!(found <= removed.records && removed.next_offset <= report.start);
        }
        self.start_at(report.start);
    }

    fn delete(&mut self) {
        let before = self.start + self.random.signed(1 + (self.end - self.start).unsigned_abs() / 2);
        let report = self.log().delete_records(before).unwrap();
        assert!(report.start >= before);
        assert!(self.entries.iter().all(|entry| entry.offset < before || entry.offset >= report.start));
        self.start_at(report.start);
    }

    fn start_at(&mut self, start: Offset) {
        assert!(start >= self.start);
        self.start = start;
        self.entries.retain(|entry| entry.offset >= start);
    }

    fn erase(&mut self) {
        let key = format!("key {}", self.random.below(KEYS)).into_bytes();
        let report = self.log().erase(&|found| found == key).unwrap();
        let before = self.entries.len();
        self.entries.retain(|entry| entry.key.as_ref() != Some(&key));
        assert!(report.records >= (before - self.entries.len()) as u64);
    }

    fn reopen(&mut self) {
        self.follower = None;
        let log = self.log.take().unwrap();
        if self.random.one_in(2) {
            log.close().unwrap();
        } else {
            log.flush().unwrap();
        }
        drop(log);
        self.log = Some(open_with(&self.place, self.codec));
    }

    /// One fetch of a reader that lives through everything: it must not miss what is there.
    fn follow(&mut self) {
        let log = self.log();
        let start = self.start;
        let new = || Reader::new(Arc::clone(&log), start, Visibility::Written, OnDamage::Fail);
        let mut reader = self.follower.take().unwrap_or_else(new);
        let from = reader.position();
        let limits = FetchLimits {
            max_records: 1 + usize::try_from(self.random.below(20)).unwrap(),
            max_bytes: 1 + usize::try_from(self.random.below(500)).unwrap(),
        };
        match reader.fetch(limits) {
            Ok(slices) => {
                let found: Vec<_> =
                    slices.iter().flat_map(RecordSlice::iter).map(|record| record.offset).collect();
                assert!(found.is_sorted() && found.iter().all(|offset| *offset >= from));
                let more = self.entries.last().is_some_and(|last| last.offset >= from);
                assert_eq!(found.is_empty(), !more, "from {from}");
                let lives =
                    |offset: &Offset| self.entries.binary_search_by_key(offset, |entry| entry.offset).is_ok();
                assert!(found.iter().all(lives), "from {from}: {found:?}");
                let due = self.entries.iter().map(|entry| entry.offset);
                let mut due = due.filter(|offset| (from..reader.position()).contains(offset));
                assert!(due.all(|offset| found.contains(&offset)), "from {from}: {found:?}");
            }
            Err(Error::OffsetOutOfRange { .. }) => {
                assert!(from < start);
                reader.seek(start);
            }
            Err(error) => panic!("{error}"),
        }
        self.follower = Some(reader);
    }

    fn read(&self) -> Vec<Entry> {
        read_entries(&self.log(), self.log().start())
    }

    fn check(&mut self) {
        let log = self.log();
        assert_eq!(self.read(), self.entries);
        assert_eq!((log.start(), log.end()), (self.start, self.end));
        let from = self.start + self.random.signed(1 + (self.end - self.start).unsigned_abs());
        let behind = self.entries.partition_point(|entry| entry.offset < from);
        assert_eq!(read_entries(&log, from), self.entries[behind..]);
        self.check_each(&log, from);
        let time = self.place.clock.now() - self.random.signed(100_000);
        let found = log.offset_for_time(time).unwrap().map(|found| found.offset);
        let expected = self.entries.iter().find(|entry| entry.timestamp >= time);
        assert_eq!(found, expected.map(|entry| entry.offset), "at {time}");
    }
}

impl Life {
    /// Single records, from `from` on.
    fn check_each(&self, log: &Arc<Log>, from: Offset) {
        for offset in from..self.end.min(from + 5) {
            let found = log.get(offset, entry).unwrap();
            let at = self.entries.binary_search_by_key(&offset, |entry| entry.offset);
            assert_eq!(found.as_ref(), at.ok().and_then(|at| self.entries.get(at)), "at {offset}");
        }
        for outside in [self.start - 1, self.end] {
            assert!(matches!(log.get(outside, entry), Err(Error::OffsetOutOfRange { .. })));
        }
    }
}

fn open_with(place: &Place, codec: Codec) -> Arc<Log> {
    let log = place.open();
    log.set_config(LogConfig { compression: Compression::of(codec), ..config(500) });
    log
}

fn record(entry: &Entry) -> Record<'_> {
    let mut record = Record::new().timestamp(entry.timestamp);
    if let Some(key) = &entry.key {
        record = record.key(key);
    }
    if let Some(value) = &entry.value {
        record = record.value(value);
    }
    record
}

fn read_entries(log: &Arc<Log>, from: Offset) -> Vec<Entry> {
    let mut reader = Reader::new(Arc::clone(log), from, Visibility::Written, OnDamage::Fail);
    let mut entries = Vec::new();
    loop {
        let slices = reader.fetch(FetchLimits { max_records: 50, max_bytes: 4000 }).unwrap();
        if slices.is_empty() {
            return entries;
        }
        entries.extend(slices.iter().flat_map(RecordSlice::iter).map(entry));
    }
}

fn entry(record: RawRecord<'_>) -> Entry {
    Entry {
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
    }
}

fn count(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn the_log_holds_what_the_model_holds() {
    let (seeds, ops) = (count("ANNALS_MODEL_SEEDS", 200), count("ANNALS_MODEL_OPS", 60));
    for seed in 1..=seeds {
        let lived = std::panic::catch_unwind(|| {
            let mut life = Life::new(seed);
            (0..ops).for_each(|_| life.step());
        });
        assert!(lived.is_ok(), "seed {seed}");
    }
}
