//! Erasing the records of some keys.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::RawRecord;
use crate::log::compaction::rewrite::{Rewrite, Rewriter, Source};
use crate::log::compaction::room::Lack;
use crate::log::compaction::sieve::{OtherKeys, OtherOffsets, Sieve};
use crate::log::compaction::swap::Swap;
use crate::log::config::LogConfig;
use crate::log::log::Log;
use crate::log::read::{BelowStart, FetchLimits, Isolation, OnDamage, Reader, Visibility};
use crate::log::table::edit::Edit;
use crate::segment::{key_stamp, remove_other_keys};
use crate::types::{Offset, TopicPartition};

/// What [`Topic::erase`](crate::Topic::erase), or [`Store::drop_done`](crate::Store::drop_done), removed from one partition.
///
/// ```
/// # use annals::{Record, Store, TopicConfig};
/// # let dir = tempfile::tempdir()?;
/// # let store = Store::open(dir.path())?;
/// let visits = store.create_topic("visits", TopicConfig::new())?;
/// # let producer = store.producer();
/// for (who, page) in [("alice", "/"), ("bob", "/"), ("alice", "/basket")] {
///     producer.send(Record::to("visits").key(who).value(page))?;
/// }
/// let reports = visits.erase("alice")?;
/// assert_eq!(reports[0].records, 2);
/// let left: Vec<_> = visits.partition(0)?.read(..)?.into_iter().map(|record| record.unwrap().offset).collect();
/// assert_eq!(left, [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EraseReport {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// Records that were removed.
    pub records: u64,
    /// Segments that contained any of them and were rewritten.
    pub segments: usize,
    /// Bytes by which the partition became smaller.
    pub bytes: u64,
}

/// Which sealed segments are rewritten.
#[derive(Debug)]
struct Part<'a> {
    /// So many at most, the oldest first.
    most: usize,
    /// What ends below.
    below: Offset,
    /// As long as the log has these.
    settings: Option<&'a Arc<LogConfig>>,
}

impl Default for Part<'_> {
    fn default() -> Self {
        Self { most: usize::MAX, below: Offset::MAX, settings: None }
    }
}

/// What came of a rewrite of segments one by one.
#[derive(Debug)]
pub(super) struct Sifted {
    report: EraseReport,
    /// It ended at one that had no room.
    pub(super) lack: Option<Lack>,
}

impl Sifted {
    /// An error where that is not all.
    fn all(self) -> Result<EraseReport> {
        self.lack.map_or(Ok(self.report), |lack| Err(lack.error))
    }
}

impl Log {
    /// Removes every record whose key matches, wherever it stands, so that no file of the log holds it any more. The
    /// blocks it stood in are the file system's to overwrite. After an error some of them may be left: call again.
    pub(crate) fn erase(self: &Arc<Self>, key_matches: &dyn Fn(&[u8]) -> bool) -> Result<EraseReport> {
        self.check_going_on()?;
        if self.active_holds(key_matches)? {
            self.roll()?;
        }
        // What comes after that was sent beside this call, and stays: nobody above was asked for it.
        let (_rewriting, below) = self.begin_removal_of_sealed()?;
        self.check_going_on()?;
        let part = Part { below, ..Part::default() };
        let report = self.sift_part(&OtherKeys(key_matches), &part)?.all()?;
        // What an earlier failure left may hold such a record too.
        self.remove_obsolete()?;
        while self.has_obsolete() {
            // A copy has begun meanwhile, and holds them.
            self.check_not_held()?;
            self.remove_obsolete()?;
        }
        self.remove_unfinished()?;
        // It knows where such a record was.
        for source in self.sources()? {
            remove_other_keys(&self.directory, &key_stamp(&source.summary))?;
        }
        self.note_reclaimed(report.bytes);
        Ok(report)
    }

    /// Removes the records at these offsets, ranges in order that do not touch. The active segment is sealed where it has some of
    /// them. Transactions that have put any of that here survive a power cut first: or whoever makes it once more brings it back. After an error some may be left:
    /// call again; and where the log has other settings than those, if any are given.
    pub(crate) fn remove_offsets(
        self: &Arc<Self>,
        ranges: &[RangeInclusive<Offset>],
        settings: Option<&Arc<LogConfig>>,
    ) -> Result<EraseReport> {
        self.settle_in(ranges)?;
        let _rewriting = self.rewriting.lock();
        self.check_going_on()?;
        let active = self.active_base();
        if ranges.last().is_some_and(|last| *last.end() >= active && active < self.end()) {
            self.roll()?;
        }
        let most = if ranges.is_empty() { 0 } else { usize::MAX };
        let part = Part { most, settings, ..Part::default() };
        let report = self.sift_part(&OtherOffsets(ranges), &part)?.all()?;
        // Of an earlier call, perhaps, with these records in it.
        self.remove_left_by_rewrites()?;
        self.remove_obsolete_or_owe();
        self.note_reclaimed(report.bytes);
        Ok(report)
    }

    /// True when a record of the active segment matches; what was accepted is written first.
    fn active_holds(self: &Arc<Self>, key_matches: &dyn Fn(&[u8]) -> bool) -> Result<bool> {
        self.write_accepted()?;
        let mut reader =
            Reader::new(Arc::clone(self), self.active_base(), Visibility::Written, OnDamage::Fail)
                .below_start(BelowStart::GoOn)
                .isolation(Isolation::ReadUncommitted);
        loop {
            self.check_going_on()?;
            let slices = reader.fetch(FetchLimits { max_records: usize::MAX, max_bytes: 1 << 20 })?;
            if slices.is_empty() {
                return Ok(false);
            }
            let matches = |record: RawRecord<'_>| record.key.is_some_and(key_matches);
            if slices.iter().flat_map(|slice| slice.iter()).any(matches) {
                return Ok(true);
            }
        }
    }

    /// Rewrites each of the first `most` sealed segments without what the sieve lets go.
    pub(super) fn sift(&self, sieve: &dyn Sieve, most: usize) -> Result<Sifted> {
        self.sift_part(sieve, &Part { most, ..Part::default() })
    }

    /// Where the active segment begins.
    pub(in crate::log) fn active_base(&self) -> Offset {
        self.segment_list().iter().last().map_or(0, |active| active.base())
    }

    fn sift_part(&self, sieve: &dyn Sieve, part: &Part<'_>) -> Result<Sifted> {
        let topic_partition = self.topic_partition.clone();
        let mut report = EraseReport { topic_partition, records: 0, segments: 0, bytes: 0 };
        let mut rewriter = Rewriter::new(self, sieve);
        let sources = self.sources()?.into_iter().take(part.most);
        for source in sources.take_while(|source| source.summary.next_offset <= part.below) {
            if part.settings.is_some_and(|settings| !Arc::ptr_eq(settings, &self.config())) {
                break;
            }
            let before = source.summary.bytes;
            let run = [source];
            let rewritten = match rewriter.rewrite(&run) {
                // Retention has removed its file before it was opened.
                Err(_) if self.has_left(&run) => continue,
                rewritten => rewritten?,
            };
            let replacement = match rewritten {
                Rewrite::Unchanged { .. } => continue,
                Rewrite::TooLarge => {
                    let limit = u64::from(i32::MAX.unsigned_abs());
                    return Err(Error::RecordTooLarge { size: before, limit, setting: "segment.bytes" });
                }
                Rewrite::NoRoom(lack) => return Ok(Sifted { report, lack: Some(lack) }),
                Rewrite::Changed(replacement) => replacement,
            };
            let after = replacement.new.as_ref().map_or(0, |new| new.summary.bytes);
            if self.swap(&run, replacement.new, part.settings)? == Swap::Done {
                report.records += replacement.removed_records;
                report.segments += 1;
                report.bytes += before.saturating_sub(after);
            }
        }
        Ok(Sifted { report, lack: None })
    }

    /// The sealed segments now.
    fn sources(&self) -> Result<Vec<Source>> {
        let mut writer = self.writer.lock();
        let open = self.opened(&mut writer)?;
        let edit = Edit::of(&open.state).all_named();
        self.edit(&mut open.state, edit)?;
        let list = self.segment_list();
        let sources = open.state.state().sealed.iter().zip(list.iter());
        Ok(sources
            .map(|(summary, segment)| Source { summary: *summary, segment: Arc::clone(segment) })
            .collect())
    }
}
