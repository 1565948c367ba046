//! Futures that are ready once.

use std::task::Poll;

use crate::error::{Error, Result};

/// What every future that hands something out is when it was ready and is polled once more, whatever it waits for: ready with an error. It takes nothing, and
/// commits nothing, a second time.
pub(crate) fn once<T>(is_over: &mut bool, poll: impl FnOnce() -> Poll<Result<T>>) -> Poll<Result<T>> {
    if *is_over {
        return Poll::Ready(Err(Error::invalid("the future was ready already")));
    }
    let polled = poll();
    *is_over = polled.is_ready();
    polled
}
