//! A partition that may not grow beyond a limit: a bounded queue.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::figures::Event;
use crate::io::Stopwatch;
use crate::log::log::Log;
use crate::log::patience::Patience;
use crate::log::retain::retention::RetentionPolicy;
use crate::log::signal::Signal;
use crate::log::write::accumulator::Accumulator;
use crate::log::write::append::Admitted;
use crate::types::{Offset, Timestamp};

/// So often nothing could go, for what others have sent in between is needed, before an append is refused.
const MOST_IN_VAIN: usize = 100;

/// What happens to an append that would make a full partition larger.
///
/// ```
/// use annals::{TopicConfig, WhenFull};
/// let jobs = TopicConfig::new().size_limit(1 << 30, WhenFull::Block);
/// assert_eq!(jobs.get("annals.size.limit.action"), "block");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WhenFull {
    /// The append fails with [`Error::Full`].
    #[default]
    Fail,
    /// The oldest segments are removed, whether they were read or not. A transaction that has written there and is not decided is
    /// aborted first: its calls return [`TransactionDisplaced`](Error::TransactionDisplaced). If it cannot be aborted, because its commit
    /// is under way or waits to be decided by the next open, the append fails with [`Error::Full`]. It also fails if others send messages
    /// with ids in between a hundred times in a row, because a record is removed only when its id is written.
    DropOldest,
    /// The append waits until retention or consumers have made room, and fails with [`Error::Full`] if that takes too long.
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

/// What there is of room for some bytes in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// The oldest segments go for it.
    TakenOut,
    /// Others make it: whoever wants it waits.
    Awaited,
}

/// A sender that waits for room.
#[derive(Debug)]
pub(crate) struct RoomWait<'a> {
    log: &'a Log,
    signal: Arc<Signal>,
    /// What the limit allowed for when the wait began, and until when that is.
    max_block: Duration,
    patience: Patience,
    watch: Stopwatch,
}

impl<'a> RoomWait<'a> {
    fn new(log: &'a Log, limit: &SizeLimit) -> Self {
        let signal = Arc::new(Signal::default());
        log.watchers.add(&signal);
        Self {
            log,
            signal,
            max_block: limit.max_block,
            patience: Patience::new(limit.max_block),
            watch: Stopwatch::start(),
        }
    }

    /// Sleeps until something has changed since `seen`; false when that has taken too long.
    fn sleep(&mut self, seen: u64, limit: &SizeLimit) -> bool {
        if limit.max_block != self.max_block {
            (self.max_block, self.patience) = (limit.max_block, Patience::new(limit.max_block));
        }
        self.patience.waits(&self.signal, seen)
    }
}

impl Drop for RoomWait<'_> {
    fn drop(&mut self) {
        self.log.unwatch(&self.signal);
        let took = self.watch.elapsed();
        self.log.figures.room.note(took);
        let event = || Event::WaitedForRoom { partition: self.log.topic_partition.clone(), took };
        self.log.figures.events.note(event);
    }
}

impl Log {
    /// Returns when a batch of `bytes` that `admit` lets pass may be placed. What is in memory, and what is on its way to
    /// the segment, comes on top of the limit. Nothing is taken out for a batch that is refused, and everything is looked
    /// at again after each wait: the limit may be another one by then, or none. (Where an open transaction is cleared away, others
    /// may come in between.)
    pub(in crate::log) fn admitted_within_limit(
        self: &Arc<Self>,
        bytes: u64,
        admit: impl Fn(&mut Accumulator, Timestamp) -> Result<()>,
    ) -> Result<Admitted<'_>> {
        let mut waiting: Option<RoomWait<'_>> = None;
        let mut turn = None;
        let (mut may_drop, mut in_vain, mut passes_decided) = (false, 0, false);
        loop {
            // Read before looking: room made after this look ends the sleep below.
            let seen = waiting.as_ref().map(|waiting| waiting.signal.raised());
            self.check_poison()?;
            let mut accumulator = self.accumulator.lock();
            let now = self.clock.now();
            admit(&mut accumulator, now)?;
            let Some(limit) = accumulator.rules.size_limit else {
                return Ok(Admitted { accumulator, now });
            };
            if limit.when_full == WhenFull::DropOldest && turn.is_none() {
                drop(accumulator);
                turn = Some(self.making_room.lock());
                continue;
            }
            if bytes > limit.max_bytes {
                let setting = "annals.size.limit.bytes";
                return Err(Error::RecordTooLarge { size: bytes, limit: limit.max_bytes, setting });
            }
            if self.bytes() + bytes <= limit.max_bytes {
                return Ok(Admitted { accumulator, now });
            }
            drop(accumulator);
            match (limit.when_full, &mut waiting, seen) {
                (WhenFull::Fail, ..) => return Err(self.full(&limit)),
                (WhenFull::DropOldest, ..) if !may_drop => {
                    // Under no lock, and for whatever is there now: what comes later is asked for again.
                    turn = None;
                    self.before_removal()?;
                    may_drop = true;
                }
                (WhenFull::DropOldest, ..) => {
                    may_drop = false;
                    let before = self.bytes();
                    let exact = self.start_for(bytes, &limit);
                    let further = passes_decided.then(|| self.start_past_decided(exact)).flatten();
                    self.drop_oldest(further.unwrap_or(exact))?;
                    in_vain = if self.bytes() < before { 0 } else { in_vain + 1 };
                    if in_vain > MOST_IN_VAIN {
                        return Err(self.full(&limit));
                    }
                    // What a transaction without an end has written stays, and all behind it.
                    if self.bytes() + bytes > limit.max_bytes && self.finished() < self.end() {
                        // Whoever is at work on that transaction may wait for a turn of its own.
                        turn = None;
                        if self.clear_away_oldest() {
                            in_vain = 0;
                        } else if self.start_past_decided(self.start_for(bytes, &limit)).is_some() {
                            passes_decided = true;
                        } else {
                            return Err(self.full(&limit));
                        }
                    }
                }
                (WhenFull::Block, Some(waiting), Some(seen)) => {
                    if !waiting.sleep(seen, &limit) {
                        return Err(self.full(&limit));
                    }
                }
                (WhenFull::Block, ..) => {
                    // Taken where the limit was another one: nobody is to wait for one who waits.
                    turn = None;
                    waiting = Some(RoomWait::new(self, &limit));
                }
            }
        }
    }

    /// A look at what there is of room for so many bytes, which changes nothing; an error where they are more than the partition may ever
    /// have, or it is full and refuses them.
    pub(crate) fn room_for(&self, bytes: u64) -> Result<Room> {
        let Some(limit) = self.accumulator.lock().rules.size_limit else { return Ok(Room::Enough) };
        if bytes > limit.max_bytes {
            let setting = "annals.size.limit.bytes";
            return Err(Error::RecordTooLarge { size: bytes, limit: limit.max_bytes, setting });
        }
        if self.bytes() + bytes <= limit.max_bytes {
            return Ok(Room::Enough);
        }
        match limit.when_full {
            WhenFull::Fail => Err(self.full(&limit)),
            WhenFull::DropOldest => Ok(Room::TakenOut),
            WhenFull::Block => Ok(Room::Awaited),
        }
    }

    /// Returns when others have made room for so many bytes, or nobody is to wait for it any more. A sender that tries several times has one
    /// `wait` for all of them: together they take no longer than one may.
    pub(crate) fn wait_for_room<'a>(
        self: &'a Arc<Self>,
        bytes: u64,
        wait: &mut Option<RoomWait<'a>>,
    ) -> Result<()> {
        loop {
            // Read before looking: room made after this look ends the sleep below.
            let seen = wait.as_ref().map(|wait| wait.signal.raised());
            self.check_poison()?;
            if self.room_for(bytes)? != Room::Awaited {
                return Ok(());
            }
            let Some(limit) = self.config().size_limit else { return Ok(()) };
            match (&mut *wait, seen) {
                (Some(wait), Some(seen)) => {
                    if !wait.sleep(seen, &limit) {
                        return Err(self.full(&limit));
                    }
                }
                (wait, _) => *wait = Some(RoomWait::new(self, &limit)),
            }
        }
    }

    /// Whether a sender waits where it is full.
    pub(crate) fn blocks_when_full(&self) -> bool {
        self.config().size_limit.is_some_and(|limit| limit.when_full == WhenFull::Block)
    }

    /// The error of a partition that is full.
    pub(crate) fn refuse_full(&self) -> Error {
        let limit = self.config().size_limit.map_or(u64::MAX, |limit| limit.max_bytes);
        Error::Full { partition: self.topic_partition.clone(), bytes: self.bytes(), limit }
    }

    /// Where the log is to start, at a segment, for so many bytes to have room.
    fn start_for(&self, bytes: u64, limit: &SizeLimit) -> Offset {
        let mut excess = self.bytes().saturating_sub(limit.max_bytes.saturating_sub(bytes));
        for segment in self.segment_list().iter() {
            if excess == 0 {
                return segment.base();
            }
            excess = excess.saturating_sub(segment.bytes());
        }
        self.end()
    }

    /// The first place from there on where the log may start: a transaction that is decided, and cannot get its end, goes whole where a part
    /// of it has to go. `None` where one is in the way that is not decided.
    fn start_past_decided(&self, exact: Offset) -> Option<Offset> {
        let list = self.segment_list();
        let mut starts = list.iter().map(|segment| segment.base()).chain([self.end()]);
        starts.find(|start| *start >= exact && self.may_start_at(*start))
    }

    fn drop_oldest(self: &Arc<Self>, keep_from: Offset) -> Result<()> {
        let keep_from = Some(keep_from);
        let policy = RetentionPolicy { keep_from, is_all_or_nothing: true, ..RetentionPolicy::default() };
        let still_drops = || {
            let limit = self.accumulator.lock().rules.size_limit;
            limit.is_some_and(|limit| limit.when_full == WhenFull::DropOldest)
        };
        self.apply_retention(|| if still_drops() { policy } else { RetentionPolicy::default() }).map(drop)
    }

    /// Has the oldest transaction without an end come to one: then what it has written may go. False where that cannot be.
    fn clear_away_oldest(&self) -> bool {
        let start = self.start();
        let here = self.open_transactions().into_iter().filter(|open| open.last >= start);
        let Some(oldest) = here.min_by_key(|open| open.first) else { return true };
        self.clearing.clear_away(&self.topic_partition, oldest.producer_id);
        self.finished() > oldest.first
    }

    fn full(&self, limit: &SizeLimit) -> Error {
        Error::Full { partition: self.topic_partition.clone(), bytes: self.bytes(), limit: limit.max_bytes }
    }
}
