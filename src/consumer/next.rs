//! Polling without a thread that waits.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::consumer::commit::AtOs;
use crate::consumer::consumer::Consumer;
use crate::error::Result;
use crate::log::{MOST_LOOKS, Patience, once};
use crate::topic::{Durable, Records};

/// A future of the next records of a [`Consumer`], returned by [`Consumer::next`]. If it is dropped before it is ready, it has taken nothing.
///
/// ```
/// fn is_future(_: &impl Future<Output = annals::Result<annals::Records>>) {}
/// fn next(consumer: &mut annals::Consumer) {
///     let next: annals::Next<'_> = consumer.next();
///     is_future(&next);
/// }
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct Next<'a> {
    consumer: &'a mut Consumer,
    is_over: bool,
}

impl Future for Next<'_> {
    type Output = Result<Records>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Records>> {
        let this = &mut *self;
        once(&mut this.is_over, || this.consumer.poll_next(context))
    }
}

impl Drop for Next<'_> {
    fn drop(&mut self) {
        self.consumer.signal.forget_task();
    }
}

impl Consumer {
    /// Returns a future of records, ready as soon as there are some: [`poll`](Self::poll) for a task, without a time limit. Any executor can
    /// poll it. What it returns counts as read from then on; if it is dropped before that, it has taken nothing, so it may be used in a
    /// `select`.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// async fn work(store: &Store) -> annals::Result<()> {
    ///     let mut billing = store.consumer("billing")?;
    ///     billing.subscribe(["orders"])?;
    ///     loop {
    ///         for record in &billing.next().await? {
    ///             println!("{}@{}", record.partition(), record.offset());
    ///         }
    ///         billing.commit_async().await?;
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As for `poll`. The records are empty only when a [`ConsumerWaker`](crate::ConsumerWaker) has ended the wait.
    #[expect(
        clippy::should_implement_trait,
        reason = "what an iterator's `next` is to a loop, this is to a task"
    )]
    pub fn next(&mut self) -> Next<'_> {
        Next { consumer: self, is_over: false }
    }

    /// Polls for the next records, for those who implement a future or a stream of their own. Only the waker of the last call is woken.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Records>> {
        for _ in 0..MOST_LOOKS {
            // Read before looking: whatever comes after this look makes the signal ready below, or wakes the task.
            let seen = self.signal.raised();
            match Patience::of_a_task().bounds(|| self.look())? {
                Some(Some(records)) => return Poll::Ready(Ok(records)),
                Some(None) => {}
                // An owner elsewhere shows nothing yet.
                None => break,
            }
            let waking = self.topics.waking();
            if self.signal.poll_raised(seen, context.waker(), waking)?.is_pending() {
                return Poll::Pending;
            }
        }
        // Something comes during each look: others of this thread have their turn first.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Commits this consumer's position, as [`commit`](Self::commit) does, before it returns; the returned future is ready when the commit
    /// survives a power cut. If the future is dropped, the commit stands. In a process that does not own the store it syncs before it returns.
    ///
    /// # Errors
    /// When it is ready: as for `commit`.
    pub fn commit_async(&mut self) -> Durable {
        match self.commit_at_os() {
            Ok(AtOs { stored, told, laid_over, left_out }) => {
                let waits = stored.iter().map(|one| one.log().await_all()).collect();
                // Who has moved some of that there would do so once more if it was taken back, and it would be read again.
                let moved = told.iter().map(|(partition, below)| partition.await_settled(*below));
                let laid_over = self.topics.clearing().await_kept(&laid_over);
                Durable::of_waits(waits).and_those(moved.chain([laid_over])).telling(left_out)
            }
            Err(error) => Durable::failed(error),
        }
    }
}
