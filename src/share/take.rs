//! Taking messages without a thread that waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::io::Deadline;
use crate::log::{MOST_LOOKS, Signal, once};
use crate::share::message::Messages;
use crate::share::worker::{SHORTEST_SLEEP_MS, Worker};
use crate::types::Timestamp;
use crate::upkeep::{Chore, Reason, Ticket};

/// Wakes a worker's task when a lock or a delay is over.
#[derive(Debug)]
pub(super) struct Alarm {
    signal: Arc<Signal>,
}

impl Alarm {
    pub(super) fn new(signal: &Arc<Signal>) -> Arc<Self> {
        Arc::new(Self { signal: Arc::clone(signal) })
    }
}

impl Chore for Alarm {
    fn run(self: Arc<Self>, _reason: Reason) -> Result<()> {
        self.signal.raise();
        Ok(())
    }
}

/// A future of the next messages of a [`Worker`], returned by [`Worker::next`]. If it is dropped before it is ready, it has taken nothing.
///
/// ```
/// fn is_future(_: &impl Future<Output = annals::Result<annals::Messages>>) {}
/// fn next(worker: &mut annals::Worker) {
///     let next: annals::NextMessages<'_> = worker.next(32);
///     is_future(&next);
/// }
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct NextMessages<'a> {
    worker: &'a mut Worker,
    most: usize,
    is_over: bool,
}

impl Future for NextMessages<'_> {
    type Output = Result<Messages>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Messages>> {
        let this = &mut *self;
        once(&mut this.is_over, || this.worker.poll_take(this.most, context))
    }
}

impl Drop for NextMessages<'_> {
    fn drop(&mut self) {
        self.worker.signal.forget_task();
    }
}

impl Worker {
    /// Returns a future of up to `most` messages, ready as soon as there are some: [`take`](Self::take) for a task, without a time limit. Any
    /// executor can poll it. This worker has the messages from the moment at which they are returned; if the future is dropped before that,
    /// it has taken nothing.
    ///
    /// Locks and delays that end wake the task through a timer of the store's maintenance: with
    /// [`maintain_by_hand`](crate::StoreBuilder::maintain_by_hand) that is [`Store::maintain`](crate::Store::maintain).
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// async fn work(store: &Store) -> annals::Result<()> {
    ///     let mut worker = store.queue("orders", "shipping")?;
    ///     loop {
    ///         for message in worker.next(32).await? {
    ///             println!("{}: {:?}", message.offset, message.value);
    ///             message.ack()?;
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As for `take`. There is no message only when a [`WorkerWaker`](crate::WorkerWaker) has ended the wait.
    pub fn next(&mut self, most: usize) -> NextMessages<'_> {
        NextMessages { worker: self, most, is_over: false }
    }

    /// Polls for the next messages, for those who implement a future or a stream of their own. Only the waker of the last call is woken.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub fn poll_take(&mut self, most: usize, context: &mut Context<'_>) -> Poll<Result<Messages>> {
        self.queues.topics.check_process()?;
        if self.queues.is_away() {
            let why = "a task can wait for messages only in the process that owns the store: in another process call `take` on a thread";
            return Poll::Ready(Err(Error::invalid(why)));
        }
        for _ in 0..MOST_LOOKS {
            // Read before looking: whatever comes after this look makes the signal ready below, or wakes the task.
            let seen = self.signal.raised();
            let (messages, next) = self.look_once(most)?;
            if let Some(messages) = messages {
                return Poll::Ready(Ok(messages));
            }
            self.set_alarm(next);
            let waking = self.queues.topics.waking();
            if self.signal.poll_raised(seen, context.waker(), waking)?.is_pending() {
                return Poll::Pending;
            }
        }
        // Something comes during each look: others of this thread have their turn first.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// The task is to be woken then.
    fn set_alarm(&mut self, at: Option<Timestamp>) {
        let agenda = self.queues.topics.agenda();
        if let Some(ticket) = self.alarm_set.take() {
            agenda.remove_timer(ticket);
        }
        self.alarm_set = at.map(|at| {
            let now = self.queues.clock.now();
            let deadline = Deadline::by_clock(at.max(now.saturating_add(SHORTEST_SLEEP_MS)), now);
            agenda.add_timer(&self.alarm, deadline)
        });
    }

    /// A ticket that nobody needs any more.
    pub(super) fn forget_alarm(&mut self) {
        let set: Option<Ticket> = self.alarm_set.take();
        set.into_iter().for_each(|ticket| self.queues.topics.agenda().remove_timer(ticket));
    }
}
