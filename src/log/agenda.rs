//! What partitions want done for them later: open batches to be written when their linger is over, written bytes to be
//! synced. Partitions put it down; whoever runs maintenance does it.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::io::Deadline;
use crate::locks::{Condvar, Mutex};
use crate::log::Log;

/// The list, shared by all partitions of a store.
#[derive(Debug)]
pub(crate) struct Agenda {
    pending: Mutex<Pending>,
    changed: Condvar,
    sync_every: Duration,
    round_every: Duration,
}

#[derive(Debug, Default)]
struct Pending {
    /// Partitions with an open batch, and when it is to be written.
    lingering: VecDeque<(Deadline, Weak<Log>)>,
    /// Partitions with bytes that are written and not synced.
    unsynced: Vec<Weak<Log>>,
    /// When the next sync is due; `None` while nothing is unsynced.
    sync_at: Option<Deadline>,
    /// When all partitions are to be looked at; `None` if nobody waits for it.
    round_at: Option<Deadline>,
    stopped: bool,
}

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Write the open batch.
    Write(Arc<Log>),
    /// Sync what is written.
    Sync(Arc<Log>),
    /// Look at all partitions: what is old, what is large.
    Round,
}

impl Agenda {
    /// An empty list; written bytes become due for a sync `sync_every` after the first of them, and a look at all
    /// partitions every `round_every`.
    pub(crate) fn new(sync_every: Duration, round_every: Duration) -> Self {
        Self { pending: Mutex::default(), changed: Condvar::new(), sync_every, round_every }
    }

    /// `log` has opened a batch that nobody waits for. Returns how many partitions have one.
    pub(super) fn add_lingering(&self, log: &Arc<Log>, linger: Duration) -> usize {
        let mut pending = self.pending.lock();
        let deadline = Deadline::after(linger);
        // One linger for all is the usual case: then the list is in order and the new one is the last.
        let at = pending
            .lingering
            .iter()
            .rposition(|(earlier, _)| !earlier.is_after(deadline))
            .map_or(0, |at| at + 1);
        pending.lingering.insert(at, (deadline, Arc::downgrade(log)));
        if at == 0 {
            self.changed.notify_one();
        }
        pending.lingering.len()
    }

    /// `log` has bytes to sync, the first since its last sync.
    pub(super) fn add_unsynced(&self, log: &Arc<Log>) {
        let mut pending = self.pending.lock();
        pending.unsynced.push(Arc::downgrade(log));
        if pending.sync_at.is_none() {
            pending.sync_at = Some(Deadline::after(self.sync_every));
            self.changed.notify_one();
        }
    }

    /// So much is unsynced that the sync should not wait for its time.
    pub(super) fn hurry_sync(&self) {
        let mut pending = self.pending.lock();
        if pending.sync_at.is_some() {
            pending.sync_at = Some(Deadline::after(Duration::ZERO));
            self.changed.notify_one();
        }
    }

    /// The oldest partition with an open batch, due or not, to make room for others.
    pub(crate) fn oldest_lingering(&self) -> Option<Arc<Log>> {
        let mut pending = self.pending.lock();
        while let Some((_, log)) = pending.lingering.pop_front() {
            if let Some(log) = log.upgrade() {
                return Some(log);
            }
        }
        None
    }

    /// Everything that is due now.
    pub(crate) fn due(&self) -> Vec<Chore> {
        self.pending.lock().take_due()
    }

    /// Sleeps until something is due and returns it; `None` after [`stop`](Self::stop).
    pub(crate) fn wait(&self) -> Option<Vec<Chore>> {
        let mut pending = self.pending.lock();
        pending.round_at.get_or_insert_with(|| Deadline::after(self.round_every));
        loop {
            if pending.stopped {
                return None;
            }
            let chores = pending.take_due();
            if !chores.is_empty() {
                return Some(chores);
            }
            match pending.next_deadline().and_then(Deadline::instant) {
                Some(at) => _ = self.changed.wait_until(&mut pending, at),
                None => self.changed.wait(&mut pending),
            }
        }
    }

    /// Ends every [`wait`](Self::wait), now and later.
    pub(crate) fn stop(&self) {
        self.pending.lock().stopped = true;
        self.changed.notify_all();
    }
}

impl Pending {
    fn next_deadline(&self) -> Option<Deadline> {
        let linger = self.lingering.front().map(|(deadline, _)| *deadline);
        [linger, self.sync_at, self.round_at].into_iter().flatten().reduce(Deadline::min)
    }

    fn take_due(&mut self) -> Vec<Chore> {
        let mut chores = Vec::new();
        while self.lingering.front().is_some_and(|(deadline, _)| deadline.has_passed()) {
            let log = self.lingering.pop_front().and_then(|(_, log)| log.upgrade());
            chores.extend(log.map(Chore::Write));
        }
        if self.sync_at.is_some_and(Deadline::has_passed) {
            self.sync_at = None;
            chores.extend(self.unsynced.drain(..).filter_map(|log| log.upgrade()).map(Chore::Sync));
        }
        if self.round_at.is_some_and(Deadline::has_passed) {
            self.round_at = None;
            chores.push(Chore::Round);
        }
        chores
    }
}
