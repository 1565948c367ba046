//! What a queue elsewhere passes over with no message behind it: ends of transactions, what was aborted, what was sent back for another group,
//! what is not there.

use crate::format::StateBatch;
use crate::share::look::PASSED_OVER;
use crate::share::queue::{Place, Queue};
use crate::share::ranges::Ranges;
use crate::share::slot::{SlotInner, push};
use crate::types::Offset;

impl Queue {
    /// Tells the owner what a look has passed over that hands out nothing: no message behind it would ever say so. `fresh` are the messages that were found
    /// and wait for others of their keys. At home it stays in memory, where whoever asks sees it.
    ///
    /// Where it cannot be written, as on a full disk, nothing has happened: the next look tries again.
    pub(super) fn tell_passed_over(
        &self,
        place: &Place,
        inner: &mut SlotInner,
        (fresh, next): (&[(Offset, bool)], Offset),
    ) {
        if !self.queues.is_away() {
            return;
        }
        let mut batches = Vec::new();
        inner.state.not_noted().for_each(|range| push(&mut batches, range, PASSED_OVER));
        let mut from = inner.state.end();
        for (offset, _) in fresh {
            push(&mut batches, (from, *offset - 1), PASSED_OVER);
            from = *offset + 1;
        }
        push(&mut batches, (from, next - 1), PASSED_OVER);
        if self.write_passed_over(place, inner, &batches) {
            inner.state.noted(next);
        }
    }

    /// Tells the owner what has ended here for it has no record any more. At home it stays in memory.
    pub(super) fn tell_gone(&self, place: &Place, inner: &mut SlotInner) {
        let untold = inner.state.untold.within((0, Offset::MAX));
        let mut batches = Vec::new();
        untold.into_iter().for_each(|range| push(&mut batches, range, PASSED_OVER));
        if !self.queues.is_away() || self.write_passed_over(place, inner, &batches) {
            inner.state.untold = Ranges::default();
        }
    }

    /// Says whether there was something, and it is written.
    fn write_passed_over(&self, place: &Place, inner: &SlotInner, batches: &[StateBatch]) -> bool {
        let Some((guest, files)) = self.queues.away.elsewhere() else { return false };
        if batches.is_empty() {
            return false;
        }
        // Another owner may have put messages there, in the place of what was lost: it has said that it is there before it looked at the file.
        let is_seen = || inner.seen_life == Some(guest.life());
        files.write_if(&place.slot, inner, (batches, is_seen)).unwrap_or(false)
    }
}
