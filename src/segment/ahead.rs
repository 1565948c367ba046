//! How much space is allocated ahead of the writes: as much again as the segment has, and on a disk that is nearly full a part of what there
//! is. A refusal costs a call of the system that looks for that much room, so what was refused is not asked for at each append.

/// Least and most that is allocated ahead.
const LEAST: u64 = 4 * 1024;
const MOST: u64 = 16 * 1024 * 1024;
/// So often a step is granted before one twice as large, which was refused, is tried again.
const GRANTS: u32 = 8;
/// So many bytes are written without asking, once the least was refused.
const UNASKED: u64 = 4 * LEAST;

/// What was granted and refused to one segment so far.
#[derive(Debug)]
pub(in crate::segment) struct Ahead {
    most: u64,
    /// How often something was granted since `most` is what it is.
    grants: u32,
    /// Up to this length of the file nothing is asked for.
    silent_to: u64,
}

impl Ahead {
    /// Nothing was refused.
    pub(in crate::segment) const NEW: Self = Self { most: MOST, grants: 0, silent_to: 0 };

    /// What length to ask for, where the file is to have `end` bytes and may have `most_bytes`; `None` where that was refused not long ago.
    pub(in crate::segment) fn goal(&self, end: u64, most_bytes: u64) -> Option<u64> {
        (end > self.silent_to).then(|| (end + self.step(end)).min(most_bytes).max(end))
    }

    fn step(&self, end: u64) -> u64 {
        end.clamp(LEAST, self.most)
    }

    pub(in crate::segment) fn note_granted(&mut self) {
        self.grants += 1;
        if self.grants >= GRANTS {
            (self.most, self.grants) = ((self.most * 2).min(MOST), 0);
        }
    }

    /// True when half of it is to be asked for. Where the refusal is no want of room, less would be refused, too.
    pub(in crate::segment) fn note_refused(&mut self, end: u64, is_disk_full: bool) -> bool {
        let step = self.step(end);
        let may_be_less = is_disk_full && step > LEAST;
        if may_be_less {
            (self.most, self.grants) = ((step / 2).max(LEAST), 0);
        } else {
            self.silent_to = end + UNASKED;
        }
        may_be_less
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Appends of so many bytes to a disk with `room` for the file: calls that were granted, and refused.
    fn fill(room: u64, batch: u64) -> (u64, u64) {
        let (mut ahead, mut allocated, mut end) = (Ahead::NEW, 0, 0);
        let (mut granted, mut refused) = (0, 0);
        while end + batch <= room {
            end += batch;
            while end > allocated
                && let Some(goal) = ahead.goal(end, u64::MAX)
            {
                if goal <= room {
                    (allocated, granted) = (goal, granted + 1);
                    ahead.note_granted();
                } else {
                    refused += 1;
                    if !ahead.note_refused(end, true) {
                        break;
                    }
                }
            }
        }
        (granted, refused)
    }

    #[test]
    fn as_much_again_as_there_is_and_no_call_in_vain_where_there_is_room() {
        assert_eq!(Ahead::NEW.goal(100, u64::MAX), Some(100 + LEAST));
        assert_eq!(Ahead::NEW.goal(MIB, u64::MAX), Some(2 * MIB));
        assert_eq!(Ahead::NEW.goal(99 * MIB, u64::MAX), Some(115 * MIB));
        assert_eq!(Ahead::NEW.goal(99 * MIB, 100 * MIB), Some(100 * MIB));
        assert_eq!(Ahead::NEW.goal(99, 9), Some(99));
    }

    #[test]
    fn a_disk_that_fills_up_was_asked_in_vain_by_every_append() {
        for (room, batch) in [(11 * MIB, 1064), (11 * MIB, 100), (40 * MIB, 1064), (11 * MIB, 20_000)] {
            let (granted, refused) = fill(room, batch);
            assert!(refused < room / batch / 8, "{refused} of {} appends", room / batch);
            assert!(refused < 60, "{granted} granted, {refused} refused");
        }
    }

    #[test]
    fn what_is_freed_is_asked_for_after_a_while() {
        let mut ahead = Ahead::NEW;
        while ahead.note_refused(MIB, true) {}
        assert_eq!(ahead.goal(MIB + 1, u64::MAX), None);
        let mut end = MIB + UNASKED + 1;
        let mut calls = 0;
        while let Some(goal) = ahead.goal(end, u64::MAX).filter(|goal| goal - end < MIB) {
            ahead.note_granted();
            (end, calls) = (goal + 1, calls + 1);
        }
        assert!((50..100).contains(&calls), "{calls} calls");
    }

    #[test]
    fn a_file_system_that_allocates_nothing_is_asked_once_in_a_while() {
        let mut ahead = Ahead::NEW;
        assert!(!ahead.note_refused(MIB, false));
        assert_eq!(ahead.goal(MIB + UNASKED, u64::MAX), None);
        assert!(ahead.goal(MIB + UNASKED + 1, u64::MAX).is_some());
    }
}
