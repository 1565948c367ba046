//! Syncing: one sync for all who wait.
//!
//! One waiter at a time leads. Before it syncs it waits, shortly, for the threads that were in the last round to come
//! back with their next record: on a disk that takes longer to sync than a thread takes to return, that turns half-full
//! rounds into full ones. A thread alone never waits.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::figures::Event;
use crate::format::Mark;
use crate::io::{Deadline, File, Stopwatch};
use crate::locks::{Condvar, Mutex};
use crate::log::log::Log;
use crate::log::write::accumulator::Take;
use crate::log::write::open_batch::Outcome;
use crate::log::write::writer::Phase;
use crate::types::Offset;
use crate::upkeep::Otherwise;

/// How long a leader waits for the threads of the last round.
const GATHER: Duration = Duration::from_micros(300);

/// The queue of those who wait for a sync.
#[derive(Debug, Default)]
pub(in crate::log) struct Committer {
    rounds: Mutex<Rounds>,
    /// A round is over.
    done: Condvar,
    /// As many wait as the last round served.
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    is_led: bool,
    /// Threads that have begun to wait since the last round ended, the leader not counted.
    waiting: usize,
    /// How many they were when it ended.
    last_served: usize,
}

/// What a sync will make durable.
struct Target {
    file: File,
    mark: Mark,
}

/// What somebody waits for.
struct Awaited<'a> {
    /// How the write ends, where it is not known to have succeeded.
    outcome: Option<&'a Outcome>,
    offset: Offset,
}

impl Awaited<'_> {
    /// How it ended, if it did.
    fn look(&self, log: &Log) -> Option<Result<()>> {
        // In this order: when a write fails its offsets are given out again, and what then becomes durable is something
        // else. The outcome is set before that.
        let is_durable = log.durable() > self.offset;
        match self.outcome.map(Outcome::get) {
            Some(Some(Err(error))) => Some(Err(error)),
            Some(None) => None,
            Some(Some(Ok(()))) | None => is_durable.then_some(Ok(())),
        }
    }
}

/// A round that is led. Its end, be it a panic, lets those who wait for it go on.
struct Round<'a>(&'a Committer);

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let mut rounds = self.0.rounds.lock();
        rounds.is_led = false;
        // Here and not by each as it wakes: whoever leads next must not take those still asleep for having come back.
        rounds.last_served = std::mem::take(&mut rounds.waiting);
        self.0.done.notify_all();
    }
}

impl Log {
    /// Returns when everything up to `offset`, which is written, survives a power cut.
    pub(in crate::log) fn synced(self: &Arc<Self>, offset: Offset) -> Result<()> {
        self.commit(&Awaited { outcome: None, offset })
    }

    /// Returns when the batch with that outcome, in memory or on its way, is written, and everything up to `offset` synced.
    pub(in crate::log) fn written_and_synced(
        self: &Arc<Self>,
        outcome: &Outcome,
        offset: Offset,
    ) -> Result<()> {
        self.commit(&Awaited { outcome: Some(outcome), offset })
    }

    fn commit(self: &Arc<Self>, awaited: &Awaited<'_>) -> Result<()> {
        let mut rounds = self.committer.rounds.lock();
        loop {
            if let Some(over) = awaited.look(self) {
                return over;
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
        let round = Round(&self.committer);
        let result = self.lead(awaited);
        drop(round);
        // Nobody waits for this.
        result.map(|mark| mark.into_iter().for_each(|mark| self.note(mark)))
    }

    /// Writes and syncs for all who wait. Says what is durable now, or nothing if another sync has covered it.
    fn lead(self: &Arc<Self>, awaited: &Awaited<'_>) -> Result<Option<Mark>> {
        if awaited.outcome.is_some() {
            self.write_queued();
        }
        if let Some(over) = awaited.look(self) {
            return over.map(|()| None);
        }
        let synced = self.sync_written();
        match awaited.look(self) {
            // Its write was under way on another thread, and has failed.
            Some(Err(error)) => Err(error),
            // Closed meanwhile, perhaps: then the close has synced it.
            Some(Ok(())) => Ok(synced.ok()),
            None => synced.and_then(|mark| match awaited.outcome {
                Some(_) => Err(unanswered()),
                None => Ok(Some(mark)),
            }),
        }
    }

    /// Writes what is in memory and syncs what is written, on whatever thread this is.
    pub(crate) fn flush(self: &Arc<Self>) -> Result<()> {
        self.flush_and(|| self.tell_lost())
    }

    /// The same for others: what is lost is told to whoever has sent it.
    pub(crate) fn flush_for_others(self: &Arc<Self>) -> Result<()> {
        self.flush_and(|| Ok(()))
    }

    fn flush_and(self: &Arc<Self>, tell: impl FnOnce() -> Result<()>) -> Result<()> {
        self.check_poison()?;
        let mut writer = self.writer.lock();
        self.write_with(&mut writer, Take::All);
        // What ends the partition in the middle of that takes back what was in memory: there may be nothing left to sync.
        self.check_poison()?;
        tell()?;
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

    fn sync_written(&self) -> Result<Mark> {
        let Some(target) = self.target() else { return Err(self.closed()) };
        // A sync that panics is one of which nobody knows how it ended, also in the middle of another panic.
        let unknown = Otherwise::new(|| _ = self.poison.set_by_panic());
        let watch = Stopwatch::start();
        let synced = target.file.sync().map_err(|error| self.poison_with(error));
        unknown.went_well();
        synced?;
        let took = watch.elapsed();
        self.raise_durable(target.mark.offset);
        self.figures.syncs.add(1);
        self.figures.sync.note(took);
        let event = || {
            let partition = self.topic_partition.clone();
            Event::Synced { partition, durable: target.mark.offset, took }
        };
        self.figures.events.note(event);
        Ok(target.mark)
    }

    /// Notes in the state file how far a sync has got.
    fn note(&self, mark: Mark) {
        if let Phase::Open(open) = &mut self.writer.lock().phase
            && open.active.base() == mark.segment
        {
            // The mark is a lower bound: an older one costs the next open a longer scan and loses nothing.
            drop(open.state.mark(mark));
        }
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

/// A batch leaves memory with its outcome set, and whoever writes it holds the writer until then. So this is never seen.
pub(in crate::log) fn unanswered() -> Error {
    Error::invalid("a batch was neither written nor refused")
}
