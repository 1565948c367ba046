//! Which records a compaction may take, and which it must.

use std::time::Duration;

use super::entry::Entry;
use super::life::Life;
use crate::io::Clock;
use crate::log::{CompactionConfig, Effort};
use crate::types::Offset;

/// What a compaction owes a tombstone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tombstone {
    /// The first compaction after it was appended: before that and the delete retention it cannot go.
    pub(super) first_seen: i64,
    /// The first compaction that covered it: after that and the delete retention it must go.
    pub(super) covered: Option<i64>,
}

impl Life {
    pub(super) fn compact(&mut self) {
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
        let report = self.log().compact(&|| Some(config)).unwrap();
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
}
