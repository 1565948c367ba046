//! What readers see, against what the model holds.

use std::sync::Arc;

use super::entry::Entry;
use super::life::Life;
use crate::error::Error;
use crate::io::Clock;
use crate::log::{FetchLimits, Log, OnDamage, Reader, RecordSlice, Visibility};
use crate::types::Offset;

impl Life {
    /// One fetch of a reader that lives through everything: it must not miss what is there.
    pub(super) fn follow(&mut self) {
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

    pub(super) fn read(&self) -> Vec<Entry> {
        read_entries(&self.log(), self.log().start())
    }

    pub(super) fn check(&mut self) {
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

    /// Single records, from `from` on.
    fn check_each(&self, log: &Arc<Log>, from: Offset) {
        for offset in from..self.end.min(from + 5) {
            let found = log.get(offset, Entry::of).unwrap();
            let at = self.entries.binary_search_by_key(&offset, |entry| entry.offset);
            assert_eq!(found.as_ref(), at.ok().and_then(|at| self.entries.get(at)), "at {offset}");
        }
        for outside in [self.start - 1, self.end] {
            assert!(matches!(log.get(outside, Entry::of), Err(Error::OffsetOutOfRange { .. })));
        }
    }
}

fn read_entries(log: &Arc<Log>, from: Offset) -> Vec<Entry> {
    let mut reader = Reader::new(Arc::clone(log), from, Visibility::Written, OnDamage::Fail);
    let mut entries = Vec::new();
    loop {
        let slices = reader.fetch(FetchLimits { max_records: 50, max_bytes: 4000 }).unwrap();
        if slices.is_empty() {
            return entries;
        }
        entries.extend(slices.iter().flat_map(RecordSlice::iter).map(Entry::of));
    }
}
