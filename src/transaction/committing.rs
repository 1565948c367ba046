//! Waiting for a commit to be durable as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::topic::Durable;
use crate::transaction::round::Round;
use crate::transaction::transaction::Committed;

/// A commit on its way to the disk: [`Transaction::commit_async`](crate::Transaction::commit_async). Dropped before it is ready the commit
/// stands.
///
/// ```
/// fn is_future(_: &impl Future<Output = annals::Result<annals::Committed>>) {}
/// fn commit(transaction: annals::Transaction) {
///     let committing: annals::Committing = transaction.commit_async();
///     is_future(&committing);
/// }
/// ```
#[must_use = "a future does nothing until it is polled"]
pub struct Committing {
    name: Arc<str>,
    /// Until it is ready.
    committed: Option<Result<Committed>>,
    durable: Durable,
    doubts: Doubts,
}

/// What is done where a commit that was seen may be taken back by a power cut.
pub(super) type Doubts = Vec<Box<dyn FnOnce() + Send + Sync>>;

impl Committing {
    /// A commit that was decided, or was not; `rests_on` is what the decision rests on.
    pub(super) fn new(
        name: Arc<str>,
        committed: Result<Committed>,
        (rests_on, doubts): (&Round, Doubts),
    ) -> Self {
        let durable = rests_on.waits().map_or_else(Durable::failed, Durable::of_waits);
        Self { name, committed: Some(committed), durable, doubts }
    }
}

impl fmt::Debug for Committing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Committing");
        shown.field("name", &self.name).field("committed", &self.committed).finish_non_exhaustive()
    }
}

impl Future for Committing {
    type Output = Result<Committed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Committed>> {
        let this = &mut *self;
        if let Some(Ok(_)) = &this.committed {
            match Pin::new(&mut this.durable).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(cause)) => {
                    this.committed = None;
                    this.doubts.drain(..).for_each(|doubt| doubt());
                    let (name, cause) = (this.name.to_string(), Arc::new(cause));
                    return Poll::Ready(Err(Error::Undecided { name, cause }));
                }
            }
        }
        let over = || Err(Error::invalid("the future was ready already"));
        Poll::Ready(this.committed.take().unwrap_or_else(over))
    }
}
