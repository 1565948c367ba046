//! Waiting for the disk without a thread: a task puts down what it waits for, and is woken when a sync is over.

use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::error::{Error, Result};
use crate::locks::Mutex;
use crate::log::log::Log;
use crate::log::write::accumulator::Accumulator;
use crate::types::Offset;
use crate::upkeep::Waiting;

/// A wait for everything up to an offset to survive a power cut.
#[derive(Debug)]
pub(crate) struct DurableWait {
    awaited: Arc<Awaited>,
    asks: Asks,
    /// It was put down for the next round.
    is_put_down: bool,
}

/// Whose records it waits for: of one that is lost it tells, and what others have lost is left to whoever asks for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    ForOne,
    /// As a flush does.
    ForAll,
}

/// What is waited for, shared with the thread that syncs.
#[derive(Debug)]
struct Awaited {
    log: Arc<Log>,
    /// The last record.
    offset: Offset,
    /// It was written when the wait began: then its offset is never another's.
    was_written: bool,
    /// How often offsets had been given out again when the wait began.
    failures: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    outcome: Option<Result<()>>,
    waker: Option<Waker>,
}

impl Log {
    /// A wait for the record of `offset`, and all before it.
    pub(crate) fn await_durable(self: &Arc<Self>, offset: Offset) -> Result<DurableWait> {
        self.check_process()?;
        let accumulator = self.accumulator.lock();
        if !(0..accumulator.next_offset()).contains(&offset) {
            drop(accumulator);
            return Err(self.out_of_range(offset));
        }
        Ok(self.wait(offset, &accumulator, Asks::ForOne))
    }

    /// A wait for everything that was accepted so far.
    pub(crate) fn await_all(self: &Arc<Self>) -> DurableWait {
        let accumulator = self.accumulator.lock();
        self.wait(accumulator.next_offset() - 1, &accumulator, Asks::ForAll)
    }

    /// Begun while nobody gives out an offset, or gives one out again.
    fn wait(self: &Arc<Self>, offset: Offset, accumulator: &Accumulator, asks: Asks) -> DurableWait {
        let log = Arc::clone(self);
        let (was_written, failures) = (self.end() > offset, accumulator.failures());
        let awaited = Awaited { log, offset, was_written, failures, state: Mutex::default() };
        DurableWait { awaited: Arc::new(awaited), asks, is_put_down: false }
    }
}

impl DurableWait {
    /// Whether it is over; else the waker is called when it may be.
    pub(crate) fn poll(&mut self, waker: &Waker) -> Poll<Result<()>> {
        let log = &self.awaited.log;
        if let Err(forked) = log.check_process() {
            return Poll::Ready(Err(forked));
        }
        if self.awaited.is_durable() {
            return Poll::Ready(self.end(Ok(())));
        }
        if self.awaited.is_lost() {
            return Poll::Ready(self.end(Err(self.awaited.loss())));
        }
        if let Err(gone) = log.check_poison() {
            return Poll::Ready(Err(gone));
        }
        // Under no lock: what a waker does to be copied is the executor's, and may come back to this wait.
        let own = waker.clone();
        let left = {
            let mut state = self.awaited.state.lock();
            match state.outcome.take() {
                Some(outcome) => {
                    drop(state);
                    return Poll::Ready(self.end(outcome));
                }
                // Kept before the wait is put down, and while the outcome is looked for: it cannot come in between.
                None => state.waker.replace(own),
            }
        };
        drop(left);
        if !self.is_put_down {
            let waiting: Arc<dyn Waiting> = Arc::<Awaited>::clone(&self.awaited);
            if let Err(error) = log.agenda.sync_for(log, waiting) {
                return Poll::Ready(Err(error));
            }
            self.is_put_down = true;
        }
        Poll::Pending
    }

    fn end(&self, outcome: Result<()>) -> Result<()> {
        match self.asks {
            Asks::ForOne => outcome,
            Asks::ForAll => match self.awaited.log.check_poison() {
                // What is lost at a close is told as that.
                Ok(()) | Err(Error::StoreClosed { .. }) => outcome,
                // As a flush says it.
                Err(gone) => outcome.map_err(|_| gone),
            },
        }
    }
}

impl Drop for DurableWait {
    /// The round that it was put down for comes to its end without it.
    fn drop(&mut self) {
        if !self.awaited.log.process.is_current() {
            return;
        }
        let left = self.awaited.state.lock().waker.take();
        drop(left);
    }
}

impl Awaited {
    /// Whether the record that had the offset when the wait began survives a power cut.
    fn is_durable(&self) -> bool {
        // In this order: when a write fails its offsets are given out again, and what then becomes durable is something else.
        let is_durable = self.log.durable() > self.offset;
        is_durable && !self.is_lost()
    }

    /// Whether it was in memory when a write failed. What was written by then stands, whatever became of what came after it.
    fn is_lost(&self) -> bool {
        !self.was_written && self.log.accumulator.lock().is_lost(self.offset, self.failures)
    }

    #[cold]
    fn loss(&self) -> Error {
        let own = (self.offset..=self.offset, self.failures + 1);
        self.log.lost(self.log.accumulator.lock().failures.of(own, &self.log.topic_partition))
    }

    fn outcome(&self, round: &Result<()>) -> Result<()> {
        if self.is_durable() {
            return Ok(());
        }
        round.clone()?;
        self.log.check_poison()?;
        Err(self.loss())
    }
}

impl Waiting for Awaited {
    fn over(&self, round: &Result<()>) -> Option<Waker> {
        let outcome = self.outcome(round);
        let mut state = self.state.lock();
        state.outcome = Some(outcome);
        state.waker.take()
    }
}
