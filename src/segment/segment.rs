//! The readable side of a segment, the same for one that grows and one that is sealed.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    AbortedTransaction, BatchHeader, Malformed, OffsetIndexEntry, SegmentFile, SegmentSummary,
    cleaned_log_name, segment_file_name,
};
use crate::io::{Directory, File};
use crate::locks::{AtomicU64, Ordering, RwLock};
use crate::segment::aborted::Aborted;
use crate::segment::by_key::key_stamp;
use crate::segment::index::Around;
use crate::segment::keys::Keys;
use crate::segment::log_file::Walk;
use crate::segment::summary::Tally;
use crate::segment::{Cursor, FinishedSegment, LogFile, ReadMode, Scan, SparseIndex, index_file};
use crate::types::{Offset, Timestamp};

/// One segment as readers see it. Shared; the files stay readable as long as somebody holds it.
#[derive(Debug)]
pub(crate) struct Segment {
    base: Offset,
    log: LogFile,
    /// Bytes of whole batches that may be read. Only the writer moves it, forwards, after the write succeeded.
    written: AtomicU64,
    /// The writer notes batches here before it moves `written`.
    index: RwLock<Index>,
    offsets: Offsets,
    /// Noted by the writer before readers can come to what lies after the marker.
    aborted: Aborted,
    /// Of use to topics alone that ask for a key index.
    keys: Keys,
}

/// Which offsets the batches of a segment cover.
#[derive(Debug, Clone, Copy)]
enum Offsets {
    /// All from its base on; up to this one where it is sealed.
    All { until: Option<Offset> },
    /// It was rewritten: any may be missing.
    Some,
}

#[derive(Debug)]
enum Index {
    InMemory(SparseIndex),
    /// Sealed and not looked at since the store was opened.
    OnDisk(Box<SegmentSummary>),
}

impl Segment {
    /// A segment whose index is in memory.
    fn with_index(log: LogFile, base: Offset, written: u64, index: SparseIndex) -> Self {
        let (written, index) = (AtomicU64::new(written), RwLock::new(Index::InMemory(index)));
        let aborted = Aborted::of(Vec::new());
        let keys = Keys::unknown(base, None);
        Self { base, log, written, index, offsets: Offsets::All { until: None }, aborted, keys }
    }

    /// A segment without a batch, and without a file so far.
    pub(crate) fn empty(directory: &Directory, base: Offset, index_interval_bytes: u32) -> Self {
        let name = segment_file_name(base, SegmentFile::Log);
        let log = LogFile::lazy(directory.clone(), name, ReadMode::Positional);
        Self::with_index(log, base, 0, SparseIndex::new(base, index_interval_bytes))
    }

    /// The good part of a segment that was just scanned.
    pub(crate) fn scanned(log: LogFile, scan: &Scan) -> Self {
        let aborted = Aborted::of(scan.aborted.clone());
        Self { aborted, ..Self::with_index(log, scan.tally.base, scan.tally.bytes, scan.index.clone()) }
    }

    /// The sealed segment that `summary` tells of. Touches no file.
    pub(crate) fn sealed(directory: &Directory, summary: SegmentSummary, mode: ReadMode) -> Self {
        let name = segment_file_name(summary.base, SegmentFile::Log);
        Self::sealed_as(directory, summary, name, mode)
    }

    /// The same, whose `.log` has another name for now.
    pub(crate) fn sealed_as(
        directory: &Directory,
        summary: SegmentSummary,
        name: String,
        mode: ReadMode,
    ) -> Self {
        Self {
            base: summary.base,
            log: LogFile::lazy(directory.clone(), name, mode),
            written: AtomicU64::new(summary.bytes),
            index: RwLock::new(Index::OnDisk(Box::new(summary))),
            offsets: match summary.is_sparse {
                true => Offsets::Some,
                false => Offsets::All { until: Some(summary.next_offset) },
            },
            aborted: Aborted::sealed(&summary),
            keys: Keys::sealed(key_stamp(&summary)),
        }
    }

    /// The sealed segment that was just written, and whose file still has its temporary name.
    pub(crate) fn finished(directory: &Directory, new: &FinishedSegment, mode: ReadMode) -> Self {
        let aborted = Aborted::of(new.aborted().to_vec());
        Self { aborted, ..Self::sealed_as(directory, new.summary, cleaned_log_name(new.summary.base), mode) }
    }

    pub(super) fn key_terms(&self) -> &Keys {
        &self.keys
    }

    /// The first offset it may hold, and its name.
    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Whether each batch must begin where the one before it ended.
    pub(super) fn is_gapless(&self) -> bool {
        matches!(self.offsets, Offsets::All { .. })
    }

    /// Whether batches up to `expected` can be all that it holds.
    pub(crate) fn may_end_at(&self, expected: Offset) -> bool {
        !matches!(self.offsets, Offsets::All { until: Some(until) } if until != expected)
    }

    /// Bytes of whole batches.
    pub(crate) fn bytes(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Largest timestamp of its records, -1 when none has one.
    pub(crate) fn max_timestamp(&self) -> Timestamp {
        match &*self.index.read() {
            Index::InMemory(index) => index.largest().timestamp,
            Index::OnDisk(summary) => summary.max_timestamp,
        }
    }

    pub(crate) fn log(&self) -> &LogFile {
        &self.log
    }

    /// The segment is no longer part of the log: from here on nothing looks for its files by their names, and nothing writes
    /// under them.
    pub(crate) fn leave(&self) {
        self.log.leave();
        self.keys.leave();
    }

    /// The transactions whose ABORT marker it holds, in the order of the markers. `None` when the file that lists them is
    /// missing, or not the one that was written.
    pub(crate) fn aborted(&self) -> Result<Option<Arc<Vec<AbortedTransaction>>>> {
        self.aborted.get(self.log.directory(), self.base)
    }

    /// The same, found out from the log itself.
    pub(crate) fn set_aborted(&self, entries: Vec<AbortedTransaction>) {
        self.aborted.set(entries);
    }

    /// Notes the transaction whose ABORT marker was just written to it.
    pub(crate) fn note_aborted(&self, entry: AbortedTransaction) {
        self.aborted.note(entry);
    }

    /// A cursor before the first batch, of a segment whose file is as it was sealed. From here on nothing that is read
    /// from it depends on what has its name.
    pub(crate) fn walk(self: &Arc<Self>) -> Result<Cursor> {
        self.with(|_| ())?;
        Ok(self.from_start())
    }

    /// A cursor before the first batch, whatever the indexes and the state file say.
    pub(crate) fn from_start(self: &Arc<Self>) -> Cursor {
        Cursor::new(Arc::clone(self), 0, self.base)
    }

    /// A cursor at the batch of an index entry, if that batch is there.
    pub(crate) fn at_entry(self: &Arc<Self>, entry: &OffsetIndexEntry) -> Option<Cursor> {
        let last = self.base + i64::from(entry.relative_offset);
        Cursor::at_index_entry(Arc::clone(self), u64::from(entry.position), last)
    }

    /// The index as its files hold it; `None` when they are missing or are not those that were written.
    pub(crate) fn stored_index(&self, summary: &SegmentSummary) -> Result<Option<SparseIndex>> {
        index_file::read(self.log.directory(), summary)
    }

    /// A cursor before the first batch that may hold `offset`.
    pub(crate) fn seek(self: &Arc<Self>, offset: Offset) -> Result<Cursor> {
        let Around { floor, likely } = self.with(|index| index.around(offset))?;
        if let Some(cursor) = likely.and_then(|entry| self.at_entry(&entry))
            && cursor.expected() <= offset
        {
            return Ok(cursor);
        }
        // An entry that does not fit its batch costs the walk from the start, and never another answer.
        Ok(floor.and_then(|entry| self.at_entry(&entry)).unwrap_or_else(|| self.from_start()))
    }

    /// The index entries around `offset`, if the index is in memory.
    pub(super) fn around(&self, offset: Offset) -> Option<Around> {
        match &*self.index.read() {
            Index::InMemory(index) => Some(index.around(offset)),
            Index::OnDisk(_) => None,
        }
    }

    /// A cursor before the first batch that may hold a record of `timestamp` or later.
    pub(crate) fn seek_time(self: &Arc<Self>, timestamp: Timestamp) -> Result<Cursor> {
        let offset = self.with(|index| index.time_floor(timestamp))?;
        self.seek(offset)
    }

    /// A cursor before a batch behind `position`, where the index knows one: the way around a damaged stretch.
    pub(crate) fn seek_behind(self: &Arc<Self>, position: u64) -> Result<Option<Cursor>> {
        let entry = self.with(|index| index.entry_behind(position))?;
        Ok(entry.and_then(|entry| self.at_entry(&entry)))
    }

    /// Runs `look` on the index, which is loaded or rebuilt first when it is not in memory.
    fn with<T>(&self, look: impl FnOnce(&SparseIndex) -> T) -> Result<T> {
        if let Index::InMemory(index) = &*self.index.read() {
            return Ok(look(index));
        }
        let mut guard = self.index.write();
        if let Index::OnDisk(summary) = &*guard {
            *guard = Index::InMemory(self.load(summary)?);
        }
        match &*guard {
            Index::InMemory(index) => Ok(look(index)),
            Index::OnDisk(_) => Err(self.log.broken(0, self.base, "the index was not loaded")),
        }
    }

    fn load(&self, summary: &SegmentSummary) -> Result<SparseIndex> {
        // What follows the bytes that were sealed is no part of the log, and never read.
        let found = self.log.len()?;
        if found < summary.bytes {
            let reason = format!("the file has {found} bytes, {} were sealed", summary.bytes);
            return Err(self.log.broken(found, summary.next_offset, reason));
        }
        let stored = index_file::read(self.log.directory(), summary)?;
        if let Some(index) = stored.as_ref().filter(|_| !summary.is_sparse && found == summary.bytes) {
            return Ok(index.clone());
        }
        // A longer file may be another's: this walk shows whether it begins with what was sealed.
        // Where offsets are missing, a flipped bit in a base offset looks like one more gap: only this walk shows it.
        let index = self.rebuild(summary)?;
        if stored.is_some() {
            return Ok(index);
        }
        // A failure to write the rebuilt files costs the next open the same walk and nothing else.
        self.log.unless_left(|| drop(index_file::write(self.log.directory(), self.base, &index)));
        Ok(index)
    }

    /// Walks the batch headers of a sealed segment; the walk must add up to what was sealed.
    fn rebuild(&self, summary: &SegmentSummary) -> Result<SparseIndex> {
        let mut index = SparseIndex::new(self.base, summary.index_interval_bytes);
        let mut tally = Tally::new(self.base);
        let mut walk = Walk::new(&self.log, summary.bytes);
        let mut position = 0;
        while position < summary.bytes {
            let bytes = walk.bytes(position, BatchHeader::LEN)?;
            let header = match BatchHeader::decode(bytes) {
                Ok(header) => header,
                Err(malformed) => return Err(self.blame(&mut walk, position, malformed)?),
            };
            index.note(&header, position);
            tally.add(&header, bytes.get(..BatchHeader::LEN).unwrap_or_default());
            position += header.total_len() as u64;
        }
        index.note_time();
        if tally.headers.finish() != summary.headers_crc {
            return Err(self.log.broken(0, self.base, "batch headers differ from those sealed"));
        }
        Ok(index)
    }

    /// Where no batch is, one before it may have a wrong length.
    fn blame(&self, walk: &mut Walk<'_>, position: u64, malformed: Malformed) -> Result<Error> {
        let (mut at, mut offset) = (0, self.base);
        while at < position {
            let Ok(header) = BatchHeader::decode(walk.bytes(at, BatchHeader::LEN)?) else { break };
            let needed = header.total_len();
            let batch = walk.bytes(at, needed)?.get(..needed).unwrap_or_default();
            if let Err(malformed) = BatchHeader::verify_crc(batch) {
                return Ok(self.log.damaged(at, offset, malformed));
            }
            at += needed as u64;
            offset = header.next_offset();
        }
        Ok(self.log.damaged(position, offset, malformed))
    }

    /// A copy of the index of a segment that is to grow again.
    pub(super) fn index(&self) -> Result<SparseIndex> {
        self.with(SparseIndex::clone)
    }

    /// Notes a batch just written, then lets readers see it. Says how many entries its index has now.
    #[inline]
    pub(super) fn publish(&self, header: &BatchHeader, position: u64) -> Option<u64> {
        let entries = match &mut *self.index.write() {
            Index::InMemory(index) => {
                index.note(header, position);
                Some(index.offsets().len() as u64)
            }
            Index::OnDisk(_) => None,
        };
        self.written.store(position + header.total_len() as u64, Ordering::Release);
        entries
    }

    /// The index as it is written to files when the segment ends here. The one in memory goes on as it was: the segment may
    /// yet grow, if what follows its end fails.
    pub(super) fn finished_index(&self) -> Option<SparseIndex> {
        match &*self.index.read() {
            Index::InMemory(index) => {
                let mut finished = index.clone();
                finished.note_time();
                Some(finished)
            }
            Index::OnDisk(_) => None,
        }
    }

    /// A sealed segment over a file that is open, whatever its name is.
    pub(crate) fn sealed_in(
        directory: &Directory,
        summary: SegmentSummary,
        file: File,
        mode: ReadMode,
    ) -> Self {
        let sealed = Self::sealed(directory, summary, mode);
        let name = segment_file_name(summary.base, SegmentFile::Log);
        Self { log: LogFile::open(directory.clone(), name, mode, file), ..sealed }
    }

    /// A segment that another process appends to. It is never mapped, and nothing may be read of it yet.
    pub(crate) fn followed(directory: &Directory, file: File, base: Offset, interval_bytes: u32) -> Self {
        let name = segment_file_name(base, SegmentFile::Log);
        let log = LogFile::open(directory.clone(), name, ReadMode::Positional, file);
        Self::with_index(log, base, 0, SparseIndex::new(base, interval_bytes))
    }

    /// The other process has written so far.
    pub(crate) fn may_be_read_to(&self, bytes: u64) {
        self.written.store(bytes, Ordering::Release);
    }

    /// Notes a batch that the other process has written.
    pub(crate) fn note(&self, header: &BatchHeader, position: u64) {
        if let Index::InMemory(index) = &mut *self.index.write() {
            index.note(header, position);
        }
    }

    /// A cursor before the batch at `position`, where an earlier walk has ended.
    pub(crate) fn walk_on(self: &Arc<Self>, position: u64, expected: Offset) -> Cursor {
        Cursor::new(Arc::clone(self), position, expected)
    }

    /// A growing segment over a file its writer has open.
    pub(super) fn growing(
        directory: &Directory,
        file: File,
        index: SparseIndex,
        at: &Tally,
        mode: ReadMode,
    ) -> Self {
        let name = segment_file_name(at.base, SegmentFile::Log);
        let log = LogFile::open(directory.clone(), name, mode, file);
        Self::with_index(log, at.base, at.bytes, index)
    }
}
