//! What happens in a store, for whoever wants to be told.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::locks::{AtomicU64, Mutex, OnceLock, Ordering};
use crate::types::{Offset, TopicPartition};

/// Something that happened in a store, reported to [`StoreBuilder::on_event`](crate::StoreBuilder::on_event).
///
/// ```
/// # use annals::{Store, TopicConfig, Record};
/// use annals::Event;
/// # let dir = tempfile::tempdir()?;
/// let store = Store::builder(dir.path())
///     .on_event(|event| match event {
///         Event::Poisoned { partition, error, .. } => eprintln!("{partition} takes nothing more: {error}"),
///         Event::Synced { partition, took, .. } if took.as_millis() > 100 => eprintln!("{partition}: a slow disk"),
///         _ => {}
///     })
///     .open()?;
/// # store.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A partition that was not closed was checked when the store was opened.
    #[non_exhaustive]
    Recovered {
        /// The partition.
        partition: TopicPartition,
        /// The end of the partition.
        end: Offset,
        /// Bytes that were checked.
        scanned_bytes: u64,
        /// Bytes of a torn tail after its end; 0 when there is none.
        torn_bytes: u64,
    },
    /// A segment was sealed, and another one started.
    #[non_exhaustive]
    Rolled {
        /// The partition.
        partition: TopicPartition,
        /// First offset of the new segment.
        base_offset: Offset,
    },
    /// What was written is on the disk.
    #[non_exhaustive]
    Synced {
        /// The partition.
        partition: TopicPartition,
        /// Everything below survives a power cut.
        durable: Offset,
        /// How long the sync took.
        took: Duration,
    },
    /// The partition accepts nothing more until the store is opened again.
    #[non_exhaustive]
    Poisoned {
        /// The partition.
        partition: TopicPartition,
        /// The cause.
        error: Error,
    },
    /// An append had to wait for room in a partition with a limit.
    #[non_exhaustive]
    WaitedForRoom {
        /// The partition.
        partition: TopicPartition,
        /// How long it waited.
        took: Duration,
    },
    /// Retention, or a limit, removed segments.
    #[non_exhaustive]
    Removed {
        /// The partition.
        partition: TopicPartition,
        /// The partition's start now.
        start: Offset,
        /// The number of segments removed.
        segments: usize,
        /// Their records.
        records: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A compaction that had something to do is done.
    #[non_exhaustive]
    Compacted {
        /// The partition.
        partition: TopicPartition,
        /// The number of records removed.
        removed_records: u64,
        /// Bytes of the segments before the compaction.
        bytes_before: u64,
        /// Bytes of what replaced them.
        bytes_after: u64,
        /// How long it took.
        took: Duration,
    },
    /// The partitions of a group were assigned.
    #[non_exhaustive]
    Rebalanced {
        /// The group.
        group: String,
        /// How many members it has now.
        members: usize,
    },
    /// A queue has given messages up.
    #[non_exhaustive]
    GivenUp {
        /// The partition.
        partition: TopicPartition,
        /// The group.
        group: String,
        /// The offset of the first message.
        first: Offset,
        /// The offset of the last message.
        last: Offset,
        /// How often they were delivered.
        deliveries: u16,
        /// The reason.
        reason: String,
    },
    /// Workers of a queue have not answered messages in time: the messages are delivered again.
    #[non_exhaustive]
    LocksExpired {
        /// The partition.
        partition: TopicPartition,
        /// The group.
        group: String,
        /// The number of messages.
        messages: u64,
    },
    /// A reader that skips damage skipped these offsets.
    #[non_exhaustive]
    Skipped {
        /// The partition.
        partition: TopicPartition,
        /// The first offset that was skipped.
        from: Offset,
        /// The offset at which the reader continues.
        to: Offset,
    },
}

impl Event {
    /// Returns its name, as in `tracing`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Recovered { .. } => "recovered",
            Self::Rolled { .. } => "rolled",
            Self::Synced { .. } => "synced",
            Self::Poisoned { .. } => "poisoned",
            Self::WaitedForRoom { .. } => "waited for room",
            Self::Removed { .. } => "removed",
            Self::Compacted { .. } => "compacted",
            Self::Rebalanced { .. } => "rebalanced",
            Self::GivenUp { .. } => "given up",
            Self::LocksExpired { .. } => "locks expired",
            Self::Skipped { .. } => "skipped",
        }
    }
}

/// So many wait at most to be told.
const MOST_WAITING: usize = 4096;

/// Has somebody take what waits.
type Wake = Box<dyn Fn() + Send + Sync>;

/// Events that were not told yet. They are noted under the locks of those who do something, and told without any.
#[derive(Default)]
pub(crate) struct EventQueue {
    /// Set once, before anything happens, if anybody wants to be told.
    wake: OnceLock<Wake>,
    waiting: Mutex<VecDeque<Event>>,
    lost: AtomicU64,
}

impl fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueue").field("lost", &self.lost).finish_non_exhaustive()
    }
}

impl EventQueue {
    /// From here on events are kept, and `wake` is called with each that has none before it: under locks of whoever notes it.
    pub(crate) fn want(&self, wake: impl Fn() + Send + Sync + 'static) {
        drop(self.wake.set(Box::new(wake)));
    }

    /// Nothing is made where nobody wants to be told.
    #[inline]
    pub(crate) fn note(&self, event: impl FnOnce() -> Event) {
        if let Some(wake) = self.wake.get() {
            self.add(event(), wake);
        }
    }

    #[cold]
    fn add(&self, event: Event, wake: &Wake) {
        let mut waiting = self.waiting.lock();
        if waiting.len() == MOST_WAITING {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.push_back(event);
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first {
            wake();
        }
    }

    /// The next to be told.
    pub(crate) fn take(&self) -> Option<Event> {
        self.waiting.lock().pop_front()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}
