//! Locks whose owner may wait for another process meanwhile, for those who may not wait as long.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;
use crate::io::{Deadline, pause};
use crate::log::{call_ends_by, out_of_time};

/// How long a process waits for another that changes a file of steps.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// Whoever has no more time than that tries so often.
const BETWEEN_TRIES: Duration = Duration::from_micros(100);

/// Takes a lock with `lock`. A call with a time of its own, which is in the way of a `file`, waits no longer than that.
pub(super) fn in_time<G>(
    try_lock: impl Fn() -> Option<G>,
    lock: impl FnOnce() -> G,
    file: impl FnOnce() -> PathBuf,
) -> Result<G> {
    if let Some(guard) = try_lock() {
        return Ok(guard);
    }
    let Some(deadline) = call_ends_by(Deadline::after(LONGEST_WAIT)) else { return Ok(lock()) };
    while !deadline.has_passed() {
        pause(BETWEEN_TRIES);
        if let Some(guard) = try_lock() {
            return Ok(guard);
        }
    }
    Err(out_of_time(&file(), "another thread waits for the process that keeps it locked"))
}
