//! What a queue elsewhere passes over with no message behind it: ends of transactions, what was aborted, what was sent back for another group,
//! what is not there.

use crate::share::look::PASSED_OVER;
use crate::share::queue::{Place, Queue};
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
        let Some((guest, files)) = self.queues.away.elsewhere() else { return };
        let mut batches = Vec::new();
        inner.state.not_noted().for_each(|range| push(&mut batches, range, PASSED_OVER));
        let mut from = inner.state.end();
        for (offset, _) in fresh {
            push(&mut batches, (from, *offset - 1), PASSED_OVER);
            from = *offset + 1;
        }
        push(&mut batches, (from, next - 1), PASSED_OVER);
        if batches.is_empty() {
            return;
        }
        // Another owner may have put messages there, in the place of what was lost: it has said that it is there before it looked at the file.
        let is_seen = |seen: Option<u64>| seen == Some(guest.life());
        let seen = inner.seen_life;
        if files.write_if(&place.slot, inner, (&batches, || is_seen(seen))).unwrap_or(false) {
            inner.state.noted(next);
        }
    }
}
