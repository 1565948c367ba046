//! A consumer as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::consumer::consumer::Consumer;
use crate::error::{Error, Result};
use crate::topic::Records;

/// A [`Consumer`] as a [`Stream`] of [`Records`], made by [`Consumer::into_stream`]. It ends after the error that says that the store is
/// closed.
///
/// ```
/// # use annals::Store;
/// # fn consume(store: &Store) -> annals::Result<()> {
/// let stream: annals::ConsumerStream = store.consumer("billing")?.into_stream();
/// let consumer = stream.into_inner();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct ConsumerStream {
    consumer: Consumer,
    is_over: bool,
}

impl ConsumerStream {
    /// Returns the consumer, to commit what the stream has returned.
    pub fn consumer(&mut self) -> &mut Consumer {
        &mut self.consumer
    }

    /// Returns the consumer at the position that the stream has reached.
    pub fn into_inner(self) -> Consumer {
        self.consumer
    }
}

impl Consumer {
    /// Turns the consumer into a stream of what [`next`](Self::next) returns. Feature `async`.
    pub fn into_stream(self) -> ConsumerStream {
        ConsumerStream { consumer: self, is_over: false }
    }
}

impl Stream for ConsumerStream {
    type Item = Result<Records>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = self.consumer.poll_next(context);
        if let Poll::Ready(Err(Error::StoreClosed { .. } | Error::Forked { .. })) = next {
            self.is_over = true;
        }
        next.map(Some)
    }
}
