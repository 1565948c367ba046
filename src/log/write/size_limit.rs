//! A partition that may not grow beyond a limit: a bounded queue.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::io::Deadline;
use crate::log::log::Log;
use crate::log::retain::retention::RetentionPolicy;
use crate::log::signal::Signal;

/// What happens to an append that would make a full partition larger.
///
/// ```
/// use annals::{TopicConfig, WhenFull};
/// let jobs = TopicConfig::new().size_limit(1 << 30, WhenFull::Block);
/// assert_eq!(jobs.get("annals.size.limit.action"), "block");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WhenFull {
    /// It fails with [`Error::Full`].
    #[default]
    Error,
    /// The oldest segments go, whoever has read them or not.
    DropOldest,
    /// It waits until retention or consumers have made room, and fails with [`Error::Full`] when that takes too long.
    Block,
}

/// The limit of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SizeLimit {
    pub(crate) max_bytes: u64,
    pub(crate) when_full: WhenFull,
    /// How long an append waits at most.
    pub(crate) max_block: Duration,
}

impl Log {
    /// Returns when a batch of `bytes` may be appended. What is in memory, and what other threads append at the same
    /// moment, comes on top of the limit.
    pub(in crate::log) fn make_room(self: &Arc<Self>, bytes: u64, limit: &SizeLimit) -> Result<()> {
        if self.bytes() + bytes <= limit.max_bytes {
            return Ok(());
        }
        match limit.when_full {
            WhenFull::Error => Err(self.full(limit)),
            WhenFull::DropOldest => self.drop_oldest(bytes, limit),
            WhenFull::Block => self.wait_for_room(bytes, limit),
        }
    }

    fn drop_oldest(self: &Arc<Self>, bytes: u64, limit: &SizeLimit) -> Result<()> {
        let Some(keep) = limit.max_bytes.checked_sub(bytes) else { return Err(self.full(limit)) };
        let mut excess = self.bytes().saturating_sub(keep);
        let mut keep_from = self.end();
        for segment in self.segment_list().iter() {
            if excess == 0 {
                keep_from = segment.base();
                break;
            }
            excess = excess.saturating_sub(segment.bytes());
        }
        let policy = RetentionPolicy { keep_from: Some(keep_from), ..RetentionPolicy::default() };
        let still_drops = || {
            let limit = self.accumulator.lock().rules.size_limit;
            limit.is_some_and(|limit| limit.when_full == WhenFull::DropOldest)
        };
        self.apply_retention(|| if still_drops() { policy } else { RetentionPolicy::default() }).map(drop)
    }

    fn wait_for_room(self: &Arc<Self>, bytes: u64, limit: &SizeLimit) -> Result<()> {
        let deadline = Deadline::after(limit.max_block);
        let signal = Arc::new(Signal::default());
        self.watch(&signal);
        let outcome = loop {
            // Read before looking: room made after this look ends the wait below.
            let seen = signal.raised();
            if let Err(error) = self.check_poison() {
                break Err(error);
            }
            if self.bytes() + bytes <= limit.max_bytes {
                break Ok(());
            }
            if !signal.wait(seen, deadline) {
                break Err(self.full(limit));
            }
        };
        self.unwatch(&signal);
        outcome
    }

    fn full(&self, limit: &SizeLimit) -> Error {
        Error::Full { partition: self.label.to_string(), bytes: self.bytes(), limit: limit.max_bytes }
    }
}
