//! How many things were done within the last minute.

use crate::types::Timestamp;

const MINUTE_MS: Timestamp = 60_000;

/// Counts of this minute and of the one before. Of that one a part is counted as large as what is left of this one: as if all of it
/// had been done evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pace {
    minute: Timestamp,
    this: u64,
    before: u64,
}

impl Pace {
    pub(super) fn note(&mut self, now: Timestamp, count: u64) {
        *self = self.at(now);
        self.this += count;
    }

    fn at(self, now: Timestamp) -> Self {
        let minute = now.div_euclid(MINUTE_MS);
        match minute.saturating_sub(self.minute) {
            // A clock that was set back by a moment stays in its minute.
            -1..=0 => self,
            1 => Self { minute, this: 0, before: self.this },
            _ => Self { minute, this: 0, before: 0 },
        }
    }

    pub(super) fn in_last_minute(self, now: Timestamp) -> u64 {
        let Self { minute, this, before } = self.at(now);
        let over = now.saturating_sub(minute.saturating_mul(MINUTE_MS)).clamp(0, MINUTE_MS);
        let left = u64::try_from(MINUTE_MS - over).unwrap_or(0);
        this + before.saturating_mul(left) / MINUTE_MS.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_evenly_is_counted_for_a_minute() {
        let mut pace = Pace::default();
        for second in 0..90 {
            pace.note(second * 1000, 10);
        }
        assert_eq!(pace.in_last_minute(90_000), 600);
        assert_eq!(pace.in_last_minute(120_000), 300, "of the half minute that is left of what was done");
        assert_eq!(pace.in_last_minute(150_000), 150);
        assert_eq!(pace.in_last_minute(180_000), 0);
        assert_eq!(pace.in_last_minute(5_000), 300 + 600, "the clock was set back");
    }

    #[test]
    fn a_clock_that_was_set_back_for_good_stayed_in_its_minute_until_it_came_there_again() {
        let mut pace = Pace::default();
        pace.note(10 * MINUTE_MS, 100);
        assert_eq!(pace.in_last_minute(5 * MINUTE_MS), 0, "nothing by that clock");
        for minute in 5..9 {
            pace.note(minute * MINUTE_MS, 10);
        }
        assert_eq!(pace.in_last_minute(8 * MINUTE_MS + 30_000), 10 + 5);
    }
}
