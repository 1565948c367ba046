//! Reading a partition without a thread that waits.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::Result;
use crate::log::{Log, MOST_LOOKS, Patience, Signal, once};
use crate::topic::partition_reader::PartitionReader;
use crate::topic::records::Records;

/// What a reader that waits has raised.
#[derive(Debug)]
pub(super) struct Watch {
    log: Arc<Log>,
    signal: Arc<Signal>,
}

impl Watch {
    fn of(log: &Arc<Log>) -> Self {
        let signal = Arc::default();
        log.watch(&signal);
        Self { log: Arc::clone(log), signal }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.log.unwatch(&self.signal);
    }
}

/// A future of the next records of a [`PartitionReader`], returned by [`PartitionReader::next`]. If it is dropped before it is ready, it has
/// taken nothing.
///
/// ```
/// fn is_future(_: &impl Future<Output = annals::Result<Option<annals::Records>>>) {}
/// fn next(reader: &mut annals::PartitionReader) {
///     let next: annals::NextOfPartition<'_> = reader.next();
///     is_future(&next);
/// }
/// ```
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct NextOfPartition<'a> {
    reader: &'a mut PartitionReader,
    is_over: bool,
}

impl Future for NextOfPartition<'_> {
    type Output = Result<Option<Records>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        once(&mut this.is_over, || this.reader.poll_next(context))
    }
}

impl Drop for NextOfPartition<'_> {
    fn drop(&mut self) {
        self.reader.watch.iter().for_each(|watch| watch.signal.forget_task());
    }
}

impl PartitionReader {
    /// Returns a future of about 256 KiB of records as soon as there are some: [`fetch`](Self::fetch) for a task, which waits at the end of
    /// the log. It gives `None` at the end of the range that is read. Any executor can poll it. If it is dropped before it is ready, it has
    /// taken nothing.
    ///
    /// ```
    /// # use annals::Partition;
    /// async fn follow(orders: &Partition) -> annals::Result<()> {
    ///     let mut reader = orders.read_from(orders.end())?;
    ///     while let Some(records) = reader.next().await? {
    ///         println!("{} more", records.len());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As for `fetch`; [`UnknownTopic`](crate::Error::UnknownTopic) and [`StoreClosed`](crate::Error::StoreClosed) end a wait.
    #[expect(
        clippy::should_implement_trait,
        reason = "what an iterator's `next` is to a loop, this is to a task"
    )]
    pub fn next(&mut self) -> NextOfPartition<'_> {
        NextOfPartition { reader: self, is_over: false }
    }

    /// Polls for the next records, for those who implement a future or a stream of their own. Only the waker of the last call is woken.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Records>>> {
        for _ in 0..MOST_LOOKS {
            let log = self.reader.log();
            let signal = Arc::clone(&self.watch.get_or_insert_with(|| Watch::of(log)).signal);
            // Read before looking: whatever comes after this look makes the signal ready below, or wakes the task.
            let seen = signal.raised();
            // An owner elsewhere may show nothing yet.
            let Some(records) = Patience::of_a_task().bounds(|| self.fetch())? else { break };
            if !records.is_empty() {
                return Poll::Ready(Ok(Some(records)));
            }
            if self.reader.is_at_end() {
                return Poll::Ready(Ok(None));
            }
            let waking = self.reader.log().waking();
            if signal.poll_raised(seen, context.waker(), waking)?.is_pending() {
                return Poll::Pending;
            }
        }
        // Something comes during each look: others of this thread have their turn first.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
