//! Which records retention, deletion and erasure may take.

use std::time::Duration;

use super::entry::Entry;
use super::life::{KEYS, Life};
use crate::log::RetentionPolicy;
use crate::types::Offset;

impl Life {
    pub(super) fn retain(&mut self) {
        let mut limit = |one_in, most| self.random.one_in(one_in).then(|| self.random.below(most));
        let policy = RetentionPolicy {
            max_age: limit(2, 60_000).map(Duration::from_millis),
            max_bytes: limit(3, 6_000),
            max_records: limit(4, 100),
            keep_from: None,
            is_all_or_nothing: false,
        };
        let report = self.log().apply_retention(|| policy).unwrap();
        assert_eq!(report.start, self.log().start());
        for removed in &report.removed {
            let inside = |entry: &&Entry| (removed.base_offset..removed.next_offset).contains(&entry.offset);
            let found = self.entries.iter().filter(inside).count() as u64;
            assert!(found <= removed.records && removed.next_offset <= report.start);
        }
        self.start_at(report.start);
    }

    pub(super) fn delete(&mut self) {
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

    pub(super) fn erase(&mut self) {
        let key = format!("key {}", self.random.below(KEYS)).into_bytes();
        let report = self.log().erase(&|found| found == key).unwrap();
        let before = self.entries.len();
        self.entries.retain(|entry| entry.key.as_ref() != Some(&key));
        assert!(report.records >= (before - self.entries.len()) as u64);
    }
}
