//! A sealed segment in the making.

use crate::error::{Error, Result};
use crate::format::{AbortedTransaction, BatchHeader, SegmentSummary, cleaned_log_name, encode_aborted};
use crate::io::{Directory, File, OpenMode};
use crate::segment::aborted::with_aborted;
use crate::segment::summary::{Tally, summarize};
use crate::segment::{SparseIndex, index_file};
use crate::types::Offset;

/// Bytes written at a time.
const CHUNK: usize = 1 << 20;
/// Positions in a segment are i32 in Kafka's indexes.
pub(crate) const MOST_BYTES: u64 = i32::MAX.unsigned_abs() as u64;

/// A segment that is written under a temporary name, to take the place of others.
#[derive(Debug)]
pub(crate) struct NewSegment {
    directory: Directory,
    file: File,
    /// Batches that are not in the file yet.
    buffer: Vec<u8>,
    tally: Tally,
    index: SparseIndex,
    /// So much room is not taken; `None` where nobody looks.
    left_free: Option<u64>,
    most_bytes: u64,
}

/// A new segment that is complete and synced, under its temporary name.
#[derive(Debug)]
pub(crate) struct FinishedSegment {
    pub(crate) summary: SegmentSummary,
    index: SparseIndex,
    /// The transactions whose ABORT marker it holds.
    aborted: Vec<AbortedTransaction>,
}

impl NewSegment {
    /// Creates the file, in place of one that an earlier attempt may have left.
    pub(crate) fn begin(directory: &Directory, base: Offset, interval_bytes: u32) -> Result<Self> {
        let name = cleaned_log_name(base);
        directory.remove_if_there(&name)?;
        let file = directory.open(&name, OpenMode::CreateNew)?;
        let (tally, index) = (Tally::new(base), SparseIndex::new(base, interval_bytes));
        Ok(Self {
            directory: directory.clone(),
            file,
            buffer: Vec::new(),
            tally,
            index,
            left_free: None,
            most_bytes: MOST_BYTES,
        })
    }

    /// Whether a batch of so many bytes fits below what positions can say.
    pub(crate) fn has_room_for(&self, bytes: usize) -> bool {
        self.tally.bytes + bytes as u64 <= self.most_bytes
    }

    /// Adds a batch, whose offsets are above those added before.
    pub(crate) fn append(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<()> {
        let position = self.tally.bytes;
        if !self.has_room_for(batch.len()) {
            let (size, limit) = (position + batch.len() as u64, self.most_bytes);
            return Err(Error::RecordTooLarge { size, limit, setting: "segment.bytes" });
        }
        self.index.note(header, position);
        self.tally.add(header, batch.get(..BatchHeader::LEN).unwrap_or_default());
        self.buffer.extend_from_slice(batch);
        if self.buffer.len() >= CHUNK { self.write_out() } else { Ok(()) }
    }

    /// Before each write it is looked whether so much stays free beside it.
    pub(crate) fn leaving_free(self, bytes: u64) -> Self {
        Self { left_free: Some(bytes), ..self }
    }

    pub(crate) fn of_at_most(self, most_bytes: u64) -> Self {
        Self { most_bytes, ..self }
    }

    fn write_out(&mut self) -> Result<()> {
        if let Some(left_free) = self.left_free {
            self.directory.check_space((self.buffer.len() as u64).saturating_add(left_free))?;
        }
        self.file.write_at(&self.buffer, self.tally.bytes - self.buffer.len() as u64)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes and syncs what is left, and gives the segment the range of offsets up to `next_offset`, whether its last
    /// batch reaches it or not. `None` when there is no batch; then no file is left either. After an error it is the caller's to remove.
    pub(crate) fn finish(mut self, next_offset: Offset) -> Result<Option<FinishedSegment>> {
        if self.tally.bytes == 0 {
            self.discard()?;
            return Ok(None);
        }
        self.write_out()?;
        self.file.sync()?;
        self.index.note_time();
        self.tally.next_offset = next_offset;
        let summary = summarize(&self.tally, &self.index);
        Ok(Some(FinishedSegment {
            summary: SegmentSummary { is_sparse: true, ..summary },
            index: self.index,
            aborted: Vec::new(),
        }))
    }

    /// Removes the file.
    pub(in crate::segment) fn discard(self) -> Result<()> {
        self.directory.remove_if_there(&cleaned_log_name(self.tally.base))
    }
}

impl FinishedSegment {
    /// The same, holding the ABORT markers of these transactions.
    pub(crate) fn with_aborted(mut self, entries: Vec<AbortedTransaction>) -> Self {
        let bytes = encode_aborted(&entries);
        self.summary.aborted_entries = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        self.summary.aborted_crc = if entries.is_empty() { 0 } else { crc32fast::hash(&bytes) };
        self.aborted = entries;
        self
    }

    /// The transactions whose ABORT marker it holds.
    pub(super) fn aborted(&self) -> &[AbortedTransaction] {
        &self.aborted
    }

    /// Writes its index files over those of the segment whose name it got.
    pub(crate) fn write_indexes(&self, directory: &Directory) -> Result<()> {
        with_aborted(directory, self.summary, &self.aborted);
        index_file::write(directory, self.summary.base, &self.index)
    }
}
