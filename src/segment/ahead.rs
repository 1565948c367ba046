//! How much space is allocated ahead of the writes: as much again as the segment has, and on a disk that is nearly full a part of what there
//! is. A refusal costs a call of the system that looks for that much room, so what was refused is not asked for at each append.

/// Least and most that is allocated ahead.
const LEAST: u64 = 4 * 1024;
const MOST: u64 = 16 * 1024 * 1024;
/// So often a step is granted before one twice as large, which was refused, is tried again.
const GRANTS: u32 = 8;
/// So many bytes are written without asking, once the least was refused; and so many appends as large as the one for which it was.
const UNASKED: u64 = 4 * LEAST;
const APPENDS: u64 = 4;

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
        (end > self.silent_to).then(|| goal_of(end, self.step(end), most_bytes))
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

    /// True when less is to be asked for, for the append that ends there and has so many bytes. Where the refusal is no want of room, less would be
    /// refused, too; and where the segment may not have more than `most_bytes`, half as much may be the same.
    pub(in crate::segment) fn note_refused(
        &mut self,
        (end, bytes): (u64, u64),
        most_bytes: u64,
        is_disk_full: bool,
    ) -> bool {
        let mut step = self.step(end);
        let refused = goal_of(end, step, most_bytes);
        while is_disk_full && step > LEAST {
            step = (step / 2).max(LEAST);
            if goal_of(end, step, most_bytes) < refused {
                (self.most, self.grants) = (step, 0);
                return true;
            }
        }
        self.silent_to = end + UNASKED.max(APPENDS * bytes);
        false
    }
}

fn goal_of(end: u64, step: u64, most_bytes: u64) -> u64 {
    (end + step).min(most_bytes).max(end)
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
                    if !ahead.note_refused((end, batch), u64::MAX, true) {
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
    fn large_batches_asked_a_full_disk_in_vain_each_time() {
        for batch in [100, 20_000, 300_000] {
            let (mut ahead, mut refused) = (Ahead::NEW, 0);
            for nth in 1..=100 {
                let end = 11 * MIB + nth * batch;
                while ahead.goal(end, u64::MAX).is_some() {
                    refused += 1;
                    if !ahead.note_refused((end, batch), u64::MAX, true) {
                        break;
                    }
                }
            }
            assert!(refused < 40, "{refused} for 100 appends of {batch}");
        }
    }

    #[test]
    fn the_end_of_a_segment_was_asked_for_again_and_again_by_one_append() {
        let (mut ahead, end, most_bytes) = (Ahead::NEW, 8 * MIB, 8 * MIB + 6000);
        let mut goals = vec![ahead.goal(end, most_bytes).unwrap()];
        while ahead.note_refused((end, 1000), most_bytes, true) {
            goals.push(ahead.goal(end, most_bytes).unwrap());
        }
        assert_eq!(goals, [end + 6000, end + LEAST]);
    }

    #[test]
    fn what_is_freed_is_asked_for_after_a_while() {
        let mut ahead = Ahead::NEW;
        while ahead.note_refused((MIB, 1), u64::MAX, true) {}
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
        assert!(!ahead.note_refused((MIB, 1), u64::MAX, false));
        assert_eq!(ahead.goal(MIB + UNASKED, u64::MAX), None);
        assert!(ahead.goal(MIB + UNASKED + 1, u64::MAX).is_some());
    }
}
