//! What holds at every moment, and of what is handed out.

use std::collections::BTreeMap;

use super::{Fate, Known, LIMIT, World};
use crate::share::doubts::{Permit, Share};
use crate::types::Offset;

impl World {
    /// What was handed out before is due, and counted; a last attempt comes alone.
    pub(super) fn check_taken(&self, taken: &[(Offset, i16)], permit: Permit) {
        for (number, (offset, count)) in taken.iter().enumerate() {
            let known = &self.records[offset];
            assert!(self.is_due(*offset), "{offset} was handed out: {known:?}");
            assert_eq!(*count, known.count + 1, "{offset}");
            let may_go = if *count == LIMIT { permit.last } else { permit.doubted };
            assert!(may_go || !known.is_watched_at(*count), "{offset} goes out beside what is out elsewhere");
            assert!(*count <= LIMIT, "{offset} was handed out {count} times");
            let doubtful = count >= &2 && *count == LIMIT;
            assert!(
                !doubtful || taken.len() == 1,
                "the last attempt of {offset} is number {number} of {taken:?}"
            );
        }
    }

    pub(super) fn check(&mut self) {
        let start = self.state.start();
        let is_open = |known: &Known| !matches!(known.fate, Fate::Done | Fate::GivenUp);
        let first_open = self.records.range(..self.state.end()).find(|(_, known)| is_open(known));
        if let Some((offset, _)) = first_open {
            assert!(start <= *offset, "{offset} is not done, and lies below the start {start}");
        }
        for (offset, known) in self.records.range(start..self.state.end()) {
            let out = matches!(known.fate, Fate::Out(_));
            let id = if let Fate::Out(lock) = known.fate { lock.id } else { 0 };
            if out && !matches!(known.fate, Fate::Out(lock) if lock.until <= self.now) {
                assert!(self.state.held(*offset, id, self.now).is_some(), "{offset} is out");
            }
        }
        if self.is_ordered {
            let mut out = BTreeMap::new();
            for (offset, known) in &self.records {
                if let (Some(key), Fate::Out(_)) = (known.key, known.fate) {
                    let other = out.insert(key, *offset);
                    assert_eq!(other, None, "{offset} is out beside another of its key");
                }
            }
        }
        let watched =
            self.records.values().filter(|known| known.is_watched && matches!(known.fate, Fate::Out(_)));
        let ends = watched
            .clone()
            .filter_map(|known| if let Fate::Out(lock) = known.fate { Some(lock.until) } else { None })
            .max();
        let share = self.state.doubts.share();
        let is_last = watched.clone().any(|known| known.count == LIMIT);
        let expected = ends.map(|until| Share { until, is_last });
        assert_eq!(share, expected, "of what is out");
        self.state.check();
    }
}
