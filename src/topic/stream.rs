//! A reader of a partition as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::error::Result;
use crate::topic::partition_reader::PartitionReader;
use crate::topic::records::Records;

/// A [`PartitionReader`] as a [`Stream`] of [`Records`], made by [`PartitionReader::into_stream`]. It ends with the range that is read, and
/// after an error.
///
/// ```
/// # use annals::Partition;
/// # fn follow(orders: &Partition) -> annals::Result<()> {
/// let stream: annals::PartitionStream = orders.read(..)?.into_stream();
/// let reader = stream.into_inner();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct PartitionStream {
    reader: PartitionReader,
    is_over: bool,
}

impl PartitionStream {
    /// Returns the reader at the position that the stream has reached.
    pub fn into_inner(self) -> PartitionReader {
        self.reader
    }
}

impl PartitionReader {
    /// Turns the reader into a stream of what [`next`](Self::next) returns. Feature `async`.
    pub fn into_stream(self) -> PartitionStream {
        PartitionStream { reader: self, is_over: false }
    }
}

impl Stream for PartitionStream {
    type Item = Result<Records>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let next = self.reader.poll_next(context).map(Result::transpose);
        self.is_over = matches!(next, Poll::Ready(None | Some(Err(_))));
        next
    }
}
