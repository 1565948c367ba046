//! What a look has gathered so far, on its way to the worker.

use crate::io::in_drop_each;
use crate::share::message::{Message, Messages};

/// Messages that a look has gathered: nobody has seen any of them. Where a clock or a file system of the program's own panics before the look is
/// over, all of them are put back.
#[derive(Debug, Default)]
pub(super) struct Gathered(pub(super) Vec<Message>);

impl Gathered {
    pub(super) fn finish(mut self) -> Vec<Message> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        let mut messages = Messages::new(std::mem::take(&mut self.0));
        in_drop_each(messages.answered(), |(delivery, offsets)| {
            // What cannot be put back now comes back when its lock is over.
            drop(delivery.queue.put_back(&delivery.place, delivery.lock, &offsets));
        });
    }
}
