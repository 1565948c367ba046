//! Ending a poll from elsewhere.

use std::sync::Arc;

use crate::consumer::consumer::Consumer;
use crate::locks::{AtomicBool, Ordering};
use crate::log::Signal;

/// Ends the wait of a [`poll`](Consumer::poll), from any thread: Kafka's `wakeup`. Cheap to clone.
///
/// ```
/// # use annals::{Store, TopicConfig};
/// # use std::time::Duration;
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// # store.create_topic("orders", TopicConfig::new())?;
/// let mut consumer = store.consumer_builder().build()?;
/// consumer.assign([("orders", 0)])?;
/// let waker = consumer.waker();
/// std::thread::spawn(move || waker.wake());
/// assert!(consumer.poll(Duration::MAX)?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConsumerWaker {
    signal: Arc<Signal>,
    woken: Arc<AtomicBool>,
}

impl ConsumerWaker {
    pub(super) fn new(signal: &Arc<Signal>) -> Self {
        Self { signal: Arc::clone(signal), woken: Arc::default() }
    }

    /// Ends the poll that waits now, or the next one that finds no records. That poll returns none.
    ///
    /// Wakes do not add up: however many there were, they end one poll. None is lost: a wake that came when no poll was waiting, as after a
    /// [`next`](Consumer::next) that was dropped while it was pending, or together with records, ends the next poll that finds none.
    pub fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.signal.raise();
    }

    /// Whether it was called since the last look.
    pub(super) fn take(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }
}

impl Consumer {
    /// Returns a waker that ends a poll of this consumer from another thread.
    pub fn waker(&self) -> ConsumerWaker {
        self.waker.clone()
    }
}
