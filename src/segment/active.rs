//! The segment that grows. One owner, the partition's writer.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BatchHeader, SegmentFile, SegmentSummary, TimeIndexEntry, segment_file_name};
use crate::io::{Directory, File, OpenMode, Unwritten};
use crate::segment::aborted::with_aborted;
use crate::segment::ahead::Ahead;
use crate::segment::by_key::key_stamp;
use crate::segment::keys::NewBatch;
use crate::segment::summary::{Tally, summarize};
use crate::segment::{ReadMode, Scan, Segment, SparseIndex, index_file};
use crate::types::{Offset, Timestamp};

/// Limits of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentConfig {
    /// `segment.bytes`.
    pub(crate) max_bytes: u32,
    /// `index.interval.bytes`, for segments that begin from now on.
    pub(crate) index_interval_bytes: u32,
    /// `segment.index.bytes`, for each of the two.
    pub(crate) max_index_bytes: u32,
}

/// Where less is free no index files are written.
const SPARED: u64 = 64 * 1024;
/// Terms of records that one segment holds in memory at most, a batch's apart.
pub(in crate::segment) const MOST_TERMS: usize = 1 << 20;

/// The segment at the end of a partition. All of it belongs to the partition's writer; `segment` is also seen by readers.
#[derive(Debug)]
pub(crate) struct ActiveSegment {
    segment: Arc<Segment>,
    file: File,
    tally: Tally,
    /// Entries of its offset index. The time index has one more at most.
    index_entries: u64,
    max_timestamp: Timestamp,
    /// The file has at least this many bytes; those behind `tally.bytes` are zero.
    allocated: u64,
    ahead: Ahead,
    config: SegmentConfig,
    /// What its records are found by, as far as that is known.
    terms: usize,
}

/// Why a write did not happen.
#[derive(Debug)]
pub(crate) enum WriteFailure {
    /// The segment is as it was before; the next write may succeed.
    Undone(Error),
    /// The segment could not be cut back, or not be synced: nobody knows what it holds.
    Stuck(Error),
}

impl WriteFailure {
    /// The cause, where what the segment holds is of no interest.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Undone(error) | Self::Stuck(error) => error,
        }
    }
}

impl ActiveSegment {
    /// Creates an empty segment. Its name is durable after a sync of the directory.
    pub(crate) fn create(
        directory: &Directory,
        base: Offset,
        config: SegmentConfig,
        mode: ReadMode,
    ) -> Result<Self> {
        let name = segment_file_name(base, SegmentFile::Log);
        directory.remove_if_there(&name)?;
        let file = directory.keep_open(&name, OpenMode::CreateNew)?;
        let index = SparseIndex::new(base, config.index_interval_bytes);
        Ok(Self::with(directory, file, Tally::new(base), index, (config, mode)))
    }

    /// Goes on with a segment that was scanned, and whose file ends with its last batch.
    pub(crate) fn resume(
        directory: &Directory,
        scan: Scan,
        config: SegmentConfig,
        mode: ReadMode,
    ) -> Result<Self> {
        let name = segment_file_name(scan.tally.base, SegmentFile::Log);
        let file = directory.keep_open(&name, OpenMode::ReadWrite)?;
        let active = Self::with(directory, file, scan.tally, scan.index, (config, mode));
        active.segment.set_aborted(scan.aborted);
        Ok(active)
    }

    /// Goes on with a segment that was closed cleanly.
    pub(crate) fn reopen(
        directory: &Directory,
        summary: SegmentSummary,
        config: SegmentConfig,
        mode: ReadMode,
    ) -> Result<Self> {
        let index = match summary.bytes {
            0 => SparseIndex::new(summary.base, config.index_interval_bytes),
            _ => Segment::sealed(directory, summary, mode).index()?.resumed(&summary),
        };
        let name = segment_file_name(summary.base, SegmentFile::Log);
        let file = directory.keep_open(&name, OpenMode::ReadWrite)?;
        let active = Self::with(directory, file, Tally::resumed(&summary), index, (config, mode));
        active.segment.forget_keys(Some(key_stamp(&summary)));
        Ok(active)
    }

    fn with(
        directory: &Directory,
        file: File,
        tally: Tally,
        index: SparseIndex,
        (config, mode): (SegmentConfig, ReadMode),
    ) -> Self {
        if mode == ReadMode::Mapped {
            file.map_small_writes();
        }
        let index_entries = index.offsets().len() as u64;
        let segment = Arc::new(Segment::growing(directory, file.clone(), index, &tally, mode));
        let max_timestamp = segment.max_timestamp();
        let allocated = tally.bytes;
        let (ahead, terms) = (Ahead::NEW, 0);
        Self { segment, file, index_entries, max_timestamp, allocated, ahead, tally, config, terms }
    }

    /// What readers hold of it.
    pub(crate) fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The file, for a sync that must not wait for the next write.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn base(&self) -> Offset {
        self.tally.base
    }

    pub(crate) fn next_offset(&self) -> Offset {
        self.tally.next_offset
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.tally.bytes
    }

    /// Records of all its batches.
    pub(crate) fn record_count(&self) -> u64 {
        self.tally.record_count
    }

    /// Largest timestamp of its first batch that has one, `None` when none has: for rolling by time.
    pub(crate) fn first_timestamp(&self) -> Option<Timestamp> {
        (self.tally.first_timestamp >= 0).then_some(self.tally.first_timestamp)
    }

    /// Largest timestamp of its batches, -1 when none has one.
    pub(crate) fn max_timestamp(&self) -> Timestamp {
        self.max_timestamp
    }

    /// New limits; what is written stays.
    pub(crate) fn set_config(&mut self, config: SegmentConfig) {
        self.config = config;
    }

    /// True when a batch of `len` bytes up to `last_offset` does not fit any more: file size, index size, offset range.
    pub(crate) fn is_full_for(&self, len: usize, last_offset: Offset) -> bool {
        self.tally.bytes > 0
            && (self.tally.bytes + len as u64 > u64::from(self.config.max_bytes)
                || (self.index_entries + 2) * TimeIndexEntry::LEN as u64
                    > u64::from(self.config.max_index_bytes)
                || last_offset - self.tally.base > i64::from(i32::MAX))
    }

    /// Appends one batch in one write and lets readers see it.
    #[inline]
    pub(crate) fn append(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), WriteFailure> {
        let position = self.tally.bytes;
        if position + batch.len() as u64 > self.allocated {
            self.allocate_for(position + batch.len() as u64);
        }
        match self.file.write(batch, position) {
            Ok(()) => {}
            Err(Unwritten::Before(error)) => return Err(WriteFailure::Undone(error)),
            Err(Unwritten::Partly(error)) => return Err(self.undo(error)),
        }
        self.allocated = self.allocated.max(position + batch.len() as u64);
        self.tally.add(header, batch.get(..BatchHeader::LEN).unwrap_or_default());
        self.max_timestamp = self.max_timestamp.max(header.max_timestamp);
        self.index_entries = self.segment.publish(header, position).unwrap_or(self.index_entries);
        Ok(())
    }

    /// True when it is found by so much that another segment should begin: what is in memory of that is bounded so. What records of a time
    /// without an index are found by is not known: then their number counts.
    pub(crate) fn has_many_keys(&self) -> bool {
        self.terms >= MOST_TERMS || self.tally.record_count >= MOST_TERMS as u64
    }

    /// Takes in what the records of a batch are found by, before readers can come to it: the one that was appended last.
    pub(crate) fn note_keys(&mut self, batch: &NewBatch<'_>) {
        self.terms = self.segment.keys().note(batch);
    }

    /// True when it has one `part`th of the bytes that it may have.
    pub(crate) fn has_part(&self, part: u32) -> bool {
        self.tally.bytes >= u64::from(self.config.max_bytes / part.max(1))
    }

    /// Reserves space so that most syncs find no new length to write. That it cannot be had is no error: the write itself
    /// will tell whether there is room.
    #[cold]
    fn allocate_for(&mut self, end: u64) {
        let (bytes, most_bytes) = (end.saturating_sub(self.tally.bytes), u64::from(self.config.max_bytes));
        while let Some(goal) = self.ahead.goal(end, most_bytes) {
            match self.file.allocate(goal) {
                Ok(()) => {
                    self.allocated = goal;
                    return self.ahead.note_granted();
                }
                Err(error) if self.ahead.note_refused((end, bytes), most_bytes, error.is_disk_full()) => {}
                Err(_) => return,
            }
        }
    }

    /// Cuts away whatever a failed write left, so that it can never stand behind a later, shorter batch.
    fn undo(&mut self, error: Error) -> WriteFailure {
        match self.file.set_len(self.tally.bytes) {
            Ok(()) => {
                self.allocated = self.tally.bytes;
                WriteFailure::Undone(error)
            }
            Err(_) => WriteFailure::Stuck(error),
        }
    }

    /// Ends its life: cuts the space allocated ahead, syncs, writes the indexes. The readable side lives on. After a failed
    /// cut the segment may be appended to as before; after a failed sync nobody knows what is on the disk.
    pub(crate) fn seal(&mut self) -> Result<SegmentSummary, WriteFailure> {
        self.file.set_len(self.tally.bytes).map_err(WriteFailure::Undone)?;
        self.allocated = self.tally.bytes;
        self.file.sync().map_err(WriteFailure::Stuck)?;
        let index = self.segment.finished_index().unwrap_or_else(|| SparseIndex::new(self.base(), 0));
        // Indexes are hints; without them the next reader walks the batch headers. The last room there is is for what is none.
        let directory = self.segment.log().directory();
        if directory.check_space(SPARED).is_ok() {
            drop(index_file::write(directory, self.base(), &index));
        }
        let entries = self.segment.aborted().map_err(WriteFailure::Undone)?.unwrap_or_default();
        let summary = summarize(&self.tally, &index);
        Ok(with_aborted(self.segment.log().directory(), summary, &entries))
    }

    /// Takes back a segment that was created and not used.
    pub(crate) fn remove(self, directory: &Directory) -> Result<()> {
        directory.remove(&segment_file_name(self.base(), SegmentFile::Log))
    }

    /// Lets go of the descriptor after `seal`.
    pub(crate) fn retire(self) {
        self.segment.log().release_descriptor();
    }
}
