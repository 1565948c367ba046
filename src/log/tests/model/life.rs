//! A log that lives by chance, beside the model of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::compaction::Tombstone;
use super::entry::Entry;
use super::random::Random;
use crate::format::{Codec, Compression};
use crate::io::Clock;
use crate::log::tests::faulty::Faulty;
use crate::log::tests::place::Place;
use crate::log::tests::{config, how};
use crate::log::{Log, LogConfig, Reader};
use crate::segment::ReadMode;
use crate::types::{Durability, Offset};

/// How many keys the records have.
pub(super) const KEYS: u64 = 12;

/// A log, and what it holds if all is well.
pub(super) struct Life {
    pub(super) place: Place,
    codec: Codec,
    log: Option<Arc<Log>>,
    pub(super) random: Random,
    /// What can be read, in order.
    pub(super) entries: Vec<Entry>,
    pub(super) tombstones: BTreeMap<Offset, Tombstone>,
    pub(super) start: Offset,
    pub(super) end: Offset,
    /// Reads on and on.
    pub(super) follower: Option<Reader>,
    pub(super) delete_retention: i64,
}

impl Life {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mode = if random.one_in(2) { ReadMode::Mapped } else { ReadMode::Positional };
        let place = Place::in_memory(mode, Arc::new(Faulty::never()));
        let codec = Codec::ALL[usize::try_from(random.below(5)).unwrap()];
        let log = Some(open_with(&place, codec));
        let delete_retention = random.signed(20_000);
        let (entries, tombstones) = (Vec::new(), BTreeMap::new());
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

    pub(super) fn log(&self) -> Arc<Log> {
        Arc::clone(self.log.as_ref().unwrap())
    }

    pub(super) fn step(&mut self) {
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
            let records: Vec<_> = entries.iter().map(Entry::record).collect();
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
}

fn open_with(place: &Place, codec: Codec) -> Arc<Log> {
    let log = place.open();
    log.set_config(LogConfig { compression: Compression::of(codec), ..config(500) });
    log
}
