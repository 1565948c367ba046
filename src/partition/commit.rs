//! Syncing: one sync for all who wait.
//!
//! One waiter at a time leads. Before it syncs it waits, shortly, for the threads that were in the last round to come
//! back with their next record: on a disk that takes longer to sync than a thread takes to return, that turns half-full
//! rounds into full ones. A thread alone never waits.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::format::Mark;
use crate::io::{Deadline, File};
use crate::partition::accumulator::Which;
use crate::partition::log::Log;
use crate::partition::writer::Phase;
use crate::sync::{Condvar, Mutex};
use crate::types::Offset;

/// How long a leader waits for the threads of the last round.
const GATHER: Duration = Duration::from_micros(100);

/// The queue of those who wait for a sync.
#[derive(Debug, Default)]
pub(super) struct Committer {
    rounds: Mutex<Rounds>,
    /// A round is over.
    done: Condvar,
    /// As many wait as the last round served.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    is_led: bool,
    /// Threads that wait for a round, the leader not counted.
    waiting: usize,
    /// How many the last round served, the leader not counted.
    last_served: usize,
}

/// What a sync will make durable.
struct Target {
    file: File,
    mark: Mark,
}

impl Log {
    /// Returns when everything up to `offset`, which is written, survives a power cut.
    pub(super) fn synced(self: &Arc<Self>, offset: Offset) -> Result<()> {
        let mut rounds = self.committer.rounds.lock();
        loop {
            if self.durable() > offset {
                return Ok(());
            }
            self.check_poison()?;
            if !rounds.is_led {
                break;
            }
            rounds.waiting += 1;
            if rounds.waiting == rounds.last_served {
                // Waking the leader for each one would take longer than some of them take to come.
                self.committer.arrived.notify_one();
            }
            self.committer.done.wait(&mut rounds);
            rounds.waiting -= 1;
        }
        rounds.is_led = true;
        let deadline = Deadline::after(GATHER);
        while rounds.waiting < rounds.last_served {
            let Some(at) = deadline.instant() else { break };
            if self.committer.arrived.wait_until(&mut rounds, at).timed_out() {
                break;
            }
        }
        drop(rounds);
        let result = self.sync_written();
        let mut rounds = self.committer.rounds.lock();
        rounds.is_led = false;
        rounds.last_served = rounds.waiting;
        self.committer.done.notify_all();
        result
    }

    /// Writes what is in memory and syncs what is written, on whatever thread this is.
    pub(crate) fn flush(self: &Arc<Self>) -> Result<()> {
        self.check_poison()?;
        let mut writer = self.writer.lock();
        self.write_with(&mut writer, Which::All);
        self.tell_lost()?;
        if self.durable() < self.end() {
            // Opened after a crash and never appended to: the tail has to be brought onto the disk first.
            self.settle(&mut writer)?;
        }
        drop(writer);
        match self.end() {
            end if end > self.durable() => self.synced(end - 1),
            _ => Ok(()),
        }
    }

    /// The sync in the background that keeps the unsynced stretch short. A failure poisons the partition, and the next
    /// append tells.
    pub(crate) fn sync_in_background(self: &Arc<Self>) -> Result<()> {
        // Under the writer's lock: what is written later puts the log on the agenda again.
        self.writer.lock().awaits_sync = false;
        match self.end() {
            end if end > self.durable() => self.synced(end - 1),
            _ => Ok(()),
        }
    }

    fn sync_written(&self) -> Result<()> {
        let Some(target) = self.target() else {
            // Closed since the record was written: the close has brought it onto the disk, or has failed.
            return if self.durable() >= self.end() { Ok(()) } else { Err(self.closed()) };
        };
        if let Err(error) = target.file.sync() {
            let cause = self.poison_with(error);
            self.watchers.raise();
            return Err(cause);
        }
        self.raise_durable(target.mark.offset);
        if let Phase::Open(open) = &mut self.writer.lock().phase
            && open.active.base() == target.mark.segment
        {
            // The mark is a lower bound: an older one costs the next open a longer scan and loses nothing.
            drop(open.state.mark(target.mark));
        }
        Ok(())
    }

    /// Everything written so far. Older segments were synced when they were sealed.
    fn target(&self) -> Option<Target> {
        let mut writer = self.writer.lock();
        writer.unsynced_bytes = 0;
        let Phase::Open(open) = &writer.phase else { return None };
        let active = &open.active;
        let mark = Mark { segment: active.base(), offset: active.next_offset(), position: active.bytes() };
        Some(Target { file: active.file().clone(), mark })
    }
}
