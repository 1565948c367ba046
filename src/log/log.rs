//! A partition: what its writer, its readers and its maintenance share.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::figures::Figures;
use crate::format::SegmentSummary;
use crate::io::{Clock, Directory, Process};
use crate::live::OwnSlot;
use crate::locks::{
    AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Mutex, MutexGuard, OnceLock, Ordering, RwLock,
};
use crate::log::compaction::Wanting;
use crate::log::config::{LogConfig, LogOptions};
use crate::log::follow::Follow;
use crate::log::keys::KeyUpkeep;
use crate::log::offsets::Offsets;
use crate::log::open::prerequisites::Prerequisites;
use crate::log::poison::{Poison, PoisoningLock};
use crate::log::producers::clearing::Clearing;
use crate::log::producers::table::ProducerTable;
use crate::log::segment_list::SegmentList;
use crate::log::signal::{Signal, Watchers};
use crate::log::stats::FirstTime;
use crate::log::thinned::Thinned;
use crate::log::upkeeps::Upkeeps;
use crate::log::write::accumulator::Accumulator;
use crate::log::write::group_sync::Committer;
use crate::log::write::next_offset::GivenOut;
use crate::log::write::rules::AppendRules;
use crate::log::write::spares::Spares;
use crate::log::write::writer::{Phase, Writer};
use crate::types::{Offset, Timestamp, TopicPartition};
use crate::upkeep::{Agenda, Ticket, Waking};

/// One partition.
///
/// Locks are taken in this order: `making_room`, `rewriting`, `removing`, `writer`, `accumulator`, then the rest. No lock but the
/// first four is held over I/O.
#[derive(Debug)]
pub(crate) struct Log {
    /// Its name.
    pub(super) topic_partition: TopicPartition,
    pub(super) directory: Directory,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) agenda: Arc<Agenda>,
    pub(super) options: LogOptions,
    pub(super) spares: Arc<Spares>,
    pub(super) figures: Arc<Figures>,
    pub(super) clearing: Arc<Clearing>,
    pub(super) config: RwLock<Arc<LogConfig>>,
    /// Held by whoever rewrites sealed segments, all the time that takes. Appends do not need it.
    pub(super) rewriting: Mutex<()>,
    /// What the last compaction had no room for.
    pub(super) wanting: Wanting,
    /// What the segment in which the log starts had no room for, to be written without what was deleted.
    pub(super) untrimmed: Wanting,
    /// Held by whoever removes files of segments that left the log.
    pub(super) removing: Mutex<()>,
    /// Held by whoever takes the oldest out to make room for records, from the look at them on, and by all who append where that
    /// is done: nobody's records come in between and have those refused for which something was taken out.
    pub(super) making_room: Mutex<()>,
    /// Step 1 of an append: short, no I/O.
    pub(super) accumulator: Mutex<Accumulator>,
    /// Its next offset, for who does not wait for it.
    pub(super) given_out: GivenOut,
    /// Step 2: held over the write.
    pub(super) writer: PoisoningLock<Writer>,
    /// Step 3.
    pub(super) committer: Committer,
    /// Replaced whole, by an edit of the table alone; readers keep the list they took.
    pub(super) segments: RwLock<Arc<SegmentList>>,
    pub(super) offsets: Offsets,
    /// No record from there on is compacted away: the layer above needs it.
    pub(super) kept_from: AtomicI64,
    /// A layer above needs what stands from here on.
    pub(super) needed_from: AtomicI64,
    /// The record from which on that is still to be said. Set under the accumulator.
    pub(super) arriving_from: AtomicI64,
    /// Those who write under an id, and their transactions. Changed under the writer's lock.
    pub(super) producers: Mutex<ProducerTable>,
    /// What the clock showed at the last roll; before that the same as `clock_seen` at first.
    pub(super) clock_at_roll: AtomicI64,
    /// The log's place on the agenda while it has records in memory that nobody waits for.
    pub(super) linger: Mutex<Option<Ticket>>,
    /// What the clock showed when retention last looked at ages; before that when the log was opened, or at the last append before it where
    /// that was earlier. Never negative but where another process writes.
    pub(super) clock_seen: AtomicI64,
    /// Of the first record that is there, once it was asked for.
    pub(super) first_time: Mutex<Option<FirstTime>>,
    /// Bytes taken out of the log since it was opened.
    pub(super) reclaimed_bytes: AtomicU64,
    /// Offsets that readers passed over because of damage since it was opened, those of each reader.
    pub(super) skipped_offsets: AtomicU64,
    /// Raised before and after something is taken out of the log.
    pub(super) rewrites: AtomicU64,
    /// Where that was not at its start.
    pub(super) thinned: Thinned,
    pub(crate) upkeeps: Arc<Upkeeps>,
    pub(super) keys: KeyUpkeep,
    /// Set once, by the failure after which nobody knows what is on the disk.
    pub(super) poison: Arc<Poison>,
    /// How many want its files where they are.
    pub(super) holds: AtomicUsize,
    /// Segments that left the log while somebody did.
    pub(super) held_back: Mutex<Vec<SegmentSummary>>,
    /// Set once, when it is closed or deleted: a rewrite that is under way ends at its next step.
    pub(super) ending: AtomicBool,
    /// Set once, when the partition is deleted.
    pub(super) retired: OnceLock<Error>,
    pub(super) watchers: Arc<Watchers>,
    /// Where other processes see it, if they may.
    pub(super) shown: OnceLock<Arc<OwnSlot>>,
    /// What must be done before the first append.
    pub(super) prerequisites: Prerequisites,
    /// How it is looked at, where another process writes it.
    pub(super) follow: Option<Follow>,
    /// Which opened it.
    pub(super) process: Process,
}

impl Log {
    /// The directory of its files.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn path(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// What stays the same while it is open.
    pub(crate) fn options(&self) -> &LogOptions {
        &self.options
    }

    /// The time of day, from the clock it was given.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// First offset that may be read.
    pub(crate) fn start(&self) -> Offset {
        self.offsets.start()
    }

    /// Everything below survives a power cut.
    pub(crate) fn durable(&self) -> Offset {
        self.offsets.durable()
    }

    /// Next offset to be assigned among records handed to the operating system.
    pub(crate) fn end(&self) -> Offset {
        self.offsets.end()
    }

    /// Next offset to be given out: after the records that are still in memory.
    pub(crate) fn next_offset(&self) -> Offset {
        if self.follow.is_some() || !self.process.is_current() {
            return self.end();
        }
        self.accumulator.lock().next_offset()
    }

    /// The most bytes that one batch may have now.
    pub(crate) fn most_batch_bytes(&self) -> usize {
        self.accumulator.lock().rules.max_bytes
    }

    /// Bytes of all batches; none are seen in a child of a fork, where nothing may be waited for.
    pub(crate) fn bytes(&self) -> u64 {
        if !self.process.is_current() {
            return 0;
        }
        self.segment_list().iter().map(|segment| segment.bytes()).sum()
    }

    pub(crate) fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read())
    }

    /// Partitions of its topic, as far as [`LogConfig::partitions`] is kept up to date.
    pub(crate) fn partitions(&self) -> u32 {
        self.config.read().partitions
    }

    /// Takes new settings for what is appended from now on.
    pub(crate) fn set_config(self: &Arc<Self>, config: impl Into<Arc<LogConfig>>) {
        let config = config.into();
        // Held to the end: who looks at the settings under this lock sees all of them change at once.
        let mut writer = self.writer.lock();
        let rules = AppendRules::new(&config);
        let mut accumulator = self.written_before_other_times(&mut writer, &rules);
        writer.set_config(&config);
        accumulator.rules = rules;
        drop(accumulator);
        *self.config.write() = config;
        self.keep_keys();
        // A sender may wait for a limit that is another one now.
        self.watchers.raise();
    }

    /// Another number whenever something was taken out of the log. A walk during which this stays the same has met every record that
    /// was there when it began.
    pub(crate) fn rewrites(&self) -> u64 {
        self.rewrites.load(Ordering::Acquire)
    }

    /// How often something was taken out of the log elsewhere than at its start. A walk has met what was there at this number, or later.
    pub(crate) fn thinnings(&self) -> u64 {
        self.thinned.number()
    }

    /// Where that was since it was that number, as one range; `None` where it was nowhere.
    pub(crate) fn thinned_since(&self, number: u64) -> Option<Range<Offset>> {
        self.thinned.since(number)
    }

    /// What calls the wakers of tasks.
    pub(crate) fn waking(&self) -> &Arc<Waking> {
        self.agenda.waking()
    }

    /// Raises `signal` whenever there may be more to read.
    pub(crate) fn watch(self: &Arc<Self>, signal: &Arc<Signal>) {
        self.watchers.add(signal);
        if let Some(follow) = &self.follow {
            signal.follow(self, follow.guest());
        }
    }

    pub(crate) fn unwatch(&self, signal: &Arc<Signal>) {
        self.watchers.remove(signal);
        signal.unfollow(self);
    }

    pub(super) fn segment_list(&self) -> Arc<SegmentList> {
        Arc::clone(&self.segments.read())
    }

    /// The partition was deleted, or its store closed: every later call says so. The reason comes first: a call that finds
    /// the write side closed finds out why. When this returns nobody works on its files any more, whichever thread had begun
    /// to: the directory may be given away.
    pub(crate) fn retire(&self, reason: Error) {
        drop(self.retired.set(reason));
        self.watchers.raise();
        let _rewriting = self.end_rewrites();
        let _removing = self.removing.lock();
        let mut writer = self.writer.lock();
        writer.phase = Phase::Closed;
        self.figures.add_gone(std::mem::take(&mut writer.appended));
        if let Some(reason) = self.retired.get() {
            self.show_no_more(&writer, reason);
        }
        drop(writer);
        self.segment_list().iter().for_each(|segment| segment.leave());
        self.watchers.raise();
    }

    /// Has a rewrite end at its next step, and waits for that. None begins from here on.
    pub(super) fn end_rewrites(&self) -> MutexGuard<'_, ()> {
        self.ending.store(true, Ordering::Release);
        self.rewriting.lock()
    }

    /// An error when the partition is being closed or deleted, or its files are held: what takes long asks between two steps.
    pub(super) fn check_going_on(&self) -> Result<()> {
        if self.ending.load(Ordering::Acquire) { Err(self.closed()) } else { self.check_not_held() }
    }

    /// An error when the partition was deleted or its store closed.
    #[inline]
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.retired.get().is_none() && self.process.is_current() { Ok(()) } else { Err(self.gone()) }
    }

    /// An error in a child of a fork: asked before any lock.
    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.process.is_current() { Ok(()) } else { Err(self.forked()) }
    }

    #[cold]
    fn forked(&self) -> Error {
        let own = self.directory.path();
        self.process.forked(own.parent().unwrap_or(own))
    }

    #[cold]
    fn gone(&self) -> Error {
        self.retired.get().cloned().filter(|_| self.process.is_current()).unwrap_or_else(|| self.forked())
    }

    /// What a failure means: a deletion takes the files from beneath whoever reads them, and the right word for that is
    /// that the topic is unknown.
    pub(crate) fn explain(&self, error: Error) -> Error {
        self.check_open().err().unwrap_or_else(|| error.in_partition(&self.topic_partition))
    }

    /// An error when the partition is gone, or an earlier failure left it in a state that nobody knows.
    #[inline]
    pub(crate) fn check_poison(&self) -> Result<()> {
        if self.retired.get().is_none() && self.poison.get().is_none() && self.process.is_current() {
            Ok(())
        } else {
            self.refuse()
        }
    }

    #[cold]
    fn refuse(&self) -> Result<()> {
        self.check_open()?;
        self.poison.get().map_or(Ok(()), |cause| {
            Err(Error::Poisoned { partition: Some(self.topic_partition.clone()), cause: Arc::clone(cause) })
        })
    }

    /// Nothing is acknowledged from here on. The first cause stands.
    pub(super) fn poison_with(&self, cause: Error) -> Error {
        self.poison.set(&cause);
        cause
    }

    pub(super) fn raise_durable(&self, offset: Offset) {
        self.offsets.move_durable(offset);
        self.show_durable();
        self.watchers.raise();
    }

    pub(crate) fn out_of_range(&self, requested: Offset) -> Error {
        let (start, end) = (self.start(), self.end());
        Error::OffsetOutOfRange { partition: self.topic_partition.clone(), requested, start, end }
    }
}
