//! Waiting for a commit to be durable as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::{Error, Result};
use crate::topic::Durable;
use crate::transaction::committed::Committed;
use crate::transaction::round::Round;

/// A commit on its way to the disk, returned by [`Transaction::commit_async`](crate::Transaction::commit_async). If it is dropped before it
/// is ready, the commit stands.
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
    /// What it rests on; nothing once that is durable.
    durable: Option<Durable>,
    /// What earlier lives have left, which may be part of that.
    left: Option<Durable>,
    doubts: Doubts,
}

/// What a commit waits for that is decided.
#[derive(Debug, Default)]
pub(super) struct Later {
    pub(super) rests_on: Round,
    /// What earlier lives have left. It is tried to make it durable, too; what cannot be settled keeps nobody from a commit.
    pub(super) left: Round,
}

/// What is done where a commit that was seen may be taken back by a power cut.
pub(super) type Doubts = Vec<Box<dyn FnOnce() + Send + Sync>>;

impl Committing {
    /// A commit that was decided, or was not; `later` is what it waits for.
    pub(super) fn new(
        name: Arc<str>,
        committed: Result<Committed>,
        (later, doubts): (&Later, Doubts),
    ) -> Self {
        let waits = |round: &Round| Some(round.waits().map_or_else(Durable::failed, Durable::of_waits));
        let (durable, left) = (waits(&later.rests_on), waits(&later.left));
        Self { name, committed: Some(committed), durable, left, doubts }
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
            // The order in which they become ready does not matter, and neither does what becomes of the rest.
            let is_left = matches!(poll_once(&mut this.left, context), Poll::Pending);
            match poll_once(&mut this.durable, context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if is_left => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(forked @ Error::Forked { .. })) => {
                    this.committed = None;
                    return Poll::Ready(Err(forked));
                }
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

/// What one is ready with, the first time; it went well later on.
fn poll_once(durable: &mut Option<Durable>, context: &mut Context<'_>) -> Poll<Result<()>> {
    let Some(waiting) = durable else { return Poll::Ready(Ok(())) };
    let polled = Pin::new(waiting).poll(context);
    if polled.is_ready() {
        *durable = None;
    }
    polled
}
