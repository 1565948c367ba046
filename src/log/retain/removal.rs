//! Taking the oldest segments out of a log.
//!
//! The state file says so first, durably; then readers are told, and only then do files go. A crash in between leaves
//! files that the next life removes.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::PartitionState;
use crate::io::pause;
use crate::locks::Ordering;
use crate::log::log::Log;
use crate::log::retain::retention::{Moment, RemovalReason, RetentionPolicy, SegmentFacts, removable};
use crate::log::table::names;
use crate::log::write::size_limit::WhenFull;
use crate::log::write::writer::{Open, Writer};
use crate::types::{Offset, Timestamp, TopicPartition};

/// So often something is tried on a full disk, each time in the room of so large a part of the index files.
const PARTS: usize = 4;
/// How long others may need to be done with what they have begun.
const MOMENT: Duration = Duration::from_millis(1);

/// What part of a partition's size limit is much.
const PART_OF_LIMIT: u64 = 8;

/// What retention removed from one partition.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let topic = store.create_topic("clicks", TopicConfig::new().segment_bytes(1000).retention_bytes(2000))?;
/// let producer = store.producer();
/// for _ in 0..100 {
///     producer.send(Record::to("clicks").value("a click on a page"))?;
/// }
/// let reports = topic.apply_retention()?;
/// assert!(reports[0].bytes() > 0);
/// assert_eq!(reports[0].start, topic.partition(0)?.start());
/// assert!(topic.partition(0)?.bytes() < 3000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionReport {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The first offset that may be read now.
    pub start: Offset,
    /// The segments that were removed, oldest first.
    pub removed: Vec<RemovedSegment>,
    /// Whether the clock had leapt so far ahead since the last run, or since the partition was opened or created, that nothing was
    /// removed because of its age. The next run trusts the clock.
    pub clock_leapt: bool,
    /// Whether the files of everything removed, now or before, are off the disk. A file that could not be removed, or that somebody holds
    /// for a copy, is still there: maintenance tries again in each round, and [`StoreStats`](crate::stats::StoreStats) lists the partition
    /// while it fails.
    pub is_freed: bool,
}

impl RetentionReport {
    /// Returns the bytes of all removed segments.
    pub fn bytes(&self) -> u64 {
        self.removed.iter().map(|segment| segment.bytes).sum()
    }

    /// Returns the number of records in all removed segments.
    pub fn records(&self) -> u64 {
        self.removed.iter().map(|segment| segment.records).sum()
    }
}

/// A segment that retention removed.
///
/// ```
/// fn is_expired(segment: &annals::report::RemovedSegment) -> bool {
///     segment.reason == annals::report::RemovalReason::Age
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemovedSegment {
    /// The segment's first offset.
    pub base_offset: Offset,
    /// The offset after the segment's last one.
    pub next_offset: Offset,
    /// Bytes of the segment's `.log` file.
    pub bytes: u64,
    /// The number of records in the segment.
    pub records: u64,
    /// The rule by which it was removed.
    pub reason: RemovalReason,
}

/// What went in one look at all segments.
struct Swept {
    removed: Vec<RemovedSegment>,
    /// When the clock had been seen before.
    seen: Timestamp,
    clock_leapt: bool,
    /// Whether another segment could be begun, where it had to be.
    rolled: Result<()>,
}

impl Log {
    /// Removes what the policy does not keep, whole segments from the oldest on. A log that loses nothing is not touched.
    ///
    /// The policy is asked for under the lock that [`set_config`](Self::set_config) takes: once that has returned, nothing
    /// goes by an answer of before.
    ///
    /// After an error the sealed segments may have gone, where the active one was to go too and no other could be begun.
    pub(crate) fn apply_retention(
        self: &Arc<Self>,
        ask: impl Fn() -> RetentionPolicy,
    ) -> Result<RetentionReport> {
        self.check_poison()?;
        // Before the lock: the clock may be a program's own, and whatever it does then concerns nobody else.
        let now = self.clock.now();
        let mut swept = self.sweep(&ask, (now, None))?;
        let mut is_freed = self.remove_obsolete_or_owe() && !self.has_obsolete();
        // What has gone may have made the room for the segment that could not be begun.
        if swept.rolled.as_ref().is_err_and(Error::is_disk_full) && !swept.removed.is_empty() {
            let rest = self.sweep(&ask, (now, Some(swept.seen)))?;
            is_freed = self.remove_obsolete_or_owe() && !self.has_obsolete();
            swept.removed.extend(rest.removed);
            swept.rolled = rest.rolled;
        }
        swept.rolled?;
        Ok(RetentionReport {
            topic_partition: self.topic_partition.clone(),
            start: self.start(),
            removed: swept.removed,
            clock_leapt: swept.clock_leapt,
            is_freed,
        })
    }

    /// Takes out what the policy does not keep, once. The clock was seen at another time before: at `seen`, where this is not the first
    /// time in a run.
    fn sweep(
        self: &Arc<Self>,
        ask: impl Fn() -> RetentionPolicy,
        (now, seen): (Timestamp, Option<Timestamp>),
    ) -> Result<Swept> {
        let mut writer = self.writer.lock();
        let policy = &ask();
        // Only a look at ages is a look at the clock: others must not make the next one believe a leap.
        let seen = seen.unwrap_or_else(|| match policy.max_age {
            Some(_) => self.clock_seen.swap(now.max(0), Ordering::AcqRel),
            None => self.clock_seen.load(Ordering::Acquire),
        });
        let moment = Moment { start: self.start(), now, seen };
        let clock_leapt = policy.max_age.is_some() && !moment.is_believable(policy);
        let mut swept = Swept { removed: Vec::new(), seen, clock_leapt, rolled: Ok(()) };
        if policy.is_all_or_nothing {
            // An append comes next: where the log cannot be made ready for that, it is refused, and nothing goes for it.
            self.opened(&mut writer)?;
        }
        let mut facts = self.facts(&writer)?;
        let mut reasons = self.removable_now(&facts, policy, &moment);
        if reasons.is_empty() {
            return Ok(swept);
        }
        // What is sealed goes from a log that nobody has appended to as well as from another.
        if reasons.len() > writer.phase.sealed() {
            match self.seal_what_goes(&mut writer, |facts| self.removable_now(facts, policy, &moment).len()) {
                Err(error) if self.poison.get().is_none() && !policy.is_all_or_nothing => {
                    swept.rolled = Err(error);
                }
                outcome => outcome?,
            }
            // A crash may have left more segments than were looked at when the log was opened, and it is ready now whatever became of the roll.
            facts = self.facts(&writer)?;
            reasons = self.removable_now(&facts, policy, &moment);
            if swept.rolled.is_err() {
                // What is sealed needs no other segment behind it, and may make the room for one.
                reasons.truncate(writer.phase.sealed());
                self.keep_to_starts(&facts, &mut reasons);
            }
        }
        if !reasons.is_empty() {
            self.take_out(&mut writer, reasons.len(), self.start())?;
        }
        self.note_start(&mut writer);
        drop(writer);
        let removed = facts.iter().zip(reasons).map(|(facts, reason)| RemovedSegment::new(facts, reason));
        swept.removed.extend(removed);
        self.note_removed(&swept.removed);
        Ok(swept)
    }

    /// Whether all of a segment lies below `offset`, so that a run which keeps nothing below it would take it out.
    pub(crate) fn has_segment_below(&self, offset: Offset) -> bool {
        self.segments_below(offset).is_some()
    }

    /// Where the last one of these ends.
    pub(crate) fn segments_below(&self, offset: Offset) -> Option<Offset> {
        let (list, end) = (self.segment_list(), self.end());
        let ends = list.iter().skip(1).map(|segment| segment.base()).chain([end]);
        let of_each = list.iter().zip(ends).filter(|(segment, end)| segment.base() < *end);
        of_each.map(|(_, end)| end).take_while(|end| *end <= offset).last()
    }

    /// The same, where it is worth an edit of the list of segments whenever somebody has read on: a segment that is full lies below.
    /// The active one alone does where the partition has used up an eighth of the size beyond which senders are refused, or wait.
    pub(crate) fn has_much_below(&self, offset: Offset) -> bool {
        if !self.has_segment_below(offset) {
            return false;
        }
        if self.segment_list().iter().nth(1).is_some() {
            return true;
        }
        let limit = self.accumulator.lock().rules.size_limit;
        let limit = limit.filter(|limit| limit.when_full != WhenFull::DropOldest);
        limit.is_some_and(|limit| self.bytes() >= limit.max_bytes / PART_OF_LIMIT)
    }

    /// Where its segments begin, the oldest first.
    pub(crate) fn segment_bases(&self) -> Vec<Offset> {
        self.segment_list().iter().map(|segment| segment.base()).collect()
    }

    /// Why segments may go now. They go up to where the log may start, as far as no layer above needs some of their records.
    fn removable_now(
        &self,
        facts: &[SegmentFacts],
        policy: &RetentionPolicy,
        moment: &Moment,
    ) -> Vec<RemovalReason> {
        let mut reasons = removable(facts, policy, moment);
        let needed_from = self.needed_from();
        let unneeded = facts.iter().take_while(|segment| segment.next_offset <= needed_from).count();
        reasons.truncate(unneeded);
        self.keep_to_starts(facts, &mut reasons);
        reasons
    }

    /// Leaves as many as end where the log may start.
    fn keep_to_starts(&self, facts: &[SegmentFacts], reasons: &mut Vec<RemovalReason>) {
        let ends = facts.iter().take(reasons.len()).map(|segment| segment.next_offset);
        let count = ends.rev().position(|end| self.may_start_at(end)).map_or(0, |kept| reasons.len() - kept);
        reasons.truncate(count);
    }

    /// What is known of each segment, the active one last. Changes nothing.
    pub(in crate::log) fn facts(&self, writer: &Writer) -> Result<Vec<SegmentFacts>> {
        writer.phase.facts().ok_or_else(|| self.closed())
    }

    /// Has sealed what `count` says is to go, and is not in the table yet. A log that nobody has appended to is made ready for that.
    fn seal_what_goes(&self, writer: &mut Writer, count: impl Fn(&[SegmentFacts]) -> usize) -> Result<()> {
        self.opened(writer)?;
        let facts = self.facts(writer)?;
        if count(&facts) < facts.len() {
            return Ok(());
        }
        self.roll_to_take_out(self.opened(writer)?)
    }

    /// Begins another segment, so that the active one can be taken out.
    pub(in crate::log) fn roll_to_take_out(&self, open: &mut Open) -> Result<()> {
        self.with_room_of_indexes(open, Open::table, |log, open| log.roll_to(open, open.active.next_offset()))
    }

    /// Does what needs room, on a disk that may be full and is to be freed by it. Indexes of what goes are nobody's any more then, those of
    /// others can be made again.
    pub(in crate::log) fn with_room_of_indexes<T>(
        &self,
        of: &mut T,
        table: impl Fn(&T) -> &PartitionState,
        act: impl Fn(&Self, &mut T) -> Result<()>,
    ) -> Result<()> {
        match act(self, of) {
            Err(error) if error.is_disk_full() && self.poison.get().is_none() => {
                // A part at a time, the oldest first: what others take of the room, in other partitions, is not all of it.
                let sealed = table(of).sealed.clone();
                let mut parts = sealed.chunks(sealed.len().div_ceil(PARTS).max(1));
                self.give_up_snapshots(table(of));
                let mut outcome = Err(error);
                for _ in 0..PARTS {
                    match parts.next() {
                        Some(part) => self.remove_indexes_of(part),
                        None => pause(MOMENT),
                    }
                    outcome = act(self, of);
                    if self.poison.get().is_some() || !outcome.as_ref().is_err_and(Error::is_disk_full) {
                        break;
                    }
                }
                outcome
            }
            outcome => outcome,
        }
    }

    /// Removes the files of segments that are no longer part of the log, without the writer's lock. What cannot be
    /// removed now stays listed in the state file, and is tried again; all others go.
    ///
    /// # Errors
    /// The first file that could not be removed. The log is as it should be; only the space is not free.
    pub(in crate::log) fn remove_obsolete(&self) -> Result<()> {
        // Held while files go by their names: who closes or deletes the partition waits for it, and the names are another's
        // only after that.
        let _removing = self.removing.lock();
        let obsolete = self.obsolete_to_remove()?;
        if obsolete.is_empty() {
            return Ok(());
        }
        let removed = names::remove_segments(&self.directory, &obsolete);
        self.forget_obsolete(&removed.gone);
        self.figures.removals.add(removed.gone.len() as u64);
        removed.outcome
    }
}

impl Log {
    /// The same for whoever does not report it: false where a file could not be removed, which every round of maintenance tries again
    /// and reports.
    pub(in crate::log) fn remove_obsolete_or_owe(&self) -> bool {
        let is_removed = self.remove_obsolete().is_ok();
        if !is_removed {
            self.upkeeps.note_left();
        }
        is_removed
    }
}

impl RemovedSegment {
    fn new(facts: &SegmentFacts, reason: RemovalReason) -> Self {
        let SegmentFacts { base, next_offset, bytes, records, .. } = *facts;
        Self { base_offset: base, next_offset, bytes, records, reason }
    }
}
