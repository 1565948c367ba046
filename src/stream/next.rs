//! Following events without a thread that waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Result;
use crate::log::{MOST_LOOKS, Patience, once};
use crate::stream::reader::EventReader;
use crate::topic::Records;

/// A future of the next events of an [`EventReader`], returned by [`EventReader::next`]. If it is dropped before it is ready, it has taken nothing.
///
/// ```
/// fn is_future(_: &impl Future<Output = annals::Result<annals::Records>>) {}
/// fn next(events: &mut annals::EventReader) {
///     let next: annals::NextEvents<'_> = events.next();
///     is_future(&next);
/// }
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct NextEvents<'a> {
    reader: &'a mut EventReader,
    is_over: bool,
}

impl Future for NextEvents<'_> {
    type Output = Result<Records>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Records>> {
        let this = &mut *self;
        once(&mut this.is_over, || this.reader.poll_next(context))
    }
}

impl Drop for NextEvents<'_> {
    fn drop(&mut self) {
        self.reader.signal().forget_task();
    }
}

impl EventReader {
    /// Returns a future of some events, ready as soon as there are some: [`poll`](Self::poll) for a task, without a time limit. At the end of
    /// the range that is read it gives none, at once. Any executor can poll it. If it is dropped before it is ready, it has taken nothing.
    ///
    /// # Errors
    /// As for `poll`.
    #[expect(
        clippy::should_implement_trait,
        reason = "what an iterator's `next` is to a loop, this is to a task"
    )]
    pub fn next(&mut self) -> NextEvents<'_> {
        NextEvents { reader: self, is_over: false }
    }

    /// Polls for the next events, for those who implement a future or a stream of their own. Only the waker of the last call is woken.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Records>> {
        let signal = self.signal();
        for _ in 0..MOST_LOOKS {
            // Before the look: what comes during it is not missed.
            let seen = signal.raised();
            // An owner elsewhere may show nothing yet.
            let Some(records) = Patience::of_a_task().bounds(|| self.fetch())? else { break };
            if !records.is_empty() || self.is_at_end() {
                return Poll::Ready(Ok(records));
            }
            let waking = self.log().waking();
            if signal.poll_raised(seen, context.waker(), waking)?.is_pending() {
                return Poll::Pending;
            }
        }
        // Something comes during each look: others of this thread have their turn first.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
